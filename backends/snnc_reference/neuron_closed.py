"""One integer step under the ``closed_form`` convention with a split synapse (SpiNNaker 1, sPyNNaker 7.4.1).

Written from specs section 1.5: two non-negative currents, s16.15 states in 32-bit registers that wrap, floor
everywhere, the closed-form solution of the membrane equation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import Conventions, Fixed, IntArray, Neuron
from snnc.ir.fixed import wrap


@dataclass
class SplitState:
    """Currents after this step's input, membrane, last spikes, refractory timer; each [B, *shape], int64."""

    u_exc: IntArray
    u_inh: IntArray
    v: IntArray
    s: IntArray
    hold: IntArray
    used_exc: IntArray
    used_inh: IntArray


def _fixed(value: object) -> Fixed:
    assert isinstance(value, Fixed)
    return value


def start(node: Neuron, conventions: Conventions, batch: int) -> SplitState:
    """The state before the first step: no current, v_init."""
    zeros = np.zeros((batch, *node.shape), dtype=np.int64)
    v = zeros + _fixed(node.v_init).aligned(conventions.state_frac)
    return SplitState(zeros, zeros, v, zeros, zeros, zeros, zeros)


def step(node: Neuron, conventions: Conventions, state: SplitState, x: IntArray, shift: int) -> SplitState:
    """One step.

    Args:
        node: the population; gain is R, decay_v is e, gain_u scales input, bias is I_offset.
        conventions: widths.
        state: before the step; its currents are already decayed.
        x: raw ring-buffer sums [2, B, *shape], excitatory and inhibitory magnitude.
        shift: left shift from a ring unit to a state unit.
    """
    bits, frac = conventions.state_bits, conventions.state_frac
    top = (1 << conventions.accumulator_bits) - 1
    ring = wrap(np.minimum(x, top) << shift, bits)
    scale, keep = _fixed(node.gain_u), _fixed(node.decay_u)
    exc = wrap(state.u_exc + ((ring[0] * scale.raw) >> scale.format.frac), bits)
    inh = wrap(state.u_inh + ((ring[1] * scale.raw) >> scale.format.frac), bits)

    current = wrap(exc - inh + _fixed(node.bias).aligned(frac), bits)
    steady = wrap(((current * _fixed(node.gain).aligned(frac)) >> frac) + _fixed(node.v_rest).aligned(frac), bits)
    decay = _fixed(node.decay_v).aligned(frac)
    moved = wrap(steady - ((decay * wrap(steady - state.v, bits)) >> frac), bits)
    held = state.hold > 0
    v = np.where(held, state.v, moved)
    threshold = _fixed(node.threshold).aligned(frac)
    s = (v > threshold if node.fires == "gt" else v >= threshold).astype(np.int64)
    v = np.where(s == 1, _fixed(node.v_reset).aligned(frac), v)
    hold = np.where(s == 1, node.refractory, np.where(held, state.hold - 1, state.hold))
    after_exc = wrap((exc * keep.raw) >> keep.format.frac, bits)
    after_inh = wrap((inh * keep.raw) >> keep.format.frac, bits)
    return SplitState(after_exc, after_inh, v, s, hold, exc, inh)
