"""What quantizers share: calibration data, options, the result with its notes, and retiming to a hop delay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import UnsupportedError, Violation
from snnc.ir import POPULATIONS, Edge, Fixed, FixedGraph, FloatArray, Graph, Input, Readout
from snnc.trace import Trace


@dataclass(frozen=True, eq=False)
class Calibration:
    """Samples and what the float network did on them.

    Attributes:
        samples: input [B, T, *shape].
        trace: float run of exactly the graph that is quantized, with spikes and states of every population.
    """

    samples: npt.NDArray[Any]
    trace: Trace


@dataclass(frozen=True)
class QuantizeOptions:
    """What a user may choose.

    Attributes:
        weight_bits: 2 to 16; None takes the target's largest (8 on the generic target).
        per_channel: one gain per output channel instead of one per layer, where the target allows it.
        grows: projection and the largest magnitude that its weights may reach by learning. SpiNNaker's weights share
            sums and words with others; in the shift family the largest weight that such a projection is given becomes
            the largest that is stored, so that none is clipped and none of the range is left over.
    """

    weight_bits: int | None = None
    per_channel: bool = False
    grows: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Note:
    """What happened to one quantity of one node on its way to integers. Nothing is silent.

    Attributes:
        node, quantity: where.
        format: the format it went to.
        count: numbers in it.
        clipped, zeroed, rounded: flat indices of the values that were clipped, that were not zero and became zero,
            and that moved by more than half a step for any other reason.
        worst: largest absolute error in the quantity's own unit.
        worst_index: flat index of it.
        given, got: float value and value after quantization for every index named in clipped, zeroed or rounded.
    """

    node: str
    quantity: str
    format: str
    count: int
    clipped: tuple[int, ...]
    zeroed: tuple[int, ...]
    rounded: tuple[int, ...]
    worst: float
    worst_index: int
    given: Mapping[int, float] = field(default_factory=dict)
    got: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Quantized:
    """A fixed graph and how to read it.

    Attributes:
        graph: the integers.
        scales: population -> raw state units per 1.0 of the float network, broadcastable to the population's shape.
        notes: one per node and quantity.
        units: projection -> (float weight of one integer step, the target's physical unit per 1.0 of weight), where the
            scales of populations do not say it.
    """

    graph: FixedGraph
    scales: Mapping[str, FloatArray]
    notes: tuple[Note, ...]
    units: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", MappingProxyType(dict(self.scales)))
        object.__setattr__(self, "units", MappingProxyType(dict(self.units)))


def note(node: str, quantity: str, given: npt.ArrayLike, fixed: Fixed, scale: npt.ArrayLike) -> Note:
    """Compares float values with the integers made of them.

    Args:
        node: name of the node.
        quantity: name of the parameter.
        given: the float values.
        fixed: the integers.
        scale: ``fixed.to_float() / scale`` is meant to be ``given``; broadcastable.
    """
    want = np.asarray(given, dtype=np.float64)
    factor = np.broadcast_to(np.asarray(scale, dtype=np.float64), want.shape)
    got = np.broadcast_to(fixed.to_float(), want.shape) / factor
    step = fixed.format.step / np.abs(factor)
    error = np.abs(got - want)
    raw = np.broadcast_to(fixed.raw, want.shape)
    at_edge = (raw == fixed.format.minimum) | (raw == fixed.format.maximum)
    beyond = error > step * 0.5 * (1 + 1e-9)
    clipped = beyond & at_edge
    zeroed = (raw == 0) & (want != 0)
    rounded = beyond & ~clipped & ~zeroed
    named = np.flatnonzero(clipped | zeroed | rounded)
    worst = int(np.argmax(error)) if error.size else 0
    return Note(
        node, quantity, str(fixed.format), int(want.size),
        tuple(int(i) for i in np.flatnonzero(clipped)),
        tuple(int(i) for i in np.flatnonzero(zeroed)),
        tuple(int(i) for i in np.flatnonzero(rounded)),
        float(error.flat[worst]) if error.size else 0.0, worst,
        {int(i): float(want.flat[i]) for i in named},
        {int(i): float(got.flat[i]) for i in named},
    )  # fmt: skip


def retime(graph: Graph, hop_delay: int) -> tuple[tuple[Edge, ...], dict[str, int]]:
    """Spreads a zero-delay network over device steps; exact, because only time is skewed.

    Every node gets a depth such that each edge's device delay ``delay + depth[target] - depth[source]`` is at least
    ``hop_delay`` when it leaves a population (readouts excepted) and at least 0 otherwise. Device step
    ``t + depth[n]`` of node n is step t of the float network.

    Returns:
        The edges with device delays, and the depth of every population.

    Raises:
        UnsupportedError: a cycle has fewer delay steps than hops.
    """

    def hop(edge: Edge) -> int:
        leaves = isinstance(graph[edge.source], POPULATIONS)
        return hop_delay if leaves and not isinstance(graph[edge.target], Readout) else 0

    depth = {node.name: 0 for node in graph.nodes}
    for _ in range(len(graph.nodes) + 1):
        moved = None
        for edge in graph.edges:
            need = depth[edge.source] + hop(edge) - edge.delay
            if depth[edge.target] < need:
                depth[edge.target] = need
                moved = edge
        if moved is None:
            break
    else:
        fix = "Give each recurrent connection a delay of one step per hop."
        allowed = f"at least {hop_delay} step per hop"
        where = moved.target if moved else "graph"
        raise UnsupportedError(
            str(Violation(where, "recurrent delay", "fewer steps than hops in a cycle", allowed, fix))
        )
    for name in reversed(graph.order):
        if not isinstance(graph[name], POPULATIONS) and graph.outgoing(name):
            depth[name] = min(depth[e.target] + e.delay for e in graph.outgoing(name))
    for node in graph.nodes:
        if isinstance(node, Input) and node.encoding == "constant":
            depth[node.name] = min(depth[e.target] + e.delay - hop(e) for e in graph.outgoing(node.name))
    edges = tuple(Edge(e.source, e.target, e.delay + depth[e.target] - depth[e.source]) for e in graph.edges)
    return edges, {n.name: depth[n.name] for n in graph.nodes if isinstance(n, POPULATIONS)}
