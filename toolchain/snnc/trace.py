"""Trace: what a run recorded, in logical time, and the files that hold spikes and traces.

Logical time means that step t of every population is step t of the float network: executors with a hop delay
run ``T + depth`` device steps and cut each population's window out, so that traces of different back ends compare
element by element.
"""

from __future__ import annotations

import errno
import io
import json
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError

MAX_BYTES = 8 << 30
# What zipfile, its decompressors and numpy raise on damaged or malicious archives.
DAMAGE = (
    OSError, ValueError, EOFError, RuntimeError, MemoryError, OverflowError, LookupError, TypeError, AttributeError,
    SyntaxError, Warning, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Probes:
    """What to record.

    Attributes:
        spikes: names of populations, or ``all``.
        states: names of populations whose states are recorded, or ``all``; empty means none.
    """

    spikes: Literal["all"] | tuple[str, ...] = "all"
    states: Literal["all"] | tuple[str, ...] = ()

    def wants_spikes(self, population: str) -> bool:
        """True if the population's spikes are recorded."""
        return self.spikes == "all" or population in self.spikes

    def wants_states(self, population: str) -> bool:
        """True if the population's states are recorded."""
        return self.states == "all" or population in self.states


@dataclass(frozen=True, eq=False)
class Trace:
    """Recorded spikes and states of one run.

    Attributes:
        backend: who ran it.
        target: under which target's conventions (``float`` for the float network).
        spikes: population -> array [B, T, *shape], int8: 0 or 1; -1 too of a ternary population,
            counts up to 127 of one with ``multi`` output. Populations that
            send numbers have no spikes: what they send is their state ``s`` (``v`` of a graded neuron).
        states: (population, name) -> array [B, T, *shape]; float64, or int64 raw integers. ``v`` is the membrane
            after the step (after reset), ``u`` the current that the step's update used; a split synapse has
            ``u_exc`` and ``u_inh`` instead.
        meta: JSON-ready facts.
    """

    backend: str
    target: str
    spikes: Mapping[str, npt.NDArray[np.int8]]
    states: Mapping[tuple[str, str], npt.NDArray[Any]] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fields = vars(self)  # a frozen class lets nobody else set them
        for key in ("spikes", "states", "meta"):
            fields[key] = MappingProxyType(dict(fields[key]))
        for array in (*self.spikes.values(), *self.states.values()):
            array.setflags(write=False)

    @property
    def samples(self) -> int:
        """Number of samples B."""
        return next((a.shape[0] for a in (*self.spikes.values(), *self.states.values())), 0)

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return next((a.shape[1] for a in (*self.spikes.values(), *self.states.values())), 0)

    def counts(self, population: str) -> npt.NDArray[np.int64]:
        """Spikes per neuron summed over time, [B, *shape]."""
        if population not in self.spikes:
            raise TraceError(f"the trace of {self.backend} has no spikes of {population!r}")
        return np.asarray(self.spikes[population].sum(axis=1, dtype=np.int64))


def select(trace: Trace, probes: Probes) -> Trace:
    """The part of a trace that the probes ask for."""
    spikes = {name: values for name, values in trace.spikes.items() if probes.wants_spikes(name)}
    states = {key: values for key, values in trace.states.items() if probes.wants_states(key[0])}
    return Trace(trace.backend, trace.target, spikes, states, trace.meta)


def join(parts: Sequence[Trace]) -> Trace:
    """Traces of consecutive chunks of samples as one."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    spikes = {name: np.concatenate([part.spikes[name] for part in parts]) for name in first.spikes}
    states = {key: np.concatenate([part.states[key] for part in parts]) for key in first.states}
    return Trace(first.backend, first.target, spikes, states, first.meta)


@dataclass(frozen=True, eq=False)
class Samples:
    """Input data: ``spikes`` [B, T, ...] and optional labels [B].

    Attributes:
        spikes: int8 0/1, or float64 for direct (analog) encoding.
        labels: integers, or None.
        batched: whether the source had a batch axis.
    """

    spikes: npt.NDArray[Any]
    labels: npt.NDArray[np.int64] | None = None
    batched: bool = True

    def head(self, count: int | None) -> Samples:
        """The first ``count`` samples (all if None)."""
        labels = None if self.labels is None else self.labels[:count]
        return Samples(self.spikes[:count], labels, self.batched)


def load_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Reads an .npz without pickles and without unbounded sizes.

    Raises:
        TraceError: the file is missing, damaged, too large or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_BYTES:
            raise TraceError(f"{path}: {size} bytes unpacked, at most {MAX_BYTES} are read")
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in data.files}
    except DAMAGE as error:
        if isinstance(error, OSError) and error.strerror:
            raise TraceError(f"{path} cannot be read: {error.strerror}") from error
        raise TraceError(f"{path}: cannot be read as .npz: {_why(path, error)}") from error
    strange = [key for key, value in arrays.items() if not isinstance(value, np.ndarray)]
    if strange:
        raise TraceError(f"{path}: {strange[0]!a} is no array")
    return arrays


def _why(path: Path, error: BaseException) -> str:
    """What is wrong with a file of arrays, in words where there are some."""
    if "allow_pickle" in str(error):
        return "it holds pickled Python objects, which may run code and are never loaded; save plain arrays of numbers"
    if isinstance(error, zipfile.BadZipFile):
        with path.open("rb") as file:
            if file.read(6) == b"\x93NUMPY":
                return "it holds one array without a name; save it with numpy.savez(file, spikes=array)"
        return f"it is no zip archive, or a damaged one ({str(error)!a})"
    return f"{error!a}"


def write_atomic(path: Path, content: bytes) -> None:
    """Writes to a temporary name beside ``path``, then renames.

    Raises:
        OSError: it cannot be written; what is there and no regular file, such as a folder or a device, is left alone.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is a folder" if path.is_dir() else "it is no regular file", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def npz_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """An .npz as bytes; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{key: arrays[key] for key in sorted(arrays)})  # type: ignore[arg-type]
    return buffer.getvalue()


