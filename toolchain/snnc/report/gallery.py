"""Which plots a page holds, and what is said about each."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from snnc.evidence import Evidence, LayerRow
from snnc.report import plots
from snnc.report.figures import draw
from snnc.trace import Trace

MAX_POPULATIONS = 6
MAX_WAVES = 4
MAX_STEPS = 200
Part = tuple[str, str, str]


def parts(
    evidence: Evidence,
    traces: Mapping[str, Trace],
    scales: Mapping[str, Mapping[str, npt.ArrayLike]],
    thresholds: Mapping[str, npt.ArrayLike],
    weights: Mapping[str, Mapping[str, npt.NDArray[Any]]],
    sample: int,
) -> list[Part]:
    """Sections (id, title, HTML) for whatever the data allows.

    Raises:
        InputError: matplotlib is not installed.
    """
    found: list[Part] = []
    if evidence.layers:
        found.append(("error", "Error by layer", _errors(evidence.layers)))
    steps = max((trace.steps for trace in traces.values()), default=0)
    span = f" The first {MAX_STEPS} of {steps} steps are shown." if steps > MAX_STEPS else ""
    traces = {label: cut(trace) for label, trace in traces.items()}
    names = populations(evidence, traces)
    if names:
        found.append(("rasters", "Spikes", _rasters(traces, names, sample, span)))
    waves = [name for name in names if _has_membrane(traces, name)]
    if waves:
        found.append(("membranes", "Membranes", _membranes(traces, scales, thresholds, waves, sample, span)))
    if weights:
        found.append(("weights", "Weights", _weights(weights)))
    return found


def populations(evidence: Evidence, traces: Mapping[str, Trace]) -> list[str]:
    """Populations that every trace holds: those that were measured, else all; the float trace's order."""
    if not traces:
        return []
    first, *others = traces.values()
    measured = {row.population for row in evidence.layers}
    return [
        name
        for name, spikes in first.spikes.items()
        if (not measured or name in measured)
        and spikes.size
        and all(name in other.spikes and other.spikes[name].shape == spikes.shape for other in others)
    ]


def chosen(names: Sequence[str], most: int) -> list[str]:
    """At most so many: the first ones and the last."""
    return list(names) if len(names) <= most else [*names[: most - 1], names[-1]]


def cut(trace: Trace) -> Trace:
    """The steps that a plot can show."""
    if trace.steps <= MAX_STEPS:
        return trace
    spikes = {name: array[:, :MAX_STEPS] for name, array in trace.spikes.items()}
    states = {key: array[:, :MAX_STEPS] for key, array in trace.states.items()}
    return Trace(trace.backend, trace.target, spikes, states, trace.meta)


def _has_membrane(traces: Mapping[str, Trace], name: str) -> bool:
    first = next(iter(traces.values()))
    return (name, "v") in first.states


def _figure(svg: str, caption: str) -> str:
    return f'<figure><div class="scroll">{svg}</div><figcaption>{html.escape(caption)}</figcaption></figure>'


def _left_out(shown: Sequence[str], names: Sequence[str], what: str) -> str:
    if len(shown) == len(names):
        return ""
    return f'<p class="hint">{len(shown)} of {len(names)} {what} are shown: the first ones and the last.</p>'


def _errors(rows: Sequence[LayerRow]) -> str:
    worst = max(rows, key=lambda row: row.cascaded_fraction)
    label = (
        f"Bars: bins that differ from the float network, by layer and target. The largest is {worst.population} on "
        f"{worst.target}, cascaded: {worst.cascaded_differing} of {worst.compared}. The table above holds the numbers."
    )
    svg = draw("error", label, lambda: plots.layer_error_figure(rows))
    caption = "A cascaded bar much longer than the teacher-forced one: the error comes from the layers before."
    return _figure(svg, caption)


def _rasters(traces: Mapping[str, Trace], names: Sequence[str], sample: int, span: str) -> str:
    shown = chosen(names, MAX_POPULATIONS)
    body = [_left_out(shown, names, "populations")]
    for index, name in enumerate(shown):
        trains = [plots.flat(trace, name, sample) for trace in traces.values()]
        counts = ", ".join(f"{k} {int(t.sum())}" for k, t in zip(traces, trains, strict=True))
        label = f"Raster of population {name}, sample {sample}. Spikes: {counts}."
        svg = draw(f"raster{index}", label, lambda name=name: plots.raster_figure(traces, name, sample))  # type: ignore[misc]
        size, total = len(plots.shown_neurons(trains)), trains[0].shape[1]
        some = "" if size == total else f" {size} of {total} neurons are shown, those that differ first."
        caption = f"Sample {sample}; o: spikes of float only, x: spikes of integers only.{some}{span}"
        body.append(f"<h3>{html.escape(name)}</h3>{_figure(svg, caption)}")
    return "".join(body)


def _membranes(
    traces: Mapping[str, Trace],
    scales: Mapping[str, Mapping[str, npt.ArrayLike]],
    thresholds: Mapping[str, npt.ArrayLike],
    names: Sequence[str],
    sample: int,
    span: str,
) -> str:
    shown = chosen(names, MAX_WAVES)
    label = f"Membranes over time of one neuron each of {', '.join(shown)}: float network and integers over each other."
    svg = draw("membranes", label, lambda: plots.membrane_figure(traces, scales, thresholds, shown, sample))
    caption = (
        "The membrane after each step (after reset), integers divided by their scale. Of each population the neuron is "
        "shown whose spikes differ most in this sample, else the most active one." + span
    )
    return _left_out(shown, names, "populations") + _figure(svg, caption)


def _weights(weights: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> str:
    shown = chosen(list(weights), MAX_POPULATIONS)
    some = {name: weights[name] for name in shown}
    label = f"Histograms of the weights of {', '.join(shown)}, before quantization and after it for every target."
    svg = draw("weights", label, lambda: plots.weight_figure(some))
    caption = "Before: histogram of the float weights. After: how many weights sit on each integer level."
    return _left_out(shown, list(weights), "layers") + _figure(svg, caption)
