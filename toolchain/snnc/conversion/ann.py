"""The network before conversion: layers and rectifiers, without time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snnc.errors import ModelError, UnsupportedError, Violation
from snnc.ir import Add, Affine, Concat, Conv, Flatten, Graph, Identity, Input, Node, Pool, Readout, Scale

LAYERS = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Scale, Readout)


@dataclass(frozen=True, eq=False)
class Relu(Node):
    """``y = max(x, 0)``. An activation of a network without time; conversion makes a population of it.

    No executor of spiking networks knows this node: it lives between a reader and :func:`snnc.conversion.convert`.
    """


@dataclass(frozen=True, eq=False)
class Ann:
    """A feed-forward network of weights, rectifiers, average pools and sums.

    Attributes:
        graph: nodes of :mod:`snnc.ir` and :class:`Relu`, one direct input, one readout, no delays.

    Raises:
        ModelError: it has another number of inputs or outputs, or an edge with a delay.
        UnsupportedError: a node that conversion does not know, or a maximum of activations; names each.
    """

    graph: Graph

    def __post_init__(self) -> None:
        inputs, ends = self.graph.inputs, self.graph.readouts
        if len(inputs) != 1 or len(ends) != 1 or len(self.graph.incoming(ends[0].name)) != 1:
            raise ModelError(f"the network has {len(inputs)} inputs and {len(ends)} outputs, allowed is one of each")
        if any(edge.delay for edge in self.graph.edges):
            raise ModelError("an edge has a delay; a network without time has none")
        found = tuple(self._violations())
        if found:
            raise UnsupportedError.of(*found, message="" if len(found) == 1 else "this network cannot be converted")

    @property
    def input(self) -> Input:
        """Where values [B, *shape] enter."""
        return self.graph.inputs[0]

    @property
    def output(self) -> str:
        """The node whose values are the answer."""
        return self.graph.incoming(self.graph.readouts[0].name)[0].source

    @property
    def relus(self) -> tuple[Relu, ...]:
        """The activations in topological order."""
        return tuple(node for node in (self.graph[name] for name in self.graph.order) if isinstance(node, Relu))

    def held(self) -> frozenset[str]:
        """Nodes whose values come from the input alone, with no weights and no activation on the way."""
        found = {self.input.name}
        for name in self.graph.order:
            node = self.graph[name]
            if isinstance(node, (Identity, Pool, Flatten, Concat)):
                found |= {name} if all(e.source in found for e in self.graph.incoming(name)) else set()
        return frozenset(found)

    def _violations(self) -> Iterator[Violation]:
        held = self.held()
        for node in self.graph.nodes:
            if not isinstance(node, (*LAYERS, Relu)):
                fix = "Conversion knows weights, ReLU, average pooling, sums and batch normalisation."
                yield Violation(node.name, "node type", node.kind, "a layer of a ReLU network", fix)
            elif isinstance(node, Pool) and node.pooling == "max" and node.name not in held:
                fix = (
                    "The largest rate is not the rate of the spikes of any: train with average pooling, or with a "
                    "convolution of stride 2."
                )
                yield Violation(node.name, "pooling", "max of activations", "average", fix)


def rectifiers(graph: Graph, names: frozenset[str]) -> Graph:
    """The graph with the nodes of these names exchanged for rectifiers."""
    return graph.with_nodes(Relu(node.name) if node.name in names else node for node in graph.nodes)
