"""What the learning phase at the end of an epoch sees: events, trace histories and synaptic variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import IntArray

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Epoch:
    """One epoch of T steps between ``pre`` and ``post`` neurons, integers or floats.

    Attributes:
        last_pre: [pre] step 1..T of the neuron's last spike in the epoch, 0 if it was silent.
        last_post: [post] the same.
        x: [T + 1, 2, pre] traces x1, x2; row 0 is the start of the epoch, row k the end of its step k.
        y: [T + 1, 3, post] traces y1, y2, y3.
        counts: 1 if events uK count in this epoch, else 0.
        synaptic: w, t and d -> [post, pre], the values before this phase.
    """

    last_pre: IntArray
    last_post: IntArray
    x: Numbers
    y: Numbers
    counts: int
    synaptic: dict[str, Numbers]

    def event(self, name: str) -> Numbers:
        """1 where the event x0, y0 or u happened, else 0; broadcasts to [post, pre]."""
        if name == "x0":
            return (self.last_pre > 0).astype(np.int64)[np.newaxis, :]
        if name == "y0":
            return (self.last_post > 0).astype(np.int64)[:, np.newaxis]
        return np.full((1, 1), self.counts, dtype=np.int64)

    def read(self, variable: str, dependency: str) -> Numbers:
        """A variable at the time of the dependency; broadcasts to [post, pre].

        Traces are read in the step of the last spike, its own impulse included, and for u at the end of the epoch.
        """
        if variable in self.synaptic:
            return self.synaptic[variable]
        if variable in ("x0", "y0"):
            return self.event(variable)
        history = (self.x if variable[0] == "x" else self.y)[:, int(variable[1]) - 1]
        own = np.arange(history.shape[1])
        if variable[0] == "x":
            if dependency == "y0":
                return np.asarray(history[self.last_post])
            row: Numbers = history[self.last_pre, own] if dependency == "x0" else history[-1]
            return row[np.newaxis, :]
        if dependency == "x0":
            return np.asarray(history[self.last_pre].T)
        column: Numbers = history[self.last_post, own] if dependency == "y0" else history[-1]
        return column[:, np.newaxis]


def place(step: int, t_epoch: int) -> int:
    """Position 1..t_epoch of a step (counted from 1) in its epoch."""
    return (step - 1) % t_epoch + 1


def counts(step: int, t_epoch: int, period: int | None) -> int:
    """1 if events uK count in the epoch that ends with this step."""
    return int(period is not None and (step // t_epoch) % (1 << period) == 0)
