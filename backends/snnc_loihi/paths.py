"""Paths between populations, and the matrix that the nodes on a path amount to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import UnsupportedError, Violation
from snnc.ir import (
    POPULATIONS,
    Affine,
    Concat,
    Conv,
    Delay,
    Fixed,
    FixedGraph,
    Flatten,
    IntArray,
    Network,
    Node,
    Pool,
)  # fmt: skip

FloatArray = npt.NDArray[np.float64]
BLOCK = 64
"""Unit vectors that are pushed through a path at once."""


@dataclass(frozen=True)
class Path:
    """One way from a population to a population.

    Attributes:
        source, target: populations.
        hops: (node, slot) between them in order; slot is the position among the node's incoming edges.
        delay: device steps, summed over edges and Delay nodes.
    """

    source: str
    target: str
    hops: tuple[tuple[str, int], ...]
    delay: int


def paths_into(network: Network, target: str) -> tuple[Path, ...]:
    """Every path that ends in the population.

    Raises:
        UnsupportedError: a loop holds no population, so it would have no spike to carry.
    """
    return tuple(_walk(network, target, target, (), 0))


def _walk(network: Network, target: str, name: str, hops: tuple[tuple[str, int], ...], delay: int) -> Iterator[Path]:
    for slot, edge in enumerate(network.incoming(name)):
        entered = hops if name == target else ((name, slot), *hops)
        if name != target and any(name == done for done, _ in hops):
            raise UnsupportedError(str(Violation(name, "loop", "one without a neuron", "loops through neurons")))
        source = network[edge.source]
        total = delay + edge.delay + (source.steps if isinstance(source, Delay) else 0)
        if isinstance(source, POPULATIONS):
            yield Path(edge.source, target, entered, total)
        else:
            yield from _walk(network, target, edge.source, entered, total)


def weighted(network: Network, path: Path) -> tuple[Affine | Conv, ...]:
    """The nodes with weights on the path."""
    nodes = (network[name] for name, _ in path.hops)
    return tuple(node for node in nodes if isinstance(node, (Affine, Conv)))


def compose(graph: FixedGraph, path: Path) -> tuple[IntArray, int]:
    """The matrix of a path, by pushing unit vectors through its nodes.

    float64 carries integers below 2**53 without loss, and BLAS is only fast on floats.

    Returns:
        (m [out, in], shift): a spike of input i adds ``m[o, i] << shift`` to u of neuron o, in state units.
    """
    shape = graph.shapes[path.source]
    size = math.prod(shape)
    columns = []
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        x: FloatArray = np.zeros((count, size))
        x[np.arange(count), start + np.arange(count)] = 1
        x = x.reshape(count, *shape)
        x = through(graph, path, x)
        columns.append(x.reshape(count, -1).astype(np.int64))
    shift = -sum(_fixed(node.weight).format.frac for node in weighted(graph, path))
    return np.ascontiguousarray(np.concatenate(columns).T), shift + graph.conventions.state_frac


def through(graph: FixedGraph, path: Path, x: FloatArray) -> FloatArray:
    """Numbers [batch, *shape of the source] times the raw weights of a path; whole ones below 2**53 stay exact."""
    for name, slot in path.hops:
        x = _push(graph, graph[name], slot, x)
    return x


def _fixed(value: Any) -> Fixed:
    assert isinstance(value, Fixed)
    return value


def _push(graph: FixedGraph, node: Node, slot: int, x: FloatArray) -> FloatArray:
    if isinstance(node, Affine):
        return np.asarray(x @ _fixed(node.weight).raw.T.astype(np.float64))
    if isinstance(node, Conv):
        return _conv(node, x)
    if isinstance(node, Pool):
        return np.asarray(_windows(x, node.kernel, node.stride, node.padding).sum(axis=_tail(len(node.kernel))))
    if isinstance(node, Flatten):
        return x.reshape(x.shape[0], -1)
    if isinstance(node, Concat):
        return _joined(graph, node, slot, x)
    return x


def _tail(rank: int) -> tuple[int, ...]:
    return tuple(range(-rank, 0))


def _windows(
    x: FloatArray,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...] = (),
) -> FloatArray:
    """View [batch, channels, *out, *kernel] of the padded [batch, channels, *space]."""
    dilation = dilation or (1,) * len(kernel)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    axes: Any = _tail(len(kernel))
    view = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=axes)
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in (*stride, *dilation)))
    return np.asarray(view[steps])


def _conv(node: Conv, x: FloatArray) -> FloatArray:
    weight = _fixed(node.weight).raw.astype(np.float64)
    rank = weight.ndim - 2
    views = _windows(x, weight.shape[2:], node.stride, node.padding, node.dilation)
    per_in, per_out = weight.shape[1], weight.shape[0] // node.groups
    taps = tuple(range(2 + rank, 2 + 2 * rank))
    parts = []
    for g in range(node.groups):
        view = views[:, g * per_in : (g + 1) * per_in]
        kernel = weight[g * per_out : (g + 1) * per_out]
        part = np.tensordot(view, kernel, axes=((1, *taps), (1, *range(2, 2 + rank))))
        parts.append(np.moveaxis(part, -1, 1))
    return np.concatenate(parts, axis=1)


def _joined(graph: FixedGraph, node: Concat, slot: int, x: FloatArray) -> FloatArray:
    """What the path contributes to the joined signal: itself at its place, zeros elsewhere."""
    parts = [
        x if i == slot else np.zeros((x.shape[0], *graph.shapes[edge.source]))
        for i, edge in enumerate(graph.incoming(node.name))
    ]
    return np.concatenate(parts, axis=node.axis + 1)
