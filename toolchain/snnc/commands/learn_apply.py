"""The verb ``snnc learn apply``: trained weights go back into a compiled folder, which is validated again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc import artifacts, learnfolder
from snnc.accounts import tables_json, weights_by_layer
from snnc.artifacts import Opened, column, open_folder, versions
from snnc.backend import discover
from snnc.commands.learn_state import Trained, read_weights
from snnc.commands.screen import Screen
from snnc.errors import InputError, NotEquivalentError, UnsupportedError, unknown
from snnc.evidence import Budget
from snnc.folder import PLAN_FILE, json_bytes, place, sha256, write_folder
from snnc.formats import onnx_file
from snnc.ir import Affine, Fixed, FixedGraph, FloatArray, Graph
from snnc.passes.base import Applied
from snnc.pipeline import Build
from snnc.plain import plain
from snnc.quantize.base import Quantized, note
from snnc.quantize.report import notes_json
from snnc.report import html, text
from snnc.trace import Samples, read_samples
from snnc.validation import Candidate, Validated
from snnc.validation import validate as climb

SEED, SAMPLES, STEPS, RATE = 1, 8, 32, 0.2


@dataclass(frozen=True, eq=False)
class Put:
    """Weights in the integers of a target.

    Attributes:
        build: the target's network with them.
        worst: projection -> largest error of a weight, in the float network's unit.
    """

    build: Build
    worst: dict[str, float]


def apply_weights(screen: Screen, folder: Path, weights: Path, output: Path, data: Path | None, as_json: bool) -> int:
    """Writes a new folder with trained weights; the other numbers stay what they were."""
    opened = open_folder(folder, discover())
    trained = read_weights(weights)
    graph = floats(opened.float_graph(), trained)
    puts = [put(opened, name, graph, trained) for name in opened.targets]
    files = {artifacts.FLOAT_FILE: onnx_file.write(graph)}
    for one in puts:
        files |= _files(opened, one.build)
    learning = learnfolder.learning_of(opened.folder)
    files |= learnfolder.files(learning, graph, (one.build.taught for one in puts)) if learning else {}
    samples = _samples(opened, data)
    with screen.progress() as progress:
        done = climb(
            graph, [_candidate(one.build, files) for one in puts], samples, opened.registry.reference,
            budget=Budget(), earlier=opened.earlier(), progress=progress,
        )  # fmt: skip
    if not done.evidence.passed:
        raise NotEquivalentError("the trained integers are not what every executor runs",
                                 violations=done.evidence.violations)  # fmt: skip
    source = {"sha256": sha256(weights.read_bytes()), **plain(trained.meta)}
    report = {
        "evidence": done.evidence.to_json(),
        "model": str(opened.folder.manifest["model"]["name"]),
        "targets": [one.build.target.name for one in puts],
        "trained": {"from": source, "worst": {one.build.target.name: one.worst for one in puts}},
        **learnfolder.summary(files),
    }
    files["report.json"] = json_bytes(report)
    files["report.html"] = html.page(_page(opened, graph, puts, done))
    facts = {key: value for key, value in opened.folder.manifest.items() if key not in ("layout", "files")}
    facts |= {"digests": {one.build.target.name: one.build.quantized.graph.digest for one in puts}}
    write_folder(output, files, {**facts, "versions": versions(), "weights": source})
    if as_json:
        screen.json({**report, "folder": str(output)})
    else:
        screen.show(*text.evidence_parts(done.evidence))
        for one in puts:
            for name, worst in one.worst.items():
                screen.line(f"{one.build.target.name}: {name} holds the trained weights within {worst:.3g}")
        screen.line(f"wrote {output}")
    return 0


def floats(graph: Graph, trained: Trained) -> Graph:
    """The float network with trained weights.

    Raises:
        InputError: it has no such projection, or one of another shape.
    """
    for name, weights in trained.floats.items():
        dense = [node.name for node in graph.nodes if isinstance(node, Affine)]
        if name not in dense:
            raise InputError(unknown("projection", name, dense))
        node = graph[name]
        assert isinstance(node, Affine)
        if weights.shape != np.shape(node.weight):
            raise InputError(f"{name}: the trained weights are {weights.shape}, allowed is {np.shape(node.weight)}")
        graph = graph.replace_node(replace(node, weight=weights))
    return graph


def put(opened: Opened, target: str, graph: Graph, trained: Trained) -> Put:
    """The integers of a target with trained weights: as they were learned where they were, else the nearest."""
    backend, data = opened.registry.target(target)
    fixed, scales = opened.fixed_graph(target), opened.scales(target)
    before = opened.float_graph()
    worst: dict[str, float] = {}
    notes = []
    for name, weights in trained.floats.items():
        node = next((one for one in fixed.nodes if one.name == name), None)
        if not isinstance(node, Affine) or not isinstance(node.weight, Fixed):
            fix = "Compile without passes that merge it"
            raise UnsupportedError(f"{target}: the integers have no projection {name} of their own. {fix}")
        fmt = node.weight.format
        was = before[name]
        assert isinstance(was, Affine)
        units = opened.units(target)
        per = _per_unit(fixed, name, scales, np.asarray(was.weight, dtype=np.float64), node.weight)
        per = 1.0 / units[name][0] if name in units else per
        exact: FloatArray = weights * per
        if trained.meta.get("target") == target and name in trained.fixed:
            raw, frac = trained.fixed[name]
            exact = np.asarray(raw * 2.0 ** (fmt.frac - frac), dtype=np.float64)
        made = Fixed(np.clip(np.rint(exact), fmt.minimum, fmt.maximum).astype(np.int64), fmt)
        notes.append(note(name, "weight", weights, made, per * fmt.step))
        worst[name] = notes[-1].worst
        fixed = fixed.replace_node(replace(node, weight=made))
    learning = learnfolder.learning_of(opened.folder)
    quantized = Quantized(fixed, scales, tuple(notes), opened.units(target))
    asked = target in opened.folder.manifest["config"]["compile"]["targets"]
    taught = learnfolder.bound(data, quantized, learning, asked=asked)
    history = tuple(Applied(**entry) for entry in opened.account(target)["passes"])
    return Put(Build(data, backend, graph, quantized, backend.lower(fixed, data), history, taught), worst)


def _per_unit(
    fixed: FixedGraph, name: str, scales: dict[str, FloatArray], weights: FloatArray, stored: Fixed
) -> FloatArray | float:
    """Raw integers per 1.0: from the population behind in the shift family, else what fits the stored weights best."""
    conventions = fixed.conventions
    behind = [edge.target for edge in fixed.outgoing(name) if edge.target in scales]
    if conventions.membrane == "euler" and len(behind) == 1:
        scale = np.asarray(scales[behind[0]], dtype=np.float64) * 2.0 ** (stored.format.frac - conventions.state_frac)
        return scale.reshape(-1, 1) if scale.size > 1 else float(scale.reshape(-1)[0])
    raw = stored.raw.astype(np.float64)
    return float((raw * weights).sum() / max(float((weights * weights).sum()), 1e-300))


def _files(opened: Opened, build: Build) -> dict[str, bytes]:
    """The target's files; notes of quantities that stayed are those of the old folder."""
    found = artifacts.build_files(build)
    name = place(build.target.name, "quantization.json")
    account: dict[str, Any] = dict(opened.folder.json(name))
    fresh = notes_json(build.quantized.notes)
    changed = {(entry["node"], entry["quantity"]) for entry in fresh}
    kept = [entry for entry in account["notes"] if (entry["node"], entry["quantity"]) not in changed]
    written = _parsed(found[name])
    return {**found, name: json_bytes({**written, "notes": [*kept, *fresh]})}


