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


def _raw(value: object, frac: int) -> IntArray:
    assert isinstance(value, Fixed)
    return value.aligned(frac)


def _fixed(value: object) -> Fixed:
    assert isinstance(value, Fixed)
    return value


def start(node: Neuron, conventions: Conventions, batch: int) -> IntState:
    """The state before the first step."""
    zeros = np.zeros((batch, *node.shape), dtype=np.int64)
    return IntState(zeros, zeros + _raw(node.v_init, conventions.state_frac), zeros, zeros)


def step(node: Neuron, conventions: Conventions, state: IntState, x: IntArray) -> IntState:
    """One step; x is the summed input in state units [B, *shape].

    ``u = ovf(round(u*decay_u) + wrap(x)); v = ovf(round(v*decay_v) + u + bias); s = v > threshold``; additions
    happen in registers that wrap before the overflow policy acts (32 bits in Lava PyLifModelBitAcc).
    """
    c = conventions
    frac = c.state_frac
    decay_u, decay_v = _fixed(node.decay_u), _fixed(node.decay_v)
    x = overflowed(x, c.accumulator_bits, c.accumulator_overflow)
    u = shift_right(state.u * decay_u.raw, decay_u.format.frac, c.decay_rounding)
    u = overflowed(wrap(u + x, c.register_bits), c.state_bits, c.current_overflow)
    v = shift_right(state.v * decay_v.raw, decay_v.format.frac, c.decay_rounding)
    v = overflowed(wrap(v + u + _raw(node.bias, frac), c.register_bits), c.state_bits, c.membrane_overflow)
    held = state.hold > 0
    v = np.where(held, state.v, v)
    threshold = _raw(node.threshold, frac)
    if node.reset_delay:
        v = _reset(node, c, v, threshold, state.s)
    s = ((v > threshold if node.fires == "gt" else v >= threshold) & ~held).astype(np.int64)
    if not node.reset_delay:
        v = _reset(node, c, v, threshold, s)
    if node.reset_u:
        u = np.where(s == 1, 0, u)
    hold = np.where(s == 1, node.refractory, np.maximum(state.hold - 1, 0))
    return IntState(u, v, s, hold)


def _reset(node: Neuron, c: Conventions, v: IntArray, threshold: IntArray, s: IntArray) -> IntArray:
    if node.reset_v == "subtract":
        return overflowed(v - threshold * s, c.state_bits, c.membrane_overflow)
    if node.reset_v == "none":
        return v
    to = _raw(node.v_reset, c.state_frac) if node.reset_v == "value" else np.int64(0)
    return np.asarray(np.where(s == 1, to, v), dtype=np.int64)
