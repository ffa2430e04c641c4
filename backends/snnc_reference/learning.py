"""Learning synapses in integers: what Lava's fixed-point LearningDense does, step by step.

The definition of on-chip learning for targets with Loihi's engine; :mod:`snnc_reference.learning_float` is its twin
without rounding. Spikes are counted in the step in which they happen on both sides of the synapse.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, Violation
from snnc.ir import IntArray, PlasticityRule
from snnc_reference.learning_epoch import Epoch, counts, place
from snnc_reference.learning_rounding import TraceDice, accumulated, history, kicked, rounded

TAG_BOUNDS = (-257, 255)
DELAY_BOUNDS = (0, 255)
WEIGHT_BITS = 8


class IntegerLearning:
    """Synapses [post, pre] that learn by a rule.

    Args:
        rule: what happens to them.
        weights: [post, pre] integers; the low bits that the width does not have are cleared, as in Lava.
        weight_bits: width of the weights in the synaptic memory, 1 to 8 (sign included if mixed).

    Attributes:
        weights: [post, pre] after the last step.
        tag_1: [post, pre] the tag t.
        tag_2: [post, pre] the delay variable d.
        x: [2, pre] traces x1, x2; a spike of the running epoch shows at the epoch's end.
        y: [3, post] traces y1, y2, y3.
        steps: how many have run.

    Raises:
        InputError: weights are no integers, or the width does not exist.
    """

    def __init__(self, rule: PlasticityRule, weights: npt.ArrayLike, *, weight_bits: int = WEIGHT_BITS) -> None:
        given = np.asarray(weights)
        if given.ndim != 2 or given.dtype.kind not in "iu":
            found = f"{given.dtype} of shape {given.shape}"
            raise InputError.of(Violation("learning synapses", "weights", found, "integers [post, pre]"))
        if not 1 <= weight_bits <= WEIGHT_BITS:
            raise InputError.of(Violation("learning synapses", "weight bits", str(weight_bits), f"1 to {WEIGHT_BITS}"))
        self.rule = rule
        self.weights = truncated(given.astype(np.int64), rule.sign, weight_bits)
        self.tag_1 = np.zeros_like(self.weights)
        self.tag_2 = np.zeros_like(self.weights)
        post, pre = self.weights.shape
        self.x = np.zeros((2, pre), dtype=np.int64)
        self.y = np.zeros((3, post), dtype=np.int64)
        self.steps = 0
        self._last_pre = np.zeros(pre, dtype=np.int64)
        self._last_post = np.zeros(post, dtype=np.int64)
        self._x_dice = TraceDice(rule.seeds.traces)
        self._y_dice = TraceDice(rule.seeds.traces + 2)
        self._weight_dice = np.random.default_rng(rule.seeds.weights)
        self._weight_dice.random()

    def step(
        self, pre: npt.NDArray[np.integer], post: npt.NDArray[np.integer], third: IntArray | None = None
    ) -> IntArray:
        """One step.

        Args:
            pre: [pre] spikes that arrive, 0 or 1, or the values of graded spikes.
            post: [post] spikes of the neurons behind the synapses in this step.
            third: [3, post] values of y1, y2, y3 if the rule has third factors.

        Returns:
            [post] ``weights @ pre`` with the weights from before this step's learning: what the neurons receive.
        """
        self.steps += 1
        now = place(self.steps, self.rule.t_epoch)
        sent = self.weights @ np.asarray(pre, dtype=np.int64)
        self._arrive(np.asarray(pre, dtype=np.int64), now)
        self._roll()
        again = (np.asarray(post) != 0) & (self._last_post > 0)
        for j, trace in enumerate(self.rule.post_traces if again.any() else ()):
            self.y[j] = np.where(again, kicked(self.y[j], trace.impulse, self._y_dice.impulse), self.y[j])
        self._last_post[np.asarray(post) != 0] = now
        if self.rule.third_factors:
            self.y = self._given(third)
        self._roll()
        if now == self.rule.t_epoch:
            self._learn()
        return sent

    def _roll(self) -> None:
        self._x_dice.roll()
        self._y_dice.roll()

    def _given(self, third: IntArray | None) -> IntArray:
        shape = self.y.shape
        if third is None or third.shape != shape:
            found = "none" if third is None else str(third.shape)
            raise InputError.of(Violation("learning synapses", "shape of third factors", found, f"{shape}"))
        return np.array(third, dtype=np.int64)

    def _arrive(self, pre: IntArray, now: int) -> None:
        """Pre-synaptic spikes: a neuron's second spike in an epoch adds its impulse at once, fractions rounded up."""
        event = pre != 0
        if self.rule.payload == "ignored":
            again = event & (self._last_pre > 0)
            if again.any():
                self.x[0] = np.where(again, kicked(self.x[0], self.rule.x1.impulse, 0), self.x[0])
        else:
            self.x[0], event = loaded(self.x[0], pre, self.rule.payload)
            again = event & (self._last_pre > 0)
        if again.any():
            self.x[1] = np.where(again, kicked(self.x[1], self.rule.x2.impulse, 0), self.x[1])
        self._last_pre[event] = now

    def _learn(self) -> None:
        """The learning phase; all sums read what was there before it."""
        rule, steps = self.rule, self.rule.t_epoch
        dice = float(self._weight_dice.random())
        x = history(self.x, self._last_pre, rule.pre_traces, self._x_dice, steps)
        y = history(self.y, self._last_post, rule.post_traces, self._y_dice, steps)
        before = {"w": self.weights, "t": self.tag_1, "d": self.tag_2}
        counted = counts(self.steps, steps, rule.period)
        epoch = Epoch(self._last_pre.copy(), self._last_post.copy(), x, y, counted, before)
        low, high = rule.bounds
        if rule.dw:
            total = accumulated(self.weights, rule.dw, epoch)
            total = np.maximum(total, 0) if low == 0 else np.minimum(total, 0) if high == 0 else total
            self.weights = np.clip(rounded(total, dice), low, high)
        if rule.dt:
            self.tag_1 = np.clip(rounded(accumulated(self.tag_1, rule.dt, epoch), dice), *TAG_BOUNDS)
        if rule.dd:
            total = np.maximum(accumulated(self.tag_2, rule.dd, epoch), 0)
            self.tag_2 = np.clip(rounded(total, dice), *DELAY_BOUNDS)
        self.x = x[-1].copy()
        if not rule.third_factors:
            self.y = y[-1].copy()
        self._last_pre[:] = 0
        self._last_post[:] = 0


def truncated(weights: IntArray, sign: str, bits: int) -> IntArray:
    """Clears the low bits that ``bits`` (sign included if mixed) do not hold: floor, for inhibitory toward zero.

    Unlike static synapses, learning ones are not clipped at the start (Lava clips them after the first update).
    """
    low = WEIGHT_BITS - bits + (sign == "mixed")
    if sign == "inhibitory":
        return np.asarray(-((-weights >> low) << low), dtype=np.int64)
    return np.asarray((weights >> low) << low, dtype=np.int64)


def loaded(x1: IntArray, values: IntArray, payload: str) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """What graded spikes do to x1, and which of them count as events.

    Half of the value, rounded to even and taken modulo 256, replaces x1 or is added to it modulo 256.
    """
    half = np.rint(values / 2).astype(np.int64) & 255
    if payload == "overwrite":
        return np.where(values != 0, half, x1), values != 0
    total = (x1 + half) & 255
    if payload == "add_saturate":
        return np.minimum(total, 127), values != 0
    passed = total > 127
    return np.where(passed, total - 127, total), passed & (values != 0)
