"""From terms to the ways of a plan: weights in engine order, in one unit per population, in few bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from snnc.engine import tables
from snnc.engine.plan import Convolution, Dense, Sparse, Way, narrowest
from snnc.engine.tables import Table
from snnc.engine.terms import Term, Weighted
from snnc.ir import Affine, Conv, IntArray

LAYERS = 4
"""Convolutions that one term may become where a neuron feeds several places."""
FILLED = 0.25
"""Share of entries above which triples become a dense matrix."""
EMPTY = 1 / 16
"""Share of entries below which a dense matrix becomes triples."""
Orders = tuple[IntArray | None, IntArray | None]


def made_of(terms: Sequence[Term], size: int) -> tuple[int, int, int] | None:
    """(channels, height, width) of the first convolution that is a whole population; it sets the engine order."""
    for term in terms:
        if isinstance(term.map, Weighted) and isinstance(term.map.node, Conv) and math.prod(term.map.made) == size:
            return _planes(term.map.made)
    return None


def channel_last(made: tuple[int, int, int]) -> IntArray | None:
    """Engine position -> row-major index, or None if they are the same."""
    channels, height, width = made
    if channels == 1 or height * width == 1:
        return None
    places = np.arange(math.prod(made), dtype=np.int64).reshape(made)
    return np.ascontiguousarray(places.transpose(1, 2, 0)).reshape(-1)


def unit_of(terms: Sequence[Term], split: bool) -> int:
    """The largest left shift that all terms share; biases count with the zeros at their end."""
    if split:
        return 0
    found: list[int] = []
    for term in terms:
        own = term.shift
        if isinstance(term.map, Table) and term.source.startswith("/"):
            low = int(np.bitwise_or.reduce(term.map.value))
            if not low:  # the bias meets weights of zero only
                continue
            own += (low & -low).bit_length() - 1
        found.append(own)
    return min(found, default=0)


def fits(term: Term, unit: int) -> bool:
    """True if the term's weights can be read in this unit without leaving 64 bits."""
    raw = term.map.value if isinstance(term.map, Table) else term.map.weight
    top = max((abs(int(raw.min())), abs(int(raw.max())))) if raw.size else 0
    return top << max(term.shift - unit, 0) < 1 << 62


def ways(
    term: Term, unit: int, sign: int, source: int, sizes: tuple[int, int], orders: Orders,
    made: tuple[int, int, int] | None,
) -> list[Way] | None:  # fmt: skip
    """The ways that are one term; None if they would be too large.

    Args:
        term: the summand.
        unit: left shift of the target's accumulator.
        sign: 0: all weights; 1 and -1: magnitudes of the positive or negative ones.
        source: index of the population that sends.
        sizes: neurons of source and target.
        orders: engine orders of source and target.
        made: shape in which the target is the output of a convolution, if it is one.
    """
    up = term.shift - unit
    found: list[Dense | Convolution | Sparse] | None = None
    if isinstance(term.map, Weighted):
        raw = _shifted(_signed(term.map.weight, sign), up)
        if isinstance(term.map.node, Affine):
            found = [_affine(term.map, raw, sizes[0], orders)]
        elif made == _planes(term.map.made):
            found = _convolutions(term.map, term.map.node, raw, sizes[0], orders[0])
    if found is None:
        table = _table(term.map, sign, up)
        if table is None:
            return None
        found = [_sparse(table, sizes, orders)]
    receptor = int(sign < 0)
    return [Way(source, term.delay, receptor, operator) for operator in found if _acts(operator)]


def narrow(way: Way) -> bool:
    """True if the way's weights have 32 bits at most, as kernels need it."""
    operator = way.operator
    return (operator.value if isinstance(operator, Sparse) else operator.weight).dtype.itemsize <= 4


