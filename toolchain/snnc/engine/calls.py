"""One call of the kernels: arguments from arrays, room for results, and what came back."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import library
from snnc.engine.attach import ALIGNMENT, Prepared
from snnc.engine.layout import CALL, HIGHEST, LEFT_WIDTH, LOWEST, NOT_SPIKES, PORT
from snnc.engine.plan import Population
from snnc.errors import FormatError, TraceError

Array = npt.NDArray[Any]
STREAMED = 1 << 20
"""States of at least so many bytes are written past the caches, which they would fill."""
SCRATCH_LIMIT = 1 << 28
"""Scratch memory of one thread is kept below this by smaller chunks."""
NO_SPIKE = "a spike is none of -1, 0 and 1"
AT = {name: column for column, name in enumerate(PORT)}
CHUNK, SCRATCH = CALL.index("chunk"), CALL.index("scratch")


@dataclass(frozen=True, eq=False)
class Extra:
    """What is added from outside to one population, over its window, in engine order.

    Attributes:
        x: int64 [B, window, neurons] in state units under ``euler``; [B, window, 2, neurons] in ring units under
            ``closed_form`` and ``float32``.
        drive: int64 [B, window, neurons], beside the bias.
    """

    x: Array | None = None
    drive: Array | None = None


@dataclass(frozen=True)
class Wishes:
    """What a run returns.

    Attributes:
        signals: indices of populations whose spikes are returned.
        states: indices of populations whose states are returned.
        ranges: the smallest and largest sum of each accumulator.
        counts: events and synapses of each way.
    """

    signals: Collection[int] = ()
    states: Collection[int] = ()
    ranges: bool = False
    counts: bool = False


@dataclass(frozen=True, eq=False)
class Result:
    """What a run returned, over windows and in engine order.

    Attributes:
        signals: population -> int8 [B, window, neurons].
        states: (population, name) -> int32 or int64 [B, window, neurons]; float64 of membranes in float32.
        ranges: population -> int64 [receptors, 2], in the unit of the accumulator.
        counts: int64 [ways, 2]: events and synapses touched, ways of all populations in order.
    """

    signals: Mapping[int, Array] = field(default_factory=dict)
    states: Mapping[tuple[int, str], Array] = field(default_factory=dict)
    ranges: Mapping[int, Array] = field(default_factory=dict)
    counts: Array | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """What one thread executes: the fields of its call, its ports, and where it counts."""

    call: array[int]
    ports: array[int]
    size: int
    ranges: Array | None
    counts: Array | None


def executable(population: Population) -> bool:
    """True if the kernels step this kind of population; what chains add must be given to them."""
    return population.kind in ("input", "constant", "neuron")


def _template(prepared: Prepared, groups: range, given: frozenset[int], forced: frozenset[int]) -> array[int]:
    """Ports that say what runs and whose events are listed.

    Raises:
        TraceError: somebody listens to a population that neither runs nor is given.
    """
    key = (groups, given, forced)
    if key in prepared.templates:
        return prepared.templates[key][:]
    populations = prepared.plan.populations
    ports = array("q", bytes(8 * len(PORT) * len(populations)))
    members = {k for group in prepared.plan.groups[groups.start : groups.stop] for k in group.members}
    inside = {k for k in members if executable(populations[k])}
    missing = []
    for k, p in enumerate(populations):
        runs = k in inside and not (k in given and p.kind == "neuron")
        heard = not prepared.consumers[k].isdisjoint(inside)
        ports[k * len(PORT) + AT["run"]], ports[k * len(PORT) + AT["consumed"]] = int(runs), int(heard)
        known = k in given or k in forced or p.kind == "constant" or (runs and p.kind == "neuron")
        if heard and not known:
            missing.append(p.name)
    if missing:
        raise TraceError(f"nothing is given for {', '.join(missing)}")
    prepared.templates[key] = ports
    return ports[:]


class Call:
    """Arguments and results of one run."""

    def __init__(self, prepared: Prepared, steps: int, groups: range) -> None:
        self.prepared, self.plan, self.steps, self.groups = prepared, prepared.plan, steps, groups
        self.inside = [k for group in self.plan.groups[groups.start : groups.stop] for k in group.members]
        self.ports: array[int] = array("q")
        self.kept: list[Array] = []
        self.batch = 0
        self.wishes = Wishes()
        self.signals: dict[int, Array] = {}
        self.states: dict[tuple[int, str], Array] = {}

    def give(
        self, given: Mapping[int, Array], forced: Mapping[int, Array], extra: Mapping[int, Extra],
        binary: Collection[int] = (),
    ) -> None:  # fmt: skip
        """Puts inputs into the ports; those that are named ``binary`` may be 0 and 1 only."""
        sizes = {len(values) for values in (*given.values(), *forced.values())}
        if len(sizes) != 1:
            raise TraceError(f"what is given has batches of {sorted(sizes)} samples, allowed is one size")
        self.batch = sizes.pop()
        self.ports = _template(self.prepared, self.groups, frozenset(given), frozenset(forced))
        for k, values in given.items():
            p = self.plan.populations[k]
            self._signal(k, "given", values, self.steps + p.extra, p.numbers)
            self._put(k, "binary", int(k in binary))
        for k, values in forced.items():
            self._signal(k, "forced", values, self.steps, numbers=False)
        for k, added in extra.items():
            self._added(k, added)

    def _signal(self, k: int, port: str, values: Array, steps: int, numbers: bool) -> None:
        p = self.plan.populations[k]
        want = (self.batch, steps, p.size)
        if values.shape != want or values.dtype.kind not in "iub":
            raise TraceError(f"{p.name}: given are {values.dtype} {values.shape}, allowed are integers {want}")
        dtype = np.int64 if numbers else np.int8
        if values.dtype == np.bool_ and not numbers:
            values = values.view(np.int8)
        elif values.dtype != dtype:
            values = _narrowed(p, values, dtype)
        if values.strides[2] != values.itemsize and p.size > 1:
            values = np.ascontiguousarray(values)
        self.kept.append(values)
        self._put(k, port, _address(values))
        self._put(k, f"{port}_sample", values.strides[0])
        self._put(k, f"{port}_step", values.strides[1])

    def _put(self, k: int, field: str, value: int) -> None:
        self.ports[k * len(PORT) + AT[field]] = value

    def _added(self, k: int, added: Extra) -> None:
        p = self.plan.populations[k]
        split = self.plan.conventions.membrane != "euler"
        lead = (self.batch, self.steps + p.extra)
        for port, values, shape in (
            ("extra_x", added.x, (*lead, 2, p.size) if split else (*lead, p.size)),
            ("extra_drive", added.drive, (*lead, p.size)),
        ):
            if values is None:
                continue
            if values.shape != shape:
                raise TraceError(f"{p.name}: added are {values.dtype} {values.shape}, allowed are integers {shape}")
            self.kept.append(np.ascontiguousarray(values, dtype=np.int64))
            self._put(k, port, _address(self.kept[-1]))

    def ask(self, wishes: Wishes) -> None:
        """Makes room for results."""
        self.wishes = wishes
        for k in self.inside:
            p = self.plan.populations[k]
            if not self.ports[k * len(PORT) + AT["run"]] or p.kind != "neuron":
                continue
            shape = (self.batch, self.steps + p.extra, p.size)
            if k in wishes.signals:
                self.signals[k] = self.prepared.buffers.take((k, ""), shape, np.int8)
                self._put(k, "out", _address(self.signals[k]))
            if k in wishes.states:
                self._room(k, shape)

    def _room(self, k: int, shape: tuple[int, ...]) -> None:
        c = self.plan.conventions
        narrow = c.state_bits <= 32 and (c.current_overflow != "wrap_once" or c.register_bits <= 32)
        names = ("u", "v") if c.membrane == "euler" else ("u_exc", "u_inh", "v")
        dtype = np.float64 if c.membrane == "float32" else np.int32 if narrow else np.int64
        for number, name in enumerate(names):
            room = self.prepared.buffers.take((k, name), shape, dtype)
            self.states[k, name] = room
            self._put(k, f"state{number}", _address(room))
        self._put(k, "state_bits", 32 if narrow else 64)
        self._put(k, "stream", int(room.nbytes >= STREAMED))

    def part(self, found: library.Kernels, number: int) -> Part:
        """Arguments of one thread: all samples, in chunks whose scratch memory is bounded."""
        ports, ranges, counts = self.ports, None, None
        if self.wishes.ranges:
            ports = ports[:]
            ranges = np.tile(np.array([HIGHEST, LOWEST], dtype=np.int64), (len(self.plan.populations), 2, 1))
            for k in self.inside:
                ports[k * len(PORT) + AT["range"]] = _address(ranges[k])
        if self.wishes.counts:
            counts = np.zeros((len(self.prepared.attached.ways), 2), dtype=np.int64)
        fields = self.prepared.attached.fields | {
            "ports": ports.buffer_info()[0], "group": self.groups.start, "group_end": self.groups.stop,
            "end": self.batch, "steps": self.steps, "chunk": min(self.prepared.base, max(1, self.batch)),
            "counts": 0 if counts is None else _address(counts),
        }  # fmt: skip
        call = array("q", [fields.get(name, 0) for name in CALL])
        size = found.scratch(number, call.buffer_info()[0])
        while size > SCRATCH_LIMIT and call[CHUNK] > 1:
            call[CHUNK] //= 2
            size = found.scratch(number, call.buffer_info()[0])
        return Part(call, ports, size, ranges, counts)

    def go(self, found: library.Kernels, number: int, parts: list[Part], grain: int) -> int:
        """Executes the parts of threads side by side; how they ended.

        Args:
            found: kernels.
            number: of the build.
            parts: one for each thread, of the same samples, which they share out among them.
            grain: samples that a thread takes at least.
        """
        size = max(part.size for part in parts)
        return together(self.prepared, found, number, [part.call for part in parts], size, grain)

    def check(self, end: int) -> None:
        """Turns how a run ended into an error."""
        if end & NOT_SPIKES:
            raise TraceError(NO_SPIKE)
        if end & LEFT_WIDTH:
            raise FormatError(f"a state left {self.plan.conventions.state_bits} bits")

    def result(self, parts: list[Part]) -> Result:
        """What was asked for."""
        ranges: dict[int, Array] = {}
        seen = [part.ranges for part in parts if part.ranges is not None]
        if seen:
            worst = np.stack([np.min(seen, axis=0)[..., 0], np.max(seen, axis=0)[..., 1]], axis=-1)
            receptors = 1 if self.plan.conventions.membrane == "euler" else 2
            ranges = {k: worst[k, :receptors] for k in self.inside if self.plan.populations[k].kind == "neuron"}
        counted = [part.counts for part in parts if part.counts is not None]
        return Result(self.signals, self.states, ranges, np.sum(counted, axis=0) if counted else None)


def together(
    prepared: Prepared, found: library.Kernels, number: int, calls: list[array[int]], size: int, grain: int
) -> int:
    """Executes calls of threads with scratch memory of this size each; see :meth:`Call.go`."""
    size += ALIGNMENT - size % ALIGNMENT
    start = prepared.scratch(size * len(calls))
    rows: array[int] = array("q")
    for place, call in enumerate(calls):
        rows += call
        rows[place * len(CALL) + SCRATCH] = start + place * size
    address = rows.buffer_info()[0]
    return found.run(number, address) if len(calls) == 1 else found.share(number, address, len(calls), grain)


def _address(values: Array) -> int:
    return int(values.__array_interface__["data"][0])


def _narrowed(p: Population, values: Array, dtype: type[Any]) -> Array:
    """Integers of another width; spikes that do not fit are no spikes."""
    if dtype is np.int8:
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        if low < -1 or high > 1:
            raise TraceError(f"{p.name}: {NO_SPIKE}")
        if values.itemsize == 1:
            return values.view(np.int8)
    return values.astype(dtype)
