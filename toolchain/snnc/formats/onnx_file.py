"""``model.float.onnx`` and ``model.fixed.onnx``: written, and read back as the same network.

The network's description is JSON in the metadata property ``snnc``; its numbers are the initializers that execute.
A file is accepted only if this module would write it: the reader rebuilds the network and compares the whole graph,
so a file whose graph does something else than its description says is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from onnx import ModelProto, helper

from snnc.errors import InputError, UnsupportedError
from snnc.formats import onnx_check
from snnc.formats.onnx_emit import IR_VERSION, OPSETS
from snnc.formats.onnx_network import build
from snnc.formats.onnx_rules import refusals
from snnc.ir import Network, describe, rebuild

KEY = "snnc"
PROTOBUF_LIMIT = (1 << 31) - 1
NOTHING: Mapping[str, str] = MappingProxyType({})


def write(network: Network, extra: Mapping[str, str] = NOTHING) -> bytes:
    """The network as an ONNX file; the same network and extra give the same bytes.

    The file maps ``input`` [B, T, *shape] to ``spikes/<population>`` (int8) and ``states/<population>/<name>``
    (int64 raw integers, or double), all [B, T, *shape] in logical time, with B and T open.

    Args:
        network: Graph or FixedGraph.
        extra: further metadata properties.

    Raises:
        UnsupportedError: the network holds what an ONNX file cannot execute, or is larger than 2 GiB.
        InputError: ``extra`` uses the key ``snnc``.
    """
    found = refusals(network)
    if found:
        raise UnsupportedError.of(*found, message="" if len(found) == 1 else "an ONNX file cannot execute this network")
    if KEY in extra:
        raise InputError(f"the metadata key {KEY!r} is taken by the network's description")
    size = sum(value.nbytes for value in describe(network)[1].values())
    if size > PROTOBUF_LIMIT:
        raise UnsupportedError(f"the network has {size} bytes of parameters; an ONNX file holds at most 2 GiB")
    content = _model(network, extra).SerializeToString(deterministic=True)
    return bytes(content)


def read(data: bytes | Path, limit: int = PROTOBUF_LIMIT) -> Network:
    """Reads a file that :func:`write` wrote; ``read(write(g)).digest == g.digest``.

    Args:
        data: the file's content or its path.
        limit: bytes that are read at most.

    Raises:
        InputError: the file is missing, too large, damaged, of another kind, or says two different things.
    """
    return _read(onnx_check.load(data, limit), onnx_check.name_of(data))


def read_extra(data: bytes | Path, limit: int = PROTOBUF_LIMIT) -> dict[str, str]:
    """The further metadata properties of a file, without its description."""
    return _metadata(onnx_check.load(data, limit), onnx_check.name_of(data))[1]


def _model(network: Network, extra: Mapping[str, str]) -> ModelProto:
    graph, functions = build(network)
    model = helper.make_model(
        graph, functions=functions, opset_imports=OPSETS, ir_version=IR_VERSION, producer_name="snnc"
    )
    head = json.dumps(describe(network)[0], sort_keys=True, allow_nan=False)
    helper.set_model_props(model, {KEY: head, **dict(sorted(extra.items()))})
    return model


def _metadata(model: ModelProto, where: str) -> tuple[str, dict[str, str]]:
    found: dict[str, str] = {}
    for entry in model.metadata_props:
        if entry.key in found:
            raise InputError(f"{where}: the metadata key {entry.key!r} occurs twice")
        found[entry.key] = entry.value
    if KEY not in found:
        raise InputError(f"{where}: this ONNX file holds no {KEY!r} metadata; only files that snnc wrote can be read")
    return found.pop(KEY), found


def _read(model: ModelProto, where: str) -> Network:
    try:
        return _checked(model, where)
    except InputError as error:
        text = str(error) if str(error).startswith(where) else f"{where}: {error}"
        # JSON can name halves of characters, which no terminal can show.
        raise InputError(text.encode("utf-8", "backslashreplace").decode()) from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{where} is damaged: {error!a}") from error


def _checked(model: ModelProto, where: str) -> Network:
    onnx_check.versions(model, where)
    text, extra = _metadata(model, where)
    onnx_check.calls(model, where)
    arrays = onnx_check.arrays(model, where)
    head = json.loads(text)
    onnx_check.complete(head, arrays, where)
    network = rebuild(head, arrays)
    found = refusals(network)
    if found:
        raise InputError(f"{where}: the description holds what ONNX files cannot execute: {found[0]}")
    onnx_check.same(model, _model(network, extra), where)
    return network
