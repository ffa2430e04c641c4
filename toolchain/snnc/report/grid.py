"""A table that shows itself without rich, whose import takes longer than a run of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snnc.plain import percent

if TYPE_CHECKING:
    from rich.table import Table

GAP = "  "


@dataclass(frozen=True)
class Grid:
    """Cells in columns: plain text for pipes and files, a rich table on terminals.

    Attributes:
        headers: one per column.
        rows: cells, as many as there are headers.
        title: above the table.
        numbers: one character per column, ``r`` for right-aligned.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str
    numbers: str

    def text(self, rule: str = "─") -> str:
        """The table as lines of text, each as wide as it has to be, and an empty one.

        Args:
            rule: character of the line below the headers.
        """
        columns = list(zip(self.headers, *self.rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        head, *body = (self._line(cells, widths) for cells in (self.headers, *self.rows))
        across = " " + rule * (sum(widths) + len(GAP) * (len(widths) - 1))
        return "\n".join((self.title, "", head, across, *body, ""))

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        placed = zip(cells, widths, self.numbers, strict=True)
        line = GAP.join(text.rjust(width) if side == "r" else text.ljust(width) for text, width, side in placed)
        return f" {line}".rstrip()

    def __rich__(self) -> Table:
        from snnc.report.tables import simple_table

        return simple_table(self.headers, self.rows, self.title, self.numbers)


def run_table(result: Mapping[str, Any]) -> Grid:
    """What ``snnc run`` counted.

    Args:
        result: backend, target, samples, steps, spikes and rates by population, accuracy or None.
    """
    title = f"{result['backend']} / {result['target']}: {result['samples']:,} samples of {result['steps']:,} steps"
    if result.get("accuracy") is not None:
        title += f", accuracy {percent(result['accuracy'])}"
    rows = tuple((name, f"{count:,}", f"{result['rates'][name]:.3g}") for name, count in result["spikes"].items())
    return Grid(("population", "spikes", "spikes per neuron and step"), rows, title, "lrr")


def accumulator_table(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """What the weights prove about every layer's sums, the engine's width that follows, and what a run saw.

    Args:
        rows: fields of :class:`snnc.engine.accumulators.Row`.
    """
    headers = ("layer", "accumulator", "lowest", "highest", "any order", "bits", "seen")
    keys = ("low", "high", "peak", "width", "worst")
    lines = tuple((row["layer"], row["receptor"], *(_count(row[key]) for key in keys)) for row in rows)
    return Grid(headers, lines, "What sums of weights can reach, and how wide the engine adds them", "llrrrrr")


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
