"""Synapses that learn in three arithmetics under one face, and a layer whose neurons compete.

Between samples there is a rest in which all memories of spikes fade: float's and Loihi's traces are cleared,
SpiNNaker's clock goes on by more than its tables reach.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.config import load_config
from snnc.ir import FloatArray, IntArray
from snnc.learning import LearningConfig, LearningOptions, Rule, lower_rule
from snnc_reference.learning import IntegerLearning
from snnc_reference.learning_rules import RuleLearning
from snnc_spinnaker import arith
from snnc_spinnaker.ring import LIMIT
from snnc_spinnaker.stdp import FULL_TRACE, HISTORY, Posts, looked_up
from snnc_spinnaker.stdp_config import device_rule
from snnc_spinnaker.stdp_rule import pair_of

Array = npt.NDArray[Any]
Arithmetic = Literal["float", "loihi", "spinnaker"]
ARITHMETICS: tuple[Arithmetic, ...] = ("float", "loihi", "spinnaker")
RING_UNIT = 2.0**-12
"""Float weight of one step of a SpiNNaker weight: 16 bits then hold what a neuron receives in one step, up to 16."""
DELAY = 1


def configured(path: Path) -> LearningConfig:
    """The one projection that learns in a snnc.toml."""
    (one,) = load_config(path).learning
    return one


class FloatSynapses:
    """A projection [post, pre] that learns by the rule as written, in float64.

    Attributes:
        unit: float weight of one step; 1 for float.
    """

    unit = 1.0

    def __init__(self, rule: Rule, weights: FloatArray) -> None:
        self.learning = RuleLearning(rule, weights)

    @property
    def weights(self) -> Array:
        """[post, pre]."""
        return self.learning.weights

    def arrive(self, pre: Array) -> Array:
        """Spikes [pre] (bool) arrive; what the neurons receive, [post] in steps."""
        self.pre = pre
        return np.asarray(self.learning.weights[:, pre].sum(axis=1))

    def learn(self, post: Array) -> None:
        """The rest of the step: these neurons [post] spiked."""
        self.learning.step(self.pre, post)

    def rest(self) -> None:
        """The end of a sample: traces become 0."""
        self.learning.clear()

    def write(self, rows: Array, weights: FloatArray) -> None:
        """The host writes the weights of some neurons, floats; they are clipped to the rule's bounds."""
        self.learning.weights[rows] = np.clip(weights, self.learning.rule.w_min, self.learning.rule.w_max)


class LoihiSynapses:
    """Loihi's learning engine: 7-bit traces and 8-bit weights, both rounded stochastically; so does the host.

    Args:
        config: rule and how it is brought to the chip.
        weights: [post, pre] floats.
        seed: of all rounding.
    """

    def __init__(self, config: LearningConfig, weights: FloatArray, seed: int) -> None:
        account = lower_rule(config.rule, config.options)
        engine = account.engine[config.rule.phases[0]]
        assert engine is not None
        self.unit = account.unit
        self.dice = np.random.default_rng(seed)
        self.bounds = engine.bounds
        self.learning = IntegerLearning(engine, self._steps(weights))

    @property
    def weights(self) -> Array:
        """[post, pre] device steps."""
        return self.learning.weights

    def arrive(self, pre: Array) -> Array:
        """Spikes arrive."""
        self.pre = pre
        return np.asarray(self.learning.weights[:, pre].sum(axis=1))

    def learn(self, post: Array) -> None:
        """One step of the engine."""
        self.learning.step(self.pre, post)

    def rest(self) -> None:
        """Traces become 0."""
        self.learning.x[:], self.learning.y[:] = 0, 0

    def write(self, rows: Array, weights: FloatArray) -> None:
        """Rounded stochastically."""
        self.learning.weights[rows] = self._steps(weights)

    def _steps(self, weights: FloatArray) -> IntArray:
        exact = weights / self.unit
        return np.clip(np.floor(exact + self.dice.random(exact.shape)), *self.bounds).astype(np.int64)


