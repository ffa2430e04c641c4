"""The plastic synapses of a projection as one matrix: every row whose source fired in a tick at once.

The same arithmetic as :class:`snnc_spinnaker.stdp.PlasticRow`, which the recordings of the release programs prove; rows
do not know of each other, so that their order within a tick does not matter.
"""

from __future__ import annotations

import numpy as np

from snnc.ir import IntArray
from snnc_spinnaker.stdp import Arithmetic, Array, Posts


class Block:
    """Synapses from every source to every neuron of a population, with one delay.

    Attributes:
        weight: words [pre, post].
        time, trace: of each source's last spike, [pre].
        wrapped: traces that left their 16 bits so far, (1,).
    """

    def __init__(self, weight: IntArray, delay: int, receptor: int) -> None:
        """Args: delay: 1 to 2**D - 1 steps."""
        self.weight = np.array(weight, dtype=np.int64)
        self.delay = delay
        self.receptor = np.full(self.weight.shape[1], receptor, dtype=np.int64)
        self.time = np.zeros(len(self.weight), dtype=np.int64)
        self.trace = np.zeros(len(self.weight), dtype=np.int64)
        self.wrapped = np.zeros(1, dtype=np.int64)

    def arrive(self, rule: Arithmetic, posts: Posts, time: int, sources: IntArray) -> Array:
        """Spikes of these sources arrive: their rows catch up.

        Returns:
            Sums of their new weights, [post], for the ring.
        """
        if not sources.size:
            return np.zeros(self.weight.shape[1], dtype=np.int64)
        last_time, last_trace = self.time[sources, np.newaxis], self.trace[sources, np.newaxis]
        self.time[sources] = time
        left = rule.decayed(last_trace, time - last_time, "pre")
        raised = rule.raised(left)
        self.wrapped += np.count_nonzero(raised < left)
        self.trace[sources] = raised[:, 0]
        loaded = rule.loaded(self.weight[sources], self.receptor)
        weight = self._caught_up(rule, posts, loaded, time, last_time, last_trace)
        self.weight[sources] = words = rule.stored(weight, self.receptor)
        return np.asarray(words.sum(axis=0))

    def _caught_up(
        self, rule: Arithmetic, posts: Posts, weight: Array, time: int, last_time: IntArray, last_trace: Array
    ) -> Array:
        late = self.delay if rule.delayed_posts else 0
        begin, end = np.maximum(last_time - late, 0), max(time - late, 0)
        known = (np.arange(posts.room) < posts.count[:, np.newaxis]) & (posts.time <= end)
        known[:, 0] = False
        for entry in range(1, posts.room):
            there = posts.time[:, entry]
            inside = np.flatnonzero(known[:, entry] & (there > begin.min()))
            if not inside.size:
                continue
            since = there[inside] + late - last_time
            rise = rule.decayed(last_trace, since, "pre")
            risen = rule.moved(weight[:, inside], rise, self.receptor[inside], up=True)
            weight[:, inside] = np.where((there[inside] > begin) & (since > 0), risen, weight[:, inside])
        # Times rise with the entries, so that as many are known as the newest one's place says.
        newest = known.sum(axis=1)
        some = np.flatnonzero(newest)
        at = newest[some]
        fall = rule.decayed(posts.trace[some, at], time - (posts.time[some, at] + late), "post")
        weight[:, some] = rule.moved(weight[:, some], fall, self.receptor[some], up=False)
        return weight
