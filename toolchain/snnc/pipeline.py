"""The corridor, one page: module -> Graph -> passes -> FixedGraph -> Program, with a witness at every door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from snnc.backend import Backend, Program, Reference, Registry
from snnc.config import Config
from snnc.errors import InputError, ModelError, NotEquivalentError, UnsupportedError, Violation
from snnc.evidence import Rung
from snnc.folder import sha256
from snnc.ir import Graph
from snnc.ladder import PassWitness
from snnc.passes import DEFAULT, parse_passes
from snnc.passes.base import Applied, run_passes
from snnc.quantize.base import Quantized, QuantizeOptions
from snnc.quantize.calibrate import calibrate
from snnc.target import Target, check
from snnc.trace import Samples, check_samples, read_samples

Progress = Callable[[str, int, int], None]
GENERIC = "generic"
MAX_ONNX = 1 << 30


def quiet(_task: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, eq=False)
class Source:
    """A model as it enters the corridor.

    Attributes:
        name: short name.
        digest: sha256 of the file it came from.
        graph: captured graph.
        samples: calibration data.
        rungs: rung 1, if the source is a torch module.
    """

    name: str
    digest: str
    graph: Graph
    samples: Samples
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True, eq=False)
class Build:
    """The network made for one target.

    Attributes:
        target, backend: for what and by whom.
        graph: float graph after the target's own passes; what the integers are compared with.
        quantized: the integers and their notes.
        program: lowered.
        history: passes that ran.
    """

    target: Target
    backend: Backend
    graph: Graph
    quantized: Quantized
    program: Program
    history: tuple[Applied, ...]


@dataclass(frozen=True, eq=False)
class Compilation:
    """Everything that ``snnc compile`` makes."""

    source: Source
    config: Config
    graph: Graph
    history: tuple[Applied, ...]
    builds: tuple[Build, ...]
    rungs: tuple[Rung, ...]


def open_source(model: str, data: Path | None, config: Config, reference: Reference) -> Source:
    """Captures the model and climbs rung 1.

    Args:
        model: ``file.py[:function]`` or a float ``.onnx`` that snnc wrote.
        data: calibration file; None takes the model's ``example()``.
        config: numbers of samples.
        reference: executes the captured graph.

    Raises:
        ModelError: the model cannot be loaded.
        NotEquivalentError: the captured graph does not do what the module does.
    """
    path = Path(model.rpartition(":")[0] if ":" in model else model)
    if path.suffix == ".onnx":
        return _open_onnx(path, data, config)
    if path.suffix in {".nir", ".net"}:
        raise InputError(f"{path}: {path.suffix} files are not read by this version; give a .py or a float .onnx")
    if path.suffix != ".py":
        raise InputError(f"{model}: a model is file.py[:function] or a float .onnx written by snnc")
    from snnc.capture import capture, load_model, probe

    loaded = load_model(model)
    samples = loaded.samples if data is None else read_samples(data, *_step_shape(data))
    if samples is None:
        raise ModelError(f"{path} has no example() that gives calibration spikes; add one or give --data")
    samples = samples.head(config.calibration.samples)
    captured = capture(loaded.module, samples.spikes)
    _check_input(captured.graph, samples, str(path))
    result = probe(loaded.module, captured, samples.head(config.verify.samples).spikes, reference.execute)
    text = result.first_difference or f"states differ by {result.worst_state_error:.2e} at most"
    rung = Rung(1, "torch float64", "float graph", result.compared, result.differing, result.equal, text, "compile")
    if not result.equal:
        raise NotEquivalentError(f"{path}: the captured graph does not do what the module does: {text}")
    return Source(loaded.name, sha256(path.read_bytes()), captured.graph, samples, (rung,))


def _open_onnx(path: Path, data: Path | None, config: Config) -> Source:
    from snnc.formats import onnx_file

    graph = onnx_file.read(path, MAX_ONNX)
    if not isinstance(graph, Graph):
        raise InputError(f"{path} holds integers already; compile needs the float network (model.float.onnx)")
    if data is None:
        raise InputError(f"{path}: an ONNX file has no example(); give calibration spikes with --data")
    source = graph.inputs[0]
    samples = read_samples(data, source.shape, source.encoding).head(config.calibration.samples)
    return Source(path.stem, sha256(path.read_bytes()), graph, samples)


def _step_shape(data: Path) -> tuple[tuple[int, ...], str]:
    """Shape of one step in a batched calibration file, and its encoding."""
    from snnc.trace import load_npz

    arrays = load_npz(data)
    key = "spikes" if "spikes" in arrays else "values"
    if key not in arrays or arrays[key].ndim < 3:
        raise InputError(f"{data}: calibration needs an array 'spikes' [B, T, ...]")
    return arrays[key].shape[2:], "spikes" if key == "spikes" else "direct"


def _check_input(graph: Graph, samples: Samples, where: str) -> None:
    source = graph.inputs[0]
    check_samples(samples.spikes, samples.labels, source.shape, source.encoding, where)


def compile_source(source: Source, config: Config, registry: Registry, progress: Progress = quiet) -> Compilation:
    """Runs the corridor for every target.

    Raises:
        UnsupportedError: with every violation of every target.
        NotEquivalentError: a pass did not keep its promise.
    """
    reference = registry.reference
    witness = PassWitness(reference, source.samples.head(config.verify.samples).spikes)
    passes = parse_passes(config.compile.passes) if config.compile.passes else DEFAULT
    graph, history = run_passes(source.graph, passes, witness)
    chosen = dict.fromkeys((GENERIC, *config.compile.targets))
    served = {name: registry.target(name) for name in chosen}
    prepared = {name: run_passes(graph, target.prepare, witness) for name, (_, target) in served.items()}
    demand_all(prepared, {name: target for name, (_, target) in served.items()})
    builds: list[Build] = []
    for index, (name, (backend, target)) in enumerate(served.items()):
        progress("quantize and lower", index, len(served))
        ready, own = prepared[name]
        options = QuantizeOptions(config.compile.weight_bits or None, config.compile.per_channel)
        quantized = target.quantize(ready, calibrate(ready, source.samples.spikes, reference.execute), options)
        builds.append(Build(target, backend, ready, quantized, backend.lower(quantized.graph, target), own))
    progress("quantize and lower", len(served), len(served))
    return Compilation(source, config, graph, history, tuple(builds), (*source.rungs, *witness.rungs))


def demand_all(prepared: dict[str, tuple[Graph, tuple[Applied, ...]]], targets: dict[str, Target]) -> None:
    """Raises one error with every violation of every target."""
    found: list[Violation] = []
    for name, (graph, _) in prepared.items():
        found += [replace(v, node=f"{name}: {v.node}") for v in check(graph, targets[name])]
    if found:
        blamed = ", ".join(dict.fromkeys(v.node.partition(":")[0] for v in found))
        raise UnsupportedError(f"this network does not run natively on {blamed}", violations=tuple(found))
