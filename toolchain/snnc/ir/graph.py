"""Graph (float) and FixedGraph (integer): nodes and edges that are proven consistent when constructed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from snnc.errors import GraphError, Violation
from snnc.ir.catalog import POPULATIONS
from snnc.ir.conventions import Conventions
from snnc.ir.fixed import Fixed
from snnc.ir.nodes import Concat, Input, Neuron, Node, Readout
from snnc.ir.serial import digest_of
from snnc.ir.shapes import Shape, output_shape


@dataclass(frozen=True)
class Edge:
    """``source``'s output reaches ``target`` ``delay`` steps later. Every cycle needs delay >= 1."""

    source: str
    target: str
    delay: int = 0


@dataclass(frozen=True, eq=False)
class Network:
    """What both graphs share: nodes, edges, and the checks that need no arithmetic.

    Attributes:
        nodes: in any order; names are unique.
        edges: in the order in which Concat joins.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "edges", tuple(self.edges))
        self._check_names()
        self._check_params()
        _ = self.order, self.shapes

    def __getitem__(self, name: str) -> Node:
        if name not in self._by_name:
            raise GraphError(f"no node is called {name!r}; there are {', '.join(self._by_name)}")
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _incoming(self) -> dict[str, tuple[Edge, ...]]:
        found: dict[str, list[Edge]] = {node.name: [] for node in self.nodes}
        for edge in self.edges:
            found[edge.target].append(edge)
        return {name: tuple(edges) for name, edges in found.items()}

    @cached_property
    def _outgoing(self) -> dict[str, tuple[Edge, ...]]:
        found: dict[str, list[Edge]] = {node.name: [] for node in self.nodes}
        for edge in self.edges:
            found[edge.source].append(edge)
        return {name: tuple(edges) for name, edges in found.items()}

    def incoming(self, name: str) -> tuple[Edge, ...]:
        """Edges into the node, in order."""
        return self._incoming[name]

    def outgoing(self, name: str) -> tuple[Edge, ...]:
        """Edges out of the node, in order."""
        return self._outgoing[name]

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Input nodes that the user feeds (constant sources are not among them)."""
        return tuple(n for n in self.nodes if isinstance(n, Input) and n.encoding != "constant")

    @property
    def populations(self) -> tuple[Node, ...]:
        """Inputs and neurons, in topological order."""
        return tuple(self[name] for name in self.order if isinstance(self[name], POPULATIONS))

    @property
    def neurons(self) -> tuple[Neuron, ...]:
        """Neuron populations in topological order."""
        return tuple(n for n in (self[name] for name in self.order) if isinstance(n, Neuron))

    @property
    def readouts(self) -> tuple[Readout, ...]:
        """Readout nodes."""
        return tuple(n for n in self.nodes if isinstance(n, Readout))

    @property
    def output(self) -> Neuron | None:
        """The population that the first readout counts, or None."""
        for readout in self.readouts:
            for edge in self.incoming(readout.name):
                source = self[edge.source]
                if isinstance(source, Neuron):
                    return source
        return None

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Node names so that every edge without delay points forward. Ties keep the order of ``nodes``."""
        waiting = {n.name: {e.source for e in self._incoming[n.name] if e.delay == 0} for n in self.nodes}
        order: list[str] = []
        while waiting:
            ready = [name for name, sources in waiting.items() if not sources]
            if not ready:
                loop = ", ".join(waiting)
                raise GraphError(f"a cycle without delay goes through {loop}; a recurrent edge needs delay >= 1")
            name = ready[0]
            order.append(name)
            del waiting[name]
            for sources in waiting.values():
                sources.discard(name)
        return tuple(order)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Output shape of every node, per sample and step."""
        shapes: dict[str, Shape] = {n.name: n.shape for n in self.nodes if isinstance(n, POPULATIONS)}
        while waiting := [name for name in self.order if name not in shapes]:
            if not (ready := [name for name in waiting if self._has_shape(name, shapes)]):
                raise GraphError(f"no population feeds {', '.join(waiting)}: the shapes are unknown")
            for name in ready:
                given = [shapes[e.source] for e in self._incoming[name] if e.source in shapes]
                shapes[name] = output_shape(self[name], given)
        for name, into in self._incoming.items():
            output_shape(self[name], [shapes[e.source] for e in into])
        return MappingProxyType(shapes)

    def _has_shape(self, name: str, shapes: Mapping[str, Shape]) -> bool:
        """True if one input is known (they are summed, and a delayed loop may hide the others); a Concat needs all."""
        enough = all if isinstance(self[name], Concat) else any
        return enough(edge.source in shapes for edge in self._incoming[name])

    @cached_property
    def digest(self) -> str:
        """sha256 over structure and every number; equal digests mean equal networks."""
        return digest_of(self)

    def _check_names(self) -> None:
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise GraphError(f"two nodes are called {node.name!r}")
            seen.add(node.name)
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in seen:
                    raise GraphError(f"the edge {edge.source} -> {edge.target} names {end!r}, which is no node")
            if edge.delay < 0:
                raise GraphError(f"the edge {edge.source} -> {edge.target} has the negative delay {edge.delay}")
        for node in self.nodes:
            fed = bool(self._incoming[node.name])
            if fed == isinstance(node, Input):
                raise GraphError(f"{node.name} ({node.kind}) has {'an' if fed else 'no'} incoming edge")

    def head(self) -> dict[str, Any]:
        """JSON-ready facts beside nodes and edges."""
        raise NotImplementedError

    def _check_params(self) -> None:
        raise NotImplementedError

    def _check_broadcast(self, node: Node) -> None:
        if not isinstance(node, POPULATIONS):
            return
        for key, value in node.params().items():
            shape = value.shape[1:] if isinstance(node, Neuron) and key in node.schedule else value.shape
            try:
                fits = np.broadcast_shapes(shape, node.shape) == node.shape
            except ValueError:
                fits = False
            if not fits:
                text = Violation(node.name, f"{key} shape", str(value.shape), f"what broadcasts to {node.shape}")
                raise GraphError(str(text))


