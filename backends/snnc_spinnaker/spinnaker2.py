"""SpiNNaker2 under py-spinnaker2: what its importer makes of a neuron, and the chip's float32 step.

Nothing here was run on silicon or compared with the chip's program: formulas and step are those of specs/spinnaker.md
section 2, read in others' code. States are float32 on a core that may fuse a multiplication with an addition, so that
results are claimed to :func:`tolerance` and not bit for bit; emulator and reference round alike, operation by
operation, and agree exactly. What the chip's mapper does, how it rounds dense weights and how it lays out words
without delay are open; here weights are rounded to nearest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import FloatArray, IntArray
from snnc.target import Limit

SOURCE = "py-spinnaker2 as published (specs/spinnaker.md section 2)"
LIMITS = {
    "cores": Limit(152, "processing elements of a chip", SOURCE),
    "core memory": Limit(131072, "bytes of SRAM of a processing element", SOURCE),
    "neurons per core": Limit(250, "neurons in NESTML's copy of the program", SOURCE),
    "targets per word": Limit(256, "neurons", SOURCE),
    "weight with delay": Limit(15, "levels of a magnitude", SOURCE),
    "weight without delay": Limit(127, "levels of a magnitude", SOURCE),
    "delay": Limit(7, "steps beyond the one that every spike takes", SOURCE),
    "router entries": Limit(16384, "entries of a chip", "SpiNNMachine 7.4.1"),
}
Integrator = Literal["exponential", "forward"]
Reset = Literal["subtract", "value"]
Number = float | FloatArray


@dataclass(frozen=True)
class Cell:
    """Parameters of a population as the chip has them, in units of its integer weights.

    ``exc = exc_decay * exc + ring_exc`` (likewise inh), ``v = alpha_decay * v + (exc - inh) + i_offset``; a model
    without synaptic filter has a decay of 0.

    Attributes:
        threshold: a spike is sent where v >= threshold; this and the others are one number, or one per neuron.
        alpha_decay: fraction of v kept per step.
        i_offset: added in every step.
        syn_decay: fraction of exc and of inh kept per step.
        reset: after a spike v loses the threshold, or becomes v_reset.
        v_reset, v_init: values of v.
    """

    threshold: Number
    alpha_decay: Number
    i_offset: Number = 0.0
    syn_decay: Number = 0.0
    reset: Reset = "subtract"
    v_reset: Number = 0.0
    v_init: Number = 0.0


def kept(tau: float, dt: float, integrator: Integrator = "exponential") -> tuple[float, float]:
    """Fraction kept per step and what is left of an input, ``(a, g)``; tau and dt in seconds."""
    if integrator == "forward":
        return 1 - dt / tau, dt / tau
    decay = math.exp(-dt / tau)
    return decay, 1 - decay


def scale_of(largest_weight: float, *, delays: bool) -> float:
    """S, by which weights are multiplied so that the largest of a population's uses every level."""
    levels = LIMITS["weight with delay" if delays else "weight without delay"].value
    return levels / largest_weight if largest_weight else 1.0


def integer_weights(weights: FloatArray, scale: float, *, delays: bool) -> IntArray:
    """Weights as the synaptic words hold them.

    Raises:
        UnsupportedError: a weight is beyond the word's levels; the chip would wrap it.
    """
    levels = LIMITS["weight with delay" if delays else "weight without delay"].value
    rounded = np.rint(np.asarray(weights, dtype=np.float64) * scale).astype(np.int64)
    worst = int(np.abs(rounded).max(initial=0))
    if worst > levels:
        fix = f"Scale by {levels / worst * scale:g} or less."
        raise UnsupportedError(str(Violation("weights", "magnitude", str(worst), f"at most {levels}", fix)))
    return rounded


def lif(
    tau: float, r: float, v_threshold: float, *, dt: float, scale: float, v_leak: float = 0.0, bias: float = 0.0,
    integrator: Integrator = "exponential",
) -> Cell:  # fmt: skip
    """NIR's LIF as ``lif``; v is divided by ``scale / r'`` to read it, with ``r' = g * r``."""
    decay, gain = kept(tau, dt, integrator)
    unit = scale / (gain * r)
    return Cell(v_threshold * unit, decay, gain * v_leak * unit + bias * scale)


def cuba_lif(
    tau_syn: float, tau_mem: float, r: float, v_threshold: float, *, dt: float, scale: float, w_in: float = 1.0,
    v_leak: float = 0.0, bias: float = 0.0, integrator: Integrator = "exponential",
) -> Cell:  # fmt: skip
    """NIR's CubaLIF as ``lif_curr_exp``. A bias enters as its steady state: the chip has no transient for it."""
    decay, gain = kept(tau_mem, dt, integrator)
    filtered, share = kept(tau_syn, dt, integrator)
    unit = scale / (gain * r * share * w_in)
    offset = gain * v_leak * unit + bias * w_in * scale / (share * w_in)
    return Cell(v_threshold * unit, decay, offset, filtered)


def integrate_and_fire(r: float, v_threshold: float, *, scale: float, bias: float = 0.0) -> Cell:
    """NIR's IF as a ``lif`` that keeps all of v."""
    return Cell(v_threshold * scale / r, 1.0, bias * scale)


def hard(cell: Cell, v_reset: float, unit: float) -> Cell:
    """The cell with a reset to a value of the model; ``unit`` is the cell's v per 1.0 of the model's.

    The importer of py-spinnaker2 ignores this value and resets to 0; giving it here keeps the model's meaning.
    """
    return replace(cell, reset="value", v_reset=v_reset * unit)


def tolerance(cell: Cell, peak: float, steps: int) -> float:
    """Largest difference of v between float32 and float64 while both spike alike.

    A step rounds at most four times a number of at most ``peak`` by half a unit in the last place of float32, and
    earlier differences shrink by alpha_decay; alpha itself is rounded once.

    Args:
        cell: parameters.
        peak: largest magnitude of v, of the synaptic current and of the offset.
        steps: of the run.
    """
    slowest, filter_ = float(np.max(cell.alpha_decay)), float(np.max(cell.syn_decay))
    memory = steps if slowest >= 1 else min(steps, 1 / (1 - slowest))
    filtered = 1.0 if not filter_ else min(steps, 1 / (1 - filter_))
    return 5 * 2.0**-24 * peak * memory * filtered
