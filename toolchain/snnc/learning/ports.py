"""What is written to y1, y2 and y3 where a chip takes them from outside: third factors, and traces kept by the neurons.

A signed third factor takes two ports, one for each sign. A trace that a rule reads a step late is written as it was
before the spikes of the step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, Violation, unknown
from snnc.ir import FloatArray, IntArray
from snnc.learning.account import LearningAccount, Register
from snnc.learning.rule import Trace

PORTS = ("y1", "y2", "y3")


class Ports:
    """The values of the three ports of a projection, step by step.

    Args:
        account: of the rule on a target with Loihi's engine.
        neurons: how many post-synaptic ones.

    Attributes:
        traces: name -> [post] float64, as the neurons keep them.

    Raises:
        InputError: the rule takes nothing from outside.
    """

    def __init__(self, account: LearningAccount, neurons: int) -> None:
        self.registers = tuple(register for register in account.registers if register.port)
        if not self.registers or account.device is None:
            raise InputError.of(
                Violation(f"ports on {account.target}", "third factors", "none", "a rule that has some")
            )
        rule = account.device
        held = {register.holds for register in self.registers}
        self._kept: dict[str, Trace] = {trace.name: trace for trace in rule.traces if trace.name in held}
        self._full = {third.name: third.full for third in rule.thirds}
        self._neurons = neurons
        self.traces: dict[str, FloatArray] = {name: np.zeros(neurons) for name in self._kept}

    def step(self, post: npt.NDArray[np.integer], third: Mapping[str, float | FloatArray] | None = None) -> IntArray:
        """Moves the traces by one step.

        Args:
            post: [post] spikes of this step.
            third: third factors by name, numbers or [post]; those left out are 0. Beyond their ``full`` they are
                clipped.

        Returns:
            [3, post] whole numbers from 0 to 127 for y1, y2, y3.

        Raises:
            InputError: no third factor has this name.
        """
        for name in third or {}:
            if name not in self._full:
                raise InputError(unknown("third factor", name, self._full))
        fired = np.asarray(post) != 0
        before: dict[str, FloatArray] = {}
        for name, trace in self._kept.items():
            kept = self.traces[name] * trace.decay
            before[name] = kept
            self.traces[name] = np.where(fired, trace.jump if trace.sets else kept + trace.jump, kept)
        values = np.zeros((len(PORTS), self._neurons), dtype=np.int64)
        for register in self.registers:
            part = (
                self._trace(register, before) if register.holds in self._kept else self._factor(register, third or {})
            )
            values[PORTS.index(register.name)] = np.clip(np.rint(part), 0, register.full)
        return values

    def clear(self) -> None:
        """The end of a sample: traces become 0."""
        self.traces = {name: np.zeros(self._neurons) for name in self._kept}

    def _trace(self, register: Register, before: Mapping[str, FloatArray]) -> FloatArray:
        found = (before if register.late else self.traces)[register.holds]
        return np.asarray(found * (register.impulse / self._kept[register.holds].jump), dtype=np.float64)

    def _factor(self, register: Register, third: Mapping[str, float | FloatArray]) -> FloatArray:
        name = register.holds.rstrip("+-")
        sign = -1.0 if register.holds.endswith("-") else 1.0
        value = np.asarray(third.get(name, 0.0), dtype=np.float64)
        return np.asarray(sign * value * (register.impulse / self._full[name]), dtype=np.float64)
