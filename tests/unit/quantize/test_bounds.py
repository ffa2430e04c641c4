"""Worst cases of registers: no input exceeds them, and for the sum of weights some input reaches them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.ir import Affine, Conv, FixedGraph, Graph, Input, Neuron, Readout
from snnc.quantize.bounds import ranges, registers
from snnc.trace import Probes
from snnc_reference.execute import execute
from unit.quantize import nets

NEURONS: list[dict[str, Any]] = [
    {"decay_v": 0.9},
    {"decay_v": 0.9, "decay_u": 0.8},
    {"decay_v": 0.9, "reset_v": "subtract"},
    {"decay_v": 0.8, "reset_v": "subtract", "reset_delay": 1},
    {"decay_v": 0.9, "reset_v": "none"},
    {"decay_v": 0.7, "reset_v": "value", "v_reset": -3.0, "v_init": 2.0},
    {"decay_v": 0.9, "reset_delay": 1},
    {"decay_v": 1.0},
]


def extremes(shape: tuple[int, ...], weight: np.ndarray) -> np.ndarray:
    """All on, all off, random, and the patterns that drive each row of dense weights as high or low as possible."""
    rng = np.random.default_rng(0)
    steps = 30
    rows = [np.ones(shape), np.zeros(shape)]
    if weight.ndim == 2:
        rows += [(sign * row > 0).astype(float) for row in weight for sign in (1, -1)]
    fixed_rows = [np.broadcast_to(row, (steps, *shape)) for row in rows]
    flips = [np.concatenate([row[:15], 1 - row[15:]]) for row in fixed_rows]
    noise = [rng.random((steps, *shape)) < rate for rate in (0.1, 0.5, 0.9)]
    return np.stack([*fixed_rows, *flips, *noise]).astype(np.int8)


def seen(graph: Graph | FixedGraph, x: np.ndarray, name: str) -> dict[str, tuple[float, float]]:
    states = execute(graph, x, Probes("all", "all")).states
    return {key: (float(states[name, key].min()), float(states[name, key].max())) for key in ("u", "v")}


@pytest.mark.parametrize("options", NEURONS, ids=str)
def test_no_input_exceeds_the_ranges(options: dict[str, Any]) -> None:
    graph = nets.mlp(3, (12, 9), **options)
    weight = np.asarray(graph["fc0"].params()["weight"])
    x = extremes((12,), weight)
    for network in (graph, nets.quantized(graph).graph):
        span = ranges(network)
        for key, (low, high) in seen(network, x, "n0").items():
            assert span["n0", key].low <= low
            assert high <= span["n0", key].high


def test_the_range_of_the_sum_is_reached_and_a_smaller_one_is_not_enough() -> None:
    graph = nets.mlp(3, (12, 9), decay_v=0.9)
    weight = np.asarray(graph["fc0"].params()["weight"])
    span = ranges(graph)
    low, high = seen(graph, extremes((12,), weight), "n0")["u"]
    assert np.isclose(span["n0", "x"].low, low)
    assert np.isclose(span["n0", "x"].high, high)
    assert high > 0.9 * span["n0", "x"].high


def test_current_with_memory_reaches_its_geometric_sum() -> None:
    graph = nets.mlp(3, (12, 9), decay_v=0.9, decay_u=0.5)
    weight = np.asarray(graph["fc0"].params()["weight"])
    high = seen(graph, extremes((12,), weight), "n0")["u"][1]
    assert 0.999 * ranges(graph)["n0", "u"].high < high


def test_grouped_strided_convolution_with_padding_and_pooling() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.4, (4, 1, 3, 3))
    nodes = (
        Input("in", (2, 6, 6)),
        Conv("c", weight, rng.normal(0, 0.1, 4), (1, 1), (1, 1), (1, 1), groups=2),
        Neuron("n", (4, 6, 6), decay_v=0.5),
    )
    graph = nets.chain(*nodes)
    span = ranges(graph)["n", "x"]
    best = [weight[o, 0][weight[o, 0] > 0].sum() + graph["c"].params()["bias"][o] for o in range(4)]  # type: ignore[index]
    assert np.isclose(span.high, max(best))
    low, high = seen(graph, extremes((2, 6, 6), weight), "n")["u"]
    assert span.low <= low
    assert high <= span.high


def test_pooled_spikes_count_as_often_as_they_arrive() -> None:
    graph = nets.whole(0)
    dense = np.asarray(graph["d"].params()["weight"])
    back = np.asarray(graph["r"].params()["weight"])
    want = 4 * np.maximum(dense, 0).sum(axis=1) + np.maximum(back, 0).sum(axis=1)
    assert np.isclose(ranges(graph)["m", "x"].high, want.max())


def test_registers_say_what_is_proven() -> None:
    made = nets.quantized(nets.mlp(), 8).graph
    found = {(r.population, r.quantity): r for r in registers(made)}
    assert set(found) == {(n, q) for n in ("n0", "n1") for q in "xuv"}
    assert all(register.safe for register in found.values())
    assert {register.bits for register in found.values()} == {32}
    endless = nets.quantized(nets.mlp(decay_v=1.0), 8).graph
    v = next(r for r in registers(endless) if (r.population, r.quantity) == ("n0", "v"))
    assert not v.safe
    assert np.isneginf(v.range.low)


def test_direct_input_has_no_bound() -> None:
    nodes = (Input("in", (3,), "direct"), Affine("fc", np.eye(3)), Neuron("n", (3,), decay_v=0.5), Readout("out"))
    assert np.isinf(ranges(nets.chain(*nodes))["n", "x"].high)
