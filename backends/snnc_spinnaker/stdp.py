"""Pair STDP with deferred update: weights change when a pre spike arrives, from the post spikes since the last one.

Source: specs/spinnaker.md section 1.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from snnc.ir import IntArray
from snnc_spinnaker import arith
from snnc_spinnaker.ring import Ring
from snnc_spinnaker.rows import Row

HISTORY = 16
FULL_TRACE = 2048


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
    """

    def __init__(self, size: int) -> None:
        self.time = np.zeros((size, HISTORY), dtype=np.int64)
        self.trace = np.zeros((size, HISTORY), dtype=np.int64)
        self.count = np.ones(size, dtype=np.int64)

    def spike(self, rule: Rule, time: int, neurons: IntArray) -> None:
        """Appends a post spike of each of these neurons; a full history loses its oldest real entry."""
        last = self.count[neurons] - 1
        kept = looked_up(rule.minus, time - self.time[neurons, last])
        trace = arith.int16(arith.stdp_mul(self.trace[neurons, last], kept) + FULL_TRACE)
        full = neurons[last == HISTORY - 1]
        for entries in (self.time, self.trace):
            entries[full, 1:-1] = entries[full, 2:]
        at = np.minimum(last + 1, HISTORY - 1)
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
        kept = looked_up(rule.plus, np.array(time - last_time))
        self.time, self.trace = time, int(arith.int16(arith.stdp_mul(last_trace, kept) + FULL_TRACE))
        shift = np.asarray(rule.shift)[self.receptor]
        weight = self._caught_up(rule, posts, arith.w32(self.weight << shift), time, last_time, last_trace)
        self.weight = (weight >> shift) & 0xFFFF
        heard = self.delay != 0
        slot = (time + self.delay) % ring.slots
        ring.put(slot[heard], self.receptor[heard], self.neuron[heard], self.weight[heard])

    def _caught_up(
        self, rule: Rule, posts: Posts, weight: IntArray, time: int, last_time: int, last_trace: int
    ) -> IntArray:
        shift = self.delay if rule.delayed_posts else np.zeros_like(self.delay)
        begin, end = np.maximum(last_time - shift, 0), np.maximum(time - shift, 0)
        known = np.zeros(len(weight), dtype=bool)
        newest, trace = np.zeros_like(weight), np.zeros_like(weight)
        for entry in range(1, HISTORY):
            there = posts.time[self.neuron, entry]
            past = (entry < posts.count[self.neuron]) & (there <= end)
            since = there + shift - last_time
            rise = arith.stdp_mul(last_trace, looked_up(rule.plus, since))
            risen = rule.moved(weight, rise, self.receptor, up=True)
            weight = np.where(past & (there > begin) & (since > 0), risen, weight)
            known |= past
            newest = np.where(past, there, newest)
            trace = np.where(past, posts.trace[self.neuron, entry], trace)
        fall = arith.stdp_mul(trace, looked_up(rule.minus, time - (newest + shift)))
        return np.where(known, rule.moved(weight, fall, self.receptor, up=False), weight)
