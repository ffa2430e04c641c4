"""Formats and the integer arithmetic, against Python's unbounded integers."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snnc.errors import FormatError
from snnc.ir import Fixed, Format, IntArray, to_fixed
from snnc.ir.fixed import Rounding, overflowed, round_to_int, saturate, shift_right, wrap, wrap_once

WIDE = st.integers(-(2**50), 2**50)


def array(x: int) -> IntArray:
    return np.array([x], dtype=np.int64)


def nearest_even(x: int, bits: int) -> int:
    return round(Fraction(x, 2**bits))


EXACT = {
    "floor": lambda x, bits: x // 2**bits,
    "toward_zero": lambda x, bits: abs(x) // 2**bits * (1 if x >= 0 else -1),
    "nearest_even": nearest_even,
}


@pytest.mark.parametrize("rounding", EXACT)
@given(x=WIDE, bits=st.integers(0, 40))
def test_shift_right_is_rounded_division(rounding: Rounding, x: int, bits: int) -> None:
    assert shift_right(array(x), bits, rounding).item() == EXACT[rounding](x, bits)


def test_roundings_differ_where_they_must() -> None:
    x = np.array([-6, -5, -3, -2, 2, 3, 5, 6])
    assert shift_right(x, 2, "floor").tolist() == [-2, -2, -1, -1, 0, 0, 1, 1]
    assert shift_right(x, 2, "toward_zero").tolist() == [-1, -1, 0, 0, 0, 0, 1, 1]
    assert shift_right(x, 2, "nearest_even").tolist() == [-2, -1, -1, 0, 0, 1, 1, 2]


def test_shift_right_refuses_to_shift_left() -> None:
    with pytest.raises(FormatError, match="0 bits or more"):
        shift_right(array(1), -1, "floor")


@given(x=st.integers(-(2**63), 2**63 - 1), bits=st.integers(1, 63))
def test_wrap_is_twos_complement(x: int, bits: int) -> None:
    got = wrap(array(x), bits).item()
    assert (got - x) % 2**bits == 0
    assert -(2 ** (bits - 1)) <= got < 2 ** (bits - 1)


@given(x=st.integers(-(2**62), 2**62))
def test_wrap_of_a_full_register_changes_nothing(x: int) -> None:
    assert wrap(array(x), 64).item() == x


@given(x=st.integers(-(2**26), 2**26))
def test_wrap_once_takes_one_turn_and_keeps_the_upper_edge(x: int) -> None:
    half, turn = 2**23, 2**24
    want = x - turn if x > half else x
    want = want + turn if want <= -half else want
    assert wrap_once(array(x), 24).item() == want


def test_wrap_once_differs_from_wrap_at_the_edges_and_beyond_a_turn() -> None:
    x = np.array([2**23, -(2**23), 2**23 + 1, 2**25])
    assert wrap_once(x, 24).tolist() == [2**23, 2**23, -(2**23) + 1, 2**24]
    assert wrap(x, 24).tolist() == [-(2**23), -(2**23), -(2**23) + 1, 0]


@given(x=WIDE, bits=st.integers(1, 48), symmetric=st.booleans())
def test_saturate_clips(x: int, bits: int, symmetric: bool) -> None:
    high = 2 ** (bits - 1) - 1
    low = -high if symmetric else -high - 1
    assert saturate(array(x), bits, symmetric=symmetric).item() == max(low, min(high, x))


def test_overflowed_follows_the_policy() -> None:
    x = np.array([-300, -128, 127, 128, 300])
    assert overflowed(x, 8, "saturate").tolist() == [-128, -128, 127, 127, 127]
    assert overflowed(x, 8, "saturate_symmetric").tolist() == [-127, -127, 127, 127, 127]
    assert overflowed(x, 8, "wrap").tolist() == [-44, -128, 127, -128, 44]
    assert overflowed(x, 8, "wrap_once").tolist() == [-44, 128, 127, 128, 44]
    assert overflowed(x[1:3], 8, "refuse").tolist() == [-128, 127]
    with pytest.raises(FormatError, match="left 8 bits"):
        overflowed(x, 8, "refuse")


@example(value=-5e-324, frac=-1, rounding="floor")
@given(value=st.floats(-300, 300), frac=st.integers(-3, 6), rounding=st.sampled_from(["floor", "toward_zero"]))
def test_to_fixed_rounds_then_clips(value: float, frac: int, rounding: Rounding) -> None:
    scaled = Fraction(value) * Fraction(2) ** frac
    whole = scaled.numerator // scaled.denominator
    if rounding == "toward_zero" and scaled < 0 and whole != scaled:
        whole += 1
    got = to_fixed([value], Format(8, frac, rounding=rounding))
    assert got.raw.item() == max(-128, min(127, whole))


@given(value=st.floats(-1000, 1000))
def test_nearest_is_half_to_even(value: float) -> None:
    want = int(Decimal(value).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    assert round_to_int(np.array(value), "nearest_even").item() == want


def test_to_fixed_refuses_what_is_no_number_and_what_does_not_fit() -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(FormatError, match="NaN or infinity"):
            to_fixed([value], Format(8))
    with pytest.raises(FormatError, match="does not fit"):
        to_fixed([128.0], Format(8, overflow="refuse"))
    with pytest.raises(FormatError, match="does not fit"):
        to_fixed([128.0], Format(8, overflow="wrap"))
    assert to_fixed([127.4], Format(8, overflow="refuse")).raw.item() == 127


@pytest.mark.parametrize("bits", [8, 54, 60, 64])
def test_to_fixed_saturates_at_any_width(bits: int) -> None:
    fmt = Format(bits, 4)
    assert to_fixed([1e30, -1e30], fmt).raw.tolist() == [fmt.maximum, fmt.minimum]
    assert to_fixed([1e300], Format(bits, 64)).raw.item() == fmt.maximum


@pytest.mark.parametrize(
    ("fmt", "low", "high"),
    [
        (Format(8), -128, 127),
        (Format(8, overflow="saturate_symmetric"), -127, 127),
        (Format(8, signed=False), 0, 255),
        (Format(1), -1, 0),
        (Format(64), -(2**63), 2**63 - 1),
        (Format(63, signed=False), 0, 2**63 - 1),
    ],
)
def test_range_of_a_format(fmt: Format, low: int, high: int) -> None:
    assert (fmt.minimum, fmt.maximum) == (low, high)
    assert Fixed(np.array([low, high]), fmt).raw.tolist() == [low, high]
    if fmt.bits < 62:
        for outside in (low - 1, high + 1):
            with pytest.raises(FormatError, match="outside"):
                Fixed(np.array([outside]), fmt)


@pytest.mark.parametrize("given", [{"bits": 0}, {"bits": 65}, {"bits": 64, "signed": False}, {"bits": 8, "frac": 65}])
def test_impossible_formats_are_refused(given: dict[str, int]) -> None:
    with pytest.raises(FormatError, match="a format has"):
        Format(**given)


def test_fixed_is_a_read_only_copy_of_integers() -> None:
    source = np.array([1, 2])
    fixed = Fixed(source, Format(8, 1))
    source[0] = 5
    assert fixed.raw.tolist() == [1, 2]
    assert fixed.to_float().tolist() == [0.5, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        fixed.raw[0] = 3
    with pytest.raises(FormatError, match="integers, not float64"):
        Fixed(np.array([1.0]), Format(8))


def test_fixed_does_not_let_large_unsigned_numbers_turn_negative() -> None:
    with pytest.raises(FormatError, match="outside"):
        Fixed(np.array([2**64 - 1], dtype=np.uint64), Format(8))


def test_aligned_is_exact_or_refused() -> None:
    assert Fixed(np.array([3, -4]), Format(8, -2)).aligned(1).tolist() == [24, -32]
    assert Fixed(np.array([8, -4]), Format(8, 2)).aligned(0).tolist() == [2, -1]
    with pytest.raises(FormatError, match="without loss"):
        Fixed(np.array([8, 3]), Format(8, 2)).aligned(0)
    with pytest.raises(FormatError, match="64 bits"):
        Fixed(np.array([2**39]), Format(41)).aligned(30)
    assert Fixed(np.array([5]), Format(41)).aligned(30).item() == 5 << 30
