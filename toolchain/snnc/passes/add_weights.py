"""add-weights: spikes that reach a neuron without weights get weights of 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from snnc.ir import Edge, Graph
from snnc.passes.base import Preserves
from snnc.passes.rewrite import elementwise, sources, unique


@dataclass(frozen=True)
class AddWeights:
    """Puts an identity Affine (flat signals) or a 1x1 depthwise Conv into paths from spikes to neurons.

    Integers need it: without weights one spike is one unit of the membrane's integer, far too coarse to scale.

    Exact: multiplication by 1.
    """

    name: ClassVar[str] = "add-weights"
    preserves: ClassVar[Preserves] = "exact"

    def __call__(self, graph: Graph) -> Graph:
        """The graph in which every path into a neuron has weights."""
        waiting = [edge for neuron in graph.neurons for edge in graph.incoming(neuron.name)]
        seen: set[str] = set()
        while waiting:
            edge = waiting.pop(0)
            found = sources(graph, edge.source)
            if found == {"spikes"}:
                graph = _weighted(graph, edge)
            elif "spikes" in found and edge.source not in seen:
                seen.add(edge.source)
                waiting += graph.incoming(edge.source)
        return graph


def _weighted(graph: Graph, edge: Edge) -> Graph:
    name = unique(graph.nodes, f"{edge.source}_to_{edge.target}")
    weights = elementwise(name, np.ones(graph.shapes[edge.source]))
    if weights is None:
        return graph
    place = graph.edges.index(edge)
    edges = [*graph.edges]
    edges[place : place + 1] = [Edge(edge.source, name, edge.delay), Edge(name, edge.target)]
    return graph.with_nodes([*graph.nodes, weights], edges)
