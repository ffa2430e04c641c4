"""Learning synapses as the brian2-loihi emulator has them: every synapse its own traces and its own dice.

Where it differs from :mod:`snnc_reference.learning`: traces keep ``1 - 1/tau`` per step, the dice of a decay is thrown
before the step's impulse and used after it, changes round away from zero, and every step is an epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.ir import FloatArray, IntArray, PlasticityRule, SynapticTrace

TRACE_MAX = 127
BRIAN_BOUNDS = {"mixed": (-256, 254), "excitatory": (0, 255), "inhibitory": (-256, 0)}


@dataclass(frozen=True)
class Observed:
    """What the emulator's monitors see of one step, each [synapses].

    Attributes:
        x1: first pre-synaptic trace, this step's impulse included.
        y1: first post-synaptic trace, this step's impulse not included.
        weights: after this step's change.
    """

    x1: IntArray
    y1: IntArray
    weights: IntArray


class BrianLearning:
    """Independent synapses between pairs of neurons, 8-bit weights.

    Args:
        rule: its events are x0 and y0, its traces follow spikes, t_epoch is 1; its seeds are not used.
        weights: [synapses].
        seed: of the stochastic rounding; the emulator's own generator is Brian's, so only statistics can agree.

    Raises:
        UnsupportedError: the rule has what the emulator has not.
    """

    def __init__(self, rule: PlasticityRule, weights: npt.ArrayLike, *, seed: int) -> None:
        others = rule.dt or rule.dd or rule.third_factors or rule.payload != "ignored" or rule.period is not None
        if others or rule.t_epoch != 1 or {f.variable for p in rule.products() for f in p.factors} & {"t", "d"}:
            allowed = "dw alone, of x0, y0, traces and w, with t_epoch 1"
            raise UnsupportedError.of(Violation("brian2-loihi learning", "rule", "another", allowed))
        self.rule = rule
        self.weights = np.array(weights, dtype=np.int64)
        if self.weights.ndim != 1:
            raise InputError.of(Violation("brian2-loihi learning", "weights", str(self.weights.shape), "[synapses]"))
        self.x = np.zeros((2, self.weights.size), dtype=np.int64)
        self.y = np.zeros((3, self.weights.size), dtype=np.int64)
        self._dice = np.random.default_rng(seed)

    def step(self, pre: bool, post: bool) -> Observed:
        """One step in which all pre-synaptic neurons spike or none, and all post-synaptic ones spiked a step ago."""
        x_up = rounds_up(self.x, self.rule.pre_traces, self._dice)
        y_up = rounds_up(self.y, self.rule.post_traces, self._dice)
        if pre:
            self.x = kicked(self.x, self.rule.pre_traces)
        seen = self.x[0].copy(), self.y[0].copy()
        if post:
            self.y = kicked(self.y, self.rule.post_traces)
        change = self._change(pre, post)
        whole = np.sign(change) * np.ceil(np.abs(change))
        low, high = BRIAN_BOUNDS[self.rule.sign]
        self.weights = np.clip(self.weights + whole.astype(np.int64), low, high)
        self.x = decayed(self.x, self.rule.pre_traces) + x_up
        self.y = decayed(self.y, self.rule.post_traces) + y_up
        return Observed(*seen, self.weights.copy())

    def _change(self, pre: bool, post: bool) -> FloatArray:
        """The sum of products as a real number, [synapses]: each synapse is a pair of its own."""
        result = np.zeros(self.weights.size)
        for product in self.rule.dw:
            part = np.full(self.weights.size, product.scale * (pre if product.dependency == "x0" else post))
            for factor in product.factors:
                read = self._read(factor.variable, pre, post) + factor.constant
                part *= np.sign(read) if factor.sign else read
            result += part
        return result

    def _read(self, variable: str, pre: bool, post: bool) -> IntArray:
        if variable in ("x0", "y0"):
            return np.full(self.weights.size, pre if variable == "x0" else post, dtype=np.int64)
        if variable == "w":
            return self.weights
        values = self.x if variable[0] == "x" else self.y
        return np.asarray(values[int(variable[1]) - 1], dtype=np.int64)


def kicked(values: IntArray, traces: tuple[SynapticTrace, ...]) -> IntArray:
    """Adds the whole part of each impulse, at most 127 in all."""
    impulses = np.array([[int(trace.impulse)] for trace in traces], dtype=np.int64)
    return np.asarray(np.minimum(values + impulses, TRACE_MAX), dtype=np.int64)


def decayed(values: IntArray, traces: tuple[SynapticTrace, ...]) -> IntArray:
    """``floor(values * (1 - 1/tau))``, [traces, synapses]."""
    return np.asarray(np.floor(values * _keep(traces)), dtype=np.int64)


def rounds_up(values: IntArray, traces: tuple[SynapticTrace, ...], dice: np.random.Generator) -> IntArray:
    """1 with the probability of the fraction that :func:`decayed` drops, [traces, synapses]."""
    kept = values * _keep(traces)
    return np.asarray(kept - np.floor(kept) > dice.random(values.shape), dtype=np.int64)


def _keep(traces: tuple[SynapticTrace, ...]) -> FloatArray:
    return np.array([[1.0 - 1.0 / trace.tau if trace.tau else 0.0] for trace in traces])
