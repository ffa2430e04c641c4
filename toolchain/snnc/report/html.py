"""One self-contained HTML page: no script, no font, no picture from anywhere else; the same input, the same bytes."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from snnc.errors import InputError
from snnc.evidence import Evidence
from snnc.quantize.base import Note
from snnc.report import gallery, words
from snnc.report.style import CSS
from snnc.trace import Trace

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
NUMBERS = frozenset(
    {
        "accuracy", "points", "unlike float", "unlike reference", "compared", "differing", "rung",
        "found", "allowed", "spikes", "teacher-forced", "cascaded", "v forced", "v cascaded",
        "numbers", "clipped", "zeroed", "rounded", "largest error", "used", "of", "share",
    }
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PageData:
    """What the page shows; every part but title and evidence may be left out.

    Attributes:
        title: of the page.
        evidence: what validation found.
        utilization: target -> resource -> (used, max).
        notes: target -> what quantization did.
        traces: label -> trace; the first is the float network, the others are targets. With states, membranes are
            shown.
        scales: target -> population -> raw state units per 1.0 of the float network.
        weights: layer -> ``float`` or target -> weights, in the float network's unit or as raw integers.
        thresholds: population -> threshold in the float network's unit, broadcastable to the population's shape.
        config: settings, nested as they are.
        versions: package -> version.
        sample: index of the sample that the plots show.
        tables: target -> title -> ``columns`` and ``rows`` of a back end's own table, such as one row per core.
    """

    title: str
    evidence: Evidence
    utilization: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    notes: Mapping[str, Sequence[Note]] = field(default_factory=dict)
    traces: Mapping[str, Trace] = field(default_factory=dict)
    scales: Mapping[str, Mapping[str, npt.ArrayLike]] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, npt.NDArray[Any]]] = field(default_factory=dict)
    thresholds: Mapping[str, npt.ArrayLike] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    sample: int = 0
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in (one.name for one in fields(self) if one.name not in ("title", "evidence", "sample")):
            object.__setattr__(self, key, MappingProxyType(dict(getattr(self, key))))


def page(data: PageData) -> bytes:
    """The page, UTF-8. Without matplotlib it says so where the plots would be."""
    parts = [*_tables(data), *_plots(data), *_facts(data)]
    links = "".join(f'<li><a href="#{key}">{text(title)}</a></li>' for key, title, _ in parts)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{text(title)}</h2>{content}</section>\n'
        for key, title, content in parts
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(data.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f'<header>{_head(data)}<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n'
        f"<main>\n{body}</main>\n<footer>Written by snnc. Decay means the fraction kept per step; steps, samples and "
        "neurons are counted from 0.</footer>\n</body>\n</html>\n"
    ).encode()


def text(value: object) -> str:
    """Anything as HTML text."""
    return html.escape(str(value), quote=True)


def _head(data: PageData) -> str:
    found = data.evidence
    count = f"{found.samples:,} samples of {found.steps:,} steps"
    if found.passed:
        verdict = '<p class="verdict">PASS: every rung holds and the budget is kept</p>'
    else:
        lines = "".join(f"<li>{text(line)}</li>" for line in words.failures(found))
        verdict = f'<p class="verdict fail">FAIL</p><ul class="failures">{lines}</ul>'
    remarks = [words.worst_line(found), *words.approximations(found), *words.remarks(found)]
    tail = "".join(f'<p class="lead">{text(line[:1].upper() + line[1:])}.</p>' for line in remarks if line)
    return f'<h1>{text(data.title)}</h1>{verdict}<p class="lead">{text(count)}</p>{tail}'


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], caption: str, details: Mapping[int, str] | None = None
) -> str:
    """A table whose first column names the row.

    Args:
        headers: one per column.
        rows: cells as text; verdicts are coloured.
        caption: what the table holds.
        details: row index -> a line below that row.
    """
    head = "".join(f'<th scope="col"{_number(h)}>{text(h)}</th>' for h in headers)
    lines = []
    for index, row in enumerate(rows):
        cells = [f'<th scope="row"{_number(headers[0])}>{text(row[0])}</th>']
        cells += [_cell(header, value) for header, value in zip(headers[1:], row[1:], strict=True)]
        detail = (details or {}).get(index)
        kind = ' class="has-detail"' if detail else ""
        lines.append(f"<tr{kind}>{''.join(cells)}</tr>")
        if detail:
            lines.append(f'<tr class="detail"><td colspan="{len(headers)}">{text(detail)}</td></tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _number(header: str) -> str:
    return ' class="number"' if header in NUMBERS else ""


def _cell(header: str, value: str) -> str:
    if header in ("result", "rungs"):
        kind = "bad" if "FAIL" in value else "good" if value.endswith("pass") else ""
        return f'<td class="{kind}">{text(value)}</td>' if kind else f"<td>{text(value)}</td>"
    return f"<td{_number(header)}>{text(value)}</td>"


Part = tuple[str, str, str]


def _tables(data: PageData) -> list[Part]:
    found = data.evidence
    parts: list[Part] = []
    rows = words.accuracy_rows(found)
    if rows:
        caption = "Accuracy, spikes that differ from the float network, values that differ from the reference"
        parts.append(("accuracy", "Accuracy", table(words.ACCURACY_HEADERS, rows, caption)))
    if found.rungs:
        details = {i: r.detail for i, r in enumerate(found.rungs) if r.detail}
        caption = "Every comparison that was made; rungs 4 and 5 are bit-exact"
        parts.append(("ladder", "Ladder", table(words.LADDER_HEADERS, words.ladder_rows(found), caption, details)))
    if found.budget_results:
        details = {i: r.detail for i, r in enumerate(found.budget_results)}
        body = table(words.BUDGET_HEADERS, words.budget_rows(found), "What you accept, and what was found", details)
        parts.append(("budget", "Budget", body))
    if found.layers:
        hint = (
            '<p class="hint">Teacher-forced: every layer is driven by the true spikes of the float network, so the '
            "numbers are what this layer does by itself. Cascaded: it inherits the errors of the layers before it. "
            "Spikes are those of the float network; v is the root mean square error of the membrane in its units.</p>"
        )
        body = hint + table(words.LAYER_HEADERS, words.layer_rows(found), "Bins that differ from the float network")
        parts.append(("layers", "Layers", body))
    return parts


def _plots(data: PageData) -> list[Part]:
    try:
        return gallery.parts(
            data.evidence, data.traces, data.scales, data.thresholds, data.weights, min(data.sample, _last(data))
        )
    except InputError as error:
        return [("plots", "Plots", f'<p class="hint">{text(error)}</p>')]


def _last(data: PageData) -> int:
    return max(min((trace.samples for trace in data.traces.values()), default=1) - 1, 0)


def _facts(data: PageData) -> list[Part]:
    parts: list[Part] = []
    notes = words.note_rows(data.notes)
    if notes:
        caption = (
            "Every quantity that became integers: how many numbers were clipped, became zero, or moved by more than "
            "half a step; the largest error is in the unit of the quantity"
        )
        parts.append(("quantization", "Quantization", table(words.NOTE_HEADERS, notes, caption)))
    if any(data.utilization.values()):
        own = (table(*_own(f"{name}: {title}", t)) for name, ts in data.tables.items() for title, t in ts.items())
        parts.append(("resources", "Resources", "".join([_resources(data.utilization), *own])))
    if data.config:
        rows = list(flatten(data.config))
        parts.append(("configuration", "Configuration", table(("setting", "value"), rows, "Settings of this run")))
    if data.versions:
        rows = [(str(k), str(v) if v is not None else "not installed") for k, v in data.versions.items()]
        parts.append(("versions", "Versions", table(("package", "version"), rows, "Software of this run")))
    return parts


def _own(title: str, found: Mapping[str, Any]) -> tuple[list[str], list[list[str]], str]:
    caption, headers, lines = words.own_rows(title, found["columns"], found["rows"])
    return headers, lines, caption


def _resources(utilization: Mapping[str, Mapping[str, tuple[int, int]]]) -> str:
    lines = []
    for target, resources in utilization.items():
        for resource, (used, most) in resources.items():
            width = max(0, min(100, round(100 * used / most))) if most else 0
            bar = f'<span class="bar" aria-hidden="true"><span style="width:{width}%"></span></span>'
            numbers = (f"{used:,}", f"{most:,}", text(words.share(used, most)) + bar)
            cells = "".join(f'<td class="number">{value}</td>' for value in numbers)
            lines.append(f'<tr><th scope="row">{text(target)}</th><td>{text(resource)}</td>{cells}</tr>')
    heads = (("target", ""), ("resource", ""), ("used", ' class="number"'), ("of", ' class="number"'))
    head = "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in (*heads, ("share", ' class="number"')))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Resources"><table><caption>What the network '
        f"takes of each chip</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as rows: ``section.key``, value."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            yield name, ", ".join(str(item) for item in value)
        else:
            yield name, str(value)
