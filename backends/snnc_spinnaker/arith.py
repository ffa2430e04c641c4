"""The primitive operations of a SpiNNaker 1 core as int64 arrays: s16.15 numbers, u0.32 fractions, the chip's exp.

A number "raw" is the integer in the register. Signed values are held as int64 in the range of int32; unsigned 32-bit
values as int64 in [0, 2**32). Every overflow wraps, every shift floors; nothing saturates.
Where a 64-bit product may pass 2**63 the arithmetic is done in uint64, which wraps as the core's does.
Source: specs/spinnaker.md sections 1.1 and 1.4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snnc.errors import FormatError
from snnc.ir import IntArray

ONE = 1 << 15
"""1.0 as s16.15."""
ONE_ULR = (1 << 32) - 1
"""What the chip's literal 1.0ulr is: the largest u0.32, not 2**32."""
MASK = (1 << 32) - 1
EXP_HIGH = 363408
EXP_LOW = -340695

_U64 = np.uint64
_POWERS = np.array(
    [9708, 26389, 71733, 194991, 530041, 1440801, 3916503, 10646160, 28939262, 78665070, 213833830, 581260615,
     1580030169, 4294967296, 11674931555, 31735754293, 86266724208, 234497268814, 637429664642, 1732713474316,
     4710003551159, 12803117065094, 34802480465680, 94602950235157, 257157480542844, 699026506411923],
    dtype=np.uint64,
)  # fmt: skip
_SIXTEENTHS = np.array(
    [0, 260218914, 504671961, 734314346, 950043403, 1152702096, 1343082321, 1521927990, 1689937949, 1847768698,
     1996036966, 2135322113, 2266168400, 2389087112, 2504558555, 2613033936],
    dtype=np.uint64,
)  # fmt: skip
_SERIES = (5294, 4293434720, 2081624032)


def _ints(x: npt.ArrayLike) -> IntArray:
    return np.asarray(x, dtype=np.int64)


