"""Pair STDP of SpiNNaker's release programs, one synapse and one whole number at a time.

Written from specs/spinnaker.md section 1.8 and nothing else: it shares no line with the emulator of the back end, and
is slow on purpose. A synapse keeps no weight of its own accord: it is brought up to date when a spike of its source
arrives, from the spikes of its target since the one before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

REAL_SPIKES = 15
"""Spikes that a neuron remembers beside its placeholder."""
ONE = 2048
"""1.0 of a trace, s4.11."""


def signed(value: int, bits: int) -> int:
    """The lowest bits of a whole number, read as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def times(a: int, b: int) -> int:
    """Product of two traces (or a trace and a table entry): 16-bit operands, floored."""
    return (signed(a, 16) * signed(b, 16)) >> 11


def accum(a: int, b: int) -> int:
    """Product of two s16.15 numbers, floored, wrapped."""
    return signed((a * b) >> 15, 32)


def decay_table(tau: float, dt: float = 1.0) -> tuple[int, ...]:
    """``floor(2048 * exp(-k*dt/tau))``, with an even number of entries that reaches ``tau/dt * ln 2048``.

    Args:
        tau: time constant in ms.
        dt: time step in ms.
    """
    entries = math.ceil(tau / dt * math.log(ONE) / 2) * 2
    return tuple(math.floor(ONE * math.exp(-k * dt / tau)) for k in range(entries))


@dataclass(frozen=True)
class PairRule:
    """The numbers of one rule as the program has them.

    Attributes:
        kind: how a weight moves.
        plus, minus: decay by steps, s4.11.
        low, high: bounds of a weight, s16.15 nA.
        a_plus, a_minus: amplitudes, s16.15: nA for ``additive``, fractions for ``multiplicative``.
        shift: of the ring buffer; a weight word is worth ``2**(shift - 15)`` nA.
        delayed_posts: spikes of the target reach a synapse after its delay.
    """

    kind: Literal["additive", "multiplicative"]
    plus: tuple[int, ...]
    minus: tuple[int, ...]
    low: int
    high: int
    a_plus: int
    a_minus: int
    shift: int
    delayed_posts: bool = True

    def kept(self, table: tuple[int, ...], steps: int) -> int:
        """What is left of a full trace; nothing beyond the table, and nothing after a negative number of steps."""
        return table[steps] if 0 <= steps < len(table) else 0

    def raised(self, weight: int, trace: int) -> int:
        """A weight s16.15 after a potentiation by a trace."""
        if self.kind == "additive":
            return min(signed(weight + accum(self.a_plus, trace << 4), 32), self.high)
        part = accum(signed(self.high - weight, 32), self.a_plus)
        return signed(weight + accum(part, trace << 4), 32)

    def lowered(self, weight: int, trace: int) -> int:
        """A weight s16.15 after a depression by a trace."""
        if self.kind == "additive":
            return max(signed(weight - accum(self.a_minus, trace << 4), 32), self.low)
        part = accum(signed(weight - self.low, 32), self.a_minus)
        return signed(weight - accum(part, trace << 4), 32)


class Target:
    """A neuron behind the synapses.

    Attributes:
        spikes: (step, trace) that it remembers, oldest first; the placeholder is not among them.
    """

    def __init__(self, rule: PairRule) -> None:
        self.rule = rule
        self.spikes: list[tuple[int, int]] = []

    def spike(self, step: int) -> None:
        """Remembers a spike; the oldest of more than 15 is lost."""
        last_step, last_trace = self.spikes[-1] if self.spikes else (0, 0)
        left = times(last_trace, self.rule.kept(self.rule.minus, step - last_step))
        self.spikes = [*self.spikes, (step, signed(left + ONE, 16))][-REAL_SPIKES:]


class Source:
    """A neuron before the synapses, with their weights: one row.

    Attributes:
        weights: words of 16 bits.
        last: step and trace of its last spike.
    """

    def __init__(
        self, rule: PairRule, targets: Sequence[Target], weights: Sequence[int], delays: Sequence[int]
    ) -> None:
        """Args: delays: of each synapse in steps, as the row holds them (2**D is 0)."""
        self.rule, self.targets = rule, list(targets)
        self.weights = [int(weight) for weight in weights]
        self.delays = [int(delay) for delay in delays]
        self.last = (0, 0)

    def spike(self, step: int) -> None:
        """A spike arrives: every synapse is brought up to date, with the trace from before this spike."""
        last_step, last_trace = self.last
        left = times(last_trace, self.rule.kept(self.rule.plus, step - last_step))
        self.last = (step, signed(left + ONE, 16))
        for number, target in enumerate(self.targets):
            delay = self.delays[number] if self.rule.delayed_posts else 0
            weight = signed(self.weights[number] << self.rule.shift, 32)
            weight = self._updated(weight, target, delay, step, last_step, last_trace)
            self.weights[number] = (weight >> self.rule.shift) & 0xFFFF

    def _updated(self, weight: int, target: Target, delay: int, step: int, last_step: int, last_trace: int) -> int:
        rule = self.rule
        after, until = max(last_step - delay, 0), max(step - delay, 0)
        earlier = [spike for spike in target.spikes if spike[0] <= after]
        window = [spike for spike in target.spikes if after < spike[0] <= until]
        before = earlier[-1] if earlier else None
        for when, trace in window:
            distance = when + delay - last_step
            if distance > 0:
                weight = rule.raised(weight, times(last_trace, rule.kept(rule.plus, distance)))
            before = (when, trace)
        if before is None:
            return weight
        return rule.lowered(weight, times(before[1], rule.kept(rule.minus, step - (before[0] + delay))))
