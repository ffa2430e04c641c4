"""Weights as the kernels read them: one row per sending neuron, in blocks of two interleaved halves."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.layout import CONV8, CONV16, DENSE8, DENSE16, DENSE32, SPARSE32, VECTOR
from snnc.engine.plan import Convolution, Dense, Sparse
from snnc.errors import UnsupportedError
from snnc.ir import IntArray

Array = npt.NDArray[Any]
Packed = tuple[dict[str, int], dict[str, Array]]
INT16, INT32 = 32767, (1 << 31) - 1
TILE_BYTES = 1 << 20
"""Weights of one tile; those that events touch stay in the second-level cache."""
WIDEST = 512
MANY_CHANNELS = 32
FEW_CHANNELS = 16
"""Up to here all stride phases get equally many rows: zeros cost less than branches that cannot be predicted."""


def tile_width(neurons: int, sources: int) -> int:
    """Neurons of a tile: 16, 32 or a multiple of 64, all tiles of a population alike."""
    if neurons <= 32:
        return 16 if neurons <= 16 else 32
    room = max(64, min(WIDEST, TILE_BYTES // max(1, sources)) // 64 * 64)
    tiles = -(-neurons // room)
    return -(-neurons // (tiles * 64)) * 64


def span(weight: Array) -> tuple[int, int]:
    """Smallest and largest weight, 0 included."""
    return (min(0, int(weight.min())), max(0, int(weight.max()))) if weight.size else (0, 0)


def dense_kind(low: int, high: int) -> int:
    """Narrowest packing that holds weights of a span."""
    if high - low <= 255:
        return DENSE8
    return DENSE16 if high - low <= 65535 else DENSE32


def offset_of(low: int, high: int, bits: int) -> int:
    """What is taken from weights of a span so that ``bits`` hold them."""
    half = 1 << (bits - 1)
    return 0 if -half <= low and high < half else low + half


def wide(op: Dense) -> Packed:
    """Plain rows of 32 bits."""
    return {"kind": DENSE32}, {"data": np.ascontiguousarray(_int32(op.weight).T)}


def rows_of(weight: Array, bits: int, tile: int) -> Array:
    """Rows of a dense operator in tiles, [tiles, sources, tile / 2]; see ``kernels/rows.h`` for the blocks."""
    tiles = -(-weight.shape[0] // tile)
    rows = np.zeros((tiles * tile, weight.shape[1]), dtype=np.int32)
    rows[: weight.shape[0]] = weight.astype(np.int32) - offset_of(*span(weight), bits)
    return _interleaved(rows.reshape(tiles, tile, -1).transpose(0, 2, 1), bits)


def taken_apart(data: Array, bits: int) -> Array:
    """The numbers [tiles, sources, tile] that :func:`rows_of` interleaved."""
    cuts = [cut // 2 for cut in _blocks(2 * data.shape[-1], 64 if bits == 8 else 32)]
    found = []
    for part in np.split(data.astype(np.int32), cuts, axis=-1):
        found += [(part & ((1 << bits) - 1)) - (1 << (bits - 1)), part >> bits]
    return np.concatenate(found, axis=-1)


def limit_of(low: int, high: int, bits: int) -> int:
    """Weights of a span that may be summed before a sum could leave a lane."""
    return (INT16 if bits == 8 else INT32) // max(1, -low, high)


def _blocks(width: int, block: int) -> list[int]:
    """Where the blocks of a row are cut: whole ones, then halves and quarters."""
    cuts = list(range(block, width + 1, block))
    at = cuts[-1] if cuts else 0
    while at < width:
        block //= 2
        if width - at >= block:
            at += block
            cuts.append(at)
    return cuts[:-1]


def _interleaved(rows: Array, bits: int) -> Array:
    """Rows along the last axis as words of two weights each, block by block."""
    word = np.int16 if bits == 8 else np.int32
    cuts = _blocks(rows.shape[-1], 64 if bits == 8 else 32)
    return np.concatenate([_words(part, bits).astype(word) for part in np.split(rows, cuts, axis=-1)], axis=-1)


def _words(part: Array, bits: int) -> Array:
    lower, upper = np.split(part.astype(np.int64), 2, axis=-1)
    return np.asarray((upper << bits) | (lower + (1 << (bits - 1))), dtype=np.int64)


def _int32(values: Array) -> Array:
    low, high = span(values)
    if low < -INT32 - 1 or high > INT32:
        raise UnsupportedError(f"a weight is {low if low < -INT32 else high}, the kernels hold 32 bits")
    return values.astype(np.int32)


def sparse(op: Sparse) -> Packed:
    """Rows of a sparse operator."""
    arrays: dict[str, Array] = {
        "start": op.start.astype(np.int64), "index": op.index.astype(np.int32), "data": _int32(op.value),
        "fan": np.diff(op.start).astype(np.int32),
    }  # fmt: skip
    return {"kind": SPARSE32}, arrays


def expanded(op: Convolution) -> Sparse:
    """A convolution as one list of weights for each sending neuron."""
    outs, _, height, width = op.weight.shape
    channels, given_h, given_w = op.given
    per_out, per_in = outs // op.groups, channels // op.groups
    at = np.flatnonzero(op.place >= 0)
    c, y, x = np.unravel_index(op.place[at], (channels, given_h, given_w))
    sources, targets, values = [], [], []
    for ky, kx in product(range(height), range(width)):
        up, left = y + op.padding[0] - ky * op.dilation[0], x + op.padding[1] - kx * op.dilation[1]
        oy, ox = up // op.stride[0], left // op.stride[1]
        hit = (up % op.stride[0] == 0) & (left % op.stride[1] == 0)
        hit &= (oy >= 0) & (oy < op.made[1]) & (ox >= 0) & (ox < op.made[2])
        to = (c[hit] // per_in * per_out)[:, None] + np.arange(per_out)
        sources.append(np.repeat(at[hit], per_out))
        targets.append((((oy[hit] * op.made[2] + ox[hit]) * outs)[:, None] + to).reshape(-1))
        values.append(op.weight[to, (c[hit] % per_in)[:, None], ky, kx].reshape(-1))
    source = np.concatenate(sources)
    by = np.argsort(source, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=op.place.size))])
    return Sparse(start.astype(np.int64), np.concatenate(targets)[by], np.concatenate(values)[by])


def vector(op: Dense | Convolution | Sparse, neurons: int) -> Packed:
    """What a population that sends 1 from all neurons adds in each step."""
    if isinstance(op, Dense):
        total: IntArray = op.weight.sum(axis=1, dtype=np.int64)
    else:
        op = expanded(op) if isinstance(op, Convolution) else op
        total = np.zeros(neurons, dtype=np.int64)
        np.add.at(total, op.index, op.value)
    return {"kind": VECTOR}, {"data": _int32(total)}


def fan_out(op: Convolution) -> Array:
    """Outputs that each source reaches."""
    down, across = (
        _reached(op.given[1 + k], op.made[1 + k], op.weight.shape[2 + k], op.stride[k], op.padding[k], op.dilation[k])
        for k in range(2)
    )
    each = np.broadcast_to(np.outer(down, across).reshape(-1), (op.given[0], down.size * across.size)).reshape(-1)
    reached = np.where(op.place >= 0, each[op.place], 0) * (op.weight.shape[0] // op.groups)
    return np.asarray(reached.astype(np.int32))


def conv(op: Convolution, bits: int) -> Packed:
    """Stride phases of a kernel: what a neuron adds is a few contiguous rows of the channel-last output.

    The neuron at (y, x) reaches the outputs ``(y + padding - ky) / stride`` of those ky alone that leave no remainder,
    so kernels are split by remainder; margins of the frame take what falls outside.
    """
    outs, many = op.weight.shape[0], _gathered(op)
    low, high = span(op.weight)
    offset = offset_of(low, high, 8)
    kernel = _filled(op.weight, op.dilation)
    padded = -(-outs // 16) * 16 if many else -(-outs // 8) * 8
    margin = tuple(-(-k // s) - 1 for k, s in zip(kernel.shape[2:], op.stride, strict=True))
    size = tuple(
        max((n - 1 + p) // s + 1 + m, o + m)
        for n, p, s, m, o in zip(op.given[1:], op.padding, op.stride, margin, op.made[1:], strict=True)
    )
    chunk = 8 if op.groups > 1 else next(k for k in (32, 16, 8) if padded % k == 0)
    geometry = (size[1], margin, padded)
    taps, weight, delta = _taps(op, kernel, geometry, offset if many else None)
    table = np.zeros((op.place.size, 6), dtype=np.int32)
    table[op.place >= 0] = taps.reshape(-1, 6)[op.place[op.place >= 0]]
    scalars = {
        "kind": CONV8 if many else CONV16, "offset": offset, "limit": limit_of(low, high, 8),
        "channels": op.given[0], "bits": bits, "chunk": chunk, "frame": size[0] * size[1] * padded + 64,
        "made_h": op.made[1], "made_w": op.made[2], "made_c": outs, "padded_c": padded, "stride": size[1] * padded,
        "origin": (margin[0] * size[1] + margin[1]) * padded,
    }  # fmt: skip
    table = np.ascontiguousarray(table[:: op.given[0]]) if many else table
    return scalars, {"table": table, "data": weight, "delta": delta, "fan": fan_out(op)}


def _gathered(op: Convolution) -> bool:
    """True if the events of a position can be summed in registers: many channels, bytes, neighbours in order."""
    channels, height, width = op.given
    low, high = span(op.weight)
    if op.groups > 1 or channels < MANY_CHANNELS or high - low > 255 or op.place.size % channels:
        return False
    place = op.place.reshape(-1, channels)
    known = bool(np.all((place[:, 0] >= 0) & (place[:, 0] < height * width)))
    return known and bool(np.all(place == place[:, :1] + np.arange(channels) * (height * width)))


def _filled(weight: Array, dilation: tuple[int, int]) -> Array:
    """A dilated kernel with its zeros."""
    outs, ins, height, width = weight.shape
    full = np.zeros((outs, ins, (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1), dtype=np.int16)
    full[:, :, :: dilation[0], :: dilation[1]] = weight
    return full


def _reached(given: int, made: int, kernel: int, stride: int, padding: int, dilation: int) -> IntArray:
    """Outputs along one axis that each position reaches."""
    up = np.arange(given)[:, None] + padding - np.arange(kernel)[None] * dilation
    return np.asarray(((up % stride == 0) & (up >= 0) & (up < made * stride)).sum(axis=1))


def _taps(
    op: Convolution, kernel: Array, geometry: tuple[int, tuple[int, ...], int], offset: int | None
) -> tuple[Array, Array, Array]:
    """For each neuron of the input where its rows lie; all weights; distances between rows.

    Args:
        op: the convolution.
        kernel: its weights with zeros between dilated ones.
        geometry: width of the frame, margins, channels of the frame.
        offset: what is taken from each weight of interleaved rows; None for rows of 16-bit weights.
    """
    wide, margin, padded = geometry
    per_out, per_in = op.weight.shape[0] // op.groups, op.weight.shape[1]
    c, y, x = np.indices(op.given)
    taps = np.zeros((*op.given, 6), dtype=np.int32)
    weights, deltas, used, rows_before = [], [], 0, 0
    for phase in product(range(op.stride[0]), range(op.stride[1])):
        sub = kernel[:, :, phase[0] :: op.stride[0], phase[1] :: op.stride[1]][:, :, :, ::-1]
        if padded <= FEW_CHANNELS and op.groups == 1:
            sub = np.pad(sub, ((0, 0), (0, 0), (0, margin[0] + 1 - sub.shape[2]), (margin[1] + 1 - sub.shape[3], 0)))
        across = sub.shape[3]
        here = ((y + op.padding[0]) % op.stride[0] == phase[0]) & ((x + op.padding[1]) % op.stride[1] == phase[1])
        packed, delta = _phase_rows(op, sub, padded, wide)
        run = packed.shape[2]
        at = (
            (y[here] + op.padding[0]) // op.stride[0] + margin[0],
            (x[here] + op.padding[1]) // op.stride[1] + margin[1],
        )
        group = c[here] // per_in * per_out if op.groups > 1 else 0
        start = (at[0] * wide + at[1] - (across - 1)) * padded + group
        each = packed.shape[1] * run
        first = used if offset is not None else used + c[here] * each
        for k, value in enumerate((start, first, packed.shape[1] if across else 0, run, rows_before)):
            taps[here, k] = value
        weights.append((packed if offset is None else _interleaved(packed - np.int16(offset), 8)).reshape(-1))
        deltas.append(delta)
        used, rows_before = used + packed.size, rows_before + delta.size
    return taps, np.concatenate([*weights, np.zeros(64, np.int16)]), np.concatenate([*deltas, [0]]).astype(np.int32)


def _phase_rows(op: Convolution, sub: Array, padded: int, wide: int) -> tuple[Array, Array]:
    """[channels, rows, run] of one phase, and how far each row lies from the first."""
    outs, per_in, high, across = sub.shape
    down = -np.arange(high) * wide * padded
    if op.groups == 1:
        rows = np.zeros((per_in, high, across, padded), dtype=np.int16)
        rows[..., :outs] = sub.transpose(1, 2, 3, 0)
        return rows.reshape(per_in, high, across * padded), down
    per_out = outs // op.groups
    rows = np.zeros((op.groups, per_in, high, across, -(-per_out // 8) * 8), dtype=np.int16)
    rows[..., :per_out] = sub.reshape(op.groups, per_out, per_in, high, across).transpose(0, 2, 3, 4, 1)
    delta = (down[:, None] + np.arange(across) * padded).reshape(-1)
    return rows.reshape(op.groups * per_in, high * across, rows.shape[-1]), delta
