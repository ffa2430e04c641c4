"""What the plots draw, read back from the figures."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.errors import InputError
from snnc.evidence import Evidence
from snnc.report import figures, gallery, plots
from snnc.trace import Trace


def single(spikes: Any, states: Any = None, target: str = "x") -> Trace:
    return Trace("b", target, {"a": np.asarray(spikes, dtype=np.int8)}, states or {})


def test_raster_counts_missing_and_extra() -> None:
    truth = np.zeros((1, 6, 4))
    truth[0, [1, 2, 3], 2] = 1
    found = truth.copy()
    found[0, 2, 2] = 0
    found[0, 5, [0, 1]] = 1
    traces = {"float": single(truth), "loihi1": single(found)}
    figure = plots.raster_figure(traces, "a", 0)
    left, right = figure.axes
    assert left.get_title() == "float: 3 spikes"
    assert right.get_title() == "loihi1: 4 spikes\n1 missing (o), 2 extra (x)"
    assert left.get_xlabel() == "step"
    assert left.get_ylabel() == "neuron"
    ticks = left.lines[0].get_xdata()
    assert sorted(set(np.asarray(ticks)[~np.isnan(np.asarray(ticks))])) == [1, 2, 3]
    assert len(left.lines) == 1
    common, extra, missing = ([np.nanmin(line.get_xdata()), np.nanmax(line.get_xdata())] for line in right.lines)
    assert common == [1, 3]
    assert np.mean(extra) == pytest.approx(5), "crosses"
    assert np.mean(missing) == pytest.approx(2), "rings"


def test_raster_shows_neurons_that_differ_first() -> None:
    truth = np.zeros((5, 300), dtype=np.int8)
    other = truth.copy()
    other[3, [250, 299]] = 1
    rows = plots.shown_neurons([truth, other], 10)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 250, 299]
    assert plots.shown_neurons([truth[:, :4]], 10).tolist() == [0, 1, 2, 3]


def test_telling_neuron() -> None:
    truth = np.zeros((1, 5, 4))
    truth[0, :3, 1] = 1
    assert plots.telling_neuron({"float": single(truth)}, "a", 0) == 1
    other = truth.copy()
    other[0, 4, 3] = 1
    assert plots.telling_neuron({"float": single(truth), "x": single(other)}, "a", 0) == 3


def test_membrane_is_divided_by_its_scale() -> None:
    raw = np.arange(24).reshape(1, 3, 2, 4)
    trace = single(np.zeros((1, 3, 2, 4)), {("a", "v"): raw})
    scale = np.array([[2.0], [4.0]])
    wave = plots.membrane(trace, scale, "a", 0, 5)
    assert wave is not None
    assert wave.tolist() == [5 / 4, 13 / 4, 21 / 4]
    assert plots.membrane(trace, None, "a", 0, 5) is None
    assert plots.membrane(single(raw * 0), 1.0, "a", 0, 5) is None


def test_membrane_figure_has_threshold_units_and_every_series(traces: dict[str, Trace]) -> None:
    scales = {"fixed": {"lif1": 64.0}, "loihi1": {"lif1": 64.0}}
    figure = plots.membrane_figure(traces, scales, {"lif1": 1.25}, ["lif1"], 0)
    (axis,) = figure.axes
    labels = [line.get_label() for line in axis.lines]
    assert [label for label in labels if not str(label).startswith("_")] == ["float", "fixed", "loihi1", "threshold"]
    assert set(np.asarray(axis.lines[labels.index("threshold")].get_ydata())) == {1.25}
    assert "float units" in axis.get_ylabel()
    float_wave = np.asarray(axis.lines[labels.index("float")].get_ydata())
    fixed_wave = np.asarray(axis.lines[labels.index("fixed")].get_ydata())
    assert np.abs(float_wave - fixed_wave).max() <= 0.5 / 64
    unscaled = plots.membrane_figure(traces, {"fixed": {"lif1": 64.0}}, {}, ["lif1"], 0)
    assert "loihi1" not in [line.get_label() for line in unscaled.axes[0].lines]


def test_layer_errors_stand_beside_each_other(evidence: Evidence) -> None:
    figure = plots.layer_error_figure(evidence.layers)
    assert len(figure.axes) == 2
    for axis, target in zip(figure.axes, evidence.targets, strict=True):
        own = [row for row in evidence.layers if row.target == target]
        widths = [patch.get_width() for patch in axis.patches]
        assert widths == [100 * r.teacher_forced_fraction for r in own] + [100 * r.cascaded_fraction for r in own]
        assert [label.get_text() for label in axis.get_yticklabels()] == [row.population for row in own]
        assert "%" in axis.get_xlabel()
    flat = tuple(replace(row, cascaded_differing=0, teacher_forced_differing=0) for row in evidence.layers)
    assert plots.layer_error_figure(flat).axes[0].get_xlim() == (0.0, 1.0)


def test_weights_before_and_after() -> None:
    weight = np.array([0.11, -0.26, 0.24, 0.26])
    figure = plots.weight_figure(
        {"fc": {"float": weight, "fixed": np.rint(weight * 4) / 4, "raw": np.array([0, -1, 1, 1])}}
    )
    before, after, raw = figure.axes
    levels = np.asarray(after.lines[0].get_xdata())
    assert sorted(set(levels[~np.isnan(levels)])) == [-0.25, 0.0, 0.25]
    assert np.nanmax(np.asarray(after.lines[0].get_ydata())) == 2
    assert "3 levels" in after.get_title()
    assert "float units" in before.get_xlabel()
    assert "raw integer" in raw.get_xlabel()
    assert before.get_xlim() == after.get_xlim()
    assert len(plots.weight_figure({"fc": {"float": weight}, "d": {"float": weight, "x": weight}}).axes) == 4


def test_many_layers_are_cut_and_it_is_said(traces: dict[str, Trace]) -> None:
    assert gallery.chosen(list("abcdefgh"), 4) == ["a", "b", "c", "h"]
    weights = {f"fc{n}": {"float": np.arange(3.0)} for n in range(9)}
    ((_, _, body),) = gallery.parts(Evidence(()), {}, {}, {}, weights, 0)
    assert "6 of 9 layers are shown" in body


def test_long_runs_are_cut_and_it_is_said(evidence: Evidence) -> None:
    late = np.zeros((1, 300, 2))
    late[0, 250:, 0] = 1
    trace = single(late, {("a", "v"): late.copy()})
    parts = gallery.parts(Evidence(()), {"float": trace}, {}, {}, {}, 0)
    assert [key for key, _, _ in parts] == ["rasters", "membranes"]
    for _, _, body in parts:
        assert "The first 200 of 300 steps are shown." in body
    assert "Spikes: float 0." in parts[0][2]
    assert "steps are shown" not in str(gallery.parts(Evidence(()), {"float": single(late[:, :9])}, {}, {}, {}, 0))


def test_drawing_is_deterministic_and_colours_are_variables() -> None:
    def build() -> Any:
        figure = figures.new_figure(3, 2)
        axis = figures.grid(figure, 1, 1)[0][0]
        axis.plot([0, 1], [0, 1], color=figures.SERIES[1], marker="o")
        axis.set_title("a $b_1$ <c>")
        return figure

    one, two = figures.draw("k", 'label "1"', build), figures.draw("k", 'label "1"', build)
    assert one == two
    assert 'aria-label="label &quot;1&quot;"' in one
    assert "var(--series1" in one
    assert "a $b_1$ &lt;c&gt;" in one, "a dollar sign in a name is no formula"
    assert "font-family" not in one
    assert "metadata" not in one
    assert all(found.startswith("k-") for found in re.findall(r'\bid="([^"]*)"', one))
    other = figures.draw("q", "x", build)
    assert not set(re.findall(r'\bid="([^"]*)"', one)) & set(re.findall(r'\bid="([^"]*)"', other))


def test_style_of_the_caller_survives() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.draw("k", "x", lambda: figures.new_figure(1, 1))
    assert dict(matplotlib.rcParams) == before
    source = "".join(Path(module.__file__ or "").read_text("utf-8") for module in (figures, plots, gallery))
    assert "pyplot" not in source, "pyplot keeps figures and a backend for the whole process"


def test_missing_matplotlib_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'snnc\[report\]'"):
        figures.draw("k", "x", lambda: figures.new_figure(1, 1))