def _unsigned(x: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Sign-extended to 64 bits, then read as unsigned."""
    return np.asarray(_ints(x).astype(np.uint64))


def _low(x: npt.NDArray[np.uint64]) -> IntArray:
    """Low 32 bits of a uint64, unsigned."""
    return np.asarray(x & _U64(MASK)).astype(np.int64)


def w32(x: npt.ArrayLike) -> IntArray:
    """Low 32 bits read as two's complement."""
    return np.asarray(((_ints(x) + (1 << 31)) & MASK) - (1 << 31), dtype=np.int64)


def u32(x: npt.ArrayLike) -> IntArray:
    """Low 32 bits read as unsigned."""
    return np.asarray(_ints(x) & MASK, dtype=np.int64)


def add(a: npt.ArrayLike, b: npt.ArrayLike) -> IntArray:
    """``w32(a + b)``."""
    return w32(_ints(a) + _ints(b))


def sub(a: npt.ArrayLike, b: npt.ArrayLike) -> IntArray:
    """``w32(a - b)``."""
    return w32(_ints(a) - _ints(b))


def mul(a: npt.ArrayLike, b: npt.ArrayLike) -> IntArray:
    """s16.15 times s16.15: ``w32((a * b) >> 15)``; floors. Operands are 32-bit, so the product fits int64."""
    return w32((_ints(a) * _ints(b)) >> 15)


def decay(x: npt.ArrayLike, fraction: npt.ArrayLike) -> IntArray:
    """s16.15 times u0.32: ``w32((x * fraction) >> 32)``; floors."""
    return w32((_ints(x) * _ints(fraction)) >> 32)


def scale_fraction(value: npt.ArrayLike, fraction: npt.ArrayLike) -> IntArray:
    """s16.15 times u0.32 as u0.32: ``((value * fraction mod 2**64) >> 15) mod 2**32``."""
    product: npt.NDArray[np.uint64] = _unsigned(value) * _unsigned(fraction)
    return _low(product >> _U64(15))


def kdivk(a: npt.ArrayLike, b: npt.ArrayLike) -> IntArray:
    """s16.15 by s16.15: sign-extended, then divided unsigned and truncated; meaningful for a, b > 0.

    Raises:
        FormatError: a divisor is 0, on which the core traps.
    """
    divisor = _unsigned(b)
    if np.any(divisor == 0):
        raise FormatError("division by zero: a SpiNNaker core traps on it")
    return w32(_low(np.asarray((_unsigned(a) << _U64(15)) // divisor)))


def kdivui(a: npt.ArrayLike, count: npt.ArrayLike) -> IntArray:
    """s16.15 by an unsigned integer, truncated.

    Raises:
        FormatError: the count is 0.
    """
    divisor = _unsigned(count)
    if np.any(divisor == 0):
        raise FormatError("division by zero: a SpiNNaker core traps on it")
    return w32(_low(np.asarray(_unsigned(a) // divisor)))


def ceil(a: npt.ArrayLike) -> IntArray:
    """s16.15 rounded up to whole steps."""
    x = _ints(a)
    return np.asarray((x >> 15) + ((x & (ONE - 1)) != 0), dtype=np.int64)


def to_accum(values: npt.ArrayLike) -> IntArray:
    """Floats to s16.15 as the host does: half to even.

    Raises:
        FormatError: NaN, or outside -65536 to 65535.99997.
    """
    scaled = np.rint(np.asarray(values, dtype=np.float64) * ONE)
    if not np.all((scaled >= -(1 << 31)) & (scaled < (1 << 31))):
        raise FormatError("a value is outside s16.15: -65536 to 65535.99997")
    return scaled.astype(np.int64)


def _scaled(t: npt.NDArray[np.uint64], y: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """u32.32 times u0.32; rounds up from 0x7FFFFFFF on, one earlier than half."""
    product = (t & _U64(MASK)) * y
    carry = ((product & _U64(MASK)) >= _U64(0x7FFFFFFF)).astype(np.uint64)
    return np.asarray((t >> _U64(32)) * y + (product >> _U64(32)) + carry, dtype=np.uint64)


def _series(v: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """1 - exp(-x) for x < 1/16 with v = x in u0.32: two terms of the power series, mod 2**32."""
    first, second, third = (_U64(number) for number in _SERIES)
    inner = (second - ((third * v) >> _U64(32))) & _U64(MASK)
    return np.asarray((((inner * v) >> _U64(32)) + first) & _U64(MASK), dtype=np.uint64)


def _exp(x: IntArray) -> npt.NDArray[np.uint64]:
    """e**x in u32.32 for EXP_LOW <= x <= EXP_HIGH."""
    whole = x >> 15
    rest = x - (whole << 15)
    down = np.where(rest > 0, ONE - rest, 0)
    base = _POWERS[13 + whole + (rest > 0)]
    t = base - _scaled(base, _SIXTEENTHS[down >> 11])
    t = t - _scaled(t, _series(((down & 0x7FF) << 17).astype(np.uint64)))
    return np.where(rest > 0, t, base)


def _bounded_exp(x: npt.ArrayLike, finish: str) -> IntArray:
    given = _ints(x)
    t = _exp(np.clip(given, EXP_LOW, EXP_HIGH))
    inside = w32(_low(t >> _U64(17))) if finish == "accum" else _low(t)
    return np.asarray(np.where(given > EXP_HIGH, 0x7FFFFFFF, np.where(given < EXP_LOW, 0, inside)), dtype=np.int64)


def expk(x: npt.ArrayLike) -> IntArray:
    """e**x as s16.15 for x as s16.15; truncated."""
    return _bounded_exp(x, "accum")


def expulr(x: npt.ArrayLike) -> IntArray:
    """e**x as u0.32 for x as s16.15; e**0 wraps to 0."""
    return _bounded_exp(x, "fraction")


def one_minus(fraction: npt.ArrayLike) -> IntArray:
    """``1.0ulr - fraction`` in u0.32."""
    return np.asarray(ONE_ULR - u32(fraction), dtype=np.int64)


def decay_init(tau: npt.ArrayLike, step: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Decay and first-step scale of an exponential synapse, both u0.32.

    Args:
        tau: time constant, s16.15.
        step: time step, s16.15.
    """
    fraction = expulr(w32(-kdivk(step, tau)))
    return fraction, scale_fraction(kdivk(tau, step), one_minus(fraction))


def weight_to_input(weight: npt.ArrayLike, shift: npt.ArrayLike) -> IntArray:
    """A ring-buffer sum (uint16) as s16.15: ``w32(weight << shift)``."""
    return w32((_ints(weight) & 0xFFFF) << _ints(shift))


def int16(x: npt.ArrayLike) -> IntArray:
    """Low 16 bits read as two's complement."""
    return np.asarray(((_ints(x) + (1 << 15)) & 0xFFFF) - (1 << 15), dtype=np.int64)


def stdp_mul(a: npt.ArrayLike, b: npt.ArrayLike) -> IntArray:
    """s4.11 times s4.11: low 16 bits of each, floor, not wrapped."""
    return np.asarray((int16(a) * int16(b)) >> 11, dtype=np.int64)


def mul_stdp(a: npt.ArrayLike, fixed: npt.ArrayLike) -> IntArray:
    """s16.15 times s4.11: ``mul(a, w32(fixed << 4))``."""
    return mul(a, w32(_ints(fixed) << 4))
