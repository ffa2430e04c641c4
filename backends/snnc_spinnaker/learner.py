"""A learner on the emulated chip, sample after sample; the protocol is :class:`snnc.learning.session.Learner`.

The chip has no end of a sample: one run goes on, samples are followed by silent steps, and neurons go on from where
they are. Weights that are read lack the pairs since the last spike of their source, as those in the chip's memory do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, TraceError, UnsupportedError, Violation, unknown
from snnc.ir import FixedGraph, FloatArray, Graph, IntArray
from snnc.learning import LearningConfig, check_projections
from snnc.learning.rule import HostOperation
from snnc.learning.saturation import Saturation
from snnc.trace import Probes, Trace
from snnc_spinnaker.learn import Learning, build, weight_scale
from snnc_spinnaker.learn_run import LearningRun, State
from snnc_spinnaker.learn_saturation import saturations
from snnc_spinnaker.lower import build as build_machine
from snnc_spinnaker.network import Run
from snnc_spinnaker.record import Recorder
from snnc_spinnaker.stdp_rule import TARGET

Array = npt.NDArray[Any]


class Learner:
    """A network that learns on the emulator.

    Args:
        learning: the network.
        pause: silent steps after each sample; None takes as many as a pair of spikes is remembered for.

    Attributes:
        samples: how many were learned from.
        steps: of the chip so far.
    """

    def __init__(self, learning: Learning, pause: int | None = None) -> None:
        self.learning = learning
        self.pause = max(learning.pause if pause is None else pause, learning.graph.depth)
        self.samples = self.steps = 0
        self._run = LearningRun(learning)
        self._shape = learning.graph.inputs[0].shape

    @property
    def run(self) -> LearningRun:
        """The machine."""
        return self._run

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases of all rules; the first is the one in which the chip learns."""
        return tuple(dict.fromkeys(phase for rule in self._rules for phase in rule.phases))

    @property
    def idle(self) -> tuple[HostOperation, ...]:
        """What the rules leave to a host; nothing does it here."""
        return tuple(operation for one in self.learning.plastic for operation in one.account.host)

    @property
    def weights(self) -> dict[str, FloatArray]:
        """Projection -> [post, pre], in the float network's unit."""
        return self.learning.floats({name: block.weight for name, block in self._run.blocks.items()})

    @property
    def raw(self) -> dict[str, IntArray]:
        """Projection -> words [post, pre]."""
        return {name: block.weight.T.copy() for name, block in self._run.blocks.items()}

    @property
    def network(self) -> FixedGraph:
        """The integers with the weights of now."""
        return self.learning.learnt({name: block.weight for name, block in self._run.blocks.items()})

    @property
    def saturations(self) -> tuple[Saturation, ...]:
        """What ran into an end of its range so far."""
        return tuple(saturations(self.learning, self._run))

    def sample(
        self,
        spikes: Array,
        label: int | None = None,  # noqa: ARG002 - other targets' rules have labels
        phase: str | None = None,
        probes: Probes | None = None,
    ) -> Trace:
        """Runs one sample and learns from it, or runs it on a fresh board where the phase does not learn.

        Args:
            spikes: [T, *shape].
            label: its class; pair rules do not look at it.
            phase: of the rules; None takes the first.
            probes: what to record; None records all spikes.

        Returns:
            The trace, B = 1, in logical time.

        Raises:
            InputError: no rule has this phase.
            TraceError: the sample has the wrong shape.
        """
        given = np.asarray(spikes)
        if given.ndim != len(self._shape) + 1 or given.shape[1:] != self._shape:
            raise TraceError(f"a sample is {given.shape}, allowed is [T, *{self._shape}]")
        if phase is not None and phase not in self.phases:
            raise InputError(unknown("phase of the rules", phase, self.phases))
        if phase is not None and not any(phase in rule.phases and rule.active(phase) for rule in self._rules):
            return self.evaluate(given[np.newaxis], probes)
        graph = self.learning.graph
        record = Recorder(graph, probes or Probes(), 1, len(given))
        flat = given.reshape(len(given), -1)
        silent = np.zeros(flat.shape[1], dtype=bool)
        for at in range(len(given) + self.pause):
            self._run.given = flat[at] if at < len(given) else silent
            _step(self._run, self.steps, record, at)
            self.steps += 1
        self.samples += 1
        return self._trace(record, len(given) + self.pause)

    def evaluate(self, spikes: Array, probes: Probes | None = None) -> Trace:
        """Runs samples [B, T, *shape], each on a fresh board, with the weights of now; nothing learns."""
        graph = self.network
        batch, steps = spikes.shape[:2]
        (source,) = graph.inputs
        run = Run(build_machine(graph), {source.name: spikes.reshape(batch, steps, math.prod(source.shape))})
        record = Recorder(graph, probes or Probes(), batch, steps)
        for time in range(steps + graph.depth):
            _step(run, time, record, time)
        return self._trace(record, steps + graph.depth)

    def end_epoch(self) -> None:
        """Nothing happens on the chip."""

    def set_weights(self, projection: str, weights: npt.ArrayLike) -> None:
        """The host writes weights [post, pre], in the float network's unit: rounded to words and kept in the bounds."""
        if projection not in self._run.blocks:
            raise InputError(unknown("projection that learns", projection, self._run.blocks))
        (one,) = (one for one in self.learning.plastic if one.name == projection)
        given = np.asarray(weights, dtype=np.float64)
        if given.shape != one.shape:
            raise InputError(f"{projection}: weights are {given.shape}, allowed is {one.shape}")
        shift = one.rule.shift[0]
        low, high = -(-int(one.rule.bounds[0, 0]) >> shift), int(one.rule.bounds[0, 1]) >> shift
        self._run.blocks[projection].weight[...] = np.clip(np.rint(given / one.unit), low, high).astype(np.int64).T

    def set_thresholds(self, population: str, thresholds: npt.ArrayLike) -> None:  # noqa: ARG002
        """Thresholds are words of a program that runs.

        Raises:
            UnsupportedError: always.
        """
        fix = "Learn with fixed thresholds, or on a target whose host steps in between samples"
        raise UnsupportedError.of(Violation(population, "threshold", "changed while learning", "as compiled", fix))

    def state(self) -> State:
        """Everything that the next sample depends on."""
        return {"samples": np.array(self.samples), "steps": np.array(self.steps), **self._run.state()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Goes on from a state of the same network and rules.

        Raises:
            InputError: the state belongs to others.
        """
        if not {"samples", "steps"} <= state.keys():
            raise InputError("the saved state does not belong to a network that learns on spinnaker1")
        self._run.restore(state)
        self.samples, self.steps = int(state["samples"]), int(state["steps"])

    @property
    def _rules(self) -> tuple[Any, ...]:
        return tuple(one.account.device for one in self.learning.plastic)

    def _trace(self, record: Recorder, steps: int) -> Trace:
        meta = {"ring_saturations": self._run.saturations, "device_steps": steps, "pause": self.pause}
        return Trace("spinnaker", self.learning.graph.target, record.sent, record.state, meta)


def _step(run: Run, time: int, record: Recorder, at: int) -> None:
    """One tick; ``at`` is its place in the sample."""
    steps, sent = run.step(time)
    for name, out in sent.items():
        record.spikes(name, at, out)
    for name, step in steps.items():
        record.states(name, at, {"v": run.cores[name].v, "u_exc": step.exc, "u_inh": step.inh})


def learner(
    graph: Graph,
    fixed: FixedGraph | None,
    scales: Mapping[str, npt.ArrayLike],
    learning: Iterable[LearningConfig],
    pause: int | None = None,
) -> Learner:
    """The learner of a compiled network.

    Args:
        graph: float network.
        fixed: its integers for spinnaker1.
        scales: population -> raw state units per 1.0, as the quantizer left them.
        learning: ``[learning]`` of the configuration.
        pause: silent steps after each sample; None lets the rules' reach choose.

    Raises:
        InputError: as :func:`snnc_spinnaker.learn.build`.
        UnsupportedError: as :func:`snnc_spinnaker.learn.build`, or integers of another chip.
    """
    return Learner(bound(graph, fixed, scales, learning), pause)


def bound(
    graph: Graph,
    fixed: FixedGraph | None,
    scales: Mapping[str, npt.ArrayLike],
    learning: Iterable[LearningConfig],
) -> Learning:
    """The network that learns of a compiled one; arguments and errors as of :func:`learner`."""
    if fixed is None or fixed.target != TARGET:
        found = "a float network" if fixed is None else f"integers of {fixed.target}"
        fix = f"Compile for {TARGET}: its programs learn, spinnaker2's do not here"
        raise UnsupportedError.of(Violation("learning on spinnaker", "network", found, f"integers of {TARGET}", fix))
    configs = tuple(learning)
    check_projections(configs, fixed)
    return build(
        fixed, configs, {one.projection: weight_scale(graph, fixed, scales, one.projection) for one in configs}
    )
