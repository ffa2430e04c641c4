"""Executes a plan in NumPy: matrix products over many steps at once, then one step of all samples after the other.

It needs no compiler and shares no code with the kernels. Arrays are time-major: [steps, B, neurons] in engine order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import neurons, windows
from snnc.engine.chains import ChainRun
from snnc.engine.given import check_forced, check_input
from snnc.engine.plan import Chain, Group, Plan, Population, Way
from snnc.engine.products import Prepared, largest
from snnc.engine.record import Recorder
from snnc.engine.signals import Sent, note
from snnc.ir import IntArray
from snnc.trace import Probes, Trace

Numbers = npt.NDArray[Any]
MEMORY = 1 << 27
"""Bytes that a chunk of samples may take, roughly."""


class Executor:
    """A plan with its weights in the types that multiply; runs any number of times."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._prepared: dict[tuple[int, int], Prepared] = {}

    def prepared(self, index: int, number: int) -> Prepared:
        """A way of a population, ready to multiply."""
        key = (index, number)
        if key not in self._prepared:
            p = self.plan.populations[index]
            self._prepared[key] = Prepared(p.ways[number].operator, p.size)
        return self._prepared[key]

    def run(
        self,
        spikes: Numbers,
        probes: Probes | None = None,
        forced: Mapping[str, Numbers] | None = None,
        worst: dict[str, list[int]] | None = None,
    ) -> Trace:
        """Runs samples; see :func:`run`.

        Args:
            spikes: [B, T, *shape].
            probes: what to record.
            forced: population -> what its targets see instead of what it sends.
            worst: population -> largest magnitude of each accumulator; filled if given.
        """
        plan = self.plan
        given = check_input(plan, spikes)
        replaced = check_forced(plan, forced, given.shape[:2])
        recorder = Recorder(plan, probes or Probes(), given.shape[0], given.shape[1])
        step = chunk(plan, given.shape[1])
        for low in range(0, given.shape[0], step):
            some = {name: values[low : low + step] for name, values in replaced.items()}
            Chunk(self, given[low : low + step], some, recorder, low, worst).run()
        return recorder.trace("dense")


class Chunk:
    """One run over a few samples."""

    def __init__(
        self, executor: Executor, given: Numbers, forced: Mapping[str, Numbers], recorder: Recorder, offset: int,
        worst: dict[str, list[int]] | None,
    ) -> None:  # fmt: skip
        plan = executor.plan
        self.plan, self.prepared, self.recorder, self.offset = plan, executor.prepared, recorder, offset
        self.given, self.forced, self.worst = given, forced, worst
        self.batch, self.steps = given.shape[:2]
        self.end = self.steps + plan.depth
        self.populations = list(plan.populations)
        if any(p.kind == "constant" and p.name in forced for p in plan.populations):
            self.populations = [windows.widened(p, plan.conventions, plan.depth) for p in plan.populations]
        self.index = {p.name: i for i, p in enumerate(self.populations)}
        self.sent: dict[int, Sent] = {}

    def run(self) -> None:
        """Runs all groups and records what is wanted."""
        self.sources()
        for group in self.plan.groups:
            self.group(group)

    def sources(self) -> None:
        """Takes what is given."""
        for i, p in enumerate(self.populations):
            if p.kind in ("input", "constant"):
                self._source(i)

    def group(self, group: Group) -> None:
        """Runs one group whose sources have run."""
        if group.loop:
            self._loop(group)
        elif group.members[0] not in self.sent:
            self._alone(group.members[0])

    def _source(self, index: int) -> None:
        p = self.populations[index]
        if p.kind == "constant":
            steps = self.end - p.latency
            self.sent[index] = Sent(p.latency, np.ones((steps, self.batch, p.size), dtype=np.int8), 1)
        else:
            flat = self.given.reshape(self.batch, self.steps, -1).swapaxes(0, 1)
            self.sent[index] = Sent(p.latency, flat if p.order is None else flat[..., p.order])
        sent = self.sent[index].between(p.latency, p.latency + self.steps)
        self.recorder.spikes(p, self.offset, 0, sent)
        self.force(index)

    def force(self, index: int) -> None:
        """Replaces what a population sent, if somebody asked for it."""
        p = self.populations[index]
        if p.name in self.forced:
            values = self.forced[p.name].reshape(self.batch, self.steps, -1).swapaxes(0, 1)
            self.sent[index] = Sent(p.latency, values if p.order is None else values[..., p.order])

    def _alone(self, index: int) -> None:
        p = self.populations[index]
        low, high = p.first, p.first + self.steps + p.extra
        x = self.of_state(p, self.sums(index, low, high, range(len(p.ways))))
        drive: IntArray | None = None
        for chain in p.chains:
            values = self.chain(chain, p).fill(0, high, self.of_nodes)[low:]
            x, drive = _joined(chain, x, drive, values)
        stepped = Stepped(self, p)
        for step in range(low, high):
            stepped.step(step, x[step - low], None if drive is None else drive[step - low])
        self.sent[index] = stepped.sent
        self.force(index)

    def chain(self, chain: Chain, p: Population) -> ChainRun:
        """A chain over the steps of this run."""
        return ChainRun(chain, p, self.populations, self.plan.conventions, self.batch, self.end)

    def of_nodes(self, name: str, low: int, high: int) -> IntArray:
        """What a population sent, in row-major order of its shape."""
        index = self.index[name]
        p = self.populations[index]
        if index not in self.sent:
            return np.zeros((high - low, self.batch, *p.shape), dtype=np.int64)
        values = self.sent[index].padded(low, high)
        if p.order is not None:
            rows = np.empty_like(values)
            rows[..., p.order] = values
            values = rows
        return values.reshape(high - low, self.batch, *p.shape)

    def sums(self, index: int, low: int, high: int, ways: Sequence[int]) -> IntArray:
        """Sums of some ways on device steps: [steps, (2,) B, neurons], in the accumulator's unit."""
        p = self.populations[index]
        closed = self.plan.conventions.membrane != "euler" and p.kind == "neuron"
        split = self.plan.conventions.synapse == "split"
        lead = (high - low, 2, self.batch) if closed else (high - low, self.batch)
        x = np.zeros((*lead, p.size), dtype=np.int64)
        for number in ways:
            way = p.ways[number]
            self._add(x[:, way.receptor] if split else x, way, self.prepared(index, number), low, high)
        return x

    def of_state(self, p: Population, sums: IntArray) -> IntArray:
        """Sums in the unit in which the population takes them; the largest is noted on the way."""
        split = self.plan.conventions.synapse == "split"
        if self.worst is not None and p.ways:
            note(self.worst, p.name, list(np.moveaxis(sums, -3, 0)) if split else [sums])
        return sums if split else sums << p.shift

    def _add(self, x: IntArray, way: Way, prepared: Prepared, low: int, high: int) -> None:
        sent = self.sent.get(way.source)
        if sent is None:
            return
        a, b = sent.span(low - way.delay, high - way.delay)
        if a >= b:
            return
        values = sent.between(a, b)
        into = x[a + way.delay - low : b + way.delay - low]
        if self.populations[way.source].kind == "constant" and self.populations[way.source].name not in self.forced:
            into += prepared(values[0, :1], 1)
            return
        into += prepared(values.reshape(-1, values.shape[-1]), sent.top).reshape(into.shape)

    def _loop(self, group: Group) -> None:
        inside = set(group.members)
        running: dict[int, Member] = {}
        for index in group.members:
            running[index] = Member(self, index, inside)
        for step in range(self.end):
            for member in running.values():
                member.step(step)


