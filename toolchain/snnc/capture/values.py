"""What a recorded tensor means: expressions over spikes, and the few other things that a forward carries around."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from snnc.errors import SnncError
from snnc.ir import Add, Affine, Concat, Conv, Flatten, Identity, Node, Pool, Scale

Shape = tuple[int, ...]
INPUT = "input"
MAX_DEPTH = 400


@dataclass(frozen=True, eq=False)
class Op:
    """One use of a layer or function; the same key means the same computation.

    Attributes:
        key: module path, or function with its options.
        label: what the node is called after.
        node: the node, under a provisional name.
    """

    key: str
    label: str
    node: Node

    @property
    def homogeneous(self) -> bool:
        """True if zeros in give zeros out."""
        node = self.node
        if isinstance(node, (Affine, Conv)):
            return node.bias is None or not np.any(np.asarray(node.bias))
        if isinstance(node, Scale):
            return not np.any(np.asarray(node.shift))
        return True

    @property
    def keeps_binary(self) -> bool:
        """True if 0/1 in gives 0/1 out."""
        node = self.node
        return isinstance(node, (Identity, Concat, Flatten)) or (isinstance(node, Pool) and node.pooling == "max")


@dataclass(frozen=True, eq=False)
class Term:
    """An expression; equal ones of one :class:`Terms` are one object.

    Attributes:
        kind: ``spikes`` of a population, ``zero``, or ``op``.
        shape: per sample.
        source: path of the neuron module, or ``input``; for ``spikes``.
        step: the step in which they were sent, or how many steps ago (a delay) in a relative expression.
        op: for ``op``.
        inputs: for ``op``.
        depth: nested operations.
        binary: known to hold only 0 and 1.
    """

    kind: Literal["spikes", "zero", "op"]
    shape: Shape
    source: str = ""
    step: int = 0
    op: Op | None = None
    inputs: tuple[Term, ...] = ()
    depth: int = 0
    binary: bool = False


@dataclass
class Terms:
    """Makes terms, each once."""

    made: dict[tuple[object, ...], Term] = field(default_factory=dict)

    def spikes(self, source: str, step: int, shape: Shape, binary: bool = True) -> Term:
        """Spikes of a population."""
        key = ("spikes", source, step)
        return self._once(key, lambda: Term("spikes", shape, source, step, binary=binary))

    def zero(self, shape: Shape) -> Term:
        """Constant zeros, such as the spikes before the first step."""
        return self._once(("zero", shape), lambda: Term("zero", shape, binary=True))

    def apply(self, op: Op, inputs: Sequence[Term], shape: Shape) -> Term:
        """An operation on terms."""
        given = tuple(inputs)
        key = (op.key, *(id(term) for term in given))
        depth = 1 + max(term.depth for term in given)
        binary = op.keeps_binary and all(term.binary for term in given)
        return self._once(key, lambda: Term("op", shape, op=op, inputs=given, depth=depth, binary=binary))

    def add(self, inputs: Sequence[Term]) -> Term:
        """A sum; nested sums are joined and zeros left out."""
        parts: list[Term] = []
        for term in inputs:
            parts += term.inputs if is_sum(term) else [term]
        kept = [term for term in parts if term.kind != "zero"]
        if len(kept) < 2:
            return kept[0] if kept else parts[0]
        return self.apply(SUM, kept, kept[0].shape)

    def at(self, term: Term, step: int) -> Term:
        """The same expression with the input of another step, which is the same where the input stands still."""
        key = ("at", id(term), step)
        if key not in self.made:
            if term.source == INPUT and term.kind == "spikes":
                self.made[key] = self.spikes(INPUT, step, term.shape, term.binary)
            elif term.op is not None:
                self.made[key] = self.apply(term.op, [self.at(part, step) for part in term.inputs], term.shape)
            else:
                self.made[key] = term
        return self.made[key]

    def _once(self, key: tuple[object, ...], make: Callable[[], Term]) -> Term:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


SUM = Op("sum", "add", Add("add"))


def is_sum(term: Term) -> bool:
    """True for a sum of terms."""
    return term.op is SUM


def addends(term: Term) -> tuple[Term, ...]:
    """The terms of a sum; another term alone."""
    return term.inputs if is_sum(term) else (term,)


@dataclass(frozen=True, eq=False)
class Const:
    """A tensor or number that does not depend on the input."""

    value: torch.Tensor

    @property
    def zero(self) -> bool:
        """True if all its entries are 0 (also if it has none)."""
        return not bool(self.value.any())


@dataclass(frozen=True, eq=False)
class State:
    """A state that a neuron module returned in call ``step``; it may only be handed back to that module."""

    source: str
    step: int
    name: str


@dataclass(frozen=True, eq=False)
class Seq:
    """A tensor with a time axis.

    Attributes:
        items: one value per step; None where nothing was written yet.
        time_first: layout [T, B, ...] instead of [B, T, ...].
        folded: time and batch are one axis, ``x.flatten(0, 1)``.
    """

    items: tuple[Value | None, ...]
    time_first: bool
    folded: bool = False

    @property
    def axis(self) -> int:
        """Position of the time axis."""
        return 0 if self.time_first else 1

    def shape(self) -> Shape | None:
        """Shape per sample and step if every item is a term of one shape."""
        shapes = {item.shape for item in self.items if isinstance(item, Term)}
        return shapes.pop() if len(shapes) == 1 and all(isinstance(i, Term) for i in self.items) else None


@dataclass(frozen=True, eq=False)
class Many:
    """A tuple or list of values."""

    items: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Total:
    """Spikes summed or averaged over time."""

    of: Seq


@dataclass(frozen=True, eq=False)
class Opaque:
    """Something that no graph can say; the error is raised if it turns out to be needed."""

    error: SnncError


Value = Term | Const | State | Seq | Many | Total | Opaque


def describe(term: Term, limit: int = 90) -> str:
    """The expression as text, for messages."""
    text = _describe(term, 4)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _describe(term: Term, depth: int) -> str:
    if term.kind == "zero":
        return "0"
    if term.kind == "spikes":
        return f"{term.source or 'neuron'}[t-{term.step}]" if term.step else f"{term.source or 'neuron'}[t]"
    assert term.op is not None
    if depth == 0:
        return "..."
    inner = [_describe(part, depth - 1) for part in term.inputs]
    return " + ".join(inner) if is_sum(term) else f"{term.op.label}({', '.join(inner)})"
