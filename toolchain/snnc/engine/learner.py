"""Networks that learn on Loihi's integers, sample after sample, in the fast engine.

The protocol is :class:`snnc.learning.session.Learner`. In a phase in which nothing of a rule is active its synapses
stay as they are, traces and random numbers included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.engine import params
from snnc.engine.choice import Engine
from snnc.engine.learn import LearningSynapses
from snnc.engine.learning_plan import learning_plan
from snnc.engine.lesson import Lesson
from snnc.engine.run import execute
from snnc.engine.stepped import Synapses
from snnc.errors import InputError, TraceError, unknown
from snnc.ir import FixedGraph, FloatArray, IntArray
from snnc.learning.account import Rounding
from snnc.learning.hosting import NOTHING, Hosting
from snnc.learning.plastic import Plastic, with_weights
from snnc.learning.rule import HostOperation
from snnc.learning.saturation import Saturation
from snnc.learning.session import Hosts, State, Values
from snnc.learning.thresholds import thresholds_of, with_thresholds
from snnc.trace import Probes, Trace

Array = npt.NDArray[Any]
Factory = Callable[[FixedGraph, Plastic, int | None, Rounding | None], Synapses]
"""(network, what learns, seed, rounding) -> the synapses of a projection."""


class Learner:
    """A network that learns; see :class:`snnc.learning.session.Learner`.

    Args:
        network: integers.
        plastic: what learns, from :func:`snnc.learning.plastic.bind_fixed` on this network.
        scales: population -> raw state units per 1.0, for thresholds that the host writes.
        seed: of all rounding; None takes the rules' own.
        hosts: what the host does, by kind of operation; the built-in ones may be replaced.
        rounding: of weights; None is the chip's own.
        engine: ``event``: kernels; ``dense``: NumPy; ``auto``: the first of them that is there.
        synapses: makes those of each projection; None takes the engine's own.

    Attributes:
        samples: how many were learned from.

    Raises:
        InputError: nothing learns.
        UnsupportedError: integers do not execute the network, or its synapses do not learn by Loihi's engine.
    """

    def __init__(
        self,
        network: FixedGraph,
        plastic: Sequence[Plastic],
        *,
        scales: Mapping[str, FloatArray] | None = None,
        seed: int | None = None,
        hosts: Hosts | None = None,
        rounding: Rounding | None = None,
        engine: Engine = "auto",
        synapses: Factory | None = None,
    ) -> None:
        self.plastic = {one.projection: one for one in plastic}
        if not self.plastic:
            raise InputError("nothing learns in this network: give it a [learning.PROJECTION] in snnc.toml")
        plan = learning_plan(network, plastic)
        make: Factory = synapses or partial(LearningSynapses, variant="none" if engine == "dense" else None)
        self.synapses = {name: make(network, one, seed, rounding) for name, one in self.plastic.items()}
        self.samples = 0
        self._network, self._engine, self._scales = network, engine, dict(scales or {})
        self._lesson = Lesson(plan, self.synapses, engine)
        self._host = Hosting(self, self.plastic, hosts)
        self._thresholds: dict[str, Array] = {}
        self._changed: set[str] = set()
        self._judged: tuple[FixedGraph, dict[str, IntArray], FixedGraph] | None = None

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases of all rules; the first is the one that runs unless another is asked for."""
        return tuple(dict.fromkeys(phase for one in self.plastic.values() for phase in one.rule.phases))

    @property
    def idle(self) -> tuple[HostOperation, ...]:
        """Host operations that the rules name and that nothing does."""
        return self._host.idle

    @property
    def path(self) -> Literal["event", "dense"]:
        """What runs: kernels, or NumPy."""
        return "dense" if self._lesson.parts is None else "event"

    @property
    def weights(self) -> dict[str, FloatArray]:
        """Projection -> [post, pre], in the float network's unit."""
        return {name: one.weights for name, one in self.synapses.items()}

    @property
    def raw(self) -> dict[str, IntArray]:
        """Projection -> [post, pre] device steps."""
        return {name: np.array(one.kept) for name, one in self.synapses.items()}

    @property
    def saturations(self) -> tuple[Saturation, ...]:
        """What ran into an end of its range so far."""
        return tuple(found for one in self.synapses.values() for found in one.saturations)

    @property
    def network(self) -> FixedGraph:
        """The network with the weights and thresholds of now, exactly; the same object until something changes."""
        kept = self._judged
        if kept is not None and kept[0] is self._network and self._same(kept[1]):
            return kept[2]
        raw, found = self.raw, self._network
        for name, one in self.plastic.items():
            changed = with_weights(found, one, raw[name])
            assert isinstance(changed, FixedGraph)
            found = changed
        self._judged = self._network, raw, found
        return found

    def evaluate(self, spikes: Array, probes: Probes | None = None) -> Trace:
        """Runs samples [B, T, *shape] with the weights of now; nothing learns."""
        return execute(self.network, spikes, probes or Probes(), engine=self._engine)

    def sample(
        self,
        spikes: Array,
        label: int | None = None,
        phase: str | None = None,
        probes: Probes | None = None,
        third: Mapping[str, Values] | None = None,
    ) -> Trace:
        """Runs one sample and learns from it.

        Args:
            spikes: [T, *shape].
            label: its class, for rules that learn from labels.
            phase: of the rules; None takes the first.
            probes: what to record; None records all spikes.
            third: projection -> third factors that hold during the whole sample.

        Returns:
            The trace, B = 1, in logical time.

        Raises:
            InputError: no rule has this phase.
            TraceError: the sample has the wrong shape, or no label where the rule needs one.
        """
        chosen = self._phase(phase)
        shape = self._network.inputs[0].shape
        given = np.asarray(spikes)
        if given.shape[1:] != shape or given.ndim != len(shape) + 1:
            raise TraceError(f"a sample is {given.shape}, allowed is [T, *{shape}]")
        active = [name for name, one in self.synapses.items() if one.learns(chosen)]
        for name in active:
            self._host.before(name, chosen, label)
        factors = third or {}
        during = {name: self._host.during(name, chosen, label, factors.get(name, NOTHING)) for name in active}
        self._take_thresholds()
        held = {name: factors.get(name, NOTHING) for name in active if self._host.holds(name)}
        trace = self._lesson.run(given, self._host.probes(probes), chosen, during, held)
        for name in active:
            self._host.end(name, chosen, label, trace, self.synapses[name])
        self.samples += bool(active)
        return trace

    def end_epoch(self) -> None:
        """The end of one pass over the data: annealing, and what the caller's hosts do."""
        self._host.end_epoch()

    def set_weights(self, projection: str, weights: npt.ArrayLike) -> None:
        """The host writes weights [post, pre], in the float network's unit; integers round as the synapses do."""
        if projection not in self.synapses:
            raise InputError(unknown("projection that learns", projection, self.synapses))
        given = np.asarray(weights, dtype=np.float64)
        if given.shape != self.synapses[projection].kept.shape:
            raise InputError(f"{projection}: weights are {given.shape}, allowed is {self.weights[projection].shape}")
        self.synapses[projection].write(given)

    def thresholds(self, population: str) -> FloatArray:
        """Thresholds of now, scalar or [neurons], in the float network's unit."""
        return thresholds_of(self._network, population, self._scales)

    def set_thresholds(self, population: str, thresholds: npt.ArrayLike) -> None:
        """The host writes thresholds, scalar or [neurons], in the float network's unit; integers take the nearest."""
        changed = with_thresholds(self._network, population, thresholds, self._scales)
        assert isinstance(changed, FixedGraph)
        self._network = changed
        self._thresholds[population] = np.asarray(thresholds, dtype=np.float64)
        self._changed.add(population)

    def state(self) -> State:
        """Everything that the next sample depends on; what hosts of the caller keep elsewhere is theirs to save."""
        found: State = {"samples": np.array(self.samples), **self._host.state()}
        for name, one in self.synapses.items():
            found |= {f"synapses/{name}/{key}": value for key, value in one.state().items()}
        return found | {f"threshold/{name}": value for name, value in self._thresholds.items()}

    def restore(self, state: State) -> None:
        """Goes on from a state of the same network and rules, whoever executed it.

        Raises:
            InputError: the state belongs to others.
        """
        try:
            for name, one in self.synapses.items():
                head = f"synapses/{name}/"
                one.restore({key.removeprefix(head): v for key, v in state.items() if key.startswith(head)})
            self.samples = int(state["samples"])
            self._host.restore(state)
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"the saved state does not belong to this network and its rules ({error!r})") from error
        for key, value in state.items():
            if key.startswith("threshold/"):
                self.set_thresholds(key.removeprefix("threshold/"), value)

    def _phase(self, phase: str | None) -> str:
        if phase is not None and phase not in self.phases:
            raise InputError(unknown("phase of the rules", phase, self.phases))
        return phase or self.phases[0]

    def _same(self, raw: Mapping[str, IntArray]) -> bool:
        return all(np.array_equal(raw[name], one.kept) for name, one in self.synapses.items())

    def _take_thresholds(self) -> None:
        """Thresholds that were written since the last sample; a host that writes them under way waits for the next."""
        order = self._lesson.plan
        for name in self._changed:
            p = order.plan.populations[order.index[name]]
            values, _ = params.parameters(self._network[name], self._network.conventions, p.order)
            self._lesson.set_params(name, values)
        self._changed.clear()
