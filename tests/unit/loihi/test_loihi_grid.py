"""The grid of weights: what is stored reads back as what was meant, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc_loihi import grid
from snnc_loihi.encoding import encode as lava_encodes


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([1, 2, 3, 4, 5, 6, 8]), st.integers(0, 7), st.booleans(), st.lists(st.integers(0, 255), min_size=1)
)
def test_every_weight_of_the_format_is_stored_as_it_is(bits: int, e: int, signed: bool, numbers: list[int]) -> None:
    raw = np.array(numbers, dtype=np.int64) % (1 << bits) - ((1 << (bits - 1)) if signed else 0)
    shift = 6 + 8 - bits + int(signed) + e
    code = grid.encode(raw, shift, bits=bits, signed=signed)
    assert code is not None
    assert np.array_equal(code.w << (6 + code.exponent), raw << shift)
    if np.any(raw):
        assert (code.exponent, code.bits, code.mixed) == (e, bits, signed)
    mode = "mixed" if code.mixed else "excitatory"
    stored = lava_encodes(code.w, mode, code.bits, code.exponent)
    assert np.array_equal(stored.aligned(0), raw << shift), "Lava would change these weights"


@pytest.mark.parametrize(
    ("raw", "shift", "signed"),
    [
        ([300, -2], 7, True),  # more than eight bits between largest and smallest
        ([129, -1], 7, True),  # 258 is one step beyond 254 and odd, so no exponent helps
        ([1], 5, False),  # half a unit
        ([256, 1], 6, False),
        ([1, -1], 6, True),  # odd with a sign bit
        ([1], 22, False),  # 255 * 2**7 is the largest
    ],
)
def test_weights_off_the_grid_are_refused(raw: list[int], shift: int, signed: bool) -> None:
    assert grid.encode(np.array(raw), shift, bits=8, signed=signed) is None


def test_sums_of_weights_take_a_larger_exponent() -> None:
    code = grid.encode(np.array([[260, -512]]), 6, bits=8, signed=True)
    assert code is not None
    assert (code.w.tolist(), code.exponent, code.bits) == ([[130, -256]], 1, 8)


def test_largest_weight_is_used_in_full() -> None:
    code = grid.encode(np.array([255]), 6 + 7, bits=8, signed=False)
    assert code is not None
    assert (code.w.tolist(), code.exponent) == ([255], 7)


def test_there_is_no_seven_bit_storage() -> None:
    code = grid.encode(np.array([3, -4]), 6 + 2, bits=7, signed=True)
    assert code is not None
    assert code.bits == 8


def test_a_refusal_names_the_numbers() -> None:
    assert grid.describe(np.array([300, -2]), 7) == "-4 to 600 in steps of 4"