def smallest(values: IntArray) -> IntArray:
    """The same integers in the smallest signed dtype that holds them."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    return np.ascontiguousarray(values, dtype=narrowest(low, high))


def inverse(order: IntArray | None, size: int) -> IntArray:
    """Row-major index -> engine position."""
    if order is None:
        return np.arange(size, dtype=np.int64)
    found = np.empty(size, dtype=np.int64)
    found[order] = np.arange(size)
    return found


def _acts(operator: Dense | Convolution | Sparse) -> bool:
    return bool(np.any(operator.value if isinstance(operator, Sparse) else operator.weight))


def _planes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (shape[0], 1, shape[1]) if len(shape) == 2 else (shape[0], shape[1], shape[2])


def _signed(raw: IntArray, sign: int) -> IntArray:
    return raw if sign == 0 else np.maximum(sign * raw, 0)


def _shifted(raw: IntArray, up: int) -> IntArray:
    """In another unit; a bias may lose zeros at its end."""
    return raw << up if up >= 0 else raw >> -up


def _table(found: Table | Weighted, sign: int, up: int) -> Table | None:
    if isinstance(found, Table):
        return Table(found.to, found.of, _shifted(_signed(found.value, sign), up))
    if tables.entries(found.node, found.given) > tables.LIMIT:
        return None
    raw = _shifted(_signed(found.weight, sign), up)
    return tables.composed(tables.weight_table(found.node, raw, found.given), found.before)


def _affine(found: Weighted, raw: IntArray, size: int, orders: Orders) -> Dense | Sparse:
    """A dense matrix whose columns are the source's neurons; neurons that feed one column several times add up."""
    before = found.before
    if np.unique(before.of).size == before.of.size:
        which = np.full(size, -1, dtype=np.int64)
        which[before.of] = before.to
        columns = _picked(smallest(raw), which if orders[0] is None else which[orders[0]])
    else:
        columns = np.zeros((raw.shape[0], size), dtype=np.int64)
        np.add.at(columns.T, before.of, raw.T[before.to])
        columns = columns if orders[0] is None else columns[:, orders[0]]
    if orders[1] is not None:
        columns = columns[orders[1]]
    if columns.size > 4096 and np.count_nonzero(columns) < EMPTY * columns.size:
        to, of = np.nonzero(columns)
        return _rows(of, to, columns[to, of].astype(np.int64), size)
    return Dense(smallest(columns))


def _picked(columns: IntArray, which: IntArray) -> IntArray:
    """These columns of a matrix; zeros for -1."""
    if np.array_equal(which, np.arange(columns.shape[1])):
        return columns
    found = np.take(columns, which, axis=1)
    found[:, which < 0] = 0
    return found


def _convolutions(
    found: Weighted, node: Conv, raw: IntArray, size: int, order: IntArray | None
) -> list[Dense | Convolution | Sparse] | None:
    """One convolution for each time that a neuron feeds a place; None if that is too often."""
    position = inverse(order, size)
    of, to = position[found.before.of], found.before.to
    rows = np.argsort(of, kind="stable")
    of, to = of[rows], to[rows]
    time = np.arange(of.size) - np.searchsorted(of, of, "left")
    layers = int(time.max()) + 1 if time.size else 0
    if layers > LAYERS:
        return None
    result: list[Dense | Convolution | Sparse] = []
    for layer in range(layers):
        place = np.full(size, -1, dtype=np.int64)
        place[of[time == layer]] = to[time == layer]
        result.append(convolution(node, smallest(raw), place, (found.given, found.made)))
    return result


def convolution(
    node: Conv, raw: IntArray, place: IntArray, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> Convolution:
    """A convolution with these weights; one axis counts as a height of 1.

    Args:
        node: whose geometry counts.
        raw: weights.
        place: source neuron -> flat index into its input, or -1.
        shapes: of its input and its output.
    """
    weight = raw if raw.ndim == 4 else raw[:, :, np.newaxis, :]
    given, made = (_planes(shape) for shape in shapes)
    stride, padding, dilation = _pair(node.stride, 1), _pair(node.padding, 0), _pair(node.dilation, 1)
    return Convolution(weight, place, given, made, stride, padding, dilation, node.groups)


def _pair(values: tuple[int, ...], one: int) -> tuple[int, int]:
    return (one, values[0]) if len(values) == 1 else (values[0], values[1])


def _sparse(table: Table, sizes: tuple[int, int], orders: Orders) -> Dense | Sparse:
    of, to = inverse(orders[0], sizes[0])[table.of], inverse(orders[1], sizes[1])[table.to]
    kept = table.value != 0
    of, to, value = of[kept], to[kept], table.value[kept]
    if value.size > FILLED * sizes[0] * sizes[1]:
        weight = np.zeros((sizes[1], sizes[0]), dtype=np.int64)
        np.add.at(weight, (to, of), value)
        return Dense(smallest(weight))
    return _rows(of, to, value, sizes[0])


def _rows(of: IntArray, to: IntArray, value: IntArray, size: int) -> Sparse:
    order = np.lexsort((to, of))
    start = np.searchsorted(of[order], np.arange(size + 1), "left").astype(np.int64)
    return Sparse(start, to[order].astype(np.int64), smallest(value[order]))
