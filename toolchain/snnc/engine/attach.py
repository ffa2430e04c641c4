"""A pack in memory: its arrays aligned to vectors, and tables in which numbers of arrays have become addresses."""

from __future__ import annotations

import sys
import threading
from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.layout import POPULATION, POPULATION_ARRAYS, WAY, WAY_ARRAYS
from snnc.engine.pack import Pack, pack
from snnc.engine.plan import Plan

Array = npt.NDArray[Any]
ALIGNMENT = 64
ONLY_HERE = 2
"""References to an array that one name and the call that counts them hold."""
KEPT_BYTES = 1 << 26
CHUNK, LARGE_CHUNK, LARGE_WEIGHTS = 16, 64, 1 << 20


def aligned(array: Array) -> Array:
    """The array itself, or a copy, at an address that vectors like."""
    if array.ctypes.data % ALIGNMENT == 0 and array.flags.c_contiguous:
        return array
    room = np.empty(array.nbytes + ALIGNMENT, dtype=np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class Attached:
    """A pack whose tables hold addresses.

    Attributes:
        populations: table of populations.
        ways: table of ways.
        fields: fields of a call that are the same in every run.
        weight_bytes: of the largest array.
    """

    def __init__(self, pack: Pack) -> None:
        self._arrays = {name: aligned(array) for name, array in pack.arrays.items() if name.isdigit()}
        self.populations = self._addressed(pack.arrays["populations"], POPULATION, POPULATION_ARRAYS)
        self.ways = self._addressed(pack.arrays["ways"], WAY, WAY_ARRAYS)
        self.groups, self.members = pack.arrays["groups"].copy(), pack.arrays["members"].copy()
        self.weight_bytes = max((array.nbytes for array in self._arrays.values()), default=0)
        self.fields = {
            "populations": len(self.populations), "ways": len(self.ways), "pops_at": self.populations.ctypes.data,
            "ways_at": self.ways.ctypes.data, "groups": self.groups.ctypes.data, "members": self.members.ctypes.data,
        }  # fmt: skip

    def _addressed(self, table: Array, fields: tuple[str, ...], addresses: tuple[str, ...]) -> Array:
        found: Array = table.copy()
        columns = [fields.index(name) for name in addresses]
        for row in found:
            for column in columns:
                if row[column]:
                    row[column] = self._arrays[str(row[column])].ctypes.data
        return found

    def column(self, name: str) -> list[int]:
        """One field of all populations."""
        return [int(value) for value in self.populations[:, POPULATION.index(name)]]


class Buffers:
    """Arrays that results were written to, used again when nobody else refers to them any more.

    A new large array costs as much as filling it, because the system hands out cleared pages one by one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrays: dict[tuple[int, str], Array] = {}

    def take(self, key: tuple[int, str], shape: tuple[int, ...], dtype: type[Any]) -> Array:
        """An array of unknown content that belongs to the caller as long as it refers to it."""
        with self._lock:
            found = self._arrays.pop(key, None)
            if found is None or sys.getrefcount(found) > ONLY_HERE or found.shape != shape or found.dtype != dtype:
                found = np.empty(shape, dtype=dtype)
            if found.nbytes <= KEPT_BYTES:
                self._arrays[key] = found
            return found


class Prepared:
    """A plan with its pack in memory; remembers scratch memory between runs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pack = pack(plan)
        self.attached = Attached(self.pack)
        self.consumers: dict[int, set[int]] = {k: set() for k in range(len(plan.populations))}
        for index, population in enumerate(plan.populations):
            for way in population.ways:
                self.consumers[way.source].add(index)
        self.base = CHUNK if self.attached.weight_bytes <= LARGE_WEIGHTS else LARGE_CHUNK
        self.local = threading.local()
        self.buffers = Buffers()
        self.templates: dict[tuple[range, frozenset[int], frozenset[int]], array[int]] = {}

    def scratch(self, size: int) -> int:
        """Address of this thread's scratch memory of at least this size."""
        local = self.local
        if getattr(local, "size", -1) < size:
            local.room = np.empty(size + 64, dtype=np.uint8)
            local.size, local.start = size, int(-(-local.room.ctypes.data // 64) * 64)
        return int(local.start)
