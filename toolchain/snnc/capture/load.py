"""Loads a user's model file: ``file.py[:function]`` -> a module and, if the file has ``example()``, its samples."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from snnc.capture.ann import is_ann
from snnc.capture.double import FRAMEWORKS, check_numbers
from snnc.conversion.encode import timeless
from snnc.errors import ModelError, SnncError
from snnc.trace import Samples, check_samples


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """What a model file gives.

    Attributes:
        module: what its function built.
        samples: what ``example()`` returned, or None if there is no such function.
        name: stem of the file.
        path: the file.
        ann: True for a ReLU network without time; its samples are [B, ...].
    """

    module: nn.Module
    samples: Samples | None
    name: str
    path: Path
    ann: bool = False


def load_model(spec: str) -> LoadedModel:
    """Runs a model file and its function.

    Args:
        spec: ``file.py`` or ``file.py:function``; the function is ``build`` by default and takes no arguments.

    Raises:
        ModelError: the file or function is missing, its code raises, or the result is no healthy module.
    """
    path, function = split_spec(spec)
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    with _user_code(path):
        code = _run_file(path)
        module = _call(path, _function(path, code, function), function)
        example = getattr(code, "example", None)
        given = _call(path, example, "example") if callable(example) else None
    if not isinstance(module, nn.Module):
        raise ModelError(f"{path}: {function}() returns {type(module).__name__}, allowed is torch.nn.Module")
    check_numbers(module, f"{path}: {function}()")
    ann = is_ann(module)
    samples = None if given is None else as_samples(given, f"{path}: example()", timed=not ann)
    return LoadedModel(module, samples, path.stem, path, ann)


def split_spec(spec: str) -> tuple[Path, str]:
    """``file.py:function`` -> (file, function).

    Raises:
        ModelError: it does not name a Python file.
    """
    file, colon, function = spec.rpartition(":")
    if not colon or not (file.endswith(".py") and function.isidentifier()):
        file, function = spec, "build"
    if not file.endswith(".py"):
        raise ModelError(f"{spec}: a model is file.py or file.py:function")
    return Path(file), function


def as_samples(given: Any, where: str, *, timed: bool = True) -> Samples:
    """Calibration data: a dict, (spikes, labels) or spikes alone -> checked samples.

    Args:
        given: ``{"spikes" | "values": [B, T, ...], "labels": [B]}``, a pair, one array, or Samples.
        where: for messages.
        timed: False for data of a network without time, [B, ...].

    Raises:
        ModelError: it is none of these, or its numbers are not what they are called.
    """
    if isinstance(given, Samples):
        return given
    labels = None
    encoding = ""
    if isinstance(given, dict):
        key = next((k for k in ("spikes", "values") if k in given), None)
        if key is None:
            raise ModelError(f"{where} returns a dict with {', '.join(map(str, given)) or 'nothing'}; needs 'spikes'")
        values, labels, encoding = given[key], given.get("labels"), "spikes" if key == "spikes" else "direct"
    elif isinstance(given, (tuple, list)) and len(given) == 2:
        values, labels = given
    else:
        values = given
    array = _array(values, where)
    if array.ndim < (3 if timed else 2):
        raise ModelError(f"{where}: input shape is {array.shape}, allowed is [B, {'T, ' if timed else ''}...]")
    encoding = encoding or ("spikes" if np.all((array == 0) | (array == 1)) else "direct")
    try:
        if not timed:
            return timeless(array, None if labels is None else _array(labels, where), where)
        return check_samples(array, None if labels is None else _array(labels, where), array.shape[2:], encoding, where)
    except SnncError as error:
        raise ModelError(str(error)) from error


def _array(values: Any, where: str) -> np.ndarray:
    try:
        return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{where}: not an array: {error}") from error


@contextlib.contextmanager
def _user_code(path: Path) -> Iterator[None]:
    """The file's folder is importable while its code runs; what it imported from there is forgotten afterwards.

    What it prints goes to stderr: stdout belongs to the command's own answer.
    """
    folder = path.resolve().parent
    kept_path, kept_modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:] = kept_path
        for name in set(sys.modules) - kept_modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).resolve().is_relative_to(folder):
                del sys.modules[name]


def _run_file(path: Path) -> ModuleType:
    name = f"_snnc_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code
    try:
        spec.loader.exec_module(code)
    except (Exception, SystemExit) as error:
        raise ModelError(_failure(path, "importing it", error)) from error
    return code


def _function(path: Path, code: ModuleType, name: str) -> Callable[[], Any]:
    found = getattr(code, name, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    own = sorted(k for k, v in vars(code).items() if callable(v) and getattr(v, "__module__", "") == code.__name__)
    near = difflib.get_close_matches(name, own, n=1, cutoff=0.0)
    hint = f"; the nearest is {near[0]!r} (there are {', '.join(own)})" if near else "; the file defines none"
    raise ModelError(f"{path}: no function is called {name!r}{hint}")


def _call(path: Path, function: Callable[[], Any], name: str) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise ModelError(_failure(path, f"{name}()", error)) from error


def _failure(path: Path, doing: str, error: BaseException) -> str:
    """The user's exception with the line of the user's file that raised it."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{path}: {doing} raised {text} (line {error.lineno})"
    missing = str(error.name).partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing in FRAMEWORKS:
        text += f"; install it with pip install 'snnc[{missing}]'"
    file = str(path.resolve())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    at = f" (line {lines[-1]})" if lines else ""
    return f"{path}: {doing} raised {text}{at}"
