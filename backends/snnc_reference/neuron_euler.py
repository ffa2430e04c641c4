"""One integer step of a neuron population under the ``euler`` convention (generic target, Loihi)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import Conventions, Fixed, IntArray, Neuron
from snnc.ir.fixed import overflowed, shift_right, wrap


@dataclass
class IntState:
    """u, v, last spikes and remaining refractory steps, each [B, *shape], int64."""

    u: IntArray
    v: IntArray
    s: IntArray
    hold: IntArray


def aligned(value: object, frac: int) -> IntArray:
    """A parameter in state units."""
    assert isinstance(value, Fixed)
    return value.aligned(frac)


def decayed(state: IntArray, decay: object, c: Conventions) -> IntArray:
    """What is left of a state: the product loses its low bits as the conventions say."""
    assert isinstance(decay, Fixed)
    return shift_right(state * decay.raw, decay.format.frac, c.decay_rounding)


def current(c: Conventions, kept: IntArray, x: IntArray) -> IntArray:
    """Current of a step from what is left of the last one and the sum of weights, which has a register of its own."""
    x = overflowed(x, c.accumulator_bits, c.accumulator_overflow)
    return overflowed(wrap(kept + x, c.register_bits), c.state_bits, c.current_overflow)


def membrane(c: Conventions, kept: IntArray, u: IntArray, bias: IntArray) -> IntArray:
    """Membrane of a step before any reset; the limits of the membrane act last."""
    if c.drive_overflow is None:
        v = wrap(kept + u + bias, c.register_bits)
    else:
        v = wrap(kept + overflowed(u + bias, c.state_bits, c.drive_overflow), c.register_bits)
    return limited(c, overflowed(v, c.state_bits, c.membrane_overflow))


def limited(c: Conventions, v: IntArray) -> IntArray:
    """Membrane between the limits that the conventions set, if any."""
    if c.membrane_minimum is not None:
        v = np.maximum(v, c.membrane_minimum)
    return v if c.membrane_maximum is None else np.minimum(v, c.membrane_maximum)


def start(node: Neuron, conventions: Conventions, batch: int) -> IntState:
    """The state before the first step."""
    zeros = np.zeros((batch, *node.shape), dtype=np.int64)
    return IntState(zeros, zeros + aligned(node.v_init, conventions.state_frac), zeros, zeros)


def step(node: Neuron, conventions: Conventions, state: IntState, x: IntArray, drive: IntArray | int = 0) -> IntState:
    """One step; x is the summed input in state units [B, *shape], ``drive`` is added with the bias.

    ``u = ovf(round(u*decay_u) + wrap(x)); v = ovf(round(v*decay_v) + u + bias); s = v > threshold``; additions
    happen in registers that wrap before the overflow policy acts (32 bits in Lava PyLifModelBitAcc).
    """
    c = conventions
    u = current(c, decayed(state.u, node.decay_u, c), x)
    v = membrane(c, decayed(state.v, node.decay_v, c), u, aligned(node.bias, c.state_frac) + drive)
    held = state.hold > 0
    v = np.where(held, state.v, v)
    if node.reset_delay:
        v = _reset(node, c, v, state.s)
    s = np.where(held, 0, fired(node, c, v))
    if not node.reset_delay:
        v = _reset(node, c, v, s)
    if node.reset_u:
        u = np.where(s != 0, 0, u)
    hold = np.where(s != 0, node.refractory, np.maximum(state.hold - 1, 0))
    return IntState(u, v, s, hold)


def thresholds(node: Neuron, c: Conventions) -> tuple[IntArray, IntArray]:
    """The upper and the lower threshold in state units."""
    high = aligned(node.threshold, c.state_frac)
    return high, -high if node.threshold_low is None else aligned(node.threshold_low, c.state_frac)


def fired(node: Neuron, c: Conventions, v: IntArray) -> IntArray:
    """1 beyond the threshold, -1 beyond the lower one of a ternary output, else 0."""
    high, low = thresholds(node, c)
    up = v > high if node.fires == "gt" else v >= high
    if node.output != "ternary":
        return up.astype(np.int64)
    down = v < low if node.fires == "gt" else v <= low
    return up.astype(np.int64) - down.astype(np.int64)


def _reset(node: Neuron, c: Conventions, v: IntArray, s: IntArray) -> IntArray:
    if node.reset_v == "subtract":
        high, low = thresholds(node, c)
        amount = np.where(s > 0, high, np.where(s < 0, low, 0))
        return limited(c, overflowed(v - amount, c.state_bits, c.membrane_overflow))
    if node.reset_v == "none":
        return v
    to = aligned(node.v_reset, c.state_frac) if node.reset_v == "value" else np.int64(0)
    return np.asarray(np.where(s != 0, to, v), dtype=np.int64)
