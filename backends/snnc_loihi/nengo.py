"""What nengo-loihi 1.1.0 does to numbers: the arithmetic of its emulator, and how it turns floats into registers.

Written from the specification of that package's behaviour, so that its blocks can be read and checked here; snnc's own
way to integers is :func:`snnc.quantize.shift.quantize_shift`. Where the original works in float32, so does this.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.ir import FloatArray, IntArray
from snnc.ir.fixed import shift_right, wrap

DECAY_ONE = 4096
BIAS_MANTISSA, BIAS_EXPONENT = 4095, 7
LOSS = 0.494
"""Mean loss of one truncated decay, as the authors found it by simulation."""


def decay_int(x: npt.ArrayLike, decay: npt.ArrayLike, offset: int = 0) -> IntArray:
    """One step of decay: ``sign(x) * (|x| * (4096 - offset - decay) >> 12)``.

    Args:
        x: states.
        decay: registers, 0 to 4096 - offset; broadcast against x.
        offset: 1 for the current, whose register counts one less than it takes away; 0 for the membrane.
    """
    kept = DECAY_ONE - offset - np.asarray(decay, dtype=np.int64)
    return shift_right(np.asarray(x, dtype=np.int64) * kept, 12, "toward_zero")


def decay_magnitude(decay: npt.ArrayLike, offset: int = 0, start: float = 2.0**21) -> FloatArray:
    """What all steps of a truncating decay add up to, relative to where it starts.

    With ``r = (4096 - offset - decay) / 4096`` and a loss of 0.494 in each step, ``y_n = r**n * start - loss * (...)``
    reaches 0 after ``n = -log1p(start * (1 - r) / loss) / log(r)`` steps; the sum of y up to there is the result.

    Raises:
        InputError: a register that keeps everything (the sum has no end) or more than everything.
    """
    taken = offset + np.asarray(decay, dtype=np.float64)
    if np.any(taken <= 0) or np.any(taken > DECAY_ONE):
        raise InputError(f"a decay with an end takes 1 to 4096 of 4096 away, not {float(taken.flat[0]):g}")
    r = (DECAY_ONE - taken) / DECAY_ONE
    with np.errstate(divide="ignore"):
        n = -np.log1p(start * (1 - r) / LOSS) / np.log(r)
    principal = (1 - r ** (n + 1)) / (1 - r)
    return np.asarray(principal - LOSS / ((1 - r) * start) * (n + 1 - principal), dtype=np.float64)


def overflow_signed(x: npt.ArrayLike, bits: int) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Keeps ``bits`` bits and the sign: the number, and whether it changed.

    Args:
        x: integers.
        bits: without the sign; 21 for the sum of weights, 23 for the current.
    """
    given = np.asarray(x, dtype=np.int64)
    kept = wrap(given, bits + 1)
    return kept, np.asarray(kept != given)


def bias_to_manexp(bias: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """A bias as mantissa and exponent, ``bias ~ mantissa * 2**exponent``; the smallest exponent that holds it.

    Raises:
        InputError: more than 4095 * 2**7.
    """
    given = np.asarray(bias, dtype=np.float64)
    exponent = np.ceil(np.log2(np.maximum(np.abs(given) / BIAS_MANTISSA, 1))).astype(np.int64)
    mantissa = np.rint(given / 2.0**exponent).astype(np.int64)
    if np.any(exponent > BIAS_EXPONENT):
        worst = float(given.flat[int(np.argmax(np.abs(given)))])
        raise InputError(f"bias is {worst:g}, allowed is at most {BIAS_MANTISSA << BIAS_EXPONENT}")
    return mantissa, exponent


def discretize_weights(weights: npt.ArrayLike, weight_exp: int) -> IntArray:
    """Mixed weights of 8 bits in units of the accumulator (one unit of weight is 64).

    ``k = clip(round(w / 2), -127, 127)``; where ``1 + weight_exp`` is negative, k is rounded once more to what the
    right shift keeps, because the shift alone would floor; the result is ``shift(k, 1 + weight_exp) << 6``. Computed
    in the float type of the weights.

    Args:
        weights: floats, scaled to -255..255.
        weight_exp: -7 to 0.
    """
    given = np.asarray(weights)
    top, up = 127, 1 + weight_exp
    k = np.clip(np.rint(given / 2), -top, top).astype(np.int32)
    if up < 0:
        k = np.clip(np.rint(k * 2.0**up) / 2.0**up, -top, top).astype(np.int32)
    whole = k.astype(np.int64)
    return np.asarray((whole << up if up >= 0 else whole >> -up) << 6, dtype=np.int64)


def noise(
    generator: np.random.RandomState, steps: int, compartments: int, exponent: int, offset: int
) -> npt.NDArray[np.int64]:
    """Noise of all compartments, one draw per step: ``trunc((r + 64 * offset) * 2**(exponent - 7))``.

    r is uniform from -127 to 127. It is added to the sum of weights before that wraps, or (``noise_at_membrane``) to
    the sum of u and bias: what :func:`snnc_reference.execute.execute` calls the ports x and drive.

    Args:
        generator: NumPy's legacy generator, seeded as the emulator is.
        steps: of the device.
        compartments: of the whole model, because the emulator draws for all at once.
        exponent: 1 to 23.
        offset: mean in units of 64.

    Returns:
        int64 [steps, compartments].

    Raises:
        InputError: an exponent that has no register.
    """
    if not 1 <= exponent <= 23:
        raise InputError(f"the noise exponent is {exponent}, allowed is 1 to 23")
    drawn = [generator.randint(-127, 128, size=compartments, dtype=np.int32) for _ in range(steps)]
    scaled: Any = (np.array(drawn, dtype=np.int64) + 64 * offset) * 2.0 ** (exponent - 7)
    return np.asarray(np.trunc(scaled), dtype=np.int64)
