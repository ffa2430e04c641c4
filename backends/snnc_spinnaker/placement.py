"""Where everything goes: slices of populations to cores, keys, and what the routers must hold.

The rules are those by which PACMAN 7.4.1 maps a network on a virtual board (specs/spinnaker.md section 5), so that its
answer can be compared with ours: slices, cores and keys are the same, routes deliver to the same cores but may go
another way (:mod:`snnc_spinnaker.placement_routes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snnc.errors import DoesNotFitError, Violation
from snnc_spinnaker.delay_core import stages
from snnc_spinnaker.placement_board import CHIPS, Chip, cores, neighbours

COLOUR_BITS = 4
"""Low bits of a key that hold the time of the spike."""
KEY_BITS = 32


@dataclass(frozen=True)
class Vertex:
    """What is cut into slices: a population, a source or a delay extension.

    Attributes:
        name: of the population.
        size: neurons.
        per_core: neurons of one slice; the last may have fewer.
        stages: copies of every neuron with keys of their own (delay extensions).
    """

    name: str
    size: int
    per_core: int
    stages: int = 1

    @property
    def slices(self) -> int:
        """Number of slices."""
        return -(-self.size // self.per_core)

    @property
    def atom_bits(self) -> int:
        """Bits of a key below the slice: neurons (and stages) of a slice, and the colour."""
        return ((min(self.size, self.per_core) * self.stages << COLOUR_BITS) - 1).bit_length()

    @property
    def slice_bits(self) -> int:
        """Bits of a key that number the slices."""
        return (self.slices - 1).bit_length()


@dataclass(frozen=True)
class Link:
    """Which slices of a source reach which slices of a target.

    Attributes:
        source, target: vertices.
        pairs: (slice of the source, slice of the target); None: all of them.
    """

    source: str
    target: str
    pairs: frozenset[tuple[int, int]] | None = None


@dataclass(frozen=True)
class Slice:
    """Neurons ``first`` to ``last`` of a vertex on one core.

    Attributes:
        vertex: name.
        index: number of the slice.
        first, last: neurons, both included.
        chip, core: where.
        key, mask: of its packets; None if it sends none.
    """

    vertex: str
    index: int
    first: int
    last: int
    chip: Chip
    core: int
    key: int | None
    mask: int | None

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.last - self.first + 1

    @property
    def label(self) -> str:
        """As the tools write it: ``name(first:last)``."""
        return f"{self.vertex}({self.first}:{self.last})"


def extension(source: Vertex, longest: int, reach: int) -> Vertex | None:
    """The extra vertex for delays beyond the ring, or None if there are none."""
    needed = stages(longest, reach)
    return Vertex(late_name(source.name), source.size, source.per_core, needed) if needed else None


def late_name(source: str) -> str:
    """Name of a population's delay extension, as the tools give it."""
    return f"{source}_delayed"


def place(vertices: Sequence[Vertex], links: Sequence[Link]) -> tuple[Slice, ...]:
    """Puts every slice on a core.

    Args:
        vertices: in the order in which they were made; a vertex keeps to adjacent chips.
        links: in the order in which they were made; the first of a source gives it its number among the keys.

    Raises:
        DoesNotFitError: the board has too few cores, or keys take more than 32 bits.
    """
    keys = allocate(vertices, links)
    board = Board()
    found = []
    for vertex in vertices:
        for index, (chip, core) in enumerate(board.take(vertex)):
            first = index * vertex.per_core
            last = min(vertex.size, first + vertex.per_core) - 1
            base = keys.get(vertex.name)
            key = None if base is None else base + (index << vertex.atom_bits)
            mask = None if base is None else mask_of(vertex.atom_bits)
            found.append(Slice(vertex.name, index, first, last, chip, core, key, mask))
    return tuple(found)


def mask_of(bits: int) -> int:
    """A mask that leaves the low bits out."""
    return ((1 << KEY_BITS) - 1) & ~((1 << bits) - 1)


def allocate(vertices: Sequence[Vertex], links: Sequence[Link]) -> dict[str, int]:
    """First key of every vertex that sends; zones are as large as the largest vertex needs, a power of two.

    Raises:
        DoesNotFitError: keys take more than 32 bits.
    """
    by_name = {vertex.name: vertex for vertex in vertices}
    senders = [by_name[name] for name in dict.fromkeys(link.source for link in links)]
    zone = max((v.atom_bits + v.slice_bits for v in senders), default=0)
    bits = zone + (len(senders) - 1).bit_length()
    if bits > KEY_BITS:
        largest = max(senders, key=lambda v: v.atom_bits + v.slice_bits)
        fix = f"Split {largest.name} ({largest.size} neurons) into smaller populations."
        raise DoesNotFitError.of(Violation("graph", "key bits", str(bits), f"at most {KEY_BITS}", fix))
    return {vertex.name: number << zone for number, vertex in enumerate(senders)}


class Board:
    """Cores that are still free, and where the search for the next population starts."""

    def __init__(self) -> None:
        self.free = {chip: list(cores(chip)) for chip in CHIPS}
        self._untried = list(CHIPS)
        self._started: list[Chip] = []

    def take(self, vertex: Vertex) -> list[tuple[Chip, int]]:
        """Cores for every slice of a vertex, on a connected group of chips.

        Chips where earlier vertices started come first, as long as they have a free core.

        Raises:
            DoesNotFitError: no such group has enough free cores.
        """
        waiting, self._started = self._started, []
        while True:
            start = self._start(waiting)
            if start is None:
                left = sum(len(found) for found in self.free.values())
                fix = f"Remove {max(1, vertex.slices - left) * vertex.per_core} neurons of {vertex.name}."
                found = f"{vertex.slices} ({vertex.size} neurons, {vertex.per_core} a core)"
                allowed = f"at most {left}, free on adjacent chips"
                raise DoesNotFitError.of(Violation(vertex.name, "cores", found, allowed, fix))
            chips = self._group(start, vertex.slices)
            if chips is not None:
                return [(chip, self.free[chip].pop(0)) for chip in chips]

    def _start(self, waiting: list[Chip]) -> Chip | None:
        while waiting or self._untried:
            chip = (waiting or self._untried).pop(0)
            if self.free[chip]:
                self._started.append(chip)
                return chip
        return None

    def _group(self, start: Chip, wanted: int) -> list[Chip] | None:
        """The chip for each of ``wanted`` slices, or None if the neighbourhood is too small."""
        chosen: list[Chip] = []
        seen, near = {start}, [start]
        while near:
            chip = near.pop(0)
            if not self.free[chip]:
                continue
            chosen += [chip] * len(self.free[chip])
            if len(chosen) >= wanted:
                return chosen[:wanted]
            new = [other for _, other in neighbours(chip) if other not in seen]
            seen.update(new)
            near += new
        return None
