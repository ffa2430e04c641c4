"""Which populations may be stepped in 32 bits, and for how many steps: bounds of their states from their weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.engine.layout import CLIPPED, EVER, FREE, LAVA
from snnc.engine.plan import Population
from snnc.ir import Conventions, IntArray

LOIHI_BITS = 24
LONG = 1 << 20
"""Steps from which on a proof counts as unlimited."""


@dataclass(frozen=True)
class Proof:
    """How the 32-bit step may be used.

    Attributes:
        mode: FREE: nothing overflows; LAVA: u wraps once and v saturates symmetrically at 24 bits; CLIPPED: the same
            where u never gets so far.
        steps: of a run for which that is proven; -1: for none.
    """

    mode: int
    steps: int


def proof(p: Population, c: Conventions) -> Proof:
    """What is proven about an euler population whose bounds are known."""
    if not _plain(p, c):
        return Proof(FREE, -1)
    free = _free(p, c)
    if free < LONG and _lava(p, c):
        return Proof(CLIPPED if _current(p, LONG) < 1 << (LOIHI_BITS - 1) else LAVA, EVER)
    return Proof(FREE, EVER if free >= LONG else free)


def _largest(value: IntArray) -> int:
    return max(abs(int(np.min(value))), abs(int(np.max(value)))) if value.size else 0


def _plain(p: Population, c: Conventions) -> bool:
    """Only options that the 32-bit step has."""
    o = p.options
    if not p.bounds or c.membrane != "euler" or c.decay_rounding == "nearest_even":
        return False
    if o["refractory"] or o["reset_delay"] or o["reset_u"] or o["output"] != "binary":
        return False
    for key in ("decay_u", "decay_v"):
        frac = int(o[f"{key}_frac"])
        if not 0 <= frac <= 16 or np.any(p.params[key] < 0) or np.any(p.params[key] > 1 << frac):
            return False
    return all(_largest(p.params[key]) < 1 << 30 for key in ("bias", "threshold", "v_reset", "v_init"))


def _peak(p: Population) -> int:
    return p.bounds[0].peak << p.shift


def _memory(decay: IntArray, frac: int) -> int:
    """Steps whose inputs add up in a state at most: the sum of ``decay**n``, rounded up."""
    left = (1 << frac) - int(np.max(decay))
    return LONG if left == 0 else -(-(1 << frac) // left)


def _free(p: Population, c: Conventions) -> int:
    """Largest number of steps, up to LONG, within which no register overflows."""
    low, high = 0, LONG
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _holds(p, c, middle) else (low, middle - 1)
    return low


def _current(p: Population, steps: int) -> int:
    """Largest magnitude of u; rounding toward minus infinity adds less than one unit of magnitude in a step."""
    return (_peak(p) + 1) * min(steps, _memory(p.params["decay_u"], int(p.options["decay_u_frac"])))


def _holds(p: Population, c: Conventions, steps: int) -> bool:
    o, peak, u = p.options, _peak(p), _current(p, steps)
    added = u + _largest(p.params["bias"])
    taken = _largest(p.params["threshold"]) if o["reset_v"] == "subtract" else 0
    start = _largest(p.params["v_init"]) + _largest(p.params["v_reset"])
    v = start + (added + taken + 1) * min(steps, _memory(p.params["decay_v"], int(o["decay_v_frac"])))
    bits = min(c.state_bits, c.register_bits, 32)
    inside = max(u, v, added) < 1 << (bits - 1) and peak < 1 << (min(c.accumulator_bits, 32) - 1)
    least, most = c.membrane_minimum, c.membrane_maximum
    return inside and (least is None or least <= -v) and (most is None or v <= most)


def _lava(p: Population, c: Conventions) -> bool:
    """24-bit registers as Lava has them, and sums that go round at most once."""
    o, top = p.options, (1 << (LOIHI_BITS - 1)) - 1
    policies = (c.current_overflow, c.membrane_overflow, c.drive_overflow, c.decay_rounding)
    if policies != ("wrap_once", "saturate_symmetric", None, "toward_zero"):
        return False
    if c.state_bits != LOIHI_BITS or c.register_bits < 32 or (o["decay_u_frac"], o["decay_v_frac"]) != (12, 12):
        return False
    if (c.membrane_minimum or -top) > -top or (c.membrane_maximum or top) < top:
        return False
    peak = _peak(p)
    return peak <= 1 << LOIHI_BITS and peak < 1 << (c.accumulator_bits - 1)
