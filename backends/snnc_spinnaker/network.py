"""Several populations in lock step: every packet arrives in its tick, so the run is exact whatever their order.

Source: specs/spinnaker.md section 1.5; saturating sums of non-negative weights do not depend on the order of packets.
For delays beyond a ring: :mod:`snnc_spinnaker.delay_core`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.ir import IntArray
from snnc_spinnaker.connect import Connections
from snnc_spinnaker.core import Core, Step
from snnc_spinnaker.delay_core import DelayCore, Extension, stages
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
        per_core: neurons of one slice at most.
    """

    name: str
    size: int
    kind: Literal["array", "constant"]
    start: int = 0
    per_core: int = 256


@dataclass(frozen=True, eq=False)
class Projection:
    """Static synapses of one receptor and one delay.

    Attributes:
        source, target: populations.
        receptor: 0: excitatory, 1: inhibitory.
        delay: steps; beyond the 2**D of the target's ring, a delay extension takes whole stages of them.
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

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Neurons of every source and population."""
        found = {source.name: source.size for source in self.sources}
        return found | {population.name: population.words.size for population in self.populations}

    @cached_property
    def reach(self) -> dict[str, int]:
        """Slots of every population's ring."""
        return {population.name: 1 << population.layout.delay_bits for population in self.populations}

    def stage(self, projection: Projection) -> int:
        """Stages of a delay extension that a projection takes; 0: the ring is long enough."""
        return stages(projection.delay, self.reach[projection.target])

    @cached_property
    def extensions(self) -> tuple[Extension, ...]:
        """What keeps spikes for delays beyond a ring, in the order in which sources first send."""
        late: dict[str, tuple[int, int]] = {}
        for projection in self.projections:
            count = self.stage(projection)
            reach, most = late.get(projection.source, (0, 0))
            late[projection.source] = (self.reach[projection.target] if count else reach, max(count, most))
        return tuple(Extension(name, self.sizes[name], *found) for name, found in late.items() if found[1])


class Run:
    """A machine over a batch of samples.

    Attributes:
        cores: population -> its state.
        late: population or source -> its delay extension.
        cut: ring entries that each projection of the machine brought to 65535, counted per tick.
    """

    def __init__(self, machine: Machine, spikes: dict[str, Values]) -> None:
        """Args: spikes: array source -> [batch, steps, n]."""
        self.machine = machine
        self.spikes = spikes
        self.batch = len(next(iter(spikes.values())))
        self.cores = {
            p.name: Core(p.words, (p.ring_shift, p.ring_shift), p.layout, self.batch) for p in machine.populations
        }
        self.cut = np.zeros(len(machine.projections), dtype=np.int64)
        self.late = {extension.source: DelayCore(extension, self.batch) for extension in machine.extensions}

    def step(self, time: int) -> tuple[dict[str, Step], dict[str, Values]]:
        """One tick: every neuron first, then every packet.

        Returns:
            What each core records, and the spikes of every population and source.
        """
        steps = {name: core.step(time) for name, core in self.cores.items()}
        sent: dict[str, Values] = {name: step.spikes for name, step in steps.items()}
        sent |= {source.name: self._emit(source, time) for source in self.machine.sources}
        again = {name: core.step(time) for name, core in self.late.items()}
        for number, projection in enumerate(self.machine.projections):
            stage = self.machine.stage(projection)
            spikes = again[projection.source][stage - 1] if stage else sent[projection.source]
            if spikes.any():
                ring = self.cores[projection.target].ring
                rest = projection.delay - stage * self.machine.reach[projection.target]
                sums = self._deliver(projection, time, spikes)
                self.cut[number] += ring.add(time, rest, projection.receptor, sums)
        for name, core in self.late.items():
            core.receive(time, sent[name])
        return steps, sent

    def _deliver(self, projection: Projection, time: int, spikes: Values) -> IntArray:  # noqa: ARG002 - who learns asks
        """Sums of the weights of spikes [batch, n_source] that arrive in a tick, [batch, n_target]."""
        return projection.links.deliver(spikes).astype(np.int64)

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
