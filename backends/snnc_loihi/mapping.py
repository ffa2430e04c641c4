"""Neurons to cores: what every core holds of every resource, or everything that no core holds.

Like nengo-loihi, which drove the chip, snnc gives every core to one population (all of its allocators place one block
on one core) and fills one chip after the other (its ``Greedy``). A population that is too large for one core is split
evenly and in order over the smallest number of cores that is found. An input axon is one source element of one
connection that has a weight on the core; a neuron takes one output axon per connection and core that its spikes go to
(nengo-loihi counts both so, ``builder/validate.py``). Inputs come from the host and take no core.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnc.errors import DoesNotFitError, Violation
from snnc.ir import IntArray
from snnc.target import Target
from snnc_loihi.plan import Plan, Population
from snnc_loihi.synapse_memory import SynapseList, index_bits_of, listed, stored

RESOURCES = {
    "compartments": "compartments",
    "synaptic memory": "synaptic words",
    "input axons": "input axons",
    "output axons": "output axons",
    "decay profiles": "decay profiles",
    "threshold profiles": "threshold profiles",
    "synapse formats": "synapse formats",
}
"""Name of a limit in a Target -> name of what is counted per core."""
INPUT, OUTPUT = "input axons", "output axons"
FIXES = {
    "synaptic memory": "Prune {0} of its inputs (an axon with one weight takes a word), or relay them.",
    INPUT: "Prune {0} of its inputs (a weight of 0 takes no axon), or relay them through a layer in between.",
    OUTPUT: "Let its spikes go to {0} fewer cores: prune its targets, or make the layers that it feeds smaller.",
    "synapse formats": "Give {0} of the connections into it the width, sign and exponent of another one.",
}
UNLIMITED = np.iinfo(np.int64).max


@dataclass(frozen=True)
class CoreLimits:
    """What one core and one machine hold.

    Attributes:
        each: most of every resource of ``RESOURCES`` per core, in their order; ``UNLIMITED`` where nothing is known.
        cores: per chip.
        chips: that can be addressed.
    """

    each: tuple[int, ...]
    cores: int
    chips: int

    @classmethod
    def of(cls, target: Target) -> CoreLimits:
        """The limits that a target states."""

        def stated(key: str) -> int:
            return target.limits[key].value if key in target.limits else UNLIMITED

        return cls(tuple(stated(key) for key in RESOURCES), stated("neuro cores"), stated("chips"))


@dataclass(frozen=True)
class Core:
    """One core.

    Attributes:
        chip, core: where it is.
        population: whose neurons it holds.
        first, last: the neurons, by their index in row-major order.
        used: of every resource of ``RESOURCES``.
    """

    chip: int
    core: int
    population: str
    first: int
    last: int
    used: tuple[int, ...]


@dataclass(frozen=True)
class CoreTable:
    """Every core that a network takes, in the order of chips and cores."""

    cores: tuple[Core, ...]
    limits: CoreLimits

    @property
    def chips(self) -> int:
        """Number of chips."""
        return -(-len(self.cores) // self.limits.cores)

    @property
    def utilization(self) -> dict[str, tuple[int, int]]:
        """Resource -> (used, max): all cores, all chips, and the fullest core; without resources of unknown limit."""
        fullest = np.max([core.used for core in self.cores], axis=0, initial=0).tolist()
        found = {
            "neuro cores": (len(self.cores), self.chips * self.limits.cores),
            "chips": (self.chips, self.limits.chips),
        }
        pairs = zip(RESOURCES.values(), zip(fullest, self.limits.each, strict=True), strict=True)
        found |= {f"{name} per core": pair for name, pair in pairs}
        return {name: pair for name, pair in found.items() if pair[1] < UNLIMITED}

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """One row per core: where, whose neurons, and (used, max) of every resource; used alone if max is unknown."""
        return tuple(self._row(core) for core in self.cores)

    def _row(self, core: Core) -> dict[str, Any]:
        row: dict[str, Any] = {
            "chip": core.chip, "core": core.core, "population": core.population,
            "neurons": f"{core.first} to {core.last}",
        }  # fmt: skip
        for name, used, most in zip(RESOURCES.values(), core.used, self.limits.each, strict=True):
            row[name] = used if most == UNLIMITED else (used, most)
        return row


def map_cores(plan: Plan, limits: CoreLimits) -> CoreTable:
    """Places every population.

    Raises:
        DoesNotFitError: with every population that has a neuron which no core holds, and the number of chips.
    """
    lists = [listed(one, plan) for one in plan.synapses]
    split = _Split(plan, lists, limits)
    split.settle()
    total = sum(split.counts.values())
    found = [violation for one in plan.populations for violation in split.violations.get(one.name, ())]
    chips = -(-total // limits.cores)
    if chips > limits.chips:
        over = total - limits.chips * limits.cores
        fix = f"Make layers smaller: {over} cores fewer would do."
        found.append(Violation("network", "chips", f"{chips} ({total} cores)", str(limits.chips), fix))
    if found:
        raise DoesNotFitError("the network does not fit", violations=tuple(found))
    cores: list[Core] = []
    for one in plan.populations:
        core, usage = split.placed(one.name)
        starts = np.searchsorted(core, np.arange(len(usage))).tolist()
        for first, after, used in zip(starts, [*starts[1:], one.size], usage.tolist(), strict=True):
            place = divmod(len(cores), limits.cores)
            cores.append(Core(*place, one.name, first, after - 1, tuple(used)))
    return CoreTable(tuple(cores), limits)


@dataclass(frozen=True, eq=False)
class _Split:
    """Into how many cores each population is split; grows until every core fits.

    More cores of a target mean more output axons of its sources, so a population is looked at again when one that it
    feeds was split further. Numbers only grow, so this ends.
    """

    plan: Plan
    lists: list[SynapseList]
    limits: CoreLimits
    counts: dict[str, int] = field(default_factory=dict)
    violations: dict[str, tuple[Violation, ...]] = field(default_factory=dict)

    def settle(self) -> None:
        """Finds the numbers of cores, or the violations."""
        sizes = {one.name: one.size for one in self.plan.populations}
        self.counts.update({name: -(-size // self.limits.each[0]) for name, size in sizes.items()})
        waiting = deque(reversed(sizes))
        while waiting:
            name = waiting.popleft()
            count = self._smallest(name)
            if count != self.counts[name]:
                self.counts[name] = count
                sources = (one.origin for one in self.lists if one.into == name)
                waiting.extend(s for s in dict.fromkeys(sources) if s in sizes and s not in waiting)

    def placed(self, name: str) -> tuple[IntArray, IntArray]:
        """The core, from 0, of every neuron of a population; and [cores, resources]."""
        count = self.counts[name]
        return self._core(name, count), self._usage(name, count, self._reach(name))

    def _core(self, name: str, count: int) -> IntArray:
        size = self._population(name).size
        return np.arange(size) * count // size

    def _usage(self, name: str, count: int, reach: IntArray) -> IntArray:
        """[count, resources] of a population that is split over ``count`` cores.

        Args:
            name: of the population.
            count: number of cores.
            reach: output axons of every neuron to other populations.
        """
        core, one = self._core(name, count), self._population(name)
        span = np.bincount(core, minlength=count)
        words, axons = np.zeros((2, count), dtype=np.int64)
        formats: dict[Any, IntArray] = {}
        for entry in (entry for entry in self.lists if entry.into == name):
            where, source, weights = entry.axons(core)
            taken, sparse = stored(span[where], weights, entry.format, index_bits_of(span))
            np.add.at(words, where, taken)
            axons += np.bincount(where, minlength=count)
            if entry.origin == name:
                reach = reach + np.bincount(source, minlength=one.size)
            for kind in (0, 1):
                there = np.bincount(where[sparse == kind], minlength=count) > 0
                formats[entry.format, kind] = there | formats.get((entry.format, kind), False)
        sent = np.bincount(core, weights=reach, minlength=count).astype(np.int64)
        kinds = np.sum([np.zeros(count, dtype=np.int64), *formats.values()], axis=0)
        decays = _distinct(core, np.stack(np.broadcast_arrays(one.du, one.dv, core)[:2]))
        thresholds = _distinct(core, np.stack(np.broadcast_arrays(one.vth, core)[:1]))
        return np.stack([span, words, axons, sent, decays, thresholds, kinds], axis=1)

    def _reach(self, name: str) -> IntArray:
        """Output axons of every neuron to other populations."""
        reach = np.zeros(self._population(name).size, dtype=np.int64)
        for one in (one for one in self.lists if one.origin == name and one.into != name):
            _, source, _ = one.axons(self._core(one.into, self.counts[one.into]))
            reach += np.bincount(source, minlength=reach.size)
        return reach

    def _smallest(self, name: str) -> int:
        """The smallest number of cores that is found, by doubling and then halving the distance."""
        reach, size = self._reach(name), self._population(name).size

        def fits(count: int) -> bool:
            return bool(np.all(self._usage(name, count, reach) <= self.limits.each))

        low = count = self.counts[name]
        while name not in self.violations and not fits(count):
            if count == size:
                self._refuse(name, self._usage(name, size, reach))
                return self.counts[name]
            low, count = count, min(size, 2 * count)
        while count - low > 1:
            middle = (low + count) // 2
            low, count = (low, middle) if fits(middle) else (middle, count)
        return count

    def _refuse(self, name: str, alone: IntArray) -> None:
        """Notes what neurons take that is too much for a core of their own."""
        found = []
        for (key, title), used, most in zip(RESOURCES.items(), alone.T, self.limits.each, strict=True):
            if np.any(used > most):
                worst, many = int(np.argmax(used)), np.count_nonzero(used > most)
                text = f"{used[worst]} (neuron {worst}; {many} of {used.size} neurons take too many)"
                fix = FIXES[key].format(used[worst] - most)
                found.append(Violation(name, f"{title} of one neuron", text, str(most), fix))
        self.violations[name] = tuple(found)

    def _population(self, name: str) -> Population:
        return next(one for one in self.plan.populations if one.name == name)


def _distinct(core: IntArray, values: IntArray) -> IntArray:
    """Number of different columns of ``values`` [n, size] on every core."""
    _, kind = np.unique(values, axis=1, return_inverse=True)
    kinds = int(kind.max()) + 1
    pairs = np.unique(core * kinds + kind.reshape(-1))
    return np.bincount(pairs // kinds, minlength=int(core[-1]) + 1)
