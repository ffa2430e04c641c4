"""Independent pairs of neurons whose synapses learn as brian2-loihi emulates them, in integers.

Each synapse has traces and random numbers of its own. Traces keep ``1 - 1/tau`` of themselves in a step, the random
number of a decay belongs to the value before the step's spike, changes are rounded away from zero, and every step is a
learning phase. Only statistics can agree with the emulator, whose random numbers are Brian's.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.learn_tables import DICE_BITS, FRACTION, WHOLE
from snnc.errors import InputError, UnsupportedError, Violation
from snnc.ir import IntArray, PlasticityRule

Array = npt.NDArray[Any]
WHERE = "independent pairs"
TRACE_MAX = 127
RANGES = {"mixed": (-256, 254), "excitatory": (0, 255), "inhibitory": (-256, 0)}


@dataclass(frozen=True)
class Seen:
    """One step, each [synapses].

    Attributes:
        x1: first pre-synaptic trace with this step's spike.
        y1: first post-synaptic trace without it.
        weights: after this step's change.
    """

    x1: IntArray
    y1: IntArray
    weights: IntArray


class PairSynapses:
    """Synapses of 8 bits between pairs of neurons that all spike together.

    Args:
        rule: changes weights at x0 and y0 in every step; its seeds are not used.
        weights: [synapses] integers.
        seed: of all rounding.

    Raises:
        UnsupportedError: the rule has what the emulator has not, or a trace that would change its sign.
        InputError: weights are no integers [synapses].
    """

    def __init__(self, rule: PlasticityRule, weights: npt.ArrayLike, *, seed: int) -> None:
        _check(rule)
        start = np.asarray(weights)
        if start.ndim != 1 or start.dtype.kind not in "iu":
            found = f"{start.dtype} of shape {start.shape}"
            raise InputError.of(Violation(WHERE, "weights", found, "integers [synapses]"))
        self.rule = rule
        self.weights = start.astype(np.int64)
        traces = (*rule.pre_traces, *rule.post_traces)
        kept = [[(1.0 - 1.0 / t.tau) * v if t.tau else 0.0 for v in range(TRACE_MAX + 1)] for t in traces]
        self._floors = np.array([[int(value) for value in row] for row in kept], dtype=np.int64)
        limits = [[ceil((value - int(value)) * (1 << DICE_BITS)) for value in row] for row in kept]
        self._limits = np.array(limits, dtype=np.int64)
        self._impulses = np.array([int(trace.impulse) for trace in traces], dtype=np.int64)[:, np.newaxis]
        self._traces = np.zeros((len(traces), start.size), dtype=np.int64)
        self._dice = np.random.default_rng(seed)

    def step(self, pre: bool, post: bool) -> Seen:
        """One step.

        Args:
            pre: all pre-synaptic neurons spike.
            post: all post-synaptic neurons spiked a step ago.
        """
        every = np.arange(len(self._traces))[:, np.newaxis]
        dice = np.ldexp(self._dice.random(self._traces.shape), DICE_BITS).astype(np.int64)
        rises = dice < self._limits[every, self._traces]
        before = self._traces
        spiked = np.array([[pre]] * 2 + [[post]] * 3)
        self._traces = np.where(spiked, np.minimum(before + self._impulses, TRACE_MAX), before)
        seen = self._traces[0], before[2]
        change = self._change(pre, post)
        away = np.sign(change) * (-(-np.abs(change) // WHOLE))
        self.weights = np.clip(self.weights + away, *RANGES[self.rule.sign])
        self._traces = self._floors[every, self._traces] + rises
        return Seen(*seen, self.weights.copy())

    def _change(self, pre: bool, post: bool) -> IntArray:
        """The sum of products in units of 2**-7."""
        total = np.zeros_like(self.weights)
        homes: dict[str, Any] = dict(zip(("x1", "x2", "y1", "y2", "y3"), self._traces, strict=True))
        homes |= {"x0": int(pre), "y0": int(post), "w": self.weights}
        for product in self.rule.dw:
            part = np.full_like(total, product.mantissa << (product.exponent + FRACTION))
            for factor in product.factors:
                read = homes[factor.variable] + factor.constant
                part = part * (np.sign(read) if factor.sign else read)
            total += part * homes[product.dependency]
        return total


def _check(rule: PlasticityRule) -> None:
    strange = {factor.variable for product in rule.products() for factor in product.factors} & {"t", "d"}
    more = rule.dt or rule.dd or rule.third_factors or rule.period is not None or strange
    if more or rule.t_epoch != 1 or rule.payload != "ignored":
        allowed = "dw alone, of x0, y0, traces and w, with t_epoch 1"
        raise UnsupportedError.of(Violation(WHERE, "rule", "another", allowed))
    for trace in (*rule.pre_traces, *rule.post_traces):
        if 0 < trace.tau < 1:
            raise UnsupportedError.of(Violation(WHERE, "tau", f"{trace.tau:g}", "0, or 1 step and more"))
