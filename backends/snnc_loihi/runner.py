"""Runs a plan on samples: groups that share one Lava run, and a second run for those that an echo reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError
from snnc.ir import FixedGraph, IntArray
from snnc.trace import Probes, Trace
from snnc_loihi import compat
from snnc_loihi.copies import copies_that_pay, widened
from snnc_loihi.host import programs
from snnc_loihi.plan import Plan
from snnc_loihi.timeline import Timeline

CHUNK = 512
MEMORY = 1 << 29
"""Bytes that one Lava run may record and play."""
WORK = 1 << 20
"""Numbers that a step may touch in all copies of the network: beyond, a step takes longer than Lava's round trip."""
MUCH_WORK = 1 << 24
"""The same for samples that run again: each further run costs a start."""


def run_plan(plan: Plan, graph: FixedGraph, spikes: npt.NDArray[Any], probes: Probes) -> Trace:
    """Runs samples on Lava.

    Args:
        plan: the processes.
        graph: what they were made of.
        spikes: [B, T, *shape], 0 or 1; or analog values that do not change within a sample.
        probes: what to record.

    Returns:
        Spikes of populations and inputs, u and v of probed neurons, in logical time; ``meta["again"]`` counts the
        samples that were run a second time, each first in its copy.

    Raises:
        TraceError: the input has the wrong shape.
        UnsupportedError: analog values change within a sample.
        SnncError: Lava is missing or one of its processes failed.
    """
    inputs = graph.inputs
    if len(inputs) != 1 or spikes.ndim < 2 or spikes.shape[2:] != inputs[0].shape:
        allowed = f"[B, T, *{inputs[0].shape}]" if len(inputs) == 1 else f"one input, not {len(inputs)}"
        raise TraceError(f"input shape is {spikes.shape}, allowed is {allowed}")
    programmed: Mapping[str, IntArray] = {}
    if inputs[0].encoding == "direct":
        programmed = programs(plan, graph, spikes)
        spikes = np.zeros(spikes.shape, dtype=np.int8)
    elif not np.all((spikes == 0) | (spikes == 1)):
        raise TraceError("Lava's binary synapses take 0 or 1")
    states = frozenset(p.name for p in plan.populations if probes.wants_states(p.name))
    trace = _Collected(plan, spikes, probes, states, programmed)
    again = np.concatenate([trace.add(group, WORK) for group in _groups(plan, spikes, states)])
    waiting = again
    while waiting.size:
        # The first sample of every copy starts where nothing came before.
        count = copies_that_pay(plan, waiting.size, MUCH_WORK)
        trace.add(waiting[:count], MUCH_WORK)
        waiting = waiting[count:]
    return Trace("loihi", graph.target, trace.spikes, trace.states, {"again": int(again.size)})


def _groups(plan: Plan, spikes: npt.NDArray[Any], states: frozenset[str]) -> Iterator[npt.NDArray[np.int64]]:
    samples, steps = spikes.shape[:2]
    period = Timeline.of(plan, 1, steps).period
    row = sum(4 * s.size for s in plan.sources) + sum(p.size * (9 if p.name in states else 1) for p in plan.populations)
    size = max(1, min(CHUNK, MEMORY // max(1, row * period)))
    for start in range(0, samples, size):
        yield np.arange(start, min(samples, start + size))


class _Collected:
    """Arrays of a trace, filled sample by sample."""

    def __init__(
        self,
        plan: Plan,
        spikes: npt.NDArray[Any],
        probes: Probes,
        states: frozenset[str],
        programmed: Mapping[str, IntArray],
    ) -> None:
        self.plan, self.given, self.wanted, self.programmed = plan, spikes, states, programmed
        lead = spikes.shape[:2]
        self.spikes: dict[str, npt.NDArray[np.int8]] = {}
        for source in plan.sources:
            if probes.wants_spikes(source.name):
                ones = np.ones((*lead, *source.shape), dtype=np.int8)
                self.spikes[source.name] = ones if source.constant else spikes.astype(np.int8)
        for one in plan.populations:
            if probes.wants_spikes(one.name):
                self.spikes[one.name] = np.zeros((*lead, *one.shape), dtype=np.int8)
        self.states: dict[tuple[str, str], npt.NDArray[Any]] = {
            (p.name, key): np.zeros((*lead, *p.shape), dtype=np.int64)
            for p in plan.populations
            if p.name in states
            for key in ("u", "v")
        }

    def add(self, samples: npt.NDArray[np.int64], work: int) -> npt.NDArray[np.int64]:
        """Runs these samples and stores them; returns those that an earlier one disturbed.

        Args:
            samples: indices; sample ``slot * copies + r`` of them runs in copy r.
            work: numbers that a step may touch; sets how many copies run.
        """
        compat.activate()
        from snnc_loihi.sim.network import simulate

        copies = copies_that_pay(self.plan, len(samples), work)
        slots = -(-len(samples) // copies)
        wide, timeline = widened(self.plan, copies), Timeline.of(self.plan, slots, self.given.shape[1])
        given = np.zeros((slots * copies, *self.given.shape[1:]), dtype=np.int8)
        given[: len(samples)] = self.given[samples]
        played = given.reshape(slots, copies, *given.shape[1:]).swapaxes(1, 2)
        biases = {name: _rows(table[samples], slots, copies) for name, table in self.programmed.items()}
        with compat.quiet():
            recorded = simulate(wide, timeline, played, self.wanted, biases=biases)

        def cut(name: str, key: str, latency: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
            found = timeline.cut(recorded[name][key], latency, (copies, *shape)).swapaxes(1, 2)
            return found.reshape(slots * copies, -1, *shape)[: len(samples)]

        for one in self.plan.populations:
            if one.name in self.spikes:
                self.spikes[one.name][samples] = cut(one.name, "s", one.latency, one.shape)
            for key in ("u", "v") if one.name in self.wanted else ():
                self.states[one.name, key][samples] = cut(one.name, key, one.latency, one.shape)
        clean = timeline.clean(self.plan, {name: found["s"] for name, found in recorded.items()}, copies)
        return samples[~clean.reshape(-1)[: len(samples)]]


def _rows(table: IntArray, slots: int, copies: int) -> IntArray:
    """Biases [samples, size] as one row for each slot, copies side by side: [slots, copies * size]."""
    full = np.zeros((slots * copies, table.shape[1]), dtype=np.int64)
    full[: len(table)] = table
    return full.reshape(slots, -1)
