"""What is not a sum of linear maps: cut out of a graph as a chain of nodes, and evaluated node by node.

A signal is [steps, B, *shape] int64, or [steps, 2, B, *shape] behind the weights of a split synapse: excitatory and
inhibitory magnitudes. Before device step 0 every signal is zero, also behind a bias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from snnc.engine.operators import convolution
from snnc.engine.plan import Chain, Dense, Population
from snnc.engine.products import Prepared, largest
from snnc.ir import (
    POPULATIONS,
    Affine,
    Concat,
    Conv,
    Conventions,
    Delay,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    IntArray,
    Node,
    Pool,
)
from snnc.ir.fixed import shift_right
from snnc.ir.shapes import output_shape

Sent = Callable[[str, int, int], IntArray]
"""(population, first step, last step + 1) -> what it sent, [steps, B, *shape] in row-major order."""
ENDLESS = 1 << 40


def cut(graph: FixedGraph, target: str, edges: Sequence[Edge], *, drive: bool) -> Chain:
    """The chain that feeds a population through these of its incoming edges."""
    names: set[str] = set()
    waiting = [edge.source for edge in edges]
    while waiting:
        name = waiting.pop()
        if name not in names and not isinstance(graph[name], POPULATIONS):
            names.add(name)
            waiting += [edge.source for edge in graph.incoming(name)]
    nodes = tuple(graph[name] for name in graph.order if name in names)
    inner = [(e.source, e.target, e.delay) for e in graph.edges if e.target in names]
    closing = [(e.source, target, e.delay) for e in edges]
    split = graph.conventions.synapse == "split"
    return Chain(nodes, (*inner, *closing), drive, 2 if split and not drive else 1)


def circular(chain: Chain) -> bool:
    """True if a node of the chain waits for itself through a delay."""
    place = {node.name: i for i, node in enumerate(chain.nodes)}
    return any(s in place and t in place and place[s] >= place[t] for s, t, _ in chain.edges)


def delays(chain: Chain, target: str) -> dict[str, tuple[int, int]]:
    """Source -> fewest and most device steps until what it sends reaches the target."""
    cycle = circular(chain)
    own = {node.name: node.steps if isinstance(node, Delay) else 0 for node in chain.nodes}
    reach: dict[str, tuple[int, int]] = {}
    found: dict[str, tuple[int, int]] = {}
    for _ in range(len(chain.nodes) + 1):
        for source, to, delay in chain.edges:
            if to != target and to not in reach:
                continue
            low, high = (n + delay for n in (reach[to] if to != target else (0, 0)))
            where, extra = (reach, own[source]) if source in own else (found, 0)
            a, b = where.get(source, (low + extra, high + extra))
            where[source] = (min(a, low + extra), ENDLESS if cycle else max(b, high + extra))
    return found


class ChainRun:
    """A chain over the steps of one run."""

    def __init__(
        self, chain: Chain, target: Population, populations: Sequence[Population], c: Conventions, batch: int, end: int
    ) -> None:  # fmt: skip
        self.chain, self.target, self.c, self.batch = chain, target, c, batch
        self.shapes = _shapes(chain, populations)
        self.into = {node.name: [e for e in chain.edges if e[1] == node.name] for node in chain.nodes}
        self.inside = set(self.into)
        closing = {node.name for node in chain.nodes}
        self.last = [e for e in chain.edges if e[1] not in closing]
        self.circular = circular(chain)
        self.split = self._levels() if c.synapse == "split" else set()
        self.prepared = {n.name: _prepared(n, self.shapes, self.into, c) for n in chain.nodes if _weighted(n)}
        self.values = {
            node.name: np.zeros((end, *self._lead(node.name), *self.shapes[node.name]), dtype=np.int64)
            for node in chain.nodes
        }

    def fill(self, first: int, end: int, sent: Sent) -> IntArray:
        """Values for the target on device steps ``first`` to ``end - 1``; all before must have been filled.

        Returns:
            [steps, B, neurons] in engine order of the target, or [steps, 2, B, neurons].
        """
        steps = [(k, k + 1) for k in range(first, end)] if self.circular else [(first, end)]
        for low, high in steps:
            for node in self.chain.nodes:
                self.values[node.name][low:high] = self._value(node, low, high, sent)
        total = self._sum(self.last, first, end, sent)
        flat = total.reshape(*total.shape[: total.ndim - len(self.target.shape)], -1)
        return flat if self.target.order is None else flat[..., self.target.order]

    def _lead(self, name: str) -> tuple[int, ...]:
        return (2, self.batch) if name in self.split else (self.batch,)

    def _levels(self) -> set[str]:
        """Nodes behind weights, whose signals have two parts."""
        found: set[str] = set()
        for _ in self.chain.nodes:
            for node in self.chain.nodes:
                if _weighted(node) or any(source in found for source, _, _ in self.into[node.name]):
                    found.add(node.name)
        return found

    def _signal(self, edge: tuple[str, str, int], first: int, end: int, sent: Sent) -> IntArray:
        source, _, delay = edge
        low, high = first - delay, end - delay
        ready = max(low, 0)
        if source in self.inside:
            found = self.values[source][ready : max(high, 0)]
        else:
            found = sent(source, ready, max(high, ready))
        if low >= 0:
            return found
        missing = np.zeros((min(-low, end - first), *found.shape[1:]), dtype=np.int64)
        return np.concatenate([missing, found])

    def _sum(self, edges: Sequence[tuple[str, str, int]], first: int, end: int, sent: Sent) -> IntArray:
        parts = [self._signal(edge, first, end, sent) for edge in edges]
        return np.asarray(sum(parts[1:], parts[0]))

    def _value(self, node: Node, first: int, end: int, sent: Sent) -> IntArray:
        edges = self.into[node.name]
        if isinstance(node, Concat):
            parts = [self._signal(edge, first, end, sent) for edge in edges]
            return np.concatenate(parts, axis=node.axis - len(self.shapes[node.name]))
        if isinstance(node, Delay):
            edges = [(source, to, delay + node.steps) for source, to, delay in edges]
        x = self._sum(edges, first, end, sent)
        rank = len(self._given(node))
        lead = x.shape[: x.ndim - rank]
        if isinstance(node, Pool):
            return pooled(x.reshape(-1, *x.shape[x.ndim - rank :]), node).reshape(*lead, *self.shapes[node.name])
        if isinstance(node, (Affine, Conv)):
            return self._weighted(node, x.reshape(int(np.prod(lead)), -1), lead)
        return x.reshape(*lead, -1) if isinstance(node, Flatten) else x

    def _given(self, node: Node) -> tuple[int, ...]:
        return self.shapes[self.into[node.name][0][0]]

    def _weighted(self, node: Affine | Conv, x: IntArray, lead: tuple[int, ...]) -> IntArray:
        made = self.shapes[node.name]
        parts = [_row_major(p(x, largest(x)), made).reshape(*lead, *made) for p in self.prepared[node.name]]
        if self.c.synapse == "split":
            return np.stack(parts, axis=1)
        y, unit = parts[0], self.c.state_frac
        assert isinstance(node.weight, Fixed)
        if node.host is not None:
            return hosted(node, y, unit)
        up = unit - node.weight.format.frac
        y = y << up if up >= 0 else y >> -up
        if isinstance(node.bias, Fixed):
            y = y + node.bias.aligned(unit).reshape(-1, *(1,) * (len(made) - 1))
        return y


def hosted(node: Affine | Conv, sums: IntArray, unit: int) -> IntArray:
    """What the host makes of sums of raw weights, [..., *shape]: with the bias, in its format, in state units."""
    weight, host = node.weight, node.host
    assert isinstance(weight, Fixed)
    assert isinstance(host, Fixed)
    if isinstance(node.bias, Fixed):
        rank = 1 if isinstance(node, Affine) else weight.raw.ndim - 1
        sums = sums + node.bias.aligned(weight.format.frac).reshape(-1, *(1,) * (rank - 1))
    cut_off = weight.format.frac - host.format.frac
    raw = sums << -cut_off if cut_off < 0 else shift_right(sums, cut_off, "nearest_even")
    return np.asarray(np.clip(raw, host.format.minimum, host.format.maximum) << (unit - host.format.frac))


def pooled(x: IntArray, node: Pool) -> IntArray:
    """Sum or maximum over windows of [rows, channels, *space]; the zeros around it take part in both."""
    wide = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in node.padding)))
    out = [(n - k) // s + 1 for n, k, s in zip(wide.shape[2:], node.kernel, node.stride, strict=True)]
    everything: tuple[slice, ...] = (slice(None), slice(None))
    found: IntArray | None = None
    for corner in product(*(range(k) for k in node.kernel)):
        ends = [c + s * (n - 1) + 1 for c, s, n in zip(corner, node.stride, out, strict=True)]
        window = tuple(slice(c, e, s) for c, e, s in zip(corner, ends, node.stride, strict=True))
        part = wide[everything + window]
        if found is None:
            found = part.copy()
        elif node.pooling == "max":
            np.maximum(found, part, out=found)
        else:
            found += part
    assert found is not None
    return found


def _weighted(node: Node) -> bool:
    return isinstance(node, (Affine, Conv))


def _shapes(chain: Chain, populations: Sequence[Population]) -> dict[str, tuple[int, ...]]:
    """Shapes of all signals of a chain."""
    shapes = {p.name: p.shape for p in populations if p.name in chain.sources}
    while waiting := [node for node in chain.nodes if node.name not in shapes]:
        for node in waiting:
            known = [shapes[s] for s, to, _ in chain.edges if to == node.name and s in shapes]
            count = sum(to == node.name for _, to, _ in chain.edges)
            if len(known) == count or (known and not isinstance(node, Concat)):
                shapes[node.name] = output_shape(node, known)
    return shapes


def _prepared(
    node: Any, shapes: Mapping[str, tuple[int, ...]], into: Mapping[str, list[tuple[str, str, int]]], c: Conventions
) -> list[Prepared]:
    """The node's weights, or the magnitudes of its positive and its negative ones."""
    raw = node.weight.raw
    parts = [np.maximum(raw, 0), np.maximum(-raw, 0)] if c.synapse == "split" else [raw]
    made = shapes[node.name]
    if isinstance(node, Affine):
        return [Prepared(Dense(part), made[0]) for part in parts]
    given = shapes[into[node.name][0][0]]
    place, size = np.arange(int(np.prod(given)), dtype=np.int64), int(np.prod(made))
    return [Prepared(convolution(node, part, place, (given, made)), size) for part in parts]


def _row_major(sums: IntArray, made: tuple[int, ...]) -> IntArray:
    """Channel-last sums of a convolution in the order of its shape."""
    if len(made) == 1:
        return sums
    return np.moveaxis(sums.reshape(-1, *made[1:], made[0]), -1, 1)
