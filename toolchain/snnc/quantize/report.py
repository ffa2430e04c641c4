"""Notes as plain data for reports: every value that was clipped, zeroed or rounded, and totals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from snnc.quantize.base import Note

KINDS = ("clipped", "zeroed", "rounded")


def note_json(note: Note) -> dict[str, Any]:
    """One note, JSON-ready. ``changes`` lists index, kind, given and got of every value named."""
    kinds = {index: kind for kind in KINDS for index in getattr(note, kind)}
    return {
        "node": note.node,
        "quantity": note.quantity,
        "format": note.format,
        "count": note.count,
        **{kind: len(getattr(note, kind)) for kind in KINDS},
        "worst": note.worst,
        "worst_index": note.worst_index,
        "changes": [
            {"index": index, "kind": kinds[index], "given": note.given.get(index), "got": note.got.get(index)}
            for index in sorted(kinds)
        ],
    }


def notes_json(notes: Iterable[Note]) -> list[dict[str, Any]]:
    """All notes, JSON-ready, in the order of the graph. A value that was both clipped and zeroed appears once."""
    return [note_json(note) for note in notes]


def totals(notes: Iterable[Note]) -> dict[str, int]:
    """How many numbers there are and how many of them were clipped, zeroed and rounded."""
    found = {"count": 0, **dict.fromkeys(KINDS, 0)}
    for note in notes:
        found["count"] += note.count
        for kind in KINDS:
            found[kind] += len(getattr(note, kind))
    return found


def summary(notes: Iterable[Note]) -> list[str]:
    """One line per note in which something was clipped, zeroed or rounded by more than half a step."""
    lines: list[str] = []
    for note in notes:
        parts = [f"{len(getattr(note, kind))} {kind}" for kind in KINDS if getattr(note, kind)]
        if parts:
            where = f"{note.node}.{note.quantity} ({note.format})"
            lines.append(f"{where}: {', '.join(parts)} of {note.count}; worst error {note.worst:g}")
    return lines
