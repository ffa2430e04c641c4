"""Climbs the ladder with data: float against integers, and integers against every executor there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.backend import Backend, Program, Reference
from snnc.compare import compare
from snnc.evidence import Budget, Evidence, Rung, When
from snnc.ir import FloatArray, Graph
from snnc.ladder import EVERYTHING, Climb, Layers, driving, taught
from snnc.metrics import accuracy
from snnc.trace import Probes, Samples, Trace

Progress = Callable[[str, int, int], None]
OnnxRun = Callable[[npt.NDArray[Any]], Trace]
Forced = Mapping[str, npt.NDArray[np.int8]] | None
EngineRun = Callable[[npt.NDArray[Any], Probes, Forced], Trace]
CHUNK = 256
FIXED = "fixed"


def quiet(_task: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """The integers of one target and everything that can execute them.

    Attributes:
        name: column of the accuracy table: ``fixed`` for the generic target, else the target's name.
        program: lowered for the back end.
        backend: who runs it; the reference for ``fixed``.
        scales: population -> raw state units per 1.0.
        onnx: runs ``model.fixed.onnx`` in onnxruntime, or None where that is not installed.
        engine: runs the plan of these integers (spikes, probes, forced), or None to run them in the reference.
    """

    name: str
    program: Program
    backend: Backend
    scales: Mapping[str, FloatArray]
    onnx: OnnxRun | None
    engine: EngineRun | None = None


@dataclass
class Ladder:
    """One candidate's rungs while chunks of samples go by."""

    candidate: Candidate
    when: When
    layers: Layers = field(init=False)
    climbs: dict[tuple[int, str], Climb] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layers = Layers(self.candidate.name)

    def climb(self, reference: Reference, chunk: npt.NDArray[Any], truth: Trace, offset: int) -> Trace:
        """Rungs 3 to 5 for one chunk; returns the back end's run, or the integers' where the back end has none.

        The engine, if there is one, stands for the reference in all other rungs; on the first chunk every spike and
        state is compared, with its own spikes and with the float network's.
        """
        c = self.candidate
        cascaded, forced = self._integers(reference, chunk, truth, offset == 0)
        self.layers.add(truth, cascaded, forced, c.scales, offset)
        if c.onnx is not None:
            self._rung(4, "onnxruntime").add(compare(cascaded, c.onnx(chunk)), offset)
        if c.backend is not reference and c.program.runs:
            ran = c.backend.run(c.program, chunk, EVERYTHING)
            climb = self._rung(5, c.backend.name)
            climb.remark = c.program.remark
            climb.add(compare(cascaded, ran), offset)
            cascaded = ran
        return cascaded

    def _integers(
        self, reference: Reference, chunk: npt.NDArray[Any], truth: Trace, first: bool
    ) -> tuple[Trace, Trace]:
        """The integers' run, and the run in which the float network's spikes drive every layer."""
        c, graph = self.candidate, self.candidate.program.graph
        if c.engine is None:
            return reference.execute(graph, chunk, EVERYTHING), taught(reference, graph, chunk, truth)
        found = (c.engine(chunk, EVERYTHING, None), c.engine(chunk, EVERYTHING, driving(graph, truth)))
        if first:
            climb = self._rung(4, "engine", "reference")
            climb.add(compare(reference.execute(graph, chunk, EVERYTHING), found[0]), 0)
            climb.add(compare(taught(reference, graph, chunk, truth), found[1]), 0)
        return found

    def _rung(self, number: int, right: str, left: str = "") -> Climb:
        if (number, right) not in self.climbs:
            by = left or ("engine" if self.candidate.engine else "reference")
            self.climbs[number, right] = Climb(number, by, right, self.candidate.name, self.when)
        return self.climbs[number, right]

    def rungs(self, budget: Budget, accuracies: Mapping[str, float | None]) -> list[Rung]:
        """Rung 3, gated by the budget, then the exact ones."""
        rows = self.layers.result()
        own = {key: value for key, value in accuracies.items() if key in ("float", self.candidate.name)}
        broken = budget.violations(own, rows) if any(v is not None for v in own.values()) else ()
        differing, compared = sum(r.cascaded_differing for r in rows), sum(r.compared for r in rows)
        detail = "; ".join(str(v) for v in broken) or "measured, within the budget"
        first = Rung(3, "float", "integers", compared, differing, not broken, detail, self.when, self.candidate.name)
        return [first, *(climb.result() for _, climb in sorted(self.climbs.items())), *self._skipped()]

    def _skipped(self) -> list[Rung]:
        """Rung 5, if the back end made a program that it does not execute."""
        c = self.candidate
        if c.program.runs:
            return []
        remark = c.program.remark
        return [Rung(5, "reference", c.backend.name, 0, 0, False, remark, self.when, c.name, skipped=True)]


