"""drop-identity: removes nodes that pass their input on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc.ir import Delay, Flatten, Graph, Identity
from snnc.passes.base import Preserves
from snnc.passes.rewrite import bypass, loops


@dataclass(frozen=True)
class DropIdentity:
    """Removes Identity (dropout at inference is one), Delay of 0 steps and Flatten of what is flat already.

    Exact: no arithmetic changes. An identity that feeds itself is an accumulator and stays.
    """

    name: ClassVar[str] = "drop-identity"
    preserves: ClassVar[Preserves] = "exact"

    def __call__(self, graph: Graph) -> Graph:
        """The graph without them."""
        for node in graph.nodes:
            idle = isinstance(node, Identity) or (isinstance(node, Delay) and node.steps == 0)
            if isinstance(node, Flatten):
                idle = all(len(graph.shapes[edge.source]) == 1 for edge in graph.incoming(node.name))
            if idle and not loops(graph, node.name):
                graph = bypass(graph, node.name)
        return graph
