"""One integer step of a population with adaptive threshold: the equation in snnc.ir.populations.Atrlif, line by line.

Written from Lava's PyATRLIFModelFixed: every decay rounds as the conventions say, theta decays towards where it
started, and neither theta nor r is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import Atrlif, Conventions, IntArray
from snnc.ir.fixed import wrap
from snnc_reference.neuron_euler import aligned, current, decayed, membrane


@dataclass
class AdaptiveState:
    """u, v, threshold, refractory trace and last spikes, each [B, *shape], int64."""

    u: IntArray
    v: IntArray
    theta: IntArray
    r: IntArray
    s: IntArray


def start(node: Atrlif, conventions: Conventions, batch: int) -> AdaptiveState:
    """The state before the first step: the threshold stands where it returns to."""
    zeros = np.zeros((batch, *node.shape), dtype=np.int64)
    return AdaptiveState(zeros, zeros, zeros + aligned(node.threshold, conventions.state_frac), zeros, zeros)


def step(
    node: Atrlif, conventions: Conventions, state: AdaptiveState, x: IntArray, drive: IntArray | int = 0
) -> AdaptiveState:
    """One step; x is the summed input in state units [B, *shape], ``drive`` is added with the bias."""
    c, bits = conventions, conventions.register_bits
    rest = aligned(node.threshold, c.state_frac)
    u = current(c, decayed(state.u, node.decay_u, c), x)
    v = membrane(c, decayed(state.v, node.decay_v, c), u, aligned(node.bias, c.state_frac) + drive)
    theta = wrap(decayed(wrap(state.theta - rest, bits), node.decay_threshold, c) + rest, bits)
    r = decayed(state.r, node.decay_refractory, c)
    s = (wrap(v - r, bits) >= theta).astype(np.int64)
    up = aligned(node.threshold_step, c.state_frac)
    return AdaptiveState(u, v, wrap(theta + up * s, bits), wrap(r + 2 * theta * s, bits), s)
