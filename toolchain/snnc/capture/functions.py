"""What torch functions mean for expressions: one handler per function, found by its name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from snnc.capture.adapters.base import array, per_sample
from snnc.capture.adapters.torch import average, flat, maximum
from snnc.capture.indexing import HANDLERS as INDEXING
from snnc.capture.lower import Lowering, constant
from snnc.capture.values import Const, Seq, State, Term, Total, Value
from snnc.ir import Affine, Concat, Identity, Scale

Handler = Callable[..., Value]


def _same(low: Lowering, x: Value, *args: Any, **kwargs: Any) -> Value:
    """Casts and copies: the numbers stay."""
    for option in (*args, *kwargs.values()):
        if isinstance(option, torch.dtype) and not option.is_floating_point:
            raise low.refuse(f"a cast to {option} has no node")
    return x


def _pairwise(low: Lowering, a: Any, b: Any, function: Callable[[Any, Any], Term]) -> Value:
    """Applies a function of two operands step by step."""
    a, b = constant(a), constant(b)
    if isinstance(a, Seq) or isinstance(b, Seq):
        like = next(v for v in (a, b) if isinstance(v, Seq))
        columns = [_column(low, v, like) for v in (a, b)]
        return replace(like, items=tuple(function(p, q) for p, q in zip(*columns, strict=True)))
    return function(a, b)


def _column(low: Lowering, value: Any, like: Seq) -> list[Any]:
    if isinstance(value, Seq):
        if (len(value.items), value.time_first, value.folded) != (len(like.items), like.time_first, like.folded):
            raise low.refuse("two sequences of different layout are combined")
        return list(value.items)
    if isinstance(value, Const) and value.value.ndim + (0 if like.folded else 1) < len(low.made):
        return [value] * len(like.items)
    raise low.refuse("a sequence is combined with a tensor that has no time axis")


def _add(low: Lowering, a: Any, b: Any, *, alpha: float = 1) -> Value:
    if isinstance(a, Total) or isinstance(b, Total):
        raise low.refuse("spike counts are added; return the spikes of one population")
    if alpha != 1:
        b = _times(low, b, alpha)
    return _pairwise(low, a, b, lambda p, q: _sum(low, p, q))


def _sum(low: Lowering, a: Any, b: Any) -> Term:
    if isinstance(a, Const):
        a, b = b, a
    if isinstance(b, Const) and isinstance(a, Term):
        return a if b.zero and not _widens(a, b) else _scaled(low, a, None, b.value)
    left, right = low.term(a, "a sum"), low.term(b, "a sum")
    if left.shape != right.shape:
        raise low.refuse(f"a sum of shapes {left.shape} and {right.shape}: a node adds equal shapes only")
    return low.terms.add([left, right])


def _widens(term: Term, const: Const) -> bool:
    return const.value.ndim > len(term.shape) + 1


def _scaled(low: Lowering, term: Term, gain: torch.Tensor | None, shift: torch.Tensor | None) -> Term:
    """``gain * term + shift`` with constants."""
    gains = np.ones(()) if gain is None else per_sample(low.place(), "factor", gain, term.shape)
    shifts = np.zeros(()) if shift is None else per_sample(low.place(), "summand", shift, term.shape)
    if gain is not None and term.kind == "zero":
        return term
    key = ("scale", _digest(gains), _digest(shifts))
    return low.apply(key, "scale", lambda: Scale("scale", gains, shifts), [term], term.shape)


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes() + str(values.shape).encode()).hexdigest()[:16]


def _times(low: Lowering, a: Any, b: Any) -> Value:
    if isinstance(a, Total):
        return a
    return _pairwise(low, a, b, lambda p, q: _product(low, p, q))


def _product(low: Lowering, a: Any, b: Any) -> Term:
    if isinstance(a, Const):
        a, b = b, a
    if not isinstance(b, Const):
        raise low.refuse("a product of two tensors that depend on the input has no node (gating, attention)")
    return _scaled(low, low.term(a, "a product"), b.value, None)


def _divide(low: Lowering, a: Any, b: Any) -> Value:
    b = constant(b)
    if not isinstance(b, Const):
        raise low.refuse("a division by data has no node")
    return _times(low, a, Const(1 / b.value.to(torch.float64)))


def _subtract(low: Lowering, a: Any, b: Any, *, alpha: float = 1) -> Value:
    b = constant(b)
    return _add(low, a, Const(-alpha * b.value) if isinstance(b, Const) else _times(low, b, -alpha))


def _reverse_subtract(low: Lowering, a: Any, b: Any) -> Value:
    return _subtract(low, b, a)


def _negative(low: Lowering, a: Any) -> Value:
    return _times(low, a, -1)


def _reshape(low: Lowering, x: Value, *args: Any, **kwargs: Any) -> Value:  # noqa: ARG001 - only the result counts
    """Any reshape; the shapes that came out tell whether it flattens."""
    given, made = low.shape_of(), low.made
    x, given = _regrouped(x, given, made)
    lead = 2 if isinstance(x, Seq) and not x.folded else 1
    if given[:lead] != made[:lead]:
        raise low.refuse(f"a reshape of {given} to {made} mixes batch or time with the data")
    if isinstance(x, (State, Total)):
        return x if given == made else _refuse_state(low)
    if isinstance(x, Seq):
        return low.lift(lambda term: _flat(low, term, made[lead:]), x)
    return _flat(low, low.term(x, "a reshape"), made[1:])


def _regrouped(x: Value, given: tuple[int, ...], made: tuple[int, ...]) -> tuple[Value, tuple[int, ...]]:
    """Time and batch put into one axis, or taken apart again: what layers without time are wrapped in."""
    if not isinstance(x, Seq) or not made:
        return x, given
    if not x.folded and made[0] == given[0] * given[1] and math.prod(made) == math.prod(given):
        return replace(x, folded=True), (made[0], *given[2:])
    steps = made[x.axis] if x.folded and len(made) > 1 else 0
    if steps == len(x.items) and math.prod(made[:2]) == given[0]:
        return replace(x, folded=False), (*made[:2], *given[1:])
    return x, given


def _refuse_state(low: Lowering) -> Value:
    raise low.refuse("a state is reshaped")


def _flat(low: Lowering, term: Term, made: tuple[int, ...]) -> Term:
    if made == term.shape:
        return term
    site = low.site("flatten", term, made)
    return low.apply(("flatten", term.shape), "flatten", lambda: flat(site), [term], made)


def _concat(low: Lowering, parts: Any, dim: int = 0, *, axis: int | None = None) -> Value:
    at = (dim if axis is None else axis) % len(low.made)
    if all(isinstance(part, Seq) for part in parts):
        return _concat_sequences(low, parts, at)
    if at == 0:
        raise low.refuse("concatenation along the batch axis")
    return _concat_step(low, [low.term(part, "a concatenation") for part in parts], at - 1)


def _concat_sequences(low: Lowering, parts: Any, at: int) -> Value:
    first = parts[0].time_first
    if any(part.time_first != first for part in parts):
        raise low.refuse("sequences of different layout are concatenated")
    if at == parts[0].axis:
        return Seq(tuple(item for part in parts for item in part.items), first)
    if at < 2:
        raise low.refuse("concatenation along the batch axis")
    steps = zip(*(part.items for part in parts), strict=True)
    joined = (_concat_step(low, [low.term(item, "a concatenation") for item in step], at - 2) for step in steps)
    return Seq(tuple(joined), first)


def _concat_step(low: Lowering, terms: list[Term], axis: int) -> Term:
    shape = list(terms[0].shape)
    shape[axis] = sum(term.shape[axis] for term in terms)
    return low.apply(("cat", axis), "cat", lambda: Concat("cat", axis=axis), terms, tuple(shape))


def _dropout(low: Lowering, x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:  # noqa: ARG001
    if training and p > 0:
        raise low.refuse("dropout that is active although the model is in eval mode; give training=self.training")

    def identity(term: Term) -> Term:
        return low.apply(("dropout",), "dropout", lambda: Identity("dropout", origin="dropout"), [term], term.shape)

    return low.lift(identity, x) if isinstance(x, Seq) else identity(low.term(x, "dropout"))


def _max_pool(low: Lowering, x: Value, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
              ceil_mode: bool = False, return_indices: bool = False) -> Value:  # fmt: skip
    options = (kernel_size, stride or None, padding, dilation, ceil_mode, return_indices)
    term = low.term(x, "max_pool")
    site = low.site("max_pool", term, low.made[1:])
    return low.apply(("max_pool", options, term.shape, term.binary), "max_pool", lambda: maximum(site, *options),
                     [term], site.made)  # fmt: skip


def _avg_pool(low: Lowering, x: Value, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
              count_include_pad: bool = True, divisor_override: int | None = None) -> Value:  # fmt: skip
    options = (kernel_size, stride or None, padding, ceil_mode, count_include_pad, divisor_override)
    term = low.term(x, "avg_pool")
    site = low.site("avg_pool", term, low.made[1:])
    return low.apply(("avg_pool", options, term.shape), "avg_pool", lambda: average(site, *options), [term], site.made)


def _linear(low: Lowering, x: Value, weight: Any, bias: Any = None) -> Value:
    if not isinstance(weight, Const) or not (bias is None or isinstance(bias, Const)):
        raise low.refuse("weights that depend on the input have no node")
    weights, biases = array(weight.value), None if bias is None else array(bias.value)
    key = ("linear", _digest(weights), None if biases is None else _digest(biases))

    def dense(term: Term) -> Term:
        if len(term.shape) != 1:
            raise low.refuse(f"a dense layer on shape {term.shape}; flatten before it")
        made = (weights.shape[0],)
        return low.apply(key, "linear", lambda: Affine("linear", weights, biases), [term], made)

    return low.lift(dense, x) if isinstance(x, Seq) else dense(low.term(x, "linear"))


def _total(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Value:
    at = dim if dim is not None else axis
    at = at[0] if isinstance(at, (list, tuple)) and len(at) == 1 else at
    if isinstance(x, Seq) and isinstance(at, int) and at % low.rank() == x.axis and not keepdim:
        return Total(x)
    raise low.refuse("a sum or mean over something else than time has no node")


FUNCTIONS: dict[str, Handler] = {
    **INDEXING,
    **dict.fromkeys(("detach", "detach_", "clone", "contiguous", "double", "to", "type", "type_as", "cpu", "cuda",
                     "data", "requires_grad_", "alias"), _same),
    **dict.fromkeys(("add", "add_", "__add__", "__radd__", "__iadd__"), _add),
    **dict.fromkeys(("sub", "sub_", "subtract", "__sub__", "__isub__"), _subtract),
    **dict.fromkeys(("rsub", "__rsub__"), _reverse_subtract),
    **dict.fromkeys(("mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"), _times),
    **dict.fromkeys(("div", "div_", "divide", "true_divide", "__truediv__", "__itruediv__"), _divide),
    **dict.fromkeys(("neg", "negative", "__neg__"), _negative),
    **dict.fromkeys(("flatten", "unflatten", "reshape", "view", "view_as", "reshape_as"), _reshape),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concat),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout"), _dropout),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), _max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), _avg_pool),
    "linear": _linear,
    **dict.fromkeys(("sum", "mean"), _total),
}  # fmt: skip
