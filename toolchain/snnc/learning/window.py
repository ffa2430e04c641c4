"""The STDP window: what one pre and one post spike do to a weight, by their distance in time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from snnc.ir import FloatArray
from snnc.learning.rule import Read, Rule, Term, Trace


def window(rule: Rule, distances: npt.ArrayLike, weight: float | None = None, earlier: float = 0.0) -> FloatArray:
    """Change by one pair of spikes that meet an otherwise silent synapse.

    Rules with an eligibility show what is written there; changes in every step and at a sample's end are left out.

    Args:
        rule: whose; the first phase counts.
        distances: steps from the pre spike to the post spike; negative where post comes first.
        weight: at which; None takes the middle of the bounds.
        earlier: what traces read before the spikes of their own side hold at the pair (the triplet's third spike).

    Returns:
        Change for each distance, in the unit of w (or of e).
    """
    middle = 0.5 * (rule.w_min + rule.w_max)
    at = weight if weight is not None else middle if math.isfinite(middle) else 0.0
    change = "e" if rule.tagged else "w"
    terms = [t for t in rule.active(rule.phases[0]) if t.change == change and t.event in ("pre", "post")]
    return np.array([sum(_one(rule, t, float(d), at, earlier) for t in terms) for d in np.asarray(distances)])


def _one(rule: Rule, term: Term, distance: float, weight: float, earlier: float) -> float:
    values = [r.offset + r.scale * _value(rule, term, r, distance, weight, earlier) for r in term.reads]
    return term.rate * math.prod(values)


def _value(rule: Rule, term: Term, read: Read, distance: float, weight: float, earlier: float) -> float:
    if read.variable == "w":
        return weight
    found: Sequence[Trace] = [trace for trace in rule.traces if trace.name == read.variable]
    if not found:
        return 0.0
    trace = found[0]
    if trace.side == term.event:
        return earlier if read.before else trace.jump
    since = distance if term.event == "post" else -distance
    if since < 0 or (since == 0 and read.before):
        return 0.0
    return trace.jump * math.exp(-since / trace.tau)
