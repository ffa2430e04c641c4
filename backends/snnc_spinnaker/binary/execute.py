"""The executor ``binary``: the unmodified programs of the sPyNNaker release on a modelled board."""

from __future__ import annotations

import gc
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.backend import Program
from snnc.ir import FixedGraph, Input
from snnc.trace import Probes, Trace
from snnc_spinnaker.binary.board import Board, BoolArray, Router
from snnc_spinnaker.binary.cpu import LIMIT
from snnc_spinnaker.binary.mapping import mapped
from snnc_spinnaker.lower import build
from snnc_spinnaker.network import Machine, Source
from snnc_spinnaker.record import demand_input

Array = npt.NDArray[Any]
STATES = ("v", "u_exc", "u_inh")


def run(program: Program, spikes: Array, probes: Probes, limit: int = LIMIT) -> Trace:
    """Maps the program's network with sPyNNaker and executes its release programs, each sample from a fresh board.

    Args:
        program: made by :func:`snnc_spinnaker.lower.lower`.
        spikes: [B, T, *shape], 0 or 1.
        probes: states are those of the emulator: ``v`` after the step, ``u_exc`` and ``u_inh`` of the step's update.
        limit: instructions that a core may execute between two waits.

    Returns:
        The trace in logical time; ``meta`` counts cores and packets.

    Raises:
        TraceError: the input has another shape.
        SnncError: the tools are missing or refuse the network, or a program trapped.
    """
    graph = program.graph
    batch, steps = demand_input(graph, spikes)
    source = graph.inputs[0]
    machine = program.data if isinstance(program.data, Machine) else build(graph)
    # The chip records the membrane before the update: one step more shows it after the last.
    device_steps = steps + graph.depth + 1
    spec = mapped(machine, device_steps)
    router = Router(spec)
    given = spikes.reshape(batch, steps, math.prod(source.shape)) != 0
    window = _Window(graph, probes, batch, steps)
    packets = cores = 0
    for sample in range(batch):
        emitted = {s.name: emissions(s, given[sample], device_steps) for s in machine.sources}
        board = Board(spec, router, limit)
        window.add(sample, emitted, board.run(emitted))
        packets, cores = packets + board.packets, len(board.cores)
        # Unicorn's objects refer to themselves in circles; each holds a processor and its memory until it is collected.
        del board
        gc.collect()
    meta = {"executor": "binary", "device_steps": device_steps, "cores": cores, "packets": packets}
    return Trace("spinnaker", program.target, window.spikes, window.states, meta)


def emissions(source: Source, given: BoolArray, device_steps: int) -> BoolArray:
    """Spikes of a source in device time, [device_steps, n], from the sample's input [T, n]."""
    found = np.zeros((device_steps, source.size), dtype=bool)
    if source.kind == "constant":
        found[source.start :] = True
    else:
        end = min(source.start + len(given), device_steps)
        found[source.start : end] = given[: end - source.start]
    return found


class _Window:
    """Cuts each population's logical steps out of device time."""

    def __init__(self, graph: FixedGraph, probes: Probes, batch: int, steps: int) -> None:
        self.graph, self.probes, self.batch, self.steps = graph, probes, batch, steps
        self.spikes: dict[str, npt.NDArray[np.int8]] = {}
        self.states: dict[tuple[str, str], Array] = {}

    def add(self, sample: int, emitted: dict[str, BoolArray], recorded: dict[str, dict[str, Array]]) -> None:
        """Keeps one sample's spikes and states as far as they are wanted."""
        fired = {**emitted, **{name: found["spikes"] for name, found in recorded.items()}}
        for name, values in fired.items():
            if self.probes.wants_spikes(name):
                self._store(self.spikes, name, name, sample, values, np.int8)
        for name, found in recorded.items():
            if self.probes.wants_states(name):
                for key in STATES:
                    self._store(self.states, (name, key), name, sample, found[key], np.int64, late=key == "v")

    def _store(
        self,
        where: dict[Any, Array],
        key: Any,
        name: str,
        sample: int,
        values: Array,
        dtype: Any,
        *,
        late: bool = False,
    ) -> None:
        first = self.graph.latency.get(name, 0) + late
        node = self.graph[name]
        shape = node.shape if isinstance(node, Input) else self.graph.shapes[name]
        if key not in where:
            where[key] = np.zeros((self.batch, self.steps, *shape), dtype=dtype)
        where[key][sample] = values[first : first + self.steps].reshape(self.steps, *shape)
