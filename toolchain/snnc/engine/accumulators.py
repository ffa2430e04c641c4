"""The accumulator report: what the weights prove about every layer's sums, the width that follows, what a run saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnc.engine.bounds import width
from snnc.engine.plan import Bound, Plan, Population

UNFED = ("input", "constant", "relay")


@dataclass(frozen=True)
class Row:
    """One accumulator of one layer.

    Attributes:
        layer: name of the population that is fed.
        receptor: ``sum``, or ``excitatory`` and ``inhibitory`` of a split synapse.
        unit: left shift to state units.
        low, high: smallest and largest sum of one step that the weights allow; None if nothing is proven.
        peak: largest sum of magnitudes: no partial sum in any order is beyond it.
        width: bits of the accumulator that follow from it.
        worst: largest magnitude that a run saw; None without a run.
    """

    layer: str
    receptor: str
    unit: int
    low: int | None
    high: int | None
    peak: int | None
    width: int
    worst: int | None = None


def accumulators(plan: Plan, worst: Mapping[str, Sequence[int]] | None = None) -> tuple[Row, ...]:
    """One row for each accumulator, in the order of execution.

    Args:
        plan: whose populations.
        worst: population -> largest magnitude by receptor, as :func:`snnc.engine.dense.worst_sums` finds it.
    """
    return tuple(row for p in plan.populations if p.kind not in UNFED for row in _rows(p, plan, worst or {}))


def _rows(p: Population, plan: Plan, worst: Mapping[str, Sequence[int]]) -> list[Row]:
    split = plan.conventions.synapse == "split"
    names = ("excitatory", "inhibitory") if split else ("sum",)
    found: list[Row] = []
    for i, name in enumerate(names):
        bound: Bound | None = p.bounds[i] if p.bounds else None
        seen = worst.get(p.name)
        low, high, peak = (bound.low, bound.high, bound.peak) if bound else (None, None, None)
        found.append(Row(p.name, name, p.shift, low, high, peak, width(bound), None if seen is None else seen[i]))
    return found
