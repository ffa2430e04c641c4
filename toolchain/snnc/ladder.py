"""The rungs of the ladder that need more than one comparison: what is run against what, and what is demanded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.backend import Reference
from snnc.compare import Comparison, LayerError, compare, layer_errors
from snnc.errors import NotEquivalentError
from snnc.evidence import LayerRow, Rung, When
from snnc.ir import FixedGraph, FloatArray, Graph
from snnc.passes.base import Pass
from snnc.trace import Probes, Trace

EVERYTHING = Probes(spikes="all", states="all")


class PassWitness:
    """Rung 2: runs the graph before and after each pass and holds the pass to its promise.

    Attributes:
        rungs: one per pass that changed a graph.
    """

    def __init__(self, reference: Reference, spikes: npt.NDArray[Any]) -> None:
        self._reference = reference
        self._spikes = spikes
        self._known: dict[str, Trace] = {}
        self.rungs: list[Rung] = []

    def __call__(self, step: Pass, before: Graph, after: Graph) -> None:
        """Compares every spike of every population that both graphs have.

        Raises:
            NotEquivalentError: the pass promised exact spikes and one differs.
        """
        left, right = self._trace(before), self._trace(after)
        common = [name for name in left.spikes if name in right.spikes]
        found = compare(left, right, states=False, populations=common)
        text = found.first_difference.text if found.first_difference else ""
        if found.differing and step.preserves == "exact":
            raise NotEquivalentError(f"pass {step.name} promised exact spikes and broke them: {text}")
        rung = Rung(
            2, f"before {step.name}", f"after {step.name}", found.compared, found.differing,
            not found.differing or step.preserves == "approximate", text, "compile",
        )  # fmt: skip
        self.rungs.append(rung)

    def _trace(self, graph: Graph) -> Trace:
        if graph.digest not in self._known:
            self._known = dict(list(self._known.items())[-1:])
            self._known[graph.digest] = self._reference.execute(graph, self._spikes, Probes())
        return self._known[graph.digest]


@dataclass
class Climb:
    """Adds up one rung over chunks of samples.

    Attributes:
        rung, left, right, target, when: as in :class:`~snnc.evidence.Rung`.
        compared, differing: values so far.
        detail: first difference of the first chunk that has one.
        remark: what stands there if there is none.
    """

    rung: int
    left: str
    right: str
    target: str
    when: When
    compared: int = 0
    differing: int = 0
    detail: str = ""
    remark: str = ""

    def add(self, found: Comparison, offset: int) -> None:
        """Adds one chunk; ``offset`` is the number of samples before it."""
        self.compared += found.compared
        self.differing += found.differing
        first = found.first_difference
        if first is not None and not self.detail:
            self.detail = replace(first, sample=first.sample + offset).text

    def result(self) -> Rung:
        """The rung; it passes if every value is equal."""
        return Rung(
            self.rung, self.left, self.right, self.compared, self.differing, self.differing == 0,
            self.detail or self.remark,
            self.when, self.target,
        )  # fmt: skip


@dataclass
class Layers:
    """Adds up rung 3, float against integers, over chunks of samples."""

    target: str
    rows: dict[str, list[LayerError]] = field(default_factory=dict)
    first: str = ""

    def add(self, truth: Trace, cascaded: Trace, forced: Trace, scales: Mapping[str, FloatArray], offset: int) -> None:
        """Adds one chunk."""
        for row in layer_errors(truth, cascaded, forced, scales):
            self.rows.setdefault(row.population, []).append(row)
        if not self.first:
            found = compare(truth, cascaded, states=False, populations=[p for p in truth.spikes if p in scales])
            if found.first_difference is not None:
                first = found.first_difference
                self.first = replace(first, sample=first.sample + offset).text

    def result(self) -> tuple[LayerRow, ...]:
        """One row per population."""
        return tuple(self._row(name, rows) for name, rows in self.rows.items())

    def _row(self, name: str, rows: list[LayerError]) -> LayerRow:
        return LayerRow(
            self.target, name,
            sum(r.spikes_float for r in rows),
            sum(r.forced_differing for r in rows),
            sum(r.cascaded_differing for r in rows),
            sum(r.compared for r in rows),
            _rms([r.v_rms_forced for r in rows], [r.compared for r in rows]),
            _rms([r.v_rms_cascaded for r in rows], [r.compared for r in rows]),
        )  # fmt: skip


def _rms(values: list[float | None], weights: list[int]) -> float | None:
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    if not known:
        return None
    total = sum(weight for _, weight in known)
    return float(np.sqrt(sum(value**2 * weight for value, weight in known) / total))


def driving(graph: FixedGraph, truth: Trace) -> dict[str, npt.NDArray[np.int8]]:
    """The float network's spikes of every population that the integers have."""
    return {name: values for name, values in truth.spikes.items() if name in graph}


def taught(reference: Reference, graph: FixedGraph, spikes: npt.NDArray[Any], truth: Trace) -> Trace:
    """The integers with every layer driven by the float network's true spikes (teacher forcing)."""
    return reference.execute(graph, spikes, EVERYTHING, driving(graph, truth))
