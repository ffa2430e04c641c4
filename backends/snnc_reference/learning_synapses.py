"""Float and integer synapses under one face, for the executor of networks that learn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import UnsupportedError, Violation
from snnc.ir import FixedGraph, FloatArray, Graph, IntArray, RoundingSeeds
from snnc.ir.graph import Network
from snnc.learning.account import Rounding
from snnc.learning.plastic import Plastic, device_weights
from snnc.learning.ports import Ports
from snnc.learning.saturation import Saturation, Tally
from snnc_reference.learning_chip import ChipLearning, State, generator_state
from snnc_reference.learning_rules import RuleLearning

Array = npt.NDArray[Any]
Values = Mapping[str, float | FloatArray]
Heard = tuple[Array, Array, Values, bool]
"""Pre spikes, post spikes and third factors of a step; or third factors of a sample's end."""
HOST_SEED = 4
"""Added to the seed of the traces (which takes four) for what the host rounds."""


class FloatSynapses:
    """A projection that learns in float64."""

    def __init__(self, network: Graph, one: Plastic) -> None:
        self.one = one
        weights = np.asarray(network[one.projection].params()["weight"], dtype=np.float64)
        self.learning = RuleLearning(one.rule, weights / one.unit)

    def learns(self, phase: str) -> bool:
        """Whether something changes in a phase."""
        return phase in self.one.rule.phases and bool(self.one.rule.active(phase))

    @property
    def weights(self) -> FloatArray:
        """[post, pre], in the network's unit."""
        return np.asarray(self.learning.weights * self.one.unit, dtype=np.float64)

    @property
    def kept(self) -> FloatArray:
        """What the network is given."""
        return self.weights

    def send(self, pre: Array) -> Array:
        """What the neurons receive."""
        return np.asarray(self.learning.weights @ pre * self.one.unit)

    def step(self, pre: Array, post: Array, third: Values, phase: str) -> Array:
        """One step of learning; what the neurons receive by the weights before it."""
        self.learning.step(pre, post, third, phase)
        return np.zeros(0)

    def end(self, third: Values, phase: str) -> None:
        """The end of a sample."""
        self.learning.end_sample(third, phase)

    def write(self, weights: FloatArray) -> None:
        """The host sets the weights, clipped to the rule's bounds."""
        rule = self.one.rule
        self.learning.weights = np.clip(weights / self.one.unit, rule.w_min, rule.w_max)

    def state(self) -> State:
        """Everything that the next step depends on."""
        traces = {f"trace/{name}": values for name, values in self.learning.traces.items()}
        own = {"weights": self.learning.weights, "eligibility": self.learning.eligibility}
        return {**own, **traces, "steps": np.array(self.learning.steps)}

    def restore(self, state: State) -> None:
        """Goes on from a state of the same synapses."""
        self.learning.weights = np.array(state["weights"], dtype=np.float64)
        self.learning.eligibility = np.array(state["eligibility"], dtype=np.float64)
        self.learning.traces = {name: np.array(state[f"trace/{name}"]) for name in self.learning.traces}
        self.learning.steps = int(state["steps"])


