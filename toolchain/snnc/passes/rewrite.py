"""What passes share: broadcasting of parameters, scaling of weights, and moving a factor against or along the edges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from snnc.ir import (
    POPULATIONS,
    Add,
    Affine,
    Concat,
    Conv,
    Delay,
    Flatten,
    FloatArray,
    Graph,
    Identity,
    Neuron,
    Node,
    Pool,
    Scale,
)

Weighted = (Affine, Conv)
Gains = dict[str, FloatArray]


def number(value: object) -> FloatArray:
    """A parameter of a float graph as float64."""
    return np.asarray(value, dtype=np.float64)


def full(value: object, shape: tuple[int, ...]) -> FloatArray:
    """The parameter broadcast to the population's shape."""
    return np.broadcast_to(number(value), shape)


def channels(array: FloatArray) -> FloatArray | None:
    """The value per channel (C,) of an array (C, *space), or None if it varies inside a channel."""
    flat = array.reshape(array.shape[0], -1)
    return np.array(flat[:, 0]) if np.all(flat == flat[:, :1]) else None


def compact(array: FloatArray) -> FloatArray:
    """The smallest array that broadcasts to the given one: scalar, per channel (C, 1, ...), or all of it."""
    if array.size and np.all(array == array.flat[0]):
        return np.array(array.flat[0])
    vector = channels(array) if array.ndim else None
    if vector is None or array.ndim == 1:
        return np.array(array)
    return vector.reshape(-1, *(1,) * (array.ndim - 1))


def unique(taken: Iterable[Node], name: str) -> str:
    """The name, or the name with the first free number behind it."""
    names = {node.name for node in taken}
    found, count = name, 1
    while found in names:
        count += 1
        found = f"{name}_{count}"
    return found


def bypass(graph: Graph, name: str) -> Graph:
    """The graph without a node that passes its (summed) input on."""
    joins = any(isinstance(graph[e.target], Concat) for e in graph.outgoing(name))
    if joins and len(graph.incoming(name)) > 1:
        return graph.replace_node(Add(name))
    return graph.without(name)


def loops(graph: Graph, name: str) -> bool:
    """True if the node feeds itself directly."""
    return any(edge.source == name for edge in graph.incoming(name))


def scaled_rows(node: Affine | Conv, vector: FloatArray) -> Affine | Conv:
    """The node with output channel c multiplied by vector[c], bias included."""
    weight = number(node.weight) * vector.reshape(-1, *(1,) * (number(node.weight).ndim - 1))
    return replace(node, weight=weight, bias=None if node.bias is None else number(node.bias) * vector)


def scaled_columns(node: Affine | Conv, factor: FloatArray) -> Affine | Conv | None:
    """The node that gives the same output when its input is divided by ``factor`` (shape of the input).

    None if a convolution's factor varies inside a channel.
    """
    if isinstance(node, Affine):
        return replace(node, weight=number(node.weight) * factor)
    vector = channels(factor)
    if vector is None:
        return None
    weight = number(node.weight)
    rows = np.arange(weight.shape[0]) // (weight.shape[0] // node.groups)
    columns = rows[:, np.newaxis] * weight.shape[1] + np.arange(weight.shape[1])
    return replace(node, weight=weight * vector[columns].reshape(*columns.shape, *(1,) * (weight.ndim - 2)))


def elementwise(name: str, gain: FloatArray, bias: FloatArray | None = None) -> Affine | Conv | None:
    """Weights that compute ``gain * x + bias`` per element (n,) or per channel (C, *space).

    None if a value varies inside a channel or the shape is no signal of 1 to 3 axes.
    """
    if not 1 <= gain.ndim <= 3:
        return None
    weight = channels(gain)
    shift = None if bias is None else channels(bias)
    if weight is None or (bias is not None and shift is None):
        return None
    if gain.ndim == 1:
        return Affine(name, np.diag(weight), shift)
    ones = (1,) * (gain.ndim - 1)
    stride, padding = ones, (0,) * (gain.ndim - 1)
    return Conv(name, weight.reshape(-1, 1, *ones), shift, stride, padding, ones, groups=weight.size)


