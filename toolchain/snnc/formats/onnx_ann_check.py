"""What an ONNX file of a ReLU network must be before layers are made of it: names, attributes, numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper

from snnc.errors import InputError, UnsupportedError, Violation, unknown

OPSETS = (13, 21)
MAX_NODES = 10_000
MAX_ELEMENTS = 1 << 24
Array = npt.NDArray[Any]

OPS = frozenset({
    "Add", "AveragePool", "BatchNormalization", "Concat", "Constant", "Conv", "Div", "Dropout", "Flatten", "Gemm",
    "GlobalAveragePool", "Identity", "MatMul", "MaxPool", "Mul", "Pad", "ReduceMean", "Relu", "Reshape", "Sub",
    "Transpose",
})  # fmt: skip
"""Operators that have a layer, or whose constants do."""

FIXES = {
    **dict.fromkeys(
        ("Softmax", "LogSoftmax", "ArgMax", "Hardmax"), "Leave it out of the export: the largest answer stays the same."
    ),
    **dict.fromkeys(
        ("Sigmoid", "Tanh", "Elu", "Selu", "Gelu", "Softplus", "LeakyRelu", "PRelu", "HardSwish", "HardSigmoid", "Erf",
         "Mish", "Celu", "ThresholdedRelu"),
        "A firing rate is max(x, 0): train with ReLU."),
    "Clip": "Train with ReLU; conversion limits rates itself.",
    "GlobalMaxPool": "Train with average pooling.",
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Scan", "Loop", "If"), "A network without time has no loops or branches."),
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization"),
                    "It takes statistics of each sample: train with batch normalisation."),
}  # fmt: skip
KINDS: dict[int, int] = {
    TensorProto.FLOAT: 4, TensorProto.DOUBLE: 8, TensorProto.INT64: 8, TensorProto.INT32: 4, TensorProto.BOOL: 1,
}  # fmt: skip


def opset(model: ModelProto, where: str) -> int:
    """The version of the operator set.

    Raises:
        InputError: none, several, a foreign domain, or a version that is not read.
    """
    found = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    version = found.get("ai.onnx", 0)
    if len(found) != len(model.opset_import) or not OPSETS[0] <= version <= OPSETS[1]:
        fix = f"export with opset_version={OPSETS[1]}"
        raise InputError(
            f"{where}: the operator set is {version or 'missing'}, allowed is {OPSETS[0]} to {OPSETS[1]}; {fix}"
        )
    if model.training_info or model.graph.sparse_initializer:
        raise InputError(f"{where}: training information and sparse initializers are not read")
    if model.functions:
        raise InputError(f"{where}: the model defines functions; export it without (torch: optimize=True)")
    if len(model.graph.node) > MAX_NODES:
        raise InputError(f"{where}: {len(model.graph.node)} operators, at most {MAX_NODES} are read")
    return int(version)


def operators(model: ModelProto, version: int, where: str) -> None:
    """Checks every operator and attribute by name; all findings at once.

    Raises:
        InputError: an attribute that the operator does not have, or the wrong number of inputs.
        UnsupportedError: an operator that has no layer.
    """
    wrong = list(_misspelt(model, version))
    foreign = [
        Violation(title(node), "operator", _full_name(node), "one of a ReLU network",
                  FIXES.get(node.op_type, f"There are {', '.join(sorted(OPS))}."))
        for node in model.graph.node if node.domain not in ("", "ai.onnx") or node.op_type not in OPS
    ]  # fmt: skip
    kind: Any = InputError if wrong else UnsupportedError
    if wrong or foreign:
        raise kind.of(*wrong, *foreign, message=f"{where}: {len(wrong) + len(foreign)} operators cannot be read")


def _misspelt(model: ModelProto, version: int) -> Iterator[Violation]:
    for node in model.graph.node:
        if node.op_type not in OPS or node.domain not in ("", "ai.onnx"):
            continue
        schema = defs.get_schema(node.op_type, version, "")
        names = [attribute.name for attribute in node.attribute]
        for attribute in node.attribute:
            known: Any = schema.attributes.get(attribute.name)
            if known is None:
                fix = unknown(f"attribute of {node.op_type}", attribute.name, schema.attributes)
                yield Violation(title(node), "attribute", repr(attribute.name), "one of the operator", fix)
            elif int(known.type.value) != attribute.type or names.count(attribute.name) > 1 or attribute.ref_attr_name:
                yield Violation(title(node), attribute.name, "of another type, or given twice", known.type.name)
        for side, given, low, high in (
            ("inputs", len(node.input), schema.min_input, schema.max_input),
            ("outputs", len(node.output), schema.min_output, schema.max_output),
        ):
            if not low <= given <= high:
                yield Violation(title(node), f"number of {side}", str(given), f"{low} to {high}")


def _full_name(node: NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else str(node.op_type)


def title(node: NodeProto) -> str:
    """What messages call an operator: its name, or what it makes."""
    return str(node.name or (node.output[0] if node.output else node.op_type))


def attributes(node: NodeProto) -> dict[str, Any]:
    """Attributes by name; texts as str, tensors as they are."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = attribute.t if attribute.type == AttributeProto.TENSOR else helper.get_attribute_value(attribute)
        found[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found


def number(tensor: TensorProto, what: str) -> Array:
    """A tensor of the file as an array: float64 for numbers, int64 for sizes.

    Raises:
        InputError: it lies elsewhere, is of another type, as long as its shape does not say, or not finite.
    """
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        fix = "export with external_data=False"
        raise InputError(f"{what} lies in another file; only numbers inside the file are read ({fix})")
    size = KINDS.get(tensor.data_type)
    if size is None:
        raise InputError(f"{what} is of type {tensor.data_type}; allowed are float, double, int32, int64 and bool")
    count = math.prod(tensor.dims)
    if any(n < 0 for n in tensor.dims) or tensor.HasField("segment"):
        raise InputError(f"{what} has the shape {list(tensor.dims)}")
    fields = (tensor.float_data, tensor.double_data, tensor.int64_data, tensor.int32_data)
    held = len(tensor.raw_data) // size if tensor.HasField("raw_data") else sum(map(len, fields))
    if held != count or (tensor.HasField("raw_data") and len(tensor.raw_data) % size):
        raise InputError(f"{what} has shape {list(tensor.dims)} but holds {held} numbers")
    array = numpy_helper.to_array(tensor)
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise InputError(f"{what} holds NaN or infinity")
    return np.array(array, dtype=np.float64 if array.dtype.kind == "f" else np.int64)
