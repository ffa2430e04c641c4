"""Learning synapses in float64: the rule as written, without rounding, saturation or hidden shifts.

The twin of :mod:`snnc_reference.learning`. Products of two traces are 8 times larger here, because the chip shifts them
down (:attr:`snnc.ir.Product.shift`); weights have no bounds but their sign.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.ir import FloatArray, IntArray, PlasticityRule, Product, SynapticTrace
from snnc_reference.learning_epoch import Epoch, counts, place


class FloatLearning:
    """Synapses [post, pre] that learn by a rule, in float64.

    Args:
        rule: what happens to them; traces follow spikes, not payloads or third factors.
        weights: [post, pre].

    Attributes:
        weights: [post, pre] after the last step.
        tag_1: [post, pre] the tag t.
        tag_2: [post, pre] the delay variable d.
        x: [2, pre] traces x1, x2 at the last epoch's end.
        y: [3, post] traces y1, y2, y3.
        steps: how many have run.

    Raises:
        UnsupportedError: the rule reads payloads or third factors.
        InputError: weights are no matrix of finite numbers.
    """

    def __init__(self, rule: PlasticityRule, weights: npt.ArrayLike) -> None:
        if rule.payload != "ignored" or rule.third_factors:
            found, fix = "payloads or third factors", "Run the rule in integers"
            raise UnsupportedError.of(Violation("float learning", "traces", found, "traces of spikes", fix))
        self.rule = rule
        self.weights = np.array(weights, dtype=np.float64)
        if self.weights.ndim != 2 or not np.all(np.isfinite(self.weights)):
            found = f"shape {self.weights.shape}, or NaN or infinity"
            raise InputError.of(Violation("float learning", "weights", found, "finite numbers [post, pre]"))
        self.tag_1 = np.zeros_like(self.weights)
        self.tag_2 = np.zeros_like(self.weights)
        post, pre = self.weights.shape
        self.x = np.zeros((2, pre))
        self.y = np.zeros((3, post))
        self.steps = 0
        self._last_pre = np.zeros(pre, dtype=np.int64)
        self._last_post = np.zeros(post, dtype=np.int64)

    def step(self, pre: npt.NDArray[np.integer], post: npt.NDArray[np.integer]) -> FloatArray:
        """One step; arguments and result as in :meth:`snnc_reference.learning.IntegerLearning.step`."""
        self.steps += 1
        now = place(self.steps, self.rule.t_epoch)
        sent = self.weights @ np.asarray(pre, dtype=np.float64)
        self.x = self._arrived(self.x, self._last_pre, self.rule.pre_traces, np.asarray(pre) != 0, now)
        self.y = self._arrived(self.y, self._last_post, self.rule.post_traces, np.asarray(post) != 0, now)
        if now == self.rule.t_epoch:
            self._learn()
        return sent

    def _arrived(
        self,
        values: FloatArray,
        last: IntArray,
        traces: Sequence[SynapticTrace],
        event: npt.NDArray[np.bool_],
        now: int,
    ) -> FloatArray:
        """Adds the impulse of a second spike in an epoch at once and notes the time of the last."""
        impulses = np.array([[trace.impulse] for trace in traces])
        moved = values + impulses * (event & (last > 0))
        last[event] = now
        return np.asarray(moved, dtype=np.float64)

    def _learn(self) -> None:
        rule, steps = self.rule, self.rule.t_epoch
        x = history(self.x, self._last_pre, rule.pre_traces, steps)
        y = history(self.y, self._last_post, rule.post_traces, steps)
        before = {"w": self.weights, "t": self.tag_1, "d": self.tag_2}
        counted = counts(self.steps, steps, rule.period)
        epoch = Epoch(self._last_pre.copy(), self._last_post.copy(), x, y, counted, before)
        self.weights = before["w"] + total(rule.dw, epoch)
        self.tag_1 = before["t"] + total(rule.dt, epoch)
        self.tag_2 = np.maximum(before["d"] + total(rule.dd, epoch), 0.0)
        if rule.sign == "excitatory":
            self.weights = np.maximum(self.weights, 0.0)
        elif rule.sign == "inhibitory":
            self.weights = np.minimum(self.weights, 0.0)
        self.x, self.y = x[-1].copy(), y[-1].copy()
        self._last_pre[:] = 0
        self._last_post[:] = 0


def history(start: FloatArray, last: IntArray, traces: Sequence[SynapticTrace], steps: int) -> FloatArray:
    """Values of one side's traces through an epoch, [steps + 1, traces, n]; row k is the end of step k."""
    keep = np.array([[trace.decay] for trace in traces])
    impulses = np.array([[trace.impulse] for trace in traces])
    rows = [start]
    for k in range(1, steps + 1):
        rows.append(rows[-1] * keep + impulses * (last == k))
    return np.stack(rows)


def total(products: Sequence[Product], epoch: Epoch) -> FloatArray:
    """``sum of scale * event * factors``, [post, pre]."""
    result = np.zeros_like(epoch.synaptic["w"])
    for product in products:
        part = product.scale * epoch.event(product.dependency)
        for factor in product.factors:
            read = epoch.read(factor.variable, product.dependency) + factor.constant
            part = part * (np.sign(read) if factor.sign else read)
        result = result + part
    return np.asarray(result, dtype=np.float64)
