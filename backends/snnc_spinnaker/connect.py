"""Connection lists: linear nodes as (source, target, weight) triples, and how a chain of them becomes one list."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import UnsupportedError
from snnc.ir import Affine, Concat, Conv, Fixed, FloatArray, IntArray, Network, Node, Pool
from snnc_spinnaker.paths import Path

Values = npt.NDArray[Any]
Shape = tuple[int, ...]
DENSE_ELEMENTS = 1 << 24


@dataclass(frozen=True, eq=False)
class Connections:
    """Weights from flat source elements to flat target elements; no pair occurs twice once ``merged``.

    Attributes:
        pre, post: flat indices (k,).
        weight: (k,), int64 or float64.
        sizes: number of source and of target elements.
    """

    pre: IntArray
    post: IntArray
    weight: Values
    sizes: tuple[int, int]

    def then(self, other: Connections) -> Connections:
        """First this, then ``other``; pairs that meet over several ways are summed."""
        order = np.argsort(other.pre, kind="stable")
        keys = other.pre[order]
        first = np.searchsorted(keys, self.post, side="left")
        count = np.searchsorted(keys, self.post, side="right") - first
        mine = np.repeat(np.arange(len(self.pre)), count)
        offset = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count)
        theirs = order[np.repeat(first, count) + offset]
        joined = Connections(
            self.pre[mine],
            other.post[theirs],
            self.weight[mine] * other.weight[theirs],
            (self.sizes[0], other.sizes[1]),
        )
        return joined.merged()

    def merged(self) -> Connections:
        """One entry per pair, in the order of source and target, without zeros."""
        key = self.pre * self.sizes[1] + self.post
        unique, inverse = np.unique(key, return_inverse=True)
        total = np.zeros(len(unique), dtype=self.weight.dtype)
        np.add.at(total, inverse.reshape(-1), self.weight)
        unique, total = unique[total != 0], total[total != 0]
        return Connections(unique // self.sizes[1], unique % self.sizes[1], total, self.sizes)

    @cached_property
    def _dense(self) -> FloatArray | None:
        if self.sizes[0] * self.sizes[1] > DENSE_ELEMENTS:
            return None
        matrix = np.zeros(self.sizes, dtype=np.float64)
        np.add.at(matrix, (self.pre, self.post), self.weight)
        return matrix

    @cached_property
    def _sorted(self) -> tuple[IntArray, Values, IntArray, IntArray]:
        """Sources and weights ordered by target, the targets that occur, and where each starts."""
        order = np.argsort(self.post, kind="stable")
        targets, starts = np.unique(self.post[order], return_index=True)
        return self.pre[order], self.weight[order], targets, starts

    def deliver(self, spikes: Values) -> FloatArray:
        """Sums of the weights of spikes [..., n_source] at every target, [..., n_target].

        float64 is exact for integer weights of 16 bits: fewer than 2**37 of them cannot pass 2**53.
        """
        dense = self._dense
        if dense is not None:
            return np.asarray(spikes.astype(np.float64) @ dense)
        out = np.zeros((*spikes.shape[:-1], self.sizes[1]), dtype=np.float64)
        pre, weight, targets, starts = self._sorted
        if len(pre):
            out[..., targets] = np.add.reduceat(spikes[..., pre] * weight, starts, axis=-1)
        return out


def identity(size: int, dtype: type[Any] = np.int64) -> Connections:
    """Every element to itself."""
    index = np.arange(size)
    return Connections(index, index, np.ones(size, dtype=dtype), (size, size))


def of_path(network: Network, path: Path, sign: int) -> Connections:
    """A path's weights of one sign, as magnitudes; the sign is taken at the weighted node, as the hardware does.

    Args:
        network: float or fixed graph.
        path: one of its paths.
        sign: 1: positive weights (excitatory), -1: negative (inhibitory).
    """
    kind: type[Any] = np.float64
    if path.weighted and isinstance(network[path.weighted[0]].params()["weight"], Fixed):
        kind = np.int64
    found = identity(math.prod(network.shapes[path.source]), kind)
    before = path.source
    for name, position in path.hops:
        shape = network.shapes[before]
        step = of_node(network[name], shape, network.shapes[name], sign, _offset(network, name, position))
        if step is not None:
            found = found.then(step)
        before = name
    return found


def _offset(network: Network, name: str, position: int) -> int:
    """Where an edge's elements start on the axis along which the node joins."""
    node = network[name]
    if not isinstance(node, Concat):
        return 0
    return sum(network.shapes[edge.source][node.axis] for edge in network.incoming(name)[:position])


