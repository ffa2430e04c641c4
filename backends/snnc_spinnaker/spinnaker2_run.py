"""The tick of SpiNNaker2's LIF programs in float32, over a batch.

A tick first puts every packet of the tick before into the ring ``delay`` slots ahead, then takes its own slot, so that
a delay of 0 means one step. Source: specs/spinnaker.md section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.ir import IntArray
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


@dataclass
class State:
    """A population: v, exc and inh [B, n], and the ring [slots, 2, B, n]."""

    v: Single
    current: Single
    ring: Single


def run(
    cells: Mapping[str, tuple[Cell, int]], synapses: Sequence[Synapses], spikes: Mapping[str, npt.NDArray[Any]]
) -> dict[str, tuple[npt.NDArray[np.int8], Single]]:
    """Runs a network from its start state.

    Args:
        cells: population -> parameters and number of neurons.
        synapses: between populations and inputs.
        spikes: input -> [B, T, n], 0 or 1.

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
        sent |= {name: given[:, time] for name, given in spikes.items()}
    return found


def _start(cell: Cell, shape: tuple[int, int]) -> State:
    slots = LIMITS["delay"].value + 1
    v = np.full(shape, cell.v_init, dtype=np.float32)
    return State(v, np.zeros((2, *shape), np.float32), np.zeros((slots, 2, *shape), np.float32))


def _arrive(ring: Single, time: int, synapses: Synapses, sent: npt.NDArray[Any]) -> None:
    slot = ring[(time + (synapses.delay or 0)) % len(ring)]
    for receptor, sign in enumerate((1, -1)):
        magnitude = np.maximum(sign * synapses.weight, 0).astype(np.float32)
        slot[receptor] += sent.astype(np.float32) @ magnitude.T


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
