"""One step under the ``float32`` convention with a split synapse (SpiNNaker2): IEEE single precision throughout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import Fixed, IntArray, Neuron
from snnc.ir.fixed import to_single

Single = npt.NDArray[np.float32]


@dataclass
class SingleState:
    """Currents that this step's update used, membrane after it, and spikes; each [B, *shape]."""

    u_exc: Single
    u_inh: Single
    v: Single
    s: IntArray


def value(param: object) -> Single:
    """A parameter as the core holds it."""
    assert isinstance(param, Fixed)
    return to_single(param)


def start(node: Neuron, batch: int) -> SingleState:
    """The state before the first step: no current, v_init."""
    zeros = np.zeros((batch, *node.shape), dtype=np.float32)
    return SingleState(zeros, zeros, zeros + value(node.v_init), np.zeros((batch, *node.shape), dtype=np.int64))


def step(node: Neuron, state: SingleState, x: npt.NDArray[Any]) -> SingleState:
    """One step; x is the pair of sums of weights [2, B, *shape], whole numbers.

    ``exc = decay_u*exc + x; v = (decay_v*v + (exc - inh)) + bias; s = v >= threshold``, then ``v - threshold``, zero or
    ``v_reset``; each operation rounds to float32.
    """
    kept = value(node.decay_u)
    exc = np.add(np.multiply(kept, state.u_exc), x[0].astype(np.float32))
    inh = np.add(np.multiply(kept, state.u_inh), x[1].astype(np.float32))
    moved = np.add(np.multiply(value(node.decay_v), state.v), np.subtract(exc, inh))
    moved = np.add(moved, value(node.bias))
    threshold = value(node.threshold)
    fired = moved > threshold if node.fires == "gt" else moved >= threshold
    v = np.where(fired, _reset(node, moved, threshold), moved)
    return SingleState(exc, inh, v, fired.astype(np.int64))


def _reset(node: Neuron, v: Single, threshold: Single) -> Single:
    if node.reset_v == "subtract":
        return np.subtract(v, threshold)
    if node.reset_v == "none":
        return v
    to = value(node.v_reset) if node.reset_v == "value" else np.zeros((), dtype=np.float32)
    return np.broadcast_to(to, v.shape)