def _parsed(content: bytes) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(content)
    return found


def _candidate(build: Build, files: dict[str, bytes]) -> Candidate:
    name = build.target.name
    return Candidate(
        column(name), build.program, build.backend, build.quantized.scales,
        artifacts.onnx_runner(files[place(name, artifacts.FIXED_FILE)]),
        artifacts.engine_runner(files.get(place(name, PLAN_FILE))),
    )  # fmt: skip


def _samples(opened: Opened, data: Path | None) -> Samples:
    """What the new folder is validated on: the user's data, or random spikes."""
    if data is not None:
        return read_samples(data, opened.shape, opened.encoding)
    if opened.encoding != "spikes":
        raise InputError("the network takes analog values: give --data FILE to validate on")
    spikes: npt.NDArray[np.int8] = (np.random.default_rng(SEED).random((SAMPLES, STEPS, *opened.shape)) < RATE).astype(
        np.int8
    )
    return Samples(spikes)


def _page(opened: Opened, graph: Graph, puts: list[Put], done: Validated) -> html.PageData:
    builds = {column(one.build.target.name): one.build for one in puts}
    return html.PageData(
        title=f"{opened.folder.manifest['model']['name']}, trained on the chip's arithmetic: float against integers",
        evidence=done.evidence,
        utilization={name: b.program.utilization for name, b in builds.items()},
        tables={name: {**tables_json(b.program), **learnfolder.tables(b.taught)} for name, b in builds.items()},
        traces=done.traces,
        scales={name: b.quantized.scales for name, b in builds.items()},
        weights=weights_by_layer(graph, {name: b.quantized.graph for name, b in builds.items()}),
        thresholds={node.name: np.asarray(node.threshold) for node in graph.neurons},
        config=dict(opened.folder.manifest["config"]),
        versions=versions(),
    )
