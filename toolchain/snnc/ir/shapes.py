"""Shape inference: the shape of each node's output, per sample and step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from snnc.errors import GraphError, Violation
from snnc.ir.catalog import POPULATIONS
from snnc.ir.nodes import Affine, Concat, Conv, Flatten, Inhibit, Input, Node, Pool

Shape = tuple[int, ...]


def _bad(node: Node, quantity: str, found: object, allowed: object, fix: str = "") -> GraphError:
    return GraphError(str(Violation(node.name, quantity, str(found), str(allowed), fix)))


def _affine(node: Affine, x: Shape) -> Shape:
    if len(node.weight.shape) != 2:
        raise _bad(node, "weight shape", node.weight.shape, "(out, in)")
    out, into = node.weight.shape
    if x != (into,):
        raise _bad(node, "input shape", x, (into,), "Flatten before a dense layer.")
    if node.bias is not None and node.bias.shape != (out,):
        raise _bad(node, "bias shape", node.bias.shape, (out,))
    return (out,)


def _window(node: Node, size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if out < 1:
        raise _bad(node, "kernel", kernel, f"at most {size + 2 * padding} (the padded input)")
    return out


def _conv(node: Conv, x: Shape) -> Shape:
    weight = node.weight.shape
    rank = len(weight) - 2
    if rank not in (1, 2):
        raise _bad(node, "weight shape", weight, "(out, in/groups, k) or (out, in/groups, k, k)")
    for key in ("stride", "padding", "dilation"):
        if len(getattr(node, key)) != rank:
            raise _bad(node, key, getattr(node, key), f"{rank} numbers")
    if len(x) != rank + 1 or x[0] != weight[1] * node.groups:
        raise _bad(node, "input shape", x, f"({weight[1] * node.groups}, {rank} spatial axes)")
    if node.groups < 1 or weight[0] % node.groups:
        raise _bad(node, "groups", node.groups, f"a divisor of {weight[0]} output channels")
    if node.bias is not None and node.bias.shape != (weight[0],):
        raise _bad(node, "bias shape", node.bias.shape, (weight[0],))
    space = zip(x[1:], weight[2:], node.stride, node.padding, node.dilation, strict=True)
    return (weight[0], *(_window(node, *axis) for axis in space))


def _pool(node: Pool, x: Shape) -> Shape:
    rank = len(node.kernel)
    if len(x) != rank + 1 or len(node.stride) != rank or len(node.padding) != rank:
        raise _bad(node, "input shape", x, f"(channels, {rank} spatial axes)")
    space = zip(x[1:], node.kernel, node.stride, node.padding, strict=True)
    return (x[0], *(_window(node, *axis) for axis in space))


def _concat(node: Concat, inputs: Sequence[Shape]) -> Shape:
    axis, first = node.axis, inputs[0]
    for shape in inputs[1:]:
        if shape[:axis] != first[:axis] or shape[axis + 1 :] != first[axis + 1 :]:
            raise _bad(node, "input shapes", list(inputs), f"equal but for axis {axis}")
    return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])


def output_shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Shape of the node's output for the shapes of its incoming edges.

    Raises:
        GraphError: the shapes do not fit the node.
    """
    if isinstance(node, Input):
        return node.shape
    if isinstance(node, Concat):
        return _concat(node, inputs)
    x = inputs[0]
    if any(shape != x for shape in inputs):
        raise _bad(node, "input shapes", list(inputs), "one shape (incoming edges are summed)")
    if isinstance(node, Affine):
        return _affine(node, x)
    if isinstance(node, Conv):
        return _conv(node, x)
    if isinstance(node, Pool):
        return _pool(node, x)
    if isinstance(node, Flatten):
        return (math.prod(x),)
    if isinstance(node, POPULATIONS) and x != node.shape:
        raise _bad(node, "input shape", x, node.shape)
    if isinstance(node, Inhibit) and sum(node.groups) != math.prod(x):
        raise _bad(node, "groups", sum(node.groups), math.prod(x))
    return x
