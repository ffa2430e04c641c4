"""Routing tables: shortest ways from every slice to the cores that hear it, merged where neighbours agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnc_spinnaker.placement import Link, Slice, Vertex, mask_of
from snnc_spinnaker.placement_board import LINKS, Chip, toward

Way = tuple[frozenset[int], frozenset[int]]


@dataclass(frozen=True)
class Entry:
    """One line of a chip's routing table.

    Attributes:
        chip: whose table.
        key, mask: packets it is for.
        links, cores: where they go.
    """

    chip: Chip
    key: int
    mask: int
    links: frozenset[int]
    cores: frozenset[int]

    @property
    def route(self) -> int:
        """As the router has it: bits 0 to 5 are links, from bit 6 on cores."""
        return sum(1 << link for link in self.links) + sum(1 << (len(LINKS) + core) for core in self.cores)


@dataclass(frozen=True)
class Routes:
    """All tables.

    Attributes:
        entries: after merging.
        before: chip -> entries with one per source slice.
    """

    entries: tuple[Entry, ...]
    before: Mapping[Chip, int]

    def on(self, chip: Chip) -> tuple[Entry, ...]:
        """Entries of one chip."""
        return tuple(entry for entry in self.entries if entry.chip == chip)


def route(vertices: Sequence[Vertex], links: Sequence[Link], slices: Sequence[Slice]) -> Routes:
    """Makes the tables for a placement.

    Entries of one vertex that go the same way become one where a mask can say so; numbers of slices that do not exist
    may be covered, slices that never pass the chip may not.
    """
    by_vertex: dict[str, list[Slice]] = {}
    for part in slices:
        by_vertex.setdefault(part.vertex, []).append(part)
    entries: list[Entry] = []
    before: dict[Chip, int] = {}
    for vertex in vertices:
        ways = _ways(by_vertex, [link for link in links if link.source == vertex.name], vertex.name)
        for chip in sorted(ways):
            before[chip] = before.get(chip, 0) + len(ways[chip])
            entries += _merged(vertex, by_vertex[vertex.name], chip, ways[chip])
    return Routes(tuple(entries), before)


def _ways(by_vertex: Mapping[str, list[Slice]], links: Sequence[Link], source: str) -> dict[Chip, dict[int, Way]]:
    """Chip -> number of a passing slice -> where its packets go from there."""
    found: dict[Chip, dict[int, Way]] = {}
    for part in by_vertex[source]:
        heard = {
            (there.chip, there.core)
            for link in links
            for there in by_vertex[link.target]
            if link.pairs is None or (part.index, there.index) in link.pairs
        }
        for chip, way in _tree(part.chip, heard).items():
            found.setdefault(chip, {})[part.index] = way
    return found


def _tree(start: Chip, heard: set[tuple[Chip, int]]) -> dict[Chip, Way]:
    links: dict[Chip, set[int]] = {}
    cores: dict[Chip, set[int]] = {}
    before = toward(start)
    for end, core in heard:
        cores.setdefault(end, set()).add(core)
        chip = end
        while chip != start:
            chip, link = before[chip]
            links.setdefault(chip, set()).add(link)
    chips = links.keys() | cores.keys()
    return {chip: (frozenset(links.get(chip, ())), frozenset(cores.get(chip, ()))) for chip in chips}


def _merged(vertex: Vertex, parts: Sequence[Slice], chip: Chip, ways: Mapping[int, Way]) -> list[Entry]:
    base = parts[0].key
    assert base is not None
    found, index = [], 0
    while index < vertex.slices:
        if index not in ways:
            index += 1
            continue
        bits = 0
        while bits < vertex.slice_bits and _agree(vertex, ways, index, bits + 1):
            bits += 1
        low = vertex.atom_bits
        found.append(Entry(chip, base + (index << low), mask_of(low + bits), *ways[index]))
        index += 1 << bits
    return found


def _agree(vertex: Vertex, ways: Mapping[int, Way], index: int, bits: int) -> bool:
    """True if a block of slices starts here and all that exist go the same way."""
    members = range(index, min(index + (1 << bits), vertex.slices))
    return index % (1 << bits) == 0 and all(ways.get(member) == ways[index] for member in members)
