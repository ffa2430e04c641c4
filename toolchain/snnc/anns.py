"""ReLU networks as they enter: from a Python file or an ONNX file, with data, converted as [convert] says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from snnc.config import Config
from snnc.conversion import Ann, Converted, Curve, answers, convert, measure
from snnc.conversion.encode import timeless
from snnc.conversion.scales import Execute
from snnc.errors import InputError, ModelError, NotEquivalentError, TraceError
from snnc.evidence import Rung
from snnc.folder import json_bytes
from snnc.plain import plain
from snnc.report import curve_plot
from snnc.trace import Samples, load_npz

if TYPE_CHECKING:
    from snnc.capture import LoadedModel

MAX_ONNX = 1 << 30
TOLERANCE = 1e-9
WITNESSED = 64
KEYS = ("values", "spikes")
WEIGHTS = (".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True, eq=False)
class Opened:
    """A ReLU network and its data.

    Attributes:
        name: short name.
        ann: layers and rectifiers.
        samples: [B, *shape], without time.
        rungs: rung 1, if the source is a torch module.
        example: the file's own samples, if it has some.
    """

    name: str
    ann: Ann
    samples: Samples
    rungs: tuple[Rung, ...] = ()
    example: Samples | None = None


@dataclass(frozen=True, eq=False)
class Conversion:
    """A converted network with what a folder tells of it.

    Attributes:
        converted: the spiking network.
        samples: [B, T, *shape], for calibration.
        curve: accuracy over T on the calibration samples; None without labels.
    """

    converted: Converted
    samples: Samples
    curve: Curve | None
    account: Mapping[str, Any] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """``conversion.json`` and, if there is a curve and something that draws, ``curve.svg``."""
        found = {"conversion.json": json_bytes(dict(self.account))}
        drawn = None if self.curve is None else curve_plot.curve_svg(self.curve)
        return found if drawn is None else {**found, "curve.svg": drawn}


def opened(model: str, data: Path | None) -> Opened:
    """Opens ``file.py[:function]`` or an ``.onnx`` file that holds a ReLU network.

    Raises:
        InputError: it holds something else, or there is no data.
    """
    refuse_weights(Path(model))
    if model.endswith(".onnx"):
        found = from_onnx(Path(model), data)
    else:
        from snnc.capture import load_model

        loaded = load_model(model)
        found = from_module(loaded, data) if loaded.ann else None
    if found is None:
        raise InputError(f"{model} is no ReLU network: it spikes already, or has no ReLU; use `snnc compile`")
    return found


def refuse_weights(path: Path) -> None:
    """Refuses files of weights, unread.

    Raises:
        InputError: says how the weights get into a model.
    """
    if path.suffix in WEIGHTS:
        raise InputError(
            f"{path}: a {path.suffix} file holds weights without the module that they belong to, or code that would "
            "run when it is loaded. Write a file.py whose build() makes the module, loads its weights with "
            "load_state_dict(torch.load(path, weights_only=True)) and returns it"
        )


def from_onnx(path: Path, data: Path | None, needs_data: bool = True) -> Opened | None:
    """Opens an ONNX file of another tool; None if snnc wrote it.

    Args:
        path: the file.
        data: .npz with values [B, ...].
        needs_data: false where nothing is executed; noise then stands for missing data.

    Raises:
        InputError: there is no data, or the file cannot be read.
    """
    from snnc.formats import onnx_ann

    if onnx_ann.wrote(path, MAX_ONNX):
        return None
    ann = onnx_ann.read(path, MAX_ONNX)
    if data is not None:
        return Opened(path.stem, ann, read_values(data))
    if needs_data:
        shape = ", ".join(map(str, ann.input.shape))
        raise InputError(f"{path}: an ONNX file has no example(); give an .npz with values [B, {shape}] with --data")
    return Opened(path.stem, ann, Samples(np.random.default_rng(0).random((4, *ann.input.shape))))


def from_module(loaded: LoadedModel, data: Path | None) -> Opened:
    """Captures a torch module and lets it witness the layers (rung 1).

    Raises:
        ModelError: there is no data.
        NotEquivalentError: the layers answer something else.
    """
    from snnc.capture import ann_answers, capture_ann

    samples = loaded.samples if data is None else read_values(data)
    if samples is None:
        raise ModelError(f"{loaded.path} has no example() that gives values [B, ...]; add one or give --data")
    ann = capture_ann(loaded.module, samples.spikes.shape[1:])
    rung = witness(ann, lambda values: ann_answers(loaded.module, values), samples.spikes)
    return Opened(loaded.name, ann, samples, (rung,), loaded.samples)


def read_values(path: Path) -> Samples:
    """Reads ``values`` (or ``spikes``) [B, ...] without time, and optional ``labels`` [B].

    Raises:
        TraceError: no such array, or labels that do not fit.
    """
    arrays = load_npz(path)
    key = next((key for key in KEYS if key in arrays), None)
    if key is None or arrays[key].ndim < 2 or arrays[key].dtype.kind not in "biuf":
        raise TraceError(f"{path}: a ReLU network takes an array 'values' [B, ...] of numbers; "
                         f"found {', '.join(sorted(arrays)) or 'nothing'}")  # fmt: skip
    return timeless(arrays[key], arrays.get("labels"), str(path))


def witness(ann: Ann, module: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], values: npt.NDArray[Any]) -> Rung:
    """Rung 1 of a network without time: the module and the layers answer the same on samples, noise and silence.

    Raises:
        NotEquivalentError: they do not.
    """
    few = np.asarray(values[:WITNESSED], dtype=np.float64)
    noise = np.random.default_rng(0).standard_normal(few.shape) * (float(np.abs(few).max()) or 1.0)
    drives = np.concatenate([few, noise, np.zeros_like(few[:1])])
    want, found = module(drives), answers(ann, drives)
    if want.shape != found.shape:
        raise NotEquivalentError(f"the module answers {want.shape}, the captured layers {found.shape}")
    off = np.abs(found - want) > TOLERANCE * max(1.0, float(np.abs(want).max()))
    rung = Rung(1, "torch float64", "relu layers", int(want.size), int(off.sum()), not off.any(), when="compile")
    if not rung.passed:
        raise NotEquivalentError(f"the captured layers differ from the module in {off.sum()} of {off.size} answers")
    return rung


def transform(opened: Opened, config: Config, execute: Execute, needs_data: bool = True) -> Conversion:
    """Converts with the calibration samples, and follows their accuracy over T.

    Args:
        opened: network and data.
        config: its calibration and convert sections.
        execute: runs a float graph.
        needs_data: false where nothing is executed, so that any number of steps will do.

    Raises:
        InputError: no number of steps, or options that exclude each other.
    """
    options = config.convert if needs_data else replace(config.convert, steps=max(config.convert.steps, 1))
    if options.steps < 1:
        raise InputError(
            f"{opened.name} is a ReLU network without time; say for how many steps it shall spike: --steps 32 "
            "(or [convert] steps in snnc.toml). `snnc convert` shows its accuracy over the number of steps"
        )
    samples = opened.samples.head(config.calibration.samples)
    converted = convert(opened.ann, samples.spikes, options, execute)
    curve = None if samples.labels is None or not needs_data else measure(converted, samples, execute)
    return Conversion(converted, converted.encode(samples), curve, account(converted, curve))


def account(converted: Converted, curve: Curve | None) -> dict[str, Any]:
    """What conversion did, JSON-ready."""
    return {
        "options": vars(converted.options),
        "scales": {name: plain(scale) for name, scale in converted.scales.items()},
        "shift": converted.shift,
        "unit": converted.unit,
        "curve": None if curve is None else curve.to_json(),
    }


def refuse_timed(config: Config, where: str) -> None:
    """Refuses conversion options for a network that spikes already.

    Raises:
        InputError: steps are given.
    """
    if config.convert.steps:
        raise InputError(f"{where} spikes already; --steps and [convert] are for ReLU networks without time")
