"""Fixed-point numbers: the one home of integer arithmetic in the toolchain.

A :class:`Format` says how an integer is read (``value = raw * 2**-frac``) and what happens to a number that
does not fit. A :class:`Fixed` is an int64 array that is proven to lie inside its format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from snnc.errors import FormatError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Rounding = Literal["nearest_even", "floor", "toward_zero"]
Overflow = Literal["saturate", "saturate_symmetric", "wrap", "wrap_once", "refuse"]


@dataclass(frozen=True)
class Format:
    """How an integer is read: ``value = raw * 2**-frac`` with ``raw`` of ``bits`` bits.

    Attributes:
        bits: width of ``raw`` including the sign bit, 1 to 64.
        frac: binary digits behind the point; negative means that one step is ``2**-frac`` > 1.
        signed: two's complement if true, else non-negative.
        rounding: how a float becomes an integer.
        overflow: what happens to a number outside the range.
    """

    bits: int
    frac: int = 0
    signed: bool = True
    rounding: Rounding = "nearest_even"
    overflow: Overflow = "saturate"

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 64 or (self.bits == 64 and not self.signed):
            raise FormatError(f"a format has 1 to 64 bits (63 unsigned), not {self.bits}")
        if not -64 <= self.frac <= 64:
            raise FormatError(f"a format has -64 to 64 fractional bits, not {self.frac}")

    @property
    def minimum(self) -> int:
        """Smallest raw integer."""
        if not self.signed:
            return 0
        return -(1 << (self.bits - 1)) + (1 if self.overflow == "saturate_symmetric" else 0)

    @property
    def maximum(self) -> int:
        """Largest raw integer."""
        return (1 << (self.bits - int(self.signed))) - 1

    @property
    def step(self) -> float:
        """Value of one raw unit, ``2**-frac``."""
        return float(2.0**-self.frac)

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}.{self.frac}"


@dataclass(frozen=True, eq=False)
class Fixed:
    """An int64 array inside a format. Read-only; refuses values outside the format.

    Attributes:
        raw: the integers, any shape.
        format: how they are read.
    """

    raw: IntArray
    format: Format

    def __post_init__(self) -> None:
        given = np.asarray(self.raw)
        if given.dtype.kind not in "iub":
            raise FormatError(f"fixed-point numbers are integers, not {given.dtype}")
        if given.dtype.kind == "u" and given.size and int(given.max()) > self.format.maximum:
            raise FormatError(f"{int(given.max())} is outside {self.format}: up to {self.format.maximum}")
        raw = np.array(given, dtype=np.int64, copy=True)
        low, high = self.format.minimum, self.format.maximum
        if raw.size and (int(raw.min()) < low or int(raw.max()) > high):
            worst = int(raw.max()) if int(raw.max()) > high else int(raw.min())
            raise FormatError(f"{worst} is outside {self.format}: {low} to {high}")
        raw.setflags(write=False)
        object.__setattr__(self, "raw", raw)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.raw.shape)

    def to_float(self) -> FloatArray:
        """The values as float64: ``raw * 2**-frac``."""
        return np.asarray(self.raw.astype(np.float64) * self.format.step, dtype=np.float64)

    def aligned(self, frac: int) -> IntArray:
        """The integers re-read with ``frac`` fractional bits; exact or refused.

        Raises:
            FormatError: a bit would be lost at either end.
        """
        up = frac - self.format.frac
        if up >= 0:
            if self.format.bits + up > 64 and np.any(self.raw) and int(np.max(np.abs(self.raw))) << up >= 1 << 63:
                raise FormatError(f"{self.format} read with {frac} fractional bits does not fit 64 bits")
            return np.asarray(self.raw << up, dtype=np.int64)
        if np.any(self.raw & ((1 << -up) - 1)):
            raise FormatError(f"{self.format} cannot be read with {frac} fractional bits without loss")
        return np.asarray(self.raw >> -up, dtype=np.int64)


SINGLE_BITS = 24
SMALLEST = float(np.finfo(np.float64).smallest_subnormal)


def to_single(value: Fixed) -> npt.NDArray[np.float32]:
    """The numbers as IEEE single precision, exactly.

    Raises:
        FormatError: a number has more than 24 significant bits.
    """
    if value.raw.size and int(np.abs(value.raw).max()) > 1 << SINGLE_BITS:
        raise FormatError(f"a number in {value.format} has more bits than float32 holds ({SINGLE_BITS})")
    return np.asarray(np.ldexp(value.raw.astype(np.float32), -value.format.frac), dtype=np.float32)


def round_to_int(scaled: FloatArray, rounding: Rounding) -> FloatArray:
    """Rounds floats to whole numbers (still float64) in the given way."""
    if rounding == "nearest_even":
        return np.asarray(np.rint(scaled), dtype=np.float64)
    if rounding == "floor":
        return np.asarray(np.floor(scaled), dtype=np.float64)
    return np.asarray(np.trunc(scaled), dtype=np.float64)


def to_fixed(values: npt.ArrayLike, fmt: Format) -> Fixed:
    """Converts floats to a format: ``raw = clip(round(value * 2**frac))``.

    Raises:
        FormatError: a value is NaN or infinite, or lies outside a format that refuses or would wrap.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise FormatError("NaN or infinity cannot become a fixed-point number")
    with np.errstate(over="ignore"):  # infinity is outside every format and treated as such below
        scaled = np.ldexp(array, fmt.frac)
    # What is too small for a float64 after scaling is not zero: floor takes a negative one to -1.
    scaled = np.where((scaled == 0) & (array != 0), np.copysign(SMALLEST, array), scaled)
    scaled = round_to_int(scaled, fmt.rounding)
    outside = (scaled < fmt.minimum) | (scaled > fmt.maximum)
    if np.any(outside) and not fmt.overflow.startswith("saturate"):
        raise FormatError(f"{float(array[outside].flat[0])!r} does not fit {fmt} and the format does not saturate")
    high = scaled >= float(fmt.maximum)  # above 53 bits the limit itself is no float64
    low = np.where(high, 0.0, np.maximum(scaled, float(fmt.minimum)))
    return Fixed(np.where(high, fmt.maximum, np.maximum(low.astype(np.int64), fmt.minimum)), fmt)


