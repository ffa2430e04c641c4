"""Integer sums of products by matrix multiplication in floats that are proven wide enough.

If the sum of magnitudes of all products of one result is at most 2**24, every partial sum in any order is a float32
without rounding; 2**53 for float64. Beyond that 64-bit integers multiply.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import bounds
from snnc.engine.plan import Convolution, Dense, Sparse
from snnc.ir import IntArray

Numbers = npt.NDArray[Any]
Operator = Dense | Convolution | Sparse
MATRIX = 1 << 22
"""Entries up to which triples are multiplied as a matrix."""
BLOCK = 1 << 23
"""Numbers that patches of a convolution hold at once."""


def exact_dtype(peak: int) -> type[Any]:
    """The fastest type in which sums up to this magnitude are exact."""
    if peak <= 1 << 24:
        return np.float32
    return np.float64 if peak <= 1 << 53 else np.int64


class Prepared:
    """An operator with its weights in the types that multiply.

    Attributes:
        operator: what it stands for.
        gain: largest sum of magnitudes of weights of one target.
        share: neurons that may stand at one place of a convolution: what they send is added up in the same type.
    """

    def __init__(self, operator: Operator, size: int) -> None:
        self.operator, self.size = operator, size
        self.gain = bounds.gain(operator, size)
        self.share = bounds.crowd(operator) if isinstance(operator, Convolution) else 1
        self._cast: dict[type[Any], Numbers] = {}

    def __call__(self, x: Numbers, top: int) -> IntArray:
        """Sums of products.

        Args:
            x: [rows, neurons of the source], whole numbers.
            top: no magnitude in x is larger.
        """
        dtype = exact_dtype(max(self.gain, self.share) * max(top, 1))
        if isinstance(self.operator, Dense):
            return np.asarray(x.astype(dtype) @ self._weights(dtype).T).astype(np.int64)
        if isinstance(self.operator, Sparse):
            return self._sparse(self.operator, x, dtype)
        return self._convolved(self.operator, x, dtype)

    def _weights(self, dtype: type[Any]) -> Numbers:
        if dtype not in self._cast:
            operator = self.operator
            if isinstance(operator, Sparse):
                self._cast[dtype] = matrix(operator, self.size).astype(dtype)
            else:
                self._cast[dtype] = operator.weight.astype(dtype)
        return self._cast[dtype]

    def _sparse(self, operator: Sparse, x: Numbers, dtype: type[Any]) -> IntArray:
        if x.shape[1] * self.size <= MATRIX:
            return np.asarray(x.astype(dtype) @ self._weights(dtype).T).astype(np.int64)
        source = np.repeat(np.arange(x.shape[1]), np.diff(operator.start))
        rows = np.argsort(operator.index, kind="stable")
        index, value = operator.index[rows], operator.value[rows].astype(np.int64)
        targets, start = np.unique(index, return_index=True)
        y = np.zeros((x.shape[0], self.size), dtype=np.int64)
        for low in range(0, x.shape[0], step := max(1, BLOCK // max(index.size, 1))):
            part = x[low : low + step][:, source[rows]].astype(np.int64) * value
            y[low : low + step, targets] = np.add.reduceat(part, start, axis=1)
        return y

    def _convolved(self, operator: Convolution, x: Numbers, dtype: type[Any]) -> IntArray:
        weight = self._weights(dtype)
        y = np.empty((x.shape[0], self.size), dtype=np.int64)
        made, kernel = operator.made, weight.shape[1:]
        each = operator.groups * int(np.prod(kernel)) * made[1] * made[2]
        for low in range(0, x.shape[0], step := max(1, BLOCK // each)):
            image = _image(operator, x[low : low + step].astype(dtype))
            part = convolved(image, weight, operator.stride, operator.padding, operator.dilation, operator.groups)
            y[low : low + step] = part.astype(np.int64).reshape(part.shape[0], -1)
        return y


def applied(operator: Operator, x: Numbers, size: int) -> IntArray:
    """Sums of products of one operator, [rows, neurons of the target]; for a few rows.

    Args:
        operator: what is applied.
        x: [rows, neurons of the source].
        size: neurons of the target.
    """
    return Prepared(operator, size)(x, largest(x))


def largest(x: Numbers) -> int:
    """Largest magnitude."""
    return max(abs(int(x.min())), abs(int(x.max()))) if x.size else 0


def convolved(
    image: Numbers, weight: Numbers, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int],
    groups: int,
) -> Numbers:  # fmt: skip
    """Cross-correlation by patches and matrix multiplication: [rows, channels, h, w] -> [rows, h, w, channels]."""
    wide = np.pad(image, ((0, 0), (0, 0), *((p, p) for p in padding)))
    reach = tuple(d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilation, strict=True))
    seen = np.lib.stride_tricks.sliding_window_view(wide, reach, axis=(2, 3))  # type: ignore[call-overload]
    seen = seen[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    rows, height, width = seen.shape[0], seen.shape[2], seen.shape[3]
    out, into = weight.shape[0] // groups, weight.shape[1]
    parts: list[Numbers] = []
    for group in range(groups):
        patch = seen[:, group * into : (group + 1) * into].transpose(0, 2, 3, 1, 4, 5)
        flat = patch.reshape(rows * height * width, -1)
        taps = weight[group * out : (group + 1) * out].reshape(out, -1)
        parts.append((flat @ taps.T).reshape(rows, height, width, out))
    return np.concatenate(parts, axis=3)


def matrix(operator: Sparse, size: int) -> IntArray:
    """Triples as [neurons of the target, neurons of the source]."""
    sources = operator.start.size - 1
    found = np.zeros((size, sources), dtype=np.int64)
    np.add.at(found, (operator.index, np.repeat(np.arange(sources), np.diff(operator.start))), operator.value)
    return found


def _image(operator: Convolution, x: Numbers) -> Numbers:
    """What the convolution sees: neurons at their places, those of one place added up."""
    flat = np.zeros((x.shape[0], int(np.prod(operator.given))), dtype=x.dtype)
    of = np.flatnonzero(operator.place >= 0)
    to = operator.place[of]
    rows = np.argsort(to, kind="stable")
    of, to = of[rows], to[rows]
    time = np.arange(to.size) - np.searchsorted(to, to, "left")
    for layer in range(int(time.max()) + 1 if time.size else 0):
        now = time == layer
        flat[:, to[now]] += x[:, of[now]]
    return flat.reshape(x.shape[0], *operator.given)
