"""The state of reading an ONNX file of a ReLU network: tensors by name, the nodes so far, and how to refuse."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from onnx import NodeProto

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.formats.onnx_ann_check import MAX_ELEMENTS, Array, title
from snnc.ir import Edge, Node
from snnc.ir.shapes import output_shape

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Const:
    """Numbers that do not depend on the input."""

    value: Array


@dataclass(frozen=True)
class Signal:
    """What a node sends.

    Attributes:
        node: its name.
        shape: per sample.
        padding: zeros that a Pad put around it, per spatial axis; only a convolution can take them.
    """

    node: str
    shape: Shape
    padding: tuple[int, ...] = ()


@dataclass
class Reader:
    """What has been read so far."""

    opset: int
    values: dict[str, Const | Signal] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def define(self, name: str, value: Const | Signal) -> None:
        """Gives a tensor its meaning, once."""
        if name in self.values:
            raise InputError(f"two tensors are called {name!r}")
        self.values[name] = value

    def name(self, wanted: str) -> str:
        """A name that no node has."""
        found, count = wanted, 1
        while found in self.taken:
            count += 1
            found = f"{wanted}_{count}"
        self.taken.add(found)
        return found

    def given(self, node: NodeProto, index: int) -> Const | Signal:
        """An input of an operator."""
        name = node.input[index]
        if name not in self.values:
            raise InputError.of(Violation(title(node), f"input {index}", repr(name), "a tensor that is made before"))
        return self.values[name]

    def const(self, node: NodeProto, index: int) -> Array | None:
        """A constant input; None if it is left out."""
        if index >= len(node.input) or not node.input[index]:
            return None
        value = self.given(node, index)
        if isinstance(value, Signal):
            fix = "Weights, shapes and statistics are initialisers."
            refuse(node, f"input {index}", "computed from the data", "a constant", fix)
        return value.value

    def signal(self, node: NodeProto, index: int = 0, *, padded: bool = False) -> Signal:
        """A data input."""
        value = self.given(node, index)
        if isinstance(value, Const):
            refuse(node, f"input {index}", "a constant", "computed from the data")
        if any(value.padding) and not padded:
            refuse(node, "input", "padded", "unpadded", "Zeros are padded for convolutions only; use its own padding.")
        return value

    def add(self, node: NodeProto, made: Node, *sources: Signal) -> Signal:
        """Puts a node behind others and names its output."""
        shape = output_shape(made, [source.shape for source in sources])
        if math.prod(shape) > MAX_ELEMENTS:
            refuse(node, "values per sample", str(math.prod(shape)), f"at most {MAX_ELEMENTS}")
        self.nodes.append(made)
        self.edges += [Edge(source.node, made.name) for source in sources]
        return Signal(made.name, shape)

    def label(self, node: NodeProto) -> str:
        """Name of the node that an operator becomes."""
        return self.name(re.sub(r"[\s/]+", "_", title(node)).strip("_") or node.op_type.lower())


def refuse(node: NodeProto, quantity: str, found: str, allowed: str, fix: str = "") -> NoReturn:
    """Raises for something that has no layer."""
    raise UnsupportedError.of(Violation(f"{title(node)} ({node.op_type})", quantity, found, allowed, fix))


def sizes(node: NodeProto, found: dict[str, Any], key: str, rank: int, default: int) -> tuple[int, ...]:
    """An attribute with one number from 1 per spatial axis."""
    values = tuple(int(v) for v in found.get(key, (default,) * rank))
    if len(values) != rank or min(values) < 1:
        refuse(node, key, str(values), f"{rank} numbers from 1")
    return values


def padding(node: NodeProto, found: dict[str, Any], rank: int) -> tuple[int, ...]:
    """Zeros around each spatial axis, the same at both ends."""
    if found.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        refuse(node, "auto_pad", found["auto_pad"], "NOTSET or VALID", "Export with explicit padding.")
    pads = tuple(int(v) for v in found.get("pads", (0,) * 2 * rank))
    if len(pads) != 2 * rank or pads[:rank] != pads[rank:] or min(pads) < 0:
        refuse(node, "pads", str(pads), "the same at both ends of an axis", "Use symmetric padding.")
    return pads[:rank]