def read_samples(path: Path, shape: tuple[int, ...], encoding: str = "spikes") -> Samples:
    """Reads an input file: ``spikes`` (or ``values``) [T, ...] or [B, T, ...], optional ``labels``.

    Args:
        path: .npz file.
        shape: shape of one step that the network takes.
        encoding: ``spikes`` or ``direct``.

    Raises:
        TraceError: wrong key, shape, range or labels.
    """
    data = load_npz(path)
    key = "values" if encoding == "direct" else "spikes"
    if key not in data:
        raise TraceError(f"{path}: no array {key!r}; found {', '.join(sorted(data)) or 'nothing'}")
    return check_samples(data[key], data.get("labels"), shape, encoding, str(path))


def check_samples(values: Any, labels: Any, shape: tuple[int, ...], encoding: str, where: str) -> Samples:
    """Checks input data against the network's input shape and gives it a batch axis."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TraceError(f"{where}: input is {array.dtype}, allowed are numbers")
    if array.ndim not in (len(shape) + 1, len(shape) + 2) or array.shape[array.ndim - len(shape) :] != shape:
        step = ", ".join(map(str, ("T", *shape)))
        raise TraceError(f"{where}: input shape is {array.shape}, allowed is [{step}] or [B, {step}]")
    batched = array.ndim == len(shape) + 2
    array = array if batched else array[np.newaxis]
    if array.size == 0:
        raise TraceError(f"{where}: the input is empty: {array.shape}")
    if encoding == "spikes":
        if not np.all((array == 0) | (array == 1)):
            raise TraceError(f"{where}: spikes are 0 or 1; found {float(array.min()):g} to {float(array.max()):g}")
        array = array.astype(np.int8)
    elif not np.all(np.isfinite(array)):
        raise TraceError(f"{where}: the input holds NaN or infinity")
    if labels is None:
        return Samples(array, None, batched)
    marks = np.atleast_1d(np.asarray(labels))
    if marks.dtype.kind not in "iu" or marks.shape != (array.shape[0],):
        raise TraceError(f"{where}: labels are {marks.dtype} {marks.shape}, allowed are {array.shape[0]} integers")
    return Samples(array, marks.astype(np.int64), batched)


def write_trace(path: Path, trace: Trace, *, batched: bool = True) -> None:
    """Writes ``spikes/<population>``, ``states/<population>/<name>`` and ``meta``; without batch axis if asked."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for population, spikes in trace.spikes.items():
        arrays[f"spikes/{population}"] = spikes if batched else spikes[0]
    for (population, name), values in trace.states.items():
        arrays[f"states/{population}/{name}"] = values if batched else values[0]
    meta = {"backend": trace.backend, "target": trace.target, "batched": batched, **trace.meta}
    arrays["meta"] = np.array(json.dumps(meta, sort_keys=True))
    write_atomic(path, npz_bytes(arrays))


def read_trace(path: Path) -> Trace:
    """Reads a trace file.

    Raises:
        TraceError: the file is no trace.
    """
    data = load_npz(path)
    try:
        meta = json.loads(str(data["meta"]))
        batched = bool(meta.pop("batched"))
        backend, target = str(meta.pop("backend")), str(meta.pop("target"))
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise TraceError(f"{path}: not a trace file: meta is missing or damaged ({error!r})") from error
    spikes: dict[str, npt.NDArray[np.int8]] = {}
    states: dict[tuple[str, str], npt.NDArray[Any]] = {}
    for key, value in data.items():
        array = value if batched else value[np.newaxis]
        if "/" in key and (array.dtype.kind not in "biuf" or array.ndim < 2):
            raise TraceError(f"{path}: {key!a} is {array.dtype} {array.shape}, allowed are numbers [B, T, ...]")
        if key.startswith("spikes/"):
            spikes[key.removeprefix("spikes/")] = array
        elif key.startswith("states/"):
            population, _, name = key.removeprefix("states/").rpartition("/")
            states[population, name] = array
    return Trace(backend, target, spikes, states, meta)
