"""Matplotlib figures as inline SVG: no global state, the same input gives the same bytes, light and dark mode.

Colours are drawn as placeholders that become CSS variables, so that a page's style sheet decides them.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from snnc.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#010100", "#010200", "#010300"
SERIES = ("#020100", "#020200", "#020300", "#020400", "#020500", "#020600")
PAPER = "#030100"
VARIABLES = {
    INK: "var(--ink, #1f2328)",
    MUTED: "var(--muted, #59636e)",
    GRID: "var(--grid, #d1d9e0)",
    PAPER: "var(--paper, #ffffff)",
    **{color: f"var(--series{n}, #0072b2)" for n, color in enumerate(SERIES)},
}
RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "snnc",
    "path.simplify": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.parse_math": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.color": PAPER,
    "hatch.linewidth": 1.2,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
MISSING = "plots need matplotlib, which is not installed: pip install 'snnc[report]'"


def draw(key: str, label: str, build: Callable[[], Figure]) -> str:
    """Runs ``build`` under this package's style and returns its figure as an ``<svg>`` element.

    Args:
        key: unique on the page; prefix of every id inside the drawing.
        label: what the drawing shows, for people who do not see it.
        build: makes the figure.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError(MISSING) from error
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        style: Any = matplotlib.rcParams
        style.update(RC)
        buffer = io.StringIO()
        build().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return inline(buffer.getvalue(), key, label)


def inline(svg: str, key: str, label: str) -> str:
    """An SVG file as an element of an HTML page: no prolog, unique ids, colours from the style sheet."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r"\s*xmlns:xlink=\"[^\"]*\"", "", body).replace("xlink:href", "href")
    body = re.sub(r'\bid="', f'id="{key}-', body)
    body = body.replace("url(#", f"url(#{key}-").replace('href="#', f'href="#{key}-')
    body = re.sub(r"#0[123]0[1-6]00", lambda match: VARIABLES[match.group()], body)
    body = re.sub(r"\n\s*", "\n", re.sub(r"-?\d+\.\d{3,}", _short, body))
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    head, rest = body.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    name = html.escape(label, quote=True)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box.group()} role="img" aria-label="{name}">{rest}'


def _short(number: re.Match[str]) -> str:
    """A hundredth of a point is less than anybody sees."""
    return f"{float(number.group()):.2f}".rstrip("0").rstrip(".")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) that belongs to nobody but its caller."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def grid(
    figure: Figure, rows: int, columns: int, *, share_x: str | bool = False, share_y: str | bool = False
) -> list[list[Axes]]:
    """Axes by row and column."""
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=share_y)  # type: ignore[arg-type]
    return [list(row) for row in axes]


def whole_ticks(axis: Any, most: int = 8) -> None:
    """Ticks at whole numbers only, at most so many."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, integer=True))


def color(labels: Sequence[str], label: str) -> str:
    """The colour of a series: float first, then the others in order."""
    return SERIES[list(labels).index(label) % len(SERIES)]
