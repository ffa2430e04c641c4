"""ReLU networks in ONNX files: what torch exports is what is read; what has no layer is refused by name."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from snnc.conversion import answers
from snnc.errors import InputError, SnncError, UnsupportedError
from snnc.formats import onnx_ann
from snnc.ir import Conv

LIMIT = 1 << 22
RNG = np.random.default_rng


class Net(torch.nn.Module):
    """Convolutions with batch normalisation, a residual sum, average pools, dropout, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4)
        self.second = torch.nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.last, self.drop = torch.nn.Linear(4, 3), torch.nn.Dropout()
        self.norm.running_mean.uniform_(-1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm(self.first(x)))
        y = torch.nn.functional.avg_pool2d(torch.relu(self.second(y) + y), 2)
        return self.last(self.drop(torch.flatten(torch.nn.functional.adaptive_avg_pool2d(y, 1), 1)))


def exported(module: torch.nn.Module, example: torch.Tensor, opset: int) -> bytes:
    """By the exporter that needs no onnxscript."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (example,), out, dynamo=False, opset_version=opset, input_names=["image"],
            dynamic_axes={"image": {0: "batch"}},
        )  # fmt: skip
    return out.getvalue()


def exported_by_dynamo(module: torch.nn.Module, example: torch.Tensor, opset: int | None) -> bytes:
    """By torch's exporter of today, which writes its own names, constants and operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            module.eval(), (example,), dynamo=True, verbose=False, opset_version=opset,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    assert made is not None
    return bytes(made.model_proto.SerializeToString())


def check_against_onnxruntime(content: bytes, shape: tuple[int, ...]) -> None:
    values = RNG(0).normal(size=(5, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {session.get_inputs()[0].name: values})
    found = answers(onnx_ann.read(content, LIMIT), values)
    np.testing.assert_allclose(found.reshape(want.shape), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_what_torch_exports_is_what_is_read(opset: int) -> None:
    content = exported(Net(), torch.rand(2, 1, 8, 8), opset)
    check_against_onnxruntime(content, (1, 8, 8))
    kinds = [node.kind for node in onnx_ann.read(content, LIMIT).graph.nodes]
    assert {"relu", "add", "conv", "affine", "pool"} <= set(kinds)


@pytest.mark.parametrize("opset", [None, 18, 21])
def test_what_torchs_exporter_of_today_writes_is_read(opset: int | None) -> None:
    content = exported_by_dynamo(Net(), torch.rand(2, 1, 8, 8), opset)
    check_against_onnxruntime(content, (1, 8, 8))
    old, new = (onnx_ann.read(c, LIMIT) for c in (exported(Net(), torch.rand(2, 1, 8, 8), 18), content))
    values = RNG(1).normal(size=(3, 1, 8, 8))
    np.testing.assert_allclose(answers(new, values), answers(old, values), rtol=1e-5, atol=1e-6)
    other = Net()
    other.second.weight.data[0, 0, 0, 0] += 0.1
    changed = onnx_ann.read(exported_by_dynamo(other, torch.rand(2, 1, 8, 8), opset), LIMIT)
    assert np.abs(answers(changed, values) - answers(new, values)).max() > 1e-4


def test_one_axis_by_torchs_exporter_of_today() -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv1d(2, 3, 3, stride=2, padding=1), torch.nn.BatchNorm1d(3), torch.nn.ReLU(),
        torch.nn.AvgPool1d(2), torch.nn.Flatten(), torch.nn.Linear(12, 4, bias=False),
    )  # fmt: skip
    check_against_onnxruntime(exported_by_dynamo(module, torch.rand(2, 2, 16), None), (2, 16))


def test_one_axis_and_a_file_on_disk(tmp_path: Path) -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv1d(2, 3, 3, stride=2, padding=1), torch.nn.ReLU(), torch.nn.AvgPool1d(2), torch.nn.Flatten(),
        torch.nn.Linear(12, 4),
    )  # fmt: skip
    content = exported(module, torch.rand(1, 2, 16), 17)
    check_against_onnxruntime(content, (2, 16))
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert not onnx_ann.wrote(path, LIMIT)
    assert onnx_ann.read(path, LIMIT).graph.digest == onnx_ann.read(content, LIMIT).graph.digest


def model(
    nodes: Sequence[Any], shape: Sequence[Any], arrays: dict[str, np.ndarray] | None = None, opset: int = 18
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in (arrays or {}).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def op(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), output.split(), name=f"n_{output}", **attributes)


def f32(*shape: int, seed: int = 0) -> np.ndarray:
    return RNG(seed).normal(size=shape).astype(np.float32)


