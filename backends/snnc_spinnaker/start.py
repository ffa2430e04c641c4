"""Start values: populations run freely from device step 0, but their first logical step comes ``latency`` steps later.

Until then nothing arrives, and the membrane moves from its start value towards rest (or towards what a constant offset
drives it to). The start word is chosen so that the membrane is exactly at the wanted value when the first logical step
begins. Going one step back is exact: ``V -> alpha - floor(e * (alpha - V))`` with e < 1 reaches every integer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import IntArray
from snnc_spinnaker import arith


@dataclass(frozen=True, eq=False)
class Idle:
    """A membrane without input, raw s16.15: I_offset, V_rest, R, e and V_thresh, broadcastable."""

    offset: IntArray
    rest: IntArray
    resistance: IntArray
    leak: IntArray
    threshold: IntArray


def start_word(name: str, wanted: IntArray, idle: Idle, steps: int) -> IntArray:
    """V_init with which the membrane is at ``wanted`` after ``steps`` steps without input.

    Args:
        name: of the population, for the error.
        wanted: membrane before the first logical step, raw s16.15.
        idle: what moves it.
        steps: device steps before the first logical step.

    Raises:
        UnsupportedError: no start word does it, or the neuron would fire on the way.
    """
    alpha = arith.add(arith.mul(idle.offset, idle.resistance), idle.rest)
    v, alpha, leak = np.broadcast_arrays(wanted, alpha, idle.leak)
    fires = np.zeros(v.shape, dtype=bool)
    for _ in range(steps):
        fires = fires | (v >= idle.threshold)
        held = leak == 0
        back = alpha + (((v - alpha) << 15) // np.where(held, 1, leak))
        v = np.where(held, alpha, back)
        if np.any(arith.w32(v) != v) or np.any(arith.w32(alpha - v) != alpha - v):
            text = "Shorten the path from the input, or start at rest."
            found = f"not reachable {steps} steps after the chip's start"
            raise UnsupportedError(str(Violation(name, "v_init", found, "a value the membrane can come from", text)))
    if steps and np.any(fires | ((leak == 0) & (alpha >= idle.threshold))):
        found = "such that the neuron fires before its input arrives"
        raise UnsupportedError(str(Violation(name, "bias and v_init", found, "a membrane below threshold until then")))
    return np.asarray(v)
