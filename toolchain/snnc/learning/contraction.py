"""Weights that decay to a baseline: how far they came, against the closed form.

After n changes of ``w -= rate * (w - baseline)`` the distance of a weight to the baseline is ``(1 - rate)**n`` times
what it was. Integers that round stochastically follow; those that truncate or round to nearest stop on the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import FloatArray
from snnc.learning.plastic import Plastic
from snnc.learning.rule import Rule, Term


@dataclass(frozen=True)
class Contraction:
    """What decay did to the weights of a projection.

    Attributes:
        steps: for which the rule was in force.
        baseline: where weights end, in the float network's unit.
        expected: factor of all distances to the baseline by the rate that the target has.
        factor: what it was: the slope of distances after over distances before.
        off: mean distance from where the closed form puts the weights, in device steps of a weight.
        unit: float weight of one device step.
    """

    steps: int
    baseline: float
    expected: float
    factor: float
    off: float
    unit: float


def decay_of(rule: Rule, phase: str) -> Term | None:
    """The term by which weights decay in a phase, if nothing else changes them there.

    Raises:
        InputError: the rule has no such phase.
    """
    active = [term for term in rule.active(phase) if term.change == "w"]
    if len(active) != 1 or active[0].event != "step" or len(active[0].reads) != 1:
        return None
    (read,) = active[0].reads
    return active[0] if read.variable == "w" and active[0].rate * read.scale < 0 else None


def decays(one: Plastic, phase: str | None) -> Term | None:
    """The term by which a projection's weights decay, on its target, in a phase that does nothing else to them.

    Args:
        one: the projection.
        phase: of its rule; None takes the first.
    """
    rule = one.rule if one.account is None or one.account.device is None else one.account.device
    name = phase or rule.phases[0]
    return decay_of(rule, name) if name in rule.phases and rule.written is None else None


def contraction(one: Plastic, term: Term, steps: int, before: FloatArray, after: FloatArray) -> Contraction:
    """How far the weights of a projection came.

    Args:
        one: the projection.
        term: by which they decay.
        steps: for which the rule was in force.
        before: weights at the start [post, pre], in the float network's unit.
        after: weights at the end.
    """
    (read,) = term.reads
    baseline = -read.offset / read.scale
    expected = (1.0 + term.rate * read.scale) ** (steps // term.every)
    first, last = np.asarray(before) - baseline, np.asarray(after) - baseline
    size = float(np.sum(np.square(first)))
    factor = float(np.sum(first * last)) / size if size else 1.0
    off = float(np.mean(np.abs(last - expected * first))) / one.step
    return Contraction(steps, baseline, expected, factor, off, one.step)
