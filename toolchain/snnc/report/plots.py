"""The plots of a report: rasters side by side, membranes, error by layer, weights before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from snnc.evidence import LayerRow
from snnc.report.figures import INK, MUTED, color, grid, new_figure, whole_ticks
from snnc.report.words import share
from snnc.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
WIDTH = 9.6
MAX_NEURONS = 64
MAX_LEVELS = 160
DASHES = ("-", (0, (4, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1)), (0, (8, 3)))


def flat(trace: Trace, population: str, sample: int) -> Array:
    """Spikes of one sample, [T, neurons]."""
    spikes = trace.spikes[population][sample]
    return np.asarray(spikes.reshape(spikes.shape[0], -1))


def shown_neurons(trains: Sequence[Array], most: int = MAX_NEURONS) -> Array:
    """Which neurons a raster shows: all, or those that differ from the first train and then the lowest, ascending."""
    total = trains[0].shape[1]
    if total <= most:
        return np.arange(total)
    differs = np.zeros(total, dtype=bool)
    for train in trains[1:]:
        differs |= (train != trains[0]).any(axis=0)
    order = np.argsort(~differs, kind="stable")
    return np.sort(order[:most])


def raster_figure(traces: Mapping[str, Trace], population: str, sample: int) -> Figure:
    """Spikes of one population and sample: float left, every other trace beside it with what differs marked.

    Args:
        traces: label -> trace, float first; all hold the population.
        population: which.
        sample: which.
    """
    labels = list(traces)
    trains = [flat(trace, population, sample) for trace in traces.values()]
    rows = shown_neurons(trains)
    height = max(0.06 * len(rows), 0.9)
    figure = new_figure(WIDTH, height + 1.0)
    axes = grid(figure, 1, len(labels), share_x=True, share_y=True)[0]
    steps = trains[0].shape[0]
    cell = ((WIDTH - 0.6) / len(labels) / steps, height / len(rows))
    radius = (0.38 * min(cell) / cell[0], 0.38 * min(cell) / cell[1])
    for axis, label, train in zip(axes, labels, trains, strict=True):
        truth, found = trains[0][:, rows] > 0, train[:, rows] > 0
        missing, extra = truth & ~found, found & ~truth
        _ticks(axis, found & truth, color(labels, label), min(2.2, 30 * cell[0]))
        _crosses(axis, extra, radius)
        _rings(axis, missing, radius)
        count = f"{label}: {int(train.sum()):,} spikes"
        if label != labels[0]:
            all_missing, all_extra = int((trains[0] > train).sum()), int((train > trains[0]).sum())
            count += f"\n{all_missing} missing (o), {all_extra} extra (x)"
        axis.set_title(count)
        axis.set_xlabel("step")
        axis.set_xlim(-0.7, steps - 0.3)
        axis.set_ylim(len(rows) - 0.3, -0.7)
        whole_ticks(axis.xaxis)
        axis.grid(axis="x")
    named = np.arange(0, len(rows), max(1, -(-len(rows) // 10)))
    axes[0].set_yticks(named, [str(int(rows[i])) for i in named])
    axes[0].set_ylabel("neuron")
    return figure


def _ticks(axis: Axes, mask: Array, ink: str, width: float) -> None:
    """Every spike as an upright line."""
    _strokes(axis, mask, np.zeros(2), np.array([-0.4, 0.4]), ink, width)


def _crosses(axis: Axes, mask: Array, radius: tuple[float, float]) -> None:
    across = np.array([-1.0, 1.0, np.nan, -1.0, 1.0])
    down = np.array([-1.0, 1.0, np.nan, 1.0, -1.0])
    _strokes(axis, mask, radius[0] * across, radius[1] * down, INK, 1.3)


def _rings(axis: Axes, mask: Array, radius: tuple[float, float]) -> None:
    angle = np.linspace(0, 2 * np.pi, 9)
    _strokes(axis, mask, radius[0] * np.cos(angle), radius[1] * np.sin(angle), INK, 1.1)


def _strokes(axis: Axes, mask: Array, dx: Array, dy: Array, ink: str, width: float) -> None:
    """The same little polyline around every set place of the mask; all of them are one path."""
    step, row = np.nonzero(mask)
    if step.size:
        xs = np.pad(step[:, None] + dx, [(0, 0), (0, 1)], constant_values=np.nan)
        ys = np.pad(row[:, None] + dy, [(0, 0), (0, 1)], constant_values=np.nan)
        axis.plot(xs.ravel(), ys.ravel(), color=ink, linewidth=width, solid_capstyle="butt")


def telling_neuron(traces: Mapping[str, Trace], population: str, sample: int) -> int:
    """Flat index of the neuron worth a look: most differing bins, then most spikes of float, then the lowest."""
    trains = [flat(trace, population, sample).astype(np.int64) for trace in traces.values()]
    differing = sum((np.abs(train - trains[0]).sum(axis=0) for train in trains[1:]), np.zeros(trains[0].shape[1]))
    return int(np.lexsort((-trains[0].sum(axis=0), -differing))[0])


def membrane_figure(
    traces: Mapping[str, Trace],
    scales: Mapping[str, Mapping[str, npt.ArrayLike]],
    thresholds: Mapping[str, npt.ArrayLike],
    populations: Sequence[str],
    sample: int,
) -> Figure:
    """The membrane of one telling neuron of each population, float against integers divided by their scale.

    Args:
        traces: label -> trace, float first.
        scales: label -> population -> raw state units per 1.0; a trace without a scale is left out.
        thresholds: population -> threshold in the float network's units; may be incomplete.
        populations: which; every one has a membrane in the float trace.
        sample: which.
    """
    figure = new_figure(WIDTH, 0.5 + 2.1 * len(populations))
    axes = [row[0] for row in grid(figure, len(populations), 1, share_x=True)]
    labels = list(traces)
    for axis, population in zip(axes, populations, strict=True):
        have = {k: t for k, t in traces.items() if population in t.spikes}
        neuron = telling_neuron(have, population, sample)
        shape = have[labels[0]].spikes[population].shape[2:]
        for rank, label in enumerate(labels):
            scale = 1.0 if rank == 0 else scales.get(label, {}).get(population)
            wave = membrane(traces[label], scale, population, sample, neuron)
            if wave is not None:
                _wave(axis, wave, label, rank, color(labels, label))
                _spikes(axis, flat(have[label], population, sample)[:, neuron], rank, color(labels, label))
        if population in thresholds:
            level = float(np.broadcast_to(np.asarray(thresholds[population], dtype=np.float64), shape).flat[neuron])
            axis.axhline(level, color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)), label="threshold", zorder=1)
        index = tuple(int(i) for i in np.unravel_index(neuron, shape))
        place = index[0] if len(index) == 1 else index
        axis.set_title(f"{population}, neuron {place}, sample {sample}")
        axis.set_ylabel("membrane v\n(float units)")
        axis.margins(x=0.01, y=0.08)
        low, high = axis.get_ylim()
        axis.set_ylim(low - 0.07 * len(labels) * (high - low), high)
        axis.grid()
        whole_ticks(axis.xaxis, 12)
    axes[-1].set_xlabel("step (dots at the lower edge: spikes)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=min(len(names), 6))
    return figure


def membrane(
    trace: Trace, scale: npt.ArrayLike | None, population: str, sample: int, neuron: int
) -> npt.NDArray[np.float64] | None:
    """The membrane of one neuron over time in float units, or None if it was not recorded or has no scale."""
    values = trace.states.get((population, "v"))
    if values is None or scale is None or population not in trace.spikes:
        return None
    factor = np.broadcast_to(np.asarray(scale, dtype=np.float64), values.shape[2:]).reshape(-1)[neuron]
    return np.asarray(values[sample].reshape(values.shape[1], -1)[:, neuron] / factor, dtype=np.float64)


def _wave(axis: Axes, wave: Array, label: str, rank: int, ink: str) -> None:
    """Float wide and pale, so that integers on top of it do not hide it."""
    look: dict[str, Any] = {"linewidth": 4.2, "alpha": 0.45} if rank == 0 else {"linewidth": 1.5}
    axis.plot(wave, color=ink, linestyle=DASHES[rank % len(DASHES)] if rank else "-", label=label, **look)


def _spikes(axis: Axes, train: Array, rank: int, ink: str) -> None:
    """Spikes as dots in a row of their own below the waves."""
    steps = np.flatnonzero(train)
    height = np.full(steps.shape, 0.02 + 0.055 * rank)
    axis.plot(
        steps, height, color=ink, marker="o", markersize=3.4, linestyle="none",
        transform=axis.get_xaxis_transform(), clip_on=False,
    )  # fmt: skip


def layer_error_figure(rows: Sequence[LayerRow]) -> Figure:
    """Bins that differ from the float network by layer: teacher-forced beside cascaded, one panel per target."""
    targets = list(dict.fromkeys(row.target for row in rows))
    tallest = max(sum(row.target == target for row in rows) for target in targets)
    figure = new_figure(WIDTH, 1.3 + 0.55 * tallest)
    axes = grid(figure, 1, len(targets), share_x=True)[0]
    labels = ["float", *targets]
    most = max(100 * max(row.cascaded_fraction, row.teacher_forced_fraction) for row in rows)
    for axis, target in zip(axes, targets, strict=True):
        own = [row for row in rows if row.target == target]
        place = np.arange(len(own))
        ink = color(labels, target)
        kinds = (("teacher_forced", -0.19, 0.5), ("cascaded", 0.19, 1.0))
        for key, shift, alpha in kinds:
            values = [100 * getattr(row, f"{key}_fraction") for row in own]
            hatch = "////" if key == "teacher_forced" else None
            axis.barh(place + shift, values, 0.34, color=ink, alpha=alpha, hatch=hatch)
            for row, at, value in zip(own, place + shift, values, strict=True):
                text = share(getattr(row, f"{key}_differing"), row.compared)
                axis.annotate(text, (value, at), (4, 0), textcoords="offset points", va="center", fontsize=8)
        axis.set_yticks(place, [row.population for row in own])
        axis.set_ylim(len(own) - 0.5, -0.5)
        axis.set_xlim(0, most * 1.3 or 1.0)
        axis.set_title(target)
        axis.set_xlabel("bins unlike float (%)")
        axis.grid(axis="x")
    figure.legend(handles=_kinds(), loc="outside upper right", ncols=2)
    return figure


def _kinds() -> list[Any]:
    """Legend entries that stand for every target's colour."""
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=MUTED, alpha=0.5, hatch="////", label="teacher-forced: fed by the float network's spikes"),
        Patch(facecolor=MUTED, label="cascaded: fed by the integer layer before"),
    ]


