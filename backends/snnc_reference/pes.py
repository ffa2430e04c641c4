"""The prescribed error sensitivity rule on Loihi, as the nengo-loihi 1.1 emulator runs it.

A decoder learns from an error that the host sends: each output dimension drives a pair of compartments, one with the
error and one with its negative. Weights change by ``rate * error * trace`` of the pre-synaptic spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, Violation
from snnc.ir import FloatArray, IntArray

TRACE_MAX = 127
ERROR_MAX = 127
WEIGHT_SHIFT = 6
FRACTION_BITS = 7
PRODUCT_SHIFT = 2  # two 7-bit factors and a 3-bit mantissa in 15 bits

Uniform = Callable[[int], FloatArray]


@dataclass(frozen=True)
class PesRule:
    """Constants of the rule.

    Attributes:
        tau: time constant of the trace in steps.
        impulse: added to the trace of an axon that spiked since its last update.
        rate_mantissa: the learning rate is ``rate_mantissa * 2**rate_exponent``.
        rate_exponent: see above.
        weight_exponent: of the synapse; 4 for learning ones.
        shift_bits: low bits of a weight that are not stored; 1 for signed weights.
        trace_epoch: steps between two updates of the traces.
        learn_epoch: steps between two updates of the weights.
        error_scale: what an error is multiplied with before it is rounded and clipped to -127..127; nengo-loihi's
            default is 100.
    """

    tau: float
    impulse: float
    rate_mantissa: int
    rate_exponent: int
    weight_exponent: int = 4
    shift_bits: int = 1
    trace_epoch: int = 2
    learn_epoch: int = 4
    error_scale: float = 100.0

    def __post_init__(self) -> None:
        checks = {
            "tau": (self.tau > 0, "more than 0 steps"),
            "impulse": (0 < self.impulse <= TRACE_MAX, f"more than 0 to {TRACE_MAX}"),
            "trace_epoch": (1 <= self.trace_epoch <= 63, "1 to 63"),
            "learn_epoch": (1 <= self.learn_epoch <= 63, "1 to 63"),
            "shift_bits": (0 <= self.shift_bits < 8, "0 to 7"),
        }
        for name, (good, allowed) in checks.items():
            if not good:
                raise InputError.of(Violation("PES rule", name, f"{getattr(self, name):g}", allowed))

    @property
    def weight_unit(self) -> int:
        """Binary digits by which a stored weight is smaller than the expanded one."""
        return WEIGHT_SHIFT + self.weight_exponent


@dataclass
class Pes:
    """Synapses [axons, compartments] that learn by PES, starting at 0.

    Attributes:
        rule: its constants.
        axons: how many.
        compartments: how many; the first half gets minus the error, the second half the error.
        uniform: gives n random numbers in [0, 1); called with ``axons`` for the traces, then, in the steps that
            learn, with ``compartments`` for each axon in turn.
        weights: expanded integers, [axons, compartments].
        trace: [axons], 0 to 127.
    """

    rule: PesRule
    axons: int
    compartments: int
    uniform: Uniform
    weights: IntArray = field(init=False)
    trace: IntArray = field(init=False)
    _steps: int = field(init=False, default=0)
    _pending: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        if self.compartments % 2:
            raise InputError.of(Violation("PES synapses", "compartments", str(self.compartments), "an even number"))
        self.weights = np.zeros((self.axons, self.compartments), dtype=np.int64)
        self.trace = np.zeros(self.axons, dtype=np.int64)
        self._pending = np.zeros(self.axons, dtype=np.bool_)

    def step(self, arrived: npt.NDArray[np.integer], error: npt.NDArray[np.number]) -> IntArray:
        """One step.

        Args:
            arrived: [axons] spikes that reach the synapses now, 0 or 1.
            error: [compartments / 2] as the host gives it.

        Returns:
            [compartments] the sum that the compartments receive, from the weights before this step's learning.
        """
        self._steps += 1
        spiked = np.asarray(arrived) != 0
        sent = self.weights[spiked].sum(axis=0)
        self._pending |= spiked
        if self._steps % self.rule.trace_epoch == 0:
            keep = float(np.exp(-self.rule.trace_epoch / self.rule.tau))
            moved = keep * self.trace + self.rule.impulse * self._pending
            self.trace = np.minimum(rounded(moved, self.uniform(self.axons)), TRACE_MAX)
            self._pending[:] = False
        if self._steps % self.rule.learn_epoch == 0:
            self._learn(error)
        return np.asarray(sent, dtype=np.int64)

    def _learn(self, error: npt.NDArray[np.number]) -> None:
        rule = self.rule
        clipped = np.clip(np.rint(np.asarray(error) * rule.error_scale), -ERROR_MAX, ERROR_MAX).astype(np.int64)
        signed = np.concatenate([-clipped, clipped])
        highest = (1 << (8 - rule.shift_bits)) - 1
        for axon in range(self.axons):
            product = self.trace[axon] * signed * rule.rate_mantissa
            change = shifted(product, FRACTION_BITS + rule.rate_exponent - PRODUCT_SHIFT)
            total = shifted(self.weights[axon], FRACTION_BITS - rule.weight_unit) + change
            scaled = total * 2.0 ** (-FRACTION_BITS - rule.shift_bits)
            whole = rounded(scaled, self.uniform(self.compartments))
            stored = np.clip(whole, -highest, highest)
            self.weights[axon] = stored << (rule.weight_unit + rule.shift_bits)


def rounded(values: npt.NDArray[np.floating[Any]], dice: FloatArray) -> IntArray:
    """Magnitudes rounded up with the probability of their fraction: ``sign(x) * (floor(|x|) + (dice < frac|x|))``."""
    size = np.abs(values)
    whole = np.floor(size)
    return np.asarray(np.sign(values) * (whole + (dice < size - whole)), dtype=np.int64)


def shifted(values: IntArray, bits: int) -> IntArray:
    """``values * 2**bits``, floored."""
    return np.asarray(values << bits if bits >= 0 else values >> -bits, dtype=np.int64)
