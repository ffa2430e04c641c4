"""The verb that runs a compiled folder. Whatever only a back end needs is imported when a back end is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from snnc.commands.screen import Screen, check_outputs, save
from snnc.compiled import load
from snnc.engine import run as engine_run
from snnc.engine.choice import REFERENCE, check_choice, path
from snnc.engine.plan import Plan
from snnc.errors import InputError, unknown
from snnc.folder import GENERIC, Folder, place
from snnc.trace import Probes, Samples, Trace, join, read_samples, select, write_trace

if TYPE_CHECKING:
    from snnc.artifacts import Opened

ENGINE, ONNX = "engine", "onnxruntime"
EMULATOR = "emulator"
CHUNK = 256
Runner = Callable[[npt.NDArray[Any]], Trace]


@dataclass(frozen=True)
class RunChoices:
    """Options of ``snnc run``."""

    data: Path
    backend: str = ENGINE
    target: str | None = None
    output: Path | None = None
    states: bool = False
    samples: int | None = None
    executor: str = EMULATOR
    engine: str = "auto"
    threads: int = 1
    accumulators: bool = False

    def __post_init__(self) -> None:
        check_choice(self.engine)
        if self.accumulators and self.runs_on != ENGINE:
            raise InputError(f"--accumulators reports on the engine's sums; {self.runs_on} has none")
        if self.threads != 1 and self.runs_on != ENGINE:
            raise InputError(f"--threads shares samples out among threads of the engine; {self.runs_on} has none")
        if self.backend != ENGINE and self.engine != "auto":
            raise InputError(f"--engine {self.engine} chooses how the engine runs; leave --backend {self.backend} out")

    @property
    def runs_on(self) -> str:
        """The back end, where ``--engine reference`` means the definition."""
        return REFERENCE if self.engine == REFERENCE else self.backend


@dataclass
class Tally:
    """What a run prints, added up over chunks; the traces are kept only if they are to be written."""

    keep: bool
    output: str | None
    samples: int = 0
    steps: int = 0
    spikes: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    counts: list[npt.NDArray[np.int64]] = field(default_factory=list)
    parts: list[Trace] = field(default_factory=list)

    def add(self, trace: Trace) -> None:
        """Adds one chunk."""
        self.samples += trace.samples
        self.steps = trace.steps
        for name, values in trace.spikes.items():
            self.spikes[name] = self.spikes.get(name, 0) + int(values.sum(dtype=np.int64))
            self.places[name] = self.places.get(name, 0) + values.size
        if self.output is not None:
            self.counts.append(trace.counts(self.output))
        if self.keep:
            self.parts.append(trace)

    def result(self, backend: str, target: str, labels: npt.NDArray[np.int64] | None) -> dict[str, Any]:
        """JSON-ready summary."""
        rates = {name: count / max(self.places[name], 1) for name, count in self.spikes.items()}
        known = labels is not None and self.counts
        return {
            "backend": backend, "target": target, "samples": self.samples, "steps": self.steps,
            "spikes": self.spikes, "rates": rates,
            "accuracy": _accuracy(self.counts, labels) if known and labels is not None else None,
        }  # fmt: skip


def run(screen: Screen, folder: Path, what: RunChoices, as_json: bool) -> int:
    """Runs a compiled folder and prints what came out."""
    check_outputs({"--output": what.output}, (what.data,), folder)
    probes = Probes(states="all" if what.states else ())
    engine = what.runs_on == ENGINE
    worst: dict[str, list[int]] = {}
    plan = None
    if engine:
        compiled, target, plan = _planned(folder, what)
        runner = _kernels(plan, what, probes, worst)
    else:
        compiled, target, runner = _backend(folder, what, probes)
    facts = compiled.manifest["input"]
    samples = read_samples(what.data, tuple(int(n) for n in facts["shape"]), str(facts["encoding"])).head(what.samples)
    output = compiled.manifest["output"]
    tally = Tally(what.output is not None, None if output is None else str(output))
    with screen.progress() as progress:
        total = samples.spikes.shape[0]
        for start, chunk in _chunks(samples):
            progress(f"run on {what.runs_on}", start, total)
            tally.add(runner(chunk))
        progress(f"run on {what.runs_on}", total, total)
    if what.output is not None:
        trace = join(tally.parts)
        save(what.output, lambda path: write_trace(path, trace, batched=samples.batched))
    result = tally.result(what.runs_on, target, samples.labels)
    if plan is not None and what.accumulators:
        from snnc.engine.accumulators import accumulators  # what is not asked for is not waited for

        result["accumulators"] = [asdict(row) for row in accumulators(plan, worst)]
    _print(screen, result, as_json)
    return 0


def _accuracy(counts: list[npt.NDArray[np.int64]], labels: npt.NDArray[np.int64]) -> float:
    from snnc.metrics import accuracy  # who gives no labels starts sooner without nodes and graphs

    return accuracy(np.concatenate(counts), labels)


def _chunks(samples: Samples) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    for start in range(0, samples.spikes.shape[0], CHUNK):
        yield start, samples.spikes[start : start + CHUNK]


def _print(screen: Screen, result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        screen.json(result)
        return
    from snnc.report.grid import accumulator_table, run_table

    screen.show(run_table(result))
    if "accumulators" in result:
        screen.show(accumulator_table(result["accumulators"]))


def _planned(folder: Path, what: RunChoices) -> tuple[Folder, str, Plan]:
    """The plan that was stored while compiling."""
    if what.executor != EMULATOR:
        raise InputError(f"--executor {what.executor} belongs to a back end; name it with --backend")
    compiled, target = load(folder), what.target or GENERIC
    return compiled.folder, target, compiled.plan(target)


def _kernels(plan: Plan, what: RunChoices, probes: Probes, worst: dict[str, list[int]]) -> Runner:
    """Runs the plan; ``worst`` grows over chunks if accumulators are asked for."""

    def run_chunk(spikes: npt.NDArray[Any]) -> Trace:
        seen: dict[str, list[int]] | None = {} if what.accumulators else None
        found = engine_run.execute(plan, spikes, probes, engine=path(what.engine), threads=what.threads, worst=seen)
        for name, values in (seen or {}).items():
            worst[name] = [max(pair) for pair in zip(values, worst.get(name, values), strict=True)]
        return found

    return run_chunk


def _backend(folder: Path, what: RunChoices, probes: Probes) -> tuple[Folder, str, Runner]:
    from snnc.artifacts import open_folder
    from snnc.backend import discover

    opened = open_folder(folder, discover())
    target = _target_for(opened, what.runs_on, what.target)
    return opened.folder, target, _runner(opened, what, target, probes)


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


def _runner(opened: Opened, what: RunChoices, target: str, probes: Probes) -> Runner:
    from snnc.artifacts import FIXED_FILE
    from snnc.backend import executor

    backend = what.runs_on
    if backend == ONNX:
        from snnc.formats import onnx_run

        if what.executor != EMULATOR:
            raise InputError(unknown(f"executor of {ONNX!r}", what.executor, (EMULATOR,)))
        model = onnx_run.Model(opened.folder[place(target, FIXED_FILE)])
        return lambda spikes: select(model.run(spikes), probes)
    chosen = opened.registry.backend(backend)
    served = {t.name for t in chosen.targets}
    if target not in served and backend != REFERENCE:
        raise InputError(f"the back end {backend!r} serves {', '.join(sorted(served))}, not {target}")
    execute = executor(chosen, what.executor)
    _, _, program = opened.lowered(target, chosen)
    return lambda spikes: execute(program, spikes, probes)
