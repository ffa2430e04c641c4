"""Where a network comes from: a Python file, or a file that snnc or another tool wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from snnc.backend import Reference
from snnc.config import Config, ModelConfig
from snnc.errors import InputError, ModelError, NotEquivalentError
from snnc.evidence import Rung
from snnc.folder import sha256
from snnc.ir import Graph
from snnc.quantize.base import Quantized
from snnc.target import Target
from snnc.trace import Samples, check_samples, read_samples

MAX_ONNX = 1 << 30
LEFT_OPEN = {".nir": ("dt", "reset", "decay", "fires"), ".net": ("fires",)}
"""What files of a kind may leave open, as [model] settles it."""


@dataclass(frozen=True, eq=False)
class Source:
    """A model as it enters the corridor.

    Attributes:
        name: short name.
        digest: sha256 of the file it came from.
        graph: captured graph.
        samples: calibration data.
        rungs: rung 1, if the source is a torch module.
        integers: for a source that already is integers: target -> its fixed graph, or None where it must be
            quantized like any other.
    """

    name: str
    digest: str
    graph: Graph
    samples: Samples
    rungs: tuple[Rung, ...] = ()
    integers: Callable[[Target], Quantized | None] | None = None


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
    _check_meaning(path, config.model)
    if path.suffix == ".onnx":
        return _open_onnx(path, data, config)
    if path.suffix == ".nir":
        return _open_nir(path, data, config)
    if path.suffix == ".net":
        return _open_slayer(path, data, config)
    if path.suffix != ".py":
        raise InputError(f"{model}: a model is file.py[:function], a float .onnx written by snnc, .nir or .net")
    return _open_python(model, path, data, config, reference)


def _check_meaning(path: Path, given: ModelConfig) -> None:
    """Refuses what the kind of file settles itself."""
    taken = LEFT_OPEN.get(path.suffix, ())
    settled = [f.name for f in fields(given) if f.name not in taken and getattr(given, f.name) != f.default]
    if settled:
        options = "; ".join(
            f"{', '.join(f'--{name}' for name in names)}: {suffix} files" for suffix, names in LEFT_OPEN.items()
        )
        raise InputError(f"{path} settles {', '.join(settled)} itself ({options})")


def _open_python(model: str, path: Path, data: Path | None, config: Config, reference: Reference) -> Source:
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


def _open_nir(path: Path, data: Path | None, config: Config) -> Source:
    """A NIR file brings no module to compare with: there is no rung 1."""
    from snnc.formats import nir_file

    content = nir_file.read_content(path)
    meaning = nir_file.Meaning(config.model.dt, config.model.reset, config.model.decay, config.model.fires)
    encoding: Literal["spikes", "direct"] = "spikes" if data is None else _step_encoding(data)
    graph = nir_file.read(content, meaning, encoding, str(path))
    if data is None:
        raise InputError(f"{path}: a NIR file has no example(); give calibration spikes with --data")
    samples = read_samples(data, graph.inputs[0].shape, encoding).head(config.calibration.samples)
    return Source(path.stem, sha256(content), graph, samples)


def _open_slayer(path: Path, data: Path | None, config: Config) -> Source:
    """A SLAYER file holds integers; its float graph is what they stand for."""
    from snnc.formats import slayer_file

    if config.compile.weight_bits or config.compile.per_channel:
        raise InputError(f"{path} holds integers already; --weight-bits and --per-channel do not apply")
    content = slayer_file.read_content(path)
    net = slayer_file.read(content, str(path), "ge" if config.model.fires == "ge" else "gt")
    if data is None:
        raise InputError(f"{path}: a SLAYER file has no example(); give spikes with --data")
    samples = read_samples(data, net.layers.shape).head(config.calibration.samples)

    def integers(target: Target) -> Quantized | None:
        return net.integers(slayer_file.Place(target.name, target.conventions, target.formats["threshold"]))

    return Source(path.stem, sha256(content), net.graph(), samples, integers=integers)


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


def _step_encoding(data: Path) -> Literal["spikes", "direct"]:
    """What a calibration file holds: spikes, or analog values alone."""
    from snnc.trace import load_npz

    arrays = load_npz(data)
    return "direct" if "values" in arrays and "spikes" not in arrays else "spikes"


def _check_input(graph: Graph, samples: Samples, where: str) -> None:
    source = graph.inputs[0]
    check_samples(samples.spikes, samples.labels, source.shape, source.encoding, where)
