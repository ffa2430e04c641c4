"""ONNX operators without weights -> nodes: pooling, reshaping, joining, and what computes constants."""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto, TensorProto

from snnc.formats.onnx_ann_check import Array, attributes, number, title
from snnc.formats.onnx_ann_reader import Const, Reader, Signal, padding, refuse, sizes
from snnc.ir import Concat, Flatten, Identity, Pool

ORDER = "Keep the order [batch, channels, ...]; only constants are transposed."


def average_pool(reader: Reader, node: NodeProto) -> None:
    """AveragePool; padding must count."""
    found, x = attributes(node), reader.signal(node)
    made = _pool(reader, node, x)
    if any(made.padding) and not found.get("count_include_pad", 0):
        refuse(node, "count_include_pad", "0 with padding", "1, or no padding", "Train with count_include_pad=True.")
    reader.define(node.output[0], reader.add(node, made, x))


def max_pool(reader: Reader, node: NodeProto) -> None:
    """MaxPool; conversion takes it on input values only."""
    x = reader.signal(node)
    made = _pool(reader, node, x)
    if any(made.padding) or len(node.output) > 1 or attributes(node).get("storage_order", 0):
        refuse(node, "padding, indices or storage order", "set", "none", "Use average pooling, or stride 2.")
    reader.define(node.output[0], reader.add(node, made, x))


def _pool(reader: Reader, node: NodeProto, x: Signal) -> Pool:
    found, rank = attributes(node), len(x.shape) - 1
    kernel = sizes(node, found, "kernel_shape", rank, 0)
    stride, pads = sizes(node, found, "strides", rank, 1), padding(node, found, rank)
    if any(d != 1 for d in sizes(node, found, "dilations", rank, 1)):
        refuse(node, "dilations", str(found["dilations"]), "1", "Pool without dilation.")
    if any(p >= k for p, k in zip(pads, kernel, strict=True)):
        refuse(node, "pads", str(pads), f"less than the kernel {kernel}")
    over = [(n + 2 * p - k) % s for n, k, s, p in zip(x.shape[1:], kernel, stride, pads, strict=True)]
    if found.get("ceil_mode", 0) and any(over):
        refuse(node, "ceil_mode", "1 with a rest", "0", "Pad the data, or choose sizes that divide.")
    kind = "avg" if node.op_type == "AveragePool" else "max"
    return Pool(reader.label(node), kind, kernel, stride, pads)  # type: ignore[arg-type]


def global_average_pool(reader: Reader, node: NodeProto) -> None:
    """GlobalAveragePool: one window."""
    _whole(reader, node, keep=True)


def reduce_mean(reader: Reader, node: NodeProto) -> None:
    """ReduceMean over all spatial axes, which is how exporters write a global average."""
    found, x = attributes(node), reader.signal(node)
    axes = found.get("axes") if reader.opset < 18 else reader.const(node, 1)
    rank = len(x.shape) + 1
    given = sorted(int(a) % rank for a in np.ravel(np.asarray([] if axes is None else axes, dtype=np.int64)))
    if given != list(range(2, rank)):
        refuse(node, "axes", str(given), f"the spatial axes {list(range(2, rank))}")
    _whole(reader, node, keep=bool(found.get("keepdims", 1)))


def _whole(reader: Reader, node: NodeProto, *, keep: bool) -> None:
    x = reader.signal(node)
    rank = len(x.shape) - 1
    if rank < 1:
        refuse(node, "shape", str(x.shape), "channels and spatial axes")
    made = reader.add(node, Pool(reader.label(node), "avg", x.shape[1:], x.shape[1:], (0,) * rank), x)
    reader.define(node.output[0], made if keep else reader.add(node, Flatten(reader.name(f"{made.node}_flat")), made))


def flatten(reader: Reader, node: NodeProto) -> None:
    """Flatten behind the batch axis."""
    axis = int(attributes(node).get("axis", 1))
    x = reader.signal(node)
    if axis not in (1, -len(x.shape)):
        refuse(node, "axis", str(axis), "1", "The batch axis stays; everything behind it becomes one.")
    reader.define(node.output[0], reader.add(node, Flatten(reader.label(node)), x))


