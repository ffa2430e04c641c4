"""How far SpiNNaker's pair STDP drifts from the float rule, and which of its ways that comes from.

Executions between the rule as written and the words of a core, each with one more of the core's ways, on the spikes
that its synapses saw: spikes of the source when they arrive, those of the target a delay later. The last ones are the
emulator's own code; the middle ones run it with float numbers in the place of words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.backend import discover
from snnc.ir import FloatArray, IntArray
from snnc.learning.drift import Course, Drift, summary
from snnc.learning.rule import Rule as FloatRule
from snnc_spinnaker.learn import Plastic
from snnc_spinnaker.learner import Learner
from snnc_spinnaker.stdp import FULL_TRACE, Arithmetic, Posts, Rule, Side, looked_up
from snnc_spinnaker.stdp_block import Block

Array = npt.NDArray[Any]
CAUSES = {
    "rates": "amplitudes and bounds in steps of 2^-15 nA",
    "coincidences": "a pre and a post spike in one step (delay included): only the depression counts",
    "deferred": "pairs wait for the next pre spike",
    "history": "of more than 15 post spikes between two pre spikes the oldest are lost",
    "tables": "traces decay by look-up tables of s4.11, 0 beyond their end",
    "products": "every product of traces and weights is floored",
    "overflow": "traces of 16 bits wrap",
    "words": "weights are floored to words of 16 bits after each catch-up",
}


class Exact:
    """The core's order of events in float64, in the float network's unit; a full trace is 1.

    Args:
        device: the rule with the core's rates, bounds and reading of coincidences.
        kind: how a weight moves.
        tables: of pre and post traces by steps, s4.11; None decays exactly.
        delayed_posts: post spikes reach the synapse after its delay.
    """

    def __init__(
        self,
        device: FloatRule,
        kind: Literal["additive", "multiplicative"],
        tables: tuple[IntArray, IntArray] | None = None,
        *,
        delayed_posts: bool = True,
    ) -> None:
        self.kind, self.tables, self.delayed_posts = kind, tables, delayed_posts
        self.low, self.high = device.w_min, device.w_max
        rates = {term.event: abs(term.rate) for term in device.terms}
        self.plus, self.minus = rates.get("post", 0.0), rates.get("pre", 0.0)
        self.taus = {trace.side: trace.tau for trace in device.traces}

    def decayed(self, trace: Array, steps: Array, side: Side) -> Array:
        """A trace some steps later."""
        if self.tables is not None:
            return np.asarray(trace * looked_up(self.tables[side == "post"], steps) / FULL_TRACE)
        return np.where(steps >= 0, trace * np.exp(-np.maximum(steps, 0) / self.taus[side]), 0.0)

    def raised(self, trace: Array) -> Array:
        """A trace after a spike."""
        return trace + 1.0

    def moved(self, weight: Array, trace: Array, receptor: IntArray, *, up: bool) -> Array:  # noqa: ARG002 - one pair
        """Weights after one potentiation or depression."""
        if self.kind == "multiplicative":
            step = (self.high - weight) * self.plus if up else (self.low - weight) * self.minus
            return np.asarray(weight + step * trace)
        if up:
            return np.asarray(np.minimum(weight + self.plus * trace, self.high))
        return np.asarray(np.maximum(weight - self.minus * trace, self.low))

    def loaded(self, words: Array, receptor: IntArray) -> Array:  # noqa: ARG002 - nothing to shift
        """Weights as they are kept."""
        return words

    def stored(self, weight: Array, receptor: IntArray) -> Array:  # noqa: ARG002 - nothing to shift
        """Weights as they are computed with."""
        return weight


@dataclass(frozen=True, eq=False)
class Wide(Rule):
    """The core's products on weights s16.15 that are never cut to words.

    Attributes:
        wraps: traces are 16 bits, as in the core.
    """

    wraps: bool = False

    def decayed(self, trace: IntArray, steps: IntArray, side: Side) -> IntArray:
        """A trace some steps later."""
        if self.wraps:
            return super().decayed(trace, steps, side)
        return (trace * looked_up(self.plus if side == "pre" else self.minus, steps)) >> 11

    def raised(self, trace: IntArray) -> IntArray:
        """A trace after a spike."""
        return super().raised(trace) if self.wraps else trace + FULL_TRACE

    def loaded(self, words: IntArray, receptor: IntArray) -> IntArray:  # noqa: ARG002 - nothing to shift
        """Weights as they are kept."""
        return words

    def stored(self, weight: IntArray, receptor: IntArray) -> IntArray:  # noqa: ARG002 - nothing to shift
        """Weights as they are computed with."""
        return weight


class Execution:
    """One projection by some arithmetic.

    Args:
        rule: the arithmetic.
        weights: [pre, post] as it keeps them; floats where it computes with floats.
        delay: of the synapses.
        unit: float weight of 1 of them.
        room: post spikes that a neuron remembers, a placeholder among them; None is the core's 16.
    """

    def __init__(self, rule: Arithmetic, weights: Array, delay: int, unit: float = 1.0, room: int | None = None):
        self.rule, self.unit = rule, unit
        self.block = Block(np.zeros(weights.shape, dtype=np.int64), delay, 0)
        self.posts = Posts(weights.shape[1], room)
        self.block.weight = np.array(weights)
        if weights.dtype.kind == "f":
            self.block.trace = self.block.trace.astype(np.float64)
            self.posts.trace = self.posts.trace.astype(np.float64)

    def step(self, time: int, pre: Array, post: Array) -> FloatArray:
        """One tick: what fires is known before packets arrive. Weights [post, pre] after it."""
        self.posts.spike(self.rule, time, np.flatnonzero(post))
        self.block.arrive(self.rule, self.posts, time, np.flatnonzero(pre))
        return np.asarray(self.block.weight.T * self.unit, dtype=np.float64)


def drift(one: Plastic, words: IntArray, delay: int, pre: Array, post: Array) -> Drift:
    """Lets all executions learn from the same spikes.

    Args:
        one: the projection.
        words: [pre, post] to start from.
        delay: of its synapses, in steps.
        pre: [T, pre] spikes as they arrive.
        post: [T, post] spikes as neurons fire.
    """
    device, begin = one.account.device, np.asarray(words * one.unit, dtype=np.float64)
    assert device is not None
    asked, quantised = _rules(one.asked, device)
    twin = discover().reference.float_twin
    floats = [twin(rule, begin.T) for rule in (asked, quantised, device)]
    exact = Exact(device, one.rule.kind, delayed_posts=one.rule.delayed_posts)
    tables = Exact(device, one.rule.kind, (one.rule.plus, one.rule.minus), delayed_posts=one.rule.delayed_posts)
    fields = (one.rule.kind, one.rule.plus, one.rule.minus, one.rule.bounds, one.rule.shift, one.rule.delayed_posts)
    shift = one.rule.shift[0]
    wide, fine = words << shift, one.unit / 2**shift
    late = delay if one.rule.delayed_posts else 0
    everything = int(np.sum(post != 0, axis=0).max(initial=0)) + 2
    rest = [
        Execution(exact, begin, delay, room=everything), Execution(exact, begin, delay),
        Execution(tables, begin, delay), Execution(Wide(*fields), wide, delay, fine),
        Execution(Wide(*fields, wraps=True), wide, delay, fine), Execution(one.rule, words, delay, one.unit),
    ]  # fmt: skip
    course = Course(tuple(CAUSES), begin.T, one.unit)
    nothing = np.zeros(post.shape[1], dtype=bool)
    for time in range(len(pre)):
        heard = post[time - late] if time >= late else nothing
        for each in floats:
            each.step(pre[time], heard)
        course.add([*(each.weights for each in floats), *(each.step(time, pre[time], post[time]) for each in rest)])
    return course.found()


def _rules(asked: FloatRule, device: FloatRule) -> tuple[FloatRule, FloatRule]:
    """What the core is asked to do of a rule, and that with its rates and bounds but the rule's own coincidences."""
    timed = [term for term in asked.terms if term.event in ("pre", "post")]
    before = {term.name: {read.variable: read.before for read in term.reads} for term in timed}
    terms = tuple(
        replace(term, reads=tuple(replace(read, before=before[term.name][read.variable]) for read in term.reads))
        for term in device.terms
    )
    return replace(asked, terms=tuple(timed)), replace(device, terms=terms)


def learning_drift(
    learner: Learner, samples: Iterable[tuple[Array, int | None]], phase: str | None = None
) -> Mapping[str, Any]:
    """Lets the network learn from samples on the emulator, and then the float rule from the same spikes.

    Args:
        learner: of the network; it stays as it is.
        samples: (spikes [T, *shape], label).
        phase: that learns.

    Returns:
        Projection -> :func:`snnc.learning.drift.summary`; empty in a phase in which nothing learns.
    """
    learning = learner.learning
    fresh = Learner(learning, learner.pause)
    if phase is not None and phase != fresh.phases[0]:
        return {}
    heard: list[dict[str, Array]] = []
    fresh.run.heard = heard
    for spikes, label in samples:
        fresh.sample(spikes, label, phase)
    if not heard:
        return {}
    found = {}
    for one in learning.plastic:
        pre, post = (np.array([now[name] for now in heard]) for name in (one.source, one.target))
        delay = learning.machine.projections[one.number].delay
        found[one.name] = summary(drift(one, learning.words(one), delay, pre, post), CAUSES)
    return found