class ChipSynapses:
    """A projection that learns in the integers of Loihi's engine.

    Args:
        network: with the weights to start from.
        one: with an account of a target that has the engine.
        seed: of all rounding; None takes the rule's own. Parity with Lava keeps its 2 for weights.
        rounding: None takes what chips do; others are for comparison.

    Raises:
        UnsupportedError: the target has no such engine.
    """

    def __init__(self, network: FixedGraph, one: Plastic, seed: int | None = None, rounding: Rounding | None = None):
        self.one = one
        account = one.account
        engines = [made for made in account.engine.values() if made is not None] if account else []
        if account is None or not engines:
            found = "none" if account is None else account.target
            fix = "Let the back end of the target run it"
            raise UnsupportedError.of(Violation(one.projection, "learning engine", found, "Loihi's", fix))
        seeds = one.options.seeds if seed is None else replace(one.options, seed=seed, weight_seed=seed).seeds
        self.engines = {
            phase: None if made is None else replace(made, seeds=seeds) for phase, made in account.engine.items()
        }
        first = next(made for made in self.engines.values() if made is not None)
        chosen = rounding or "stochastic"
        self.learning = ChipLearning(first, device_weights(network, one), chosen)
        self.ports = Ports(account, self.learning.weights.shape[0]) if first.third_factors else None
        self.host_dice = np.random.default_rng(_host_seed(seeds))
        self.chosen = chosen
        self.heard: list[Heard] | None = None
        self.tally = Tally(one)

    def learns(self, phase: str) -> bool:
        """Whether something changes in a phase."""
        return self.engines.get(phase) is not None

    @property
    def weights(self) -> FloatArray:
        """[post, pre], in the float network's unit."""
        return np.asarray(self.learning.weights * self.one.step, dtype=np.float64)

    @property
    def kept(self) -> IntArray:
        """What the network is given: device steps."""
        return self.learning.weights

    def send(self, pre: Array) -> Array:
        """What the neurons receive, in state units."""
        return self._units(self.learning.weights @ pre)

    def _units(self, sums: Array) -> Array:
        up = self.one.up
        return np.asarray(sums << up if up >= 0 else sums >> -up)

    def step(self, pre: Array, post: Array, third: Values, phase: str) -> Array:
        """One step of learning; what the neurons receive by the weights before it."""
        if self.heard is not None:
            self.heard.append((np.array(pre), np.array(post), dict(third), False))
        return self._step(pre, post, third, phase)

    def _step(self, pre: Array, post: Array, third: Values, phase: str) -> Array:
        rule = self.engines[phase]
        assert rule is not None
        self.learning.rule = rule
        written = None if self.ports is None else self.ports.step(post, third)
        sent = self.learning.step(pre, post, written)
        if self.learning.steps % rule.t_epoch == 0:
            self.tally.add(self.learning.x, self.learning.y)
        return self._units(sent)

    @property
    def saturations(self) -> Iterator[Saturation]:
        """Weights on their bounds and traces at their end."""
        return self.tally.found(self.learning.weights, self.learning.rule.bounds)

    def end(self, third: Values, phase: str) -> None:
        """The end of a sample: third factors arrive in silent steps until an epoch is full, then the host clears."""
        rule = self.one.rule
        if self.heard is not None:
            self.heard.append((np.zeros(0), np.zeros(0), dict(third), True))
        if any(term.event == "sample" for term in rule.active(phase)):
            post, pre = (np.zeros(n, dtype=np.int64) for n in self.learning.weights.shape)
            self._step(pre, post, third, phase)
            while self.learning.steps % self.learning.rule.t_epoch:
                self._step(pre, post, third, phase)
        if rule.clears:
            self.learning.clear()
            if self.ports is not None:
                self.ports.clear()

    def write(self, weights: FloatArray) -> None:
        """The host sets the weights: rounded as the synapses round, clipped to what they hold."""
        exact = np.asarray(weights, dtype=np.float64) / self.one.step
        whole = np.floor(exact)
        if self.chosen == "stochastic":
            whole = whole + (self.host_dice.random(exact.shape) < exact - whole)
        elif self.chosen == "nearest":
            whole = np.rint(exact)
        low, high = self.learning.rule.bounds
        self.learning.weights = np.clip(whole, low, high).astype(np.int64)

    def state(self) -> State:
        """Everything that the next step depends on."""
        found = self.learning.state()
        found["full"] = self.tally.full.copy()
        found["host_dice"] = np.array(json.dumps(generator_state(self.host_dice), sort_keys=True))
        if self.ports is not None:
            found |= {f"port/{name}": values for name, values in self.ports.traces.items()}
        return found

    def restore(self, state: State) -> None:
        """Goes on from a state of the same synapses."""
        self.learning.restore(state)
        self.tally.full[:] = state["full"]
        self.host_dice.bit_generator.state = json.loads(str(state["host_dice"]))
        if self.ports is not None:
            self.ports.traces = {name: np.array(state[f"port/{name}"]) for name in self.ports.traces}


Synapses = FloatSynapses | ChipSynapses


def synapses(network: Network, one: Plastic, seed: int | None, rounding: Rounding | None) -> Synapses:
    """The synapses of a projection, float or integer as the network is."""
    if isinstance(network, FixedGraph):
        return ChipSynapses(network, one, seed, rounding)
    assert isinstance(network, Graph)
    return FloatSynapses(network, one)


def _host_seed(seeds: RoundingSeeds) -> int:
    return seeds.traces + HOST_SEED
