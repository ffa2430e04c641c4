"""Sums of products in floats: exact up to the proven bound, and the bound is where exactness ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.engine import products
from snnc.engine.plan import Convolution, Dense, Sparse
from snnc.engine.products import Prepared, exact_dtype, largest
from snnc.ir import IntArray

RNG = np.random.default_rng(3)


def exact(operator: Any, x: IntArray, size: int) -> IntArray:
    """The sums in Python's own integers."""
    y = np.zeros((x.shape[0], size), dtype=object)
    if isinstance(operator, Dense):
        return np.asarray(x.astype(object) @ operator.weight.astype(object).T)
    if isinstance(operator, Sparse):
        for source in range(x.shape[1]):
            for k in range(operator.start[source], operator.start[source + 1]):
                y[:, operator.index[k]] += x[:, source].astype(object) * int(operator.value[k])
        return y
    channels, height, width = operator.given
    image = np.zeros((x.shape[0], channels * height * width), dtype=object)
    for source, place in enumerate(operator.place):
        if place >= 0:
            image[:, place] += x[:, source].astype(object)
    wide = np.pad(image.reshape(-1, *operator.given), ((0, 0), (0, 0), *((p, p) for p in operator.padding)))
    out = y.reshape(x.shape[0], *operator.made[1:], operator.made[0])
    into, per = operator.weight.shape[1], operator.made[0] // operator.groups
    for row, column, o, c, i, j in np.ndindex(*out.shape[1:], *operator.weight.shape[1:]):
        at = row * operator.stride[0] + i * operator.dilation[0], column * operator.stride[1] + j * operator.dilation[1]
        out[:, row, column, o] += wide[:, o // per * into + c, at[0], at[1]] * int(operator.weight[o, c, i, j])
    return y


def conv(weight: IntArray, place: IntArray) -> Convolution:
    return Convolution(weight, place, (4, 5, 6), (6, 4, 3), (2, 2), (1, 1), (1, 2), 2)


def operators() -> dict[str, tuple[Any, int, int]]:
    place = RNG.integers(-1, 120, 70)  # some neurons go nowhere, some share a place
    start = np.sort(RNG.integers(0, 40, 19))
    start[0], start[-1] = 0, 40
    return {
        "dense": (Dense(RNG.integers(-128, 128, (7, 30))), 30, 7),
        "sparse": (Sparse(start, RNG.integers(0, 9, 40), RNG.integers(-99, 99, 40)), 18, 9),
        "convolution": (conv(RNG.integers(-50, 50, (6, 2, 1, 2)), place), 70, 72),
    }  # fmt: skip


@pytest.mark.parametrize("kind", operators())
@pytest.mark.parametrize("top", [1, 1 << 20, 1 << 44])
def test_sums_are_exact(kind: str, top: int, monkeypatch: pytest.MonkeyPatch) -> None:
    operator, sources, size = operators()[kind]
    x = RNG.integers(-top, top + 1, (5, sources))
    want = exact(operator, x, size)
    assert np.array_equal(Prepared(operator, size)(x, largest(x)), want)
    monkeypatch.setattr(products, "MATRIX", 0)
    monkeypatch.setattr(products, "BLOCK", 1)
    assert np.array_equal(Prepared(operator, size)(x, largest(x)), want)


@pytest.mark.parametrize(("limit", "dtype"), [(1 << 24, np.float32), (1 << 53, np.float64)])
def test_a_type_ends_where_its_sums_round(limit: int, dtype: Any) -> None:
    """Negative control: one more than the limit is not exact in the type below."""
    assert exact_dtype(limit) is dtype
    assert exact_dtype(limit + 1) is not dtype
    weight = np.array([[limit - 1, 1, 1]])
    x = np.ones((1, 3), dtype=np.int64)
    assert int((x.astype(dtype) @ weight.astype(dtype).T)[0, 0]) != limit + 1
    assert int(Prepared(Dense(weight), 1)(x, 1)[0, 0]) == limit + 1


def test_neurons_that_share_a_place_count_in_the_bound() -> None:
    """Small weights do not help if a place adds up more than the type holds."""
    place = np.zeros(70, dtype=np.int64)
    operator = Convolution(np.array([[[[1]]]]), place, (1, 1, 1), (1, 1, 1))
    x = np.full((1, 70), (1 << 24) - 1)
    assert int(Prepared(operator, 1)(x, largest(x))[0, 0]) == 70 * ((1 << 24) - 1)
