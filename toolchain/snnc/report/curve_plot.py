"""Accuracy over the number of steps: a drawing and a table."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rich.table import Table

from snnc.conversion import Curve
from snnc.plain import percent
from snnc.report.figures import MUTED, SERIES, draw, grid, new_figure
from snnc.report.text import simple_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADERS = ("steps", "spike counts", "with membrane", "same as ANN", "spikes per sample")


def curve_table(curve: Curve) -> Table:
    """One row per number of steps."""
    rows = [
        (p.steps, percent(p.counts), percent(p.membrane), percent(p.agree), f"{p.spikes:,.0f}") for p in curve.points
    ]
    title = f"{curve.samples:,} samples; without time (ANN): {percent(curve.ann)}"
    return simple_table(HEADERS, rows, title, "rrrrr")


def verdict(curve: Curve) -> str:
    """One line: how many steps are enough."""
    enough = curve.enough()
    if enough is None:
        last = curve.points[-1]
        return f"{last.steps} steps lose {curve.loss:.2f} points: more than one; give more --steps or another --norm"
    return f"{enough} steps are within one point of the ANN"


def curve_svg(curve: Curve) -> bytes | None:
    """The curve as an SVG file; None where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        return None
    text = draw("curve", "accuracy over the number of steps", lambda: _figure(curve))
    return re.sub(r"var\((--[\w-]+), (#\w+)\)", _plain, text).encode()


def _plain(match: re.Match[str]) -> str:
    """A file of its own has no style sheet: each variable becomes a colour."""
    series = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
    name = match.group(1)
    return series[int(name[-1])] if name.startswith("--series") else match.group(2)


def _figure(curve: Curve) -> Figure:
    figure = new_figure(6.4, 3.4)
    ((axes,),) = grid(figure, 1, 1)
    steps = [p.steps for p in curve.points]
    axes.axhline(100 * curve.ann, color=MUTED, linestyle=(0, (4, 2)), label="ANN")
    axes.plot(steps, [100 * p.counts for p in curve.points], color=SERIES[0], marker="o", label="spike counts")
    axes.plot(steps, [100 * p.membrane for p in curve.points], color=SERIES[1], marker="s", label="with membrane")
    axes.set_xscale("log", base=2)
    axes.set_xticks(steps, [str(n) for n in steps])
    axes.minorticks_off()
    axes.set_xlabel("steps")
    axes.set_ylabel("accuracy / %")
    axes.grid(axis="y")
    axes.legend(loc="lower right")
    return figure
