"""Reports for terminals, as rich renderables. Names come from users: they are shown as they are, never as markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from snnc.comparison import Comparison, Tally
from snnc.evidence import Evidence
from snnc.quantize.base import Note
from snnc.report import words
from snnc.report.grid import accumulator_table, run_table
from snnc.report.tables import cell, render, simple_table

__all__ = [
    "accuracy_table",
    "bound",
    "budget_table",
    "check_parts",
    "comparison_table",
    "compile_parts",
    "evidence_parts",
    "inspect_parts",
    "ladder_table",
    "layer_table",
    "note_summary",
    "note_table",
    "own_table",
    "register_parts",
    "render",
    "run_table",
    "shape",
    "simple_table",
    "target_parts",
    "utilization_table",
    "verdict_line",
]


def accuracy_table(evidence: Evidence) -> Table:
    """Float, fixed and every back end: accuracy, spikes that differ, rungs."""
    title = f"{evidence.samples:,} samples of {evidence.steps:,} steps"
    return simple_table(words.ACCURACY_HEADERS, words.accuracy_rows(evidence), title, "lrrrrl")


def ladder_table(evidence: Evidence) -> Table:
    """Every rung that was climbed."""
    headers = ("rung", "comparison", "target", "compared", "differing", "result")
    rows = [
        (r.rung, r.sides, r.target or "all", f"{r.compared:,}", f"{r.differing:,}", words.outcome(r))
        for r in evidence.rungs
    ]
    return simple_table(headers, rows, "Ladder", "rllrrl")


def budget_table(evidence: Evidence) -> Table:
    """Every demand of the budget."""
    return simple_table(words.BUDGET_HEADERS, words.budget_rows(evidence), "Budget", "llrrl")


def layer_table(evidence: Evidence) -> Table:
    """Share of bins that differ from the float network, by layer; v error is the membrane's rms in float units."""
    rows = words.layer_rows(evidence, counts=False)
    return simple_table(words.LAYER_HEADERS, rows, "Bins unlike float, by layer", "llrrrrr")


def note_table(notes: Mapping[str, Sequence[Note]]) -> Table:
    """What quantization did to every quantity, by target."""
    return simple_table(words.NOTE_HEADERS, words.note_rows(notes), "Quantization", "llllrrrrr")


def note_summary(notes: Mapping[str, Sequence[Note]]) -> Text:
    """One line per target: how many numbers were clipped, zeroed or rounded by more than half a step."""
    lines = []
    for target, entries in notes.items():
        total = sum(n.count for n in entries)
        clipped, zeroed, rounded = (sum(len(getattr(n, k)) for n in entries) for k in ("clipped", "zeroed", "rounded"))
        lines.append(
            f"{target}: {total:,} numbers quantized, {clipped:,} clipped, {zeroed:,} became zero, "
            f"{rounded:,} moved by more than half a step"
        )
    return Text("\n".join(lines))


def utilization_table(utilization: Mapping[str, Mapping[str, tuple[int, int]]]) -> Table:
    """Resources used, by target."""
    rows = [
        (target, resource, f"{used:,}", f"{most:,}", words.share(used, most))
        for target, resources in utilization.items()
        for resource, (used, most) in resources.items()
    ]
    return simple_table(("target", "resource", "used", "of", "share"), rows, "Resources", "llrrr")


def own_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], most: int = 64) -> Table:
    """A back end's own table, such as one row per core; what all rows share stands in the title.

    Args:
        title: above the table.
        columns: their names.
        rows: texts, numbers and pairs (used, max).
        most: rows that are shown; JSON output has all of them.
    """
    head, headers, lines = words.own_rows(title.capitalize(), columns, rows)
    if len(rows) > most:
        rest = f"and {len(rows) - most:,} more"
        lines[most : len(rows)] = [[rest, *("" for _ in headers[1:])]]
    numbers = "".join("l" if isinstance(rows[0][columns.index(name)], str) else "r" for name in headers)
    table = simple_table([name.replace(" ", "\n") for name in headers], lines, head, numbers)
    for column in table.columns:
        column.no_wrap = False
    return table


def verdict_line(evidence: Evidence) -> Text:
    """The result in one line, and below it what failed."""
    if evidence.passed:
        climbed = sum(not rung.skipped for rung in evidence.rungs)
        skipped = len(evidence.rungs) - climbed
        count = f"{climbed} rungs climbed{f', {skipped} skipped' if skipped else ''}"
        return Text(f"PASS: {count}, the budget is kept", style="bold green")
    lines = ["FAIL", *(f"  - {line}" for line in words.failures(evidence))]
    return Text("\n".join(lines), style="bold red")


def evidence_parts(evidence: Evidence) -> list[RenderableType]:
    """Everything that validation found, for ``console.print`` one after the other."""
    parts: list[RenderableType] = [accuracy_table(evidence), ladder_table(evidence)]
    if evidence.layers:
        parts.append(layer_table(evidence))
    if evidence.budget_results:
        parts.append(budget_table(evidence))
    worst = words.worst_line(evidence)
    if worst:
        parts.append(Text(worst))
    parts += [Text(line, style="yellow") for line in (*words.approximations(evidence), *words.remarks(evidence))]
    return [*parts, verdict_line(evidence)]


def compile_parts(
    evidence: Evidence,
    notes: Mapping[str, Sequence[Note]],
    utilization: Mapping[str, Mapping[str, tuple[int, int]]] | None = None,
) -> list[RenderableType]:
    """What ``snnc compile`` shows: quantization by target, resources, and the evidence."""
    parts: list[RenderableType] = [note_summary(notes)] if notes else []
    if utilization and any(utilization.values()):
        parts.append(utilization_table(utilization))
    return [*parts, *evidence_parts(evidence)]


