"""Writes ONNX nodes one by one. Names come from a prefix and a counter: the same calls give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, NodeProto, helper, numpy_helper

DOMAIN = "ai.snnc"
DOMAIN_VERSION = 1
OPSET = 21
IR_VERSION = 10
PREFIX = "t/"
OPSETS = (helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION))


class Emitter:
    """A growing list of nodes of one graph or function body.

    Args:
        scope: first part of the names it makes up; unique in the file for graphs that see each other's names.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.nodes: list[NodeProto] = []
        self._constants: dict[str, str] = {}

    def fresh(self, hint: str) -> str:
        """A name that nothing else has."""
        return f"{PREFIX}{self.scope}/{len(self.nodes)}_{hint}"

    def op(self, kind: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """One standard node with one output; returns the output's name."""
        output = to or self.fresh(kind)
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def call(
        self, function: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, int | str]
    ) -> tuple[str, ...]:
        """Calls a function of the domain ``ai.snnc``.

        Args:
            function: its name.
            inputs: names of the inputs.
            outputs: hints for the names of the outputs.
            attributes: integers; a string hands on the attribute of that name of the function around.
        """
        names = [self.fresh(hint) for hint in outputs]
        node = helper.make_node(function, list(inputs), names, domain=DOMAIN)
        for key in sorted(attributes):
            _fill(node.attribute.add(), key, attributes[key])
        self.nodes.append(node)
        return tuple(names)

    def call_one(self, function: str, inputs: Sequence[str], attributes: Mapping[str, int | str]) -> str:
        """Calls a function with one output; returns the output's name."""
        return self.call(function, inputs, (function,), attributes)[0]

    def attribute(self, name: str) -> str:
        """Inside a function: its integer attribute as a scalar int64 tensor."""
        key = f"@{name}"
        if key not in self._constants:
            output = self.fresh(name)
            node = helper.make_node("Constant", [], [output])
            _fill(node.attribute.add(), "value_int", name)
            self.nodes.append(node)
            self._constants[key] = output
        return self._constants[key]

    def constant(self, value: npt.ArrayLike, dtype: type[Any] = np.int64) -> str:
        """A small constant tensor; equal constants share one node."""
        array = np.asarray(value, dtype=dtype)
        key = f"{array.dtype}{array.shape}{array.tobytes().hex()}"
        if key not in self._constants:
            self._constants[key] = self.op("Constant", value=numpy_helper.from_array(array))
        return self._constants[key]

    def larger(self, a: str, b: str) -> str:
        """The maximum, without ``Max``: onnxruntime 1.31 gets Min, Max, Clip and Sign of int64 wrong on SSE2."""
        return self.op("Where", self.op("Less", a, b), b, a)

    def smaller(self, a: str, b: str) -> str:
        """The minimum, without ``Min`` (see :meth:`larger`)."""
        return self.op("Where", self.op("Less", b, a), b, a)

    def cast(self, x: str, to: int) -> str:
        """Casts to an element type of TensorProto."""
        output = self.fresh("Cast")
        self.nodes.append(helper.make_node("Cast", [x], [output], to=to))
        return output


def _fill(attribute: AttributeProto, name: str, value: int | str) -> None:
    attribute.name = name
    attribute.type = AttributeProto.INT
    if isinstance(value, str):
        attribute.ref_attr_name = value
    else:
        attribute.i = value
