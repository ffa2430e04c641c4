"""What a compiled folder holds, and back: files of a compilation, candidates of a folder."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc import learnfolder
from snnc.accounts import overflows_json, registers_json, tables_json
from snnc.backend import Backend, Exporter, LearningExporter, Program, Registry
from snnc.engine import files as plan_files
from snnc.engine import planner
from snnc.engine.accumulators import accumulators
from snnc.engine.choice import REFERENCE, path
from snnc.engine.plan import Plan
from snnc.engine.run import execute
from snnc.errors import InputError, IntegrityError, SnncError, UnsupportedError
from snnc.evidence import Rung
from snnc.folder import FACTS, GENERIC, PLAN_FILE, Folder, json_bytes, place, read_folder
from snnc.formats import onnx_file
from snnc.ir import FixedGraph, FloatArray, Graph
from snnc.learning import LearningConfig
from snnc.pipeline import Build, Compilation
from snnc.quantize.report import notes_json
from snnc.target import Target
from snnc.trace import Probes, Trace, npz_bytes
from snnc.validation import FIXED, Candidate, EngineRun, Forced, OnnxRun

FLOAT_FILE = "model.float.onnx"
FIXED_FILE = "model.fixed.onnx"
PACKAGES = (
    "snnc", "numpy", "onnx", "torch", "onnxruntime", "lava-nc", "snntorch", "spikingjelly", "norse", "sinabs",
    "matplotlib", "h5py", "sPyNNaker", "unicorn",
)  # fmt: skip
MAX_MODEL = 1 << 30
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def column(target: str) -> str:
    """Name of a target in tables: ``fixed`` for the generic one."""
    return FIXED if target == GENERIC else target


def installed(package: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """What the result depends on."""
    found = {name: installed(name) for name in PACKAGES}
    return {"python": platform.python_version(), **{name: v for name, v in found.items() if v}}


def build_files(build: Build) -> dict[str, bytes]:
    """Files of one target: its integers, its payload, what quantization did, and what the back end adds.

    Raises:
        SnncError: the back end gives a file a name that is taken or no plain name.
    """
    target = build.target.name
    plan = planned(build.quantized.graph)
    account: dict[str, Any] = {
        "target": target,
        "backend": build.backend.name,
        "scales": {name: _array_json(scale) for name, scale in sorted(build.quantized.scales.items())},
        "units": {name: list(pair) for name, pair in sorted(build.quantized.units.items())},
        "notes": notes_json(build.quantized.notes),
        "registers": registers_json(build.quantized.graph),
        "overflows": overflows_json(build.quantized.graph, build.target),
        "utilization": {key: list(pair) for key, pair in build.program.utilization.items()},
        "tables": {**tables_json(build.program), **learnfolder.tables(build.taught)},
        "passes": [asdict(entry) for entry in build.history],
    }
    if plan is not None:
        account["accumulators"] = [asdict(row) for row in accumulators(plan)]
    own = {
        FIXED_FILE: onnx_file.write(build.quantized.graph),
        **({} if plan is None else {PLAN_FILE: plan_files.write(plan)}),
        "program.npz": npz_bytes(dict(build.program.payload)),
        "quantization.json": json_bytes(account),
    }
    added = dict(build.backend.export(build.program)) if isinstance(build.backend, Exporter) else {}
    rules = [LearningConfig(one.projection, one.rule, one.options) for one in build.taught.plastic]
    if rules and isinstance(build.backend, LearningExporter):
        added |= build.backend.export_learning(build.graph, build.quantized.graph, build.quantized.scales, rules)
    for name in sorted(added):
        if name in own or not PLAIN_NAME.fullmatch(name):
            raise SnncError(f"the back end {build.backend.name!r} may not write a file called {name!r} for {target}")
    return {place(target, name): content for name, content in {**own, **added}.items()}


def planned(graph: FixedGraph) -> Plan | None:
    """The engine's plan, or None where the engine does not execute the graph."""
    try:
        return planner.plan(graph)
    except UnsupportedError:
        return None


def files(compilation: Compilation) -> dict[str, bytes]:
    """Every file that executes or explains, but the reports."""
    found = {FLOAT_FILE: onnx_file.write(compilation.graph)}
    for build in compilation.builds:
        found |= build_files(build)
    return found | learnfolder.files(
        compilation.config.learning, compilation.graph, (b.taught for b in compilation.builds)
    )


def facts(compilation: Compilation) -> dict[str, Any]:
    """What the manifest records beside the hashes."""
    graph = compilation.graph
    source = graph.inputs[0]
    output = graph.output
    return {
        "model": {"name": compilation.source.name, "sha256": compilation.source.digest},
        "config": compilation.config.as_dict(),
        "versions": versions(),
        "input": {"name": source.name, "shape": list(source.shape), "encoding": source.encoding},
        "output": output.name if output else None,
        "targets": {b.target.name: {"backend": b.backend.name} for b in compilation.builds},
        "digests": {b.target.name: b.quantized.graph.digest for b in compilation.builds},
    }


def candidates(compilation: Compilation, written: Mapping[str, bytes]) -> list[Candidate]:
    """What a compilation can validate right away.

    Args:
        compilation: what was made.
        written: its files, as :func:`files` gives them; the ONNX files that are judged are those that are kept.
    """
    return [
        Candidate(
            column(b.target.name), b.program, b.backend, b.quantized.scales,
            onnx_runner(written[place(b.target.name, FIXED_FILE)]),
            engine_runner(written.get(place(b.target.name, PLAN_FILE))),
        )
        for b in compilation.builds
    ]  # fmt: skip


