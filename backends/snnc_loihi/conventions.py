"""The two readings of Loihi's registers: what lava-nc 0.10.0 computes, and what the chip's own emulator does.

They differ beyond the comfortable range only. Lava sums in 32 bits, wraps u once by 2**24 and never wraps the sum of u
and bias. nengo-loihi 1.1.0, which drove the chip and whose tests compare it with the chip, masks bits: the sum of
weights at 21 bits and sign, u at 23 bits and sign, and u + bias likewise; v is clipped between two limits that a
core's owner programs. A network that stays inside both (``accumulator_peak`` of the target keeps its weights there)
computes the same under either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from snnc.errors import InputError
from snnc.ir import Conventions

ACCUMULATOR_BITS = 22
MINIMUM_EXPONENTS = range(24)
MAXIMUM_EXPONENTS = range(8)

LAVA = Conventions(
    hop_delay=1,
    membrane="euler",
    synapse="signed",
    accumulator_bits=32,
    accumulator_overflow="wrap",
    state_bits=24,
    state_frac=0,
    current_overflow="wrap_once",
    membrane_overflow="saturate_symmetric",
    decay_rounding="toward_zero",
    aligned_start=True,
)
CHIP = replace(LAVA, accumulator_bits=ACCUMULATOR_BITS, current_overflow="wrap", drive_overflow="wrap")
OVERFLOWS: Mapping[str, Conventions] = MappingProxyType({"lava": LAVA, "loihi": CHIP})


def conventions(overflow: str = "lava") -> Conventions:
    """The conventions of Loihi 1 for an option ``overflow``.

    Args:
        overflow: ``lava`` or ``loihi``.

    Raises:
        InputError: another word.
    """
    if overflow not in OVERFLOWS:
        raise InputError(f"overflow is {overflow!r}, allowed is {' or '.join(OVERFLOWS)}")
    return OVERFLOWS[overflow]


def limited(base: Conventions, minimum_exponent: int = 23, maximum_exponent: int = 7) -> Conventions:
    """The conventions of a core whose vmin and vmax are programmed.

    The registers hold exponents: ``vmin = -2**minimum_exponent + 1`` and ``vmax = 2**(9 + 2 * maximum_exponent) - 1``
    in state units.

    Args:
        base: the other conventions.
        minimum_exponent: 0 to 23.
        maximum_exponent: 0 to 7.

    Raises:
        InputError: an exponent that has no register.
    """
    if minimum_exponent not in MINIMUM_EXPONENTS or maximum_exponent not in MAXIMUM_EXPONENTS:
        found = f"{minimum_exponent} and {maximum_exponent}"
        raise InputError(f"the exponents of vmin and vmax are {found}, allowed are 0 to 23 and 0 to 7")
    low, high = -(1 << minimum_exponent) + 1, (1 << (9 + 2 * maximum_exponent)) - 1
    return replace(base, membrane_minimum=low, membrane_maximum=high)
