"""Integer helpers among the functions of the domain ``ai.snnc``: overflow policies and rounded shifts.

Every function is built from standard integer operators of opset 21, so any ONNX runtime can execute it:
``Div`` on integers truncates toward zero, ``Mod`` has the sign of the divisor, which gives floor. ``Min``, ``Max``,
``Clip`` and ``Sign`` are not used: onnxruntime 1.31 compares only the low halves of some int64 (its issue 25280).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnx import FunctionProto, TensorProto, helper

from snnc.formats.onnx_emit import DOMAIN, OPSETS, Emitter
from snnc.ir.fixed import Overflow, Rounding

SHIFTS: dict[Rounding, str] = {
    "toward_zero": "ShiftTowardZero", "floor": "ShiftFloor", "nearest_even": "ShiftNearestEven",
}  # fmt: skip


def function(
    name: str, inputs: tuple[str, ...], attributes: tuple[str, ...], build: Callable[[Emitter], Mapping[str, str]]
) -> FunctionProto:
    """A function whose body ``build`` emits; it returns output name -> tensor."""
    body = Emitter(name)
    results = build(body)
    for output, tensor in results.items():
        body.op("Identity", tensor, to=output)
    return helper.make_function(DOMAIN, name, inputs, list(results), body.nodes, OPSETS, sorted(attributes))


def _wrap(e: Emitter) -> Mapping[str, str]:
    low = e.attribute("low")
    turn = e.op("Add", e.op("Sub", e.attribute("high"), low), e.constant(1))
    return {"y": e.op("Add", e.op("Mod", e.op("Sub", "x", low), turn), low)}


def _wrap_once(e: Emitter) -> Mapping[str, str]:
    low = e.attribute("low")
    half = e.op("Neg", low)
    turn = e.op("Add", half, half)
    down = e.op("Where", e.op("Greater", "x", half), e.op("Sub", "x", turn), "x")
    return {"y": e.op("Where", e.op("LessOrEqual", down, low), e.op("Add", down, turn), down)}


def _clamp(e: Emitter) -> Mapping[str, str]:
    return {"y": e.smaller(e.larger("x", e.attribute("low")), e.attribute("high"))}


def _floor(e: Emitter) -> Mapping[str, str]:
    unit = e.attribute("unit")
    return {"y": e.op("Div", e.op("Sub", "x", e.op("Mod", "x", unit)), unit)}


def _nearest_even(e: Emitter) -> Mapping[str, str]:
    unit = e.attribute("unit")
    rest = e.op("Mod", "x", unit)
    whole = e.op("Div", e.op("Sub", "x", rest), unit)
    twice = e.op("Sub", e.op("Add", rest, rest), unit)
    odd = e.op("Equal", e.op("Mod", whole, e.constant(2)), e.constant(1))
    tie = e.op("And", e.op("Equal", twice, e.constant(0)), odd)
    up = e.op("Or", e.op("Greater", twice, e.constant(0)), tie)
    return {"y": e.op("Add", whole, e.cast(up, TensorProto.INT64))}


RANGE = ("low", "high")
HELPERS = {
    proto.name: proto
    for proto in (
        function("Wrap", ("x",), RANGE, _wrap),
        function("WrapOnce", ("x",), RANGE, _wrap_once),
        function("Clamp", ("x",), RANGE, _clamp),
        function("Keep", ("x",), RANGE, lambda e: {"y": e.op("Identity", "x")}),
        function("ShiftFloor", ("x",), ("unit",), _floor),
        function("ShiftTowardZero", ("x",), ("unit",), lambda e: {"y": e.op("Div", "x", e.attribute("unit"))}),
        function("ShiftNearestEven", ("x",), ("unit",), _nearest_even),
    )
}


def overflow(bits: int, policy: Overflow) -> tuple[str, int, int]:
    """The helper for an overflow policy and its attributes ``low`` and ``high``."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if policy == "wrap":
        return ("Wrap" if bits < 64 else "Keep"), low, high
    if policy == "wrap_once":
        return "WrapOnce", low, high
    return "Clamp", (-high if policy == "saturate_symmetric" else low), high
