"""What an emulator sees in device time, as a trace in logical time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError
from snnc.ir import FixedGraph, Input
from snnc.trace import Probes

Array = npt.NDArray[Any]


def demand_input(graph: FixedGraph, spikes: Array) -> tuple[int, int]:
    """Batch and steps of the input.

    Raises:
        TraceError: the input has another shape than the network takes.
    """
    shape = graph.inputs[0].shape
    if spikes.ndim < 2 or spikes.shape[2:] != shape:
        raise TraceError(f"input shape is {spikes.shape}, allowed is [B, T, *{shape}]")
    return int(spikes.shape[0]), int(spikes.shape[1])


class Recorder:
    """Cuts each population's window out of device time."""

    def __init__(self, graph: FixedGraph, probes: Probes, batch: int, steps: int, kind: type[Any] = np.int64) -> None:
        """Args: kind: element type of states."""
        self.graph, self.probes, self.batch, self.steps, self.kind = graph, probes, batch, steps, kind
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
                self._store(self.state, (population, key), population, time, value, self.kind)

    def _store(self, where: dict[Any, Array], key: Any, population: str, time: int, out: Array, dtype: Any) -> None:
        t = time - self.graph.latency.get(population, 0)
        if not 0 <= t < self.steps:
            return
        node = self.graph[population]
        shape = node.shape if isinstance(node, Input) else self.graph.shapes[population]
        if key not in where:
            where[key] = np.zeros((self.batch, self.steps, *shape), dtype=dtype)
        where[key][:, t] = out.reshape(self.batch, *shape)