def sources(graph: Graph, name: str) -> set[str]:
    """What the node's value is made of: any of ``weights``, ``spikes``, ``other`` (nodes that no pass sees through)."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        node = graph[waiting.pop()]
        if node.name in seen:
            continue
        seen.add(node.name)
        if isinstance(node, Weighted):
            found.add("weights")
        elif isinstance(node, (Add, Identity, Delay, Flatten, Concat, Pool)):
            waiting += [edge.source for edge in graph.incoming(node.name)]
        else:
            found.add("spikes" if isinstance(node, POPULATIONS) else "other")
    return found


def pull(graph: Graph, target: str, gain: FloatArray) -> Gains | None:
    """Weights to scale so that everything arriving at ``target`` is multiplied by ``gain``.

    Args:
        graph: where.
        target: the node whose summed input is meant.
        gain: shape of that input.

    Returns:
        Weight node -> factor per output channel; None if a path starts at spikes, if a factor varies inside a
        convolution's channel, or if somebody else also listens to a node on the way.
    """
    seen: Gains = {}
    waiting = [(edge.source, gain) for edge in graph.incoming(target)]
    while waiting:
        name, factor = waiting.pop()
        if name in seen:
            if not np.array_equal(seen[name], factor):
                return None
            continue
        seen[name] = factor
        if isinstance(graph[name], Weighted):
            continue
        before = _before(graph, graph[name], factor)
        if before is None:
            return None
        waiting += before
    inside = {*seen, target}
    if any(edge.target not in inside for name in seen for edge in graph.outgoing(name)):
        return None
    rows = {name: channels(factor) for name, factor in seen.items() if isinstance(graph[name], Weighted)}
    found = {name: vector for name, vector in rows.items() if vector is not None}
    return found if found and len(found) == len(rows) else None


def _before(graph: Graph, node: Node, factor: FloatArray) -> list[tuple[str, FloatArray]] | None:
    """Factors at the node's inputs that make ``factor`` at its output."""
    into = graph.incoming(node.name)
    if isinstance(node, (Add, Identity, Delay)):
        return [(edge.source, factor) for edge in into]
    if isinstance(node, Flatten):
        return [(edge.source, factor.reshape(graph.shapes[edge.source])) for edge in into]
    if isinstance(node, Concat):
        sizes = [graph.shapes[edge.source][node.axis] for edge in into]
        parts = np.split(factor, np.cumsum(sizes)[:-1], axis=node.axis)
        return [(edge.source, part) for edge, part in zip(into, parts, strict=True)]
    if isinstance(node, Pool):
        vector = channels(factor)
        if vector is None or (node.pooling == "max" and not np.all(vector > 0)):
            return None
        return [(edge.source, spread(vector, graph.shapes[edge.source])) for edge in into]
    return None


def spread(vector: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """A value per channel as an array of the shape."""
    return np.broadcast_to(vector.reshape(-1, *(1,) * (len(shape) - 1)), shape)


def with_rows(graph: Graph, rows: Gains) -> Graph:
    """The graph with output channels of weight nodes multiplied."""
    for name, vector in rows.items():
        node = graph[name]
        assert isinstance(node, Weighted)
        graph = graph.replace_node(scaled_rows(node, vector))
    return graph


def push(graph: Graph, source: str, factor: FloatArray) -> list[Node] | None:
    """Nodes that make up for a missing ``factor`` at the output of ``source``.

    Weights behind it get scaled columns; a neuron that it drives alone gets a factor in ``gain_u``.

    Returns:
        The changed nodes; None if a sum with something else, or a readout, stands in the way.
    """
    edits: list[Node] = []
    seen = {source: factor}
    waiting = [source]
    while waiting:
        name = waiting.pop()
        for edge in graph.outgoing(name):
            node = graph[edge.target]
            if node.name in seen:
                return None
            if isinstance(node, Concat):
                parts = [seen.get(e.source, np.ones(graph.shapes[e.source])) for e in graph.incoming(node.name)]
                after: FloatArray | None = np.concatenate(parts, axis=node.axis)
            elif len(graph.incoming(node.name)) > 1:
                return None
            else:
                edit = _absorb(node, seen[name])
                after = None if edit is not None else _after(graph, node, seen[name])
                if edit is not None:
                    edits.append(edit)
                    seen[node.name] = np.ones(())
                    continue
            if after is None:
                return None
            seen[node.name] = after
            waiting.append(node.name)
    return edits or None


def _absorb(node: Node, factor: FloatArray) -> Node | None:
    """The node that takes the factor of its input upon itself, or None."""
    if isinstance(node, (Affine, Conv)):
        return scaled_columns(node, factor)
    if isinstance(node, Scale):
        return replace(node, gain=compact(full(node.gain, factor.shape) * factor))
    if isinstance(node, Neuron) and "gain_u" not in node.schedule:
        return replace(node, gain_u=compact(full(node.gain_u, node.shape) * factor))
    return None


def _after(graph: Graph, node: Node, factor: FloatArray) -> FloatArray | None:
    """The factor at the output of a node without parameters, or None."""
    if isinstance(node, (Identity, Delay, Add)):
        return factor
    if isinstance(node, Flatten):
        return factor.reshape(-1)
    vector = channels(factor) if isinstance(node, Pool) else None
    return None if vector is None else spread(vector, graph.shapes[node.name])


def constant_home(graph: Graph, target: str, shift: FloatArray) -> tuple[str, FloatArray] | None:
    """The weight node whose bias can carry a constant that is added to everything arriving at ``target``.

    The way there must be free of delays and forks, so that the constant arrives once, in every step.

    Returns:
        Weight node and bias per output channel, or None.
    """
    waiting = [(edge, shift) for edge in graph.incoming(target)]
    while waiting:
        edge, value = waiting.pop(0)
        node = graph[edge.source]
        if edge.delay or len(graph.outgoing(node.name)) > 1:
            continue
        if isinstance(node, Weighted):
            vector = channels(value)
            if vector is not None:
                return node.name, vector
        elif isinstance(node, (Add, Identity)):
            waiting += [(e, value) for e in graph.incoming(node.name)]
        elif isinstance(node, Flatten):
            waiting += [(e, value.reshape(graph.shapes[e.source])) for e in graph.incoming(node.name)]
    return None


def replaced(graph: Graph, nodes: Iterable[Node]) -> Graph:
    """The graph with several nodes exchanged."""
    found = {node.name: node for node in nodes}
    return graph.with_nodes(found.get(node.name, node) for node in graph.nodes)
