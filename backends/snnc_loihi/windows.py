"""Convolutions as Lava's Conv process takes them: geometry, kernel order, and when Lava's model of it is exact."""

from __future__ import annotations

import math

import numpy as np

from snnc.ir import Conv, Fixed, IntArray
from snnc_loihi.plan import UNIT_BITS, Window

CONV_PAIRS = 64
"""Lava's Conv calls SciPy once per pair of channels and step; beyond this many a Dense process is faster."""
DENSE_WEIGHTS = 1 << 24
"""A convolution whose matrix is larger stays a Conv process whatever its number of channels."""
SUM_BITS = 23


def window_of(node: Conv, x: tuple[int, ...], y: tuple[int, ...]) -> Window:
    """The convolution's geometry with x first; a missing second axis is 1 long.

    Args:
        node: the convolution.
        x: its input shape, (channels, *space).
        y: its output shape.
    """

    def both(axes: tuple[int, ...], missing: int) -> tuple[int, int]:
        return (axes[-1], axes[0] if len(axes) == 2 else missing)

    return Window(
        (*both(x[1:], 1), x[0]), (*both(y[1:], 1), y[0]),
        both(node.stride, 1), both(node.padding, 0), both(node.dilation, 1), node.groups,
    )  # fmt: skip


def is_faster(window: Window) -> bool:
    """True if Lava's Conv takes less time than the matrix would."""
    pairs = window.in_shape[2] * window.out_shape[2] // window.groups
    return pairs <= CONV_PAIRS or math.prod(window.in_shape) * math.prod(window.out_shape) > DENSE_WEIGHTS


def is_exact(node: Conv, weight: Fixed) -> bool:
    """True if Lava's Conv computes this one: it keeps geometry in int8 and wraps its sums at 24 bits."""
    extent = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], node.dilation, strict=True)]
    numbers = (*extent, *node.stride, *(2 * p for p in node.padding), node.groups)
    scale = -weight.format.frac - UNIT_BITS
    if scale < 0 or max(numbers) > np.iinfo(np.int8).max:
        return False
    sums = np.abs(weight.raw).reshape(weight.shape[0], -1).sum(axis=1)
    return int(sums.max()) << scale < 1 << SUM_BITS


def kernel_of(weight: IntArray) -> IntArray:
    """(out, in, *space) for torch -> (out, x, y, in) for Lava, which convolves: the kernel is flipped."""
    four = weight if weight.ndim == 4 else weight[:, :, np.newaxis, :]
    return np.ascontiguousarray(four[:, :, ::-1, ::-1].transpose(0, 3, 2, 1))