@dataclass(frozen=True, eq=False)
class Validated:
    """Evidence, and the first chunk's traces for the plots (label -> trace, float first)."""

    evidence: Evidence
    traces: Mapping[str, Trace]


def validate(
    graph: Graph,
    candidates: Sequence[Candidate],
    samples: Samples,
    reference: Reference,
    *,
    budget: Budget,
    earlier: Sequence[Rung] = (),
    when: When = "validate",
    progress: Progress = quiet,
) -> Validated:
    """Runs every candidate on every sample.

    Args:
        graph: the float network.
        candidates: integers to judge.
        samples: data; accuracy needs its labels.
        reference: the definition.
        budget: what the user accepts.
        earlier: rungs that were climbed before (1 and 2, while compiling).
        when: stamp for the rungs.
        progress: called with (task, samples done, samples in all).
    """
    run = _Run(graph, [Ladder(candidate, when) for candidate in candidates], reference)
    total = samples.spikes.shape[0]
    for start in range(0, total, CHUNK):
        run.chunk(samples.spikes[start : start + CHUNK], start, total, progress)
    progress("validate", total, total)
    accuracies = {name: _accuracy(parts, samples.labels) for name, parts in run.counts.items()}
    evidence = Evidence(
        rungs=(*earlier, *(rung for ladder in run.ladders for rung in ladder.rungs(budget, accuracies))),
        accuracy=accuracies,
        layers=tuple(row for ladder in run.ladders for row in ladder.layers.result()),
        samples=total,
        steps=samples.spikes.shape[1],
        budget=_measurable(budget, samples),
        first_differences={x.candidate.name: x.layers.first for x in run.ladders if x.layers.first},
    )
    return Validated(evidence, run.shown)


@dataclass
class _Run:
    """Every ladder over one chunk after the other, with output counts by network and the first chunk's traces."""

    graph: Graph
    ladders: list[Ladder]
    reference: Reference
    counts: dict[str, list[npt.NDArray[np.int64]]] = field(default_factory=dict)
    shown: dict[str, Trace] = field(default_factory=dict)

    def chunk(self, spikes: npt.NDArray[Any], start: int, total: int, progress: Progress) -> None:
        truth = self.reference.execute(self.graph, spikes, EVERYTHING)
        traces = {"float": truth}
        for ladder in self.ladders:
            progress(f"validate {ladder.candidate.name}", start, total)
            traces[ladder.candidate.name] = ladder.climb(self.reference, spikes, truth, start)
        output = self.graph.output
        for name, trace in traces.items():
            if output is not None:
                self.counts.setdefault(name, []).append(trace.counts(output.name))
        self.shown = self.shown or traces


def _measurable(budget: Budget, samples: Samples) -> Budget:
    """Without labels there is no accuracy to demand."""
    return budget if samples.labels is not None else Budget(None, budget.spike_mismatch)


def _accuracy(parts: list[npt.NDArray[np.int64]], labels: npt.NDArray[np.int64] | None) -> float | None:
    return None if labels is None else accuracy(np.concatenate(parts), labels)
