"""The helper functions of ai.snnc against snnc.ir.fixed, in onnxruntime and in ONNX's own evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from snnc.formats import onnx_file
from snnc.formats.onnx_emit import IR_VERSION, OPSETS, Emitter
from snnc.formats.onnx_ops import HELPERS, SHIFTS, overflow
from snnc.ir.fixed import overflowed, shift_right
from snnc_reference.execute import execute
from unit.formats.onnx_nets import LOIHI, SPLIT, random_network

EDGES = [0, 1, 2, 3, 5, 7, 127, 128, 129, 255, 256, 257, 383, 384, 511, 512, 1 << 31, (1 << 31) - 1, (1 << 40) + 5]
VALUES = np.array(sorted({sign * value for value in EDGES for sign in (1, -1)}), dtype=np.int64)


def called(name: str, attributes: dict[str, int], x: Any) -> Any:
    emitter = Emitter("test")
    emitter.op("Identity", emitter.call_one(name, ("x",), attributes), to="y")
    graph = helper.make_graph(
        emitter.nodes, "test", [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, ["n"])],
    )  # fmt: skip
    model = helper.make_model(graph, functions=[HELPERS[name]], opset_imports=OPSETS, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": x})[0]
    assert np.array_equal(found, ReferenceEvaluator(model).run(None, {"x": x})[0])
    return found


@pytest.mark.parametrize("bits", [8, 9, 31, 32])
@pytest.mark.parametrize("policy", ["wrap", "wrap_once", "saturate", "saturate_symmetric"])
def test_overflow_policies_are_those_of_the_ir(policy: Any, bits: int) -> None:
    name, low, high = overflow(bits, policy)
    assert np.array_equal(called(name, {"low": low, "high": high}, VALUES), overflowed(VALUES, bits, policy))


def test_overflow_policies_differ_from_each_other() -> None:
    found = {p: overflowed(VALUES, 9, p) for p in ("wrap", "wrap_once", "saturate", "saturate_symmetric")}  # type: ignore[arg-type]
    assert len({tuple(values.tolist()) for values in found.values()}) == 4


@pytest.mark.parametrize("bits", [0, 1, 3, 12, 32])
@pytest.mark.parametrize("rounding", sorted(SHIFTS))
def test_shifts_round_as_in_the_ir(rounding: Any, bits: int) -> None:
    found = called(SHIFTS[rounding], {"unit": 1 << bits}, VALUES)
    assert np.array_equal(found, shift_right(VALUES, bits, rounding))
    others = [shift_right(VALUES, bits, other) for other in SHIFTS if other != rounding]
    assert all(bits in (0, 32) or not np.array_equal(found, other) for other in others)


def test_a_register_of_64_bits_keeps_everything() -> None:
    name, low, high = overflow(64, "wrap")
    assert np.array_equal(called(name, {"low": low, "high": high}, VALUES), VALUES)


@pytest.mark.parametrize("conventions", [LOIHI, SPLIT, None])
def test_onnx_reference_evaluator_agrees(conventions: Any) -> None:
    network, x = random_network(0, conventions)
    model = onnx.ModelProto.FromString(onnx_file.write(network))
    evaluator = ReferenceEvaluator(model)
    found = dict(zip(evaluator.output_names, evaluator.run(None, {"input": x}), strict=True))
    want = execute(network, x).spikes
    assert sum(int(s.sum()) for s in want.values()) > 0
    for name, values in want.items():
        assert np.array_equal(found[f"spikes/{name}"], values)
