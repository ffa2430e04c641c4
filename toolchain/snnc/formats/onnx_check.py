"""What a file must be before a network is made of it. Every failure is an InputError that says what is wrong.

A string that is no UTF-8 comes out of protobuf as bytes; the TypeError that follows is caught by the reader.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TensorProto

from snnc.errors import InputError
from snnc.formats.onnx_emit import DOMAIN, DOMAIN_VERSION, IR_VERSION, OPSET
from snnc.formats.onnx_network import PARAM

MAX_NODES = 4096
MAX_EDGES = 16384
DTYPES: dict[int, np.dtype[Any]] = {
    TensorProto.INT8: np.dtype("<i1"), TensorProto.INT16: np.dtype("<i2"), TensorProto.INT32: np.dtype("<i4"),
    TensorProto.INT64: np.dtype("<i8"), TensorProto.DOUBLE: np.dtype("<f8"),
}  # fmt: skip


def name_of(data: bytes | Path) -> str:
    """What messages call the file."""
    return str(data) if isinstance(data, Path) else "the ONNX file"


def load(data: bytes | Path, limit: int) -> ModelProto:
    """Parses a file whose size is checked first.

    Raises:
        InputError: missing, too large or no ONNX file.
    """
    where = name_of(data)
    try:
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        if size > limit:
            raise InputError(f"{where} has {size} bytes, at most {limit} are read")
        content = data.read_bytes() if isinstance(data, Path) else data
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror or error}") from error
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise InputError(f"{where} is no ONNX file or is cut off: {error}") from error
    return model


def versions(model: ModelProto, where: str) -> None:
    """Checks the IR version and the operator sets."""
    if model.ir_version != IR_VERSION:
        raise InputError(f"{where}: the ONNX IR version is {model.ir_version}, allowed is {IR_VERSION}")
    found = {entry.domain: entry.version for entry in model.opset_import}
    wanted = {"": OPSET, DOMAIN: DOMAIN_VERSION}
    if found != wanted or len(model.opset_import) != len(wanted):
        text = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in sorted(found.items()))
        allowed = f"ai.onnx {OPSET}, {DOMAIN} {DOMAIN_VERSION}"
        raise InputError(f"{where}: the operator sets are {text or 'missing'}; allowed are {allowed}")


def calls(model: ModelProto, where: str) -> None:
    """Checks functions and calls by name; the ONNX checker lets misspelt attributes of calls pass."""
    functions: dict[str, FunctionProto] = {}
    for function in model.functions:
        if function.domain != DOMAIN:
            raise InputError(f"{where}: the function {function.name!r} is of domain {function.domain!r}, not {DOMAIN}")
        if function.name in functions:
            raise InputError(f"{where}: the function {function.name!r} is defined twice")
        functions[function.name] = function
    for node in _nodes(model):
        if node.domain == DOMAIN:
            _call(node, functions, where)
        elif node.domain:
            raise InputError(f"{where}: the operator {node.op_type!r} is of the unknown domain {node.domain!r}")


def arrays(model: ModelProto, where: str) -> dict[str, npt.NDArray[Any]]:
    """The initializers by ``node/field``: in the file itself, of a known type, as long as their shape says."""
    if model.graph.sparse_initializer:
        raise InputError(f"{where}: sparse initializers are not read")
    found: dict[str, npt.NDArray[Any]] = {}
    for tensor in model.graph.initializer:
        name = tensor.name.removeprefix(PARAM)
        if not tensor.name.startswith(PARAM) or name in found:
            raise InputError(f"{where}: the initializer {tensor.name!r} is unknown or occurs twice")
        found[name] = _array(tensor, f"{where}: the initializer {tensor.name!r}")
    return found


def complete(head: Any, given: Mapping[str, npt.NDArray[Any]], where: str) -> None:
    """Checks that the description and the initializers name the same arrays."""
    nodes = head["nodes"]
    if len(nodes) > MAX_NODES or len(head["edges"]) > MAX_EDGES:
        raise InputError(f"{where}: more than {MAX_NODES} nodes or {MAX_EDGES} edges")
    wanted = {value["array"] for node in nodes for value in node.values() if isinstance(value, dict)}
    for name in sorted(wanted ^ set(given)):
        what = "is missing" if name in wanted else "belongs to no node"
        raise InputError(f"{where}: the initializer {PARAM + name!r} {what}")


def same(model: ModelProto, expected: ModelProto, where: str) -> None:
    """Checks that the file executes what its description says, by comparison with what would be written for it."""
    if model.training_info:
        raise InputError(f"{where}: training information is not read")
    heads = [next(p.value for p in m.metadata_props if p.key == "snnc") for m in (model, expected)]
    pairs: list[tuple[str, Any, Any]] = [("metadata", heads[0], heads[1])]
    pairs += _named("function", model.functions, expected.functions)
    pairs += _named("initializer", model.graph.initializer, expected.graph.initializer)
    pairs += _named("input", model.graph.input, expected.graph.input)
    pairs += _named("output", model.graph.output, expected.graph.output)
    pairs += _numbered(model.graph.node, expected.graph.node)
    pairs.append(("graph", model.graph, expected.graph))
    for what, found, wanted in pairs:
        if found != wanted:
            raise InputError(
                f"{where}: the {what} is not what the description stands for; "
                "the file was changed, or another version of snnc wrote it"
            )


def _named(kind: str, found: Sequence[Any], wanted: Sequence[Any]) -> list[tuple[str, Any, Any]]:
    mine = {entry.name: entry for entry in found}
    theirs = {entry.name: entry for entry in wanted}
    return [(f"{kind} {name!r}", mine.get(name), theirs.get(name)) for name in sorted(mine.keys() | theirs.keys())]


def _numbered(found: Sequence[NodeProto], wanted: Sequence[NodeProto]) -> list[tuple[str, Any, Any]]:
    pairs = [(f"operator {i} ({a.op_type})", a, b) for i, (a, b) in enumerate(zip(found, wanted, strict=False))]
    return [*pairs, ("number of operators", len(found), len(wanted))]


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                waiting += attribute.g.node


def _call(node: NodeProto, functions: Mapping[str, FunctionProto], where: str) -> None:
    function = functions.get(node.op_type)
    if function is None:
        raise InputError(f"{where}: the function {node.op_type!r} of {DOMAIN} is called but not defined")
    found, wanted = sorted(a.name for a in node.attribute), sorted(function.attribute)
    if found != wanted:
        wrong = sorted(set(found) ^ set(wanted)) or found
        raise InputError(
            f"{where}: a call of {node.op_type!r} has the attributes {', '.join(found) or 'none'}, "
            f"allowed are {', '.join(wanted) or 'none'} (see {', '.join(wrong)})"
        )
    if len(node.input) != len(function.input) or len(node.output) != len(function.output):
        raise InputError(f"{where}: a call of {node.op_type!r} has another number of inputs or outputs than it takes")


def _array(tensor: TensorProto, what: str) -> npt.NDArray[Any]:
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise InputError(f"{what} lies in another file; only numbers inside the file are read")
    dtype = DTYPES.get(tensor.data_type)
    if dtype is None:
        raise InputError(f"{what} is of type {tensor.data_type}; allowed are int8, int16, int32, int64 and double")
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(tensor.raw_data):
        raise InputError(f"{what} has shape {shape} of {dtype} but {len(tensor.raw_data)} bytes of data")
    return np.frombuffer(tensor.raw_data, dtype=dtype).reshape(shape)
