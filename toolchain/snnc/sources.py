"""Where a network comes from: a Python file, or a file that snnc or another tool wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import numpy as np

from snnc import anns
from snnc.backend import Reference
from snnc.config import Config, ModelConfig
from snnc.errors import InputError, ModelError, NotEquivalentError
from snnc.evidence import Rung
from snnc.folder import sha256
from snnc.ir import FixedGraph, Graph, Input, Network
from snnc.quantize.base import Quantized
from snnc.quantize.floated import as_they_are, floated
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
        extra: files that tell how the network came to be, for the compiled folder.
    """

    name: str
    digest: str
    graph: Graph
    samples: Samples
    rungs: tuple[Rung, ...] = ()
    integers: Callable[[Target], Quantized | None] | None = None
    extra: Mapping[str, bytes] = field(default_factory=dict)


def open_source(
    model: str, data: Path | None, config: Config, reference: Reference, *, needs_data: bool = True
) -> Source:
    """Captures the model and climbs rung 1.

    Args:
        model: ``file.py[:function]``, a float ``.onnx`` that snnc wrote, or a ReLU network as either.
        data: calibration file; None takes the model's ``example()``.
        config: numbers of samples.
        reference: executes the captured graph.
        needs_data: false where nothing is executed; files that bring no samples then have none.

    Raises:
        ModelError: the model cannot be loaded.
        NotEquivalentError: the captured graph does not do what the module does.
    """
    path = Path(model.rpartition(":")[0] if ":" in model else model)
    anns.refuse_weights(path)
    _check_meaning(path, config.model)
    if path.suffix == ".py":
        return _open_python(model, path, data, config, reference, needs_data)
    if path.suffix == ".onnx" and (ann := anns.from_onnx(path, data, needs_data)) is not None:
        return _converted(ann, path, config, reference, needs_data)
    anns.refuse_timed(config, model)
    if path.suffix == ".onnx":
        return _open_onnx(path, data, config, needs_data)
    if path.suffix == ".nir":
        return _open_nir(path, data, config, needs_data)
    if path.suffix == ".net":
        return _open_slayer(path, data, config, needs_data)
    raise InputError(f"{model}: a model is file.py[:function], .onnx, .nir or .net")


def _converted(ann: anns.Opened, path: Path, config: Config, reference: Reference, needs_data: bool) -> Source:
    """A ReLU network as the spiking network that [convert] makes of it."""
    made = anns.transform(ann, config, reference.execute, needs_data)
    digest = sha256(path.read_bytes())
    return Source(ann.name, digest, made.converted.graph, made.samples, ann.rungs, extra=made.files())


def _check_meaning(path: Path, given: ModelConfig) -> None:
    """Refuses what the kind of file settles itself."""
    taken = LEFT_OPEN.get(path.suffix, ())
    settled = [f.name for f in fields(given) if f.name not in taken and getattr(given, f.name) != f.default]
    if settled:
        options = "; ".join(
            f"{', '.join(f'--{name}' for name in names)}: {suffix} files" for suffix, names in LEFT_OPEN.items()
        )
        raise InputError(f"{path} settles {', '.join(settled)} itself ({options})")


def _open_python(
    model: str, path: Path, data: Path | None, config: Config, reference: Reference, needs_data: bool
) -> Source:
    from snnc.capture import capture, load_model, probe

    loaded = load_model(model)
    if loaded.ann:
        return _converted(anns.from_module(loaded, data), path, config, reference, needs_data)
    anns.refuse_timed(config, model)
    samples = loaded.samples if data is None else read_samples(data, *_step_shape(data))
    if samples is None:
        raise ModelError(f"{path} has no example() that gives calibration spikes; add one or give --data")
    samples = samples.head(config.calibration.samples)
    captured = capture(loaded.module, samples.spikes)
    _check_input(captured.graph, samples, str(path))
    result = probe(loaded.module, captured, samples.head(config.verify.samples).spikes, reference.execute)
    text = result.text
    rung = Rung(1, "torch float64", "float graph", result.compared, result.differing, result.equal, text, "compile")
    if not result.equal:
        raise NotEquivalentError(f"{path}: the captured graph does not do what the module does: {text}")
    return Source(loaded.name, sha256(path.read_bytes()), captured.graph, samples, (rung,))


def _open_nir(path: Path, data: Path | None, config: Config, needs_data: bool) -> Source:
    """A NIR file brings no module to compare with: there is no rung 1."""
    from snnc.formats import nir_file

    content = nir_file.read_content(path)
    meaning = nir_file.Meaning(config.model.dt, config.model.reset, config.model.decay, config.model.fires)
    encoding: Literal["spikes", "direct"] = "spikes" if data is None else _step_encoding(data)
    graph = nir_file.read(content, meaning, encoding, str(path))
    return Source(path.stem, sha256(content), graph, _samples(path, data, graph.inputs[0], config, needs_data))


def _open_slayer(path: Path, data: Path | None, config: Config, needs_data: bool) -> Source:
    """A SLAYER file holds integers; its float graph is what they stand for."""
    from snnc.formats import slayer_file

    if config.compile.weight_bits or config.compile.per_channel:
        raise InputError(f"{path} holds integers already; --weight-bits and --per-channel do not apply")
    content = slayer_file.read_content(path)
    net = slayer_file.read(content, str(path), "ge" if config.model.fires == "ge" else "gt")
    graph = net.graph()
    samples = _samples(path, data, graph.inputs[0], config, needs_data)

    def integers(target: Target) -> Quantized | None:
        return net.integers(slayer_file.Place(target.name, target.conventions, target.formats["threshold"]))

    return Source(path.stem, sha256(content), graph, samples, integers=integers)


def _open_onnx(path: Path, data: Path | None, config: Config, needs_data: bool) -> Source:
    from snnc.formats import onnx_file

    held = onnx_file.read(path, MAX_ONNX)
    graph = held if isinstance(held, Graph) else _floated(path, held, config)
    samples = _samples(path, data, graph.inputs[0], config, needs_data)

    def integers(target: Target) -> Quantized | None:
        assert isinstance(held, FixedGraph)
        return as_they_are(held, target.name, (target.conventions, *target.variants.values()))

    own = integers if isinstance(held, FixedGraph) else None
    return Source(path.stem, sha256(path.read_bytes()), graph, samples, integers=own)


def _floated(path: Path, held: Network, config: Config) -> Graph:
    """The float network that a file of integers stands for."""
    assert isinstance(held, FixedGraph)
    if config.compile.weight_bits or config.compile.per_channel:
        raise InputError(f"{path} holds integers already; --weight-bits and --per-channel do not apply")
    return floated(held)


def _samples(path: Path, data: Path | None, source: Input, config: Config, needs_data: bool) -> Samples:
    """Calibration data of a file, which brings none itself."""
    if data is not None:
        return read_samples(data, source.shape, source.encoding).head(config.calibration.samples)
    if needs_data:
        raise InputError(f"{path}: a {path.suffix} file has no example(); give calibration spikes with --data")
    return Samples(np.zeros((0, 1, *source.shape)))


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
