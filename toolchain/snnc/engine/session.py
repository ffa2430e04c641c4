"""A run that is worked out once and repeated: everything but the addresses of one run's arrays is kept.

At one sample per call the kernels take less time than Python needs to say what they shall do; a session says it once
per shape of input.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import library, native
from snnc.engine.attach import Prepared
from snnc.engine.calls import AT, Call, Part, together
from snnc.engine.layout import CALL, PORT
from snnc.engine.plan import Plan, Population
from snnc.engine.record import shown
from snnc.errors import UnsupportedError
from snnc.trace import Probes, Trace

Numbers = npt.NDArray[Any]
PORTS, SCRATCH = CALL.index("ports"), CALL.index("scratch")
REUSED = 1 << 17
"""Results of at least so many bytes are written where nobody else reads any more: new memory comes page by page."""
FEW = 1024
"""Up to so many samples a session is worth being kept; beyond, the kernels' time is what counts."""


@dataclass(frozen=True)
class Room:
    """One result: the shape and type of what the kernels write, where its address goes, what a trace shows of it.

    ``key``: its name among the buffers that are used again; None for a small one, which lies ``offset`` bytes behind
    the start of the memory that small ones share. A trace sees ``seen`` numbers at ``strides``, from ``inner`` bytes
    behind that on.
    """

    port: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    population: str
    state: str
    key: tuple[int, str] | None
    seen: tuple[int, ...]
    strides: tuple[int, ...]
    inner: int
    offset: int = 0


class Session:
    """Runs one shape of input through a plan that the kernels execute in one call.

    Args:
        plan: without chains.
        found: kernels.
        batch, steps: shape of the input.
        probes: what to record.
        threads: that share the samples.
    """

    def __init__(
        self, plan: Plan, found: library.Kernels, batch: int, steps: int, probes: Probes, threads: int = 1
    ) -> None:
        self.threads = max(1, min(threads, batch))
        self.plan, self.found, self.number = plan, found, found.number(None)
        self.prepared: Prepared = native.prepare(plan)
        self.grain = native.grain(self.prepared, batch, self.threads)
        source = next(i for i, p in enumerate(plan.populations) if p.kind == "input")
        self.source: Population = plan.populations[source]
        self.given = source * len(PORT) + AT["given"]
        self.call = Call(self.prepared, steps, range(len(plan.groups)))
        dummy = np.zeros((batch, steps, self.source.size), dtype=np.int64 if self.source.numbers else np.int8)
        self.call.give({source: dummy}, {}, {}, {source})
        neurons = [(i, p) for i, p in enumerate(plan.populations) if p.kind == "neuron"]
        states = {i for i, p in neurons if probes.wants_states(p.name)}
        self.call.ask(native.Wishes({i for i, p in neurons if probes.wants_spikes(p.name)}, states))
        self.part: Part = self.call.part(found, self.number)
        self.small, self.rooms = _placed(self._rooms(steps))
        for arrays in (self.call.signals, self.call.states):
            arrays.clear()
        self.call.kept.clear()
        self.sources = tuple(
            p for p in plan.populations
            if p.kind in ("input", "constant") and shown(p) and not p.numbers and probes.wants_spikes(p.name)
        )  # fmt: skip

    def _rooms(self, steps: int) -> list[Room]:
        signals, states = self.call.signals.items(), self.call.states.items()
        rooms = [self._room(i, "", "out", array, steps) for i, array in signals]
        seen: dict[int, int] = {}
        for (i, name), array in states:
            seen[i] = seen.get(i, -1) + 1
            rooms.append(self._room(i, name, f"state{seen[i]}", array, steps))
        return rooms

    def _room(self, i: int, state: str, port: str, array: Numbers, steps: int) -> Room:
        p = self.plan.populations[i]
        view = native.viewer(p)(steps, array)
        if not np.may_share_memory(view, array):
            raise UnsupportedError(f"{p.name}: its order is no view of what the kernels write")
        return Room(
            i * len(PORT) + AT[port], array.shape, array.dtype, p.name, state, _key(i, state, array),
            view.shape, view.strides, _start(view) - _start(array),
        )  # fmt: skip

    def run(self, given: Numbers) -> Trace:
        """Runs samples, [B, T, *shape] of the session's shape, int8 or, of numbers, int64.

        Raises:
            TraceError: a spike is none of 0 and 1.
            FormatError: a state left its width and the conventions refuse that.
        """
        flat = np.ascontiguousarray(native.flat(self.source, given), dtype=self._dtype)
        ports, call = self.part.ports[:], self.part.call[:]
        ports[self.given] = _start(flat)
        spikes: dict[str, Numbers] = {}
        states: dict[tuple[str, str], Numbers] = {}
        small = np.empty(self.small, np.uint8)
        start, take = _start(small), self.prepared.buffers.take
        for room in self.rooms:
            if room.key is None:
                array = np.ndarray(room.seen, room.dtype, small, room.offset + room.inner, room.strides)
                ports[room.port] = start + room.offset
            else:
                whole = take(room.key, room.shape, room.dtype.type)
                array = np.ndarray(room.seen, room.dtype, whole, room.inner, room.strides)
                ports[room.port] = _start(whole)
            if room.state:
                states[room.population, room.state] = array
            else:
                spikes[room.population] = array
        call[PORTS] = ports.buffer_info()[0]
        if self.threads == 1:
            call[SCRATCH] = self.prepared.scratch(self.part.size)
            end = self.found.run(self.number, call.buffer_info()[0])
        else:
            calls = [call] * self.threads
            end = together(self.prepared, self.found, self.number, calls, self.part.size, self.grain)
        self.call.check(end)
        for p in self.sources:
            one = p.kind == "constant"
            ones = np.ones((*given.shape[:2], *p.shape), dtype=np.int8) if one else given.astype(np.int8, copy=False)
            spikes[p.name] = ones.view()
        return Trace("engine", self.plan.target, spikes, states)

    @property
    def _dtype(self) -> type[Any]:
        return np.int64 if self.source.numbers else np.int8


def _start(array: Numbers) -> int:
    return int(array.__array_interface__["data"][0])


def _placed(rooms: list[Room]) -> tuple[int, tuple[Room, ...]]:
    """Bytes that small results share, and the rooms with their places in it, which vectors like."""
    used, placed = 0, []
    for room in rooms:
        placed.append(replace(room, offset=used))
        if room.key is None:
            used += -(-math.prod(room.shape) * room.dtype.itemsize // 64) * 64
    return used, tuple(placed)


def _key(population: int, state: str, array: Numbers) -> tuple[int, str] | None:
    return (population, state) if array.nbytes >= REUSED else None


@lru_cache(maxsize=8)
def _session(plan: Plan, batch: int, steps: int, spikes: Any, states: Any, threads: int, _wish: str) -> Session | None:
    found = library.state()
    if not isinstance(found, library.Kernels) or not native.whole(plan):
        return None
    try:
        return Session(plan, found, batch, steps, Probes(spikes, states), threads)
    except UnsupportedError:
        return None


def session(plan: Plan, shape: tuple[int, ...], probes: Probes, threads: int = 1) -> Session | None:
    """The session of a plan for one shape of input, kept; None where there is none or it would not help."""
    if len(shape) < 2 or not 0 < shape[0] <= FEW or not shape[1]:
        return None
    return _session(
        plan, shape[0], shape[1], probes.spikes, probes.states, threads, os.environ.get(library.VARIABLE, "")
    )
