"""What a machine asks of cores and chips: slices, memory, rows and synaptic events, counted from its connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from snnc.ir import FloatArray, IntArray
from snnc_spinnaker.delay_core import Extension
from snnc_spinnaker.delays import MEMORY, memory
from snnc_spinnaker.network import Machine, Population, Projection
from snnc_spinnaker.placement import Link, Slice, Vertex, late_name, place
from snnc_spinnaker.placement_routes import Routes, route

MAX_NEURONS = 256
STDP_BYTES = 100
"""Post-synaptic history of one neuron."""
BUFFERS = 1024 + 2 * 4 * (3 + 256)
"""Bytes of DTCM for arriving keys and for two rows of full length."""
EXTENSION_DTCM = 65_536 - MEMORY
"""Bytes of a delay-extension core besides the spikes that it keeps."""
EXTENSION_SDRAM = 12 + 36 + 72
"""Bytes of the regions of a delay-extension core: setup, parameters and provenance."""
MODEL_WORDS = {"exp": 15, "delta": 13}
"""Words of a neuron's parameters in SDRAM (specs/spinnaker.md section 1.4)."""


@dataclass(frozen=True)
class Load:
    """What one core holds and does.

    Attributes:
        part: the slice; None of the other numbers counts for a source, whose synapses lie elsewhere.
        synapses: on this core.
        row: longest row, in synapses of one source.
        blocks: synaptic matrices.
        sources: entries of the population table.
        matrix: bytes that its synaptic rows take; the tools reserve more (1.3 to 1.7 times on one dense network).
        dtcm, sdram: bytes, estimated; without what is recorded, which depends on the length of a run.
        events: synaptic events per step.
    """

    part: Slice
    synapses: int = 0
    row: int = 0
    blocks: int = 0
    sources: int = 0
    matrix: int = 0
    dtcm: int = 0
    sdram: int = 0
    events: float = 0.0


def region_bytes(kind: str, size: int, sources: int, blocks: int) -> dict[str, int]:
    """Bytes of the regions of a core whose size follows from the network alone, by their sPyNNaker names.

    Args:
        kind: ``exp`` or ``delta``.
        size: neurons on the core.
        sources: entries of the population table.
        blocks: synaptic matrices.
    """
    parameters = 4 + 4 * MODEL_WORDS[kind] * size
    return {
        "Neuron Core Params": 28 + 4 * size,
        "neuron_params": parameters,
        "initial_values": parameters,
        "neuron recording": 52 + 8 * size,
        "PopTable": 8 + 20 * sources + 4 * blocks,
        "SynapseParams": 36,
    }


def dtcm_bytes(index_bits: int, kind: str, size: int, sources: int, blocks: int, stdp: bool = False) -> int:
    """Data memory of a core, estimated: ring buffer, neurons, table, buffers, and histories with STDP."""
    neurons = size * (4 * (MODEL_WORDS[kind] + 5) + (STDP_BYTES if stdp else 0))
    return (2 << index_bits) + neurons + 20 * sources + 4 * blocks + BUFFERS


