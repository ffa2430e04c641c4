"""bias-to-source: a bias of weights becomes weights from a source that always spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Add, Affine, Concat, Conv, Edge, Graph, Input, Node
from snnc.passes.base import Preserves
from snnc.passes.rewrite import Weighted, number, unique


@dataclass(frozen=True)
class BiasToSource:
    """Carries the bias of Affine and Conv nodes through a synapse, for chips whose synapses have none.

    ``<name>_bias`` is a constant Input of shape (1,), followed by ``<name>_bias_weight``, an Affine (n, 1) that
    holds the bias; for a Conv it is a constant Input of shape (1, *space) and a 1x1 Conv (C, 1, 1, ...). Their sum
    goes wherever the node's output goes. A bias of zeros is dropped.

    Exact: only the order of float64 roundings changes.
    """

    name: ClassVar[str] = "bias-to-source"
    preserves: ClassVar[Preserves] = "exact"

    def __call__(self, graph: Graph) -> Graph:
        """The graph without biases of weights."""
        for node in graph.nodes:
            if isinstance(node, Weighted) and node.bias is not None:
                bare = graph.replace_node(replace(node, bias=None))
                graph = _sourced(bare, node) if np.any(number(node.bias) != 0) else bare
        return graph


def _sourced(graph: Graph, node: Affine | Conv) -> Graph:
    bias = number(node.bias)
    source, name = unique(graph.nodes, f"{node.name}_bias"), unique(graph.nodes, f"{node.name}_bias_weight")
    space = graph.shapes[node.name][1:]
    weights: Node
    if isinstance(node, Affine):
        weights = Affine(name, bias[:, np.newaxis])
    else:
        ones = (1,) * len(space)
        weights = Conv(name, bias.reshape(-1, 1, *ones), None, ones, (0,) * len(space), ones)
    nodes: list[Node] = [*graph.nodes, Input(source, (1, *space), "constant"), weights]
    edges: list[Edge] = [Edge(source, name)]
    for edge in graph.edges:
        if edge.source != node.name:
            edges.append(edge)
        elif isinstance(graph[edge.target], Concat):
            joint = unique(nodes, f"{node.name}_biased")
            nodes.append(Add(joint))
            edges += [Edge(node.name, joint), Edge(name, joint), Edge(joint, edge.target, edge.delay)]
        else:
            edges += [edge, Edge(name, edge.target, edge.delay)]
    return graph.with_nodes(nodes, edges)
