"""Executes an ONNX file in onnxruntime: a witness that shares no code with the reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, TraceError
from snnc.formats.onnx_file import PROTOBUF_LIMIT, read
from snnc.ir import FixedGraph, Network
from snnc.trace import Probes, Trace, check_samples

EVERYTHING = Probes(states="all")


def run(
    data: bytes | Path,
    spikes: npt.NDArray[Any],
    probes: Probes = EVERYTHING,
    *,
    limit: int = PROTOBUF_LIMIT,
    chunk: int = 64,
) -> Trace:
    """Reads and checks a file, then executes it on one thread of the CPU.

    Args:
        data: the file's content or its path.
        spikes: [B, T, *shape], 0 or 1; numbers for direct encoding.
        probes: what the trace holds; by default all spikes and states.
        limit: bytes that are read at most.
        chunk: samples that are executed at once; it bounds the memory and changes no result.

    Raises:
        InputError: the file is not good (see :func:`snnc.formats.onnx_file.read`) or onnxruntime is missing.
        TraceError: the input does not fit the network.
    """
    return Model(data, limit=limit).run(spikes, probes, chunk)


class Model:
    """A file that is read and checked once and executed as often as it is asked; see :func:`run`.

    Args:
        data: the file's content or its path.
        limit: bytes that are read at most.

    Raises:
        InputError: the file is not good.
    """

    def __init__(self, data: bytes | Path, *, limit: int = PROTOBUF_LIMIT) -> None:
        self._content = data if isinstance(data, bytes) else _content(data, limit)
        self._network = read(self._content, limit)

    @cached_property
    def _session(self) -> Any:
        return _session(self._content)

    def run(self, spikes: npt.NDArray[Any], probes: Probes = EVERYTHING, chunk: int = 64) -> Trace:
        """Executes samples from the start state; nothing is left of those before.

        Raises:
            InputError: onnxruntime is missing.
            TraceError: the input does not fit the network.
        """
        return _executed(lambda: self._session, self._network, spikes, probes, chunk)


def execute(
    content: bytes, network: Network, spikes: npt.NDArray[Any], probes: Probes = EVERYTHING, chunk: int = 64
) -> Trace:
    """Executes a file that is already read and checked; ``network`` is what it holds."""
    return _executed(lambda: _session(content), network, spikes, probes, chunk)


def _executed(
    opened: Callable[[], Any], network: Network, spikes: npt.NDArray[Any], probes: Probes, chunk: int
) -> Trace:
    source = network.inputs[0]
    samples = check_samples(spikes, None, source.shape, source.encoding, "the ONNX run")
    if not samples.batched:
        raise TraceError(f"input shape is {np.shape(spikes)}, allowed is [B, T, *{source.shape}]")
    whole = isinstance(network, FixedGraph) and source.unit is None
    if source.encoding == "spikes":
        given = samples.spikes
    else:
        given = samples.spikes.astype(np.int64 if whole else np.float64)
    names = outputs(network, probes)
    session = opened()
    parts = [session.run(names, {"input": given[i : i + chunk]}) for i in range(0, len(given), chunk)]
    arrays = {name: np.concatenate(pieces) for name, pieces in zip(names, zip(*parts, strict=True), strict=True)}
    target = network.target if isinstance(network, FixedGraph) else "float"
    found_spikes = {n.removeprefix("spikes/"): a for n, a in arrays.items() if n.startswith("spikes/")}
    found_states = {_state(n): _wide(a) for n, a in arrays.items() if n.startswith("states/")}
    return Trace("onnxruntime", target, found_spikes, found_states)


def outputs(network: Network, probes: Probes) -> list[str]:
    """Names of the file's outputs that the probes ask for."""
    split = isinstance(network, FixedGraph) and network.conventions.synapse == "split"
    states = ("u_exc", "u_inh", "v") if split else ("u", "v")
    analog = {node.name for node in network.inputs if node.encoding == "direct"}
    names = [node.name for node in network.populations if node.name not in analog and probes.wants_spikes(node.name)]
    neurons = [node.name for node in network.neurons if probes.wants_states(node.name)]
    return [f"spikes/{name}" for name in names] + [f"states/{name}/{state}" for name in neurons for state in states]


def _wide(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """States as traces hold them: float32 numbers in float64."""
    return values.astype(np.float64) if values.dtype == np.float32 else values


def _state(name: str) -> tuple[str, str]:
    population, _, state = name.removeprefix("states/").rpartition("/")
    return population, state


def _content(path: Path, limit: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit:
            raise InputError(f"{path} has {size} bytes, at most {limit} are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _session(content: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("onnxruntime is not installed; pip install 'snnc[onnxruntime]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
