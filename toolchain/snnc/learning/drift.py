"""How far a chip's integers drift from the float rule while they learn, and which part of it comes from where.

Between the rule as written and the chip's integers stand other executions, each with one more of the chip's ways. All
learn from the same spikes. What one of them adds to the distance belongs to its way; parts may cancel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from snnc.ir import FloatArray, IntArray
from snnc.plain import plain

BINS = 16
POINTS = 24
"""At how many steps a summary shows the error."""


class FloatTwin(Protocol):
    """Synapses [post, pre] that learn by a rule in float64."""

    @property
    def weights(self) -> FloatArray:
        """[post, pre] after the last step, in the rule's unit."""

    def step(self, pre: npt.NDArray[Any], post: npt.NDArray[Any]) -> FloatArray:
        """One step with spikes [pre] and [post]; what the neurons receive, [post]."""


@dataclass(frozen=True, eq=False)
class Drift:
    """Float against integers, in the float network's unit.

    Attributes:
        error: [T] mean over synapses of |float - integers| after each step.
        worst: [T] largest one.
        causes: by name, [T] mean size of what each adds; parts may cancel.
        final: [post, pre] integers minus float after the last step.
        edges: of the histograms, [BINS + 1].
        histograms: start, float and integers -> [BINS] numbers of synapses.
        stalled: fraction of the synapses that the float rule moves by a device step or more and that the integers never
            moved.
    """

    error: FloatArray
    worst: FloatArray
    causes: Mapping[str, FloatArray]
    final: FloatArray
    edges: FloatArray
    histograms: Mapping[str, IntArray]
    stalled: float


@dataclass(eq=False)
class Course:
    """Collects the weights of all executions, step after step.

    Attributes:
        causes: names of what each execution adds to the one before it.
        begin: [post, pre] weights of the start, in the float network's unit.
        unit: one device step.
    """

    causes: Sequence[str]
    begin: FloatArray
    unit: float
    _rows: list[list[float]] = field(default_factory=list)
    _last: tuple[FloatArray, ...] = ()

    def add(self, stages: Sequence[npt.NDArray[Any]]) -> None:
        """Weights of all executions after a step: the rule as written first, the integers last."""
        parts = [float(np.mean(np.abs(b - a))) for a, b in pairwise(stages)]
        whole = np.abs(stages[-1] - stages[0])
        self._rows.append([float(np.mean(whole)), float(np.max(whole, initial=0.0)), *parts])
        self._last = (np.array(stages[0], np.float64), np.array(stages[-1], np.float64))

    def found(self) -> Drift:
        """What was collected."""
        wanted, got = self._last or (self.begin, self.begin)
        every = np.concatenate([self.begin.ravel(), wanted.ravel(), got.ravel()])
        edges = np.histogram_bin_edges(every, BINS)
        histograms = {
            name: np.histogram(values, edges)[0].astype(np.int64)
            for name, values in (("start", self.begin), ("float", wanted), ("integers", got))
        }
        should = np.abs(wanted - self.begin) >= self.unit
        stalled = float(np.mean((got == self.begin)[should])) if should.any() else 0.0
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 2 + len(self.causes))
        causes = {cause: rows[:, n] for n, cause in enumerate(self.causes, 2)}
        return Drift(rows[:, 0], rows[:, 1], causes, np.asarray(got - wanted, np.float64), edges, histograms, stalled)


def summary(one: Drift, meanings: Mapping[str, str], by: str = "") -> dict[str, Any]:
    """A drift for files and people, JSON-ready.

    Args:
        one: what was found.
        meanings: cause -> what the chip does, in words.
        by: what measured it, where that was not the back end itself.
    """
    steps = len(one.error)
    at = np.unique(np.linspace(0, max(steps - 1, 0), min(POINTS, steps)).round().astype(np.int64))
    last = {cause: float(values[-1]) if steps else 0.0 for cause, values in one.causes.items()}
    return {
        "steps": steps,
        "error": float(one.error[-1]) if steps else 0.0,
        "worst": float(one.worst[-1]) if steps else 0.0,
        "causes": last,
        "meanings": {cause: meanings[cause] for cause in last},
        "stalled": one.stalled,
        "edges": plain(one.edges),
        "histograms": {name: plain(values) for name, values in one.histograms.items()},
        "over_time": {
            "step": [int(t) + 1 for t in at],
            "error": [float(one.error[t]) for t in at],
            "worst": [float(one.worst[t]) for t in at],
            "causes": {cause: [float(values[t]) for t in at] for cause, values in one.causes.items()},
        },
        "by": by,
    }
