"""Plain tables for terminals; names come from users and are shown as they are, never as markup."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from snnc.plain import percent

STYLES = {"pass": "green", "ok": "green", "FAIL": "bold red", "missing": "yellow", "broken": "bold red"}


def simple_table(headers: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", numbers: str = "") -> Table:
    """A table of plain cells.

    Args:
        headers: one per column.
        rows: cells; anything but text is turned into it.
        title: above the table.
        numbers: one character per column, ``r`` for right-aligned; empty for none.
    """
    head = Text(title, style="bold") if title else None
    table = Table(box=box.SIMPLE_HEAD, title=head, title_justify="left", pad_edge=False, collapse_padding=True)
    for index, header in enumerate(headers):
        right = index < len(numbers) and numbers[index] == "r"
        table.add_column(Text(header), justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    return table


def cell(value: object) -> Text:
    """A cell, coloured by a verdict at its end."""
    text = "" if value is None else str(value)
    last = text.rsplit(" ", 1)[-1]
    return Text(text, style=STYLES.get(text, STYLES.get(last, "")))


def render(*parts: RenderableType, width: int = 120) -> str:
    """Renderables as plain text, for files and tests."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    for part in parts:
        console.print(part)
    return stream.getvalue()


def run_table(result: Mapping[str, Any]) -> Table:
    """What ``snnc run`` counted.

    Args:
        result: backend, target, samples, steps, spikes and rates by population, accuracy or None.
    """
    title = f"{result['backend']} / {result['target']}: {result['samples']:,} samples of {result['steps']:,} steps"
    if result.get("accuracy") is not None:
        title += f", accuracy {percent(result['accuracy'])}"
    rows = [(name, f"{count:,}", f"{result['rates'][name]:.3g}") for name, count in result["spikes"].items()]
    return simple_table(("population", "spikes", "spikes per neuron and step"), rows, title, "lrr")


def accumulator_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What the weights prove about every layer's sums, the engine's width that follows, and what a run saw.

    Args:
        rows: fields of :class:`snnc.engine.accumulators.Row`.
    """
    headers = ("layer", "accumulator", "lowest", "highest", "any order", "bits", "seen")
    keys = ("low", "high", "peak", "width", "worst")
    lines = [(row["layer"], row["receptor"], *(_count(row[key]) for key in keys)) for row in rows]
    return simple_table(headers, lines, "What sums of weights can reach, and how wide the engine adds them", "llrrrrr")


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
