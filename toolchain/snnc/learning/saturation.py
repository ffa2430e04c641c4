"""What ran into an end of its range while a network learned: counts, what they mean, and what to do.

Nothing of this raises an error on a chip: sums are cut, traces stop or wrap, weights stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnc.learning.account import Register
from snnc.learning.plastic import Plastic

TRACES = ("x1", "x2", "y1", "y2", "y3")
FULL = 127
"""Largest number that Loihi's traces hold."""


@dataclass(frozen=True)
class Saturation:
    """One count.

    Attributes:
        where: projection or population.
        what: was counted.
        count: how often; of weights, how many of them now.
        of: out of how many; None where that was not counted.
        meaning: what a count above 0 does to the network, a sentence.
        fix: what to do.
    """

    where: str
    what: str
    count: int
    of: int | None
    meaning: str
    fix: str

    @property
    def warning(self) -> str:
        """For people, if there is something to say."""
        if not self.count:
            return ""
        of = "" if self.of is None else f" of {self.of}"
        return f"{self.where}: {self.count}{of} {self.what}: {self.meaning}. {self.fix}"


@runtime_checkable
class Saturating(Protocol):
    """A learner that counts what saturates."""

    @property
    def saturations(self) -> Iterable[Saturation]:
        """Counts since it was made, or since the run began that it was restored from."""


def listed(learner: object) -> list[dict[str, Any]]:
    """The counts of a learner, JSON-ready; empty where it counts nothing."""
    if not isinstance(learner, Saturating):
        return []
    return [
        {"where": one.where, "what": one.what, "count": one.count, "of": one.of, "warning": one.warning}
        for one in learner.saturations
    ]


def bounded(where: str, weights: npt.NDArray[Any], low: int, high: int) -> Saturation:
    """Weights that lie on a bound.

    Args:
        where: projection.
        weights: in device steps.
        low: least that synapses keep.
        high: largest.
    """
    down, up = int(np.sum(weights <= low)), int(np.sum(weights >= high))
    return Saturation(
        where, f"weights on a bound ({down} at {low}, {up} at {high} device steps)", down + up, int(weights.size),
        "they move only away from it",
        "If that is not wanted, widen w_min and w_max, lower or balance A_plus and A_minus, or take a rule that slows "
        "down toward its bounds (soft-bound-stdp)",
    )  # fmt: skip


def counted(one: Plastic) -> tuple[Register, ...]:
    """Traces of Loihi's engine whose clipping is a loss: not ports, and not those that a spike sets to the end."""
    registers = () if one.account is None else one.account.registers
    return tuple(r for r in registers if not r.port and r.rate == r.rate)


class Tally:
    """Counts the traces of a projection in Loihi's engine that are at their end after a learning phase.

    Args:
        one: the projection.

    Attributes:
        full: [5] counts for x1, x2, y1, y2, y3, over neurons and epochs; those whose clipping is no loss stay 0.
        rows: of ``full`` that count.
    """

    def __init__(self, one: Plastic) -> None:
        self.one = one
        self.full = np.zeros(len(TRACES), dtype=np.int64)
        self.rows = tuple(TRACES.index(r.name) for r in counted(one) if r.name in TRACES)

    def add(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> None:
        """Traces x [2, pre] and y [3, post] after a learning phase."""
        for row in self.rows:
            self.full[row] += np.count_nonzero((x[row] if row < 2 else y[row - 2]) >= FULL)

    def found(self, weights: npt.NDArray[Any], bounds: tuple[int, int]) -> Iterator[Saturation]:
        """The counts, and those of the weights of now; arguments as of :func:`on_loihi`."""
        return iter(on_loihi(self.one, weights, bounds, dict(zip(TRACES, self.full.tolist(), strict=True))))


def on_loihi(
    one: Plastic, weights: npt.NDArray[Any], bounds: tuple[int, int], full: Mapping[str, int]
) -> Iterable[Saturation]:
    """What saturates in a projection that learns in Loihi's engine.

    Args:
        one: the projection.
        weights: in device steps.
        bounds: of the engine's rule.
        full: register -> how often it was at its end, over neurons and epochs.
    """
    yield bounded(one.projection, weights, *bounds)
    for register in counted(one):
        if register.name in full:
            yield Saturation(
                one.projection, f"times (neurons and epochs) trace {register.name} at its end, {FULL}",
                int(full[register.name]), None, "spikes beyond that add nothing to it",
                f"Raise max_rate in [learning.{one.projection}] (no trace is clipped below {register.rate:.3g} spikes "
                f"per step), or shorten the time constant of {register.holds}",
            )  # fmt: skip