class SpinnakerSynapses:
    """SpiNNaker's pair STDP: tables, 16-bit weights, floor, update at the next spike of the source.

    All rows of :class:`snnc_spinnaker.stdp.PlasticRow` at once, with a delay of one step: a neuron that spikes upon an
    input of step t does so in step t + 1 of the chip.
    """

    def __init__(self, config: LearningConfig, weights: FloatArray) -> None:
        self.unit = RING_UNIT
        pair, shift = pair_of(config.rule, LearningOptions(unit=self.unit))
        self.rule = device_rule(pair, shift)
        self.shift = shift
        self.weights: IntArray = self._steps(weights)
        post, pre = weights.shape
        self.posts = Posts(post)
        self.last = np.zeros(pre, dtype=np.int64)
        self.trace = np.zeros(pre, dtype=np.int64)
        self.time = 0

    def arrive(self, pre: Array) -> Array:
        """Sources that spike catch up with what their targets did; what these receive, saturated at 16 bits."""
        columns = np.flatnonzero(pre)
        self._catch_up(columns)
        kept = looked_up(self.rule.plus, self.time - self.last[columns])
        self.trace[columns] = arith.int16(arith.stdp_mul(self.trace[columns], kept) + FULL_TRACE)
        self.last[columns] = self.time
        return np.asarray(np.minimum(self.weights[:, columns].sum(axis=1), LIMIT))

    def learn(self, post: Array) -> None:
        """Neurons spike, and time goes on."""
        neurons = np.flatnonzero(post)
        if neurons.size:
            self.posts.spike(self.rule, self.time + DELAY, neurons)
        self.time += 1

    def rest(self) -> None:
        """Silence for longer than the tables reach, a spike of every source, and silence again.

        Weights wait for the next spike of their source: without it the host would read and scale old ones.
        """
        silence = max(len(self.rule.plus), len(self.rule.minus)) + DELAY
        self.time += silence
        self.arrive(np.ones(len(self.last), dtype=np.bool_))
        self.time += silence

    def write(self, rows: Array, weights: FloatArray) -> None:
        """Rounded to nearest: a step is a 4096th of the largest weight."""
        self.weights[rows] = self._steps(weights)

    def _steps(self, weights: FloatArray) -> IntArray:
        return np.clip(np.rint(weights / self.unit), 0, int(self.rule.bounds[0, 1]) >> self.shift).astype(np.int64)

    def _catch_up(self, columns: IntArray) -> None:
        """Potentiation for each post spike since the source's last one, depression by the newest one, then floor."""
        begin = np.maximum(self.last[columns] - DELAY, 0)
        end = max(self.time - DELAY, 0)
        entries = np.arange(HISTORY)
        known = (entries > 0) & (entries < self.posts.count[:, np.newaxis]) & (self.posts.time <= end)
        recent = known & (self.posts.time > begin.min(initial=end))
        words = self.weights[:, columns] << self.shift
        for entry in np.flatnonzero(recent.any(axis=0)):
            rows = np.flatnonzero(recent[:, entry])
            there = self.posts.time[rows, entry][:, np.newaxis]
            since = there + DELAY - self.last[columns]
            rise = arith.stdp_mul(self.trace[columns], looked_up(self.rule.plus, since))
            risen = self._moved(words[rows], rise, up=True)
            words[rows] = np.where((there > begin) & (since > 0), risen, words[rows])
        newest = HISTORY - 1 - np.argmax(known[:, ::-1], axis=1)
        rows = np.flatnonzero(known.any(axis=1))
        at = (rows, newest[rows])
        fall = arith.stdp_mul(self.posts.trace[at], looked_up(self.rule.minus, self.time - self.posts.time[at] - DELAY))
        rows, fall = rows[fall > 0], fall[fall > 0]
        words[rows] = self._moved(words[rows], fall[:, np.newaxis], up=False)
        self.weights[:, columns] = (words >> self.shift) & LIMIT

    def _moved(self, words: IntArray, trace: IntArray, *, up: bool) -> IntArray:
        amounts = np.broadcast_to(trace, words.shape).ravel()
        receptors = np.zeros(words.size, dtype=np.int64)
        return self.rule.moved(words.ravel(), amounts, receptors, up=up).reshape(words.shape)


Synapses = FloatSynapses | LoihiSynapses | SpinnakerSynapses


def synapses(arithmetic: Arithmetic, config: LearningConfig, weights: FloatArray, seed: int) -> Synapses:
    """A projection in one of the arithmetics, starting from float weights [post, pre]."""
    if arithmetic == "float":
        return FloatSynapses(config.rule, weights)
    return LoihiSynapses(config, weights, seed) if arithmetic == "loihi" else SpinnakerSynapses(config, weights)
