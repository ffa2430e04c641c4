"""What every learner of whole networks keeps books of around its executor: phases, weights, the host, checkpoints.

None of it is a step of a chip. How a sample runs and what synapses do is each executor's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, TraceError, unknown
from snnc.ir import FloatArray
from snnc.ir.graph import Network
from snnc.learning.hosting import NOTHING, Hosting
from snnc.learning.plastic import Plastic, with_weights
from snnc.learning.rule import HostOperation
from snnc.learning.session import Hosts, State, Values
from snnc.learning.thresholds import thresholds_of, with_thresholds
from snnc.trace import Probes, Trace

Array = npt.NDArray[Any]
Third = Callable[[int, Array], Values]
"""(device step, post spikes [post]) -> third factors of the step."""


class KeptSynapses(Protocol):
    """The weights of a projection, and the memory from which it goes on."""

    @property
    def weights(self) -> FloatArray:
        """[post, pre], in the float network's unit."""

    @property
    def kept(self) -> Array:
        """[post, pre]: what the network is given."""

    def learns(self, phase: str) -> bool:
        """Whether something changes in a phase."""

    def end(self, third: Values, phase: str) -> None:
        """The end of a sample."""

    def write(self, weights: FloatArray) -> None:
        """The host sets the weights, in the float network's unit."""

    def state(self) -> State:
        """Everything that the next step depends on."""

    def restore(self, state: State) -> None:
        """Goes on from a state of the same synapses."""


Kept = TypeVar("Kept", bound=KeptSynapses)
Net = TypeVar("Net", bound=Network)


class Bookkeeper(Generic[Net, Kept]):
    """A network that learns, but for the run of a sample; see :class:`snnc.learning.session.Learner`.

    Args:
        network: float or fixed.
        plastic: what learns in it.
        make: the synapses of a projection.
        scales: of a fixed network: population -> raw state units per 1.0, for thresholds that the host writes.
        hosts: what the host does, by kind of operation; the built-in ones may be replaced.

    Attributes:
        plastic: projection -> what learns.
        synapses: projection -> its synapses.
        samples: how many were learned from.

    Raises:
        InputError: nothing learns.
    """

    def __init__(
        self,
        network: Net,
        plastic: Sequence[Plastic],
        make: Callable[[Plastic], Kept],
        scales: Mapping[str, FloatArray] | None,
        hosts: Hosts | None,
    ) -> None:
        self.plastic = {one.projection: one for one in plastic}
        if not self.plastic:
            raise InputError("nothing learns in this network: give it a [learning.PROJECTION] in snnc.toml")
        self.synapses = {name: make(one) for name, one in self.plastic.items()}
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
    def network(self) -> Net:
        """The network with the weights and thresholds of now, exactly."""
        found: Any = self._network
        for name, one in self.synapses.items():
            found = with_weights(found, self.plastic[name], one.kept)
        return found  # type: ignore[no-any-return]

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
        if phase is not None and phase not in self.phases:
            raise InputError(unknown("phase of the rules", phase, self.phases))
        chosen = phase or self.phases[0]
        shape = self._network.inputs[0].shape
        given = np.asarray(spikes)
        if given.shape[1:] != shape or given.ndim != len(shape) + 1:
            raise TraceError(f"a sample is {given.shape}, allowed is [T, *{shape}]")
        active = [name for name, one in self.synapses.items() if one.learns(chosen)]
        for name in active:
            self._host.before(name, chosen, label)
        held = {name: (third or {}).get(name, NOTHING) for name in active}
        during = {name: self._host.during(name, chosen, label, values) for name, values in held.items()}
        always = {name: values for name, values in held.items() if self._host.holds(name)}
        trace = self._run(given, self._host.probes(probes), chosen, during, always)
        for name in active:
            self._host.end(name, chosen, label, trace, self.synapses[name])
        self.samples += bool(active)
        return trace

    def _run(
        self, given: Array, probes: Probes, phase: str, during: Mapping[str, Third], held: Mapping[str, Values]
    ) -> Trace:
        """Runs a sample.

        Args:
            given: [T, *shape].
            probes: what to record.
            phase: of the rules.
            during: projections that learn -> third factors of each step.
            held: those of them whose third factors are the same in all steps -> the factors.
        """
        raise NotImplementedError

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
        changed: Any = with_thresholds(self._network, population, thresholds, self._scales)
        self._network = changed
        self._thresholds[population] = np.asarray(thresholds, dtype=np.float64)

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
