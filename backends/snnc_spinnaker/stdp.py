"""Pair STDP with deferred update: weights change when a pre spike arrives, from the post spikes since the last one.

Source: specs/spinnaker.md section 1.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from snnc.ir import IntArray
from snnc_spinnaker import arith
from snnc_spinnaker.ring import Ring
from snnc_spinnaker.rows import Row

HISTORY = 16
FULL_TRACE = 2048
Array = npt.NDArray[Any]
Side = Literal["pre", "post"]


class Arithmetic(Protocol):
    """How a pair rule computes: in the words of a core (:class:`Rule`), or in others to compare with them."""

    @property
    def delayed_posts(self) -> bool:
        """Whether post spikes reach the synapse after its delay."""

    def decayed(self, trace: Array, steps: Array, side: Side) -> Array:
        """A trace some steps later; 0 for negative numbers."""

    def raised(self, trace: Array) -> Array:
        """A trace after a spike."""

    def moved(self, weight: Array, trace: Array, receptor: IntArray, *, up: bool) -> Array:
        """Weights after one potentiation or depression."""

    def loaded(self, words: Array, receptor: IntArray) -> Array:
        """Weights as they are computed with, of those that are kept."""

    def stored(self, weight: Array, receptor: IntArray) -> Array:
        """Weights as they are kept."""


@dataclass(frozen=True, eq=False)
class Rule:
    """Timing and weight rule of a population.

    Attributes:
        kind: how a weight moves.
        plus, minus: look-up tables of the traces' decay by steps, s4.11.
        bounds: (types, 4) smallest and largest weight, a_plus, a_minus; s16.15.
        shift: ring shift by type.
        delayed_posts: post spikes reach the synapse after its delay.
    """

    kind: Literal["additive", "multiplicative"]
    plus: IntArray
    minus: IntArray
    bounds: IntArray
    shift: tuple[int, int]
    delayed_posts: bool = True

    def decayed(self, trace: IntArray, steps: IntArray, side: Side) -> IntArray:
        """A trace of the pre or post neuron, s4.11, some steps later."""
        return arith.stdp_mul(trace, looked_up(self.plus if side == "pre" else self.minus, steps))

    def raised(self, trace: IntArray) -> IntArray:
        """A trace after a spike: 16 bits, which wrap."""
        return arith.int16(trace + FULL_TRACE)

    def loaded(self, words: IntArray, receptor: IntArray) -> IntArray:
        """Weights s16.15 of the words of 16 bits in which synapses keep them."""
        return arith.w32(words << np.asarray(self.shift)[receptor])

    def stored(self, weight: IntArray, receptor: IntArray) -> IntArray:
        """Words of weights s16.15: floored."""
        return np.asarray((weight >> np.asarray(self.shift)[receptor]) & 0xFFFF)

    def moved(self, weight: IntArray, trace: IntArray, receptor: IntArray, *, up: bool) -> IntArray:
        """Weights s16.15 after one potentiation or depression by an s4.11 trace."""
        low, high, plus, minus = self.bounds[receptor].T
        if self.kind == "additive":
            if up:
                return np.asarray(np.minimum(arith.add(weight, arith.mul_stdp(plus, trace)), high))
            return np.asarray(np.maximum(arith.sub(weight, arith.mul_stdp(minus, trace)), low))
        if up:
            return arith.add(weight, arith.mul_stdp(arith.mul(arith.sub(high, weight), plus), trace))
        return arith.sub(weight, arith.mul_stdp(arith.mul(arith.sub(weight, low), minus), trace))


def looked_up(table: IntArray, steps: IntArray) -> IntArray:
    """Table entry for a number of steps; 0 beyond its end, and for negative numbers, which are read as unsigned."""
    inside = (steps >= 0) & (steps < len(table))
    return np.where(inside, table[np.where(inside, steps, 0)], 0)


class Posts:
    """The last post spikes of each neuron: entry 0 is a placeholder, up to 15 real ones follow.

    Attributes:
        time, trace: (n, 16).
        count: entries in use, (n,).
        room: entries that there are: 16, or another number to compare with.
        wrapped: traces that left their 16 bits so far, (1,).
    """

    def __init__(self, size: int, room: int | None = None) -> None:
        self.room = HISTORY if room is None else room
        self.time = np.zeros((size, self.room), dtype=np.int64)
        self.trace = np.zeros((size, self.room), dtype=np.int64)
        self.count = np.ones(size, dtype=np.int64)
        self.wrapped = np.zeros(1, dtype=np.int64)

    def spike(self, rule: Arithmetic, time: int, neurons: IntArray) -> None:
        """Appends a post spike of each of these neurons; a full history loses its oldest real entry."""
        last = self.count[neurons] - 1
        left = rule.decayed(self.trace[neurons, last], time - self.time[neurons, last], "post")
        trace = rule.raised(left)
        self.wrapped += np.count_nonzero(trace < left)
        full = neurons[last == self.room - 1]
        for entries in (self.time, self.trace):
            entries[full, 1:-1] = entries[full, 2:]
        at = np.minimum(last + 1, self.room - 1)
        self.time[neurons, at], self.trace[neurons, at] = time, trace
        self.count[neurons] = at + 1


class PlasticRow:
    """The plastic synapses of one source on one core.

    Attributes:
        weight: uint16 each.
        time, trace: of the last pre spike.
    """

    def __init__(self, row: Row, ring: Ring) -> None:
        self.weight = row.weights
        self.delay, self.receptor, self.neuron = ring.layout.unpack(row.controls)
        self.time, self.trace = (int(x) for x in row.plastic[:2].astype(np.int64))

    def arrive(self, rule: Rule, posts: Posts, ring: Ring, time: int) -> None:
        """A pre spike: catches up with the post spikes since the last one, then adds the new weights to the ring.

        A delay of 2**D is stored as 0. The program learns by it as if it were 0, and never adds such a weight to the
        ring: it drops what has no delay left, and unlike for static synapses 0 is no exception.
        """
        last_time, last_trace = self.time, self.trace
        kept = rule.decayed(np.array(last_trace), np.array(time - last_time), "pre")
        self.time, self.trace = time, int(rule.raised(kept))
        loaded = rule.loaded(self.weight, self.receptor)
        weight = self._caught_up(rule, posts, loaded, time, last_time, np.array(last_trace))
        self.weight = rule.stored(weight, self.receptor)
        heard = self.delay != 0
        slot = (time + self.delay) % ring.slots
        ring.put(slot[heard], self.receptor[heard], self.neuron[heard], self.weight[heard])

    def _caught_up(
        self, rule: Rule, posts: Posts, weight: IntArray, time: int, last_time: int, last_trace: IntArray
    ) -> IntArray:
        shift = self.delay if rule.delayed_posts else np.zeros_like(self.delay)
        begin, end = np.maximum(last_time - shift, 0), np.maximum(time - shift, 0)
        known = np.zeros(len(weight), dtype=bool)
        newest, trace = np.zeros_like(weight), np.zeros_like(weight)
        for entry in range(1, HISTORY):
            there = posts.time[self.neuron, entry]
            past = (entry < posts.count[self.neuron]) & (there <= end)
            since = there + shift - last_time
            rise = rule.decayed(last_trace, since, "pre")
            risen = rule.moved(weight, rise, self.receptor, up=True)
            weight = np.where(past & (there > begin) & (since > 0), risen, weight)
            known |= past
            newest = np.where(past, there, newest)
            trace = np.where(past, posts.trace[self.neuron, entry], trace)
        fall = rule.decayed(trace, time - (newest + shift), "post")
        return np.where(known, rule.moved(weight, fall, self.receptor, up=False), weight)
