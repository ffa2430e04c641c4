"""Linear nodes and pooling as standard operators that are exact on int64 and float64 alike.

ONNX has no integer convolution, so windows are gathered axis by axis (``[B, C, k0, o0, k1, o1]``) and multiplied
with ``MatMul``, which onnxruntime executes in int64.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from snnc.formats.onnx_emit import Emitter
from snnc.ir import Conv, Pool

Shape = tuple[int, ...]


def window_index(kernel: int, out: int, stride: int, dilation: int) -> npt.NDArray[np.int64]:
    """Index [kernel, out] into a padded axis: ``k * dilation + o * stride``."""
    taps = np.arange(kernel, dtype=np.int64) * dilation
    return np.asarray(taps[:, np.newaxis] + np.arange(out, dtype=np.int64) * stride, dtype=np.int64)


def windows(
    e: Emitter, x: str, padding: Shape, kernel: Shape, out: Shape, stride: Shape, dilation: Shape, zero: str
) -> str:
    """All windows of x [B, C, *space]: [B, C, k0, o0, k1, o1]."""
    if any(padding):
        pads = (0, 0, *padding, 0, 0, *padding)
        x = e.op("Pad", x, e.constant(pads), zero)
    for axis, size in enumerate(kernel):
        index = e.constant(window_index(size, out[axis], stride[axis], dilation[axis]))
        x = e.op("Gather", x, index, axis=2 + 2 * axis)
    return x


def conv_matrix(e: Emitter, weight: str, node: Conv) -> str:
    """The weight (out, in/groups, *kernel) as [groups, in/groups * kernel, out/groups]."""
    out, per_in, *kernel = node.weight.shape
    flat = e.constant((node.groups, out // node.groups, per_in * math.prod(kernel)))
    return e.op("Transpose", e.op("Reshape", weight, flat), perm=[0, 2, 1])


def conv(e: Emitter, x: str, matrix: str, node: Conv, shapes: tuple[Shape, Shape], zero: str) -> str:
    """Cross-correlation of x with a weight from :func:`conv_matrix`; ``shapes`` are those of x and of the result."""
    into, result = shapes
    kernel, out = tuple(node.weight.shape[2:]), result[1:]
    rank, per_in = len(kernel), into[0] // node.groups
    x = windows(e, x, node.padding, kernel, out, node.stride, node.dilation, zero)
    sides = [side for pair in zip(kernel, out, strict=True) for side in pair]
    x = e.op("Reshape", x, e.constant((-1, node.groups, per_in, *sides)))
    taps, places = [3 + 2 * i for i in range(rank)], [4 + 2 * i for i in range(rank)]
    x = e.op("Transpose", x, perm=[0, 1, *places, 2, *taps])
    x = e.op("Reshape", x, e.constant((-1, node.groups, math.prod(out), per_in * math.prod(kernel))))
    y = e.op("Transpose", e.op("MatMul", x, matrix), perm=[0, 1, 3, 2])
    return e.op("Reshape", y, e.constant((-1, *result)))


def pool(e: Emitter, x: str, node: Pool, result: Shape, zero: str) -> str:
    """Sum, average or maximum over windows; padding holds zeros, as in the reference."""
    rank = len(node.kernel)
    x = windows(e, x, node.padding, node.kernel, result[1:], node.stride, (1,) * rank, zero)
    if node.pooling == "max":
        for axis, size in enumerate(node.kernel):
            x = _largest(e, x, 2 + axis, size)
        return x
    y = e.op("ReduceSum", x, e.constant([2 + 2 * i for i in range(rank)]), keepdims=0)
    return e.op("Div", y, e.constant(math.prod(node.kernel), np.float64)) if node.pooling == "avg" else y


def _largest(e: Emitter, x: str, axis: int, size: int) -> str:
    """The maximum along one axis, which goes; ``ReduceMax`` shares the fault of ``Max`` on int64."""
    best = e.op("Gather", x, e.constant(0), axis=axis)
    for i in range(1, size):
        best = e.larger(best, e.op("Gather", x, e.constant(i), axis=axis))
    return best
