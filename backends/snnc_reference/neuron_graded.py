"""One integer step of populations that send numbers: Sigma, Delta and SigmaDelta, as in lava-nc 0.10.0."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnc.ir import Conventions, Delta, IntArray, Sigma, SigmaDelta
from snnc.ir.fixed import wrap
from snnc_reference.neuron_euler import aligned


@dataclass
class GradedState:
    """Sum, activation, what was not sent, accumulated error and last message, each [B, *shape], int64."""

    sigma: IntArray
    act: IntArray
    residue: IntArray
    error: IntArray
    s: IntArray


def start(node: Sigma | Delta, batch: int) -> GradedState:
    """The state before the first step: zero."""
    zeros = np.zeros((batch, *node.shape), dtype=np.int64)
    return GradedState(zeros, zeros, zeros, zeros, zeros)


def step(node: Sigma | Delta, conventions: Conventions, state: GradedState, x: IntArray) -> GradedState:
    """One step; x is the summed input in state units [B, *shape]. Sums wrap in registers."""
    c = conventions
    x = wrap(x, c.register_bits)
    if isinstance(node, Delta) and not isinstance(node, SigmaDelta):
        return _delta(node, c, state, x)
    sigma = wrap(state.sigma + x, c.register_bits)
    if isinstance(node, Sigma):
        return replace(state, sigma=sigma, s=sigma)
    act = wrap(sigma + aligned(node.bias, c.state_frac), c.register_bits)
    act = np.maximum(act, 0) if node.activation == "relu" else act
    return _delta(node, c, replace(state, sigma=sigma), act)


def _delta(node: Delta, c: Conventions, state: GradedState, act: IntArray) -> GradedState:
    """Sends the change whole or not at all; the residue knows nothing of the bits that the shift cuts off."""
    change = wrap(act - state.act + state.residue, c.register_bits)
    error = wrap(state.error + change, c.register_bits) if node.cum_error else state.error
    judged = np.abs(error if node.cum_error else change)
    message = np.where(judged >= aligned(node.threshold, c.state_frac), change, 0)
    error = np.where(message != 0, 0, error) if node.cum_error else error
    return GradedState(state.sigma, act, change - message, error, message >> node.shift)
