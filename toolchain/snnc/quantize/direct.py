"""Analog input as integers: the format of its values, and weights that count in their steps.

A value x becomes ``raw = clip(round(x / step))``, where the step is the smallest power of two with which the largest
value of calibration still fits the width. The weights that the values meet are multiplied by the step (exact), so that
everything behind them is quantized like any other layer: their input is just a larger integer than a spike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import Violation
from snnc.ir import Add, Affine, Concat, Conv, Delay, Fixed, Flatten, Graph, Identity, Input, Pool, to_fixed
from snnc.ir.fixed import Format
from snnc.quantize.base import Calibration, Note, note

PASSING = (Add, Concat, Delay, Flatten, Identity, Pool)
SHOWN = 4096
"""Distinct values that the note of an input looks at."""


@dataclass(frozen=True, eq=False)
class Direct:
    """A graph whose analog input has become integers.

    Attributes:
        graph: float graph; the weights that the input meets are multiplied by its step.
        calibration: the samples as integers, and among the recorded spikes too.
        nodes: the input with its unit; empty if the input is spikes.
        step: value of one.
        scaled: weights that were multiplied.
        notes: of the input.
    """

    graph: Graph
    calibration: Calibration
    nodes: tuple[Input, ...] = ()
    step: float = 1.0
    scaled: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()

    def noted(self, others: Iterable[Note]) -> tuple[Note, ...]:
        """All notes in the order of the nodes; those of scaled weights in the unit that the user gave them in."""
        order = {node.name: place for place, node in enumerate(self.graph.nodes)}
        entries = (*self.notes, *(self._restored(entry) for entry in others))
        return tuple(sorted(entries, key=lambda entry: order[entry.node]))

    def _restored(self, given: Note) -> Note:
        if given.node not in self.scaled or given.quantity != "weight":
            return given
        values, got = ({k: v / self.step for k, v in side.items()} for side in (given.given, given.got))
        return replace(given, worst=given.worst / self.step, given=values, got=got)


def direct(graph: Graph, calibration: Calibration, bits: int | None) -> Direct:
    """Turns an analog input into integers; other graphs stay as they are.

    Args:
        graph: without the violations of :func:`joined`.
        calibration: samples of analog values and the float run on them.
        bits: width of the integers; None leaves the graph as it is.
    """
    source = graph.inputs[0] if graph.inputs else None
    if source is None or source.encoding != "direct" or bits is None:
        return Direct(graph, calibration)
    values = np.asarray(calibration.samples, dtype=np.float64)
    fmt = format_of(values, bits)
    raw = to_fixed(values, fmt).raw
    met = _weights_after(graph, source.name)
    for name in met:
        node = graph[name]
        assert isinstance(node, (Affine, Conv))
        graph = graph.replace_node(replace(node, weight=np.asarray(node.weight) * fmt.step))
    seen: dict[str, Any] = {**calibration.trace.spikes, source.name: raw}
    unit = Fixed(np.ones((), dtype=np.int64), fmt)
    return Direct(
        graph, Calibration(raw, replace(calibration.trace, spikes=seen)), (replace(source, unit=unit),), fmt.step,
        frozenset(met), (_note(source.name, values, fmt),),
    )  # fmt: skip


def format_of(values: npt.NDArray[np.float64], bits: int) -> Format:
    """The finest format of this width that holds every value; without a sign if none is negative."""
    signed = bool(np.any(values < 0))
    top = Format(bits, 0, signed=signed).maximum
    largest = float(np.max(np.abs(values), initial=0.0))
    frac = 0 if largest == 0 else math.floor(math.log2(top / largest))
    return Format(bits, max(-64, min(frac, 64)), signed=signed)


def joined(graph: Graph) -> list[Violation]:
    """Weights that analog values and spikes reach together: one weight cannot count in two steps."""
    found = []
    for source in graph.inputs:
        for name in _weights_after(graph, source.name) if source.encoding == "direct" else ():
            others = sorted(_sources_of(graph, name) - {source.name})
            if others:
                fix = "Give the values weights of their own, and add what comes out of them."
                joint = f"analog values of {source.name} with {', '.join(others)}"
                found.append(Violation(name, "input", joint, "analog values alone, or spikes alone", fix))
    return found


def _weights_after(graph: Graph, name: str) -> tuple[str, ...]:
    """Weights that the node's output reaches through nodes without weights."""
    seen: dict[str, None] = {}
    waiting = [name]
    while waiting:
        for edge in graph.outgoing(waiting.pop()):
            if edge.target not in seen:
                seen[edge.target] = None
                waiting += [edge.target] if isinstance(graph[edge.target], PASSING) else []
    return tuple(key for key in seen if isinstance(graph[key], (Affine, Conv)))


def _sources_of(graph: Graph, name: str) -> set[str]:
    """What reaches the node's input without weights in between, other nodes that pass on left out."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for edge in graph.incoming(waiting.pop()):
            if edge.source not in seen:
                seen.add(edge.source)
                waiting += [edge.source] if isinstance(graph[edge.source], PASSING) else []
    return {key for key in seen if not isinstance(graph[key], PASSING)}


def _note(name: str, values: npt.NDArray[np.float64], fmt: Format) -> Note:
    """What happened to the distinct values (evenly chosen ones if there are very many)."""
    distinct = np.unique(values)
    if distinct.size > SHOWN:
        distinct = distinct[np.linspace(0, distinct.size - 1, SHOWN).astype(np.int64)]
    return note(name, "values", distinct, to_fixed(distinct, fmt), 1.0)
