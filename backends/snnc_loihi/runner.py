"""Runs a plan on samples: groups that share one Lava run, and a second run for those that an echo reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError
from snnc.ir import FixedGraph
from snnc.trace import Probes, Trace
from snnc_loihi import compat
from snnc_loihi.plan import Plan
from snnc_loihi.timeline import Timeline

CHUNK = 512
MEMORY = 1 << 29
"""Bytes that one Lava run may record and play."""


def run_plan(plan: Plan, graph: FixedGraph, spikes: npt.NDArray[Any], probes: Probes) -> Trace:
    """Runs samples on Lava.

    Args:
        plan: the processes.
        graph: what they were made of.
        spikes: [B, T, *shape], 0 or 1.
        probes: what to record.

    Returns:
        Spikes of populations and inputs, u and v of probed neurons, in logical time; ``meta["again"]`` counts the
        samples that were run a second time, alone.

    Raises:
        TraceError: the input has the wrong shape.
        SnncError: Lava is missing or one of its processes failed.
    """
    inputs = graph.inputs
    if len(inputs) != 1 or spikes.ndim < 2 or spikes.shape[2:] != inputs[0].shape:
        allowed = f"[B, T, *{inputs[0].shape}]" if len(inputs) == 1 else f"one input, not {len(inputs)}"
        raise TraceError(f"input shape is {spikes.shape}, allowed is {allowed}")
    if not np.all((spikes == 0) | (spikes == 1)):
        raise TraceError("Lava's binary synapses take 0 or 1")
    states = frozenset(p.name for p in plan.populations if probes.wants_states(p.name))
    trace = _Collected(plan, spikes, probes, states)
    again: list[int] = []
    for group in _groups(plan, spikes, states):
        again += trace.add(group)
    for sample in again:
        trace.add(np.array([sample]))
    return Trace("loihi", graph.target, trace.spikes, trace.states, {"again": len(again)})


def _groups(plan: Plan, spikes: npt.NDArray[Any], states: frozenset[str]) -> Iterator[npt.NDArray[np.int64]]:
    samples, steps = spikes.shape[:2]
    period = Timeline.of(plan, 1, steps).period
    row = sum(4 * s.size for s in plan.sources) + sum(p.size * (9 if p.name in states else 1) for p in plan.populations)
    size = max(1, min(CHUNK, MEMORY // max(1, row * period)))
    for start in range(0, samples, size):
        yield np.arange(start, min(samples, start + size))


class _Collected:
    """Arrays of a trace, filled sample by sample."""

    def __init__(self, plan: Plan, spikes: npt.NDArray[Any], probes: Probes, states: frozenset[str]) -> None:
        self.plan, self.given, self.wanted = plan, spikes, states
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

    def add(self, samples: npt.NDArray[np.int64]) -> list[int]:
        """Runs these samples and stores them; returns those that an earlier one disturbed."""
        compat.activate()
        from snnc_loihi.sim.network import simulate

        timeline = Timeline.of(self.plan, len(samples), self.given.shape[1])
        with compat.quiet():
            recorded = simulate(self.plan, timeline, self.given[samples], self.wanted)
        for one in self.plan.populations:
            found = recorded[one.name]
            if one.name in self.spikes:
                self.spikes[one.name][samples] = timeline.cut(found["s"], one.latency, one.shape)
            for key in ("u", "v") if one.name in self.wanted else ():
                self.states[one.name, key][samples] = timeline.cut(found[key], one.latency, one.shape)
        clean = timeline.clean(self.plan, {name: found["s"] for name, found in recorded.items()})
        return [int(sample) for sample in samples[~clean]]
