"""All cores of a mapped network in lock step: every core ticks, then every packet of the tick goes its route."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from snnc.errors import SnncError
from snnc.ir import IntArray
from snnc_spinnaker.binary.core import Core
from snnc_spinnaker.binary.cpu import LIMIT
from snnc_spinnaker.binary.mapping import BoardSpec, CoreSpec, Place

SOURCE = "SpikeSourceArrayMachineVertex"
MAX_HOPS = 256
BoolArray = npt.NDArray[np.bool_]


class Router:
    """Where packets go, by the routing tables of all chips."""

    def __init__(self, spec: BoardSpec) -> None:
        self.spec = spec
        self._known: dict[tuple[int, int, int], tuple[Place, ...]] = {}

    def targets(self, chip: tuple[int, int], key: int) -> tuple[Place, ...]:
        """Cores that a packet reaches from a chip.

        Raises:
            SnncError: it has no route, or goes in circles.
        """
        start = (*chip, key)
        if start not in self._known:
            self._known[start] = tuple(sorted(self._walk(chip, key)))
        return self._known[start]

    def _walk(self, chip: tuple[int, int], key: int) -> set[Place]:
        found: set[Place] = set()
        ways: list[tuple[tuple[int, int], int | None]] = [(chip, None)]
        for _ in range(MAX_HOPS):
            if not ways:
                return found
            (x, y), heading = ways.pop()
            entry = next((r for r in self.spec.routes.get((x, y), ()) if key & r.mask == r.key), None)
            if entry is None and heading is None:
                raise SnncError(f"a packet with key {key:#010x} has no route on chip {x},{y}, where it is sent")
            links = entry.links if entry is not None else (heading,)
            found |= {(x, y, p) for p in entry.cores} if entry is not None else set()
            for link in links:
                assert link is not None
                there = self.spec.links.get((x, y, link))
                if there is None:
                    raise SnncError(
                        f"a packet with key {key:#010x} leaves chip {x},{y} over link {link}: no chip there"
                    )
                ways.append((there, link))
        raise SnncError(f"a packet with key {key:#010x} from chip {chip} does not arrive within {MAX_HOPS} hops")


class Board:
    """The programs of a mapped network, at the start of a run.

    Attributes:
        spec: the mapped network.
        cores: cores that execute a program; spike sources are played by the host.
        packets: sent so far.
    """

    def __init__(self, spec: BoardSpec, router: Router, limit: int = LIMIT) -> None:
        self.spec, self.router = spec, router
        self.cores = {core.place: Core(core, spec.steps, limit) for core in spec.cores if core.kind != SOURCE}
        self.sources = [core for core in spec.cores if core.kind == SOURCE]
        self.packets = 0

    def run(
        self, emitted: Mapping[str, BoolArray], watch: Callable[[int], None] | None = None
    ) -> dict[str, dict[str, IntArray]]:
        """Runs every step.

        Args:
            emitted: source -> spikes [steps, n].
            watch: called with the time after each step, when its last packet was processed.

        Returns:
            Population -> ``v`` (before the step's update), ``u_exc``, ``u_inh`` and ``spikes``, [steps, n] each.

        Raises:
            SnncError: a program trapped.
        """
        for time in range(self.spec.steps):
            sent = [(place[:2], key) for place, core in self.cores.items() for key in core.tick()]
            for source in self.sources:
                sent += [(source.place[:2], key) for key in _keys(source, emitted[source.name][time], time)]
            for chip, key in sent:
                for place in self.router.targets(chip, key):
                    self._deliver(place, key)
            self.packets += len(sent)
            if watch is not None:
                watch(time)
        for core in self.cores.values():
            core.tick()  # the tick after the last one makes the program close its recordings
        return self._recordings()

    def saturations(self) -> dict[str, int]:
        """Population -> ring additions that its cores cut to 65535, as the programs count them."""
        found: dict[str, int] = {}
        for core in self.cores.values():
            if core.spec.name:
                found[core.spec.name] = found.get(core.spec.name, 0) + core.saturations()
        return found

    def _deliver(self, place: Place, key: int) -> None:
        if place not in self.cores:
            raise SnncError(f"a packet with key {key:#010x} is routed to core {place}, which runs no program")
        self.cores[place].packet(key)

    def _recordings(self) -> dict[str, dict[str, IntArray]]:
        """Recordings of a population's cores side by side."""
        parts: dict[str, list[Core]] = {}
        for core in self.cores.values():
            if core.spec.name:
                parts.setdefault(core.spec.name, []).append(core)
        found = {}
        for name, cores in parts.items():
            rows = [core.recordings() for core in sorted(cores, key=lambda core: core.spec.first)]
            found[name] = {key: np.concatenate([row[key] for row in rows], axis=1) for key in rows[0]}
        return found


def _keys(source: CoreSpec, spikes: BoolArray, time: int) -> list[int]:
    """Keys of a source core's packets: neuron above the colour, which is the time's lowest bits."""
    mine = np.flatnonzero(spikes[source.first : source.first + source.size])
    if source.key is None or not mine.size:
        return []
    colour = time & ((1 << source.colour_bits) - 1)
    return [source.key | int(neuron) << source.colour_bits | colour for neuron in mine]
