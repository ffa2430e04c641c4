"""The ways in which integers are executed here, behind one call: the fast executor if it is there, and the reference.

``compared`` proves that they agree before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from snnc.compare import compare
from snnc.ir import FixedGraph
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute as definition
from workloads import Spikes

Runner = Callable[[Spikes, Probes, int], Trace]
"""(spikes [B, T, *shape], probes, threads) -> trace."""

EVERYTHING = Probes(states="all")
REFERENCE = "reference"
FAST = ("event", "dense")


def installed() -> bool:
    """Whether the fast executor is part of this snnc."""
    return find_spec("snnc.engine.run") is not None


def absent() -> str:
    """Why there are no compiled kernels; empty if they are there."""
    if not installed():
        return "the fast executor is not part of this snnc"
    from snnc.engine import library

    found = library.state()
    return "" if isinstance(found, library.Kernels) else found.reason


def runners(graph: FixedGraph) -> dict[str, Runner]:
    """Name -> how to run the graph; everything that is made once is made here. The first one is what users run."""
    found: dict[str, Runner] = {}
    if installed():
        found |= {name: _fast(graph, name) for name in FAST if name == "dense" or not absent()}
    found[REFERENCE] = lambda spikes, probes, _threads: definition(graph, spikes, probes)
    return found


def _fast(graph: FixedGraph, name: str) -> Runner:
    from snnc.engine import planner, run

    made = planner.plan(graph)
    return lambda spikes, probes, threads: run.execute(made, spikes, probes, engine=name, threads=threads)


def compared(candidates: Mapping[str, Runner], spikes: Spikes, few: int = 1) -> list[str]:
    """Differences between the candidates, in words; empty if there are none.

    The first ``few`` samples are compared in every spike and state with the reference; all samples in every spike
    with the first candidate, on one and on two threads.

    Args:
        candidates: name -> how to run, the reference among them.
        spikes: [B, T, *shape].
        few: samples for the reference.
    """
    wrong: list[str] = []
    want = candidates[REFERENCE](spikes[:few], EVERYTHING, 1)
    fast = {name: run for name, run in candidates.items() if name != REFERENCE}
    for name, run in fast.items():
        wrong += _difference(name, want, run(spikes[:few], EVERYTHING, 1))
    first: Trace | None = None
    for name, run in fast.items():
        for threads in (1, 2):
            trace = run(spikes, Probes(), threads)
            if first is None:
                first = trace
            wrong += _spike_difference(f"{name}, {threads} threads, {len(spikes)} samples", first, trace)
    return wrong


def _difference(name: str, want: Trace, got: Trace) -> list[str]:
    missing = [str(key) for key in want.states if key not in got.states]
    found = _spike_difference(name, want, got) + [f"{name}: state {key} was not recorded" for key in missing]
    if not found and not (result := compare(want, got)).equal:
        found.append(f"{name}: {result.text}")
    return found


def _spike_difference(name: str, want: Trace, got: Trace) -> list[str]:
    wrong = []
    for population, spikes in want.spikes.items():
        other: Any = got.spikes.get(population)
        if other is None or other.shape != spikes.shape:
            wrong.append(f"{name}: spikes of {population} are {None if other is None else other.shape}")
        elif not np.array_equal(spikes, other):
            wrong.append(f"{name}: {int(np.sum(spikes != other))} spikes of {population} differ")
    return wrong
