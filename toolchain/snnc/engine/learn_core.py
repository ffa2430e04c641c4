"""Synapses that learn by a rule of Loihi's engine, bit for bit as Lava's fixed-point LearningDense does it.

Written apart from the reference (:mod:`snnc_reference.learning`), and tested against it and against Lava's recordings.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import learn_numpy, library
from snnc.engine.learn_check import agrees, blank
from snnc.engine.learn_dice import Dice
from snnc.engine.learn_native import Native
from snnc.engine.learn_numpy import Memory, Now
from snnc.engine.learn_tables import DELAYS, LEAST, MOST, TAGS, Recipe, recipe, stored
from snnc.errors import InputError, Violation
from snnc.ir import IntArray, PlasticityRule
from snnc.learning.account import Rounding

Array = npt.NDArray[Any]
State = dict[str, Array]
WIDTH = 8
UNSEEN = (0, 0, 0, 0)
"""Faces of a step in which no epoch ends."""
SIXTEEN = (-(1 << 15), (1 << 15) - 1)


class RuleSynapses:
    """Synapses [post, pre] of one projection.

    Args:
        rule: by which they learn.
        weights: [post, pre] integers; low bits that the width has not are cleared.
        weight_bits: width in the synaptic memory, 1 to 8, the sign of mixed weights included.
        rounding: of weights and tags; chips round stochastically.
        variant: build of the kernels; None takes the best one, ``none`` NumPy, which also stands in where
            there are no kernels or they disagree with it.

    Attributes:
        steps: how many have run.

    Raises:
        InputError: weights are no integers of 16 bits, or the width does not exist.
        ConfigError: there is no such build of the kernels.
    """

    def __init__(
        self,
        rule: PlasticityRule,
        weights: npt.ArrayLike,
        *,
        weight_bits: int = WIDTH,
        rounding: Rounding = "stochastic",
        variant: str | None = None,
    ) -> None:
        start = _checked(weights, weight_bits)
        self.steps = 0
        self.shape: tuple[int, int] = start.shape
        self.dice = Dice(rule.seeds, rounding)
        self.recipe: Recipe = recipe(rule)
        self.memory: Memory = blank(stored(start, rule.sign, weight_bits).T)
        self._native = _native(variant, self.memory, rule.t_epoch)

    @property
    def rule(self) -> PlasticityRule:
        """The rule of now."""
        return self.recipe.rule

    def take(self, made: Recipe) -> None:
        """Goes on by another rule of the same epoch.

        Raises:
            InputError: its epoch is another one.
        """
        if made.rule.t_epoch != self.rule.t_epoch:
            found, allowed = str(made.rule.t_epoch), f"{self.rule.t_epoch}, as in the phase before"
            raise InputError.of(Violation("learning synapses", "t_epoch", found, allowed))
        if made is not self.recipe:
            self.recipe, self.memory.wide = made, True

    @property
    def weights(self) -> IntArray:
        """[post, pre], a copy."""
        return _turned(self.memory.w)

    @weights.setter
    def weights(self, values: IntArray) -> None:
        self.memory.w[:] = _fitting("weights", values, self.shape, SIXTEEN).T
        self.memory.wide = True

    @property
    def tag_1(self) -> IntArray:
        """[post, pre], the tag t, a copy."""
        return _turned(self.memory.t)

    @property
    def tag_2(self) -> IntArray:
        """[post, pre], the delay variable d, a copy."""
        return _turned(self.memory.d)

    @property
    def x(self) -> IntArray:
        """[2, pre] traces x1, x2; the last spike of each neuron in the running epoch is not in them yet."""
        return self.memory.x.astype(np.int64)

    @property
    def y(self) -> IntArray:
        """[3, post] traces y1, y2, y3."""
        return self.memory.y.astype(np.int64)

    def send(self, pre: Array) -> IntArray:
        """``weights @ pre``, int64 [post]; nothing learns."""
        given = _spikes("pre", pre, self.shape[1])
        return learn_numpy.send(self.memory, given) if self._native is None else self._native.send(given)

    def step(self, pre: Array, post: Array, third: Array | None = None) -> IntArray:
        """One step.

        Args:
            pre: [pre] spikes, or the values of graded ones.
            post: [post] spikes of the neurons behind, in the same step.
            third: [3, post] values -128 to 255 of y1, y2 and y3 for rules with third factors.

        Returns:
            int64 [post], ``weights @ pre`` by the weights before this step.

        Raises:
            InputError: an array has the wrong shape or no integers.
        """
        sent_by, heard_by = _spikes("pre", pre, self.shape[1]), _spikes("post", post, self.shape[0])
        made = self.recipe
        if made.rule.third_factors:
            given = _fitting("third factors", third, self.memory.y.shape, (LEAST, MOST))
            self.memory.y[:] = given
        now = self._next()
        if self._native is not None:
            return self._native.step(made, now, sent_by, heard_by)
        return learn_numpy.step(self.memory, made, now, sent_by, heard_by)

    def _next(self) -> Now:
        """The next step: its place in the epoch, and its random numbers."""
        made = self.recipe
        self.steps += 1
        self.dice.roll()
        place = (self.steps - 1) % made.rule.t_epoch + 1
        if place < made.rule.t_epoch:
            return Now(place, self.dice.early, False)
        faces, threshold = self.dice.faces, self.dice.threshold()
        return Now(place, self.dice.early, True, faces, threshold, made.counts(self.steps))

    def rolled(self, steps: int) -> array[int]:
        """The next steps as a table that the kernels read, from ``place`` to the faces; they count as run.

        Args:
            steps: how many; whoever asks has the kernels execute them.
        """
        rows: array[int] = array("q")
        for _ in range(steps):
            now = self._next()
            rows.extend((now.place, now.early, now.ends, 0, now.counted, now.threshold, *(now.faces or UNSEEN)))
        return rows

    @property
    def native(self) -> Native | None:
        """The kernels that execute the steps, if there are any."""
        return self._native

    def clear(self) -> None:
        """Traces, tags and the spikes of the running epoch become 0; weights and random numbers stay."""
        memory = self.memory
        for values in (memory.x, memory.y, memory.t, memory.last_pre, memory.last_post):
            values[:] = 0

    def state(self) -> State:
        """Everything that the next step depends on, as int64 arrays [post, pre] and text; the reference's layout."""
        memory = self.memory
        found: State = {"weights": self.weights, "tag_1": self.tag_1, "tag_2": self.tag_2, "x": self.x, "y": self.y}
        found |= {"last_pre": memory.last_pre.astype(np.int64), "last_post": memory.last_post.astype(np.int64)}
        return found | {"steps": np.array(self.steps), "dice": np.array(self.dice.state())}

    def restore(self, state: State) -> None:
        """Goes on from a state of the same synapses, whoever saved it.

        Raises:
            InputError: its shapes or numbers cannot be those of these synapses.
        """
        memory, epoch = self.memory, (0, self.rule.t_epoch)
        places = {
            "weights": (memory.w, SIXTEEN), "tag_1": (memory.t, TAGS), "tag_2": (memory.d, DELAYS),
            "x": (memory.x, (0, MOST)), "y": (memory.y, (LEAST, MOST)),
            "last_pre": (memory.last_pre, epoch), "last_post": (memory.last_post, epoch),
        }  # fmt: skip
        read = {key: _fitting(f"saved {key}", state[key], _outside(key, home), low_high)
                for key, (home, low_high) in places.items()}  # fmt: skip
        steps = int(state["steps"])
        if steps < 0:
            raise InputError(f"the saved state has run {steps} steps")
        self.dice.restore(str(state["dice"]))
        for key, (home, _) in places.items():
            home[:] = read[key].T if key in ("weights", "tag_1", "tag_2") else read[key]
        self.steps, memory.wide = steps, True


