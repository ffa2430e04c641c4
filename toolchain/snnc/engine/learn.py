"""A projection that learns in the fast engine: the rule of a target with Loihi's engine, phase by phase."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.learn_core import RuleSynapses, State
from snnc.engine.learn_tables import Recipe, recipe
from snnc.errors import InputError, UnsupportedError, Violation, unknown
from snnc.ir import FixedGraph, FloatArray, IntArray
from snnc.learning.account import Rounding
from snnc.learning.plastic import Plastic, device_weights
from snnc.learning.ports import Ports
from snnc.learning.saturation import Saturation, Tally

Array = npt.NDArray[Any]
Values = Mapping[str, float | FloatArray]
HOST = 4
"""Added to the seed of the traces, which takes four, for what the host rounds."""


class LearningSynapses:
    """Synapses of a projection between two populations.

    Args:
        network: with the weights to start from.
        one: the rule, with an account of a target that has the engine.
        seed: of all rounding; None takes the rule's own. Parity with Lava keeps its 2 for weights.
        rounding: of weights and tags; None takes what chips do, others are for comparison.
        variant: build of the kernels, ``none`` for NumPy; the numbers do not depend on it.

    Attributes:
        tally: counts of traces at their end.

    Raises:
        UnsupportedError: the target has no such engine.
        InputError: weights outside the rule's bounds.
    """

    def __init__(
        self,
        network: FixedGraph,
        one: Plastic,
        seed: int | None = None,
        rounding: Rounding | None = None,
        *,
        variant: str | None = None,
    ) -> None:
        self.one = one
        account = one.account
        made = {} if account is None else {k: rule for k, rule in account.engine.items() if rule is not None}
        if account is None or not made:
            found = "none" if account is None else account.target
            fix = "Let the back end of the target run it"
            raise UnsupportedError.of(Violation(one.projection, "learning engine", found, "Loihi's", fix))
        options = one.options if seed is None else replace(one.options, seed=seed, weight_seed=seed)
        seeds = options.seeds
        self._recipes: dict[str, Recipe] = {k: recipe(replace(rule, seeds=seeds)) for k, rule in made.items()}
        first = next(iter(self._recipes.values())).rule
        start = device_weights(network, one)
        _check(one.projection, start, first.bounds)
        self._rounding: Rounding = rounding or "stochastic"
        self.learning = RuleSynapses(first, start, rounding=self._rounding, variant=variant)
        self._ports = Ports(account, start.shape[0]) if first.third_factors else None
        self._host = np.random.default_rng(seeds.traces + HOST)
        self.tally = Tally(one)

    def learns(self, phase: str) -> bool:
        """Whether something changes in a phase."""
        return phase in self._recipes

    @property
    def weights(self) -> FloatArray:
        """[post, pre], in the float network's unit."""
        return np.asarray(self.learning.weights * self.one.step, dtype=np.float64)

    @property
    def kept(self) -> IntArray:
        """[post, pre] device steps, a copy."""
        return self.learning.weights

    def send(self, pre: Array) -> IntArray:
        """What the neurons receive, int64 [post] in state units; nothing learns."""
        return self._units(self.learning.send(pre))

    def _units(self, sums: IntArray) -> IntArray:
        up = self.one.up
        return np.asarray(sums << up if up >= 0 else sums >> -up)

    def step(self, pre: Array, post: Array, third: Values, phase: str) -> IntArray:
        """One step of learning.

        Args:
            pre: [pre] spikes that arrive, or values of graded ones.
            post: [post] spikes of the neurons behind in this step.
            third: third factors by name, numbers or [post]; those left out are 0.
            phase: of the rule.

        Returns:
            int64 [post] in state units: what the neurons receive by the weights before the step.

        Raises:
            InputError: nothing learns in this phase, or an array has the wrong shape.
        """
        if phase not in self._recipes:
            raise InputError(unknown("phase that learns", phase, self._recipes))
        self.learning.take(self._recipes[phase])
        written = None if self._ports is None else self._ports.step(post, third)
        sent = self.learning.step(pre, post, written)
        if self.learning.steps % self.learning.rule.t_epoch == 0:
            self.tally.add(self.learning.memory.x, self.learning.memory.y)
        return self._units(sent)

    @property
    def saturations(self) -> Iterator[Saturation]:
        """Weights on their bounds and traces at their end."""
        return self.tally.found(self.learning.weights, self.learning.rule.bounds)

    @property
    def steady(self) -> bool:
        """Whether what is written to y1, y2 and y3 depends on third factors alone, not on spikes."""
        return self._ports is None or not self._ports.traces

    def begin(self, phase: str, third: Values, steps: int) -> tuple[array[int], Array | None]:
        """The next steps for kernels that execute them in one call; they count as run.

        Args:
            phase: in which something is learned.
            third: factors that hold in all of them; the synapses are ``steady``.
            steps: how many.

        Returns:
            Random numbers of each step, and what is written to y1, y2 and y3 in all of them, int16 [3, post], for
            rules that take it from outside.
        """
        self.learning.take(self._recipes[phase])
        silent = np.zeros(self.learning.shape[0], dtype=np.int64)
        written = None if self._ports is None else self._ports.step(silent, third).astype(np.int16)
        return self.learning.rolled(steps), written

    def end(self, third: Values, phase: str) -> None:
        """The end of a sample: third factors arrive in silent steps until an epoch is full, then the host clears."""
        rule = self.one.rule
        if any(term.event == "sample" for term in rule.active(phase)):
            post, pre = (np.zeros(n, dtype=np.int64) for n in self.learning.shape)
            self.step(pre, post, third, phase)
            while self.learning.steps % self.learning.rule.t_epoch:
                self.step(pre, post, third, phase)
        if rule.clears:
            self.learning.clear()
            if self._ports is not None:
                self._ports.clear()

    def write(self, weights: FloatArray) -> None:
        """The host sets the weights: rounded as the synapses round, clipped to what they hold.

        Args:
            weights: [post, pre] in the float network's unit.
        """
        exact = np.asarray(weights, dtype=np.float64) / self.one.step
        if self._rounding == "nearest":
            whole = np.rint(exact)
        else:
            whole = np.floor(exact)
            if self._rounding == "stochastic":
                whole += self._host.random(exact.shape) < exact - whole
        self.learning.weights = np.clip(whole, *self.learning.rule.bounds).astype(np.int64)

    def state(self) -> State:
        """Everything that the next step depends on; the reference goes on from it, and the other way round."""
        found = self.learning.state()
        found["full"] = self.tally.full.copy()
        found["host_dice"] = np.array(json.dumps(dict(self._host.bit_generator.state), sort_keys=True))
        if self._ports is not None:
            found |= {f"port/{name}": np.array(values) for name, values in self._ports.traces.items()}
        return found

    def restore(self, state: State) -> None:
        """Goes on from a state of the same synapses.

        Raises:
            InputError: the shapes or numbers of the state cannot be theirs.
            KeyError: the state lacks something.
        """
        self.learning.restore(state)
        self.tally.full[:] = state["full"]
        self._host.bit_generator.state = json.loads(str(state["host_dice"]))
        if self._ports is not None:
            self._ports.traces = {name: np.array(state[f"port/{name}"]) for name in self._ports.traces}


def _check(projection: str, weights: IntArray, bounds: tuple[int, int]) -> None:
    low, high = bounds
    if weights.size and not low <= int(weights.min()) <= int(weights.max()) <= high:
        found = f"{int(weights.min())} to {int(weights.max())} device steps"
        raise InputError.of(Violation(projection, "weights", found, f"{low} to {high}"))
