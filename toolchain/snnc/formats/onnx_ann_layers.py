"""ONNX operators with numbers -> nodes: convolutions, dense layers, arithmetic, normalisation, activations."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto

from snnc.conversion import Relu
from snnc.formats.onnx_ann_check import Array, attributes
from snnc.formats.onnx_ann_reader import Const, Reader, Shape, Signal, padding, refuse, sizes
from snnc.ir import Add, Affine, Conv, Scale


def conv(reader: Reader, node: NodeProto) -> None:
    """Conv with one or two spatial axes; a Pad before it adds to its padding."""
    x, found = reader.signal(node, padded=True), attributes(node)
    weight, bias = reader.const(node, 1), reader.const(node, 2)
    assert weight is not None
    rank = weight.ndim - 2
    if rank not in (1, 2) or len(x.shape) != rank + 1:
        refuse(node, "shape", f"{x.shape} with kernel {weight.shape[2:]}", "one or two spatial axes")
    if tuple(found.get("kernel_shape", weight.shape[2:])) != weight.shape[2:]:
        refuse(node, "kernel_shape", str(tuple(found["kernel_shape"])), str(weight.shape[2:]))
    pads = tuple(a + b for a, b in zip(padding(node, found, rank), x.padding or (0,) * rank, strict=True))
    made = Conv(
        reader.label(node), weight, bias, sizes(node, found, "strides", rank, 1), pads,
        sizes(node, found, "dilations", rank, 1), int(found.get("group", 1)),
    )  # fmt: skip
    reader.define(node.output[0], reader.add(node, made, x))


def gemm(reader: Reader, node: NodeProto) -> None:
    """Gemm with constant weights: ``y = alpha * x W + beta * b``."""
    found = attributes(node)
    weight, bias = reader.const(node, 1), reader.const(node, 2)
    assert weight is not None
    if found.get("transA", 0) or weight.ndim != 2:
        refuse(node, "transA", "1, or weights that are no matrix", "0", "Data come first: y = x W + b.")
    rows = (weight if found.get("transB", 0) else weight.T) * found.get("alpha", 1.0)
    if bias is not None:
        bias = _row(node, bias, (rows.shape[0],)) * found.get("beta", 1.0)
    reader.define(node.output[0], reader.add(node, Affine(reader.label(node), rows, bias), reader.signal(node)))


def matmul(reader: Reader, node: NodeProto) -> None:
    """MatMul with a constant matrix."""
    weight = reader.const(node, 1)
    assert weight is not None
    if weight.ndim != 2:
        refuse(node, "weights", f"shape {weight.shape}", "a matrix")
    reader.define(node.output[0], reader.add(node, Affine(reader.label(node), weight.T), reader.signal(node)))


def _row(node: NodeProto, value: Array, shape: Shape) -> Array:
    """A constant, broadcast over the batch, as values per sample."""
    if value.ndim == len(shape) + 1:
        if value.shape[0] != 1:
            refuse(node, "constant", f"shape {value.shape}", "the same for every sample")
        value = value[0]
    try:
        return np.array(np.broadcast_to(value, shape), dtype=np.float64)
    except ValueError:
        refuse(node, "constant", f"shape {value.shape}", f"what broadcasts to {shape}")


def arithmetic(reader: Reader, node: NodeProto) -> None:
    """Add, Sub, Mul, Div: constants are computed; data with a constant are a Scale; data with data are summed."""
    left, right = (reader.given(node, k) for k in range(2))
    if isinstance(left, Const) and isinstance(right, Const):
        with np.errstate(all="ignore"):
            value = np.asarray(_FUNCTIONS[node.op_type](left.value, right.value))
        if not np.all(np.isfinite(value)):
            refuse(node, "constant", "NaN or infinite", "finite numbers")
        reader.define(node.output[0], Const(value))
    elif isinstance(left, Signal) and isinstance(right, Signal):
        if node.op_type != "Add" or left.shape != right.shape:
            refuse(node, "inputs", f"data {left.shape} and data {right.shape}", "data of one shape that are added")
        two = (reader.signal(node, 0), reader.signal(node, 1))
        reader.define(node.output[0], reader.add(node, Add(reader.label(node)), *two))
    else:
        reader.define(node.output[0], _scale(reader, node, first=isinstance(left, Signal)))


_FUNCTIONS: dict[str, Any] = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}


def _scale(reader: Reader, node: NodeProto, *, first: bool) -> Signal:
    x, value = reader.signal(node, 0 if first else 1), reader.const(node, 1 if first else 0)
    assert value is not None
    row = _row(node, value, x.shape)
    gain, shift = np.ones(x.shape), np.zeros(x.shape)
    if node.op_type == "Add":
        shift = row
    elif node.op_type == "Sub":
        gain, shift = (gain, -row) if first else (-gain, row)
    elif node.op_type == "Mul":
        gain = row
    elif not first or np.any(row == 0):
        refuse(node, "divisor", "data or 0", "a constant other than 0")
    else:
        gain = 1 / row
    return reader.add(node, Scale(reader.label(node), gain, shift), x)


def batch_norm(reader: Reader, node: NodeProto) -> None:
    """BatchNormalization with stored statistics."""
    found, x = attributes(node), reader.signal(node)
    if found.get("training_mode", 0) or len(node.output) > 1:
        refuse(node, "training_mode", "1", "0", "Export the model in eval mode.")
    scale, shift, mean, var = (reader.const(node, k) for k in range(1, 5))
    if any(part is None or part.shape != x.shape[:1] for part in (scale, shift, mean, var)):
        refuse(node, "statistics", "another shape", f"({x.shape[0]},)")
    assert scale is not None
    assert shift is not None
    assert mean is not None
    assert var is not None
    if np.any(var + found.get("epsilon", 1e-5) <= 0):
        refuse(node, "variance", "0 or less", "above 0")
    gain = scale / np.sqrt(var + found.get("epsilon", 1e-5))
    column = (-1, *(1,) * (len(x.shape) - 1))
    made = Scale(reader.label(node), gain.reshape(column), (shift - mean * gain).reshape(column))
    reader.define(node.output[0], reader.add(node, made, x))


def relu(reader: Reader, node: NodeProto) -> None:
    """Relu."""
    reader.define(node.output[0], reader.add(node, Relu(reader.label(node)), reader.signal(node)))
