"""Works a fixed graph out for fast execution: what feeds whom by which weights, in which order, on which steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from snnc.engine import bounds, chains, operators, params, windows
from snnc.engine.groups import grouped
from snnc.engine.levels import check_levels
from snnc.engine.plan import Plan, Population, Way
from snnc.engine.refusals import refusals
from snnc.engine.terms import ONE, RELAY, Linear, Term
from snnc.errors import UnsupportedError
from snnc.ir import Affine, Conv, Edge, Fixed, FixedGraph, Input, IntArray, Node

GRADED = ("sigma", "delta", "sigmadelta")


def plan(graph: FixedGraph) -> Plan:
    """Works out a graph.

    Raises:
        UnsupportedError: with everything in the graph that integers do not execute.
        FormatError: a parameter has no whole number of state units.
    """
    found = (*refusals(graph), *check_levels(graph))
    if found:
        raise UnsupportedError.of(*found)
    return _Planner(graph).plan()


@dataclass
class _Feed:
    """What reaches one population: terms, and edges that are no sums of terms."""

    terms: list[Term] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    hosts: list[Edge] = field(default_factory=list)


class _Planner:
    def __init__(self, graph: FixedGraph) -> None:
        self.graph, self.c = graph, graph.conventions
        self.split = self.c.synapse == "split"
        self.nodes = {node.name: node for node in graph.populations}
        self.linear = linear = Linear(graph)
        self.feeds = {name: self._feed(name, linear) for name in self.nodes}
        self.names = self._ordered()
        if any(term.source == ONE for feed in self.feeds.values() for term in feed.terms):
            self.names.insert(0, ONE)
        self.index = {name: i for i, name in enumerate(self.names)}
        self.made = {name: operators.made_of(feed.terms, self.size(name)) for name, feed in self.feeds.items()}
        self.order = {name: None if made is None else operators.channel_last(made) for name, made in self.made.items()}

    def _ordered(self) -> list[str]:
        """Populations and the relays that somebody reads, in the graph's order."""
        read = {term.source for feed in self.feeds.values() for term in feed.terms}
        found = [name if name in self.nodes else RELAY + name for name in self.graph.order]
        return [name for name in found if name in self.nodes or name in read]

    def size(self, name: str) -> int:
        return 1 if name == ONE else math.prod(self.graph.shapes[name.removeprefix(RELAY)])

    def plan(self) -> Plan:
        found = [self._population(name) for name in self.names]
        ranges = {i: bounds.sent(p, self.c) for i, p in enumerate(found)}
        receptors = 2 if self.split else 1
        for i, p in enumerate(found):
            if p.kind not in ("input", "constant") and not p.chains:
                found[i] = replace(p, bounds=bounds.bounds(p.ways, ranges, receptors, p.size))
        found = windows.placed(found, links(found), self.c, self.graph.depth)
        populations, groups = grouped(found, links(found))
        graph = self.graph
        return Plan(graph.target, self.c, graph.digest, graph.depth, populations, groups)

    def _feed(self, name: str, linear: Linear) -> _Feed:
        feed = _Feed()
        if not self._listens(name):
            return feed
        for edge in self.graph.incoming(name):
            source = self.graph[edge.source]
            if isinstance(source, (Affine, Conv)) and source.host is not None:
                feed.hosts.append(edge)
                continue
            terms = linear.edge(edge)
            if terms is None:
                feed.edges.append(edge)
            else:
                feed.terms += terms
        if self.split:
            feed.terms = [term for term in feed.terms if term.weights]
        return feed

    def _listens(self, name: str) -> bool:
        """False for populations that take no input at all: under ``closed_form`` it comes through split synapses."""
        if isinstance(self.graph[name], Input):
            return False
        return self.c.membrane == "euler" or self.split

    def _population(self, name: str) -> Population:
        if name == ONE:
            return Population(ONE, "constant", (1,), None, 0, 0, 0, None)
        if name.startswith(RELAY):
            return self._relay(name)
        node, feed, order = self.graph[name], self.feeds[name], self.order[name]
        kind = params.kind_of(node)
        values, options = params.parameters(node, self.c, order)
        unit = operators.unit_of(feed.terms, self.split)
        ways, left = self._ways(name, feed, unit)
        listed = [(left, False), (feed.hosts, True)]
        cuts = tuple(chains.cut(self.graph, name, edges, drive=drive) for edges, drive in listed if edges)
        direct = isinstance(node, Input) and node.encoding == "direct"
        latency = self.graph.latency.get(name, 0)
        return Population(
            name, kind, self.graph.shapes[name], order, latency, latency, 0, None, direct or kind in GRADED, values,
            options, tuple(ways), cuts, self._ring_shift(name) if self.split else unit,
        )  # fmt: skip

    def _relay(self, name: str) -> Population:
        sends, node = self.linear.relays[name], name.removeprefix(RELAY)
        chain = replace(chains.cut(self.graph, name, [Edge(node, name)], drive=False), receptors=1)
        return Population(
            name, "relay", self.graph.shapes[node], None, 0, 0, 0, None, sends.numbers,
            options={"output": "ternary" if sends.ternary else "binary"}, chains=(chain,),
        )  # fmt: skip

    def _ways(self, name: str, feed: _Feed, unit: int) -> tuple[list[Way], list[Edge]]:
        """Ways of all terms, and the edges that have to stay a chain: all of them if one term is too large."""
        found: list[Way] = []
        for term in feed.terms:
            for sign in (1, -1) if self.split else (0,):
                ways = self._term(name, term, unit, sign) if operators.fits(term, unit) else None
                if ways is None or not all(operators.narrow(way) for way in ways):
                    hosts = {id(edge) for edge in feed.hosts}
                    return [], [edge for edge in self.graph.incoming(name) if id(edge) not in hosts]
                found += ways
        return found, feed.edges

    def _term(self, name: str, term: Term, unit: int, sign: int) -> list[Way] | None:
        sizes = (self.size(term.source), self.size(name))
        orders = (self._order(term.source), self._order(name))
        return operators.ways(term, unit, sign, self.index[term.source], sizes, orders, self.made[name])

    def _order(self, name: str) -> IntArray | None:
        return self.order.get(name)

    def _ring_shift(self, name: str) -> int:
        """Left shift from the one unit of all weights into a population to state units."""
        fracs = {node.weight.format.frac for node in self._weights(name) if isinstance(node.weight, Fixed)}
        if len(fracs) > 1:
            raise UnsupportedError(f"{name}: weights into one population have several units: {sorted(fracs)}")
        shift = self.c.state_frac - next(iter(fracs), self.c.state_frac)
        if shift < 0:
            raise UnsupportedError(f"{name}: weights are finer than a state unit by {-shift} bits")
        return shift

    def _weights(self, name: str) -> list[Affine | Conv]:
        """Weighted nodes nearest before a population."""
        found: dict[str, Affine | Conv] = {}
        seen: set[str] = set()
        waiting = [edge.source for edge in self.graph.incoming(name)]
        while waiting:
            node: Node = self.graph[waiting.pop()]
            if isinstance(node, (Affine, Conv)):
                found[node.name] = node
            elif node.name not in seen and node.name not in self.nodes:
                seen.add(node.name)
                waiting += [edge.source for edge in self.graph.incoming(node.name)]
        return list(found.values())


def links(populations: Sequence[Population]) -> list[windows.Link]:
    """Who reads whom in a plan, by index."""
    names = {p.name: i for i, p in enumerate(populations)}
    found = [windows.Link(way.source, i, way.delay, way.delay) for i, p in enumerate(populations) for way in p.ways]
    for i, p in enumerate(populations):
        for chain in p.chains:
            spans = chains.delays(chain, p.name)
            found += [windows.Link(names[name], i, low, high) for name, (low, high) in spans.items()]
    return found
