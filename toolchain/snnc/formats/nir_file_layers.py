"""NIR primitives without state: weights, pools, shapes. One function per primitive."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.formats.nir_file_tree import Item
from snnc.ir import Affine, Conv, Flatten, FloatArray, Identity, Node, Pool, Scale

Shape = tuple[int, ...]


def numbers(item: Item, key: str) -> FloatArray:
    """A field as finite float64.

    Raises:
        InputError: the field is missing, text, empty, or not finite.
    """
    found = item.fields.get(key)
    if found is None:
        raise InputError(f"{item.name} ({item.kind}): the field {key!r} is missing; it has {', '.join(item.fields)}")
    if isinstance(found, str) or found.dtype.kind not in "biuf":
        raise InputError(f"{item.name} ({item.kind}): the field {key!r} is text, not numbers")
    if found.size == 0:
        raise InputError(f"{item.name} ({item.kind}): {key} is empty; it needs fractions or whole numbers")
    with np.errstate(all="ignore"):
        array = np.asarray(found, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise InputError(f"{item.name} ({item.kind}): {key} is NaN or infinite in some places")
    return array


def integers(item: Item, key: str, rank: int, least: int) -> Shape:
    """A field as ``rank`` whole numbers; one number stands for all.

    Raises:
        InputError: it is anything else.
    """
    array = numbers(item, key).reshape(-1)
    whole = tuple(int(value) for value in (np.repeat(array, rank) if array.size == 1 else array))
    if len(whole) != rank or np.any(array != np.round(array)) or min(whole, default=least - 1) < least:
        text = f"{rank} whole numbers of at least {least}"
        raise InputError(str(Violation(item.name, key, str(array.tolist()), text)))
    return whole


def trimmed(array: FloatArray, rank: int) -> FloatArray:
    """The array without leading axes of size 1 beyond ``rank`` (a batch axis that an exporter left)."""
    while array.ndim > rank and array.shape[0] == 1:
        array = array[0]
    return array


def layer(item: Item, shape: Shape) -> Node:
    """A primitive without state as a node.

    Args:
        item: the primitive.
        shape: shape of its input.

    Raises:
        InputError: a field is missing or makes no sense.
        UnsupportedError: no node says the same.
    """
    return LAYERS[item.kind](item, shape)


def _dense(item: Item, _shape: Shape) -> Node:
    weight = trimmed(numbers(item, "weight"), 2)
    return Affine(item.name, weight, _bias(item) if item.kind == "Affine" else None)


def _bias(item: Item) -> FloatArray | None:
    """A bias of zeros is none: chips would carry it for nothing."""
    bias = trimmed(numbers(item, "bias"), 1)
    return bias if np.any(bias != 0) else None


def _conv(item: Item, shape: Shape) -> Node:
    rank = 1 if item.kind == "Conv1d" else 2
    weight = numbers(item, "weight")
    if weight.ndim != rank + 2:
        allowed = f"{rank + 2} axes (out, in/groups, kernel)"
        raise InputError(str(Violation(item.name, "weight shape", str(weight.shape), allowed)))
    if "input_shape" in item.fields and integers(item, "input_shape", rank, 1) != shape[1:]:
        found = str(integers(item, "input_shape", rank, 1))
        raise InputError(str(Violation(item.name, "input_shape", found, f"{shape[1:]}, which arrives")))
    stride, dilation = integers(item, "stride", rank, 1), integers(item, "dilation", rank, 1)
    padding = _padding(item, weight.shape[2:], stride, dilation)
    return Conv(item.name, weight, _bias(item), stride, padding, dilation, integers(item, "groups", 1, 1)[0])


def _padding(item: Item, kernel: Shape, stride: Shape, dilation: Shape) -> Shape:
    word = item.fields.get("padding")
    if not isinstance(word, str):
        return integers(item, "padding", len(kernel), 0)
    if word == "valid":
        return (0,) * len(kernel)
    span = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if word != "same" or set(stride) != {1} or any(s % 2 for s in span):
        fix = "'same' needs stride 1 and odd kernels, so that both sides are padded alike."
        raise UnsupportedError(str(Violation(item.name, "padding", repr(word), "numbers, 'valid' or 'same'", fix)))
    return tuple(s // 2 for s in span)


def _pool(item: Item, _shape: Shape) -> Node:
    kernel, stride = integers(item, "kernel_size", 2, 1), integers(item, "stride", 2, 1)
    padding = integers(item, "padding", 2, 0)
    return Pool(item.name, "sum" if item.kind == "SumPool2d" else "avg", kernel, stride, padding)


def _scale(item: Item, shape: Shape) -> Node:
    return Scale(item.name, matched(item, "scale", shape))


def _flatten(item: Item, shape: Shape) -> Node:
    """Axes count as in the file's own input_type, which may have a batch axis in front."""
    declared = item.fields.get("input_type")
    rank = len(shape) if declared is None or isinstance(declared, str) else max(int(declared.size), len(shape))
    lead = rank - len(shape)
    start, end = (int(numbers(item, key).reshape(-1)[0]) for key in ("start_dim", "end_dim"))
    start, end = (d + rank if d < 0 else d for d in (start, end))
    if start - lead <= 0 and end == rank - 1:
        return Flatten(item.name)
    if start >= end:
        return Identity(item.name, "flatten")
    found = f"axes {start} to {end} of {rank}"
    raise UnsupportedError(str(Violation(item.name, "flatten", found, "all axes of a step")))


def matched(item: Item, key: str, shape: Shape, default: float | None = None) -> FloatArray:
    """A parameter of a population: scalar, or of the population's shape (batch axes of 1 in front do not count).

    Raises:
        InputError: it has another shape, from which no meaning follows.
    """
    if default is not None and key not in item.fields:
        return np.array(default)
    array = numbers(item, key)
    if array.size == 1:
        return array.reshape(())
    array = trimmed(array, len(shape))
    if array.ndim != len(shape) or any(n not in (1, size) for n, size in zip(array.shape, shape, strict=True)):
        fix = "Write one number, or one per neuron."
        raise InputError(str(Violation(item.name, f"{key} shape", str(array.shape), f"() or {shape}", fix)))
    return np.array(array.flat[0]) if np.all(array == array.flat[0]) else array


LAYERS: Mapping[str, Callable[[Item, Shape], Node]] = {
    "Affine": _dense,
    "Linear": _dense,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Scale": _scale,
    "Flatten": _flatten,
}
RANKS: Mapping[str, int] = {"Affine": 1, "Linear": 1, "Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3}
