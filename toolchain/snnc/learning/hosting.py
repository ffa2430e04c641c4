"""The host beside a network that learns: when it is called, with what, and what becomes of its answers.

None of this happens on a chip, so that every executor of learning networks uses it as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from snnc.ir import FloatArray
from snnc.learning.hosts import BUILT_IN, ELSEWHERE
from snnc.learning.plastic import Plastic
from snnc.learning.rule import HostOperation
from snnc.learning.session import HostCall, Hosted, Hosts, Moment, State, Values
from snnc.trace import Probes, Trace

Array = npt.NDArray[Any]
Stage = Literal["before", "after", "step", "epoch"]
NOTHING: Values = {}
MEMORY = "host/"
FIRST = ("error", "reward")
"""Operations whose answers are third factors of the sample's end; all others come after it."""


class Ends(Protocol):
    """Synapses that are told the end of a sample."""

    def end(self, third: Values, phase: str) -> None:
        """Third factors of the whole sample."""


class Hosting:
    """Everything that the host does for a learner.

    Args:
        learner: that hosts read from and write to.
        plastic: projection -> what learns.
        hosts: what the host does, by kind of operation; the built-in ``error``, ``threshold`` and ``normalise`` may be
            replaced.

    Attributes:
        factors: projection -> what annealing has made of third factors so far.
        memory: what hosts keep between their calls.
    """

    def __init__(self, learner: Hosted, plastic: Mapping[str, Plastic], hosts: Hosts | None) -> None:
        self.factors = dict.fromkeys(plastic, 1.0)
        self.memory: dict[str, FloatArray] = {}
        self._learner, self._plastic = learner, plastic
        self._hosts: dict[str, HostCall] = {**BUILT_IN, **(hosts or {})}

    @property
    def idle(self) -> tuple[HostOperation, ...]:
        """Operations that the rules name and that nothing does."""
        return tuple(
            operation
            for name, one in self._plastic.items()
            for operation in one.rule.host
            if operation.kind not in ELSEWHERE and self._call(name, operation) is None
        )

    def probes(self, asked: Probes | None) -> Probes:
        """What a sample records: what was asked for, and what the host reads to tell who spiked first."""
        wanted = asked or Probes()
        read = tuple(
            one.population
            for one in self._plastic.values()
            if any(operation.kind in ("error", "threshold") for operation in one.rule.host)
        )
        spikes = wanted.spikes if wanted.spikes == "all" else tuple(dict.fromkeys((*wanted.spikes, *read)))
        states = wanted.states if wanted.states == "all" else tuple(dict.fromkeys((*wanted.states, *read)))
        return Probes(spikes, states)

    def state(self) -> State:
        """Everything that the host remembers."""
        kept = {f"{MEMORY}{key}": np.array(value) for key, value in self.memory.items()}
        return {"factors": np.array(json.dumps(self.factors)), **kept}

    def restore(self, state: State) -> None:
        """Goes on from a state of the same rules.

        Raises:
            KeyError, ValueError: it belongs to others.
        """
        self.factors = json.loads(str(state["factors"]))
        self.memory = {
            key.removeprefix(MEMORY): np.array(value) for key, value in state.items() if key.startswith(MEMORY)
        }

    def before(self, name: str, phase: str, label: int | None) -> None:
        """A projection's operations before a sample."""
        for operation in self._plastic[name].rule.host:
            if operation.when == "sample":
                self._done(name, operation, "before", phase, label)

    def during(
        self, name: str, phase: str, label: int | None, third: Values = NOTHING
    ) -> Callable[[int, Array], Values]:
        """A projection's third factors of each step: (device step, post spikes [post]) -> values.

        Args:
            name: of the projection.
            phase: of the rules.
            label: of the sample.
            third: what holds in all steps.
        """
        every = self._each_step(name)

        def values(step: int, fired: Array) -> Values:
            found = dict(third)
            for operation in every:
                found |= self._done(name, operation, "step", phase, label, step=step, spikes=np.array(fired))
            return found

        held = dict(third)
        return values if every else lambda _step, _fired: held

    def holds(self, name: str) -> bool:
        """True if nobody gives a projection other third factors in each step."""
        return not self._each_step(name)

    def _each_step(self, name: str) -> list[HostOperation]:
        operations = [one for one in self._plastic[name].rule.host if one.when == "step"]
        return [one for one in operations if self._call(name, one) is not None]

    def end(self, name: str, phase: str, label: int | None, trace: Trace, synapses: Ends) -> None:
        """Third factors of the sample first, then the end of the sample, then everything else."""
        operations = [one for one in self._plastic[name].rule.host if one.when == "sample"]
        third: dict[str, float | FloatArray] = {}
        for operation in operations:
            if operation.kind in FIRST:
                third |= self._done(name, operation, "after", phase, label, trace)
        factor = self.factors[name]
        synapses.end({key: np.asarray(value) * factor for key, value in third.items()}, phase)
        for operation in operations:
            if operation.kind not in FIRST:
                self._done(name, operation, "after", phase, label, trace)

    def end_epoch(self) -> None:
        """The end of one pass over the data: annealing, and what the caller's hosts do."""
        for name, one in self._plastic.items():
            for operation in one.rule.host:
                if operation.kind == "anneal" and self._call(name, operation) is None:
                    self.factors[name] *= float(operation["factor"])
                elif operation.when == "epoch":
                    self._done(name, operation, "epoch", one.rule.phases[0], None)

    def _call(self, name: str, operation: HostOperation) -> HostCall | None:
        return self._hosts.get(f"{name}.{operation.kind}", self._hosts.get(operation.kind))

    def _done(
        self, name: str, operation: HostOperation, stage: Stage, phase: str, label: int | None,
        trace: Trace | None = None, step: int = 0, spikes: Array | None = None,
    ) -> Values:  # fmt: skip
        call = self._call(name, operation)
        if call is None:
            return NOTHING
        one = self._plastic[name]
        moment = Moment(
            self._learner, name, one.population, one.rule, operation, stage, phase, label, trace, step, spikes,
            self.factors[name], self.memory,
        )  # fmt: skip
        return call(moment) or NOTHING
