"""Evidence and page data with everything in it, made of two small networks' worth of invented spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.compare import compare, layer_errors
from snnc.evidence import Budget, Evidence, LayerRow, Rung
from snnc.ir import Fixed, Format
from snnc.quantize.base import note
from snnc.report.html import PageData
from snnc.trace import Trace

POPULATIONS = ("lif1", "lif2")
SCALES: dict[str, dict[str, Any]] = {name: {"lif1": 64.0, "lif2": np.full((4,), 64.0)} for name in ("fixed", "loihi1")}


def invented(backend: str, target: str, flips: int) -> Trace:
    """The same spikes for every caller, with so many of them flipped."""
    rng = np.random.default_rng(11)
    spikes = {n: (rng.random((3, 12, s)) < 0.3).astype(np.int8) for n, s in (("in", 5), ("lif1", 6), ("lif2", 4))}
    states: dict[tuple[str, str], Any] = {(n, "v"): rng.normal(0.3, 0.3, spikes[n].shape) for n in POPULATIONS}
    if target != "float":
        states = {key: np.rint(64 * value).astype(np.int64) for key, value in states.items()}
    spikes["lif2"][0].reshape(-1)[:flips] ^= 1
    return Trace(backend, target, spikes, states)


@pytest.fixture(scope="session")
def traces() -> dict[str, Trace]:
    return {
        "float": invented("reference", "float", 0),
        "fixed": invented("reference", "generic", 2),
        "loihi1": invented("loihi", "loihi1", 5),
    }


@pytest.fixture(scope="session")
def evidence(traces: dict[str, Trace]) -> Evidence:
    truth = traces["float"]
    rows: list[LayerRow] = []
    first = {}
    for target in ("fixed", "loihi1"):
        rows += [LayerRow.of(target, e) for e in layer_errors(truth, traces[target], truth, SCALES[target])]
        first[target] = compare(truth, traces[target], states=False).text
    rungs = (
        Rung(1, "torch", "float", 900, 0, True, when="compile"),
        Rung(3, "float", "integers", 360, 7, True, "measured, within the budget", target="fixed"),
        Rung.exact(5, compare(traces["loihi1"], traces["loihi1"]), target="loihi1"),
    )
    accuracy = {"float": 0.975, "fixed": 0.97, "loihi1": 0.969}
    return Evidence(rungs, accuracy, tuple(rows), 3, 12, Budget(1.0, 0.5), first)


@pytest.fixture(scope="session")
def failing(evidence: Evidence) -> Evidence:
    detail = "sample 3, step 7, population lif1, neuron 12: v is 4032 in reference, 4096 in loihi"
    bad = Rung(5, "reference", "loihi", 720, 1, False, detail, target="loihi1")
    budget = Budget(0.1, 0.5)
    return Evidence((*evidence.rungs, bad), evidence.accuracy, evidence.layers, 3, 12, budget)


@pytest.fixture(scope="session")
def data(evidence: Evidence, traces: dict[str, Trace]) -> PageData:
    weight = np.random.default_rng(2).normal(0, 0.4, (6, 5))
    fixed = Fixed(np.clip(np.rint(weight * 64), -30, 30).astype(np.int64), Format(8))
    return PageData(
        title="digits <b>&\"' net",
        evidence=evidence,
        utilization={"fixed": {}, "loihi1": {"neuro cores": (3, 128), "nothing": (0, 0)}},
        notes={"loihi1": (note("fc1", "weight", weight, fixed, 64.0),)},
        traces=traces,
        scales=SCALES,
        weights={"fc1": {"float": weight, "fixed": fixed.raw / 64, "loihi1": fixed.raw}},
        thresholds={"lif1": 1.0},
        config={"compile": {"targets": ("loihi1",), "weight_bits": 8}},
        versions={"snnc": "0.1.0", "lava-nc": None},
    )
