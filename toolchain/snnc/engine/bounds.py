"""Bounds of accumulators, proven from the weights and from what their sources can send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnc.engine.plan import Bound, Convolution, Dense, Population, Sparse, Way
from snnc.ir import Conventions, Format, IntArray

Range = tuple[int, int]
WIDTHS = (16, 32, 64)


@dataclass(frozen=True)
class Sums:
    """Sums of one way's weights for each target neuron, [neurons] or shape () for all of them: positive, negative."""

    up: IntArray
    down: IntArray


def sent(population: Population, c: Conventions) -> Range | None:
    """Smallest and largest number that a population can send in a step; None if nothing is proven."""
    if population.kind == "constant":
        return 0, 1
    if population.kind == "input":
        return _given(population) if population.numbers or "unit_bits" in population.options else (0, 1)
    if population.numbers:
        if population.kind == "relay":
            return None
        bits = c.register_bits - 1
        if bits >= 63:
            return None
        down = population.options.get("shift", 0)
        assert isinstance(down, int)
        return -(1 << bits) >> down, ((1 << bits) - 1) >> down
    return (-1 if population.options.get("output") == "ternary" else 0), 1


def _given(population: Population) -> Range | None:
    options = population.options
    if "unit_bits" not in options:
        return None
    bits, frac, signed = options["unit_bits"], options["unit_frac"], options["unit_signed"]
    overflow = options["unit_overflow"]
    unit = Format(int(bits), int(frac), bool(signed), overflow=overflow)  # type: ignore[arg-type]
    return unit.minimum, unit.maximum


def bounds(ways: Sequence[Way], ranges: Mapping[int, Range | None], receptors: int, size: int) -> tuple[Bound, ...]:
    """One bound for each receptor; empty if a source has no range.

    Args:
        ways: all ways into one population.
        ranges: what each source can send.
        receptors: 1 or 2.
        size: neurons of the target.
    """
    if any(ranges[way.source] is None for way in ways):
        return ()
    return tuple(_bound([way for way in ways if way.receptor == r], ranges, size) for r in range(receptors))


def _bound(ways: Sequence[Way], ranges: Mapping[int, Range | None], size: int) -> Bound:
    low: IntArray = np.zeros((), dtype=object)
    high: IntArray = np.zeros((), dtype=object)
    peak: IntArray = np.zeros((), dtype=object)
    for way in ways:
        a, b = ranges[way.source] or (0, 0)
        sums = sums_of(way.operator, size)
        up, down = sums.up.astype(object), sums.down.astype(object)
        low, high = low + up * a + down * b, high + up * b + down * a
        peak = peak + (up - down) * max(-a, b)
    smallest, largest, most = (int(f(v)) for f, v in ((np.min, low), (np.max, high), (np.max, peak)))
    return Bound(min(smallest, 0), max(largest, 0), most)


def sums_of(operator: Dense | Convolution | Sparse, size: int) -> Sums:
    """Sums of positive and of negative weights for each of ``size`` targets; of a convolution, at least as large."""
    if isinstance(operator, Dense):
        return Sums(*(_added(f(operator.weight, 0), (1,)) for f in (np.maximum, np.minimum)))
    if isinstance(operator, Sparse):
        return Sums(*(_scattered(f(operator.value, 0), operator.index, size) for f in (np.maximum, np.minimum)))
    parts = (_added(f(operator.weight, 0), (1, 2, 3)) * crowd(operator) for f in (np.maximum, np.minimum))
    return Sums(*(np.asarray(f(p)) for f, p in zip((np.max, np.min), parts, strict=True)))


def crowd(operator: Convolution) -> int:
    """Neurons that share one place at most."""
    used = operator.place[operator.place >= 0]
    return int(np.bincount(used).max()) if used.size else 0


def gain(operator: Dense | Convolution | Sparse, size: int) -> int:
    """Largest sum of magnitudes of weights of one of ``size`` target neurons."""
    sums = sums_of(operator, size)
    return int(np.max(sums.up.astype(object) - sums.down.astype(object)))


def width(bound: Bound | None) -> int:
    """The narrowest accumulator that no partial sum leaves."""
    if bound is None:
        return WIDTHS[-1]
    return next((bits for bits in WIDTHS if bound.peak < 1 << (bits - 1)), WIDTHS[-1])


def _wide(values: IntArray) -> type[Any]:
    """64 bits for sums of these, or Python's integers if that could be too narrow."""
    top = max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0
    return np.int64 if top * max(values.size, 1) < 1 << 62 else object


def _added(values: IntArray, axes: tuple[int, ...]) -> IntArray:
    return np.asarray(np.sum(values, axis=axes, dtype=_wide(values)))


def _scattered(values: IntArray, index: IntArray, size: int) -> IntArray:
    dtype = _wide(values)
    found = np.zeros(size, dtype=dtype)
    np.add.at(found, index, values.astype(dtype))
    return found
