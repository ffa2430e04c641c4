"""What one core of this machine can do at best, measured by a kernel that is compiled for the purpose."""

from __future__ import annotations

import ctypes
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SOURCE = Path(__file__).with_name("limit.c")
FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")
WIDE = ("-mprefer-vector-width=512",)
L1_ROWS, L2_ROWS = 64, 2048
EVENTS, NEURONS, STEPS = 250, 256, 32
LONG = 60_000
"""Repetitions beside which what Python does before and after is nothing."""


@dataclass(frozen=True)
class Limit:
    """Synaptic operations per second with weights in the L1 and in the L2 cache, and nanoseconds per neuron step."""

    l1: float
    l2: float
    neuron_ns: float

    def seconds(self, synops: float, neuron_steps: float) -> float:
        """The shortest time in which one core does this work: adds at the better rate, and neuron updates."""
        return synops / max(self.l1, self.l2) + neuron_steps * self.neuron_ns * 1e-9


class Machine:
    """The compiled kernel; call :meth:`probe` several times during a run, the best of them is the limit."""

    def __init__(self) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise OSError("no C compiler (cc) on this machine")
        wide = WIDE if platform.machine() in ("x86_64", "AMD64") else ()
        with tempfile.TemporaryDirectory(prefix="snnc-limit-", ignore_cleanup_errors=True) as folder:
            library = Path(folder) / "limit.so"
            command = [compiler, *FLAGS, *wide, "-o", str(library), str(SOURCE)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise OSError(f"{compiler} failed: {' '.join(done.stderr.strip().splitlines()[-1:])}")
            self.kernel = ctypes.CDLL(str(library))
        self.kernel.tile.restype = ctypes.c_long
        self.tile = int(self.kernel.tile())
        self.best = Limit(0.0, 0.0, float("inf"))

    def probe(self) -> Limit:
        """Measures once more and returns the best so far."""
        l1, l2, update = self._adds(L1_ROWS), self._adds(L2_ROWS), self._update()
        self.best = Limit(max(self.best.l1, l1), max(self.best.l2, l2), min(self.best.neuron_ns, update))
        return self.best

    def scaling(self, tries: int = 9) -> float:
        """What a second thread gives to adds in the L1 cache, of wall time: no executor can have more of it."""
        with ThreadPoolExecutor(2) as pool:
            found = []
            for _ in range(tries):
                begin = time.perf_counter()
                self._adds(L1_ROWS, LONG, tries=1)
                alone = time.perf_counter()
                list(pool.map(lambda _: self._adds(L1_ROWS, LONG, tries=1), range(2)))
                found.append(2 * (alone - begin) / (time.perf_counter() - alone))
        return statistics.median(found)

    def _adds(self, rows: int, repeat: int = 4000, tries: int = 3) -> float:
        rng = np.random.default_rng(0)
        weights = rng.integers(-128, 128, (rows, self.tile)).astype(np.int8)
        events = rng.integers(0, rows, EVENTS).astype(np.int32)
        out = np.zeros(2 * self.tile, dtype=np.int16)
        count, times = ctypes.c_long(EVENTS), ctypes.c_long(repeat)
        took = _seconds(lambda: self.kernel.event_add(_at(weights), _at(events), count, times, _at(out)), tries)
        want = weights[events].sum(axis=0, dtype=np.int64).astype(np.int16)
        if not np.array_equal(out[: self.tile], want):
            raise ArithmeticError("the kernel that measures the limit adds wrongly")
        return EVENTS * self.tile * repeat / took

    def _update(self, repeat: int = 20000) -> float:
        rng = np.random.default_rng(0)
        a = rng.integers(-400, 400, (STEPS, NEURONS)).astype(np.int32)
        u, v, bias = (np.zeros(NEURONS, dtype=np.int32) for _ in range(3))
        sent = np.zeros((STEPS, NEURONS), dtype=np.uint8)
        sizes = [ctypes.c_long(n) for n in (NEURONS, repeat, STEPS)]
        numbers = [ctypes.c_int32(n) for n in (3072, 3840, 1101 << 6)]
        took = _seconds(
            lambda: self.kernel.update(*sizes, _at(a), _at(bias), *numbers, _at(u), _at(v), _at(sent))
        )  # fmt: skip
        return took / (NEURONS * repeat) * 1e9


def _at(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _seconds(run: Callable[[], object], tries: int = 3) -> float:
    """Shortest processor time of a few calls."""
    found = []
    for _ in range(tries):
        begin = time.process_time()
        run()
        found.append(time.process_time() - begin)
    return min(found)
