"""Recordings of a run in logical time, as every executor's trace has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.plan import Plan, Population
from snnc.ir import IntArray
from snnc.trace import Probes, Trace

Numbers = npt.NDArray[Any]
STATES: dict[str, tuple[str, ...]] = {
    "neuron": ("u", "v"), "atrlif": ("u", "v", "theta", "r"), "sigma": ("sigma", "s"),
    "delta": ("act", "residue", "error", "s"), "sigmadelta": ("sigma", "act", "residue", "error", "s"),
    "input": (), "constant": (),
}  # fmt: skip


def states_of(p: Population, split: bool) -> tuple[str, ...]:
    """Names of the states that a trace shows."""
    return ("u_exc", "u_inh", "v") if split and p.kind == "neuron" else STATES[p.kind]


def shown(p: Population) -> bool:
    """False for a population that the graph does not have."""
    return not p.name.startswith("/")


class Recorder:
    """Arrays of a trace while they are filled."""

    def __init__(self, plan: Plan, probes: Probes, batch: int, steps: int) -> None:
        self.plan = plan
        split = plan.conventions.membrane != "euler"
        kind = np.float64 if plan.conventions.membrane == "float32" else np.int64
        self._spikes: dict[str, npt.NDArray[np.int8]] = {}
        self._states: dict[tuple[str, str], IntArray] = {}
        for p in filter(shown, plan.populations):
            if probes.wants_spikes(p.name) and not p.numbers:
                self._spikes[p.name] = np.zeros((batch, steps, p.size), dtype=np.int8)
            if probes.wants_states(p.name):
                for name in states_of(p, split):
                    self._states[p.name, name] = np.zeros((batch, steps, p.size), dtype=kind)

    def spikes(self, p: Population, offset: int, first: int, sent: IntArray) -> None:
        """What a population sent on consecutive logical steps, [steps, B, neurons] in engine order."""
        if p.name in self._spikes:
            rows = self._spikes[p.name][offset : offset + sent.shape[1], first : first + sent.shape[0]]
            _store(rows, sent.swapaxes(0, 1), p.order)

    def step(self, p: Population, offset: int, time: int, sent: IntArray, states: Mapping[str, IntArray]) -> None:
        """One logical step: what was sent and the states, [B, neurons] in engine order."""
        batch = slice(offset, offset + sent.shape[0])
        if p.name in self._spikes:
            _store(self._spikes[p.name][batch, time], sent, p.order)
        for name, values in states.items():
            if (p.name, name) in self._states:
                _store(self._states[p.name, name][batch, time], values, p.order)

    def block(self, p: Population, offset: int, states: Mapping[str, Numbers]) -> None:
        """States of all logical steps, [B, T, neurons] in engine order."""
        for name, values in states.items():
            if (p.name, name) in self._states:
                _store(self._states[p.name, name][offset : offset + values.shape[0]], values, p.order)

    def trace(self, backend: str) -> Trace:
        """What was recorded, in the shapes of the populations."""
        shapes = {p.name: p.shape for p in self.plan.populations}
        spikes = {name: a.reshape(*a.shape[:2], *shapes[name]) for name, a in self._spikes.items()}
        states = {key: a.reshape(*a.shape[:2], *shapes[key[0]]) for key, a in self._states.items()}
        return Trace(backend, self.plan.target, spikes, states)


def _store(into: IntArray | npt.NDArray[np.int8], values: Numbers, order: IntArray | None) -> None:
    if order is None:
        into[...] = values
    else:
        into[..., order] = values
