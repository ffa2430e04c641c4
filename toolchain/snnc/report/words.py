"""How numbers and verdicts are written, the same in text and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snnc.evidence import BudgetResult, Evidence, Rung
from snnc.plain import known, percent
from snnc.quantize.base import Note

NONE = "n/a"


def number(value: float | None, digits: int = 4) -> str:
    """A float in few digits, or ``n/a``."""
    finite = known(value)
    return NONE if finite is None else f"{finite:.{digits}g}"


def amount(value: object) -> str:
    """A cell of a back end's table: a text, a number, or ``used / max``."""
    if isinstance(value, (list, tuple)):
        return " / ".join(amount(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def own_rows(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> tuple[str, list[str], list[list[str]]]:
    """A back end's table as text: caption, headers and lines; every maximum is said once, in a last line.

    Args:
        title: of the table.
        columns: their names.
        rows: texts, numbers and pairs (used, max); what all of several rows share goes into the caption.
    """
    cells = list(zip(*rows, strict=True))
    same = [len(rows) > 1 and all(value == column[0] for value in column) for column in cells]
    kept = [i for i, alike in enumerate(same) if not alike] or [0]
    shared = [f"{columns[i]} {amount(cells[i][0])}" for i in range(len(columns)) if i not in kept]
    most = [_common_maximum(cells[i]) for i in kept]
    lines = [[amount(row[i][0] if m else row[i]) for i, m in zip(kept, most, strict=True)] for row in rows]  # type: ignore[index]
    if any(most):
        lines.append([m or "" for m in most])
        lines[-1][0] = lines[-1][0] or "of"
    return "; ".join([title, *shared]), [columns[i] for i in kept], lines


def _common_maximum(cells: Sequence[object]) -> str:
    """The maximum of all pairs of a column, or nothing."""
    found = {amount(cell[1]) if isinstance(cell, (list, tuple)) and len(cell) == 2 else "" for cell in cells}
    return found.pop() if len(found) == 1 else ""


def share(part: int, whole: int) -> str:
    """A part in percent that never rounds something to nothing."""
    if not whole:
        return NONE
    value = 100 * part / whole
    if 0 < value < 0.01:
        return "< 0.01 %"
    if part < whole and value > 99.99:
        return "> 99.99 %"
    return f"{value:.2f} %"


def verdict(passed: bool) -> str:
    """``pass`` or ``FAIL``."""
    return "pass" if passed else "FAIL"


def outcome(rung: Rung) -> str:
    """``pass``, ``FAIL``, ``skipped``, or ``approximated (1.25 %)`` for a pass that may change spikes and did."""
    if rung.skipped:
        return "skipped"
    if rung.passed and rung.rung == 2 and rung.differing:
        return f"approximated ({share(rung.differing, rung.compared)})"
    return verdict(rung.passed)


def approximations(evidence: Evidence) -> list[str]:
    """One sentence per pass that changed spikes with the user's leave, with how many."""
    found = (r for r in evidence.rungs if r.rung == 2 and r.passed and r.differing)
    lines = (
        f"approximated: {r.right.removeprefix('after ')} changed {r.differing:,} of {r.compared:,} spike bins "
        f"({share(r.differing, r.compared)})"
        for r in found
    )
    return list(dict.fromkeys(lines))


def rungs_of(rungs: Sequence[Rung], target: str) -> str:
    """Which rungs passed and which did not for one target: ``3, 4, 5 pass`` or ``3, 4 pass; 5 FAIL``."""
    states: dict[int, bool] = {}
    for rung in rungs:
        if rung.target == target and not rung.skipped:
            states[rung.rung] = states.get(rung.rung, True) and rung.passed
    groups = [
        f"{', '.join(str(n) for n in sorted(states) if states[n] is passed)} {verdict(passed)}"
        for passed in (True, False)
        if passed in states.values()
    ]
    left = sorted({rung.rung for rung in rungs if rung.target == target and rung.skipped})
    groups += [f"{', '.join(map(str, left))} skipped"] if left else []
    return "; ".join(groups) or NONE


def remarks(evidence: Evidence) -> list[str]:
    """One sentence per rung that was skipped and per executor that has something to say."""
    found = (r for r in evidence.rungs if r.rung == 5 and (r.skipped or (r.passed and r.detail)))
    return [f"{r.title} [{r.target}] {'skipped: ' if r.skipped else ''}{r.detail}" for r in found]


ACCURACY_HEADERS = ("network", "accuracy", "points", "unlike float", "unlike reference", "rungs")
LADDER_HEADERS = ("rung", "left", "right", "target", "compared", "differing", "when", "result")
BUDGET_HEADERS = ("demand", "target", "found", "allowed", "result")
LAYER_HEADERS = (
    "target",
    "population",
    "spikes",
    "teacher-forced",
    "cascaded",
    "v forced",
    "v cascaded",
)
NOTE_HEADERS = ("target", "node", "quantity", "format", "numbers", "clipped", "zeroed", "rounded", "largest error")


def accuracy_rows(evidence: Evidence) -> list[tuple[str, ...]]:
    """One row per network: float first, then every integer network."""
    names = dict.fromkeys((*evidence.accuracy, *evidence.targets, *(r.target for r in evidence.rungs if r.target)))
    base = known(evidence.accuracy.get("float"))
    rows: list[tuple[str, ...]] = []
    for name in sorted(names, key=lambda n: n != "float"):
        value = known(evidence.accuracy.get(name))
        points = None if base is None or value is None or name == "float" else 100 * (value - base)
        own = [row for row in evidence.layers if row.target == name]
        exact = [r for r in evidence.rungs if r.target == name and r.rung in (4, 5)]
        differing, compared = sum(r.cascaded_differing for r in own), sum(r.compared for r in own)
        unlike = f"{differing:,} ({share(differing, compared)})" if own else NONE
        rows.append(
            (
                name,
                percent(value),
                NONE if points is None else f"{points:+.2f}",
                unlike if name != "float" else "",
                f"{sum(r.differing for r in exact):,}" if exact else ("" if name == "float" else NONE),
                rungs_of(evidence.rungs, "" if name == "float" else name),
            )
        )
    return rows


def ladder_rows(evidence: Evidence) -> list[tuple[str, ...]]:
    """One row per rung."""
    return [
        (
            str(r.rung),
            r.left,
            r.right,
            r.target or "all",
            f"{r.compared:,}",
            f"{r.differing:,}",
            r.when,
            outcome(r),
        )
        for r in evidence.rungs
    ]


def budget_rows(evidence: Evidence) -> list[tuple[str, ...]]:
    """One row per demand and target."""
    return [(_demand(r), r.target, *_amounts(r), r.verdict) for r in evidence.budget_results]


def _demand(result: BudgetResult) -> str:
    names = {
        "accuracy_points": "accuracy loss",
        "spike_mismatch": "bins unlike float",
    }
    return names.get(result.quantity, result.quantity)


def _amounts(result: BudgetResult) -> tuple[str, str]:
    if result.quantity == "accuracy_points":
        found = NONE if result.found is None else f"{result.found:.2f} points"
        return found, f"{result.allowed:.2f} points"
    return percent(result.found), f"{100 * result.allowed:g} %"


def layer_rows(evidence: Evidence, *, counts: bool = True) -> list[tuple[str, ...]]:
    """One row per target and population; bins as ``12 (0.40 %)``, or without counts as ``0.40 %``."""

    def bins(differing: int, compared: int) -> str:
        part = share(differing, compared)
        return f"{differing:,} ({part})" if counts else part

    return [
        (
            row.target,
            row.population,
            f"{row.spikes_float:,}",
            bins(row.teacher_forced_differing, row.compared),
            bins(row.cascaded_differing, row.compared),
            number(row.v_rms_forced, 3),
            number(row.v_rms_cascaded, 3),
        )
        for row in evidence.layers
    ]


def note_rows(notes: Mapping[str, Sequence[Note]]) -> list[tuple[str, ...]]:
    """One row per target, node and quantity."""
    return [
        (
            target,
            note.node,
            note.quantity,
            note.format,
            f"{note.count:,}",
            f"{len(note.clipped):,}",
            f"{len(note.zeroed):,}",
            f"{len(note.rounded):,}",
            number(note.worst, 3),
        )
        for target, entries in notes.items()
        for note in entries
    ]


def worst_line(evidence: Evidence) -> str:
    """The worst layer in one sentence, with the first difference of its target; empty if no layer was measured."""
    worst = evidence.worst
    if worst is None:
        return ""
    place = f"{worst.population} on {worst.target}"
    if not worst.cascaded_differing:
        return "every spike of every layer equals the float network's"
    count = f"{worst.cascaded_differing:,} of {worst.compared:,} bins differ from float"
    first = evidence.first_differences.get(worst.target, "")
    return f"worst layer: {place}, {count}" + (f"; first at {first}" if first else "")


def failures(evidence: Evidence) -> list[str]:
    """One line per failed rung and broken demand; says so if no rung was climbed."""
    lines = [str(violation) for violation in evidence.violations]
    return (
        lines
        if any(not rung.skipped for rung in evidence.rungs)
        else ["no rung was climbed, so nothing is proven", *lines]
    )
