"""Functions that cut, stack and turn tensors: how a forward takes its steps out of x and puts spikes together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from snnc.capture.lower import Lowering
from snnc.capture.values import Const, Many, Seq, State, Term, Value

FULL = slice(None)


def normal_index(index: Any, rank: int) -> tuple[Any, ...]:
    """An index as one entry per axis."""
    parts = list(index) if isinstance(index, (tuple, list)) else [index]
    if any(part is Ellipsis for part in parts):
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [FULL] * (rank - len(parts) + 1)
    return (*parts, *[FULL] * (rank - len(parts)))


def _single(parts: Sequence[Any]) -> int | None:
    """The axis at which an index has its only entry that is not ``:``; -1 if there is none, None if several."""
    marked = [axis for axis, part in enumerate(parts) if not (isinstance(part, slice) and part == FULL)]
    if len(marked) > 1:
        return None
    return marked[0] if marked else -1


def _get(low: Lowering, x: Value, index: Any) -> Value:
    if isinstance(x, Many) and isinstance(index, int):
        return x.items[index]
    parts = normal_index(index, low.rank())
    axis = _single(parts)
    if axis == -1:
        return x
    if not isinstance(x, Seq) or axis is None or axis > 1:
        raise low.refuse(f"the index {_text(index)} cuts out part of a layer's data, which no node can say")
    return _cut(low, x, axis, parts[axis])


def _cut(low: Lowering, x: Seq, axis: int, part: Any) -> Value:
    if axis != x.axis:
        low.used_batch = True
        raise low.refuse("a sample is cut out of the batch")
    if isinstance(part, slice):
        return Seq(x.items[part], x.time_first)
    if not isinstance(part, int):
        raise low.refuse(f"time is indexed by {_text(part)}; use numbers")
    low.used_time = True
    found = x.items[part]
    if found is None:
        raise low.refuse(f"step {part} is read before it is written")
    return found


def _text(index: Any) -> str:
    return str(index) if not isinstance(index, (Term, Seq, Const, State)) else "a tensor"


def _item_of(low: Lowering, x: Value, index: int) -> Value:
    if isinstance(x, Many):
        return x.items[index]
    raise low.refuse("a tuple of tensors that no node returns")


def _select(low: Lowering, x: Value, dim: int, index: int) -> Value:
    parts = [FULL] * low.rank()
    return _get(low, x, (*parts[: dim % low.rank()], index))


def _unbind(low: Lowering, x: Value, dim: int = 0) -> Value:
    if not isinstance(x, Seq) or dim % low.rank() > 1:
        raise low.refuse("a tensor is taken apart along another axis than time")
    if dim % low.rank() != x.axis:
        low.used_batch = True
        raise low.refuse("a batch is taken apart into samples")
    low.used_time = True
    return Many(tuple(low.term(item, "iteration over time") for item in x.items))


def _stack(low: Lowering, items: Any, dim: int = 0) -> Value:
    axis = dim % len(low.made)
    if axis > 1:
        raise low.refuse("tensors are stacked along another axis than time")
    if any(isinstance(item, (Seq, Many)) for item in items):
        raise low.refuse("sequences are stacked")
    return Seq(tuple(items), time_first=axis == 0)


def _unsqueeze(low: Lowering, x: Value, dim: int) -> Value:
    axis = dim % len(low.made)
    if axis > 1 or isinstance(x, (Seq, Many)):
        raise low.refuse("an axis is added; give the data in the shape that the next layer takes")
    return Seq((x,), time_first=axis == 0)


def _repeat(low: Lowering, x: Value, *sizes: Any) -> Value:  # noqa: ARG001 - only the result counts
    """One step repeated over time, ``x.unsqueeze(0).repeat(T, 1, 1)``; the shapes that came out tell."""
    given, made = low.shape_of(), low.made
    if given == made:
        return x
    if isinstance(x, Seq) and len(x.items) == 1 and len(made) == len(given) and not x.folded:
        grown = [axis for axis in range(len(made)) if made[axis] != given[axis]]
        if grown == [x.axis]:
            return Seq(x.items * made[x.axis], x.time_first)
    if isinstance(x, Term) and made[1:] == given:
        return Seq((x,) * made[0], time_first=True)
    raise low.refuse(f"{given} is repeated to {made}; a value may be repeated over time only")


def _squeeze(low: Lowering, x: Value, dim: int | None = None) -> Value:
    if low.made == low.shape_of():
        return x
    if isinstance(x, Seq) and len(x.items) == 1 and dim is not None and dim % low.rank() == x.axis:
        return _cut(low, x, x.axis, 0)
    raise low.refuse("an axis is removed; give the data in the shape that the next layer takes")


def _permute(low: Lowering, x: Value, *dims: Any) -> Value:
    order = [int(d) % low.rank() for d in (dims[0] if isinstance(dims[0], (tuple, list)) else dims)]
    if order == sorted(order):
        return x
    if not isinstance(x, Seq) or order != [1, 0, *range(2, len(order))]:
        raise low.refuse(f"axes are permuted to {order}; only time and batch may change places")
    return Seq(x.items, not x.time_first)


def _transpose(low: Lowering, x: Value, a: int, b: int) -> Value:
    order = list(range(low.rank()))
    order[a], order[b] = order[b], order[a]
    return _permute(low, x, order)


def _movedim(low: Lowering, x: Value, source: int, destination: int) -> Value:
    order = list(range(low.rank()))
    order.insert(destination % low.rank(), order.pop(source))
    return _permute(low, x, order)


def _set(low: Lowering, x: Value, index: Any, value: Value) -> Value:
    """Writing a step into a tensor that was made for all steps."""
    parts = normal_index(index, low.rank())
    axis = _single(parts)
    if axis not in (0, 1) or not isinstance(parts[axis], int):
        raise low.refuse(f"the write to index {_text(index)} has no node; write whole steps")
    if isinstance(x, Const) and x.zero:
        x = Seq((None,) * low.shape_of()[axis], time_first=axis == 0)
    if not isinstance(x, Seq) or x.axis != axis:
        raise low.refuse("data is written into a tensor that is not a sequence of steps")
    items = list(x.items)
    items[parts[axis]] = value
    return Seq(tuple(items), x.time_first)


HANDLERS: dict[str, Callable[..., Value]] = {
    "__getitem__": _get,
    "item_of": _item_of,
    "select": _select,
    "unbind": _unbind,
    "stack": _stack,
    "unsqueeze": _unsqueeze,
    **dict.fromkeys(("repeat", "expand"), _repeat),
    "squeeze": _squeeze,
    "permute": _permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    **dict.fromkeys(("movedim", "moveaxis"), _movedim),
    "__setitem__": _set,
}
