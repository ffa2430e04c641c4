"""Placement as people read it: used and allowed by resource, tables per core and chip, and all that does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from snnc.errors import DoesNotFitError, Violation
from snnc.ir import FloatArray
from snnc.target import Target
from snnc_spinnaker import arith
from snnc_spinnaker.delay_core import Extension
from snnc_spinnaker.delays import STAGES, beyond, held
from snnc_spinnaker.network import Machine, Population
from snnc_spinnaker.placement import Slice, late_name
from snnc_spinnaker.placement_board import Chip, cores
from snnc_spinnaker.placement_demand import MAX_NEURONS, Demand, Load, per_core
from snnc_spinnaker.words import constants

CHIP_SDRAM = 123_469_792
EVENTS = 13_000
EVENTS_STDP = 1_400
"""Synaptic events per ms that the tools expect of a core (specs/spinnaker.md section 1.9)."""
WEIGHT_BITS = 16
Row = dict[str, Any]
Used = dict[str, int]


class Report:
    """A placement with everything that is said about it."""

    def __init__(
        self, machine: Machine, target: Target, rates: Mapping[str, FloatArray] | None = None, *, stdp: bool = False
    ) -> None:
        """Places a machine.

        Args:
            machine: what is placed.
            target: its limits.
            rates: spikes per step and neuron, by population, for predicted events beside the worst case, which is
                everybody in every step; who is missing fires in every step.
            stdp: true if the cores run the STDP program.

        Raises:
            DoesNotFitError: with everything that does not fit and the smallest change that would.
        """
        self.machine, self.target = machine, target
        self.demand = Demand(machine, rates, stdp)
        self.limits = {key: limit.value for key, limit in target.limits.items()}
        self.populations = {population.name: population for population in machine.populations}
        found = list(self._before_placing())
        if not found:
            self.loads = self.demand.loads()
            found = list(self._after_placing())
        if found:
            raise DoesNotFitError(f"the network does not fit {target.name}", violations=tuple(found))

    @property
    def utilization(self) -> dict[str, tuple[int, int]]:
        """The most that any core, chip or the board takes of each of the target's limits."""
        used = self._sizes() | self._placed()
        return {key: (used[key], limit) for key, limit in self.limits.items()}

    def tables(self) -> dict[str, tuple[Row, ...]]:
        """One row per population, core, chip and delay extension."""
        late = tuple(self._extension(extension) for extension in self.machine.extensions)
        return {
            "populations": tuple(self._population(population) for population in self.machine.populations),
            "cores": tuple(self._core(load) for load in self.loads),
            "chips": tuple(self._chip(chip) for chip in sorted({load.part.chip for load in self.loads})),
        } | ({"delay extensions": late} if late else {})

    def _sizes(self) -> Used:
        machine = self.machine
        return {
            "cores": sum(vertex.slices for vertex in self.demand.vertices),
            "neurons per core": max(per_core(p) for p in machine.populations),
            "ring bits": max(p.layout.index_bits for p in machine.populations),
            "delay steps": max((p.delay for p in machine.projections), default=1),
            "weight": max((int(p.links.weight.max()) for p in machine.projections), default=0),
        }

    def _placed(self) -> Used:
        chips = {load.part.chip for load in self.loads}
        return {
            "row words": max(load.row for load in self.loads),
            "router entries": max(len(self.demand.routes.on(chip)) for chip in chips),
            "DTCM bytes": max(load.dtcm for load in self.loads),
            "SDRAM bytes": sum(load.sdram for load in self.loads),
        }

    def _before_placing(self) -> Iterator[Violation]:
        used = self._sizes()
        if used["cores"] > self.limits["cores"]:
            yield self._too_many_cores(used["cores"])
        for population in self.machine.populations:
            yield from self._ring(population)
        for extension in self.machine.extensions:
            if extension.stages > STAGES:
                fix = f"Give the populations behind it longer rings than {extension.reach} steps: fewer neurons a core."
                yield Violation(extension.source, "delay stages", str(extension.stages), f"at most {STAGES}", fix)
        for projection in self.machine.projections:
            if projection.delay > self.limits["delay steps"]:
                longest = self.limits["delay steps"]
                yield Violation(
                    projection.target, f"delay from {projection.source}", f"{projection.delay} steps",
                    f"at most {longest}", beyond(projection.delay, longest),
                )  # fmt: skip

    def _too_many_cores(self, used: int) -> Violation:
        most = self.limits["cores"]
        largest = max(self.demand.vertices, key=lambda vertex: vertex.slices)
        # A slice less of the largest vertex is a core less; its last slice may hold fewer neurons than the others.
        kept = (largest.slices - (used - most)) * largest.per_core
        fix = f"Remove {largest.size - kept} of {largest.size} neurons of {largest.name}." if kept > 0 else ""
        if largest.per_core < MAX_NEURONS and largest.name in self.populations:
            slots = 1 << self.populations[largest.name].layout.delay_bits
            slimmer = used - largest.slices + -(-largest.size // (2 * largest.per_core))
            fix += (
                f" {largest.name} holds {largest.per_core} neurons a core because of {slots} delay slots;"
                f" delays up to {slots // 2} steps would take {slimmer} cores in all."
            )
        return Violation("cores", "used", str(used), f"at most {most}", fix.strip() or "Split it over boards.")

    def _ring(self, population: Population) -> Iterator[Violation]:
        layout, most = population.layout, self.limits["neurons per core"]
        if per_core(population) > most:
            needed = -(-population.words.size // most)
            fix = f"Cut it into {needed} slices of at most {most}."
            yield Violation(population.name, "neurons per core", str(per_core(population)), f"at most {most}", fix)
        over = layout.index_bits - self.limits["ring bits"]
        if over > 0:
            found = f"{layout.index_bits} ({layout.neuron_bits} neuron + {layout.type_bits} receptor"
            found += f" + {layout.delay_bits} delay)"
            slots, held = 1 << layout.delay_bits, 1 << layout.neuron_bits
            ways = []
            if layout.neuron_bits >= over:
                ways.append(f"{held >> over} neurons a core")
            if layout.delay_bits > over:
                ways.append(f"delays of at most {slots >> over} steps")
            fix = f"It fits with {' or with '.join(ways)}."
            yield Violation(population.name, "ring bits", found, f"at most {self.limits['ring bits']}", fix)

    def _after_placing(self) -> Iterator[Violation]:
        for load in self.loads:
            yield from self._of_core(load)
        chips = sorted({load.part.chip for load in self.loads})
        for chip in chips:
            entries, most = len(self.demand.routes.on(chip)), self.limits["router entries"]
            if entries > most:
                fix = f"{entries - most} fewer slices or populations must send through it: merge populations."
                yield Violation(_chip(chip), "router entries", str(entries), f"at most {most}", fix)
            sdram = sum(load.sdram for load in self.loads if load.part.chip == chip)
            if sdram > CHIP_SDRAM:
                fix = f"Remove {(sdram - CHIP_SDRAM) // 4 + 1} synapses of its cores."
                yield Violation(_chip(chip), "SDRAM bytes", str(sdram), f"at most {CHIP_SDRAM}", fix)

    def _of_core(self, load: Load) -> Iterator[Violation]:
        where = load.part.label
        if load.row > self.limits["row words"]:
            most = self.limits["row words"]
            fix = f"Put {load.part.size * most // load.row} neurons on a core instead of {load.part.size}."
            yield Violation(where, "row words", str(load.row), f"at most {most}", fix)
        if load.dtcm > self.limits["DTCM bytes"]:
            most = self.limits["DTCM bytes"]
            fix = f"{load.dtcm - most} bytes less: halve the neurons of a core ({load.part.size})."
            yield Violation(where, "DTCM bytes", str(load.dtcm), f"at most {most}", fix)

    def _population(self, population: Population) -> Row:
        words = population.words
        into = [p for p in self.machine.projections if p.target == population.name]
        largest = max((int(p.links.weight.max()) for p in into), default=0)
        made = constants(words)
        return {
            "population": population.name,
            "model": f"IF_curr_{words.kind}",
            "neurons": words.size,
            "ring shift": population.ring_shift,
            "weight unit nA": 2.0 ** (population.ring_shift - 15),
            "largest weight": (largest, self.limits["weight"]),
            "effective weight bits": (largest.bit_length(), WEIGHT_BITS),
            "leak e": _range(made.leak / 2.0**15),
            "tau_m steps": _steps(made.leak / 2.0**15),
            "one unit of e, of the leak": f"{float(np.max(1 / (arith.ONE - made.leak))):.2%}",
            "current decay d": _range(made.fraction / 2.0**32),
            "tau_syn steps": _steps(made.fraction / 2.0**32),
            "current init": _range(made.first / 2.0**32),
            "synapses": sum(len(p.links.weight) for p in into),
        }

    def _core(self, load: Load) -> Row:
        part = load.part
        population = self.populations.get(part.vertex)
        ring = (population.layout.index_bits, population.layout.delay_bits) if population else (0, 0)
        most = EVENTS_STDP if self.demand.stdp else EVENTS
        events = {"worst case": (load.synapses, most)}
        if self.demand.rates is not None:
            events["predicted"] = (round(load.events), most)
        return {
            "core": part.label,
            "chip": _chip(part.chip),
            "processor": part.core,
            "key": _key(part),
            "neurons": (part.size, self.limits["neurons per core"]),
            "ring bits": (ring[0], self.limits["ring bits"]),
            "delay slots": 1 << ring[1] if population else 0,
            "synapses": load.synapses,
            "row words": (load.row, self.limits["row words"]),
            "DTCM bytes": (load.dtcm, self.limits["DTCM bytes"]),
            "SDRAM bytes": load.sdram,
        } | {f"synaptic events per ms, {said}": value for said, value in events.items()}

    def _extension(self, extension: Extension) -> Row:
        held_by = [load for load in self.loads if load.part.vertex == late_name(extension.source)]
        most = held(extension.stages, extension.reach)
        return {
            "source": extension.source,
            "cores": len(held_by),
            "neurons per core": (max(load.part.size for load in held_by), most),
            "stages": (extension.stages, STAGES),
            "steps a stage": extension.reach,
            "steps kept": extension.slots,
        }

    def _chip(self, chip: Chip) -> Row:
        here = [load for load in self.loads if load.part.chip == chip]
        return {
            "chip": _chip(chip),
            "cores": (len(here), len(cores(chip))),
            "router entries": (len(self.demand.routes.on(chip)), self.limits["router entries"]),
            "before merging": self.demand.routes.before.get(chip, 0),
            "SDRAM bytes": (sum(load.sdram for load in here), CHIP_SDRAM),
        }


def _chip(chip: Chip) -> str:
    return f"{chip[0]},{chip[1]}"


def _key(part: Slice) -> str:
    return "none" if part.key is None else f"{part.key:#010x}"


def _steps(kept: FloatArray) -> str:
    """Time constants of fractions kept per step."""
    held = np.where(kept > 0, kept, 0.5)
    return _range(np.where(kept > 0, -1 / np.log(held), 0.0))


def _range(values: Any) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.7g}" if low == high else f"{low:.7g} to {high:.7g}"
