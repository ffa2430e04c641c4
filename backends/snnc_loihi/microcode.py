"""The neuron program for Loihi 2: what it keeps per neuron, and one step of it in plain integers.

Loihi 2 runs a short program per neuron instead of a fixed circuit, so a soft reset, another reset value, a refractory
time and decays and thresholds per neuron are the program's to have. The equations are those of
:class:`snnc.ir.nodes.Neuron`; words are as wide as Lava's fixed-point models have them: a 32-bit adder, u and v of 24
bits of which u wraps by one turn and v saturates, decays that lose their fraction towards zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.ir import IntArray

DECAY_BITS = 12
INPUT_SHIFT = 6
TURN = 1 << 24
HALF = TURN >> 1
TOP = HALF - 1
"""Largest magnitude of v."""
REGISTERS = ("keep_u", "keep_v", "threshold", "bias", "v_reset", "v_init")


@dataclass(frozen=True, eq=False)
class Microcode:
    """The program and the constants of a population; every array is [size], in units of u and v.

    Attributes:
        keep_u, keep_v: what u and v keep per step, of 4096.
        threshold, bias: what v is compared with, and what is added to it in each step.
        v_reset: what v becomes under ``value``.
        v_init: v at the start of a sample.
        fires: v > threshold (``gt``) or v >= threshold (``ge``).
        reset_v: ``zero``, ``value``, ``subtract`` (the threshold) or ``none``.
        reset_delay: 0 or 1 steps after the spike.
        reset_u: a spike clears u.
        refractory: steps after a spike in which v is held.
    """

    keep_u: IntArray
    keep_v: IntArray
    threshold: IntArray
    bias: IntArray
    v_reset: IntArray
    v_init: IntArray
    fires: Literal["gt", "ge"]
    reset_v: str
    reset_delay: int
    reset_u: bool
    refractory: int

    def tiled(self, copies: int) -> Microcode:
        """The program of that many populations side by side."""
        registers: dict[str, Any] = {key: np.tile(getattr(self, key), copies) for key in REGISTERS}
        return replace(self, **registers)


@dataclass
class Cells:
    """Registers that change: u, v, whether the neuron fired in the last step, steps that v is still held; [size]."""

    u: IntArray
    v: IntArray
    fired: npt.NDArray[np.bool_]
    wait: IntArray

    @classmethod
    def at_rest(cls, code: Microcode) -> Cells:
        """The start of a sample."""
        size = code.v_init.size
        zeros = np.zeros(size, dtype=np.int64)
        return cls(zeros, code.v_init.astype(np.int64), np.zeros(size, dtype=np.bool_), zeros)


def advance(code: Microcode, cells: Cells, a: IntArray) -> None:
    """One step; ``a`` [size] is the sum of weights that arrived, in weight units of 64.

    ``u = turn(word(kept(u, keep_u) + word(a << 6)))``, ``v = clip(word(kept(v, keep_v) + u + bias))`` unless v is
    held, then comparison and reset (a late reset comes before the comparison, with the last step's spikes).
    """
    u = _turned(_word(_kept(cells.u, code.keep_u) + _word(a.astype(np.int64) << INPUT_SHIFT)))
    free = cells.wait == 0
    moved = np.clip(_word(_kept(cells.v, code.keep_v) + u + code.bias), -TOP, TOP)
    v = np.where(free, moved, cells.v)
    if code.reset_delay:
        v = _after_spike(code, v, cells.fired)
    above = v - code.threshold
    fired = free & (above > 0 if code.fires == "gt" else above >= 0)
    if not code.reset_delay:
        v = _after_spike(code, v, fired)
    cells.u = np.where(fired, 0, u) if code.reset_u else u
    cells.v, cells.fired = v, fired
    cells.wait = np.where(fired, code.refractory, cells.wait - ~free)


def _kept(x: IntArray, of_4096: IntArray) -> IntArray:
    """``x * of_4096 / 4096`` without its fraction: negative numbers are lifted so that the shift's floor is upwards."""
    product = x * of_4096
    return np.asarray((product + ((product < 0) * ((1 << DECAY_BITS) - 1))) >> DECAY_BITS, dtype=np.int64)


def _word(x: IntArray) -> IntArray:
    """What a 32-bit adder leaves of x."""
    return np.asarray((x + (1 << 31)) % (1 << 32) - (1 << 31), dtype=np.int64)


def _turned(u: IntArray) -> IntArray:
    """One turn back into (-2**23, 2**23]; what is further out stays out, as in Lava."""
    return np.asarray(u - TURN * (u > HALF) + TURN * (u <= -HALF), dtype=np.int64)


def _after_spike(code: Microcode, v: IntArray, fired: npt.NDArray[np.bool_]) -> IntArray:
    if code.reset_v == "none":
        return v
    if code.reset_v == "subtract":
        return np.asarray(np.clip(v - code.threshold * fired, -TOP, TOP), dtype=np.int64)
    return np.where(fired, code.v_reset if code.reset_v == "value" else 0, v)
