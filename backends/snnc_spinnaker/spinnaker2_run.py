"""The tick of SpiNNaker2's LIF programs in float32, over a batch.

A tick first puts every packet of the tick before into the ring ``delay`` slots ahead, then takes its own slot, so that
a delay of 0 means one step. Source: specs/spinnaker.md section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.ir import IntArray
from snnc_spinnaker.connect import Connections
from snnc_spinnaker.spinnaker2 import LIMITS, Cell

Single = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Synapses:
    """Weights between two populations.

    Attributes:
        source, target: names.
        weight: (n_target, n_source) integers.
        delay: 0 to 7 steps beyond the one that every spike takes; None for words without delay.
    """

    source: str
    target: str
    weight: IntArray
    delay: int | None = None

    def __post_init__(self) -> None:
        wide = self.delay is None
        levels = LIMITS["weight without delay" if wide else "weight with delay"].value
        worst = int(np.abs(self.weight).max(initial=0))
        found = []
        if worst > levels:
            allowed = f"at most {levels} {'without' if wide else 'with'} delay"
            found.append(Violation(self.target, f"weight from {self.source}", str(worst), allowed))
        longest = LIMITS["delay"].value
        if self.delay is not None and not 0 <= self.delay <= longest:
            found.append(Violation(self.target, f"delay from {self.source}", str(self.delay), f"0 to {longest}"))
        if found:
            raise UnsupportedError("SpiNNaker2 has no such synapses", violations=tuple(found))

    def deliver(self, sent: npt.NDArray[Any]) -> Single:
        """Excitatory and inhibitory sums [2, B, n_target] of one step's spikes [B, n_source]; whole numbers."""
        given = sent.astype(np.float32)
        parts = [given @ np.maximum(sign * self.weight, 0).astype(np.float32).T for sign in (1, -1)]
        return np.stack(parts).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Wires:
    """Weights between two populations as connection lists, one per receptor (None: no synapse).

    Attributes:
        source, target, delay: as in :class:`Synapses`.
        links: excitatory and inhibitory magnitudes.
    """

    source: str
    target: str
    links: tuple[Connections | None, Connections | None]
    delay: int | None = None

    def deliver(self, sent: npt.NDArray[Any]) -> Single:
        """As in :class:`Synapses`."""
        size = next(each for each in self.links if each is not None).sizes[1]
        nothing = np.zeros((len(sent), size))
        return np.stack([nothing if x is None else x.deliver(sent) for x in self.links]).astype(np.float32)


class Arrivals(Protocol):
    """What :func:`run` takes as synapses."""

    @property
    def source(self) -> str:
        """Population that sends."""

    @property
    def target(self) -> str:
        """Population that is driven."""

    @property
    def delay(self) -> int | None:
        """Steps beyond the one that every spike takes."""

    def deliver(self, sent: npt.NDArray[Any]) -> Single:
        """Sums of one step's spikes."""


@dataclass
class State:
    """A population: v, exc and inh [B, n], and the ring [slots, 2, B, n]."""

    v: Single
    current: Single
    ring: Single


def run(
    cells: Mapping[str, tuple[Cell, int]],
    synapses: Sequence[Arrivals],
    spikes: Mapping[str, npt.NDArray[Any]],
    seen: Callable[[int, Mapping[str, State]], None] | None = None,
) -> dict[str, tuple[npt.NDArray[np.int8], Single]]:
    """Runs a network from its start state.

    Args:
        cells: population -> parameters and number of neurons.
        synapses: between populations and inputs.
        spikes: input -> [B, T, n], 0 or 1.
        seen: called after each tick with its number and every population's state.

    Returns:
        Population -> spikes [B, T, n] and v after each step, in device time.

    Raises:
        InputError: no input is given.
    """
    if not spikes:
        raise InputError("a run needs the spikes of at least one input")
    batch, steps = next(iter(spikes.values())).shape[:2]
    states = {name: _start(cell, (batch, size)) for name, (cell, size) in cells.items()}
    found = {
        name: (np.zeros((batch, steps, size), np.int8), np.zeros((batch, steps, size), np.float32))
        for name, (_, size) in cells.items()
    }
    sent: dict[str, npt.NDArray[Any]] = {}
    for time in range(steps):
        for each in synapses:
            if each.source in sent:
                _arrive(states[each.target].ring, time, each, sent[each.source])
        for name, (cell, _) in cells.items():
            fired = _step(cell, states[name], time)
            found[name][0][:, time], found[name][1][:, time] = fired, states[name].v
            sent[name] = fired
        if seen is not None:
            seen(time, states)
        sent |= {name: given[:, time] for name, given in spikes.items()}
    return found


def _start(cell: Cell, shape: tuple[int, int]) -> State:
    slots = LIMITS["delay"].value + 1
    v = np.full(shape, cell.v_init, dtype=np.float32)
    return State(v, np.zeros((2, *shape), np.float32), np.zeros((slots, 2, *shape), np.float32))


def _arrive(ring: Single, time: int, synapses: Arrivals, sent: npt.NDArray[Any]) -> None:
    slot = ring[(time + (synapses.delay or 0)) % len(ring)]
    slot += synapses.deliver(sent)


def _step(cell: Cell, state: State, time: int) -> npt.NDArray[np.bool_]:
    slot = state.ring[time % len(state.ring)]
    state.current = np.float32(cell.syn_decay) * state.current + slot
    slot[...] = 0
    moved = np.float32(cell.alpha_decay) * state.v + (state.current[0] - state.current[1])
    moved = moved + np.float32(cell.i_offset)
    fired = moved >= np.float32(cell.threshold)
    after = moved - np.float32(cell.threshold) if cell.reset == "subtract" else np.float32(cell.v_reset)
    state.v = np.where(fired, after, moved).astype(np.float32)
    return np.asarray(fired)
