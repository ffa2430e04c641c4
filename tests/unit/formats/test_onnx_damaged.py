"""Damaged and hostile ONNX files: every one is refused with a clear InputError."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from snnc.errors import InputError
from snnc.formats import onnx_file
from unit.formats.onnx_small import body, model_of, whole


def meta(model: ModelProto) -> Any:
    return next(entry for entry in model.metadata_props if entry.key == "snnc")


def edit(model: ModelProto, change: Callable[[Any], Any]) -> None:
    head = json.loads(meta(model).value)
    meta(model).value = json.dumps(change(head) or head, sort_keys=True)


def weight(model: ModelProto) -> TensorProto:
    return next(t for t in model.graph.initializer if t.name == "param/fc/weight")


def call(model: ModelProto) -> Any:
    return next(node for node in body(model).node if node.op_type.startswith("EulerInt64"))


def outside(model: ModelProto) -> None:
    weight(model).data_location = TensorProto.EXTERNAL
    weight(model).external_data.add(key="location", value="/etc/passwd")


def as_float(model: ModelProto) -> None:
    weight(model).CopyFrom(numpy_helper.from_array(np.eye(2, 3), "param/fc/weight"))


def huge(model: ModelProto) -> None:
    weight(model).dims[0] = 1 << 40


def big_layers(head: Any) -> None:
    head["nodes"][0]["shape"] = [10**30]


def node_field(index: int, key: str, value: Any) -> Callable[[Any], None]:
    return lambda head: head["nodes"][index].__setitem__(key, value)


DAMAGED: dict[str, tuple[Callable[[ModelProto], Any], str]] = {
    "opset": (lambda m: setattr(m.opset_import[0], "version", 22), "operator sets are"),
    "other domain": (lambda m: m.opset_import.add(domain="com.other", version=1), "operator sets are"),
    "ir version": (lambda m: setattr(m, "ir_version", 11), "IR version is 11"),
    "no metadata": (lambda m: m.ClearField("metadata_props"), "no 'snnc' metadata"),
    "metadata twice": (lambda m: m.metadata_props.add(key="snnc", value="{}"), "occurs twice"),
    "no json": (lambda m: setattr(meta(m), "value", "{"), "damaged"),
    "deep json": (lambda m: setattr(meta(m), "value", "[" * 100000), "damaged"),
    "a list": (lambda m: setattr(meta(m), "value", "[]"), "damaged"),
    "a node that is a number": (lambda m: edit(m, lambda h: h["nodes"].__setitem__(0, 3)), "damaged"),
    "no nodes": (lambda m: edit(m, lambda h: h.pop("nodes")), "damaged"),
    "unknown type": (lambda m: edit(m, node_field(0, "type", "Magic")), "Magic"),
    "unknown field": (lambda m: edit(m, node_field(0, "colour", 1)), "no field 'colour'"),
    "endless shape": (lambda m: edit(m, big_layers), "out of range|allowed is"),
    "unknown convention": (lambda m: edit(m, lambda h: h["conventions"].__setitem__("x", 1)), "damaged"),
    "unsupported convention": (
        lambda m: edit(m, lambda h: h["conventions"].__setitem__("current_overflow", "refuse")), "cannot execute",
    ),
    "unknown overflow": (
        lambda m: edit(m, lambda h: h["conventions"].__setitem__("current_overflow", "explode")), "'explode', allowed",
    ),
    "other compare": (lambda m: edit(m, node_field(2, "fires", "gt")), "not what the description stands for"),
    "an extra key": (lambda m: edit(m, lambda h: h.__setitem__("x", 1)), "metadata is not what"),
    "missing initializer": (lambda m: m.graph.initializer.remove(weight(m)), "'param/fc/weight' is missing"),
    "extra initializer": (
        lambda m: m.graph.initializer.append(numpy_helper.from_array(np.eye(2), "param/x/y")), "belongs to no node",
    ),
    "unknown initializer": (
        lambda m: m.graph.initializer.append(numpy_helper.from_array(np.eye(2), "x")), "'x' is unknown",
    ),
    "sparse": (lambda m: m.graph.sparse_initializer.add(), "sparse"),
    "outside the file": (outside, "lies in another file"),
    "float weights": (as_float, "integers, not float64"),
    "strings": (lambda m: setattr(weight(m), "data_type", TensorProto.STRING), "is of type 8"),
    "huge": (huge, "bytes of data"),
    "negative size": (lambda m: weight(m).dims.__setitem__(0, -1), "bytes of data"),
    "short": (lambda m: setattr(weight(m), "raw_data", b"1"), "1 bytes of data"),
    "wide weights": (
        lambda m: weight(m).CopyFrom(numpy_helper.from_array(np.array([[1, 2, 3], [-4, 5, 6]]), "param/fc/weight")),
        "initializer 'param/fc/weight' is not what",
    ),
    "unknown attribute": (
        lambda m: call(m).attribute.append(helper.make_attribute("refractary", 1)), "see refractary",
    ),
    "missing attribute": (lambda m: call(m).attribute.pop(), "attributes"),
    "unknown function": (lambda m: setattr(call(m), "op_type", "Magic"), "'Magic' of ai.snnc is called but not"),
    "unknown operator domain": (lambda m: setattr(m.graph.node[0], "domain", "evil"), "unknown domain 'evil'"),
    "function domain": (lambda m: setattr(m.functions[0], "domain", "evil"), "of domain 'evil'"),
    "function twice": (lambda m: m.functions.append(m.functions[0]), "defined twice"),
    "one input less": (lambda m: call(m).input.pop(), "another number of inputs"),
    "a function less": (lambda m: m.functions.pop(0), "called but not defined"),
    "another function body": (lambda m: m.functions[-1].node.pop(), "function .* is not what"),
    "another operator": (lambda m: setattr(m.graph.node[-1], "op_type", "Identity"), "operator .* is not what"),
    "an operator more": (lambda m: m.graph.node.append(m.graph.node[-1]), "number of operators"),
    "an output less": (lambda m: m.graph.output.pop(), "output .* is not what"),
    "training": (lambda m: m.training_info.add(), "training"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_refused(what: str) -> None:
    change, message = DAMAGED[what]
    model = model_of(onnx_file.write(whole()))
    change(model)
    with pytest.raises(InputError, match=message) as caught:
        onnx_file.read(model.SerializeToString())
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused() -> None:
    data = onnx_file.write(whole())
    for size in range(0, len(data), 37):
        with pytest.raises(InputError):
            onnx_file.read(data[:size])


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_flipped_byte_is_refused_or_is_another_network(data: st.DataObject) -> None:
    content = bytearray(onnx_file.write(whole()))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        network = onnx_file.read(bytes(content))
    except InputError:
        return
    assert onnx_file.read(onnx_file.write(network)).digest == network.digest


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        onnx_file.read(content)
