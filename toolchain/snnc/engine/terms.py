"""What a node's value is as a sum of linear maps of what populations sent, or that it is no such sum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from snnc.engine import tables
from snnc.engine.tables import Table
from snnc.ir import (
    POPULATIONS,
    Add,
    Affine,
    Concat,
    Conv,
    Delay,
    Delta,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Identity,
    Input,
    IntArray,
    Neuron,
    Node,
    Pool,
    Sigma,
)

ONE = "/one"
"""A population that the graph does not have: one neuron that sends 1 in every step. It carries biases."""
RELAY = "/max/"
"""Start of the name of a population that the graph does not have: it sends what a maximum pooling makes of spikes."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """One weighted node behind a selection: ``y = weight * (before(x))``, then every result goes to ``after``.

    Attributes:
        before: from the source's neurons to the node's input; entries are 1.
        node: whose geometry counts.
        weight: raw weights.
        given: shape of the node's input.
        made: shape of its output.
    """

    before: Table
    node: Affine | Conv
    weight: IntArray
    given: tuple[int, ...]
    made: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Term:
    """One summand: ``(map of what source sent delay steps ago) << shift``.

    Attributes:
        source: name of a population.
        delay: device steps.
        map: what happens to it.
        shift: left shift to state units.
        weights: weighted nodes on the way.
    """

    source: str
    delay: int
    map: Table | Weighted
    shift: int = 0
    weights: int = 0


@dataclass(frozen=True)
class Relay:
    """What a population sends: numbers, or spikes that may be -1, too."""

    numbers: bool
    ternary: bool


class Linear:
    """Finds the terms of nodes of one graph; what was found once is kept."""

    def __init__(self, graph: FixedGraph) -> None:
        self.graph = graph
        self.split = graph.conventions.synapse == "split"
        self.unit = graph.conventions.state_frac
        self.relays: dict[str, Relay] = {}
        self._known: dict[str, tuple[Term, ...] | None] = {}

    def edge(self, edge: Edge) -> tuple[Term, ...] | None:
        """Terms of what an edge carries; None if it is not linear."""
        source = self.graph[edge.source]
        if isinstance(source, POPULATIONS):
            return (Term(source.name, edge.delay, tables.identity(int(np.prod(self.graph.shapes[source.name])))),)
        if edge.source not in self._known:
            self._known[edge.source] = None  # a loop without a population is refused by the graph; see order
            self._known[edge.source] = self._node(source)
        found = self._known[edge.source]
        return None if found is None else tuple(replace(t, delay=t.delay + edge.delay) for t in found)

    def _node(self, node: Node) -> tuple[Term, ...] | None:
        into = self.graph.incoming(node.name)
        parts = [self.edge(edge) for edge in into]
        given = [part for part in parts if part is not None]
        if len(given) < len(parts):
            return None
        if isinstance(node, Concat):
            return self._concat(node, into, given)
        terms = [term for part in given for term in part]
        if isinstance(node, Delay):
            return tuple(replace(term, delay=term.delay + node.steps) for term in terms)
        if isinstance(node, (Identity, Add, Flatten)):
            return tuple(terms)
        shape = self.graph.shapes[into[0].source]
        if isinstance(node, Pool):
            return self._pool(node, terms, shape) if node.pooling == "sum" else self._relay(node, terms)
        return self._weighted(node, terms, shape) if isinstance(node, (Affine, Conv)) else None

    def _concat(self, node: Concat, into: tuple[Edge, ...], parts: list[tuple[Term, ...]]) -> tuple[Term, ...] | None:
        shapes = [self.graph.shapes[edge.source] for edge in into]
        found: list[Term | None] = []
        for part, terms in enumerate(parts):
            index = tables.joined_index(shapes, node.axis, part)
            for term in terms:
                table = self._table(term.map)
                found.append(None if table is None else replace(term, map=tables.moved(table, index)))
        return _all(found)

    def _pool(self, node: Pool, terms: list[Term], shape: tuple[int, ...]) -> tuple[Term, ...] | None:
        return _all(self._composed(tables.pool_table(node, shape), term) for term in terms)

    def _relay(self, node: Pool, terms: list[Term]) -> tuple[Term, ...] | None:
        """A maximum of what populations sent becomes a population of its own; one of weighted sums does not."""
        if any(term.weights for term in terms):
            return None
        kinds = [self._sends(term.source) for term in terms]
        once = len(terms) == 1 and isinstance(terms[0].map, Table) and terms[0].map.single
        name = RELAY + node.name
        self.relays[name] = Relay(numbers=not once or kinds[0].numbers, ternary=any(k.ternary for k in kinds))
        return (Term(name, 0, tables.identity(int(np.prod(self.graph.shapes[node.name])))),)

    def _sends(self, name: str) -> Relay:
        if name in self.relays:
            return self.relays[name]
        node = self.graph[name]
        direct = isinstance(node, Input) and node.encoding == "direct"
        ternary = isinstance(node, Neuron) and node.output == "ternary"
        return Relay(numbers=direct or isinstance(node, (Sigma, Delta)), ternary=ternary)

    def _composed(self, outer: Table, term: Term) -> Term | None:
        inner = self._table(term.map)
        table = None if inner is None else tables.composed(outer, inner, signs=self.split)
        return None if table is None else replace(term, map=table)

    def _table(self, found: Table | Weighted) -> Table | None:
        """A map as triples, unless that is too large."""
        if isinstance(found, Table):
            return found
        if tables.entries(found.node, found.given) > tables.LIMIT:
            return None
        outer = tables.weight_table(found.node, found.weight, found.given)
        return tables.composed(outer, found.before, signs=self.split)

    def _weighted(self, node: Affine | Conv, terms: list[Term], shape: tuple[int, ...]) -> tuple[Term, ...] | None:
        raw = self._raw(node)
        if node.host is not None or raw is None:
            return None
        weight, shift = raw
        made = self.graph.shapes[node.name]
        found: list[Term | None] = []
        for term in terms:
            if isinstance(term.map, Table) and term.weights == 0 and term.map.plain:
                whole = Weighted(term.map, node, weight, shape, made)
                found.append(replace(term, map=whole, shift=shift, weights=1))
            elif tables.entries(node, shape) > tables.LIMIT:
                return None
            else:
                step = self._composed(tables.weight_table(node, weight, shape), term)
                found.append(step and replace(step, shift=term.shift + shift, weights=term.weights + 1))
        return _all([*found, *self._bias(node, made)])

    def _raw(self, node: Affine | Conv) -> tuple[IntArray, int] | None:
        """Weights and their left shift to state units; None if their sums are shifted right and lose bits."""
        assert isinstance(node.weight, Fixed)
        weight = node.weight.raw
        if self.split:
            return weight, 0
        shift = self.unit - node.weight.format.frac
        if shift >= 0:
            return weight, shift
        if -shift >= 64 or np.any(weight & ((1 << -shift) - 1)):
            return None
        return weight >> -shift, 0

    def _bias(self, node: Affine | Conv, made: tuple[int, ...]) -> list[Term]:
        if not isinstance(node.bias, Fixed):
            return []
        each = node.bias.aligned(self.unit)
        value = np.repeat(each, int(np.prod(made[1:])))
        to = np.flatnonzero(value).astype(np.int64)
        if not to.size:
            return []
        return [Term(ONE, 0, Table(to, np.zeros_like(to), value[to]), weights=1)]


def _all(found: Iterable[Term | None]) -> tuple[Term, ...] | None:
    terms = list(found)
    kept = tuple(term for term in terms if term is not None)
    return kept if len(kept) == len(terms) else None
