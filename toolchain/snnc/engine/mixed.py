"""Executes a plan in the compiled kernels, and in NumPy what they do not do: chains, and populations of other kinds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import dense, native
from snnc.engine.given import check_input
from snnc.engine.plan import Group, Plan, Population
from snnc.engine.record import Recorder, shown
from snnc.engine.signals import Sent, note
from snnc.trace import Probes, Trace

Numbers = npt.NDArray[Any]
SOURCES = ("input", "constant")


@dataclass(frozen=True)
class Segment:
    """Consecutive groups that run in one call of the kernels, or in NumPy."""

    event: bool
    groups: range


def segments(plan: Plan) -> tuple[Segment, ...]:
    """The groups of a plan in as few calls as possible: what chains read has to be there before the call."""
    names = {p.name: i for i, p in enumerate(plan.populations)}
    found: list[Segment] = []
    inside: set[int] = set()
    for number, group in enumerate(plan.groups):
        members = [plan.populations[i] for i in group.members]
        reads = {names[name] for p in members for chain in p.chains for name in chain.sources}
        event = all(native.executable(p) for p in members) and reads.isdisjoint(group.members)
        if event and found and found[-1].event and reads.isdisjoint(inside):
            found[-1] = Segment(True, range(found[-1].groups.start, number + 1))
        else:
            found.append(Segment(event, range(number, number + 1)))
            inside = set()
        inside |= {i for i in group.members if plan.populations[i].kind not in SOURCES}
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Route:
    """What every run of a plan asks again: where its input is, who is stepped, how a trace shows them and sources."""

    whole: bool
    source: int
    neurons: tuple[int, ...]
    shown: tuple[Population, ...]
    index: Mapping[str, int]
    views: Mapping[int, native.View]


@lru_cache(maxsize=16)
def route(plan: Plan) -> Route:
    """The route of a plan; the last ones are kept."""
    numbered = list(enumerate(plan.populations))
    return Route(
        native.whole(plan),
        next(i for i, p in numbered if p.kind == "input"),
        tuple(i for i, p in numbered if p.kind not in SOURCES),
        tuple(p for _, p in numbered if p.kind in SOURCES and shown(p) and not p.numbers),
        {p.name: i for i, p in numbered},
        {i: native.viewer(p) for i, p in numbered if p.kind not in SOURCES},
    )


def run(
    plan: Plan, executor: Callable[[Plan], dense.Executor], given: Numbers, probes: Probes,
    forced: Mapping[str, Numbers], threads: int, worst: dict[str, list[int]] | None,
) -> Trace:  # fmt: skip
    """Runs samples; see :func:`snnc.engine.run.execute`.

    Args:
        plan: what runs.
        executor: makes its dense executor, for what the kernels do not do.
        given: [B, T, *shape], integers.
        probes: what to record.
        forced: population -> spikes [B, T, *shape].
        threads: of the kernels.
        worst: filled with the largest magnitude of each accumulator, if given.
    """
    if route(plan).whole:
        return _whole(plan, given, probes, forced, threads, worst)
    check_input(plan, given)
    recorder = Recorder(plan, probes, given.shape[0], given.shape[1])
    parts = segments(plan)
    step = dense.chunk(plan, given.shape[1])
    for low in range(0, given.shape[0], step):
        some = {name: values[low : low + step] for name, values in forced.items()}
        chunk = dense.Chunk(executor(plan), given[low : low + step], some, recorder, low, worst)
        fill(chunk, parts, probes, threads)
    return recorder.trace("engine")


def fill(chunk: dense.Chunk, parts: Sequence[Segment] | None, probes: Probes, threads: int) -> None:
    """Runs all groups of a plan for a few samples.

    Args:
        chunk: takes what was sent, and records.
        parts: what the kernels run; None leaves everything to NumPy.
        probes: what to record.
        threads: of the kernels.
    """
    if parts is None:
        chunk.run()
        return
    chunk.sources()
    for part in parts:
        if part.event:
            _Call(chunk, part, probes, threads).run()
        else:
            for group in chunk.plan.groups[part.groups.start : part.groups.stop]:
                chunk.group(group)


class _Call:
    """One segment in the kernels, for one chunk of samples."""

    def __init__(self, chunk: dense.Chunk, part: Segment, probes: Probes, threads: int) -> None:
        self.chunk, self.part, self.probes, self.threads = chunk, part, probes, threads
        self.plan = chunk.plan
        groups: tuple[Group, ...] = self.plan.groups[part.groups.start : part.groups.stop]
        members = [i for group in groups for i in group.members]
        self.members = [i for i in members if self.plan.populations[i].kind not in SOURCES]

    def run(self) -> None:
        """Runs it, passes on what was sent, and records."""
        if not self.members:
            return
        plan, chunk = self.plan, self.chunk
        inside = set(self.members)
        recorded = {i for i in inside if self.probes.wants_states(plan.populations[i].name)}
        wishes = native.Wishes(inside, recorded, ranges=chunk.worst is not None)
        forced = {
            i: native.flat(p, chunk.forced[p.name]) for i, p in enumerate(plan.populations) if p.name in chunk.forced
        }
        found = native.execute(
            native.prepare(plan), self._given(inside, forced), chunk.steps, wishes, groups=self.part.groups,
            forced={i: values for i, values in forced.items() if i in inside or i in self._read(inside)},
            extra=self._extra(), threads=self.threads,
        )  # fmt: skip
        for i in self.members:
            self._keep(i, found)

    def _read(self, inside: Collection[int]) -> set[int]:
        """Populations that somebody inside listens to."""
        return {way.source for i in inside for way in self.plan.populations[i].ways}

    def _given(self, inside: Collection[int], forced: Collection[int]) -> dict[int, Numbers]:
        source = route(self.plan).source
        given = {source: native.flat(self.plan.populations[source], self.chunk.given)}
        for i in self._read(inside) - {source, *inside}:
            if i not in forced and self.plan.populations[i].kind != "constant":
                given[i] = self.chunk.sent[i].values.swapaxes(0, 1)
        return given

    def _extra(self) -> dict[int, native.Extra]:
        """Values of chains over the windows of their targets."""
        found: dict[int, native.Extra] = {}
        for i in self.members:
            p = self.plan.populations[i]
            values = {drive: self._chains(p, drive) for drive in (False, True)}
            if p.chains:
                found[i] = native.Extra(values[False], values[True])
        return found

    def _chains(self, p: Population, drive: bool) -> Numbers | None:
        total: Numbers | None = None
        high = p.first + self.chunk.steps + p.extra
        for chain in p.chains:
            if chain.drive == drive:
                values = self.chunk.chain(chain, p).fill(0, high, self.chunk.of_nodes)[p.first :]
                total = values if total is None else total + values
        if total is None:
            return None
        if drive:
            total[: max(0, p.latency - p.first)] = 0
        return np.moveaxis(total, -2, 0)

    def _keep(self, i: int, found: native.Result) -> None:
        chunk, p = self.chunk, self.plan.populations[i]
        sent = Sent(p.first, found.signals[i].swapaxes(0, 1), 1)
        chunk.sent[i] = sent
        chunk.recorder.spikes(p, chunk.offset, 0, sent.between(p.latency, p.latency + chunk.steps))
        logical = slice(p.latency - p.first, p.latency - p.first + chunk.steps)
        states = {name: values[:, logical] for (k, name), values in found.states.items() if k == i}
        chunk.recorder.block(p, chunk.offset, states)
        chunk.force(i)
        if chunk.worst is not None and p.ways:
            note(chunk.worst, p.name, list(found.ranges[i]))


def _whole(
    plan: Plan, given: Numbers, probes: Probes, forced: Mapping[str, Numbers], threads: int,
    worst: dict[str, list[int]] | None,
) -> Trace:  # fmt: skip
    """One call for the whole plan; the trace shows what the kernels wrote, and nothing is copied."""
    populations, ways = plan.populations, route(plan)
    wishes = native.Wishes(
        {i for i in ways.neurons if probes.wants_spikes(populations[i].name)},
        {i for i in ways.neurons if probes.wants_states(populations[i].name)}, ranges=worst is not None,
    )  # fmt: skip
    steps = given.shape[1]
    found = native.execute(
        native.prepare(plan), {ways.source: native.flat(populations[ways.source], given)}, steps, wishes,
        forced={ways.index[name]: native.flat(populations[ways.index[name]], a) for name, a in forced.items()},
        threads=threads, binary={ways.source},
    )  # fmt: skip
    spikes = {populations[i].name: ways.views[i](steps, a) for i, a in found.signals.items()}
    for p in ways.shown:
        if probes.wants_spikes(p.name):
            one = p.kind == "constant"
            ones = np.ones((*given.shape[:2], *p.shape), dtype=np.int8) if one else given.astype(np.int8, copy=False)
            spikes[p.name] = ones.view()  # a trace is read-only, what the user gave is not
    states = {(populations[i].name, name): ways.views[i](steps, a) for (i, name), a in found.states.items()}
    if worst is not None:
        for i in ways.neurons:
            if populations[i].ways:
                note(worst, populations[i].name, list(found.ranges[i]))
    return Trace("engine", plan.target, spikes, states)