def reshape(reader: Reader, node: NodeProto) -> None:
    """Reshape to [batch, everything]; of a constant to anything."""
    shape = reader.const(node, 1)
    value = reader.given(node, 0)
    assert shape is not None
    wanted = [int(n) for n in np.ravel(shape)]
    if isinstance(value, Const):
        if attributes(node).get("allowzero", 0) == 0:
            wanted = [value.value.shape[k] if n == 0 and k < value.value.ndim else n for k, n in enumerate(wanted)]
        reader.define(node.output[0], Const(value.value.reshape(wanted)))
        return
    x = reader.signal(node)
    whole = math.prod(x.shape)
    if tuple(wanted[1:]) == x.shape:
        reader.define(node.output[0], reader.add(node, Identity(reader.label(node), "reshape"), x))
        return
    if len(wanted) != 2 or wanted[1] not in (whole, -1) or wanted == [-1, -1]:
        refuse(node, "shape", str(wanted), f"[batch, {whole}]", "Data are flattened only.")
    reader.define(node.output[0], reader.add(node, Flatten(reader.label(node)), x))


def transpose(reader: Reader, node: NodeProto) -> None:
    """Transpose of a constant."""
    value = reader.given(node, 0)
    if isinstance(value, Signal):
        refuse(node, "input", "data", "a constant", ORDER)
    reader.define(node.output[0], Const(value.value.transpose(attributes(node).get("perm"))))


def concat(reader: Reader, node: NodeProto) -> None:
    """Concat of data behind the batch axis."""
    parts = [reader.signal(node, k) for k in range(len(node.input))]
    axis = int(attributes(node)["axis"]) % (len(parts[0].shape) + 1)
    if axis < 1:
        refuse(node, "axis", "0", "1 or more", "The batch axis is not joined.")
    reader.define(node.output[0], reader.add(node, Concat(reader.label(node), axis - 1), *parts))


def pad(reader: Reader, node: NodeProto) -> None:
    """Pad with zeros, the same at both ends, kept for the convolution behind it."""
    found, x = attributes(node), reader.signal(node)
    fill, axes, given = reader.const(node, 2), reader.const(node, 3), reader.const(node, 1)
    assert given is not None
    rank = len(x.shape) + 1
    pads = np.zeros((2, rank), dtype=np.int64)
    where = list(range(rank)) if axes is None else [int(a) % rank for a in np.ravel(axes)]
    pads[:, where] = np.ravel(given).reshape(2, len(where))
    plain = found.get("mode", "constant") == "constant" and (fill is None or not np.any(fill))
    if not plain or np.any(pads[0] != pads[1]) or np.any(pads[:, :2]) or np.any(pads < 0):
        fix = "Use the convolution's own padding."
        refuse(node, "padding", f"{found.get('mode', 'constant')} {pads.tolist()}", "equal zeros on spatial axes", fix)
    reader.define(node.output[0], Signal(x.node, x.shape, tuple(int(p) for p in pads[0, 2:])))


def identity(reader: Reader, node: NodeProto) -> None:
    """Identity: another name for the same."""
    reader.define(node.output[0], reader.given(node, 0))


def dropout(reader: Reader, node: NodeProto) -> None:
    """Dropout at inference passes its input on."""
    training = reader.const(node, 2)
    if len(node.output) > 1 or (training is not None and np.any(training)):
        refuse(node, "training_mode", "on, or its mask is used", "off", "Export the model in eval mode.")
    identity(reader, node)


def constant(reader: Reader, node: NodeProto) -> None:
    """Constant: a tensor or numbers."""
    found = attributes(node)
    if len(found) != 1:
        refuse(node, "attributes", ", ".join(found) or "none", "one value")
    ((key, value),) = found.items()
    reader.define(node.output[0], Const(_constant(node, key, value)))


def _constant(node: NodeProto, key: str, value: object) -> Array:
    if isinstance(value, TensorProto):
        return number(value, f"the constant {title(node)!r}")
    if key not in ("value_float", "value_floats", "value_int", "value_ints"):
        refuse(node, "value", key, "numbers")
    array = np.asarray(value, dtype=np.float64 if "float" in key else np.int64)
    if not np.all(np.isfinite(array)):
        refuse(node, "value", "NaN or infinite", "finite numbers")
    return array
