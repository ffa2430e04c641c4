"""What a back end offers that lets a network learn: the face that commands and demonstrations use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnc.ir import FloatArray
from snnc.ir.graph import Network
from snnc.learning.rule import HostOperation, Rule
from snnc.trace import Probes, Trace

State = dict[str, npt.NDArray[Any]]
Values = Mapping[str, float | FloatArray]


class Learner(Protocol):
    """A network that learns, sample after sample. Between samples neurons start anew; synapses go on."""

    @property
    def network(self) -> Network:
        """The network with the weights and thresholds of now, exactly; any executor runs it."""

    @property
    def weights(self) -> Mapping[str, FloatArray]:
        """Projection -> [post, pre], in the float network's unit."""

    @property
    def samples(self) -> int:
        """How many samples were learned from."""

    def sample(
        self, spikes: npt.NDArray[Any], label: int | None = None, phase: str | None = None, probes: Probes = ...
    ) -> Trace:
        """Runs one sample [T, *shape]; in a phase in which something learns, learns from it. The trace has B = 1."""

    def end_epoch(self) -> None:
        """The end of one pass over the data: what the host does then."""

    def set_weights(self, projection: str, weights: FloatArray) -> None:
        """The host writes weights, in the float network's unit."""

    def set_thresholds(self, population: str, thresholds: npt.ArrayLike) -> None:
        """The host writes thresholds, scalar or [neurons], in the float network's unit."""

    def state(self) -> State:
        """Everything that the next sample depends on."""

    def restore(self, state: State) -> None:
        """Goes on from a state of the same network and rules."""


class Hosted(Learner, Protocol):
    """A learner whose weights and thresholds a host reads and writes between samples."""

    def thresholds(self, population: str) -> FloatArray:
        """Thresholds of now, scalar or [neurons], in the float network's unit."""


@runtime_checkable
class Course(Protocol):
    """A learner that takes all samples in one run."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases of all rules; it learns in the first."""

    def course(self, spikes: npt.NDArray[Any]) -> Trace:
        """Learns from samples [B, T, *shape], one after the other, from the start."""


@dataclass(frozen=True, eq=False)
class Moment:
    """When the host is called, and with what.

    Attributes:
        learner: to read from and write to.
        projection: whose rule names the operation.
        population: neurons behind it.
        rule: in the float network's unit.
        operation: what is asked for.
        stage: ``before`` and ``after`` a sample, in a ``step``, or at the end of an ``epoch``.
        phase: of the rule.
        label: of the sample, if there is one.
        trace: of the sample, after it.
        step: device step, in a step.
        spikes: [post] of that step.
        factor: what annealing has made of the rates so far.
        memory: what the host keeps between its calls, by names that begin with the projection's; part of the state.
    """

    learner: Hosted
    projection: str
    population: str
    rule: Rule
    operation: HostOperation
    stage: Literal["before", "after", "step", "epoch"]
    phase: str
    label: int | None = None
    trace: Trace | None = None
    step: int = 0
    spikes: npt.NDArray[np.integer] | None = None
    factor: float = 1.0
    memory: dict[str, FloatArray] = field(default_factory=dict)


HostCall = Callable[[Moment], Values | None]
"""Does one host operation; what it returns are third factors (of this step, or for the end of the sample)."""
Hosts = Mapping[str, HostCall]
"""By kind of operation (``normalise``), or by projection and kind (``hidden.normalise``), which comes first."""
