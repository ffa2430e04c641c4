"""Layers without state as NIR primitives, and what of a graph's structure NIR has no word for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnc.errors import Violation
from snnc.formats.nir_file_layers import Shape
from snnc.ir import (
    Add,
    Affine,
    Conv,
    Delay,
    Edge,
    Flatten,
    FloatArray,
    Graph,
    Identity,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
)

SAID = (Input, Affine, Conv, Pool, Flatten, Scale, Neuron, Readout)


def flat(graph: Graph) -> Graph:
    """The graph without nodes that NIR says by edges: identities and additions; delays become those of edges."""
    for node in graph.nodes:
        if isinstance(node, Delay):
            more = [Edge(e.source, e.target, e.delay + node.steps * (e.source == node.name)) for e in graph.edges]
            graph = graph.with_nodes(graph.nodes, more).without(node.name)
        elif isinstance(node, (Identity, Add)):
            graph = graph.without(node.name)
    return graph


def refused(graph: Graph) -> Iterator[Violation]:
    """Layers and connections that NIR cannot say."""
    for node in graph.nodes:
        yield from _refused(node)
    for what, found in (("Input", [n for n in graph.nodes if isinstance(n, Input)]), ("Readout", graph.readouts)):
        if len(found) != 1:
            yield Violation("network", f"number of {what} nodes", str(len(found)), "1")
    seen: set[tuple[str, str]] = set()
    for edge in graph.edges:
        if (edge.source, edge.target) in seen:
            yield Violation(edge.target, f"edges from {edge.source}", "several", "one", "Add their weights.")
        seen.add((edge.source, edge.target))
        if isinstance(graph[edge.target], Readout) and not (isinstance(graph[edge.source], Neuron) and not edge.delay):
            allowed = "a population, without a delay"
            yield Violation(edge.target, "source", f"{edge.source}, {edge.delay} steps before", allowed)


def _refused(node: Node) -> Iterator[Violation]:
    if not isinstance(node, SAID):
        names = ", ".join(sorted(cls.__name__ for cls in SAID))
        yield Violation(node.name, "layer", type(node).__name__, names)
    elif isinstance(node, Pool) and (node.pooling == "max" or len(node.kernel) != 2):
        yield Violation(node.name, "pooling", f"{node.pooling}, {len(node.kernel)} axes", "sum or avg, 2 axes")
    elif isinstance(node, Scale) and np.any(np.asarray(node.shift)):
        yield Violation(node.name, "shift", "given", "0", "Run the pass fuse-batch-norm first.")
    elif isinstance(node, (Affine, Conv)) and node.host is not None:
        yield Violation(node.name, "host", "given", "none in NIR")
    elif isinstance(node, Input) and node.encoding == "constant":
        yield Violation(node.name, "encoding", "constant", "spikes or direct")


def written(node: Node, shape: Shape) -> dict[str, Any]:
    """Type and fields of a primitive without state.

    Args:
        node: one that is not refused.
        shape: shape of its input.
    """
    if isinstance(node, Affine):
        bias = {} if _no_bias(node.bias) else {"bias": np.asarray(node.bias)}
        return {"type": "Affine" if bias else "Linear", "weight": np.asarray(node.weight), **bias}
    if isinstance(node, Conv):
        return _conv(node, shape)
    if isinstance(node, Pool):
        kind = "SumPool2d" if node.pooling == "sum" else "AvgPool2d"
        sizes = {"kernel_size": node.kernel, "stride": node.stride, "padding": node.padding}
        return {"type": kind, **{key: np.array(value) for key, value in sizes.items()}}
    if isinstance(node, Scale):
        return {"type": "Scale", "scale": np.array(np.broadcast_to(np.asarray(node.gain), shape))}
    if isinstance(node, Flatten):
        return {"type": "Flatten", "start_dim": 0, "end_dim": -1, "input_type": np.array(shape)}
    return {"type": "Input" if isinstance(node, Input) else "Output", "shape": np.array(shape)}


def _conv(node: Conv, shape: Shape) -> dict[str, Any]:
    """NIR's convolutions always have a bias; those of one axis have plain numbers where others have arrays."""
    rank = len(node.stride)
    bias: FloatArray = np.zeros(node.weight.shape[0]) if node.bias is None else np.asarray(node.bias)
    sizes = {"input_shape": shape[1:], "stride": node.stride, "padding": node.padding, "dilation": node.dilation}
    plain = {key: int(value[0]) if rank == 1 else np.array(value) for key, value in sizes.items()}
    weight = np.asarray(node.weight)
    return {"type": f"Conv{rank}d", "weight": weight, "bias": bias, "groups": node.groups, **plain}


def _no_bias(bias: Any) -> bool:
    return bias is None or not np.any(bias)


def remarks(node: Node) -> Iterator[Violation]:
    """What other readers make of a layer."""
    if isinstance(node, Conv):
        kernel = node.weight.shape[2:]
        if node.groups > 1 or len(set(kernel)) > 1:
            found = f"{node.groups} groups, kernel {'x'.join(map(str, kernel))}"
            fix = "nir 1.0.8 counts its shapes wrong: read the file with type_check=False."
            yield Violation(node.name, "convolution", found, "1 group and a square kernel for nir 1.0.8", fix)
    if isinstance(node, Input) and node.encoding == "direct":
        yield Violation(node.name, "input", "analog values", "not said by NIR", "Feed it values, not spikes.")