def _native(variant: str | None, memory: Memory, epoch: int) -> Native | None:
    found = None if variant == "none" else library.kernels()
    if found is None:
        return None
    number = found.number(variant)
    return Native(found, number, memory, epoch) if agrees(found, number) else None


def _outside(key: str, home: Array) -> tuple[int, ...]:
    return home.shape[::-1] if key in ("weights", "tag_1", "tag_2") else home.shape


def _turned(values: Array) -> IntArray:
    return np.ascontiguousarray(values.T, dtype=np.int64)


def _checked(weights: npt.ArrayLike, bits: int) -> Array:
    given = np.asarray(weights)
    if given.ndim != 2 or given.dtype.kind not in "iu":
        found = f"{given.dtype} of shape {given.shape}"
        raise InputError.of(Violation("learning synapses", "weights", found, "integers [post, pre]"))
    if not 1 <= bits <= WIDTH:
        raise InputError.of(Violation("learning synapses", "weight bits", str(bits), f"1 to {WIDTH}"))
    return _fitting("weights", given, given.shape, SIXTEEN).astype(np.int64)


def _fitting(name: str, values: Array | None, shape: tuple[int, ...], bounds: tuple[int, int]) -> Array:
    """Integers of a shape inside bounds.

    Raises:
        InputError: they are none.
    """
    low, high = bounds
    if values is None or values.shape != shape or values.dtype.kind not in "iub":
        found = "none" if values is None else f"{values.dtype} of shape {values.shape}"
        raise InputError.of(Violation("learning synapses", name, found, f"integers of shape {shape}"))
    if values.size and not low <= int(values.min()) <= int(values.max()) <= high:
        found = f"{int(values.min())} to {int(values.max())}"
        raise InputError.of(Violation("learning synapses", name, found, f"{low} to {high}"))
    return values


def _spikes(side: str, values: Array, n: int) -> Array:
    found = np.asarray(values)
    if found.shape != (n,) or found.dtype.kind not in "iub":
        what = f"{found.dtype} of shape {found.shape}"
        raise InputError.of(Violation("learning synapses", f"{side} spikes", what, f"integers of shape ({n},)"))
    return found
