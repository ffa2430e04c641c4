"""The back end ``spinnaker``: lowers to a SpiNNaker 1 board and runs its emulator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.backend import Executor, Program
from snnc.errors import TraceError
from snnc.ir import FixedGraph, Input
from snnc.target import Target
from snnc.trace import Probes, Trace
from snnc_spinnaker.export import export
from snnc_spinnaker.lower import build, lower
from snnc_spinnaker.network import Machine, Run
from snnc_spinnaker.target import SPINNAKER1

name = "spinnaker"
targets: tuple[Target, ...] = (SPINNAKER1,)

Array = npt.NDArray[Any]


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
    graph = program.graph
    source = graph.inputs[0]
    if spikes.ndim < 2 or spikes.shape[2:] != source.shape:
        raise TraceError(f"input shape is {spikes.shape}, allowed is [B, T, *{source.shape}]")
    batch, steps = spikes.shape[:2]
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
    from snnc_spinnaker.binary import execute

    return execute.run(program, spikes, probes)


executors: Mapping[str, Executor] = {"binary": run_binary}


class Recorder:
    """Cuts each population's window out of device time."""

    def __init__(self, graph: FixedGraph, probes: Probes, batch: int, steps: int) -> None:
        self.graph, self.probes, self.batch, self.steps = graph, probes, batch, steps
        self.sent: dict[str, Array] = {}
        self.state: dict[tuple[str, str], Array] = {}

    def spikes(self, population: str, time: int, out: Array) -> None:
        """Keeps spikes [B, n] of one device step if they are wanted."""
        if self.probes.wants_spikes(population):
            self._store(self.sent, population, population, time, out, np.int8)

    def states(self, population: str, time: int, values: dict[str, Array]) -> None:
        """Keeps states [B, n] of one device step if they are wanted."""
        if self.probes.wants_states(population):
            for key, value in values.items():
                self._store(self.state, (population, key), population, time, value, np.int64)

    def _store(self, where: dict[Any, Array], key: Any, population: str, time: int, out: Array, dtype: Any) -> None:
        t = time - self.graph.latency.get(population, 0)
        if not 0 <= t < self.steps:
            return
        node = self.graph[population]
        shape = node.shape if isinstance(node, Input) else self.graph.shapes[population]
        if key not in where:
            where[key] = np.zeros((self.batch, self.steps, *shape), dtype=dtype)
        where[key][:, t] = out.reshape(self.batch, *shape)


__all__ = ["executors", "export", "lower", "name", "run", "run_binary", "targets"]
