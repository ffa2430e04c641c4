"""Runs a network without time in float64: its activations choose the scales, its answers are the yardstick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.conversion.ann import Ann, Relu
from snnc.errors import TraceError
from snnc.ir import Affine, Concat, Conv, Flatten, FloatArray, Graph, Input, Node, Pool, Scale

CHUNK = 64
Keep = Callable[[str, FloatArray], None]


def answers(ann: Ann, values: npt.NDArray[Any]) -> FloatArray:
    """What the network answers to values [B, *shape]: [B, *shape of the output].

    Raises:
        TraceError: the values have another shape.
    """
    found: list[FloatArray] = []

    def keep(name: str, value: FloatArray) -> None:
        if name == ann.output:
            found.append(value)

    observe(ann, values, keep)
    return np.concatenate(found)


def observe(ann: Ann, values: npt.NDArray[Any], keep: Keep) -> None:
    """Runs values [B, *shape] in chunks and hands every node's output to ``keep``.

    Raises:
        TraceError: the values have another shape.
    """
    check_values(ann, values)
    for start in range(0, len(values), CHUNK):
        _chunk(ann.graph, np.asarray(values[start : start + CHUNK], dtype=np.float64), keep)


def check_values(ann: Ann, values: npt.NDArray[Any]) -> None:
    """Refuses values that are not [B, *shape of the input] or not finite.

    Raises:
        TraceError: says which shape is needed.
    """
    shape = ann.input.shape
    if values.ndim != len(shape) + 1 or values.shape[1:] != shape or len(values) == 0:
        raise TraceError(f"the values have shape {values.shape}, allowed is [B, {', '.join(map(str, shape))}] "
                         "(no time axis: conversion makes the steps)")  # fmt: skip
    if values.dtype.kind not in "biuf" or not np.all(np.isfinite(values)):
        raise TraceError("the values hold NaN, infinity or no numbers")


def _chunk(graph: Graph, values: FloatArray, keep: Keep) -> None:
    waiting = {node.name: len(graph.outgoing(node.name)) for node in graph.nodes}
    kept: dict[str, FloatArray] = {}
    for name in graph.order:
        node = graph[name]
        given = [kept[edge.source] for edge in graph.incoming(name)]
        kept[name] = values if isinstance(node, Input) else _layer(node, given)
        keep(name, kept[name])
        for edge in graph.incoming(name):
            waiting[edge.source] -= 1
            if not waiting[edge.source]:
                kept.pop(edge.source, None)


def _layer(node: Node, given: list[FloatArray]) -> FloatArray:
    if isinstance(node, Concat):
        return np.concatenate(given, axis=node.axis + 1)
    x = sum(given[1:], given[0])
    if isinstance(node, Relu):
        return np.maximum(x, 0.0)
    if isinstance(node, Affine):
        y = x @ np.asarray(node.weight).T
        return np.asarray(y if node.bias is None else y + np.asarray(node.bias))
    if isinstance(node, Conv):
        return _conv(node, x)
    if isinstance(node, Pool):
        return _pool(node, x)
    if isinstance(node, Scale):
        return np.asarray(np.asarray(node.gain) * x + np.asarray(node.shift))
    return x.reshape(len(x), -1) if isinstance(node, Flatten) else x


def _windows(x: FloatArray, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
             dilation: tuple[int, ...]) -> FloatArray:  # fmt: skip
    """[B, C, *out, *kernel]: every window of the padded signal, without a copy."""
    axes = tuple(range(2, x.ndim))
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    view: Callable[..., FloatArray] = np.lib.stride_tricks.sliding_window_view
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in stride))
    index = (*steps, *(slice(None, None, d) for d in dilation))
    return view(padded, reach, axis=axes)[index]


def _conv(node: Conv, x: FloatArray) -> FloatArray:
    weight = np.asarray(node.weight)
    rank = weight.ndim - 2
    seen = _windows(x, weight.shape[2:], node.stride, node.padding, node.dilation)
    rows, columns = weight.shape[0] // node.groups, weight.shape[1]
    taps = (1, *range(2 + rank, 2 + 2 * rank))
    parts = [
        np.tensordot(
            seen[:, g * columns : (g + 1) * columns], weight[g * rows : (g + 1) * rows], (taps, range(1, rank + 2))
        )
        for g in range(node.groups)
    ]
    y = np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)
    return y if node.bias is None else y + np.asarray(node.bias).reshape(-1, *(1,) * rank)


def _pool(node: Pool, x: FloatArray) -> FloatArray:
    rank = len(node.kernel)
    seen = _windows(x, node.kernel, node.stride, node.padding, (1,) * rank)
    axes = tuple(range(2 + rank, 2 + 2 * rank))
    if node.pooling == "max":
        return np.asarray(seen.max(axis=axes))
    return np.asarray(seen.sum(axis=axes) if node.pooling == "sum" else seen.mean(axis=axes))
