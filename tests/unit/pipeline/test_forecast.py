"""Rates that calibration measured, on their way into a back end's tables."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnc.backend import Forecaster, Program, discover
from snnc.config import Config
from snnc.ir import Affine, Edge, Graph, Input, Neuron, Readout
from snnc.pipeline import Build, compile_source, lowered
from snnc.quantize.calibrate import calibrate, rates
from snnc.sources import Source
from snnc.trace import Samples
from snnc_spinnaker import backend as spinnaker

WORST, PREDICTED = "synaptic events per ms, worst case", "synaptic events per ms, predicted"
RNG = np.random.default_rng(4)
SPIKES = (RNG.random((3, 25, 20)) < np.linspace(0, 0.6, 20)).astype(np.int8)


@pytest.fixture(scope="module")
def built() -> Build:
    """20 sources with a bias onto 9 neurons, and 4 behind them, made for spinnaker1."""
    rng = np.random.default_rng(5)
    first = Affine("w1", rng.normal(0.1, 0.4, (9, 20)) * (rng.random((9, 20)) < 0.6), bias=np.full(9, 0.01))
    nodes = (Input("in", (20,)), first, Neuron("h", (9,), decay_v=np.array(0.9)),
             Affine("w2", rng.normal(0.2, 0.5, (4, 9))), Neuron("o", (4,), decay_v=np.array(0.8)),
             Readout("out"))  # fmt: skip
    names = [node.name for node in nodes]
    graph = Graph(nodes, tuple(Edge(a, b) for a, b in pairwise(names)))
    config = Config().override("compile", targets=("spinnaker1",))
    compiled = compile_source(Source("net", "0", graph, Samples(SPIKES)), config, discover())
    return next(build for build in compiled.builds if build.target.name == "spinnaker1")


def events(build: Build, wrong: float = 1.0) -> dict[str, float]:
    """Population -> synapses of every neuron before it times its rate in the float network."""
    sent = discover().reference.execute(build.graph, SPIKES).spikes
    found: dict[str, float] = {}
    for projection in build.program.data.projections:
        rate = sent[projection.source].reshape(75, -1).mean(axis=0) * wrong
        found[projection.target] = found.get(projection.target, 0.0) + float(rate[projection.links.pre].sum())
    return found


def test_events_are_predicted_from_the_rates_of_the_samples(built: Build) -> None:
    rows = {str(row["core"]).partition("(")[0]: row for row in built.program.tables["cores"]}
    want, wrong = events(built), events(built, 1.2)
    for name in ("h", "o"):
        assert rows[name][PREDICTED] == (round(want[name]), 13000)
        assert rows[name][PREDICTED] != (round(wrong[name]), 13000)
        assert rows[name][WORST] == (rows[name]["synapses"], 13000)
        assert 0 < rows[name][PREDICTED][0] < rows[name][WORST][0]


def test_nothing_that_executes_depends_on_the_rates(built: Build) -> None:
    plain = spinnaker.lower(built.quantized.graph, built.target)
    assert PREDICTED not in plain.tables["cores"][0]
    assert {name: array.tobytes() for name, array in plain.payload.items()} == {
        name: array.tobytes() for name, array in built.program.payload.items()
    }
    assert plain.utilization == built.program.utilization
    again = spinnaker.forecast(replace(plain, data=None), {"in": np.ones(20), "h": np.ones(9)})
    assert [row[PREDICTED] for row in again.tables["cores"]] == [row[WORST] for row in plain.tables["cores"]]


def test_rates_are_spikes_per_step_of_every_neuron(built: Build) -> None:
    found = rates(calibrate(built.graph, SPIKES, discover().reference.execute))
    np.testing.assert_array_equal(found["in"], SPIKES.mean(axis=(0, 1)))
    assert found["h"].shape == (9,)
    assert np.ptp(found["h"]) > 0


def test_a_back_end_without_a_forecast_is_asked_for_none(built: Build) -> None:
    made = Program("own", "chip", built.quantized.graph, {}, {})
    own: Any = SimpleNamespace(name="own", targets=(), lower=lambda *_: made, run=len)
    assert not isinstance(own, Forecaster)
    assert lowered(built.quantized, built.target, own, {"in": np.ones(20)}) is made
    own.forecast = lambda program, measured: replace(program, tables={"t": ({"n": len(measured)},)})
    assert isinstance(own, Forecaster)
    assert lowered(built.quantized, built.target, own, {"in": np.ones(20)}).tables["t"][0]["n"] == 1
    assert lowered(built.quantized, built.target, own, {}) is made
    assert isinstance(spinnaker, Forecaster)