def dynamo() -> ModelProto:
    """Net as ``torch.onnx.export(dynamo=True)`` of torch 2.13 writes it: these operators, orders and attributes."""
    conv = {"group": 1, "pads": [1, 1, 1, 1], "auto_pad": "NOTSET", "strides": [1, 1], "dilations": [1, 1]}
    pool = {"count_include_pad": 1, "ceil_mode": 0, "pads": [0] * 4, "auto_pad": "NOTSET", "strides": [2, 2]}
    nodes = [
        op("Conv", "x c1.weight c1.bias", "getitem", **conv, kernel_shape=[3, 3]),
        op("Relu", "getitem", "relu"),
        op("Conv", "relu c2.weight", "conv2d_1", **conv, kernel_shape=[3, 3]),
        op("Add", "conv2d_1 relu", "add_20"),
        op("Relu", "add_20", "relu_1"),
        op("AveragePool", "relu_1", "avg_pool2d", **pool, kernel_shape=[2, 2]),
        op("AveragePool", "avg_pool2d", "avg_pool2d_1", **pool, kernel_shape=[2, 2]),
        op("Reshape", "avg_pool2d_1 val_19", "view", allowzero=1),
        op("Gemm", "view fc.weight fc.bias", "y", beta=1.0, transB=1, alpha=1.0, transA=0),
    ]
    arrays = {
        "c1.weight": f32(4, 1, 3, 3), "c1.bias": f32(4), "c2.weight": f32(4, 4, 3, 3), "fc.weight": f32(3, 16),
        "fc.bias": f32(3), "val_19": np.array([-1, 16]),
    }  # fmt: skip
    return model(nodes, ["b", 1, 8, 8], arrays)


def test_what_the_dynamo_exporter_writes_is_read() -> None:
    check_against_onnxruntime(dynamo().SerializeToString(), (1, 8, 8))


