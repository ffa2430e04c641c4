"""move-bias: a bias of weights becomes the bias of the neuron behind them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Add, Concat, Edge, Flatten, FloatArray, Graph, Identity, Neuron, Node
from snnc.passes.base import Preserves
from snnc.passes.rewrite import Weighted, compact, full, number, spread


@dataclass(frozen=True)
class MoveBias:
    """Adds ``gain * gain_u * bias`` of Affine and Conv nodes to ``Neuron.bias``.

    Right only if the neuron's current keeps nothing (decay_u = 0), so that the bias reaches v once per step, and if
    the way is free of delays and pooling. A bias that also reaches anything else stays.

    Exact: only the order of float64 roundings changes.
    """

    name: ClassVar[str] = "move-bias"
    preserves: ClassVar[Preserves] = "exact"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with biases moved."""
        for node in graph.nodes:
            if isinstance(node, Weighted) and node.bias is not None:
                found = _arrivals(graph, node.name, spread(number(node.bias), graph.shapes[node.name]))
                if found is None:
                    continue
                for name, value in found.items():
                    neuron = graph[name]
                    assert isinstance(neuron, Neuron)
                    added = number(neuron.gain) * number(neuron.gain_u) * value + number(neuron.bias)
                    graph = graph.replace_node(replace(neuron, bias=compact(full(added, neuron.shape))))
                graph = graph.replace_node(replace(node, bias=None))
        return graph


def _arrivals(graph: Graph, name: str, value: FloatArray) -> dict[str, FloatArray] | None:
    """Neuron -> constant that a constant output of a node adds to its input; None if it reaches anything else."""
    found: dict[str, FloatArray] = {}
    waiting = [(name, value)]
    while waiting:
        source, constant = waiting.pop()
        if not graph.outgoing(source):
            return None
        for edge, count in Counter(graph.outgoing(source)).items():
            node = graph[edge.target]
            if edge.delay:
                return None
            if isinstance(node, Neuron):
                if not _takes(node):
                    return None
                found[node.name] = found.get(node.name, np.zeros(node.shape)) + constant * count
                continue
            after = _after(graph, node, edge, constant)
            if after is None:
                return None
            waiting.append((node.name, after if isinstance(node, Concat) else after * count))
    return found


def _takes(node: Neuron) -> bool:
    scheduled = {"decay_u", "gain", "gain_u", "bias"} & set(node.schedule)
    return not scheduled and bool(np.all(number(node.decay_u) == 0))


def _after(graph: Graph, node: Node, edge: Edge, constant: FloatArray) -> FloatArray | None:
    """What a constant on an edge adds to the output of the node behind it; None if that is no constant."""
    if isinstance(node, (Add, Identity)):
        return constant
    if isinstance(node, Flatten):
        return constant.reshape(-1)
    if not isinstance(node, Concat):
        return None
    into = graph.incoming(node.name)
    parts = [constant if other == edge else np.zeros(graph.shapes[other.source]) for other in into]
    return np.concatenate(parts, axis=node.axis)
