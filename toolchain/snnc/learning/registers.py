"""Where the traces and third factors of a rule live in Loihi's learning engine, and how large their impulses may be."""

from __future__ import annotations

import math
from typing import NoReturn

from snnc.errors import UnsupportedError, Violation
from snnc.learning.account import Register
from snnc.learning.fitting import Key, split
from snnc.learning.rule import Rule

FULL = 127
UNDECAYED = 2.0**24
MOST = {"x": 2, "y": 3}


def assigned(rule: Rule, rate: float, target: str) -> dict[Key, Register]:
    """x1 and x2 for traces of pre spikes; y1 to y3 for those of post spikes and for third factors.

    Args:
        rule: whose.
        rate: largest firing rate, in spikes per step, for which no trace saturates.
        target: for messages.

    Raises:
        UnsupportedError: there are more than the chip has, or a trace of pre spikes must be a step late.
    """
    keys = dict.fromkeys(key for term in rule.terms for _, all_keys in split(rule, term) for key in all_keys)
    traces = {trace.name: trace for trace in rule.traces}
    found: dict[Key, Register] = {}
    port = any(key[1] or key[0].rstrip("+-") in {t.name for t in rule.thirds} for key in keys)
    used = {"x": 0, "y": 0}
    for key in keys:
        name, late = key
        if name in ("w", "e"):
            continue
        side = "x" if name in traces and traces[name].side == "pre" else "y"
        used[side] += 1
        if late and side == "x":
            fix = "Only traces of post spikes come through ports: read the trace with the spikes of the same step"
            _cannot(rule, target, f"trace {name}", "read a step late", "read with this step's spikes", fix)
        if used[side] > MOST[side]:
            most = "2 traces of pre spikes, 3 of post spikes and third factors (signed ones take 2)"
            _cannot(rule, target, "traces", f"{used[side]} of kind {side}", most)
        if name not in traces:
            found[key] = Register(f"y{used['y']}", name, FULL, math.inf, FULL, math.nan, port=True)
            continue
        trace = traces[name]
        impulse = FULL if trace.sets else _impulse(trace.decay, rate)
        tau = min(trace.tau, UNDECAYED)
        clipped = math.nan if trace.sets else highest(impulse, trace.decay)
        found[key] = Register(f"{side}{used[side]}", name, impulse, tau, FULL, clipped, port and side == "y", late)
    return found


def _impulse(decay: float, rate: float) -> int:
    """Largest impulse with which spikes at this rate stay within 7 bits: I / (1 - decay**(1/rate)) <= 127."""
    return max(1, math.floor(FULL * (1.0 - math.pow(decay, 1.0 / rate))))


def highest(impulse: float, decay: float) -> float:
    """Largest regular firing rate, in spikes per step, before a trace is clipped."""
    if decay >= 1:
        return 0.0
    return 1.0 / max(1.0, math.log(1.0 - impulse / FULL) / math.log(decay)) if impulse < FULL else 0.0


def scale(rule: Rule, register: Register) -> float:
    """Device steps per unit of a trace or third factor."""
    for trace in rule.traces:
        if trace.name == register.holds:
            return register.impulse / trace.jump
    return FULL / next(third.full for third in rule.thirds if third.name == register.holds.rstrip("+-"))


def _cannot(rule: Rule, target: str, quantity: str, found: str, allowed: str, fix: str = "") -> NoReturn:
    raise UnsupportedError.of(Violation(f"rule {rule.name} on {target}", quantity, found, allowed, fix))
