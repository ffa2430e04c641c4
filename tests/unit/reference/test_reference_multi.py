"""Several spikes a step and a lower bound of the membrane: the float step, its passes, and what targets say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.backend import discover
from snnc.errors import TraceError, UnsupportedError
from snnc.ir import Affine, Conventions, Edge, Fixed, FixedGraph, Format, Graph, Input, Neuron, Readout
from snnc.passes import FoldGain, FoldRest
from snnc.target import check
from snnc.trace import Probes
from snnc_reference.execute import execute

DRIVE = np.array([[[2.6], [0.4], [-3.0], [1.5], [-0.2], [7.0], [0.0], [-9.0], [3.0]]])


def net(**fields: Any) -> Graph:
    neuron = Neuron("n", (1,), **{"decay_v": 0.5, "output": "multi", "reset_v": "subtract", **fields})
    nodes = (Input("in", (1,), "direct"), Affine("w", np.ones((1, 1))), neuron, Readout("out"))
    return Graph(nodes, (Edge("in", "w"), Edge("w", "n"), Edge("n", "out")))


def by_hand(*, threshold: float, low: float | None, subtract: bool) -> tuple[list[int], list[float]]:
    v, spikes, membranes = 0.0, [], []
    for x in DRIVE[0, :, 0]:
        v = 0.5 * v + x
        count = int(v / threshold) if v > 0 else 0
        v = v - count * threshold if subtract else (0.0 if count else v)
        v = v if low is None else max(v, low)
        spikes.append(count)
        membranes.append(v)
    return spikes, membranes


@pytest.mark.parametrize("threshold", [1.0, 0.7])
@pytest.mark.parametrize("low", [None, -1.0])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_counts_and_lower_bound_as_computed_by_hand(threshold: float, low: float | None, reset: str) -> None:
    graph = net(threshold=threshold, v_min=low, reset_v=reset)
    trace = execute(graph, DRIVE, Probes(states="all"))
    spikes, membranes = by_hand(threshold=threshold, low=low, subtract=reset == "subtract")
    assert max(spikes) > 1
    assert trace.spikes["n"][0, :, 0].tolist() == spikes
    np.testing.assert_allclose(trace.states["n", "v"][0, :, 0], membranes, rtol=0, atol=1e-12)
    other, _ = by_hand(threshold=threshold, low=-1.0 if low is None else None, subtract=reset == "subtract")
    assert other != spikes, "the drive does not reach the lower bound"


def test_one_spike_a_step_is_another_network() -> None:
    several, one = (execute(net(output=kind), DRIVE).spikes["n"] for kind in ("multi", "binary"))
    assert several.max() > 1
    assert one.max() == 1
    assert not np.array_equal(several, one)


def test_too_many_spikes_are_an_error_and_not_another_number() -> None:
    assert execute(net(), np.full((1, 1, 1), 127.5)).spikes["n"].max() == 127
    with pytest.raises(TraceError, match="128 spikes in one step"):
        execute(net(), np.full((1, 1, 1), 128.5))


def test_several_spikes_fire_at_the_threshold() -> None:
    with pytest.raises(UnsupportedError, match="fires is gt, allowed is ge with multi output"):
        execute(net(fires="gt"), DRIVE)


def test_passes_move_the_lower_bound_with_the_membrane() -> None:
    scaled = net(output="binary", gain=2.0, reset_v="zero", v_min=-1.0)
    rested = net(output="binary", v_rest=-0.5, v_init=-0.5, reset_v="zero", v_min=-0.75)
    for graph, changed in ((scaled, FoldGain(into="threshold")(scaled)), (rested, FoldRest()(rested))):
        assert float(np.asarray(changed.neurons[0].v_min)) != float(np.asarray(graph.neurons[0].v_min))
        before = execute(graph, DRIVE).spikes["n"]
        assert np.array_equal(execute(changed, DRIVE).spikes["n"], before)
        lost = changed.replace_node(replace(changed.neurons[0], v_min=graph.neurons[0].v_min))
        free = changed.replace_node(replace(changed.neurons[0], v_min=None))
        assert any(not np.array_equal(execute(wrong, DRIVE).spikes["n"], before) for wrong in (lost, free))


@pytest.mark.parametrize("name", ["generic", "loihi1", "loihi2", "spinnaker1"])
def test_targets_refuse_both_and_say_what_to_do(name: str) -> None:
    _, target = discover().target(name)
    found = {v.quantity: v for v in check(net(v_min=-1.0, reset_v="zero"), target)}
    assert "SingleSpike" in found["output"].fix
    assert found["v_min"].found == "-1"
    assert "min_v_mem=None" in found["v_min"].fix


@pytest.mark.parametrize("bound", [None, 0])
def test_integers_have_no_lower_bound(bound: int | None) -> None:
    flat = {key: Fixed(np.array(1), Format(8, 0)) for key in Neuron.PARAMS if key not in ("v_min", "v_rest")}
    low = None if bound is None else Fixed(np.array(bound), Format(8, 0))
    node = Neuron("n", (1,), **flat, v_rest=Fixed(np.array(0), Format(8, 0)), v_min=low)
    weight = Affine("w", Fixed(np.ones((1, 1), np.int64), Format(8, 0)))
    edges = (Edge("in", "w"), Edge("w", "n"))
    graph = FixedGraph((Input("in", (1,)), weight, node), edges, "test", Conventions(), {"in": 0, "n": 0})
    spikes = np.ones((1, 3, 1), np.int8)
    if bound is None:
        assert execute(graph, spikes).spikes["n"].any()
    else:
        with pytest.raises(UnsupportedError, match="v_min is given, allowed is none in integers"):
            execute(graph, spikes)