def comparison_table(comparison: Comparison) -> Table:
    """Two traces, one row per population and quantity."""
    rows = []
    for layer in comparison.layers:
        for quantity, tally in {"spike": layer.spikes, **layer.states}.items():
            rows.append((layer.population, quantity, *_tally(tally)))
    headers = ("population", "quantity", "compared", "differing", "first step", "result")
    return simple_table(headers, rows, f"{comparison.left} / {comparison.right}", "llrrrl")


def _tally(tally: Tally) -> tuple[str, str, str, str]:
    first = "" if tally.first_step is None else str(tally.first_step)
    return f"{tally.compared:,}", f"{tally.differing:,}", first, "differs" if tally.differing else "equal"


def check_parts(report: Mapping[str, Any]) -> list[RenderableType]:
    """What ``snnc check`` found: one verdict per target, and every broken rule."""
    parts: list[RenderableType] = []
    nodes = [(n["name"], n["type"], shape(n["shape"])) for n in report["nodes"]]
    parts.append(simple_table(("node", "type", "shape"), nodes, str(report["model"])))
    for target, found in report["targets"].items():
        parts.append(Text.assemble(f"{target}: ", cell("ok" if found["ok"] else "FAIL")))
        if not found["ok"]:
            keys = ("node", "quantity", "found", "allowed", "fix")
            rows = [tuple(v[key] for key in keys) for v in found["violations"]]
            parts.append(simple_table(("node", "quantity", "found", "allowed", "what to do"), rows))
    return parts


def inspect_parts(report: Mapping[str, Any]) -> list[RenderableType]:
    """What ``snnc inspect`` shows of a compiled folder."""
    model = ", ".join(f"{key} {value}" for key, value in report["model"].items())
    parts: list[RenderableType] = [Text(model, style="bold")]
    for target, found in report["targets"].items():
        head = f"{target} on {found['backend']}, {found['steps_behind']} steps behind, digest {found['digest'][:12]}"
        rows = []
        for node in found["nodes"]:
            formats = ", ".join(f"{key} {value}" for key, value in node["formats"].items())
            latency = "" if node["latency"] is None else node["latency"]
            rows.append((node["name"], node["type"], shape(node["shape"]), latency, formats))
        parts.append(simple_table(("node", "type", "shape", "latency", "formats"), rows, head, "lllr"))
        used = {target: {key: (int(a), int(b)) for key, (a, b) in found["utilization"].items()}}
        if used[target]:
            parts.append(utilization_table(used))
        parts += [own_table(title, t["columns"], t["rows"]) for title, t in found.get("tables", {}).items()]
        parts += register_parts(found.get("registers", ()), found.get("overflows", {}))
        if found.get("accumulators"):
            parts.append(accumulator_table(found["accumulators"]))
        changed = [n for n in found.get("notes", ()) if n["clipped"] or n["zeroed"] or n["rounded"]]
        keys = ("node", "quantity", "format", "count", "clipped", "zeroed", "rounded")
        lines = [(*(n[key] for key in keys), words.number(n["worst"], 3)) for n in changed]
        heads = ("node", "quantity", "format", "numbers", "clipped", "zeroed", "rounded", "largest error")
        title = "What quantization changed" if changed else "Quantization moved nothing by more than half a step"
        parts.append(simple_table(heads, lines, title, "lllrrrrr"))
    files = [(name, str(value)[:16]) for name, value in report["files"].items()]
    parts.append(simple_table(("file", "sha256"), files, "Files"))
    return parts


def register_parts(
    registers: Sequence[Mapping[str, Any]], overflows: Mapping[str, Mapping[str, Any]]
) -> list[RenderableType]:
    """Bounds of registers, and whether other readings of the chip's registers give the same spikes and states."""
    if not registers:
        return []
    rows = [
        (r["population"], r["quantity"], bound(r["low"]), bound(r["high"]), r["bits"], "safe" if r["safe"] else "open")
        for r in registers
    ]
    headers = ("population", "register", "lowest", "highest", "bits", "overflow")
    parts: list[RenderableType] = [simple_table(headers, rows, "What registers can hold, for any input", "llrrr")]
    for name, found in overflows.items():
        end = "; ".join(found["open"])
        proof = "proven to compute the same for any input" if not end else f"not proven to compute the same: {end}"
        parts.append(Text(f"--overflow {name}: {'in use' if found['used'] else proof}"))
    return parts


def bound(value: float | None) -> str:
    """A bound; None is none."""
    return "none" if value is None else f"{value:,.0f}"


def target_parts(report: Mapping[str, Any]) -> list[RenderableType]:
    """What ``snnc targets show`` knows of one target."""
    low, high = report["weight_bits"]
    head = f"{report['name']} (back end {report['backend']}): {report['summary']}; weights of {low} to {high} bits"
    parts: list[RenderableType] = [Text(head, style="bold")]
    parts.append(simple_table(("convention", "value"), report["conventions"].items(), "Conventions"))
    parts.append(simple_table(("quantity", "format"), report["formats"].items(), "Formats"))
    limits = [(key, f"{v['value']:,}", v["unit"], v["source"]) for key, v in report["limits"].items()]
    parts.append(simple_table(("limit", "value", "unit", "source"), limits, "Limits", "lr"))
    rules = [(entry["rule"],) for entry in report["rules"]]
    return [*parts, simple_table(("what it demands",), rules, "Rules")]


def shape(sizes: Sequence[int]) -> str:
    """``1 x 8 x 8``; a scalar is ``1``."""
    return " x ".join(str(size) for size in sizes) or "1"
