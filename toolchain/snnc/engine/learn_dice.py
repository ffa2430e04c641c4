"""The random numbers of the learning engine: five streams, drawn ahead in blocks, as integers.

Each side of the synapses has one number for decays (a fraction, in units of 2**-53) and one for impulses (0 to 127);
both are drawn once at the start and twice in every step, used or not. A block drawn at once holds the same numbers as
single draws.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from snnc.engine.learn_tables import DICE_BITS, FRACTION
from snnc.errors import InputError
from snnc.ir import RoundingSeeds
from snnc.learning.account import Rounding

STREAMS = 4
"""Decays and impulses of x, decays and impulses of y."""
FACES = 128
STEPS = 128
"""Steps in a block."""
UNIT = float(1 << DICE_BITS)
NEVER, HALF = FACES - 1, FACES // 2 - 1


class Dice:
    """All random numbers of some synapses.

    Args:
        seeds: of the streams.
        rounding: of weights and tags.
    """

    def __init__(self, seeds: RoundingSeeds, rounding: Rounding = "stochastic") -> None:
        self._traces = [np.random.default_rng(seeds.traces + k) for k in range(STREAMS)]
        self._shown = [_drawn(generator, k, 1)[0] for k, generator in enumerate(self._traces)]
        self._weights = np.random.default_rng(seeds.weights)
        self._weights.random()
        self._rounding = rounding
        self._block: list[list[int]] = []
        self._starts: list[Any] = []
        self._at = STEPS - 1

    def roll(self) -> None:
        """The two draws of a step."""
        self._at += 1
        if self._at == STEPS:
            self._starts = [dict(generator.bit_generator.state) for generator in self._traces]
            self._block = [_drawn(generator, k, 2 * STEPS) for k, generator in enumerate(self._traces)]
            self._at = 0

    @property
    def early(self) -> int:
        """The number for impulses of y after the first draw of the step."""
        return self._block[3][2 * self._at]

    @property
    def faces(self) -> list[int]:
        """The numbers of the four streams after the second draw of the step."""
        at = 2 * self._at + 1
        return [numbers[at] for numbers in self._block] if self._block else self._shown

    def threshold(self) -> int:
        """The number of a learning phase: what is rounded rises if its fraction in units of 2**-7 is above it."""
        if self._rounding == "stochastic":
            return int(self._weights.random() * (1 << FRACTION))
        return HALF if self._rounding == "nearest" else NEVER

    def state(self) -> str:
        """All streams, as JSON."""
        found: dict[str, Any] = {}
        shown = self.faces
        for side, k in (("x", 0), ("y", 2)):
            found[side] = [self._state(k), self._state(k + 1), shown[k] / UNIT, shown[k + 1]]
        if self._rounding == "stochastic":
            found["weights"] = dict(self._weights.bit_generator.state)
        return json.dumps(found, sort_keys=True)

    def _state(self, k: int) -> Any:
        if not self._block:
            return dict(self._traces[k].bit_generator.state)
        again = np.random.default_rng(0)
        again.bit_generator.state = self._starts[k]
        _drawn(again, k, 2 * (self._at + 1))
        return dict(again.bit_generator.state)

    def restore(self, text: str) -> None:
        """Goes on from a state.

        Raises:
            InputError: its numbers were not drawn.
        """
        saved = json.loads(text)
        shown = []
        for side in ("x", "y"):
            decay, impulse = float(saved[side][2]) * UNIT, saved[side][3]
            if not (0 <= decay < UNIT and decay.is_integer() and impulse in range(FACES)):
                found = f"{saved[side][2]!r} and {impulse!r}"
                raise InputError(f"the saved dice of {side} show {found}: no generator draws them")
            shown += [int(decay), int(impulse)]
        for k, side in enumerate("xxyy"):
            self._traces[k].bit_generator.state = saved[side][k % 2]
        if self._rounding == "stochastic":
            self._weights.bit_generator.state = saved["weights"]
        self._shown, self._block, self._at = shown, [], STEPS - 1


def _drawn(generator: np.random.Generator, stream: int, count: int) -> list[int]:
    if stream % 2:
        return [int(face) for face in generator.integers(0, FACES, size=count, dtype=np.int64).tolist()]
    return [int(face) for face in np.ldexp(generator.random(count), DICE_BITS).astype(np.int64).tolist()]
