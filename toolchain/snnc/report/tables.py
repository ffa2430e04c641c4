"""Plain tables for terminals; names come from users and are shown as they are, never as markup."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

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