@dataclass(frozen=True, eq=False)
class Graph(Network):
    """A network of float64 parameters.

    Attributes:
        dt: seconds per step, if known; 0 means that one step has no unit.
    """

    dt: float = 0.0

    def head(self) -> dict[str, Any]:
        """The step's duration."""
        return {"dt": self.dt}

    def _check_params(self) -> None:
        for node in self.nodes:
            self._check_broadcast(node)
            for key, value in node.params().items():
                if isinstance(value, Fixed):
                    raise GraphError(f"{node.name}.{key} is fixed-point; a Graph holds floats only")
                if not np.all(np.isfinite(value)):
                    count = int(np.sum(~np.isfinite(value)))
                    text = Violation(node.name, key, f"NaN or infinite in {count} of {value.size} places", "finite")
                    raise GraphError(str(text))
            if isinstance(node, Neuron) and not np.all(np.asarray(node.threshold) > 0):
                found = float(np.min(np.asarray(node.threshold)))
                fix = "A neuron at rest would fire in every step."
                raise GraphError(str(Violation(node.name, "threshold", f"{found:g}", "> 0", fix)))

    def with_nodes(self, nodes: Iterable[Node], edges: Iterable[Edge] | None = None) -> Graph:
        """The same graph with other nodes (and edges)."""
        return replace(self, nodes=tuple(nodes), edges=self.edges if edges is None else tuple(edges))

    def replace_node(self, node: Node) -> Graph:
        """The same graph with the node of this name exchanged."""
        _ = self[node.name]
        return self.with_nodes(node if n.name == node.name else n for n in self.nodes)

    def without(self, name: str) -> Graph:
        """The graph without a one-input node; its input edge and output edges are joined, delays added."""
        into = self.incoming(name)
        out = self.outgoing(name)
        edges: list[Edge] = []
        for edge in self.edges:
            if edge in out:
                edges += [Edge(e.source, edge.target, e.delay + edge.delay) for e in into]
            elif edge.target != name:
                edges.append(edge)
        return self.with_nodes((n for n in self.nodes if n.name != name), edges)


@dataclass(frozen=True, eq=False)
class FixedGraph(Network):
    """A network of integers, ready to execute under a target's conventions.

    Edge delays are device steps: they include the target's hop delay. Construction proves that no float is left.

    Attributes:
        target: name of the target.
        conventions: how its integers execute.
        latency: device steps by which each population is behind the float network.
    """

    target: str = "generic"
    conventions: Conventions = field(default_factory=Conventions)
    latency: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "latency", MappingProxyType(dict(self.latency)))
        super().__post_init__()

    def head(self) -> dict[str, Any]:
        """Target, conventions and latencies."""
        latency = dict(sorted(self.latency.items()))
        return {"target": self.target, "conventions": asdict(self.conventions), "latency": latency}

    @property
    def depth(self) -> int:
        """Largest latency: a run of T steps takes T + depth device steps."""
        return max(self.latency.values(), default=0)

    def _check_params(self) -> None:
        for node in self.nodes:
            self._check_broadcast(node)
            for key, value in node.params().items():
                if not isinstance(value, Fixed):
                    raise GraphError(f"{node.name}.{key} is float; a FixedGraph holds integers only")
            if isinstance(node, Neuron) and node.adaptation:
                raise GraphError(f"{node.name}: adaptation traces have no fixed-point form yet")
        names = {node.name for node in self.nodes}
        for name, steps in self.latency.items():
            if name not in names or steps < 0:
                raise GraphError(f"latency of {name!r} is {steps}: it names no node or is negative")
        self._check_hops()

    def _check_hops(self) -> None:
        for edge in self.edges:
            hops = isinstance(self[edge.source], POPULATIONS) and not isinstance(self[edge.target], Readout)
            if hops and edge.delay < self.conventions.hop_delay:
                raise GraphError(
                    f"the edge {edge.source} -> {edge.target} has delay {edge.delay}; "
                    f"{self.target} needs at least {self.conventions.hop_delay}"
                )

    def replace_node(self, node: Node) -> FixedGraph:
        """The same graph with the node of this name exchanged."""
        _ = self[node.name]
        return replace(self, nodes=tuple(node if n.name == node.name else n for n in self.nodes))
