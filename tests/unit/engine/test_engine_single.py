"""Float32 membranes (SpiNNaker2) on every path of the engine: the reference's numbers, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.compare import compare
from snnc.engine import files, neurons, run
from snnc.engine.choice import Engine
from snnc.engine.planner import plan
from snnc.ir import FixedGraph
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from unit.engine.engine_nets import ENGINES
from unit.formats.onnx_nets import SINGLE, random_network, spikes

EVERYTHING = Probes(states="all")
SEEDS = range(80)


def graph_of(seed: int) -> tuple[FixedGraph, Any]:
    network, values = random_network(seed, SINGLE)
    assert isinstance(network, FixedGraph)
    return network, values


def differing(seeds: range, engine: Engine = "event") -> int:
    total = 0
    for seed in seeds:
        graph, values = graph_of(seed)
        found = run.execute(files.read(files.write(plan(graph))), values, EVERYTHING, engine=engine)
        assert all(a.dtype == np.float64 for a in found.states.values())
        total += compare(execute(graph, values, EVERYTHING), found, rtol=0.0).differing
    return total


@pytest.mark.parametrize("engine", ["event", "dense"])
def test_every_spike_and_state_equals_the_reference(engine: Engine) -> None:
    assert differing(SEEDS, engine) == 0
    rates = [execute(*graph_of(seed)).spikes for seed in SEEDS]
    assert 0.02 < np.mean([values.mean() for trace in rates for values in trace.values()]) < 0.9


def test_spikes_may_be_replaced() -> None:
    for seed in range(12):
        graph, values = graph_of(seed)
        lead = values.shape[:2]
        forced = {n.name: spikes(np.random.default_rng(seed), n.shape, *lead) for n in graph.neurons}
        truth: Trace = execute(graph, values, EVERYTHING, forced)
        for engine in ENGINES:
            found = run.execute(graph, values, EVERYTHING, forced=forced, engine=engine, threads=2)
            assert compare(truth, found, rtol=0.0).differing == 0


def test_another_order_of_roundings_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fused(neurons.Single):
        """Rounds the sum of product and current once."""

        def step(self, x: Any, _drive: Any = 0) -> Any:
            n = self.values
            exc, inh = (
                n["decay_u"] * self.state[key] + ring.astype(np.float32)
                for key, ring in zip(("u_exc", "u_inh"), x, strict=True)
            )
            wide = n["decay_v"].astype(np.float64) * self.state["v"] + (exc - inh) + n["bias"]
            v = wide.astype(np.float32)
            over = v >= n["threshold"]
            self.state = {"u_exc": exc, "u_inh": inh, "v": np.where(over, n["v_reset"], v)}
            return over.astype(np.int64)

    monkeypatch.setattr(neurons, "Single", Fused)
    assert differing(SEEDS, "dense") > 0
