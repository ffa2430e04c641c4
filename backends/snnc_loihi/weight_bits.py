"""The fewest weight bits and the exponent that hold a matrix of 8-bit weights exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.ir import IntArray
from snnc_loihi.encoding import SignMode, resolve

RANGES: dict[str, tuple[int, int]] = {"mixed": (-256, 254), "excitatory": (0, 255), "inhibitory": (-255, 0)}
LARGEST_DIVISOR = 8


@dataclass(frozen=True, eq=False)
class OptimizedWeights:
    """Weights with the same products as before: ``weights * 2**weight_exp`` is what was given.

    Attributes:
        weights: integers of the given shape.
        num_weight_bits: width that holds them, the sign included when mixed; 0 if all are zero and have one sign.
        weight_exp: at most 0.
        sign_mode: what ``auto`` stood for.
    """

    weights: IntArray
    num_weight_bits: int
    weight_exp: int
    sign_mode: SignMode


def optimize_weight_bits(
    weights: npt.ArrayLike, sign_mode: SignMode = "auto", *, loihi2: bool = False
) -> OptimizedWeights:
    """Moves weights as far up as 8 bits allow and counts the bits that are left (lava-nc 0.10.0, lava.utils).

    ``s = floor(log2(scale))`` with ``scale = 255 / max|w|`` for one sign; for both, ``s`` is one more than that of
    ``scale = min(127/max, -128/min)``. Then ``w << s``, exponent ``-s`` and ``8 - s - n`` bits, where ``2**n`` is the
    largest power of two that divides all weights, 256 at most (n is one less when mixed). Nothing is lost: every
    product stays, because each weight becomes a multiple of ``2**s``.

    Two defects of the original are refused instead of copied. In lava.utils a mixed matrix that holds a 255 passes the
    checks and comes back as zeros, because its scale asks for a shift by -1; and a mixed matrix with an odd weight and
    one beyond -128..127 comes back with 9 bits, which no synapse stores (Dense clears the last bit without a word).
    The copy in lava.lib.dl.netx clips to 254, computes an inhibitory scale from -256, and calls a matrix inhibitory
    only if no weight is zero, so that its exponents may differ from these.

    Args:
        weights: integers of any shape.
        sign_mode: ``auto`` looks at the whole matrix.
        loihi2: give the weights in steps of their lowest stored bit, as Loihi 2's tools want them.

    Raises:
        InputError: no integers, no weight at all, or a weight that 8 bits of this sign mode do not hold.
    """
    given = np.asarray(weights)
    if given.dtype.kind not in "iub" or given.size == 0:
        raise InputError(f"weights are integers, at least one, not {given.dtype} of shape {given.shape}")
    w = given.astype(np.int64)
    mode = resolve(w, sign_mode)
    low, high = RANGES[mode]
    if int(w.min()) < low or int(w.max()) > high:
        found = f"{int(w.min())} to {int(w.max())}"
        raise InputError(f"{mode} weights are {found}, allowed are {low} to {high}")
    mixed = int(mode == "mixed")
    shift = _headroom(int(w.min()), int(w.max()), mixed)
    bits = 8 - shift - (_zero_bits(w) - mixed)
    if bits > 8:
        raise InputError("where a mixed weight is beyond -128 to 127, 8 bits hold even ones only; an odd one needs 9")
    moved = w << shift
    if loihi2:
        step = 1 << (8 - bits + mixed)
        moved = np.sign(moved) * (np.abs(moved) // step)
    return OptimizedWeights(moved, bits, -shift, mode)


def _headroom(low: int, high: int, mixed: int) -> int:
    """How many times all weights can be doubled, 0 or more, in integers: no logarithm decides a tie."""
    if low == high == 0:
        return 0
    shift = 0
    while _fits(low << (shift + 1), high << (shift + 1), mixed):
        shift += 1
    return shift


def _fits(low: int, high: int, mixed: int) -> bool:
    return low >= -256 and high <= 254 if mixed else max(-low, high) <= 255


def _zero_bits(w: IntArray) -> int:
    """How many low bits are zero in every weight, 8 at most."""
    return next(n for n in range(LARGEST_DIVISOR, -1, -1) if not np.any(w & ((1 << n) - 1)))