IMAGE = ("b", 2, 6, 6)
ONE = {
    "matmul and add": ([op("MatMul", "x w", "m"), op("Add", "b m", "y")], ("b", 5), {"w": f32(5, 3), "b": f32(1, 3)}),
    "doubles": ([op("Cast", "x", "y", to=1)], ("b", 5), {}),
    "transposed weights": (
        [op("Transpose", "w", "t", perm=[1, 0]), op("Gemm", "x t b", "y", alpha=0.5, beta=2.0)],
        ("b", 5), {"w": f32(3, 5), "b": f32(3)}),
    "batch norm": (
        [op("BatchNormalization", "x s o m v", "y", epsilon=1e-3)], IMAGE,
        {"s": f32(2), "o": f32(2), "m": f32(2), "v": np.abs(f32(2))}),
    "global average": ([op("GlobalAveragePool", "x", "g"), op("Flatten", "g", "y")], IMAGE, {}),
    "mean": ([op("ReduceMean", "x axes", "y", keepdims=0)], IMAGE, {"axes": np.array([-1, -2])}),
    "pad into conv": (
        [op("Pad", "x pads", "p"), op("Conv", "p w", "y", pads=[1, 0, 1, 0])], IMAGE,
        {"pads": np.array([0, 0, 1, 2, 0, 0, 1, 2]), "w": f32(3, 2, 3, 3)}),
    "constants": (
        [op("Constant", "", "k", value_floats=[0.5]), op("Mul", "k k", "kk"), op("Mul", "x kk", "a"),
         op("Sub", "one a", "s"), op("Div", "s two", "y")], ("b", 3),
        {"one": np.ones(3, np.float32), "two": f32(3)}),
    "identity, dropout, joined": (
        [op("Identity", "x", "i"), op("Dropout", "i", "d"), op("Relu", "d", "r"), op("Concat", "r x", "y", axis=1)],
        IMAGE, {}),
    "max of the input": ([op("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[2, 2])], IMAGE, {}),
    "grouped": (
        [op("Conv", "x w", "y", group=2, dilations=[2, 1], strides=[1, 2])], IMAGE, {"w": f32(4, 1, 2, 2)}),
    "flat with zeros": ([op("Reshape", "x s", "y")], IMAGE, {"s": np.array([0, -1])}),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ONE if name != "doubles"])
def test_each_operator_against_onnxruntime(name: str) -> None:
    nodes, shape, arrays = ONE[name]
    check_against_onnxruntime(model(nodes, shape, arrays).SerializeToString(), tuple(shape[1:]))


def test_double_weights_and_padding_of_the_node() -> None:
    content = model(*ONE["pad into conv"]).SerializeToString()
    (conv,) = (n for n in onnx_ann.read(content, LIMIT).graph.nodes if isinstance(n, Conv))
    assert conv.padding == (2, 2)
    doubled = model([op("MatMul", "x w", "y")], ("b", 5), {"w": f32(5, 3).astype(np.float64)})
    np.testing.assert_array_equal(answers(onnx_ann.read(doubled.SerializeToString(), LIMIT), np.eye(5)), f32(5, 3))


RELU = [op("Relu", "x", "r")]
BAD: dict[str, tuple[Any, type[SnncError], str]] = {
    "misspelt": (model([op("Conv", "x w", "y", stride=[2, 2])], IMAGE, {"w": f32(1, 2, 1, 1)}), InputError,
                 "n_y: attribute is 'stride'.*the nearest is 'strides'"),
    "type of an attribute": (model([op("Flatten", "x", "y", axis=1.0)], IMAGE), InputError, "n_y: axis is of another"),
    "too many inputs": (model([op("Relu", "x x", "y")], IMAGE), InputError, "number of inputs is 2"),
    "softmax": (model([op("Softmax", "x", "y")], ("b", 3)), UnsupportedError, "n_y: operator is Softmax.*largest"),
    "sigmoid": (model([op("Sigmoid", "x", "y")], ("b", 3)), UnsupportedError, "train with ReLU"),
    "cast": (model(*ONE["doubles"][:2]), UnsupportedError, "n_y: operator is Cast"),
    "max pool": (model([*RELU, op("MaxPool", "r", "y", kernel_shape=[2, 2])], IMAGE), UnsupportedError,
                 "pooling is max of activations.*average pooling.*stride 2"),
    "dynamic": (model([op("Relu", "x", "y")], ("b", 2, "h", 6)), InputError,
                "x: shape is .*'h'.*only the first axis"),
    "foreign domain": (model([helper.make_node("Gemm", ["x"], ["y"], name="n", domain="com.microsoft")], IMAGE),
                       UnsupportedError, "n: operator is com.microsoft.Gemm"),
    "opset": (model([op("Relu", "x", "y")], IMAGE, opset=12), InputError, "operator set is 12, allowed is 13 to 21"),
    "asymmetric": (model([op("Conv", "x w", "y", pads=[0, 0, 1, 1])], IMAGE, {"w": f32(1, 2, 2, 2)}),
                   UnsupportedError, "n_y .Conv.: pads is .0, 0, 1, 1"),
    "auto pad": (model([op("Conv", "x w", "y", auto_pad="SAME_UPPER")], IMAGE, {"w": f32(1, 2, 2, 2)}),
                 UnsupportedError, "auto_pad is SAME_UPPER.*explicit"),
    "weights that are data": (model([op("Gemm", "x x", "y")], ("b", 3)), UnsupportedError, "computed from the data"),
    "transpose of data": (model([op("Transpose", "x", "y")], IMAGE), UnsupportedError, "only constants are transposed"),
    "pad without conv": (model([op("Pad", "x p", "q"), op("Relu", "q", "y")], IMAGE,
                               {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}), UnsupportedError, "convolutions only"),
    "half a reshape": (model([op("Reshape", "x s", "y")], IMAGE, {"s": np.array([-1, 2, 36])}), UnsupportedError,
                       r"allowed is \[batch, 72\]"),
    "product of data": (model([op("Mul", "x x", "y")], IMAGE), UnsupportedError, "data of one shape that are added"),
    "unknown tensor": (model([op("Relu", "z", "y")], IMAGE), InputError, "'z'.*made before"),
    "constant output": (model([op("Relu", "x", "z")], IMAGE, {"y": f32(3)}), InputError, "not computed from"),
    "huge": (model([op("Conv", "x w", "y", pads=[9999999] * 4)], IMAGE, {"w": f32(1, 2, 1, 1)}), UnsupportedError,
             "values per sample"),
    "NaN": (model([op("Add", "x c", "y")], ("b", 1), {"c": np.array([np.nan], np.float32)}), InputError, "NaN"),
    "training": (model([op("BatchNormalization", "x s s s s", "y", training_mode=1)], IMAGE, {"s": f32(2)}),
                 UnsupportedError, "eval mode"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_layer_is_refused_by_name(name: str) -> None:
    made, kind, text = BAD[name]
    with pytest.raises(SnncError, match=f"(?s){text}") as error:
        onnx_ann.read(made.SerializeToString(), LIMIT)
    assert type(error.value) is kind


def test_numbers_outside_the_file_are_not_read() -> None:
    made = dynamo()
    tensor = made.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(InputError, match=r"c1.weight' lies in another file.*external_data=False"):
        onnx_ann.read(made.SerializeToString(), LIMIT)


def test_sizes_are_bounded(tmp_path: Path) -> None:
    content = dynamo().SerializeToString()
    with pytest.raises(InputError, match="at most 100 are read"):
        onnx_ann.read(content, 100)
    made = dynamo()
    made.graph.initializer[0].dims[0] = 1 << 60
    with pytest.raises(InputError, match="but holds 36 numbers"):
        onnx_ann.read(made.SerializeToString(), LIMIT)
    with pytest.raises(InputError, match="cannot be read"):
        onnx_ann.read(tmp_path / "none.onnx", LIMIT)


SEED = dynamo().SerializeToString()


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(SEED)))
def test_damaged_files_give_errors_and_nothing_else(edits: list[tuple[int, int]], length: int) -> None:
    content = bytearray(SEED)
    for place, value in edits:
        content[place] = value
    with contextlib.suppress(SnncError):
        onnx_ann.read(bytes(content[: length if length % 3 == 0 else None]), LIMIT)
