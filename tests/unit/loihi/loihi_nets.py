"""Hand-made integer networks for target loihi1, and the comparison of traces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Format,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
)
from snnc.trace import Probes, Trace
from snnc_loihi.target import CONVENTIONS

EVERYTHING = Probes("all", "all")
DECAY = Format(13, 12, signed=False)


@dataclass(frozen=True, eq=False)
class Net:
    graph: FixedGraph
    spikes: npt.NDArray[np.int8]


def fixed(raw: Any, fmt: Format) -> Fixed:
    return Fixed(np.asarray(raw), fmt)


def neuron(name: str, shape: Any, *, u: int = 0, v: int = 4096, vth: int = 300, **fields: Any) -> Neuron:
    """A neuron that keeps u/4096 and v/4096 per step."""
    size = (shape,) if isinstance(shape, int) else shape
    one = Format(2, 0)
    base: dict[str, Any] = {
        "decay_u": fixed(u, DECAY),
        "decay_v": fixed(v, DECAY),
        "gain_u": fixed(1, one),
        "gain": fixed(1, one),
        "bias": fixed(0, Format(13, 0)),
        "threshold": fixed(vth, Format(17, -6, signed=False)),
        "v_rest": fixed(0, one),
        "v_reset": fixed(0, one),
        "v_init": fixed(0, one),
        "fires": "gt",
    }
    return Neuron(name, size, **{**base, **fields})


def bias(raw: Any, exponent: int) -> Fixed:
    return fixed(raw, Format(13, -exponent))


def mixed(rng: np.random.Generator, *shape: int, bits: int = 8, exponent: int = 0, low: float = 1.0) -> Fixed:
    half = 1 << (bits - 1)
    return fixed(rng.integers(int(-half * low), half, shape), Format(bits, -(6 + 9 - bits + exponent)))


def positive(rng: np.random.Generator, *shape: int, bits: int = 8, exponent: int = 0) -> Fixed:
    return fixed(rng.integers(0, 1 << bits, shape), Format(bits, -(6 + 8 - bits + exponent), signed=False))


def conv(name: str, weight: Fixed, stride: Any, padding: Any, dilation: Any, groups: int = 1) -> Conv:
    return Conv(name, weight, None, stride, padding, dilation, groups)


def graph(nodes: tuple[Node, ...], edges: tuple[Edge, ...], latency: dict[str, int]) -> FixedGraph:
    return FixedGraph(nodes, edges, "loihi1", CONVENTIONS, latency)


def rain(rng: np.random.Generator, rate: float, *shape: int) -> npt.NDArray[np.int8]:
    return (rng.random(shape) < rate).astype(np.int8)


def dense() -> Net:
    rng = np.random.default_rng(1)
    nodes = (
        Input("in", (12,)), Affine("f1", mixed(rng, 16, 12)), neuron("a", 16, u=1000, v=3900),
        Affine("f2", mixed(rng, 5, 16, bits=5, exponent=1)), neuron("b", 5, v=3000, vth=150), Readout("out"),
    )  # fmt: skip
    edges = (Edge("in", "f1", 1), Edge("f1", "a"), Edge("a", "f2", 1), Edge("f2", "b"), Edge("b", "out"))
    return Net(graph(nodes, edges, {"in": 0, "a": 1, "b": 2}), rain(rng, 0.35, 4, 11, 12))


def short() -> Net:
    """Samples that are shorter than the network is deep."""
    net = dense()
    return Net(net.graph, net.spikes.reshape(-1, 1, 12)[:12])


def convolutional() -> Net:
    """Lava Conv twice (padded, dilated, not square; strided and grouped), then a matrix."""
    rng = np.random.default_rng(2)
    nodes = (
        Input("in", (2, 7, 6)), conv("c1", mixed(rng, 4, 2, 3, 2, exponent=1), (1, 1), (2, 1), (2, 1)),
        neuron("a", (4, 7, 7), u=500, v=3500, vth=900),
        conv("c2", mixed(rng, 6, 2, 3, 3, bits=6), (2, 3), (1, 0), (1, 1), 2), neuron("b", (6, 4, 2), v=3800),
        Flatten("flat"), Affine("f", positive(rng, 5, 48)), neuron("c", 5, vth=900),
    )  # fmt: skip
    edges = (
        Edge("in", "c1", 1), Edge("c1", "a"), Edge("a", "c2", 1), Edge("c2", "b"), Edge("b", "flat", 1),
        Edge("flat", "f"), Edge("f", "c"),
    )  # fmt: skip
    return Net(graph(nodes, edges, {"in": 0, "a": 1, "b": 2, "c": 3}), rain(rng, 0.25, 3, 9, 2, 7, 6))


def pooled() -> Net:
    """One spatial axis: Lava Conv, sum pooling of spikes into a matrix, two ways joined by Concat."""
    rng = np.random.default_rng(3)
    nodes = (
        Input("in", (3, 13)), conv("c1", mixed(rng, 4, 3, 3), (2,), (1,), (1,)), neuron("a", (4, 7), v=3900),
        Pool("pool", "sum", (2,), (2,), (0,)), Flatten("flat"), Flatten("raw"), Concat("join"),
        Affine("f", mixed(rng, 5, 12 + 39, bits=4)), neuron("b", 5, u=2000, v=3900),
    )  # fmt: skip
    edges = (
        Edge("in", "c1", 1), Edge("c1", "a"), Edge("a", "pool", 1), Edge("pool", "flat"), Edge("flat", "join"),
        Edge("in", "raw", 2), Edge("raw", "join"), Edge("join", "f"), Edge("f", "b"),
    )  # fmt: skip
    return Net(graph(nodes, edges, {"in": 0, "a": 1, "b": 2}), rain(rng, 0.3, 3, 9, 3, 13))


def recurrent(strength: float = 1.0, vth: int = 300) -> Net:
    rng = np.random.default_rng(4)
    nodes = (
        Input("in", (8,)), Affine("f", mixed(rng, 10, 8)), Affine("rec", mixed(rng, 10, 10, low=strength)),
        neuron("a", 10, u=1500, v=3700, vth=vth), Affine("g", mixed(rng, 3, 10)), neuron("b", 3),
    )  # fmt: skip
    edges = (
        Edge("in", "f", 1), Edge("f", "a"), Edge("a", "rec", 1), Edge("rec", "a"), Edge("a", "g", 1), Edge("g", "b"),
    )  # fmt: skip
    return Net(graph(nodes, edges, {"in": 0, "a": 1, "b": 2}), rain(rng, 0.3, 4, 10, 8))


def self_sustaining() -> Net:
    """A loop of excitation that never ends: each sample sends spikes into the next."""
    return recurrent(strength=0.0, vth=200)


def biased() -> Net:
    """Native biases with exponents; a bias through a constant source, one layer later; free-running before t = 0."""
    rng = np.random.default_rng(5)
    nodes = (
        Input("in", (6,)), Affine("f", mixed(rng, 7, 6)),
        neuron("a", 7, v=3900, bias=bias(rng.integers(-900, 4096, 7), 4)),
        Input("one", (1,), "constant"), Affine("carried", mixed(rng, 7, 1)), Affine("g", mixed(rng, 7, 7)),
        neuron("b", 7, u=3000, v=3900, bias=bias(4095, 3)), Affine("rec", mixed(rng, 7, 7)),
    )  # fmt: skip
    edges = (
        Edge("in", "f", 1), Edge("f", "a"), Edge("a", "g", 1), Edge("g", "b"), Edge("one", "carried", 1),
        Edge("carried", "b"), Edge("b", "rec", 1), Edge("rec", "b"),
    )  # fmt: skip
    return Net(graph(nodes, edges, {"in": 0, "a": 1, "b": 2, "one": 1}), rain(rng, 0.3, 3, 9, 6))


def skipped() -> Net:
    """A skip of two device steps from neurons (DelayDense), one from the input, and a delayed skip (two lags)."""
    rng = np.random.default_rng(6)
    nodes = (
        Input("in", (8,)), Affine("f1", mixed(rng, 9, 8)), neuron("a", 9, v=3900), Affine("f2", mixed(rng, 9, 9)),
        neuron("b", 9, v=3900), Add("sum"), Affine("f3", mixed(rng, 4, 9)), Affine("s", mixed(rng, 4, 8)),
        Affine("late", mixed(rng, 4, 9, bits=6, exponent=1)), neuron("c", 4, u=900, v=3900),
    )  # fmt: skip
    edges = (
        Edge("in", "f1", 1), Edge("f1", "a"), Edge("a", "f2", 1), Edge("f2", "b"), Edge("a", "sum", 2),
        Edge("b", "sum", 1), Edge("sum", "f3"), Edge("f3", "c"), Edge("in", "s", 3), Edge("s", "c"),
        Edge("a", "late", 4), Edge("late", "c"),
    )  # fmt: skip
    return Net(graph(nodes, edges, {"in": 0, "a": 1, "b": 2, "c": 3}), rain(rng, 0.3, 4, 9, 8))


def overflowing() -> Net:
    """Sums beyond 32 bits, u beyond 24 bits by more than one turn, v at its ceiling and its floor."""
    rng = np.random.default_rng(7)
    big = np.where(rng.random((12, 1200)) < 0.5 + 0.5 * (np.arange(12)[:, np.newaxis] < 4), 127, -128)
    big[4:8, 6:] = 0
    nodes = (
        Input("in", (1200,)), Affine("f", fixed(big, Format(8, -(6 + 1 + 7)))),
        neuron("a", 12, u=3000, v=4000, vth=131071, bias=bias(np.linspace(-4095, 4095, 12).astype(int), 7)),
    )  # fmt: skip
    edges = (Edge("in", "f", 1), Edge("f", "a"))
    spikes = rain(rng, 0.5, 3, 12, 1200)
    spikes[1, 2:9] = 1
    return Net(graph(nodes, edges, {"in": 0, "a": 1}), spikes)


def differing(left: Trace, right: Trace) -> int:
    """Spikes and states that differ; the traces record the same."""
    assert set(left.spikes) == set(right.spikes)
    assert set(left.states) == set(right.states)
    for key, array in (*left.spikes.items(), *left.states.items()):
        other = right.spikes[key] if isinstance(key, str) else right.states[key]
        assert array.shape == other.shape
        assert array.dtype == other.dtype
    spikes = sum(int(np.sum(left.spikes[key] != right.spikes[key])) for key in left.spikes)
    return spikes + sum(int(np.sum(left.states[key] != right.states[key])) for key in left.states)


def with_node(net: Net, name: str, **fields: Any) -> Net:
    return Net(net.graph.replace_node(replace(net.graph[name], **fields)), net.spikes)
