"""Several populations in lock step: every packet arrives in its tick, so the run is exact whatever their order.

Source: specs/spinnaker.md section 1.5; saturating sums of non-negative weights do not depend on the order of packets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc_spinnaker.connect import Connections
from snnc_spinnaker.core import Core, Step
from snnc_spinnaker.ring import Layout
from snnc_spinnaker.words import Words

Values = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one kind; however many cores it takes, the arithmetic is the same.

    Attributes:
        name: of the population.
        words: parameters.
        ring_shift: left shift of ring sums, the same for both receptors.
        layout: of the ring buffers on each of its cores.
    """

    name: str
    words: Words
    ring_shift: int
    layout: Layout


@dataclass(frozen=True)
class Source:
    """A spike source.

    Attributes:
        name: of the population.
        size: number of neurons.
        kind: ``array``: given spikes; ``constant``: every neuron in every step.
        start: step of its first spikes.
    """

    name: str
    size: int
    kind: Literal["array", "constant"]
    start: int = 0


@dataclass(frozen=True, eq=False)
class Projection:
    """Static synapses of one receptor and one delay.

    Attributes:
        source, target: populations.
        receptor: 0: excitatory, 1: inhibitory.
        delay: steps, 1 to 2**D.
        links: which neurons, with weights of 1 to 65535; no pair twice.
    """

    source: str
    target: str
    receptor: Literal[0, 1]
    delay: int
    links: Connections


@dataclass(frozen=True, eq=False)
class Machine:
    """A network as it is loaded.

    Attributes:
        sources, populations, projections: its parts.
    """

    sources: tuple[Source, ...]
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]


class Run:
    """A machine over a batch of samples.

    Attributes:
        cores: population -> its state.
    """

    def __init__(self, machine: Machine, spikes: dict[str, Values]) -> None:
        """Args: spikes: array source -> [batch, steps, n]."""
        self.machine = machine
        self.spikes = spikes
        self.batch = len(next(iter(spikes.values())))
        self.cores = {
            p.name: Core(p.words, (p.ring_shift, p.ring_shift), p.layout, self.batch) for p in machine.populations
        }

    def step(self, time: int) -> tuple[dict[str, Step], dict[str, Values]]:
        """One tick: every neuron first, then every packet.

        Returns:
            What each core records, and the spikes of every population and source.
        """
        steps = {name: core.step(time) for name, core in self.cores.items()}
        sent: dict[str, Values] = {name: step.spikes for name, step in steps.items()}
        sent |= {source.name: self._emit(source, time) for source in self.machine.sources}
        for projection in self.machine.projections:
            spikes = sent[projection.source]
            if spikes.any():
                ring = self.cores[projection.target].ring
                ring.add(time, projection.delay, projection.receptor, projection.links.deliver(spikes).astype(np.int64))
        return steps, sent

    def _emit(self, source: Source, time: int) -> Values:
        at = time - source.start
        if source.kind == "constant":
            return np.full((self.batch, source.size), at >= 0)
        given = self.spikes[source.name]
        if not 0 <= at < given.shape[1]:
            return np.zeros((self.batch, source.size), dtype=bool)
        return np.asarray(given[:, at] != 0)

    @property
    def saturations(self) -> dict[str, int]:
        """Population -> ring entries that were cut to 65535."""
        return {name: core.ring.saturations for name, core in self.cores.items()}