def onnx_runner(model: bytes) -> OnnxRun | None:
    """Runs the file in onnxruntime, or None where onnxruntime is not installed."""
    if find_spec("onnxruntime") is None:
        return None

    @cache
    def opened() -> Any:
        from snnc.formats import onnx_run

        return onnx_run.Model(model)

    def execute(spikes: npt.NDArray[Any]) -> Trace:
        found: Trace = opened().run(spikes)
        return found

    return execute


def engine_runner(content: bytes | None, engine: str = "auto", threads: int = 1) -> EngineRun | None:
    """Runs a stored plan, or None where there is none or the definition is asked for."""
    if content is None or engine == REFERENCE:
        return None
    plan = plan_files.read(content)

    def run(spikes: npt.NDArray[Any], probes: Probes, forced: Forced) -> Trace:
        return execute(plan, spikes, probes, engine=path(engine), threads=threads, forced=forced)

    return run


@dataclass(frozen=True, eq=False)
class Opened:
    """A compiled folder, proven unchanged.

    Attributes:
        folder: its files.
        registry: back ends that may run it.
    """

    folder: Folder
    registry: Registry

    @property
    def targets(self) -> dict[str, str]:
        """Compiled target -> back end that serves it."""
        return {name: str(entry["backend"]) for name, entry in self.folder.manifest["targets"].items()}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input step."""
        return tuple(int(n) for n in self.folder.manifest["input"]["shape"])

    @property
    def encoding(self) -> str:
        """Encoding of the input."""
        return str(self.folder.manifest["input"]["encoding"])

    @property
    def output(self) -> str | None:
        """Population whose spikes are counted."""
        name = self.folder.manifest["output"]
        return None if name is None else str(name)

    def float_graph(self) -> Graph:
        """The float network."""
        graph = onnx_file.read(self.folder[FLOAT_FILE], MAX_MODEL)
        if not isinstance(graph, Graph):
            raise IntegrityError(f"{FLOAT_FILE} holds no float network")
        return graph

    def fixed_graph(self, target: str) -> FixedGraph:
        """The integers of a target."""
        if target not in self.targets:
            raise InputError(f"the folder was not compiled for {target}; it holds {', '.join(self.targets)}")
        graph = onnx_file.read(self.folder[place(target, FIXED_FILE)], MAX_MODEL)
        if not isinstance(graph, FixedGraph):
            raise IntegrityError(f"{place(target, FIXED_FILE)} holds no integers")
        return graph

    def account(self, target: str) -> dict[str, Any]:
        """quantization.json of a target."""
        found: dict[str, Any] = self.folder.json(place(target, "quantization.json"))
        return found

    def scales(self, target: str) -> dict[str, FloatArray]:
        """Population -> raw state units per 1.0."""
        return {name: _array(entry) for name, entry in self.account(target)["scales"].items()}

    def units(self, target: str) -> dict[str, tuple[float, float]]:
        """Projection -> (float weight of one integer step, physical unit per 1.0), where scales do not say it."""
        found = self.account(target).get("units", {})
        return {name: (float(step), float(gain)) for name, (step, gain) in found.items()}

    def lowered(self, target: str, backend: Backend | None = None) -> tuple[Backend, Target, Program]:
        """The program of a target, lowered again from its integers.

        Args:
            target: compiled target.
            backend: who runs it; None takes the one that serves the target.
        """
        own, data = self.registry.target(target)
        chosen = backend or own
        return chosen, data, chosen.lower(self.fixed_graph(target), data)

    def candidates(self, engine: str = "auto", threads: int = 1) -> list[Candidate]:
        """What ``validate`` judges: every compiled target.

        Args:
            engine: what executes the integers, as in :func:`snnc.engine.run.execute`, or ``reference``.
            threads: of the engine.
        """
        found = []
        for name in self.targets:
            backend, _, program = self.lowered(name)
            runner = onnx_runner(self.folder[place(name, FIXED_FILE)])
            fast = engine_runner(self.folder.files.get(place(name, PLAN_FILE)), engine, threads)
            found.append(Candidate(column(name), program, backend, self.scales(name), runner, fast))
        return found

    def earlier(self) -> tuple[Rung, ...]:
        """Rungs 1 and 2, climbed while compiling, from report.json."""
        keys = ("rung", "left", "right", "compared", "differing", "detail", "target")
        rungs = self.folder.json("report.json")["evidence"]["rungs"]
        return tuple(
            Rung(**{key: r[key] for key in keys}, passed=r["pass"], when="compile") for r in rungs if r["rung"] <= 2
        )


def open_folder(path: Path, registry: Registry) -> Opened:
    """Reads a compiled folder.

    Raises:
        IntegrityError: it is no compiled folder, or something in it changed.
    """
    return Opened(read_folder(path, FACTS), registry)


def _array_json(array: FloatArray) -> dict[str, Any]:
    return {"shape": list(np.shape(array)), "values": np.asarray(array, dtype=np.float64).ravel().tolist()}


def _array(entry: Mapping[str, Any]) -> FloatArray:
    shape: tuple[int, ...] = tuple(entry["shape"])
    return np.asarray(entry["values"], dtype=np.float64).reshape(shape)
