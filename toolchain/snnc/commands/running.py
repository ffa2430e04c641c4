"""The verbs that hold runs against each other: compare, validate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnc.accounts import weights_by_layer
from snnc.artifacts import Opened, column, open_folder, versions
from snnc.backend import discover
from snnc.commands.screen import Screen, check_outputs, save
from snnc.compare import compare
from snnc.config import Config, parse_config
from snnc.engine.choice import check_choice
from snnc.evidence import Budget
from snnc.ir import Graph
from snnc.report import html, json, junit, text
from snnc.trace import read_samples, read_trace, write_atomic
from snnc.validation import Candidate, Validated
from snnc.validation import validate as climb

ONNX = "onnxruntime"


@dataclass(frozen=True)
class ValidateChoices:
    """Options of ``snnc validate``."""

    data: Path
    samples: int | None
    accuracy_points: float | None
    spike_mismatch: float | None
    junit: Path | None
    html: Path | None
    engine: str = "auto"
    threads: int = 1


def compare_(screen: Screen, left: Path, right: Path, budget: float, spikes_only: bool, as_json: bool) -> int:
    """Compares two trace files; 1 if they differ beyond the budget."""
    a, b = read_trace(left), read_trace(right)
    states = not spikes_only and bool(a.states) and bool(b.states) and a.target == b.target
    found = compare(a, b, states=states)
    fraction = found.spikes_differing / max(found.spikes_compared, 1)
    passed = fraction <= budget and (budget > 0 or found.differing == 0)
    if as_json:
        screen.json({**json.comparison_json(found), "fraction": fraction, "budget": budget, "pass": passed})
    else:
        screen.show(text.comparison_table(found))
        screen.line(found.text)
        if not states and not spikes_only and (a.states or b.states):
            screen.note("states were left out: only one trace has them, or the traces are of different targets")
    return 0 if passed else 1


def validate(screen: Screen, folder: Path, what: ValidateChoices, as_json: bool) -> int:
    """Climbs the ladder on data; 1 if a rung or the budget fails."""
    check_choice(what.engine)
    check_outputs({"--junit": what.junit, "--html": what.html}, (what.data,), folder)
    opened = open_folder(folder, discover())
    config = parse_config(opened.folder.manifest["config"], "manifest.json").override(
        "budget", accuracy_points=what.accuracy_points, spike_mismatch=what.spike_mismatch
    )
    samples = read_samples(what.data, opened.shape, opened.encoding).head(what.samples)
    graph = opened.float_graph()
    candidates = opened.candidates(what.engine, what.threads)
    with screen.progress() as progress:
        done = climb(
            graph, candidates, samples, opened.registry.reference, budget=budget_of(config),
            earlier=opened.earlier(), progress=progress,
        )  # fmt: skip
    evidence = done.evidence
    title = f"{opened.folder.manifest['model']['name']}: float against integers"
    if what.junit is not None:
        save(what.junit, lambda path: write_atomic(path, junit.junit_bytes(evidence, title)))
    if what.html is not None:
        page = html.page(page_data(opened, graph, candidates, done, title))
        save(what.html, lambda path: write_atomic(path, page))
    if as_json:
        screen.json(evidence.to_json())
    else:
        screen.show(*text.evidence_parts(evidence))
        for path in (what.junit, what.html):
            if path is not None:
                screen.line(f"wrote {path}")
    return 0 if evidence.passed else 1


def budget_of(config: Config) -> Budget:
    """The budget section as the evidence needs it."""
    return Budget(config.budget.accuracy_points, config.budget.spike_mismatch)


def page_data(opened: Opened, graph: Graph, candidates: list[Candidate], done: Validated, title: str) -> html.PageData:
    """What the HTML page shows of a folder and its validation."""
    accounts = {column(name): opened.account(name) for name in opened.targets}
    return html.PageData(
        title=title,
        evidence=done.evidence,
        utilization={name: {k: tuple(v) for k, v in a["utilization"].items()} for name, a in accounts.items()},
        tables={name: a.get("tables", {}) for name, a in accounts.items()},
        traces=done.traces,
        scales={c.name: c.scales for c in candidates},
        weights=weights_by_layer(graph, {c.name: c.program.graph for c in candidates}),
        thresholds={node.name: np.asarray(node.threshold) for node in graph.neurons},
        config=dict(opened.folder.manifest["config"]),
        versions=versions(),
    )
