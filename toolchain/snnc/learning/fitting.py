"""Rates in float to constants ``m*2^e`` of Loihi's learning engine.

With ``s`` device steps per unit of a variable, a factor ``offset + scale*v`` is ``scale/s * (s*v + offset*s/scale)``.
A term's rate in device steps is therefore ``rate * s_out * product(scale/s)``, times ``2**shift`` where the chip's
hidden shift is compensated. Trace impulses are free (they set s), so they are chosen to bring the rates close to
numbers that exist.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from snnc.ir.products import EXPONENT, MANTISSA, SYNAPTIC, Dependency, Factor, Product, Variable, nearest_scale
from snnc.learning.account import Rate, Register
from snnc.learning.rule import Read, Rule, Term

TINIEST = 2.0 ** (EXPONENT[0] - 1)
"""Half of the smallest constant: rates below it quantise to zero."""
LARGEST = float(MANTISSA[1] << EXPONENT[1])
TAG_STEPS = 32
SIZES = sorted({m * 2.0**e for m in range(1, MANTISSA[1] + 1) for e in range(EXPONENT[0], EXPONENT[1] + 1)})
Key = tuple[str, bool]
"""A variable, and whether it is read without the spikes of the same step; parts of signed factors end in + or -."""


@dataclass(frozen=True)
class Scales:
    """Device steps per unit.

    Attributes:
        unit: float weight of a device step.
        tag: device steps per unit of the eligibility.
        of: those of traces and third factors.
    """

    unit: float
    tag: float
    of: Mapping[Key, float]

    def change(self, kind: str) -> float:
        """Device steps per unit of w or e."""
        return 1.0 / self.unit if kind == "w" else self.tag

    def read(self, key: Key) -> float:
        """Device steps per unit of what is read."""
        return self.change(key[0]) if key[0] in ("w", "e") else self.of[key]


@dataclass(frozen=True)
class Fit:
    """One term on the chip.

    Attributes:
        term: with the rate, constants and period that the chip has.
        product: what the chip is loaded with; None if the rate does not exist there.
        rate: for the account.
        misfit: relative error of the constant alone, hidden factors aside; 1 if there is none.
    """

    term: Term
    product: Product | None
    rate: Rate
    misfit: float


def late(rule: Rule, term: Term, read: Read) -> bool:
    """Whether a read needs a trace that is a step behind its own side's spikes."""
    return read.before and any(t.name == read.variable and t.side == term.event for t in rule.traces)


def split(rule: Rule, term: Term) -> Iterator[tuple[Term, tuple[Key, ...]]]:
    """The term with its keys; twice if it reads a signed third factor, once for each part of it."""
    keys: tuple[Key, ...] = tuple((read.variable, late(rule, term, read)) for read in term.reads)
    signed = [n for n, read in enumerate(term.reads) if any(t.signed and t.name == read.variable for t in rule.thirds)]
    if not signed:
        yield term, keys
        return
    at = signed[0]
    for sign, mark in ((1.0, "+"), (-1.0, "-")):
        part = (term.reads[at].variable + mark, False)
        yield replace(term, rate=term.rate * sign), (*keys[:at], part, *keys[at + 1 :])


def per_period(term: Term, period: int) -> float:
    """The rate of a step term that counts in every ``period``-th step instead of every ``every``-th."""
    ratio = period / term.every
    own = len(term.reads) == 1 and term.reads[0].variable == term.change and -1 < term.rate < 0
    if own and term.reads[0].scale == 1:
        return -(1.0 - math.exp(ratio * math.log1p(term.rate)))
    return term.rate * ratio


def nearest(value: float) -> tuple[int, int]:
    """:func:`snnc.ir.nearest_scale`, only faster for the many numbers that are tried."""
    size = abs(value)
    at = bisect_left(SIZES, size)
    best = min(SIZES[max(0, at - 1) : at + 1] or SIZES[-1:], key=lambda number: abs(number - size))
    return nearest_scale(math.copysign(best, value))


def fit_term(
    term: Term, keys: Sequence[Key], registers: Mapping[Key, Register], scales: Scales, period: int, compensate: bool
) -> Fit:
    """Quantises one term.

    Args:
        term: with the rate for each time that it is applied.
        keys: of its reads.
        registers: where traces and third factors live.
        scales: device steps per unit.
        period: K of uK for the events step and sample.
        compensate: makes up for the hidden shift.

    Raises:
        InputError: a constant beside a variable does not exist on the chip.
    """
    slope = scales.change(term.change)
    factors, reads, size = [], [], 1.0
    for read, key in zip(term.reads, keys, strict=True):
        name = {"w": "w", "e": "t"}[key[0]] if key[0] in ("w", "e") else registers[key].name
        per, step = scales.read(key), 2 if name in SYNAPTIC else 1
        constant = step * round(read.offset * per / read.scale / step)
        factors.append(Factor(cast(Variable, name), constant))
        reads.append(replace(read, offset=constant * read.scale / per))
        slope *= read.scale / per
        typical = {"w": 255.0, "t": float(TAG_STEPS)}.get(name) or registers[key].impulse
        size *= max(abs(typical + constant), abs(constant))
    event = cast(Dependency, {"pre": "x0", "post": "y0"}.get(term.event, "u"))
    shape = Product(event, tuple(factors), 1, 0, period if event == "u" else None)
    asked = term.rate * slope * (2.0**shape.shift if compensate else 1.0)
    there = TINIEST <= abs(asked) <= 1.1 * LARGEST
    mantissa, exponent = nearest(asked)
    device = mantissa * 2.0**exponent * 2.0**-shape.shift
    product = replace(shape, mantissa=mantissa, exponent=exponent) if there else None
    got = device / slope if there else 0.0
    text = str(product) if product else f"{asked:.3g}*{shape}"
    rate = Rate(term.name, term.rate, got, text, shape.shift, compensate and shape.shift > 0, abs(device) * size)
    misfit = abs(mantissa * 2.0**exponent / asked - 1.0) if there else 1.0
    return Fit(replace(term, rate=got, reads=tuple(reads)), product, rate, misfit)
