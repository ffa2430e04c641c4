"""A rule as the learning engine executes it: tables of integers that hold every number it needs.

What depends on a trace and a random number is looked up: a trace has at most 8 bits, and a random number from
``Generator.random`` is a whole number of 2**-53, so that every comparison with a fraction is one of integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import PlasticityRule
from snnc.ir.products import Product

Array = npt.NDArray[Any]
VARIABLES = ("x0", "y0", "x1", "x2", "y1", "y2", "y3", "w", "d", "t")
DEPENDENCIES = ("x0", "y0", "u")
SUMS = ("dw", "dt", "dd")
BYTE = 256
LEAST, MOST = -128, BYTE - 1
"""Values of a trace: a graded spike loads up to 255, and what is written to a port may be negative."""
VALUES = MOST - LEAST + 1
DICE_BITS = 53
IMPULSE_PARTS = 256
FRACTION = 7
WHOLE = 1 << FRACTION
ACCUMULATOR = (-(1 << 15) - 1, (1 << 15) - 1)
"""The sum of products is clipped here after each addition, as Lava does it: one below 16 bits."""
TAGS, DELAYS = (-257, 255), (0, 255)
LEAST_TAG = -256
"""A tag below it is changed by every learning phase, whether an event reaches the synapse or not."""
PAYLOADS = ("ignored", "overwrite", "add_saturate", "add_overflow")


@dataclass(frozen=True)
class Bounds:
    """Where a sum ends: clipped in units of 2**-7 before rounding, and as a whole number after it."""

    low: int
    high: int
    low_part: int = ACCUMULATOR[0]
    high_part: int = ACCUMULATOR[1]


@dataclass(frozen=True, eq=False)
class Recipe:
    """Tables of one rule.

    Attributes:
        rule: the rule.
        floors: int16 [5, values], of traces x1, x2, y1, y2, y3: what a value surely keeps in a step; the values are 0
            to 255 and then -128 to -1, as indices of arrays count.
        limits: int64 [5, values]: it keeps one more if the random number in units of 2**-53 is below this.
        whole: int64 [5], what a spike surely adds.
        part: int64 [5]: it adds one more if the random number of 128 faces is below this.
        bounds: where each of the three sums ends.
    """

    rule: PlasticityRule
    floors: Array
    limits: Array
    whole: Array
    part: Array
    bounds: tuple[Bounds, Bounds, Bounds]

    @cached_property
    def sums(self) -> tuple[tuple[Product, ...], ...]:
        """Products of dw, dt and dd."""
        return self.rule.dw, self.rule.dt, self.rule.dd

    @cached_property
    def depends(self) -> frozenset[str]:
        """Events that some product of dw or dt waits for."""
        return frozenset(p.dependency for p in (*self.rule.dw, *self.rule.dt))

    @cached_property
    def synaptic(self) -> tuple[str, ...]:
        """Which of w, t and d are read or changed."""
        read = {factor.variable for product in self.rule.products() for factor in product.factors}
        changed = {name for name, products in zip("wtd", self.sums, strict=True) if products}
        return tuple(name for name in "wtd" if name in read | changed)

    @cached_property
    def kicks(self) -> tuple[int, int, int, int, int]:
        """What a second spike in an epoch adds to each trace of the pre-synaptic side, and 0: fractions round up."""
        found = self.whole + (self.part > 0)
        return int(found[0]), int(found[1]), 0, 0, 0

    @cached_property
    def _period(self) -> int | None:
        return self.rule.period

    def counts(self, steps: int) -> bool:
        """Whether events uK count in the epoch that ends with this step."""
        period = self._period
        return period is not None and steps // self.rule.t_epoch % (1 << period) == 0

    def decays(self, faces: tuple[int, int]) -> Array:
        """What each value of each trace becomes in a step, int16 [5, values].

        Args:
            faces: random numbers of the pre- and the post-synaptic side, in units of 2**-53.
        """
        both = np.array([faces[0]] * 2 + [faces[1]] * 3, dtype=np.int64)[:, np.newaxis]
        return np.asarray(self.floors + (both < self.limits), dtype=np.int16)


def recipe(rule: PlasticityRule) -> Recipe:
    """The tables of a rule."""
    traces = (*rule.pre_traces, *rule.post_traces)
    floors = np.zeros((len(traces), VALUES), dtype=np.int16)
    limits = np.zeros((len(traces), VALUES), dtype=np.int64)
    values = np.concatenate([np.arange(MOST + 1), np.arange(LEAST, 0)])
    for row, trace in enumerate(traces):
        if trace.tau:
            kept = np.exp(-1.0 / trace.tau) * values
            floors[row] = np.floor(kept)
            # Scaling by a power of two is exact, and so is the fraction of a number.
            limits[row] = [ceil(value) for value in np.ldexp(kept % 1, DICE_BITS).tolist()]
    whole = [int(trace.impulse // 1) for trace in traces]
    part = [round((trace.impulse - n) * IMPULSE_PARTS) for trace, n in zip(traces, whole, strict=True)]
    low, high = rule.bounds
    weights = Bounds(low, high, 0 if low == 0 else ACCUMULATOR[0], 0 if high == 0 else ACCUMULATOR[1])
    bounds = (weights, Bounds(*TAGS), Bounds(*DELAYS, low_part=0))
    return Recipe(rule, floors, limits, np.array(whole, dtype=np.int64), np.array(part, dtype=np.int64), bounds)


def stored(weights: Array, sign: str, bits: int) -> Array:
    """Weights as a memory of so many bits holds them: the low bits that it has not are cleared.

    A width of 8 bits holds the sign of mixed weights in its lowest one. Inhibitory weights are cleared toward zero.
    """
    step = 1 << (8 - bits + int(sign == "mixed"))
    if sign == "inhibitory":
        return np.asarray(-(-weights // step * step), dtype=np.int64)
    return np.asarray(weights // step * step, dtype=np.int64)
