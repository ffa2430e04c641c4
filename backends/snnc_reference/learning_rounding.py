"""Integer synaptic traces and integer sums of products with Loihi's stochastic rounding, as Lava 0.10 computes them.

One random number serves all neurons and both (all three) traces of a side for a whole step, and one all synapses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnc.ir import IntArray, Product, SynapticTrace
from snnc.ir.fixed import saturate, wrap
from snnc_reference.learning_epoch import Epoch

TRACE_MAX = 127
IMPULSE_FRACTION = 256
IMPULSE_FACES = 128
FRACTION_BITS = 7
ACCUMULATOR = (-(1 << 15) - 1, (1 << 15) - 1)
REGISTER_BITS = 32


class TraceDice:
    """The two random numbers of one side of the synapses: for decays (0 to 1) and for impulses (0 to 127).

    Rolled once on construction and twice in every step, used or not.
    """

    def __init__(self, seed: int) -> None:
        self._decays = np.random.default_rng(seed)
        self._impulses = np.random.default_rng(seed + 1)
        self.decay = 0.0
        self.impulse = 0
        self.roll()

    def roll(self) -> None:
        """Draws both numbers anew."""
        self.decay = float(self._decays.random())
        self.impulse = int(self._impulses.integers(0, IMPULSE_FACES, size=1, dtype=np.int64)[0])


def kicked(trace: IntArray, impulse: float, dice: int) -> IntArray:
    """``clip(trace + floor(p) + (dice < round(256 * frac(p))), 0, 127)`` for the impulse p.

    The dice has 128 faces and the fraction 256 parts, so that p = 0.5 and more always rounds up.
    """
    whole = int(np.floor(impulse))
    part = int(np.round((impulse - whole) * IMPULSE_FRACTION))
    return np.asarray(np.clip(trace + whole + int(dice < part), 0, TRACE_MAX), dtype=np.int64)


def decayed(trace: IntArray, tau: float, dice: float) -> IntArray:
    """``z = trace * exp(-1/tau); floor(z) + (dice < frac(z))``; tau 0 keeps nothing."""
    if tau == 0:
        return np.zeros_like(trace)
    z = np.exp(-1.0 / tau) * trace
    return np.asarray(np.floor(z) + (dice < z % 1), dtype=np.int64)


def history(start: IntArray, last: IntArray, traces: Sequence[SynapticTrace], dice: TraceDice, steps: int) -> IntArray:
    """Values of one side's traces through an epoch.

    Args:
        start: [traces, n] at the start of the epoch, impulses of all but the last spike of each neuron included.
        last: [n] step 1..steps of the last spike, 0 if there was none.
        traces: impulse and tau of each.
        dice: the same two numbers serve all steps of the epoch.
        steps: length of the epoch.

    Returns:
        [steps + 1, traces, n]; row k is the end of step k.
    """
    rows = [start]
    spikes = np.bincount(last, minlength=steps + 1)
    for k in range(1, steps + 1):
        row = np.empty_like(start)
        for j, trace in enumerate(traces):
            kept = decayed(rows[-1][j], trace.tau, dice.decay)
            row[j] = np.where(last == k, kicked(kept, trace.impulse, dice.impulse), kept) if spikes[k] else kept
        rows.append(row)
    return np.stack(rows)


def accumulated(value: IntArray, products: Sequence[Product], epoch: Epoch) -> IntArray:
    """``value + sum of products`` in units of 2**-7, [post, pre].

    Each product is multiplied in a 32-bit register, shifted down by ``product.shift``, scaled by 2**exponent and
    clipped to 16 bits; so is the sum after each addition.
    """
    total = value << FRACTION_BITS
    for product in products:
        part = np.ones_like(value) * epoch.event(product.dependency)
        for factor in product.factors:
            read = epoch.read(factor.variable, product.dependency) + factor.constant
            read = saturate(np.sign(read) if factor.sign else read, factor.width + 1)
            part = wrap(part * read, REGISTER_BITS)
        part = wrap(part * product.mantissa, REGISTER_BITS) >> product.shift
        part = wrap(part << (product.exponent + FRACTION_BITS), REGISTER_BITS)
        total = np.clip(total + np.clip(part, *ACCUMULATOR), *ACCUMULATOR)
    return np.asarray(total, dtype=np.int64)


def rounded(total: IntArray, dice: float) -> IntArray:
    """Drops the 7 fractional bits: ``floor(z) + (dice < frac(z))``."""
    fraction = (total & ((1 << FRACTION_BITS) - 1)) / (1 << FRACTION_BITS)
    return np.asarray((total >> FRACTION_BITS) + (dice < fraction), dtype=np.int64)