@dataclass(frozen=True, eq=False)
class Demand:
    """A machine cut into slices.

    Attributes:
        machine: what is placed.
        rates: spikes per step of every neuron, by population; who is missing spikes in every step.
        stdp: true if the cores run the STDP program.
    """

    machine: Machine
    rates: Mapping[str, FloatArray] | None = None
    stdp: bool = False

    @cached_property
    def vertices(self) -> tuple[Vertex, ...]:
        """Sources, then populations, as a script makes them, then the delay extensions that the tools add."""
        found = [Vertex(s.name, s.size, min(s.size, s.per_core)) for s in self.machine.sources]
        found += [Vertex(p.name, p.words.size, per_core(p)) for p in self.machine.populations]
        slices = {vertex.name: vertex.per_core for vertex in found}
        late = self.machine.extensions
        return (*found, *(Vertex(late_name(x.source), x.size, slices[x.source], x.stages) for x in late))

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """One per projection, with the slices that it joins."""
        by_name = {vertex.name: vertex for vertex in self.vertices}
        found = []
        for projection in self.machine.projections:
            source, target = by_name[projection.source], by_name[projection.target]
            links = projection.links
            pairs = np.unique(links.pre // source.per_core * target.slices + links.post // target.per_core)
            joined = frozenset(divmod(int(pair), target.slices) for pair in pairs)
            found.append(Link(projection.source, projection.target, joined))
        return (*found, *self._late_links(found))

    def _late_links(self, found: list[Link]) -> Iterator[Link]:
        """From each slice to its delay extension, and from there to whoever hears some of it late."""
        slices = {vertex.name: vertex.slices for vertex in self.vertices}
        late = {(p.source, p.target) for p in self.machine.projections if self.machine.stage(p)}
        for extension in self.machine.extensions:
            name = late_name(extension.source)
            yield Link(extension.source, name, frozenset((k, k) for k in range(slices[name])))
            for link in found:
                if (link.source, link.target) in late and link.source == extension.source:
                    yield replace(link, source=name)

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """Every slice on its core."""
        return place(self.vertices, self.links)

    @cached_property
    def routes(self) -> Routes:
        """Routing tables."""
        return route(self.vertices, self.links, self.slices)

    def loads(self) -> tuple[Load, ...]:
        """What every core has to bear, in the order of the slices."""
        parts: dict[str, list[Slice]] = {}
        for part in self.slices:
            parts.setdefault(part.vertex, []).append(part)
        found: list[Load] = []
        for source in self.machine.sources:
            found += [Load(part) for part in parts[source.name]]
        for population in self.machine.populations:
            found += self._of(population, parts[population.name])
        for extension in self.machine.extensions:
            found += [self._late(extension, part) for part in parts[late_name(extension.source)]]
        return tuple(found)

    def _late(self, extension: Extension, part: Slice) -> Load:
        taken = memory(part.size, extension.stages, extension.reach)
        return Load(part, dtcm=EXTENSION_DTCM + taken, sdram=EXTENSION_SDRAM)

    def _of(self, population: Population, parts: list[Slice]) -> list[Load]:
        machine = self.machine
        into = [p for p in machine.projections if p.target == population.name]
        late = {p.source for p in into if machine.stage(p)}
        most = {extension.source: extension.stages for extension in machine.extensions}
        counts = [self._counts(p, per_core(population), len(parts)) for p in into]
        found = []
        for index, part in enumerate(parts):
            here = [(p, count) for p, count in zip(into, counts, strict=True) if count.synapses[index]]
            heard = {p.source for p, _ in here}
            # A source that is heard late has a second entry, and each of its projections a block under either.
            sources = len(heard) + len(heard & late)
            blocks = len(here) + sum(p.source in late for p, _ in here)
            kind = population.words.kind
            rows = [p.links.sizes[0] * (most[p.source] if machine.stage(p) else 1) for p, _ in here]
            matrix = sum(-(-n * (int(c.row[index]) + 3) * 4 // 16) * 16 for n, (_, c) in zip(rows, here, strict=True))
            found.append(
                Load(
                    part,
                    synapses=sum(int(c.synapses[index]) for _, c in here),
                    row=max((int(c.row[index]) for _, c in here), default=0),
                    blocks=blocks,
                    sources=sources,
                    matrix=matrix,
                    dtcm=dtcm_bytes(population.layout.index_bits, kind, part.size, sources, blocks, self.stdp),
                    sdram=matrix + sum(region_bytes(kind, part.size, sources, blocks).values()),
                    events=sum(float(c.events[index]) for _, c in here),
                )
            )
        return found

    def _counts(self, projection: Projection, size: int, cores: int) -> Counts:
        links = projection.links
        core = links.post // size
        pair, per_row = np.unique(links.pre * cores + core, return_counts=True)
        row = np.zeros(cores, dtype=np.int64)
        np.maximum.at(row, pair % cores, per_row)
        rates = None if self.rates is None else self.rates.get(projection.source)
        weights = np.ones(links.sizes[0]) if rates is None else np.asarray(rates, dtype=np.float64).ravel()
        events = np.bincount(core, weights=weights[links.pre], minlength=cores).astype(np.float64)
        return Counts(np.bincount(core, minlength=cores), row, events)


@dataclass(frozen=True, eq=False)
class Counts:
    """One projection on each core of its target, (cores,) each: synapses, longest row, events per step."""

    synapses: IntArray
    row: IntArray
    events: FloatArray


def per_core(population: Population) -> int:
    """Neurons of one slice."""
    return min(population.words.size, 1 << population.layout.neuron_bits)
