"""The learning engine's steps in the compiled kernels: one call for each step."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.layout import FACTOR, LEARN, PRODUCT
from snnc.engine.learn_numpy import Memory, Now
from snnc.engine.learn_tables import DEPENDENCIES, FRACTION, PAYLOADS, VARIABLES, Recipe
from snnc.engine.library import Kernels
from snnc.ir.products import Product

Array = npt.NDArray[Any]
AT = {name: column for column, name in enumerate(LEARN)}
WHAT, PLACE, WIDE, FACE = AT["what"], AT["place"], AT["wide"], AT["face0"]
SEND, STEP = range(2)
REGISTER = 31
X_TRACES, Y_TRACES = 2, 3


class Native:
    """Steps of some synapses.

    Args:
        kernels: the module.
        number: of the build.
        memory: what the synapses keep; its arrays stay where they are.
        epoch: steps in one.
    """

    def __init__(self, kernels: Kernels, number: int, memory: Memory, epoch: int) -> None:
        self._kernels, self._number, self._memory = kernels, number, memory
        pre, post = memory.w.shape
        room = max(pre, post)
        self._pre, self._post, self._sent = (np.zeros(n, dtype=np.int64) for n in (pre, post, post))
        shapes = {
            "x_past": (epoch + 1, X_TRACES, pre), "y_past": (epoch + 1, Y_TRACES, post), "own": (Y_TRACES, post),
            "gathered": (X_TRACES, post), "columns": (3, pre), "out": (3, room), "spiked_mask": (pre,),
            "fired_mask": (post,),
        }  # fmt: skip
        scratch = {name: np.zeros(shape, dtype=np.int16) for name, shape in shapes.items()}
        scratch["fired"] = np.zeros(post, dtype=np.int32)
        arrays = {name: getattr(memory, name) for name in ("w", "t", "d", "x", "y", "last_pre", "last_post")}
        self._kept: list[Array] = [*scratch.values(), *arrays.values()]
        self._call: array[int] = array("q", bytes(8 * len(LEARN)))
        numbers = {"pre": pre, "post": post, "epoch": epoch, "room": room}
        homes = {**scratch, **arrays, "given": self._pre, "heard": self._post, "sent": self._sent}
        self._put(numbers | {name: _address(values) for name, values in homes.items()})
        self._address = self._call.buffer_info()[0]
        self._tables: list[Array] = []
        self._recipe: Recipe | None = None

    def _put(self, fields: dict[str, int]) -> None:
        for name, value in fields.items():
            self._call[AT[name]] = value

    def send(self, pre: Array) -> Array:
        """``weights @ pre``, int64 [post]."""
        np.copyto(self._pre, pre)
        self._call[WHAT] = SEND
        return self._done()

    def step(self, recipe: Recipe, now: Now, pre: Array, post: Array) -> Array:
        """One step; see :class:`snnc.engine.learn_core.RuleSynapses`."""
        if recipe is not self._recipe:
            self._load(recipe)
        np.copyto(self._pre, pre)
        np.copyto(self._post, post)
        call = self._call
        call[WHAT] = STEP
        # The fields place, early, ends, wide, counted, threshold and four faces lie side by side.
        call[PLACE] = now.place
        call[PLACE + 1] = now.early
        call[PLACE + 2] = now.ends
        call[PLACE + 3] = self._memory.wide
        if now.ends:
            call[PLACE + 4] = now.counted
            call[PLACE + 5] = now.threshold
            call[FACE : FACE + 4] = array("q", now.faces)
        return self._done()

    def table(self, recipe: Recipe) -> int:
        """Address of the table by which kernels execute many steps in one call; :meth:`taken` comes after them."""
        if recipe is not self._recipe:
            self._load(recipe)
        self._call[WIDE] = self._memory.wide
        return self._address

    def taken(self) -> None:
        """The kernels have executed steps by the table."""
        self._memory.wide = bool(self._call[WIDE])
        self._put({"given": _address(self._pre), "heard": _address(self._post), "sent": _address(self._sent)})

    def _done(self) -> Array:
        wide = self._kernels.learn(self._number, self._address)
        if self._call[WHAT] == STEP:
            self._memory.wide = bool(wide)
        return np.array(self._sent)

    def _load(self, recipe: Recipe) -> None:
        """Puts a rule into the call."""
        rule = recipe.rule
        products, factors = _rows(recipe.sums)
        self._tables = [products, factors, np.ascontiguousarray(recipe.floors), np.ascontiguousarray(recipe.limits)]
        late = {f.variable for p in rule.products() if p.dependency == "y0" for f in p.factors}
        fields = {
            "payload": PAYLOADS.index(rule.payload), "ports": int(rule.third_factors),
            "waits": sum(1 << k for k, name in enumerate(DEPENDENCIES[:2]) if name in recipe.depends),
            "reads": sum(1 << k for k, name in enumerate(("x1", "x2")) if name in late),
            "uses": sum(1 << k for k, name in enumerate("wtd") if name in recipe.synaptic),
        }  # fmt: skip
        names = ("products", "factors", "floors", "limits")
        fields |= {name: _address(table) for name, table in zip(names, self._tables, strict=True)}
        for k in range(len(recipe.whole)):
            fields |= {f"whole{k}": int(recipe.whole[k]), f"part{k}": int(recipe.part[k])}
        fields |= {f"kick{k}": recipe.kicks[k] for k in range(X_TRACES)}
        first = 0
        for k, (found, bounds) in enumerate(zip(recipe.sums, recipe.bounds, strict=True)):
            fields |= {f"first{k}": first, f"count{k}": len(found), f"low{k}": bounds.low, f"high{k}": bounds.high}
            fields |= {f"low_part{k}": bounds.low_part, f"high_part{k}": bounds.high_part}
            first += len(found)
        self._put(fields)
        self._recipe = recipe


def _rows(sums: tuple[tuple[Product, ...], ...]) -> tuple[Array, Array]:
    """Tables of products and factors, int64."""
    products: list[tuple[int, ...]] = []
    factors: list[tuple[int, ...]] = []
    for product in (p for found in sums for p in found):
        # A register of 32 bits shifted down further is what it is after 31.
        shift, left = min(product.shift, REGISTER), product.exponent + FRACTION
        event = DEPENDENCIES.index(product.dependency)
        products.append((event, product.mantissa, shift, left, len(factors), len(product.factors)))
        for factor in product.factors:
            low, high = -(1 << factor.width), (1 << factor.width) - 1
            factors.append((VARIABLES.index(factor.variable), factor.constant, int(factor.sign), low, high))
    return _table(products, len(PRODUCT)), _table(factors, len(FACTOR))


def _table(rows: list[Any], columns: int) -> Array:
    return np.array(rows, dtype=np.int64).reshape(len(rows), columns)


def _address(values: Array) -> int:
    return int(values.__array_interface__["data"][0])
