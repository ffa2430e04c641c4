"""Convolutions of few channels as tables: what the spikes of one strip of the window add to all outputs of a position.

A strip is one row of the window over all input channels, or one place of it; the strip's spikes, as bits, are the
number of a row of sums. See ``kernels/lookup.h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.layout import TABLE16
from snnc.engine.plan import Convolution

Array = npt.NDArray[Any]
Packed = tuple[dict[str, int], dict[str, Array]]
OUTPUTS = (8, 16, 32)
"""Channels of the output that fill a vector."""
STRIP_BITS, LOOKS, TABLE_BYTES = 10, 12, 1 << 18
"""Limits beyond which tables leave the caches and events do better: bits of a strip, strips of a window, bytes."""
PLANES = 3
NEAR, WORD, BYTE = 8, 64, 8
"""Columns whose strips the kernels take from one word of bits."""


@dataclass(frozen=True)
class Strips:
    """How the bits of strips lie, as ``kernels/lookup.h`` reads it; ``order``: axes of the weights in order of bits."""

    planes: int
    apart: int
    row: int
    step: int
    first: int
    width: int
    columns: int
    across: int
    far: int
    hop: int
    order: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Spikes of a strip."""
        return self.planes * self.width

    def fit(self) -> bool:
        """True if the strips of NEAR columns lie in one word, wherever it begins."""
        lies = any(value % BYTE for value in (self.step, self.row, self.first, self.apart if self.planes > 1 else 0))
        reach = (BYTE - 1) * int(lies) + (NEAR - 1) * self.step + self.width
        return self.bits <= STRIP_BITS and reach <= WORD and -self.first <= WORD - BYTE


def table(op: Convolution, fan: Array) -> Packed | None:
    """Tables of a convolution whose sums fit 16 bits; None where events do better.

    Args:
        op: the convolution.
        fan: int32 [sources]: how many outputs each source reaches.
    """
    outs, _, height, _ = op.weight.shape
    s = _strips(op)
    if s is None or outs not in OUTPUTS or op.groups > 1 or not s.fit() or height * s.across > LOOKS:
        return None
    if (height * s.across * outs * 2) << s.bits > TABLE_BYTES:
        return None
    values = (np.arange(1 << s.bits)[:, None] >> np.arange(s.bits)) & 1
    weight = op.weight.astype(np.int64).transpose(*s.order, 0).reshape(height, s.across, s.bits, outs)
    start = (
        op.given[1], height, op.stride[0], op.padding[0], op.dilation[0], s.planes, s.apart, s.row, s.step, s.first,
        s.width, s.bits, s.columns, s.across, s.far, s.hop,
    )  # fmt: skip
    scalars = {"kind": TABLE16, "made_h": op.made[1], "made_w": op.made[2], "made_c": outs}
    return scalars, {
        "data": (values @ weight).astype(np.int16), "start": np.array(start, dtype=np.int64),
        "index": _inside(op, s), "fan": fan,
    }  # fmt: skip


def _inside(op: Convolution, s: Strips) -> Array:
    """For each column the bits of a strip's piece that lie in the image; the others belong to its neighbours' rows."""
    each = s.width * s.planes // (op.given[0] if s.planes == 1 else s.planes)
    at = np.arange(s.columns)[:, None] * (op.stride[1] if s.across == 1 else 1) - op.padding[1] + np.arange(each)
    valid = np.repeat((at >= 0) & (at < op.given[2]), s.width // each, axis=1)
    return np.asarray((valid.astype(np.int64) << np.arange(s.width)).sum(axis=1))


def _strips(op: Convolution) -> Strips | None:
    """Rows of the window if they are short, places otherwise; None unless sources are all positions in order."""
    channels, high, wide = op.given
    width = op.weight.shape[3]
    if op.place.size != channels * high * wide:
        return None
    last = np.array_equal(op.place.reshape(-1, channels), _last(channels, high * wide))
    if not last and (channels > PLANES or not np.array_equal(op.place, np.arange(op.place.size))):
        return None
    whole = width * channels <= STRIP_BITS and op.dilation[1] == 1
    each, planes = (channels, 1) if last else (1, channels)
    strip, hop = (width, op.stride[1]) if whole else (1, 1)
    columns = op.made[2] if whole else wide + 2 * op.padding[1]
    down = (2, 3, 1) if last else (2, 1, 3)
    return Strips(
        planes, high * wide, wide * each, hop * each, -op.padding[1] * each, strip * each,
        -(-columns // NEAR) * NEAR, 1 if whole else width, op.dilation[1], 1 if whole else op.stride[1],
        down if whole else (2, 3, 1),
    )  # fmt: skip


def _last(channels: int, positions: int) -> Array:
    return np.arange(positions)[:, None] + np.arange(channels) * positions