def of_node(node: Node, shape: Shape, out: Shape, sign: int, offset: int = 0) -> Connections | None:
    """A node's connection list, or None if it moves nothing.

    Args:
        node: linear node.
        shape: of the edge that comes in.
        out: of the node's output.
        sign: sign of the weights that are kept.
        offset: start of the incoming part along a Concat's axis.
    """
    if isinstance(node, Affine):
        weight = _magnitude(node.weight, sign)
        post, pre = np.nonzero(weight)
        return Connections(pre, post, weight[post, pre], (math.prod(shape), math.prod(out)))
    if isinstance(node, Conv):
        return _conv(node, shape, out, _magnitude(node.weight, sign))
    if isinstance(node, Pool):
        if node.pooling != "sum":
            raise UnsupportedError(f"{node.name}: {node.pooling} pooling has no connection list")
        return _pool(node, shape, out)
    if isinstance(node, Concat):
        index = np.arange(math.prod(shape)).reshape(shape)
        places = np.arange(math.prod(out)).reshape(out)
        part = np.take(places, np.arange(offset, offset + shape[node.axis]), axis=node.axis)
        return Connections(index.ravel(), part.ravel(), np.ones(index.size, np.int64), (index.size, places.size))
    return None


def _magnitude(weight: Any, sign: int) -> Values:
    values = weight.raw if isinstance(weight, Fixed) else weight
    return np.asarray(np.maximum(sign * values, 0))


def _taps(
    shape: Shape, out: Shape, position: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> tuple[IntArray, IntArray]:
    """Flat spatial source and target indices that one kernel position connects."""
    axes = [
        (np.arange(o) * s + k * d - p, np.arange(o), n)
        for o, n, k, s, p, d in zip(out, shape, position, stride, padding, dilation, strict=True)
    ]
    inside = [(at >= 0) & (at < n) for at, _, n in axes]
    source = np.ravel_multi_index(
        np.meshgrid(*(at[ok] for (at, _, _), ok in zip(axes, inside, strict=True)), indexing="ij"), shape
    )
    target = np.ravel_multi_index(
        np.meshgrid(*(to[ok] for (_, to, _), ok in zip(axes, inside, strict=True)), indexing="ij"), out
    )
    return source.ravel(), target.ravel()


def _conv(node: Conv, shape: Shape, out: Shape, weight: Values) -> Connections:
    pre, post, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, weight.dtype)]
    per_out, per_in = weight.shape[0] // node.groups, weight.shape[1]
    area_in, area_out = math.prod(shape[1:]), math.prod(out[1:])
    for number, position in enumerate(product(*(range(k) for k in weight.shape[2:]))):
        source, target = _taps(shape[1:], out[1:], position, node.stride, node.padding, node.dilation)
        tap = weight.reshape(*weight.shape[:2], -1)[:, :, number]
        to, within = np.nonzero(tap)
        channel = (to // per_out) * per_in + within
        pre.append((channel[:, np.newaxis] * area_in + source).ravel())
        post.append((to[:, np.newaxis] * area_out + target).ravel())
        values.append(np.repeat(tap[to, within], len(source)))
    sizes = (math.prod(shape), math.prod(out))
    return Connections(np.concatenate(pre), np.concatenate(post), np.concatenate(values), sizes)


def _pool(node: Pool, shape: Shape, out: Shape) -> Connections:
    channels = np.arange(shape[0])[:, np.newaxis]
    area_in, area_out = math.prod(shape[1:]), math.prod(out[1:])
    pre, post = [], []
    for position in product(*(range(k) for k in node.kernel)):
        flat = (1,) * len(node.kernel)
        source, target = _taps(shape[1:], out[1:], position, node.stride, node.padding, flat)
        pre.append((channels * area_in + source).ravel())
        post.append((channels * area_out + target).ravel())
    sources = np.concatenate(pre)
    return Connections(
        sources, np.concatenate(post), np.ones(len(sources), np.int64), (math.prod(shape), math.prod(out))
    )