def shift_right(x: IntArray, bits: int, rounding: Rounding) -> IntArray:
    """``x / 2**bits`` rounded: ``floor`` is the arithmetic shift, ``toward_zero`` is sign(x) * (|x| >> bits)."""
    if bits < 0:
        raise FormatError(f"a right shift takes 0 bits or more, not {bits}")
    if bits == 0:
        return x
    if rounding == "floor":
        return np.asarray(x >> bits, dtype=np.int64)
    if rounding == "toward_zero":
        return np.asarray(np.sign(x) * (np.abs(x) >> bits), dtype=np.int64)
    whole = x >> bits
    rest = x - (whole << bits)
    half = np.int64(1) << (bits - 1)
    up = (rest > half) | ((rest == half) & ((whole & 1) == 1))
    return np.asarray(whole + up, dtype=np.int64)


def wrap(x: IntArray, bits: int) -> IntArray:
    """Two's complement: the low ``bits`` bits of x, read as signed."""
    if bits >= 64:
        return x
    half = np.int64(1) << (bits - 1)
    mask = np.int64((1 << bits) - 1)
    return np.asarray(((x + half) & mask) - half, dtype=np.int64)


def wrap_once(x: IntArray, bits: int) -> IntArray:
    """Lava's wrap: subtracts ``2**bits`` once above ``2**(bits-1)``, adds it once at or below ``-2**(bits-1)``.

    The range is (-2**(bits-1), 2**(bits-1)] for inputs at most one turn away (specs: Lava PyLifModelBitAcc).
    """
    half = np.int64(1) << (bits - 1)
    turn = np.int64(1) << bits
    x = np.where(x > half, x - turn, x)
    return np.asarray(np.where(x <= -half, x + turn, x), dtype=np.int64)


def saturate(x: IntArray, bits: int, *, symmetric: bool = False) -> IntArray:
    """Clips to ``bits`` signed bits; symmetric leaves out the most negative number."""
    high = (1 << (bits - 1)) - 1
    return np.asarray(np.clip(x, -high if symmetric else -high - 1, high), dtype=np.int64)


def overflowed(x: IntArray, bits: int, policy: Overflow) -> IntArray:
    """Brings x back into ``bits`` signed bits by the policy.

    Raises:
        FormatError: the policy is ``refuse`` and a number does not fit.
    """
    if policy == "wrap":
        return wrap(x, bits)
    if policy == "wrap_once":
        return wrap_once(x, bits)
    if policy == "refuse":
        if np.any(saturate(x, bits) != x):
            raise FormatError(f"a state left {bits} bits")
        return x
    return saturate(x, bits, symmetric=policy == "saturate_symmetric")
