"""How many neurons share a core where delays are long: rings, stages, and what the tools and their program can hold.

Up to 128 steps wait in the ring buffers of up to 64 neurons a core. Beyond, a delay-extension core takes whole stages.
Three limits decide how many neurons a core may then have; a population gets fewer, and with them a longer ring and
fewer stages, until all of them hold:

- the tools make at most 8 stages, and one length of stage per source (``DelayExtensionVertex``);
- ``delay_extension.aplx`` keeps a byte per neuron and step: :func:`held` neurons a core fit its memory;
- with two stages and more, the tools number the rows of delayed synapses by the slices of the population behind
  (``get_synapses`` in ``synapse_io.py``), the program by those before. They agree if both have equal slices and the
  last one is full; with anything else synapses end up at wrong neurons. One stage is always right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snnc_spinnaker.delay_core import slots, stages
from snnc_spinnaker.ring import Layout

PER_CORE = 256
"""Neurons of a slice at most."""
INDEX_BITS = 13
"""Bits that neurons and delays share in a ring's index, beside one for the receptor."""
RING_BITS = 7
"""Delays up to 2**7 steps take fewer neurons a core rather than an extension."""
STAGES = 8
MEMORY = 58_368
"""Bytes that the program was seen to take for spikes; with 1,024 more it gives up."""
OVERHEAD = 12
"""Bytes of a slot besides its neurons: a pointer and the header of its block."""


def held(count: int, reach: int) -> int:
    """Neurons of a slice for which a delay-extension core has memory."""
    return max(0, min(PER_CORE, (MEMORY // slots(count, reach) - OVERHEAD) // 4 * 4))


def memory(size: int, count: int, reach: int) -> int:
    """Bytes of data memory that spikes of a slice take in its delay-extension core."""
    return slots(count, reach) * (-(-size // 4) * 4 + OVERHEAD)


def beyond(delay: int, longest: int) -> str:
    """What helps where a delay is longer than delay extensions take."""
    return (
        f"Shorten it by {delay - longest} steps, or pass the spikes on through a population of its own: "
        f"a delay-extension core has memory for 2047 steps of up to {held(1, 1024)} neurons."
    )


@dataclass(frozen=True)
class Plan:
    """Who has how many neurons on a core.

    Attributes:
        layouts: population -> its ring.
        per_core: source -> neurons of a slice.
    """

    layouts: Mapping[str, Layout]
    per_core: Mapping[str, int]


def plan(populations: Mapping[str, int], sources: Mapping[str, int], delays: Mapping[tuple[str, str], int]) -> Plan:
    """Chooses the slices; narrower ones only where delays ask for it.

    Args:
        populations: name -> neurons.
        sources: name -> neurons.
        delays: (population or source, population) -> longest delay in steps.
    """
    search = _Search(populations, sources, delays)
    for name in populations:
        search.bits[name] = min(
            _bits(min(populations[name], PER_CORE)), INDEX_BITS - min(search.needed(name), RING_BITS)
        )
    while (wide := search.too_wide()) is not None:
        search.bits[wide] -= 1
    layouts = {name: Layout(search.bits[name], search.reach_bits(name)) for name in populations}
    return Plan(layouts, {name: search.slice_of(name) for name in sources})


def _bits(count: int) -> int:
    return (count - 1).bit_length()


@dataclass
class _Search:
    """Neuron bits of populations on their way down; each step makes rings longer, and without stages all is well."""

    populations: Mapping[str, int]
    sources: Mapping[str, int]
    delays: Mapping[tuple[str, str], int]
    bits: dict[str, int] = field(default_factory=dict)

    def needed(self, name: str) -> int:
        """Delay bits for the longest delay into a population."""
        return max(1, _bits(max((d for (_, target), d in self.delays.items() if target == name), default=1)))

    def reach_bits(self, name: str) -> int:
        return min(self.needed(name), INDEX_BITS - self.bits[name])

    def extended(self, source: str) -> list[str]:
        """Populations to which some delay is longer than their ring."""
        return [target for (name, target), d in self.delays.items() if name == source and d > self._reach(target)]

    def slice_of(self, name: str) -> int:
        """Neurons of a slice; a source has as many as its delay extension can follow."""
        if name in self.populations:
            return min(self.populations[name], 1 << self.bits[name])
        most, late = min(self.sources[name], PER_CORE), self.extended(name)
        if not late:
            return most
        if self._stages(name, late) > 1:
            return min(most, self.slice_of(late[0]))
        return min(most, held(1, self._reach(late[0])))

    def too_wide(self) -> str | None:
        """A population that must have fewer neurons a core, or None if everything holds."""
        for source in dict.fromkeys(name for name, _ in self.delays):
            late = self.extended(source)
            wide = self._wide(source, late) if late else None
            if wide is not None:
                return wide
        return None

    def _wide(self, source: str, late: list[str]) -> str | None:
        longest = max(self._reach(target) for target in late)
        for target in late:
            if self._reach(target) < longest:
                return target
        count, size = self._stages(source, late), self.slice_of(source)
        if count > STAGES:
            return late[0]
        if count > 1:
            return self._misaligned(source, late) or (late[0] if size > held(count, longest) else None)
        return source if size > held(count, longest) else None

    def _misaligned(self, source: str, late: list[str]) -> str | None:
        """Who must give way so that slices before and behind are equal and full."""
        mine = self.slice_of(source)
        whole = self.populations.get(source) or self.sources[source]
        for target in late:
            theirs = self.slice_of(target)
            if mine > theirs:
                return source if source in self.populations else late[0]
            if mine < theirs or whole % mine:
                return target
        return None

    def _reach(self, name: str) -> int:
        return 1 << self.reach_bits(name)

    def _stages(self, source: str, late: list[str]) -> int:
        return max(stages(self.delays[source, target], self._reach(target)) for target in late)
