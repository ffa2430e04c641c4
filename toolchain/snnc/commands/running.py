"""The verbs that run integers: run, compare, validate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnc.artifacts import FIXED_FILE, Opened, column, open_folder, place, versions, weights_by_layer
from snnc.backend import EMULATOR, Program, discover, executor
from snnc.commands.screen import Screen, save
from snnc.compare import compare
from snnc.config import Config, parse_config
from snnc.errors import InputError, unknown
from snnc.evidence import Budget
from snnc.formats import onnx_run
from snnc.ir import Graph
from snnc.metrics import accuracy
from snnc.pipeline import GENERIC
from snnc.report import html, json, junit, text
from snnc.trace import Probes, Samples, Trace, read_samples, read_trace, write_atomic, write_trace
from snnc.validation import CHUNK, Candidate, Validated
from snnc.validation import validate as climb

ONNX = "onnxruntime"


@dataclass(frozen=True)
class RunChoices:
    """Options of ``snnc run``."""

    backend: str
    target: str | None
    data: Path
    output: Path | None
    states: bool
    samples: int | None
    executor: str = EMULATOR


@dataclass(frozen=True)
class ValidateChoices:
    """Options of ``snnc validate``."""

    data: Path
    samples: int | None
    accuracy_points: float | None
    spike_mismatch: float | None
    junit: Path | None
    html: Path | None


def run(screen: Screen, folder: Path, what: RunChoices, as_json: bool) -> int:
    """Runs a compiled folder on a back end and prints what came out."""
    opened = open_folder(folder, discover())
    target = _target_for(opened, what.backend, what.target)
    samples = read_samples(what.data, opened.shape, opened.encoding).head(what.samples)
    probes = Probes(states="all" if what.states else ())
    with screen.progress() as progress:
        parts = []
        total = samples.spikes.shape[0]
        runner = _runner(opened, what, target, probes)
        for start in range(0, total, CHUNK):
            progress(f"run on {what.backend}", start, total)
            parts.append(runner(samples.spikes[start : start + CHUNK]))
        progress(f"run on {what.backend}", total, total)
    trace = join(parts)
    if what.output is not None:
        save(what.output, lambda path: write_trace(path, trace, batched=samples.batched))
    result = _summary(trace, opened, samples, target)
    if as_json:
        screen.json(result)
    else:
        screen.show(text.run_table(result))
    return 0


def _target_for(opened: Opened, backend: str, target: str | None) -> str:
    compiled = opened.targets
    if target is not None:
        if target not in compiled:
            raise InputError(unknown("compiled target", target, dict.fromkeys(compiled)))
        return target
    if backend == ONNX:
        return GENERIC
    _ = opened.registry.backend(backend)
    served = [name for name, by in compiled.items() if by == backend]
    if not served:
        raise InputError(
            f"{opened.folder.path} holds nothing for the back end {backend!r}: it was compiled for "
            f"{', '.join(compiled)}. Compile with --target, or name one of these with --target"
        )
    return served[0]


def _runner(opened: Opened, what: RunChoices, target: str, probes: Probes) -> Any:
    backend = what.backend
    if backend == ONNX:
        if what.executor != EMULATOR:
            raise InputError(unknown(f"executor of {ONNX!r}", what.executor, (EMULATOR,)))
        model = opened.folder[place(target, FIXED_FILE)]
        return lambda spikes: select(onnx_run.run(model, spikes), probes)
    chosen = opened.registry.backend(backend)
    served = {t.name for t in chosen.targets}
    if target not in served and backend != "reference":
        raise InputError(f"the back end {backend!r} serves {', '.join(sorted(served))}, not {target}")
    execute = executor(chosen, what.executor)
    _, _, program = opened.lowered(target, chosen)
    checked: Program = program
    return lambda spikes: execute(checked, spikes, probes)


def select(trace: Trace, probes: Probes) -> Trace:
    """The part of a trace that the probes ask for."""
    spikes = {name: values for name, values in trace.spikes.items() if probes.wants_spikes(name)}
    states = {key: values for key, values in trace.states.items() if probes.wants_states(key[0])}
    return Trace(trace.backend, trace.target, spikes, states, trace.meta)


def join(parts: list[Trace]) -> Trace:
    """Traces of consecutive chunks as one."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    spikes = {name: np.concatenate([part.spikes[name] for part in parts]) for name in first.spikes}
    states = {key: np.concatenate([part.states[key] for part in parts]) for key in first.states}
    return Trace(first.backend, first.target, spikes, states, first.meta)


def _summary(trace: Trace, opened: Opened, samples: Samples, target: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "backend": trace.backend, "target": target, "samples": trace.samples, "steps": trace.steps,
        "spikes": {name: int(values.sum()) for name, values in trace.spikes.items()},
        "rates": {name: float(values.mean()) for name, values in trace.spikes.items()},
        "accuracy": None,
    }  # fmt: skip
    if samples.labels is not None and opened.output is not None:
        result["accuracy"] = accuracy(trace.counts(opened.output), samples.labels)
    return result


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
    opened = open_folder(folder, discover())
    config = parse_config(opened.folder.manifest["config"], "manifest.json").override(
        "budget", accuracy_points=what.accuracy_points, spike_mismatch=what.spike_mismatch
    )
    samples = read_samples(what.data, opened.shape, opened.encoding).head(what.samples)
    graph = opened.float_graph()
    candidates = opened.candidates()
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