class Stepped:
    """A population while it is stepped: its state, what it sent, what is recorded."""

    def __init__(self, run: Chunk, p: Population) -> None:
        self.run, self.p = run, p
        self.stepper = neurons.stepper(p, run.plan.conventions, run.batch)
        dtype = np.int64 if p.numbers else np.int8
        values = np.zeros((run.steps + p.extra, run.batch, p.size), dtype=dtype)
        self.sent = Sent(p.first, values, None if p.numbers else 1)

    def step(self, step: int, x: IntArray, drive: IntArray | None) -> None:
        """One device step inside the window."""
        p, run = self.p, self.run
        if step == p.restart:
            self.stepper.restart()
        sent = self.stepper.step(x, 0 if drive is None or step < p.latency else drive)
        self.sent.values[step - p.first] = sent
        if p.numbers:
            self.sent.top = max(self.sent.top, largest(sent))
        time = step - p.latency
        if 0 <= time < run.steps:
            run.recorder.step(p, run.offset, time, sent, self.stepper.state)


class Member:
    """One population of a loop."""

    def __init__(self, run: Chunk, index: int, inside: set[int]) -> None:
        self.run, self.index, self.p = run, index, run.populations[index]
        p = self.p
        self.low, self.high = p.first, p.first + run.steps + p.extra
        self.own = [i for i, way in enumerate(p.ways) if way.source in inside]
        others = [i for i in range(len(p.ways)) if i not in self.own]
        self.fixed = run.sums(index, self.low, self.high, others)
        self.chains = [(chain, run.chain(chain, p)) for chain in p.chains]
        self.stepped = Stepped(run, p)
        run.sent[index] = self.stepped.sent
        run.force(index)

    def step(self, step: int) -> None:
        """One device step; chains advance outside the window, too."""
        values = [(chain, made.fill(step, step + 1, self.run.of_nodes)[0]) for chain, made in self.chains]
        if not self.low <= step < self.high:
            return
        x = self.fixed[step - self.low]
        if self.own:
            x = x + self.run.sums(self.index, step, step + 1, self.own)[0]
        x = self.run.of_state(self.p, x)
        drive: IntArray | None = None
        for chain, value in values:
            x, drive = _joined(chain, x, drive, value)
        self.stepped.step(step, x, drive)


def run(
    plan: Plan, spikes: Numbers, probes: Probes | None = None, forced: Mapping[str, Numbers] | None = None
) -> Trace:
    """Executes a plan.

    Args:
        plan: what runs.
        spikes: [B, T, *shape], 0 or 1; analog values for a direct input.
        probes: what to record.
        forced: population -> [B, T, *shape] in logical time that its targets see instead of what it sends.

    Raises:
        TraceError: the input does not fit the plan.
    """
    return Executor(plan).run(spikes, probes, forced)


def worst_sums(plan: Plan, spikes: Numbers) -> dict[str, list[int]]:
    """Largest magnitude of each accumulator in a run: population -> by receptor, in the accumulator's unit.

    Args:
        plan: what runs.
        spikes: [B, T, *shape].
    """
    worst: dict[str, list[int]] = {}
    Executor(plan).run(spikes, Probes(spikes=()), None, worst)
    return worst


def chunk(plan: Plan, steps: int) -> int:
    """Samples that run at once, so that memory stays bounded."""
    each = 0
    for p in plan.populations:
        wide = 8 * (4 + 3 * len(p.chains)) * max(len(p.bounds), 1)
        each += (steps + plan.depth) * p.size * (wide if p.kind not in ("input", "constant") else 16)
    return max(1, MEMORY // max(each, 1))


def _joined(chain: Chain, x: IntArray, drive: IntArray | None, values: IntArray) -> tuple[IntArray, IntArray | None]:
    """What a chain adds to the input or to the drive."""
    if chain.drive:
        return x, values if drive is None else drive + values
    return x + values, drive
