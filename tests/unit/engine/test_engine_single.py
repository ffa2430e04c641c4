"""Float32 membranes (SpiNNaker2) in the engine's NumPy path: the reference's numbers, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.compare import compare
from snnc.engine import files, neurons, run
from snnc.engine.planner import plan
from snnc.errors import UnsupportedError
from snnc.ir import FixedGraph
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from unit.formats.onnx_nets import SINGLE, random_network, spikes

EVERYTHING = Probes(states="all")
SEEDS = range(80)


def graph_of(seed: int) -> tuple[FixedGraph, Any]:
    network, values = random_network(seed, SINGLE)
    assert isinstance(network, FixedGraph)
    return network, values


def differing(seeds: range) -> int:
    total = 0
    for seed in seeds:
        graph, values = graph_of(seed)
        found = run.execute(files.read(files.write(plan(graph))), values, EVERYTHING)
        total += compare(execute(graph, values, EVERYTHING), found, rtol=0.0).differing
    return total


def test_every_spike_and_state_equals_the_reference() -> None:
    assert differing(SEEDS) == 0
    rates = [execute(*graph_of(seed)).spikes for seed in SEEDS]
    assert 0.02 < np.mean([values.mean() for trace in rates for values in trace.values()]) < 0.9


def test_spikes_may_be_replaced() -> None:
    for seed in range(12):
        graph, values = graph_of(seed)
        lead = values.shape[:2]
        forced = {n.name: spikes(np.random.default_rng(seed), n.shape, *lead) for n in graph.neurons}
        truth: Trace = execute(graph, values, EVERYTHING, forced)
        assert compare(truth, run.execute(graph, values, EVERYTHING, forced=forced), rtol=0.0).differing == 0


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
    assert differing(SEEDS) > 0


def test_the_kernels_say_that_they_hold_no_floats() -> None:
    graph, values = graph_of(0)
    with pytest.raises(UnsupportedError, match="not float32"):
        run.execute(graph, values, engine="event")
