"""Metrics against brute force."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from snnc import metrics
from snnc.errors import TraceError, UnsupportedError
from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Edge,
    Fixed,
    Flatten,
    Format,
    Graph,
    Identity,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
)
from snnc.trace import Trace
from snnc_reference.execute import execute


def chain(*nodes: Node) -> Graph:
    return Graph(nodes, tuple(Edge(a.name, b.name) for a, b in pairwise(nodes)))


def random_spikes(*shape: int, seed: int = 0, rate: float = 0.3) -> Any:
    return (np.random.default_rng(seed).random(shape) < rate).astype(np.int8)


def test_ties_go_to_the_lowest_class() -> None:
    counts = np.array([[3, 5, 5], [2, 2, 2], [0, 0, 1]])
    assert metrics.predictions(counts).tolist() == [1, 0, 2]
    assert metrics.accuracy(counts, [1, 0, 2]) == 1.0
    assert metrics.accuracy(counts, [2, 0, 2]) == pytest.approx(2 / 3)
    assert metrics.predictions(counts.reshape(3, 3, 1)).tolist() == [1, 0, 2]
    with pytest.raises(TraceError, match="labels"):
        metrics.accuracy(counts, [1, 0])


def test_mismatch_rates_and_first_spikes() -> None:
    left = random_spikes(3, 20, 4)
    left[:, :, 2] = 0
    right = left.copy()
    right[0, 0, 0] ^= 1
    assert metrics.mismatch(left, right) == 1 / left.size
    with pytest.raises(TraceError):
        metrics.mismatch(left, right[:, :-1])
    assert metrics.firing_rates(left)[1] == left[:, :, 1].sum() / 60
    assert metrics.firing_rates(left, 1e-3)[1] == pytest.approx(1000 * left[:, :, 1].sum() / 60)
    first = metrics.first_spike_times(left)
    for b, n in product(range(3), range(4)):
        times = np.flatnonzero(left[b, :, n])
        assert first[b, n] == (times[0] if times.size else metrics.SILENT)


@pytest.mark.parametrize("tau", [0.7, 3.0, 50.0])
def test_van_rossum_is_the_integral(tau: float) -> None:
    left, right = random_spikes(2, 12, 3, seed=1), random_spikes(2, 12, 3, seed=2)
    got = metrics.van_rossum(left, right, tau)
    fine = np.arange(0, 12 + 30 * tau, 0.002) + 0.001
    for b, n in product(range(2), range(3)):
        wave = np.zeros_like(fine)
        for t in range(12):
            sign = int(left[b, t, n]) - int(right[b, t, n])
            wave += sign * np.where(fine >= t, np.exp(-(fine - t).clip(0) / tau), 0)
        assert got[b, n] == pytest.approx(np.sqrt(np.sum(wave**2) * 0.002 / tau), abs=2e-3)
    one = np.zeros((1, 5, 1), np.int8)
    one[0, 2] = 1
    assert metrics.van_rossum(one, np.zeros_like(one), tau)[0, 0] == pytest.approx(np.sqrt(0.5))
    assert metrics.van_rossum(left, left, tau).max() == 0
    with pytest.raises(TraceError, match="tau"):
        metrics.van_rossum(left, right, 0)


def brute_victor(a: tuple[float, ...], b: tuple[float, ...], cost: float) -> float:
    if not a or not b:
        return float(len(a) + len(b))
    return min(
        brute_victor(a[1:], b, cost) + 1,
        brute_victor(a, b[1:], cost) + 1,
        brute_victor(a[1:], b[1:], cost) + cost * abs(a[0] - b[0]),
    )


@pytest.mark.parametrize("cost", [0.0, 0.1, 0.6, 5.0])
def test_victor_purpura_is_the_cheapest_edit(cost: float) -> None:
    rng = np.random.default_rng(4)
    for sizes in [(0, 0), (0, 3), (4, 0), (3, 5), (5, 4)]:
        a, b = (tuple(np.sort(rng.integers(0, 20, n)).tolist()) for n in sizes)
        assert metrics.victor_purpura(a, b, cost) == pytest.approx(brute_victor(a, b, cost))
    assert metrics.victor_purpura([3], [5], 0.5) == 1.0
    assert metrics.victor_purpura([3], [50], 0.5) == 2.0


def brute_fan_out(graph: Graph, source: str, shape: tuple[int, ...], target: str) -> Any:
    """Unit spikes through the linear part with all weights 1 where they are not 0: what arrives are ways."""
    found = np.zeros(shape, dtype=np.int64)
    for index in np.ndindex(*shape):
        spikes = np.zeros((1, 1, *shape), dtype=np.int8)
        spikes[(0, 0, *index)] = 1
        ones = [
            type(n)(**{**vars_of(n), "weight": (np.asarray(n.weight) != 0).astype(float)})
            if isinstance(n, (Affine, Conv))
            else n
            for n in graph.nodes
        ]
        from snnc.trace import Probes

        trace = execute(graph.with_nodes(ones), spikes, Probes(states="all"))
        found[index] = round(float(trace.states[target, "u"].sum()))
    return found


def vars_of(node: Any) -> dict[str, Any]:
    from dataclasses import fields

    return {f.name: getattr(node, f.name) for f in fields(node)}


def test_fan_out_of_convolution_pooling_and_dense_is_the_number_of_ways() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 1, 3, 2))
    kernel[0, 0, 1, 1] = 0
    conv = Conv("c", weight=kernel, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    hidden = (4, 3, 4)
    dense = rng.normal(size=(3, 4 * 1 * 2))
    dense[1] = 0
    nodes = (Input("in", shape=(2, 6, 6)), conv, Neuron("l1", shape=hidden))
    tail = (
        Pool("p", kernel=(2, 2), stride=(2, 2)), Flatten("f"), Affine("w", weight=dense), Neuron("l2", shape=(3,)),
        Readout("r"),
    )  # fmt: skip
    graph = chain(*nodes, *tail)
    fan = metrics.fan_out(graph)
    assert set(fan) == {"in", "l1", "l2"}
    assert np.array_equal(fan["in"], brute_fan_out(chain(*nodes), "in", (2, 6, 6), "l1"))
    alone = chain(Input("l1", shape=hidden), *tail[:-1])
    assert np.array_equal(fan["l1"], brute_fan_out(alone, "l1", hidden, "l2"))
    assert fan["l1"][0, 2, 0] == 0, "the pool's last row is cut off"
    assert not fan["l2"].any(), "a readout has no synapses"

    spikes = random_spikes(3, 7, 2, 6, 6)
    trace = execute(graph, spikes)
    assert metrics.synops(trace, graph)["in"] == int((spikes.sum(axis=(0, 1)) * fan["in"]).sum())


def test_fan_out_through_recurrence_residual_and_concat() -> None:
    w = np.ones((4, 4))
    nodes = (
        Input("in", shape=(4,)), Affine("w", weight=w), Add("a"), Identity("i"), Neuron("l", shape=(4,)),
        Affine("rec", weight=np.eye(4)), Concat("c"), Affine("o", weight=np.triu(np.ones((8, 8)))),
        Neuron("out", shape=(8,)), Readout("r"),
    )  # fmt: skip
    edges = (
        Edge("in", "w"), Edge("w", "a"), Edge("in", "a"), Edge("a", "i"), Edge("i", "l"), Edge("l", "rec", 1),
        Edge("rec", "l"), Edge("in", "c"), Edge("l", "c"), Edge("c", "o"), Edge("o", "out"), Edge("out", "r"),
    )  # fmt: skip
    fan = metrics.fan_out(Graph(nodes, edges))
    assert fan["in"].tolist() == [4 + 1 + 1, 4 + 1 + 2, 4 + 1 + 3, 4 + 1 + 4]
    assert fan["l"].tolist() == [1 + 5, 1 + 6, 1 + 7, 1 + 8]


def test_fan_out_of_integers_and_of_a_cycle_without_neuron() -> None:
    weight = Fixed(np.array([[0, 3], [0, -1]]), Format(8))
    graph = chain(Input("in", shape=(2,)), Affine("w", weight=np.eye(2)), Neuron("l", shape=(2,)))
    object.__setattr__(graph["w"], "weight", weight)
    assert metrics.fan_out(graph)["in"].tolist() == [0, 2]
    nodes = (Input("in", shape=(2,)), Add("a"), Identity("i"), Neuron("l", shape=(2,)))
    edges = (Edge("in", "a"), Edge("i", "a", 1), Edge("a", "i"), Edge("i", "l"))
    with pytest.raises(UnsupportedError, match="cycle"):
        metrics.fan_out(Graph(nodes, edges))


def test_synops_leave_out_what_was_not_recorded() -> None:
    graph = chain(Input("in", shape=(2,)), Affine("w", weight=np.eye(2)), Neuron("l", shape=(2,)))
    assert metrics.synops(Trace("x", "float", {"l": np.ones((1, 1, 2), np.int8)}), graph) == {"l": 0}
