"""The verbs that start from a model: compile, check, init."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnc import artifacts, learnfolder
from snnc.accounts import tables_json, weights_by_layer
from snnc.backend import Registry, discover
from snnc.commands.screen import Screen, save
from snnc.config import NAME, Config, load_config, template
from snnc.errors import InputError, NotEquivalentError, Violation
from snnc.evidence import Budget
from snnc.folder import GENERIC, json_bytes, write_folder
from snnc.ir import Graph
from snnc.passes.base import run_passes
from snnc.pipeline import (
    Compilation,
    check_allowed,
    check_overflow,
    common_passes,
    compile_source,
    preparation,
)
from snnc.report import html, text
from snnc.sources import open_source
from snnc.target import Target
from snnc.target import check as violations_of
from snnc.trace import write_atomic
from snnc.validation import Validated
from snnc.validation import validate as climb


@dataclass(frozen=True)
class ConvertChoices:
    """Options that override [convert]; None leaves it."""

    steps: int | None = None
    norm: str | None = None
    percentile: float | None = None
    per_channel: bool | None = None
    v_init: str | None = None
    input: str | None = None
    seed: int | None = None
    keep: float | None = None


@dataclass(frozen=True)
class Choices:
    """Options that override snnc.toml."""

    targets: tuple[str, ...] = ()
    config: Path | None = None
    data: Path | None = None
    weight_bits: int | None = None
    per_channel: bool | None = None
    allow: tuple[str, ...] = ()
    dt: float | None = None
    reset: str | None = None
    decay: str | None = None
    fires: str | None = None
    overflow: str | None = None
    convert: ConvertChoices = ConvertChoices()

    def resolve(self, screen: Screen, registry: Registry) -> Config:
        """The configuration: file, then options; target names are checked before any work."""
        path = self.config
        if path is None and Path(NAME).is_file():
            path = Path(NAME)
            screen.note(f"using {NAME} of this folder")
        config = load_config(path).override(
            "compile", targets=self.targets or None, weight_bits=self.weight_bits, per_channel=self.per_channel,
            allow=self.allow or None, overflow=self.overflow,
        ).override("model", dt=self.dt, reset=self.reset, decay=self.decay, fires=self.fires).override(
            "convert", **asdict(self.convert)
        )  # fmt: skip
        targets = [registry.target(name)[1] for name in config.compile.targets]
        check_allowed(config.compile.allow, registry)
        check_overflow(config, registry)
        shared = [target.name for target in targets if not target.per_channel]
        if config.compile.per_channel and shared:
            screen.note(f"{', '.join(shared)}: one gain per layer; this target has none per channel")
        return config


def compile_(screen: Screen, model: str, choices: Choices, output: Path | None, as_json: bool) -> int:
    """Compiles a model, climbs the ladder on calibration samples, writes the folder."""
    registry = discover()
    config = choices.resolve(screen, registry)
    with screen.progress() as progress:
        source = open_source(model, choices.data, config, registry.reference)
        compilation = compile_source(source, config, registry, progress)
        files = {**artifacts.files(compilation), **source.extra}
        done = climb(
            compilation.graph, artifacts.candidates(compilation, files), source.samples.head(config.verify.samples),
            registry.reference, budget=Budget(), earlier=compilation.rungs, when="compile", progress=progress,
        )  # fmt: skip
    evidence = done.evidence
    if not evidence.passed:
        raise NotEquivalentError("the integers are not what every executor runs", violations=evidence.violations)
    out = output or Path("out") / source.name
    report = {
        "evidence": evidence.to_json(),
        "model": source.name,
        "targets": [b.target.name for b in compilation.builds],
        **(learnfolder.summary(files)),
    }
    files["report.json"] = json_bytes(report)
    files["report.html"] = html.page(page_data(compilation, done))
    write_folder(out, files, artifacts.facts(compilation))
    if as_json:
        screen.json({**report, "folder": str(out)})
    else:
        screen.show(
            *text.compile_parts(
                evidence, {artifacts.column(b.target.name): b.quantized.notes for b in compilation.builds}
            )
        )
        for sentence in learnfolder.sentences(b.taught for b in compilation.builds):
            screen.line(sentence)
        screen.line(f"wrote {out}")
    return 0


def page_data(compilation: Compilation, done: Validated) -> html.PageData:
    """What the HTML page shows of a compilation."""
    builds = {artifacts.column(b.target.name): b for b in compilation.builds}
    fixed = {name: b.quantized.graph for name, b in builds.items()}
    return html.PageData(
        title=f"{compilation.source.name}: float against integers",
        evidence=done.evidence,
        utilization={name: b.program.utilization for name, b in builds.items()},
        tables={name: {**tables_json(b.program), **learnfolder.tables(b.taught)} for name, b in builds.items()},
        notes={name: b.quantized.notes for name, b in builds.items()},
        traces=done.traces,
        scales={name: b.quantized.scales for name, b in builds.items()},
        weights=weights_by_layer(compilation.graph, fixed),
        thresholds={node.name: np.asarray(node.threshold) for node in compilation.graph.neurons},
        config=compilation.config.as_dict(),
        versions=artifacts.versions(),
    )


def check(screen: Screen, model: str, choices: Choices, as_json: bool) -> int:
    """Holds every node against every target; 3 if a rule is broken."""
    registry = discover()
    config = choices.resolve(screen, registry)
    source = open_source(model, choices.data, config, registry.reference, needs_data=False)
    graph, _ = run_passes(source.graph, common_passes(config))
    names = choices.targets or tuple(registry.targets)
    found = {name: _violations(graph, registry.targets[name][1], config.compile.allow) for name in names}
    nodes = [
        {"name": n.name, "type": n.kind, "shape": list(graph.shapes[n.name])}
        for n in (graph[name] for name in graph.order)
    ]
    report = {
        "model": source.name,
        "nodes": nodes,
        "targets": {
            name: {"ok": not broken, "violations": [_plain(v) for v in broken]} for name, broken in found.items()
        },
    }
    if as_json:
        screen.json(report)
    else:
        screen.show(*text.check_parts(report))
    return 3 if any(found.values()) else 0


def _violations(graph: Graph, target: Target, allow: tuple[str, ...] = ()) -> tuple[Violation, ...]:
    ready, _ = run_passes(graph, preparation(target, allow))
    return violations_of(ready, target)


def _plain(violation: Violation) -> dict[str, Any]:
    return dict(vars(violation))


def init(screen: Screen, model: str, output: Path, force: bool) -> int:
    """Writes a commented snnc.toml that names the targets which can run this model."""
    if output.exists() and not force:
        raise InputError(f"{output} exists; --force replaces it")
    registry = discover()
    config = Config()
    source = open_source(model, None, config, registry.reference)
    graph, _ = run_passes(source.graph, common_passes(config))
    fitting = tuple(
        name for name, (_, target) in registry.targets.items() if name != GENERIC and not _violations(graph, target)
    )
    save(output, lambda path: write_atomic(path, template(model, fitting).encode()))
    screen.line(f"wrote {output}")
    return 0
