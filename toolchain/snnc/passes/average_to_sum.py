"""average-to-sum: pooling by average becomes pooling by sum, which integers can do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Conv, Graph, Pool
from snnc.passes.base import Preserves
from snnc.passes.rewrite import pull, push, replaced, sources, with_rows


@dataclass(frozen=True)
class AverageToSum:
    """Turns ``avg`` pools into ``sum`` pools and moves the factor 1/k elsewhere, in this order of preference.

    1. Into the weights behind it (through Flatten, Concat, pooling), or into ``gain_u`` of a neuron that it drives
    alone. 2. Into the weights before it. 3. If spikes are pooled and then added to something, the pool becomes a
    convolution of its own with the weight 1/k. What none of these reach stays as it is.

    Exact: only the order of float64 roundings changes.
    """

    name: ClassVar[str] = "average-to-sum"
    preserves: ClassVar[Preserves] = "exact"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with every average pool rewritten that can be."""
        for node in graph.nodes:
            if isinstance(node, Pool) and node.pooling == "avg":
                graph = _rewrite(graph, node)
        return graph


def _rewrite(graph: Graph, node: Pool) -> Graph:
    factor = 1.0 / math.prod(node.kernel)
    summed = replace(node, pooling="sum")
    edits = push(graph, node.name, np.full(graph.shapes[node.name], factor))
    if edits is not None:
        return replaced(graph, [*edits, summed])
    into = graph.shapes[graph.incoming(node.name)[0].source]
    rows = pull(graph, node.name, np.full(into, factor))
    if rows is not None:
        return replaced(with_rows(graph, rows), [summed])
    if all(sources(graph, edge.source) == {"spikes"} for edge in graph.incoming(node.name)):
        weight = np.full((into[0], 1, *node.kernel), factor)
        ones = (1,) * len(node.kernel)
        return replaced(graph, [Conv(node.name, weight, None, node.stride, node.padding, ones, groups=into[0])])
    return graph
