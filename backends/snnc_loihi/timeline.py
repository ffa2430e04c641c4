"""Samples one after the other in one Lava run: Lava has no batches, and starting it costs more than most samples.

Sample k of population p lives in device steps ``k*period + latency[p]`` to ``(k+1)*period + latency[p] - 1``; right
before the first of them p's u and v are set to 0 (LIFReset). The windows of populations are staggered by their
latencies, so what a feed-forward path carries out of one sample always arrives before its target's reset. Only a path
with a logical delay (``lag`` >= 1: recurrence, delayed skip) can carry a spike across; :meth:`Timeline.clean` finds
those samples from the recorded spikes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc_loihi.plan import Plan, Source, Synapses

QUIET = 8
"""Further steps between samples of a network that has delayed paths, in which its echo may die."""


@dataclass(frozen=True)
class Timeline:
    """Where samples lie in device time.

    Attributes:
        samples: in this run, one after the other in each copy of the network.
        steps: logical steps T of each.
        period: device steps from one sample to the next.
        total: device steps of the run.
    """

    samples: int
    steps: int
    period: int
    total: int

    @classmethod
    def of(cls, plan: Plan, samples: int, steps: int) -> Timeline:
        """The timeline of a run."""
        echo = QUIET if any(s.lag > 0 and not _fed(plan, s) for s in plan.synapses) else 0
        period = steps + plan.margin + echo
        return cls(samples, steps, period, (samples - 1) * period + steps + plan.depth)

    def reset_step(self, latency: int) -> int:
        """LIFReset's offset, in Lava's steps (which begin at 1), of a population's reset."""
        return (latency + 1) % self.period

    def stimulus(self, source: Source, delay: int, lag: int, spikes: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
        """What the RingBuffer of a source sends, [size, total], one step before the neurons take it.

        Args:
            source: constant sources send ones for as long as the target's sample lasts.
            delay: device steps from spike to neuron; the data is shifted by all but the one that a connection takes.
            lag: logical steps of the same path.
            spikes: [samples, T, *shape]; not used for constant sources.
        """
        data = np.zeros((source.size, self.total), dtype=np.int8)
        length = self.steps + (max(0, -lag) if source.constant else 0)
        for k in range(self.samples):
            start = k * self.period + source.latency + delay - 1
            count = max(0, min(length, self.total - start))
            if source.constant:
                data[:, start : start + count] = 1
            else:
                data[:, start : start + count] = spikes[k].reshape(self.steps, -1)[:count].T
        return data

    def cut(self, recorded: npt.NDArray[Any], latency: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Logical time of every sample: [total, size] -> [samples, T, *shape]."""
        starts = np.arange(self.samples) * self.period + latency
        steps = starts[:, np.newaxis] + np.arange(self.steps)
        return np.asarray(recorded[steps]).reshape(self.samples, self.steps, *shape)

    def clean(self, plan: Plan, spikes: Mapping[str, npt.NDArray[Any]], copies: int = 1) -> npt.NDArray[np.bool_]:
        """Which samples no spike of the sample before them reached; [samples, copies].

        A path of lag L carries into a target's window what its source sent in the L steps before the source's own
        window. Sample 0 begins at the true start; any other is clean if its sources did then what they did before
        sample 0: nothing before step 0, and from there the same as in sample 0.

        Args:
            plan: the network.
            spikes: population -> [total, copies * size].
            copies: of the network, side by side.
        """
        good = np.ones((self.samples, copies), dtype=bool)
        for one in plan.synapses:
            if one.lag < 1 or _fed(plan, one):
                continue
            latency = plan.population(one.source).latency
            sent = spikes[one.source]
            before = np.arange(latency - one.lag, latency)
            first = np.where((before >= 0)[:, np.newaxis], sent[np.maximum(before, 0)], 0)
            for k in range(1, self.samples):
                same = sent[k * self.period + before] == first
                good[k] &= same.reshape(one.lag, copies, -1).all(axis=(0, 2))
        return good


def _fed(plan: Plan, synapses: Synapses) -> bool:
    """True if the source is an input: its data is laid out so that it reaches into no other sample."""
    return isinstance(plan.population(synapses.source), Source)
