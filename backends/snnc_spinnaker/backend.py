"""The back end ``spinnaker``: lowers to a SpiNNaker 1 board and runs its emulator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from snnc.backend import Executor, MakeLearner, Program
from snnc.errors import UnsupportedError
from snnc.ir import FixedGraph, FloatArray, Graph
from snnc.learning import LearningConfig
from snnc.target import Target
from snnc.trace import Probes, Trace
from snnc_spinnaker import export as script
from snnc_spinnaker import lower as spinnaker1
from snnc_spinnaker import spinnaker2_lower as spinnaker2
from snnc_spinnaker.learn_binary import binary_learner
from snnc_spinnaker.learn_drift import learning_drift
from snnc_spinnaker.learner import Learner, bound, learner
from snnc_spinnaker.lower import build
from snnc_spinnaker.network import Machine, Run
from snnc_spinnaker.placement_report import Report
from snnc_spinnaker.record import Recorder, demand_input
from snnc_spinnaker.spinnaker2_target import SPINNAKER2
from snnc_spinnaker.target import SPINNAKER1

name = "spinnaker"
targets: tuple[Target, ...] = (SPINNAKER1, SPINNAKER2)

Array = npt.NDArray[Any]


def lower(graph: FixedGraph, target: Target) -> Program:
    """Makes the program of either chip; see :mod:`snnc_spinnaker.lower` and :mod:`snnc_spinnaker.spinnaker2_lower`."""
    if target.name == SPINNAKER2.name:
        return spinnaker2.lower(graph, target)
    return spinnaker1.lower(graph, target)


def forecast(program: Program, rates: Mapping[str, FloatArray]) -> Program:
    """Synaptic events per ms of every core at the given rates; spinnaker2's tables count none."""
    if program.target == SPINNAKER2.name:
        return program
    machine = program.data if isinstance(program.data, Machine) else build(program.graph)
    return replace(program, tables=Report(machine, SPINNAKER1, rates).tables())


def export(program: Program) -> Mapping[str, bytes]:
    """A script of its own for spinnaker1; spinnaker2 has none."""
    return {} if program.target == SPINNAKER2.name else script.export(program)


def export_learning(
    graph: Graph, fixed: FixedGraph, scales: Mapping[str, FloatArray], learning: Iterable[LearningConfig]
) -> Mapping[str, bytes]:
    """A script that lets the network learn on a board."""
    return script.export_learning(bound(graph, fixed, scales, learning))


def run(program: Program, spikes: Array, probes: Probes) -> Trace:
    """Runs the emulator from the start state.

    Args:
        program: made by :func:`lower`.
        spikes: [B, T, *shape], 0 or 1.
        probes: states are ``v`` (after the step), ``u_exc`` and ``u_inh`` (what the step's update used).

    Returns:
        The trace in logical time; ``meta["ring_saturations"]`` counts entries cut to 65535, by population.

    Raises:
        TraceError: the input has another shape.
    """
    if program.target == SPINNAKER2.name:
        return spinnaker2.execute(program, spikes, probes)
    graph = program.graph
    batch, steps = demand_input(graph, spikes)
    source = graph.inputs[0]
    machine = program.data if isinstance(program.data, Machine) else build(graph)
    emulator = Run(machine, {source.name: spikes.reshape(batch, steps, math.prod(source.shape))})
    record = Recorder(graph, probes, batch, steps)
    for time in range(steps + graph.depth):
        cores, sent = emulator.step(time)
        for population, out in sent.items():
            record.spikes(population, time, out)
        for population, step in cores.items():
            values = {"v": emulator.cores[population].v, "u_exc": step.exc, "u_inh": step.inh}
            record.states(population, time, values)
    meta = {"ring_saturations": emulator.saturations, "device_steps": steps + graph.depth}
    return Trace(name, program.target, record.sent, record.state, meta)


def run_binary(program: Program, spikes: Array, probes: Probes) -> Trace:
    """Runs the unmodified programs of the sPyNNaker release on a modelled board; needs the extra ``spinnaker``.

    Args:
        program: made by :func:`lower`.
        spikes: [B, T, *shape], 0 or 1.
        probes: the same states as :func:`run`.

    Raises:
        TraceError: the input has another shape.
        SnncError: the tools are missing or refuse the network, or a program trapped.
    """
    if program.target == SPINNAKER2.name:
        raise UnsupportedError("the sPyNNaker release holds programs for SpiNNaker 1 only; use the emulator")
    from snnc_spinnaker.binary import execute

    return execute.run(program, spikes, probes)


executors: Mapping[str, Executor] = {"binary": run_binary}
learners: Mapping[str, MakeLearner] = {"binary": binary_learner}


__all__ = [
    "Learner",
    "executors",
    "export",
    "export_learning",
    "forecast",
    "learner",
    "learners",
    "learning_drift",
    "lower",
    "name",
    "run",
    "run_binary",
    "targets",
]
