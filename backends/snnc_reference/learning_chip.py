"""Learning synapses in integers as an executor of whole networks needs them: phases, ways to round, state to keep.

What they compute is :class:`snnc_reference.learning.IntegerLearning`; the learning phase only leaves out synapses that
no event of the epoch reaches, which changes nothing as long as the accumulator holds them.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, Violation
from snnc.ir import IntArray, PlasticityRule, Product
from snnc.learning.account import Rounding
from snnc_reference.learning import TAG_BOUNDS, IntegerLearning
from snnc_reference.learning_epoch import Epoch, counts
from snnc_reference.learning_rounding import accumulated, history, rounded

State = dict[str, npt.NDArray[Any]]
FIXED_DICE: dict[Rounding, float] = {"nearest": float(np.nextafter(0.5, 0.0)), "floor": 1.0}
"""Numbers that make of ``floor(z) + (dice < frac(z))`` rounding to nearest (halves up) and floor."""
LEAST_TAG = -256
KEPT = ("weights", "tag_1", "tag_2", "x", "y", "last_pre", "last_post")


class Loaded:
    """A die that always shows the same."""

    def __init__(self, face: float) -> None:
        self.face = face

    def random(self) -> float:
        """The face."""
        return self.face


class ChipLearning(IntegerLearning):
    """Synapses [post, pre] whose rule the host may exchange, with everything that a checkpoint needs.

    Args:
        rule: of the first phase that learns.
        weights: [post, pre] device steps.
        rounding: of weights and tags; chips round stochastically.

    Raises:
        InputError: weights outside the rule's bounds.
    """

    def __init__(self, rule: PlasticityRule, weights: npt.ArrayLike, rounding: Rounding = "stochastic") -> None:
        super().__init__(rule, weights)
        low, high = rule.bounds
        if self.weights.size and not low <= int(self.weights.min()) <= int(self.weights.max()) <= high:
            found = f"{int(self.weights.min())} to {int(self.weights.max())} device steps"
            allowed = f"{low} to {high} ({rule.sign})"
            raise InputError.of(Violation("learning synapses", "weights", found, allowed))
        if rounding != "stochastic":
            self._weight_dice = Loaded(FIXED_DICE[rounding])  # type: ignore[assignment]

    def clear(self) -> None:
        """Traces, tags and the spikes of the running epoch become 0; weights and random numbers stay."""
        for values in (self.x, self.y, self.tag_1, self._last_pre, self._last_post):
            values[:] = 0

    def _learn(self) -> None:
        rule, steps = self.rule, self.rule.t_epoch
        # The accumulator does not hold a tag of -257, so that even a phase without events changes it.
        outside = bool(rule.dt) and bool((self.tag_1 < LEAST_TAG).any())
        if outside or rule.dd or (rule.period is not None and counts(self.steps, steps, rule.period)):
            super()._learn()
            return
        dice = float(self._weight_dice.random())
        x = history(self.x, self._last_pre, rule.pre_traces, self._x_dice, steps)
        y = history(self.y, self._last_post, rule.post_traces, self._y_dice, steps)
        fired = self._last_post > 0
        every = np.arange(self._last_pre.size)
        # The blocks have no row in common, so that the second one reads what was there before the first one wrote.
        self._block(np.flatnonzero(fired), every, x, y, dice)
        self._block(np.flatnonzero(~fired), np.flatnonzero(self._last_pre), x, y, dice)
        self.x = x[-1].copy()
        if not rule.third_factors:
            self.y = y[-1].copy()
        self._last_pre[:] = 0
        self._last_post[:] = 0

    def _block(self, rows: IntArray, columns: IntArray, x: IntArray, y: IntArray, dice: float) -> None:
        """The learning phase of some synapses."""
        if not rows.size or not columns.size:
            return
        part = np.ix_(rows, columns)
        weights, tags = self.weights[part], self.tag_1[part]
        synaptic: dict[str, Any] = {"w": weights, "t": tags, "d": self.tag_2[part]}
        epoch = Epoch(self._last_pre[columns], self._last_post[rows], x[:, :, columns], y[:, :, rows], 0, synaptic)
        low, high = self.rule.bounds
        if self.rule.dw:
            total = self._sum(weights, self.rule.dw, epoch)
            total = np.maximum(total, 0) if low == 0 else np.minimum(total, 0) if high == 0 else total
            self.weights[part] = np.clip(rounded(total, dice), low, high)
        if self.rule.dt:
            self.tag_1[part] = np.clip(rounded(self._sum(tags, self.rule.dt, epoch), dice), *TAG_BOUNDS)

    @staticmethod
    def _sum(value: IntArray, products: tuple[Product, ...], epoch: Epoch) -> IntArray:
        return accumulated(value, tuple(p for p in products if p.dependency != "u"), epoch)

    def state(self) -> State:
        """Everything that the next step depends on, as arrays."""
        found: State = {key: np.array(getattr(self, _home(key))) for key in KEPT}
        found["steps"] = np.array(self.steps)
        dice: dict[str, Any] = {}
        for side, one in (("x", self._x_dice), ("y", self._y_dice)):
            dice[side] = [generator_state(one._decays), generator_state(one._impulses), one.decay, one.impulse]
        if isinstance(self._weight_dice, np.random.Generator):
            dice["weights"] = generator_state(self._weight_dice)
        found["dice"] = np.array(json.dumps(dice, sort_keys=True))
        return found

    def restore(self, state: State) -> None:
        """Goes on from a state of the same synapses."""
        for key in KEPT:
            values = np.array(state[key], dtype=np.int64)
            if values.shape != getattr(self, _home(key)).shape:
                raise InputError(f"the saved {key} have the shape {values.shape}: they belong to another network")
            setattr(self, _home(key), values)
        self.steps = int(state["steps"])
        dice = json.loads(str(state["dice"]))
        for side, one in (("x", self._x_dice), ("y", self._y_dice)):
            one._decays.bit_generator.state, one._impulses.bit_generator.state = dice[side][:2]
            one.decay, one.impulse = dice[side][2:]
        if isinstance(self._weight_dice, np.random.Generator):
            self._weight_dice.bit_generator.state = dice["weights"]


def generator_state(generator: np.random.Generator) -> Any:
    """A generator's state, JSON-ready."""
    return dict(generator.bit_generator.state)


def _home(key: str) -> str:
    return f"_{key}" if key.startswith("last") else key
