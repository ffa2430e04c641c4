"""Sparse linear maps as triples, and the maps of single nodes: what a planner composes.

Positions are flat row-major indices of one step's signal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from snnc.ir import Affine, Conv, Fixed, IntArray, Pool

LIMIT = 1 << 22
"""Entries that a composed map may have; a larger one stays a chain of nodes."""


@dataclass(frozen=True, eq=False)
class Table:
    """``y[to[k]] += value[k] * x[of[k]]`` for every k.

    Attributes:
        to, of, value: [entries], int64.
    """

    to: IntArray
    of: IntArray
    value: IntArray

    @property
    def plain(self) -> bool:
        """True if every entry is 1."""
        return bool(np.all(self.value == 1))

    @property
    def single(self) -> bool:
        """True if every place gets one value at most, and that as it is."""
        return self.plain and bool(np.unique(self.to).size == self.to.size)


def identity(size: int) -> Table:
    """The map that changes nothing."""
    place = np.arange(size, dtype=np.int64)
    return Table(place, place, np.ones(size, dtype=np.int64))


def composed(outer: Table, inner: Table, *, signs: bool = False) -> Table | None:
    """The map ``outer(inner(x))``, or None if it has more than ``LIMIT`` entries.

    Args:
        outer: what acts last.
        inner: what acts first.
        signs: positive and negative entries of one place stay apart.
    """
    rows = np.argsort(outer.of, kind="stable")
    keys = outer.of[rows]
    low, high = np.searchsorted(keys, inner.to, "left"), np.searchsorted(keys, inner.to, "right")
    count = high - low
    total = int(count.sum())
    if total > LIMIT:
        return None
    start = np.repeat(low - np.concatenate(([0], np.cumsum(count)[:-1])), count) if total else low[:0]
    entry = rows[start + np.arange(total)]
    value = outer.value[entry] * np.repeat(inner.value, count)
    return gathered(Table(outer.to[entry], np.repeat(inner.of, count), value), signs=signs)


def gathered(table: Table, *, signs: bool = False) -> Table:
    """Entries of one place added up; with ``signs`` positive and negative ones apart. Zeros vanish."""
    if not table.to.size:
        return table
    width = int(table.of.max()) + 1
    key = (table.to * width + table.of) * 2 + ((table.value < 0) if signs else 0)
    places, where = np.unique(key, return_inverse=True)
    value = np.zeros(places.size, dtype=np.int64)
    np.add.at(value, where.reshape(-1), table.value)
    kept = value != 0
    places = places[kept] // 2
    return Table(places // width, places % width, value[kept])


def moved(table: Table, index: IntArray) -> Table:
    """The same map with every result at another place: ``to`` becomes ``index[to]``."""
    return Table(index[table.to], table.of, table.value)


def joined_index(shapes: list[tuple[int, ...]], axis: int, part: int) -> IntArray:
    """Flat place of each element of one part in what ``Concat`` makes of all parts."""
    rank = len(shapes[0])
    axis = axis % rank
    total = [sum(s[axis] for s in shapes) if i == axis else n for i, n in enumerate(shapes[0])]
    start = sum(s[axis] for s in shapes[:part])
    places = np.arange(math.prod(total), dtype=np.int64).reshape(total)
    window = tuple(slice(start, start + shapes[part][axis]) if i == axis else slice(None) for i in range(rank))
    return np.ascontiguousarray(places[window]).reshape(-1)


def pool_table(node: Pool, shape: tuple[int, ...]) -> Table:
    """The map of a sum pooling of (channels, *space)."""
    ones = np.ones((1, 1, *node.kernel), dtype=np.int64)
    steps = (1,) * len(node.kernel)
    table = _windows(ones, (1, *shape[1:]), node.stride, node.padding, steps)
    into, out = math.prod(shape[1:]), _made((1, *shape[1:]), node.kernel, node.stride, node.padding, steps)
    channel = np.arange(shape[0], dtype=np.int64)[:, np.newaxis]
    to = (channel * math.prod(out) + table.to).reshape(-1)
    of = (channel * into + table.of).reshape(-1)
    return Table(to, of, np.ones(to.size, dtype=np.int64))


def entries(node: Affine | Conv, given: tuple[int, ...]) -> int:
    """At most as many entries has the map of a weighted node."""
    assert isinstance(node.weight, Fixed)
    if isinstance(node, Affine):
        return int(node.weight.raw.size)
    return int(node.weight.raw.size) * math.prod(_made(given, node.weight.shape[2:], *_steps(node)))


def weight_table(node: Affine | Conv, weight: IntArray, given: tuple[int, ...]) -> Table:
    """The map of a weighted node without its bias, of these raw weights."""
    if isinstance(node, Affine):
        to, of = np.nonzero(weight)
        return Table(to.astype(np.int64), of.astype(np.int64), weight[to, of].astype(np.int64))
    out, into = weight.shape[0] // node.groups, weight.shape[1]
    made = math.prod(_made(given, weight.shape[2:], *_steps(node)))
    parts: list[Table] = []
    for group in range(node.groups):
        part = _windows(weight[group * out : (group + 1) * out], (into, *given[1:]), *_steps(node))
        offset = group * into * math.prod(given[1:])
        parts.append(Table(part.to + group * out * made, part.of + offset, part.value))
    return Table(*(np.concatenate([getattr(p, key) for p in parts]) for key in ("to", "of", "value")))


def _steps(node: Conv) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return node.stride, node.padding, node.dilation


def _made(
    given: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[int, ...]:  # fmt: skip
    """Spatial size of what windows make."""
    space = zip(given[1:], kernel, stride, padding, dilation, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in space)


def _windows(
    weight: IntArray, given: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Table:  # fmt: skip
    """The map of a cross-correlation without groups; one block of entries per kernel position."""
    kernel, space = weight.shape[2:], given[1:]
    out = _made(given, kernel, stride, padding, dilation)
    places = np.arange(math.prod(out), dtype=np.int64)
    corner = np.stack(np.unravel_index(places, out)) if out else np.zeros((0, 1), dtype=np.int64)
    lists: list[tuple[IntArray, IntArray, IntArray]] = []
    for position in product(*(range(k) for k in kernel)):
        at = [corner[i] * stride[i] + position[i] * dilation[i] - padding[i] for i in range(len(kernel))]
        inside = np.all([(a >= 0) & (a < n) for a, n in zip(at, space, strict=True)], axis=0)
        flat = np.ravel_multi_index([a[inside] for a in at], space).astype(np.int64)
        taps = np.moveaxis(weight, (0, 1), (-2, -1))[position]
        o, c = np.nonzero(taps)
        value = taps[o, c].astype(np.int64)
        to = o[:, np.newaxis] * places.size + places[inside]
        of = c[:, np.newaxis] * math.prod(space) + flat
        lists.append((to.reshape(-1), of.reshape(-1), np.repeat(value, flat.size)))
    return Table(*(np.concatenate(column).astype(np.int64) for column in zip(*lists, strict=True)))
