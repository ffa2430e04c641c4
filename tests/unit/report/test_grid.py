"""A grid as text shows what rich shows of it."""

from __future__ import annotations

from snnc.report.grid import Grid
from snnc.report.tables import render

GRID = Grid(
    ("layer", "spikes", "rate"), (("conv[bold]1", "1,234", "0.5"), ("a", "5", "0.0625"), ("é", "", ":smile:")),
    "seen in 3 layers", "lrr",
)  # fmt: skip


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_text_is_what_rich_shows() -> None:
    assert lines(GRID.text() + "\n") == lines(render(GRID))


def test_a_narrow_console_breaks_what_text_does_not() -> None:
    """Negative control: the comparison above sees lines that are broken."""
    assert lines(GRID.text() + "\n") != lines(render(GRID, width=12))


def test_the_rule_is_chosen_by_the_stream() -> None:
    assert "----" in GRID.text("-")
    assert "─" not in GRID.text("-")


def test_nothing_to_show_is_a_head() -> None:
    assert Grid(("a", "b"), (), "t", "lr").text() == "t\n\n a  b\n ────\n"
