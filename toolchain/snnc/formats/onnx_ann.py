"""ReLU networks from ONNX files, such as ``torch.onnx.export`` writes them (dynamo or not): a file becomes an Ann.

One operator becomes one node; constants are computed while reading. Nothing is guessed: an operator, attribute or
shape that has no layer is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

from snnc.conversion import Ann
from snnc.errors import InputError, SnncError, Violation
from snnc.formats import onnx_ann_check as check
from snnc.formats import onnx_ann_layers as layers
from snnc.formats import onnx_ann_shapes as shapes
from snnc.formats import onnx_check
from snnc.formats.onnx_ann_reader import Const, Reader, Signal
from snnc.ir import Edge, Graph, Input, Readout

LAYERS: dict[str, Callable[[Reader, NodeProto], None]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), layers.arithmetic),
    "AveragePool": shapes.average_pool, "BatchNormalization": layers.batch_norm, "Concat": shapes.concat,
    "Constant": shapes.constant, "Conv": layers.conv, "Dropout": shapes.dropout, "Flatten": shapes.flatten,
    "Gemm": layers.gemm, "GlobalAveragePool": shapes.global_average_pool, "Identity": shapes.identity,
    "MatMul": layers.matmul, "MaxPool": shapes.max_pool, "Pad": shapes.pad, "ReduceMean": shapes.reduce_mean,
    "Relu": layers.relu, "Reshape": shapes.reshape, "Transpose": shapes.transpose,
}  # fmt: skip
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


def wrote(data: bytes | Path, limit: int) -> bool:
    """True if the file says that snnc wrote it."""
    return any(entry.key == "snnc" for entry in onnx_check.load(data, limit).metadata_props)


def read(data: bytes | Path, limit: int) -> Ann:
    """Reads a ReLU network.

    Args:
        data: the file's content or its path.
        limit: bytes that are read at most.

    Raises:
        InputError: missing, damaged, too large, misspelt, or with numbers outside the file.
        UnsupportedError: an operator, shape or option that has no layer; says where and what to do.
    """
    where = onnx_check.name_of(data)
    try:
        return _read(onnx_check.load(data, limit), where)
    except SnncError as error:
        if str(error).startswith(where):
            raise
        raise type(error)(f"{where}: {error.message}", violations=error.violations) from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{where} is damaged: {error!r}") from error


def _read(model: ModelProto, where: str) -> Ann:
    version = check.opset(model, where)
    check.operators(model, version, where)
    reader = Reader(version)
    graph = model.graph
    for tensor in graph.initializer:
        reader.define(tensor.name, Const(check.number(tensor, f"the initializer {tensor.name!r}")))
    given = [value for value in graph.input if value.name not in reader.values]
    if len(given) != 1 or len(graph.output) != 1:
        raise InputError(f"the model has {len(given)} inputs and {len(graph.output)} outputs, allowed is one of each")
    shape = _input_shape(given[0])
    name = reader.name(_plain(given[0].name))
    reader.nodes.append(Input(name, shape, "direct"))
    reader.define(given[0].name, Signal(name, shape))
    for node in graph.node:
        LAYERS[node.op_type](reader, node)
    answer = reader.values.get(graph.output[0].name)
    if not isinstance(answer, Signal) or any(answer.padding):
        raise InputError(f"the output {graph.output[0].name!r} is not computed from the input")
    end = reader.name("output")
    nodes = (*reader.nodes, Readout(end, "sum"))
    return Ann(_reached(Graph(nodes, (*reader.edges, Edge(answer.node, end))), end))


def _reached(graph: Graph, end: str) -> Graph:
    """The part of a graph that its output depends on."""
    found, waiting = {end}, [end]
    while waiting:
        for edge in graph.incoming(waiting.pop()):
            if edge.source not in found:
                found.add(edge.source)
                waiting.append(edge.source)
    edges = [edge for edge in graph.edges if edge.target in found]
    return graph.with_nodes((node for node in graph.nodes if node.name in found), edges)


def _input_shape(value: ValueInfoProto) -> tuple[int, ...]:
    """Sizes behind the batch axis; only the batch may be open."""
    tensor = value.type.tensor_type
    if tensor.elem_type not in FLOATS:
        raise InputError.of(Violation(value.name, "type of the input", str(tensor.elem_type), "float or double"))
    sizes = [axis.dim_value if axis.HasField("dim_value") else 0 for axis in tensor.shape.dim]
    shape = tuple(sizes[1:])
    if not 1 <= len(shape) <= 3 or any(n < 1 for n in shape):
        shown = [axis.dim_value or axis.dim_param or "?" for axis in tensor.shape.dim]
        fix = "Export with fixed sizes; only the first axis (batch) may be dynamic."
        raise InputError.of(Violation(value.name, "shape", str(shown), "[batch, sizes...] of 1 to 3 fixed sizes", fix))
    return shape


def _plain(name: str) -> str:
    return re.sub(r"[\s/]+", "_", name).strip("_") or "input"
