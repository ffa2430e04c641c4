"""The grid of weights that a Loihi synapse stores: an 8-bit mantissa with low bits cleared, and one exponent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import IntArray
from snnc_loihi.plan import UNIT_BITS

EXPONENTS = range(8)
WIDTHS = (8, 6, 5, 4, 3, 2, 1)
"""Stored widths, widest first; Loihi 1 has none of 7 bits."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Weights as Lava takes them: ``w * 2**exponent`` accumulator units each."""

    w: IntArray
    exponent: int
    bits: int
    mixed: bool


def step(bits: int, *, mixed: bool) -> int:
    """Distance of neighbouring weights of this width; the sign costs a bit."""
    return 1 << (8 - bits + int(mixed))


def encode(matrix: IntArray, shift: int, *, bits: int, signed: bool) -> Encoded | None:
    """Finds the mantissa and the exponent that store ``matrix << shift`` state units without loss.

    Args:
        matrix: integers.
        shift: power of two to state units.
        bits: the width that was asked for; kept if it holds the weights.
        signed: store a sign bit even if no weight is negative.

    Returns:
        The weights, or None if no mantissa and exponent give them.
    """
    mixed = signed or bool(np.any(matrix < 0))
    spare = _trailing_zeros(matrix)
    scale = shift - UNIT_BITS
    if spare is None:
        return Encoded(np.zeros_like(matrix), 0, bits, mixed)
    low, high = (-256, 254) if mixed else (0, 255)
    asked = scale - (8 - bits + int(mixed))
    for exponent in (asked, *EXPONENTS):
        up = scale - exponent
        if exponent not in EXPONENTS or up + spare < int(mixed):
            continue
        w = matrix << up if up >= 0 else matrix >> -up
        if int(w.min()) >= low and int(w.max()) <= high:
            return Encoded(w, exponent, _width(up + spare, bits, mixed=mixed), mixed)
    return None


def describe(matrix: IntArray, shift: int) -> str:
    """The weights in words, for a refusal."""
    spare = _trailing_zeros(matrix) or 0
    unit = 2.0 ** (shift - UNIT_BITS)
    return f"{int(matrix.min()) * unit:g} to {int(matrix.max()) * unit:g} in steps of {2**spare * unit:g}"


def _trailing_zeros(matrix: IntArray) -> int | None:
    """Zero bits at the low end that all numbers share; None if all are zero."""
    union = int(np.bitwise_or.reduce(np.abs(matrix), axis=None)) if matrix.size else 0
    return (union & -union).bit_length() - 1 if union else None


def _width(zeros: int, asked: int, *, mixed: bool) -> int:
    fits = [bits for bits in (asked, 8) if bits in WIDTHS and (1 << zeros) % step(bits, mixed=mixed) == 0]
    return fits[0] if fits else 8
