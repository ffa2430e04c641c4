"""Interleaved timing: every candidate once per round, medians over rounds."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Timed = Callable[[], Mapping[str, float] | None]
MAX_CALLS = 400


@dataclass(frozen=True)
class Candidate:
    """Something to time.

    Attributes:
        name: of its row.
        run: runs ``samples`` samples. What measures itself (other programs) returns row -> wall seconds instead.
        samples: of one call.
    """

    name: str
    run: Timed
    samples: int


@dataclass
class Row:
    """Seconds per sample of every round: processor time of this process (all threads), and wall time."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    @property
    def cpu_median(self) -> float:
        """NaN for what ran in another process."""
        return statistics.median(self.cpu) if self.cpu else float("nan")

    @property
    def wall_median(self) -> float:
        """Median seconds per sample."""
        return statistics.median(self.wall)


def call(run: Callable[..., object], *given: object) -> Timed:
    """A candidate that runs with these arguments and forgets what came out."""

    def timed() -> None:
        run(*given)

    return timed


def measure(candidates: Sequence[Candidate], rounds: int, floor: float) -> dict[str, Row]:
    """Times the candidates in turn; each round begins with another one.

    Args:
        candidates: all are run once before, which warms them up and tells how long they take.
        rounds: that count.
        floor: seconds that one timing lasts at least; short candidates are called several times in it.
    """
    calls = {one.name: _calls(one, floor) for one in candidates}
    rows: dict[str, Row] = {}
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            turn = number % len(candidates)
            for one in (*candidates[turn:], *candidates[:turn]):
                _time(one, calls[one.name], rows)
            gc.collect()
    finally:
        gc.enable()
    return rows


def _calls(one: Candidate, floor: float) -> int:
    one.run()
    begin = time.perf_counter()
    if one.run() is not None:
        return 1
    return max(1, min(MAX_CALLS, round(floor / max(time.perf_counter() - begin, 1e-9))))


def _time(one: Candidate, calls: int, rows: dict[str, Row]) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        own = one.run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if own is not None:
        for name, seconds in own.items():
            rows.setdefault(name, Row()).wall.append(seconds / one.samples)
        return
    row = rows.setdefault(one.name, Row())
    row.cpu.append(cpu / (calls * one.samples))
    row.wall.append(wall / (calls * one.samples))
