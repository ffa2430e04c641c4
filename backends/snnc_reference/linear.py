"""Linear nodes and pooling, one function per node type, for float64 and int64 arrays alike.

Signals have shape [B, *shape]; several signals may ride in further leading axes.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError
from snnc.ir import Scale, TimeScale

Array = npt.NDArray[Any]


def index(head: tuple[Any, ...], tail: tuple[Any, ...]) -> tuple[Any, ...]:
    """One index tuple of two (Python 3.10 has no star in a subscript)."""
    return head + tail


def affine(x: Array, weight: Array) -> Array:
    """``y[b, o] = sum_i weight[o, i] * x[b, i]``."""
    return np.asarray(x @ weight.T)


def conv(
    x: Array, weight: Array, stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], groups: int
) -> Array:
    """Cross-correlation over 1 or 2 spatial axes: one shifted, strided slice of x per kernel position."""
    space = x.shape[2:]
    kernel = weight.shape[2:]
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(space, kernel, stride, padding, dilation, strict=True)
    )
    per_in, per_out = weight.shape[1], weight.shape[0] // groups
    y = np.zeros((x.shape[0], weight.shape[0], *out), dtype=np.result_type(x, weight))
    for position in product(*(range(k) for k in kernel)):
        window = tuple(
            slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in zip(position, dilation, stride, out, strict=True)
        )
        for g in range(groups):
            rows = slice(g * per_out, (g + 1) * per_out)
            patch = padded[index((slice(None), slice(g * per_in, (g + 1) * per_in)), window)]
            taps = weight[index((rows, slice(None)), position)]
            y[:, rows] += np.einsum("oc,bc...->bo...", taps, patch)
    return y


def scale(node: Scale | TimeScale, x: Array, step: int, steps: int) -> Array:
    """``gain * x + shift``, or this step's ``gain[step] * x``.

    Raises:
        TraceError: the run has more steps than there are gains.
    """
    gain = np.asarray(node.gain)
    if isinstance(node, Scale):
        return np.asarray(gain * x + np.asarray(node.shift))
    if len(gain) < steps:
        raise TraceError(f"{node.name}: the input has {steps} steps, allowed are {len(gain)}: one gain for each")
    return np.asarray(gain[step] * x)


def pool(x: Array, kind: str, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> Array:
    """Sum or maximum over windows; padding adds zeros to a sum and never wins a maximum of spikes."""
    lead = x.ndim - len(kernel)
    padded = np.pad(x, [*(((0, 0),) * lead), *((p, p) for p in padding)])
    out = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape[lead:], kernel, stride, padding, strict=True))
    y: Array | None = None
    for position in product(*(range(k) for k in kernel)):
        window = tuple(slice(k, k + s * (n - 1) + 1, s) for k, s, n in zip(position, stride, out, strict=True))
        part = padded[index((slice(None),) * lead, window)]
        if y is None:
            y = part.copy()
        else:
            y = np.maximum(y, part) if kind == "max" else y + part
    assert y is not None
    return y
