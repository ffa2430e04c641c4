"""fuse-batch-norm: moves Scale nodes into weights and neurons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Affine, Edge, FloatArray, Graph, Neuron, Scale
from snnc.passes.base import Preserves
from snnc.passes.rewrite import (
    Weighted,
    bypass,
    compact,
    constant_home,
    elementwise,
    full,
    number,
    pull,
    scaled_columns,
    sources,
    with_rows,
)


@dataclass(frozen=True)
class FuseBatchNorm:
    """Fuses ``y = gain * x + shift`` with what stands before or behind it, in this order of preference.

    1. Scale after Scale: one Scale. 2. Weights before it (also through Add, Flatten, pooling): rows of the weights
    and their bias. 3. Weights behind it: columns and bias (not with padding, where the shift would leak in).
    4. A neuron behind it: ``gain_u``, and ``bias`` if the neuron's current has no memory. 5. Spikes before it:
    weights of its own. A Scale whose weights also feed somebody else stays as it is.

    Exact: only the order of float64 roundings changes.
    """

    name: ClassVar[str] = "fuse-batch-norm"
    preserves: ClassVar[Preserves] = "exact"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with every Scale fused that can be."""
        moved = True
        while moved:
            moved = False
            for node in graph.nodes:
                if isinstance(node, Scale) and node.name in graph:
                    after = _fuse(graph, node.name)
                    moved = moved or after is not graph
                    graph = after
        return graph


def _fuse(graph: Graph, name: str) -> Graph:
    for attempt in (_after_scale, _after_weights, _before_weights, _before_neuron, _after_spikes):
        node = graph[name]
        if not isinstance(node, Scale):
            break
        shape = graph.shapes[graph.incoming(name)[0].source]
        if len(shape) == 0 or np.broadcast_shapes(node.gain.shape, node.shift.shape, shape) != shape:
            break
        after = attempt(graph, node, full(node.gain, shape), full(node.shift, shape))
        if after is not None:
            return after
    return graph


def _after_scale(graph: Graph, node: Scale, gain: FloatArray, shift: FloatArray) -> Graph | None:
    (first, *more) = graph.incoming(node.name)
    before = graph[first.source]
    if more or not isinstance(before, Scale) or before.name == node.name:
        return None
    inner_shift = number(before.shift)
    if first.delay and np.any(inner_shift != 0):
        return None
    joined = replace(node, gain=compact(gain * number(before.gain)), shift=compact(gain * inner_shift + shift))
    edges: list[Edge] = []
    for edge in graph.edges:
        if edge == first:
            edges += [Edge(e.source, node.name, e.delay + first.delay) for e in graph.incoming(before.name)]
        else:
            edges.append(edge)
    unused = len(graph.outgoing(before.name)) == 1
    kept = [joined if n.name == node.name else n for n in graph.nodes if not (unused and n.name == before.name)]
    return graph.with_nodes(kept, [e for e in edges if not (unused and e.target == before.name)])


def _after_weights(graph: Graph, node: Scale, gain: FloatArray, shift: FloatArray) -> Graph | None:
    rows = pull(graph, node.name, gain)
    if rows is None:
        return None
    after = with_rows(graph, rows)
    if np.any(shift != 0):
        home = constant_home(graph, node.name, shift)
        if home is None:
            return None
        weights = after[home[0]]
        assert isinstance(weights, Weighted)
        old = number(0.0 if weights.bias is None else weights.bias)
        after = after.replace_node(replace(weights, bias=old + home[1]))
    return bypass(after, node.name)


def _before_weights(graph: Graph, node: Scale, gain: FloatArray, shift: FloatArray) -> Graph | None:
    shifts = bool(np.any(shift != 0))
    after = graph
    for edge in graph.outgoing(node.name):
        target = graph[edge.target]
        alone = len(graph.incoming(edge.target)) == 1
        if not isinstance(target, Weighted) or not alone or (shifts and edge.delay):
            return None
        if shifts and not isinstance(target, Affine) and any(target.padding):
            return None
        changed = scaled_columns(target, gain)
        offset = scaled_columns(target, shift)
        if changed is None or offset is None:
            return None
        weight = number(offset.weight)
        extra = weight.sum(axis=tuple(range(1, weight.ndim)))
        if shifts:
            changed = replace(changed, bias=extra + number(0.0 if changed.bias is None else changed.bias))
        after = after.replace_node(changed)
    return bypass(after, node.name) if after is not graph else None


def _before_neuron(graph: Graph, node: Scale, gain: FloatArray, shift: FloatArray) -> Graph | None:
    out = graph.outgoing(node.name)
    target = graph[out[0].target] if len(out) == 1 else node
    if not isinstance(target, Neuron) or len(graph.incoming(target.name)) > 1:
        return None
    if {"gain_u", "gain", "bias", "decay_u"} & set(target.schedule):
        return None
    bias = number(target.bias)
    if np.any(shift != 0):
        if out[0].delay or np.any(number(target.decay_u) != 0):
            return None
        bias = compact(full(bias + number(target.gain) * number(target.gain_u) * shift, target.shape))
    gain_u = compact(full(target.gain_u, target.shape) * gain)
    return bypass(graph.replace_node(replace(target, gain_u=gain_u, bias=bias)), node.name)


def _after_spikes(graph: Graph, node: Scale, gain: FloatArray, shift: FloatArray) -> Graph | None:
    if any(sources(graph, edge.source) != {"spikes"} for edge in graph.incoming(node.name)):
        return None
    weights = elementwise(node.name, gain, shift if np.any(shift != 0) else None)
    return None if weights is None else graph.replace_node(weights)
