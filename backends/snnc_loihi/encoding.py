"""What a Loihi simulator makes of the integer weights it is given: clip, then clear the bits that are not stored.

Lava does this once, in the first step of a run (Dense, DelayDense, Sparse; Conv encodes nothing). Weights that
:mod:`snnc_loihi` emits lie on the grid already, so that encoding leaves them as they are; the function serves for
weights that come from elsewhere.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.ir import Fixed, Format
from snnc_loihi.plan import UNIT_BITS

SignMode = Literal["auto", "mixed", "excitatory", "inhibitory"]
Engine = Literal["lava", "brian2"]


def resolve(weights: npt.NDArray[np.int64], sign_mode: SignMode) -> SignMode:
    """The sign mode that ``auto`` stands for: one sign in the whole matrix, else mixed."""
    if sign_mode != "auto":
        return sign_mode
    if weights.size == 0 or weights.min() >= 0:
        return "excitatory"
    return "inhibitory" if weights.max() <= 0 else "mixed"


def encode(
    weights: npt.ArrayLike,
    sign_mode: SignMode = "auto",
    num_weight_bits: int = 8,
    weight_exp: int = 0,
    engine: Engine = "lava",
) -> Fixed:
    """The weights that the engine computes with, in units of u and v (one unit of weight is 64 of them).

    With ``k = 8 - num_weight_bits`` (one more when mixed, for the sign)::

        mixed        w = clip(w, -256, 255);  w = (w >> k) << k        brian2: sign(w) * ((|w| >> k) << k)
        excitatory   w = clip(w, 0, 255);     w = (w >> k) << k
        inhibitory   w = -((clip(-w, 0, 255) >> k) << k)

    The value of a weight is ``w * 2**(6 + weight_exp)``. Lava shifts the sum of one step, not each weight, so with a
    negative exponent the integers agree with Lava only as far as every sum is a multiple of ``2**-weight_exp``.
    brian2-loihi floors each weight to a multiple of 64 and clips it to +-(2**21 - 64) instead.

    Args:
        weights: integers of any shape.
        sign_mode: ``auto`` looks at the whole matrix, as Lava does.
        num_weight_bits: 1 to 8, the sign included when mixed.
        weight_exp: -8 to 7.
        engine: whose rule.

    Raises:
        InputError: a width, an exponent or a number type that no engine has.
    """
    given = np.asarray(weights)
    if given.dtype.kind not in "iub":
        raise InputError(f"Loihi weights are integers, not {given.dtype}")
    if not 1 <= num_weight_bits <= 8 or not -8 <= weight_exp <= 7:
        raise InputError(f"{num_weight_bits} weight bits with exponent {weight_exp}: 1 to 8 bits and -8 to 7 exist")
    w = given.astype(np.int64)
    mode = resolve(w, sign_mode)
    k = 8 - num_weight_bits + int(mode == "mixed")
    raw = _mantissa(w, mode, k, engine)
    if engine == "brian2":
        return _per_weight(raw << k, weight_exp)
    width = num_weight_bits + int(mode == "inhibitory")
    return Fixed(raw, Format(width, -(UNIT_BITS + k + weight_exp), signed=mode != "excitatory"))


def _mantissa(w: npt.NDArray[np.int64], mode: SignMode, k: int, engine: Engine) -> npt.NDArray[np.int64]:
    if mode == "inhibitory":
        return np.asarray(-(np.clip(-w, 0, 256 if engine == "brian2" else 255) >> k))
    if mode == "excitatory":
        return np.asarray(np.clip(w, 0, 255) >> k)
    if engine == "brian2":
        return np.asarray(np.sign(w) * (np.minimum(np.abs(w), 256) >> k))
    return np.asarray(np.clip(w, -256, 255) >> k)


def _per_weight(w: npt.NDArray[np.int64], weight_exp: int) -> Fixed:
    top = (1 << 15) - 1
    units = w << weight_exp if weight_exp >= 0 else w >> -weight_exp
    return Fixed(np.clip(units, -top, top), Format(16, -UNIT_BITS))
