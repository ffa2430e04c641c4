"""One call of the kernels: arguments from arrays, room for results, and what came back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import library
from snnc.engine.attach import Prepared
from snnc.engine.layout import CALL, HIGHEST, LEFT_WIDTH, LOWEST, NOT_SPIKES, PORT
from snnc.engine.plan import Population
from snnc.errors import FormatError, TraceError

Array = npt.NDArray[Any]
SCRATCH_LIMIT = 1 << 28
"""Scratch memory of one thread is kept below this by smaller chunks."""
AT = {name: column for column, name in enumerate(PORT)}


@dataclass(frozen=True, eq=False)
class Extra:
    """What is added from outside to one population, over its window, in engine order.

    Attributes:
        x: int64 [B, window, neurons] in state units under ``euler``; [B, window, 2, neurons] in ring units under
            ``closed_form``.
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
        states: (population, name) -> int32 or int64 [B, window, neurons].
        ranges: population -> int64 [receptors, 2], in the unit of the accumulator.
        counts: int64 [ways, 2]: events and synapses touched, ways of all populations in order.
    """

    signals: Mapping[int, Array] = field(default_factory=dict)
    states: Mapping[tuple[int, str], Array] = field(default_factory=dict)
    ranges: Mapping[int, Array] = field(default_factory=dict)
    counts: Array | None = None


def executable(population: Population) -> bool:
    """True if the kernels step this kind of population; what chains add must be given to them."""
    return population.kind in ("input", "constant", "neuron")


class Call:
    """Arguments and results of one run."""

    def __init__(self, prepared: Prepared, steps: int, groups: range) -> None:
        self.prepared, self.plan, self.steps, self.groups = prepared, prepared.plan, steps, groups
        self.ports = np.zeros((len(self.plan.populations), len(PORT)), dtype=np.int64)
        self.inside = [k for group in self.plan.groups[groups.start : groups.stop] for k in group.members]
        self.kept: list[Array] = []
        self.batch = 0
        self.wishes = Wishes()
        self.signals: dict[int, Array] = {}
        self.states: dict[tuple[int, str], Array] = {}

    def give(self, given: Mapping[int, Array], forced: Mapping[int, Array], extra: Mapping[int, Extra]) -> None:
        """Puts inputs into the ports."""
        ports = self.ports
        inside = {k for k in self.inside if executable(self.plan.populations[k])}
        for k in inside:
            ports[k, AT["run"]] = 1
        for k, listeners in self.prepared.consumers.items():
            ports[k, AT["consumed"]] = int(not listeners.isdisjoint(inside))
        sizes = {len(array) for array in (*given.values(), *forced.values())}
        if len(sizes) != 1:
            raise TraceError(f"what is given has batches of {sorted(sizes)} samples, allowed is one size")
        self.batch = sizes.pop()
        for k, array in given.items():
            p = self.plan.populations[k]
            self._signal(k, "given", array, self.steps + p.extra, p.numbers)
            if k in inside and p.kind == "neuron":
                ports[k, AT["run"]] = 0
        for k, array in forced.items():
            self._signal(k, "forced", array, self.steps, numbers=False)
        for k, added in extra.items():
            self._added(k, added)
        missing = [
            p.name for k, p in enumerate(self.plan.populations)
            if p.kind != "constant" and not ports[k, AT["given"]] and not ports[k, AT["forced"]]
            and (p.kind == "input" or k not in inside) and ports[k, AT["consumed"]]
        ]  # fmt: skip
        if missing:
            raise TraceError(f"nothing is given for {', '.join(missing)}")

    def _signal(self, k: int, port: str, array: Array, steps: int, numbers: bool) -> None:
        p = self.plan.populations[k]
        want = (self.batch, steps, p.size)
        if array.shape != want or array.dtype.kind not in "iub":
            raise TraceError(f"{p.name}: given are {array.dtype} {array.shape}, allowed are integers {want}")
        dtype = np.int64 if numbers else np.int8
        if array.dtype.itemsize == 1 and not numbers:
            array = array.view(np.int8)
        elif array.dtype != dtype:
            array = _narrowed(p, array, dtype)
        if array.strides[2] != array.itemsize:
            array = np.ascontiguousarray(array)
        self.kept.append(array)
        self._put(k, port, array.__array_interface__["data"][0])
        self._put(k, f"{port}_sample", array.strides[0])
        self._put(k, f"{port}_step", array.strides[1])

    def _put(self, k: int, field: str, value: int) -> None:
        self.ports[k, AT[field]] = value

    def _added(self, k: int, added: Extra) -> None:
        p = self.plan.populations[k]
        closed = self.plan.conventions.membrane == "closed_form"
        lead = (self.batch, self.steps + p.extra)
        for port, array, shape in (
            ("extra_x", added.x, (*lead, 2, p.size) if closed else (*lead, p.size)),
            ("extra_drive", added.drive, (*lead, p.size)),
        ):
            if array is None:
                continue
            if array.shape != shape:
                raise TraceError(f"{p.name}: added are {array.dtype} {array.shape}, allowed are integers {shape}")
            self.kept.append(np.ascontiguousarray(array, dtype=np.int64))
            self._put(k, port, self.kept[-1].ctypes.data)

    def ask(self, wishes: Wishes) -> None:
        """Makes room for results."""
        self.wishes = wishes
        for k in self.inside:
            p = self.plan.populations[k]
            if not self.ports[k, AT["run"]] or p.kind != "neuron":
                continue
            shape = (self.batch, self.steps + p.extra, p.size)
            if k in wishes.signals:
                self.signals[k] = np.empty(shape, dtype=np.int8)
                self._put(k, "out", self.signals[k].__array_interface__["data"][0])
            if k in wishes.states:
                self._room(k, shape)

    def _room(self, k: int, shape: tuple[int, ...]) -> None:
        c = self.plan.conventions
        narrow = c.state_bits <= 32 and (c.current_overflow != "wrap_once" or c.register_bits <= 32)
        names = ("u_exc", "u_inh", "v") if c.membrane == "closed_form" else ("u", "v")
        for number, name in enumerate(names):
            room = self.states[k, name] = np.empty(shape, dtype=np.int32 if narrow else np.int64)
            self._put(k, f"state{number}", room.__array_interface__["data"][0])
        self._put(k, "state_bits", 32 if narrow else 64)

    def call(self, found: library.Kernels, number: int, low: int, high: int) -> dict[str, Array]:
        """Arguments of one thread: samples low to high, in chunks whose scratch memory is bounded."""
        ports = self.ports.copy() if self.wishes.ranges else self.ports
        arrays = {"ports": ports}
        if self.wishes.ranges:
            arrays["ranges"] = np.tile(np.array([HIGHEST, LOWEST], dtype=np.int64), (len(ports), 2, 1))
            inside = [k for k in self.inside if self.plan.populations[k].kind == "neuron"]
            ports[inside, AT["range"]] = arrays["ranges"].ctypes.data + 32 * np.array(inside, dtype=np.int64)
        fields = self.prepared.attached.fields | {
            "ports": ports.__array_interface__["data"][0], "group": self.groups.start, "group_end": self.groups.stop,
            "begin": low, "end": high, "steps": self.steps, "chunk": min(self.prepared.base, max(1, high - low)),
        }  # fmt: skip
        if self.wishes.counts:
            arrays["counts"] = np.zeros((len(self.prepared.attached.ways), 2), dtype=np.int64)
            fields["counts"] = arrays["counts"].ctypes.data
        call = np.array([fields.get(name, 0) for name in CALL], dtype=np.int64)
        size = found.scratch(number, call.__array_interface__["data"][0])
        while size > SCRATCH_LIMIT and call[CALL.index("chunk")] > 1:
            call[CALL.index("chunk")] //= 2
            size = found.scratch(number, call.ctypes.data)
        return arrays | {"call": call, "size": np.array(size)}

    def go(self, found: library.Kernels, number: int, call: Mapping[str, Array]) -> int:
        """Executes one thread's part."""
        call["call"][CALL.index("scratch")] = self.prepared.scratch(int(call["size"]))
        return found.run(number, call["call"].__array_interface__["data"][0])

    def check(self, ends: list[int]) -> None:
        """Turns how the parts ended into an error."""
        if any(end & NOT_SPIKES for end in ends):
            raise TraceError("a spike is none of -1, 0 and 1")
        if any(end & LEFT_WIDTH for end in ends):
            raise FormatError(f"a state left {self.plan.conventions.state_bits} bits")

    def result(self, calls: list[dict[str, Array]]) -> Result:
        """What was asked for."""
        ranges: dict[int, Array] = {}
        if self.wishes.ranges:
            seen = np.stack([call["ranges"] for call in calls])
            worst = np.stack([seen[..., 0].min(axis=0), seen[..., 1].max(axis=0)], axis=-1)
            ranges = {
                k: worst[k, : 2 if self.plan.conventions.synapse == "split" else 1]
                for k in self.inside
                if self.plan.populations[k].kind == "neuron"
            }
        counts = np.sum([call["counts"] for call in calls], axis=0) if self.wishes.counts else None
        return Result(self.signals, self.states, ranges, counts)


def _narrowed(p: Population, array: Array, dtype: type[Any]) -> Array:
    """Integers of another width; spikes that do not fit are no spikes."""
    narrow = array.astype(dtype)
    if dtype is np.int8 and not np.array_equal(narrow, array):
        raise TraceError(f"{p.name}: a spike is none of -1, 0 and 1")
    return narrow
