"""Speed of one workload: every way to run it, compared first and then timed in turn."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import engines
import peers
import simulators
from limit import Limit
from measure import Candidate, Row, call, measure
from snnc.errors import SnncError
from snnc.metrics import synops
from snnc.trace import Probes
from workloads import TARGETS, Workload

TORCH = "torch loop"
SIMULATOR_BARS = {simulators.LAVA_STEPS: 1000.0, simulators.NENGO_STEPS: 250.0}
FEW = 2


class DifferenceError(Exception):
    """A candidate does not compute what the reference computes."""


@dataclass(frozen=True)
class Options:
    """How long to measure, and where nengo-loihi lives."""

    rounds: int
    floor: float
    nengo: str | None


class Bench:
    """A workload with everything that can run it; the constructor proves that all integer candidates agree.

    Raises:
        DifferenceError: they do not.
    """

    def __init__(self, workload: Workload, options: Options) -> None:
        self.workload, self.options = workload, options
        self.runners = {target: engines.runners(workload.graph(target)) for target in TARGETS}
        self.fast = next(iter(self.runners[TARGETS[0]]))
        self.peers, self.missing = peers.peers(workload)
        if reason := engines.absent():
            self.missing = {"event": f"not compiled: {reason}", **self.missing}
        self.check()

    def check(self) -> None:
        """Compares before anything is timed."""
        few = FEW if self.fast == engines.REFERENCE else max(2, *(b for b in self.workload.bars if b <= 64))
        wrong = [
            f"{self.workload.name}, {target}: {text}"
            for target, found in self.runners.items()
            for text in engines.compared(found, self.workload.inputs(few))
        ]
        if wrong:
            raise DifferenceError("\n".join(wrong))

    def runner(self) -> engines.Runner:
        """What users run, under the last target's conventions."""
        return self.runners[TARGETS[-1]][self.fast]

    def work(self, batch: int) -> tuple[float, float, list[float]]:
        """Synaptic operations and neuron steps of one sample, and the rates of the layers."""
        few = min(batch, FEW if self.fast == engines.REFERENCE else 64)
        graph = self.workload.graph()
        trace = self.runners[TARGETS[0]][self.fast](self.workload.inputs(few), Probes(), 1)
        total = sum(synops(trace, graph).values()) / few
        rates = [float(trace.spikes[one.neuron.name].mean()) for one in self.workload.layers]
        return total, float(self.workload.neurons * self.workload.steps), rates

    def rows(self, batch: int, limit: Limit | None) -> list[dict[str, Any]]:
        """Times everything at one batch size."""
        with self._candidates(batch) as (candidates, missing):
            timed = measure(candidates, self.options.rounds, self.options.floor)
        total, steps, rates = self.work(batch)
        rows = []
        for name, row in timed.items():
            own = "," in name and name.partition(",")[0] in (*engines.FAST, engines.REFERENCE)
            seconds = row.cpu_median if row.cpu else row.wall_median
            found: dict[str, Any] = {
                "workload": self.workload.name, "batch": batch, "row": name, "ms": seconds * 1e3,
                "wall_ms": row.wall_median * 1e3, "ratio": _ratio(timed.get(TORCH), row), "engine": own,
            }  # fmt: skip
            if own:
                found |= {"synops_per_s": total / seconds, "rates": rates, "synops": total, "neuron_steps": steps}
                found["fraction"] = None if limit is None else limit.seconds(total, steps) / seconds
            rows.append(found)
        return rows + [
            {"workload": self.workload.name, "batch": batch, "row": name, "reason": why, "engine": False}
            for name, why in {**self.missing, **missing}.items()
        ]

    def bars(self, rows: list[dict[str, Any]], batch: int) -> list[dict[str, Any]]:
        """What is asked of the default executor at this batch size, and what it reached."""
        timed = {row["row"]: row for row in rows if "ms" in row and row["batch"] == batch}
        found = []
        for target in TARGETS:
            row = timed[f"{self.fast}, {target}"]
            found.append(self._bar(row, batch, TORCH, row["ratio"], self.workload.bars[batch]))
            if target == "loihi1":
                found += [
                    self._bar(row, batch, name, timed[name]["wall_ms"] / row["wall_ms"], bar)
                    for name, bar in SIMULATOR_BARS.items()
                    if name in timed
                ]
        return found

    def _bar(self, row: dict[str, Any], batch: int, against: str, ratio: float | None, bar: float) -> dict[str, Any]:
        met = None if ratio is None else ratio >= bar
        where = {"workload": self.workload.name, "batch": batch, "row": row["row"], "against": against}
        return {**where, "ratio": ratio, "bar": bar, "met": met}

    @contextlib.contextmanager
    def _candidates(self, batch: int) -> Iterator[tuple[list[Candidate], dict[str, str]]]:
        spikes, probes = self.workload.inputs(batch), Probes()
        found: list[Candidate] = []
        for target, runners in self.runners.items():
            for name, runner in runners.items():
                slow = name == engines.REFERENCE
                if slow and batch > 1 and self.fast != name:
                    continue
                given = spikes[:FEW] if slow else spikes
                found.append(Candidate(f"{name}, {target}", call(runner, given, probes, 1), len(given)))
        if self.peers:
            x = peers.tensor(spikes)
            found += [Candidate(name, call(run, x), batch) for name, run in self.peers.items()]
        if self.workload.name != "A" or batch != 1:
            yield found, {}
            return
        others, missing = self._simulators(spikes)
        try:
            yield found + [Candidate(type(one).__name__, one.run, 1) for one in others], missing
        finally:
            for one in others:
                one.close()

    def _simulators(self, spikes: Any) -> tuple[list[Any], dict[str, str]]:
        want = self.runners["loihi1"][engines.REFERENCE](spikes, Probes(), 1)
        makers = {
            "Lava": lambda: simulators.Lava(self.workload, spikes),
            "nengo-loihi": lambda: simulators.Nengo(self.workload, spikes, self.options.nengo),
        }
        found, missing = [], {}
        for name, make in makers.items():
            try:
                one: Any = make()
            except (SnncError, ImportError) as error:
                missing[name] = str(error)
                continue
            if wrong := one.difference(want):
                raise DifferenceError("\n".join(wrong))
            found.append(one)
        return found, missing


def _ratio(base: Row | None, row: Row) -> float | None:
    """How many times faster than the torch loop; rounds are paired."""
    if base is None:
        return None
    if row.cpu:
        return statistics.median(a / b for a, b in zip(base.cpu, row.cpu, strict=True))
    return statistics.median(a / b for a, b in zip(base.wall, row.wall, strict=True))