def weight_figure(weights: Mapping[str, Mapping[str, Array]]) -> Figure:
    """Weights of every layer: float as a histogram, each target's as the levels that it uses.

    Args:
        weights: layer -> ``float`` or target -> weights; floats in the float network's unit, or raw integers.
    """
    columns = list(dict.fromkeys(["float", *(label for entry in weights.values() for label in entry)]))
    figure = new_figure(WIDTH, 0.3 + 1.75 * len(weights))
    axes = grid(figure, len(weights), len(columns))
    for row, (layer, entry) in zip(axes, weights.items(), strict=True):
        real = [a for a in entry.values() if np.asarray(a).dtype.kind == "f" and np.asarray(a).size]
        low, high = (float(f([f(a) for a in real])) for f in (np.min, np.max)) if real else (0.0, 0.0)
        pad = 0.04 * (high - low) or 1.0
        for axis, label in zip(row, columns, strict=True):
            values = np.asarray(entry.get(label, np.zeros(0))).ravel()
            if not values.size:
                axis.set_axis_off()
                continue
            unit = _weights(axis, values, color(columns, label), bars=label == "float")
            raw = values.dtype.kind != "f"
            axis.set_title(f"{layer}, {label}{unit}")
            axis.set_xlabel("weight (raw integer)" if raw else "weight (float units)")
            if not raw and real:
                axis.set_xlim(low - pad, high + pad)
            axis.set_ylim(bottom=0)
            axis.locator_params(axis="x", nbins=5)
            whole_ticks(axis.yaxis, 4)
            axis.grid(axis="y")
        row[0].set_ylabel("weights")
    return figure


def _weights(axis: Axes, values: Array, ink: str, *, bars: bool) -> str:
    """Draws the weights of one cell; returns what to add to its title."""
    levels, counts = np.unique(values, return_counts=True)
    if bars or len(levels) > MAX_LEVELS:
        axis.hist(values, bins=min(60, max(8, len(levels))), color=ink, alpha=0.75, histtype="stepfilled")
        return "" if bars else f" ({len(levels)} levels)"
    gap = np.full(levels.shape, np.nan)
    xs = np.stack([levels, levels, gap], axis=1).ravel()
    ys = np.stack([np.zeros_like(gap), counts, gap], axis=1).ravel()
    axis.plot(xs, ys, color=ink, linewidth=min(3.0, 150 / len(levels)), solid_capstyle="butt")
    return f" ({len(levels)} levels)"
