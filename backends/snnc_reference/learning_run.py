"""Runs networks that learn, sample after sample: float networks by the rule itself, integers by Loihi's engine.

Slow, obviously right. In a phase in which nothing of a rule is active its synapses stay as they are, traces and random
numbers included, so that an evaluation in the middle of training leaves no mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, TraceError, unknown
from snnc.ir import FloatArray
from snnc.ir.graph import Network
from snnc.learning.account import Rounding
from snnc.learning.hosting import NOTHING, Hosting
from snnc.learning.plastic import Plastic, with_weights
from snnc.learning.rule import HostOperation
from snnc.learning.saturation import Saturation
from snnc.learning.session import Hosts, State, Values
from snnc.learning.thresholds import thresholds_of, with_thresholds
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from snnc_reference.learning_lesson import Lesson
from snnc_reference.learning_synapses import ChipSynapses, synapses

Array = npt.NDArray[Any]


class Learner:
    """A network that learns; see :class:`snnc.learning.session.Learner`.

    Args:
        network: float (rules in float64) or fixed (Loihi's engine, in the unit of the quantized weights).
        plastic: what learns, from :func:`snnc.learning.plastic.bind_float` or ``bind_fixed`` on this network.
        scales: of a fixed network: population -> raw state units per 1.0, for thresholds that the host writes.
        seed: of all rounding; None takes the rules' own.
        hosts: what the host does, by kind of operation; the built-in ones may be replaced.
        rounding: of weights; None is the chip's own.

    Attributes:
        samples: how many were learned from.
    """

    def __init__(
        self,
        network: Network,
        plastic: Sequence[Plastic],
        *,
        scales: Mapping[str, FloatArray] | None = None,
        seed: int | None = None,
        hosts: Hosts | None = None,
        rounding: Rounding | None = None,
    ) -> None:
        self.plastic = {one.projection: one for one in plastic}
        if not self.plastic:
            raise InputError("nothing learns in this network: give it a [learning.PROJECTION] in snnc.toml")
        self.synapses = {name: synapses(network, one, seed, rounding) for name, one in self.plastic.items()}
        self.samples = 0
        self._network = network
        self._scales = dict(scales or {})
        self._host = Hosting(self, self.plastic, hosts)
        self._thresholds: dict[str, Array] = {}

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases of all rules; the first is the one that runs unless another is asked for."""
        return tuple(dict.fromkeys(phase for one in self.plastic.values() for phase in one.rule.phases))

    @property
    def idle(self) -> tuple[HostOperation, ...]:
        """Host operations that the rules name and that nothing does."""
        return self._host.idle

    @property
    def weights(self) -> dict[str, FloatArray]:
        """Projection -> [post, pre], in the float network's unit."""
        return {name: one.weights for name, one in self.synapses.items()}

    @property
    def raw(self) -> dict[str, Array]:
        """Projection -> [post, pre]: device steps of a fixed network, floats of a float one."""
        return {name: np.array(one.kept) for name, one in self.synapses.items()}

    @property
    def saturations(self) -> tuple[Saturation, ...]:
        """What ran into an end of its range so far; floats have none."""
        chips = (one for one in self.synapses.values() if isinstance(one, ChipSynapses))
        return tuple(found for one in chips for found in one.saturations)

    @property
    def network(self) -> Network:
        """The network with the weights and thresholds of now, exactly."""
        found = self._network
        for name, one in self.synapses.items():
            found = with_weights(found, self.plastic[name], one.kept)
        return found

    def evaluate(self, spikes: Array, probes: Probes | None = None) -> Trace:
        """Runs samples [B, T, *shape] with the weights of now; nothing learns."""
        return execute(self.network, spikes, probes or Probes())

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
        wanted = self._host.probes(probes)
        for name in active:
            self._host.before(name, chosen, label)
        given_third = third or {}
        during = {name: self._host.during(name, chosen, label, given_third.get(name, NOTHING)) for name in self.plastic}
        placed = {name: (one, self.plastic[name].population) for name, one in self.synapses.items()}
        trace = Lesson(
            self._network, given[np.newaxis], wanted, placed, chosen, lambda name, *now: during[name](*now)
        ).trace("reference")
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
        self._network = with_thresholds(self._network, population, thresholds, self._scales)
        self._thresholds[population] = np.asarray(thresholds, dtype=np.float64)

    def state(self) -> State:
        """Everything that the next sample depends on; what hosts of the caller keep elsewhere is theirs to save."""
        found: State = {"samples": np.array(self.samples), **self._host.state()}
        for name, one in self.synapses.items():
            found |= {f"synapses/{name}/{key}": value for key, value in one.state().items()}
        return found | {f"threshold/{name}": value for name, value in self._thresholds.items()}

    def restore(self, state: State) -> None:
        """Goes on from a state of the same network and rules.

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
