"""Primitives of a SpiNNaker core against Python's unbounded integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.errors import FormatError
from snnc_spinnaker import arith

INT32 = st.integers(-(1 << 31), (1 << 31) - 1) | st.sampled_from([-(1 << 31), (1 << 31) - 1, -1, 0, 1, 32767, 32768])
UINT32 = st.integers(0, (1 << 32) - 1) | st.sampled_from([0, 1, (1 << 32) - 1, 1 << 31])
M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def signed(x: int) -> int:
    """Low 32 bits as two's complement, in unbounded integers."""
    low = x & M32
    return low - (1 << 32) if low >> 31 else low


@given(INT32, INT32)
def test_sums_and_products_wrap_and_floor(a: int, b: int) -> None:
    assert int(arith.add(a, b)) == signed(a + b)
    assert int(arith.sub(a, b)) == signed(a - b)
    assert int(arith.mul(a, b)) == signed((a * b) >> 15)
    assert int(arith.mul_stdp(a, b)) == signed((a * signed(b << 4)) >> 15)


@given(INT32, UINT32)
def test_fractions_floor_even_at_the_ends_of_int64(a: int, fraction: int) -> None:
    assert int(arith.decay(a, fraction)) == signed((a * fraction) >> 32)
    assert int(arith.scale_fraction(a, fraction)) == ((((a & M64) * fraction) & M64) >> 15) & M32
    assert int(arith.one_minus(fraction)) == M32 - fraction


@given(INT32, INT32.filter(bool))
def test_divisions_are_unsigned_64_bit(a: int, b: int) -> None:
    assert int(arith.kdivk(a, b)) == signed((((a & M64) << 15) & M64) // (b & M64))
    assert int(arith.kdivui(a, b)) == signed((a & M64) // (b & M64))


@given(st.integers(0, (1 << 31) - 1))
def test_ceil_rounds_up_to_whole_steps(a: int) -> None:
    assert int(arith.ceil(a)) == -(-a // 32768)


@given(st.integers(-(1 << 17), 1 << 17), st.integers(-(1 << 17), 1 << 17))
def test_stdp_products_use_the_low_half_words(a: int, b: int) -> None:
    low = [((x + 32768) & 0xFFFF) - 32768 for x in (a, b)]
    assert int(arith.stdp_mul(a, b)) == (low[0] * low[1]) >> 11


@given(st.integers(0, 0xFFFF), st.integers(0, 15))
def test_ring_sums_become_currents(weight: int, shift: int) -> None:
    assert int(arith.weight_to_input(weight, shift)) == signed(weight << shift)


@pytest.mark.parametrize(
    ("x", "accum", "fraction"),
    [(0, 32768, 0), (-1, 32766, 4294830979), (-340695, 1, 131075), (-340696, 0, 0), (363409, 0x7FFFFFFF, 0x7FFFFFFF)],
)
def test_exp_at_its_corners(x: int, accum: int, fraction: int) -> None:
    assert int(arith.expk(x)) == accum
    assert int(arith.expulr(x)) == fraction


def test_exp_is_close_to_exp_and_falls() -> None:
    x = np.arange(-340695, 1, 97)
    assert np.max(np.abs(arith.expk(x) - np.exp(x / 32768) * 32768)) < 1.05
    assert np.max(np.abs(arith.expulr(x[:-1]) / 2.0**32 - np.exp(x[:-1] / 32768))) < 5e-6
    assert np.all(np.diff(arith.expk(x)) >= 0)


def test_arrays_give_what_scalars_give() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(-(1 << 31), 1 << 31, (2, 50))
    assert arith.mul(a, b).tolist() == [int(arith.mul(int(x), int(y))) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("divide", [arith.kdivk, arith.kdivui])
def test_division_by_zero_is_refused(divide: object) -> None:
    with pytest.raises(FormatError, match="division by zero"):
        divide([1, 2], [3, 0])  # type: ignore[operator]


def test_host_conversion_rounds_half_to_even_and_refuses() -> None:
    assert arith.to_accum([0.5 / 32768, 1.5 / 32768, -1.0, 0.1]).tolist() == [0, 2, -32768, 3277]
    for wrong in (65536.0, -65537.0, np.nan):
        with pytest.raises(FormatError, match="outside"):
            arith.to_accum([wrong])
