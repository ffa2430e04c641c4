"""STDP settings as people write them to the numbers that a SpiNNaker 1 core learns with.

PyNN and NEST give the amplitudes of the additive rule relative to the range of the weights: a pair moves a weight by
``A * w_max``. sPyNNaker writes the number as it is, so that there it is an absolute current in nA. A script with
``A_plus = 0.01`` and ``w_max = 0.005`` runs without a word, and its first pair moves every weight over the whole range.
The two cannot be told apart by looking at one number: hence ``absolute=`` or ``relative=`` must be said, and what is
said is refused where it cannot be meant:

- an additive amplitude of at least ``w_max - w_min`` (absolute), or of at least 1 (relative): one pair is everything;
- an amplitude that the 16-bit weight cannot show. A weight step is ``2**(shift - 15)`` nA. Weights are floored, so that
  the closest pair (one step apart) must raise a weight by a whole step, or potentiation never happens; and a depression
  of less than a step still costs a whole one;
- time constants whose table has only its first entry (shorter than 0.13 steps), or which with the rest of a core do not
  fit its memory;
- weights outside of ``w_min`` to ``w_max``, and bounds that the 16-bit weight cannot hold;
- a delay of exactly ``2**D`` steps (:func:`check_delay`): stored as 0, by which the program drops the weight.

Source: specs/spinnaker.md section 1.8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from snnc.errors import InputError, Violation
from snnc.ir import IntArray
from snnc_spinnaker import arith
from snnc_spinnaker.ring import LIMIT, Layout
from snnc_spinnaker.stdp import FULL_TRACE, Rule

TABLE_BYTES = 12288
"""Data memory of a core for both tables: 256 neurons with their histories, two ring slots and buffers leave 14 KB."""
Kind = Literal["additive", "multiplicative"]


@dataclass(frozen=True)
class Pair:
    """Pair STDP as it is set.

    Attributes:
        kind: how a weight moves.
        tau_plus, tau_minus: time constants in ms.
        w_min, w_max: bounds of the weights in nA.
        dt: time step in ms.
        absolute: A_plus and A_minus in nA; additive only.
        relative: A_plus and A_minus as fractions: of ``w_max`` for ``additive``, of the way to the bound for
            ``multiplicative``. Exactly one of ``absolute`` and ``relative`` is given.
    """

    kind: Kind
    tau_plus: float
    tau_minus: float
    w_min: float
    w_max: float
    dt: float = 1.0
    absolute: tuple[float, float] | None = None
    relative: tuple[float, float] | None = None

    @property
    def written(self) -> tuple[float, float]:
        """A_plus and A_minus as a sPyNNaker script must give them: nA for ``additive``, else fractions.

        Raises:
            InputError: not exactly one of both forms is given, or one that the kind does not have.
        """
        if (self.absolute is None) == (self.relative is None):
            found = "given in both forms" if self.absolute else "not given"
            fix = "Say absolute=(A_plus, A_minus) in nA, or relative=(A_plus, A_minus) as in PyNN and NEST."
            raise InputError.of(Violation("stdp", "amplitudes", found, "absolute or relative", fix))
        if self.relative is not None:
            unit = self.w_max if self.kind == "additive" else 1.0
            return self.relative[0] * unit, self.relative[1] * unit
        assert self.absolute is not None
        if self.kind == "multiplicative":
            fix = "A multiplicative amplitude is a fraction of the way to the bound: give relative=."
            raise InputError.of(Violation("stdp", "amplitudes", "absolute", "relative for multiplicative", fix))
        return self.absolute


def table(tau: float, dt: float = 1.0) -> IntArray:
    """Decay of a trace by steps, s4.11, as the host writes it: floored, an even number of entries.

    Args:
        tau: time constant in ms.
        dt: time step in ms.
    """
    size = math.log(FULL_TRACE) / (dt / tau)
    even = math.ceil(size / 2) * 2
    return np.asarray(np.floor(np.exp(np.arange(even) * -(dt / tau)) * FULL_TRACE), dtype=np.int64)


def device_rule(pair: Pair, shift: int, weights: IntArray | None = None, room: int = TABLE_BYTES) -> Rule:
    """The rule with the words that a core is loaded with.

    Args:
        pair: the settings.
        shift: ring shift of the population, for both receptors.
        weights: words of the synapses that learn, if known: they are checked.
        room: bytes of a core's data memory that both tables may take.

    Raises:
        InputError: the settings cannot be meant or cannot be done, with every reason.
    """
    broken = tuple(_numbers(pair, room)) or tuple(_amplitudes(pair))
    if not broken:
        low, high, plus, minus = (int(word) for word in arith.to_accum([pair.w_min, pair.w_max, *pair.written]))
        rising, falling = table(pair.tau_plus, pair.dt), table(pair.tau_minus, pair.dt)
        bounds = np.array([[low, high, plus, minus]] * 2, dtype=np.int64)
        rule = Rule(pair.kind, rising, falling, bounds, (shift, shift))
        broken = (*_bounds(rule), *_effects(pair, rule))
        broken += () if weights is None else tuple(_inside(rule, np.asarray(weights)))
    if broken:
        raise InputError.of(*broken)
    return rule


def check_delay(delay: int, layout: Layout) -> None:
    """Refuses the one delay with which a synapse that learns is never heard.

    Raises:
        InputError: the delay is ``2**D`` steps, stored as 0, or beyond.
    """
    slots = 1 << layout.delay_bits
    if not 0 < delay < slots:
        fix = "The program drops the weights of such a synapse; shorten it, or give another projection a longer delay."
        raise InputError.of(Violation("stdp", "delay", f"{delay} steps", f"1 to {slots - 1}", fix))


def _numbers(pair: Pair, room: int) -> Iterator[Violation]:
    """Times and bounds that mean something, and tables that fit."""
    for key in ("tau_plus", "tau_minus", "dt"):
        value = getattr(pair, key)
        if not (math.isfinite(value) and value > 0):
            yield Violation("stdp", key, f"{value:.9g} ms", "more than 0")
            return
    if not 0 <= pair.w_min < pair.w_max < LIMIT + 1:
        found = f"{pair.w_min:.9g} and {pair.w_max:.9g} nA"
        fix = "The sign of a synapse is its receptor; give magnitudes."
        yield Violation("stdp", "w_min and w_max", found, f"0 <= w_min < w_max < {LIMIT + 1} nA", fix)
    longest = max(pair.tau_plus, pair.tau_minus) / pair.dt
    size = 2 * math.log(FULL_TRACE) * (pair.tau_plus + pair.tau_minus) / pair.dt
    if size > room:
        fix = f"Shorten tau_plus + tau_minus to {room / 2 / math.log(FULL_TRACE):.0f} steps."
        found = f"{size:.0f} bytes for time constants of up to {longest:.0f} steps"
        yield Violation("stdp", "look-up tables", found, f"at most {room} bytes of a core", fix)
    for key in ("tau_plus", "tau_minus"):
        kept = FULL_TRACE * math.exp(-pair.dt / getattr(pair, key))
        if kept < 1:
            found = f"{getattr(pair, key):.9g} ms, a trace that is gone within one step of {pair.dt:.9g} ms"
            yield Violation("stdp", key, found, f"at least {pair.dt / math.log(FULL_TRACE):.3g} ms")


def _amplitudes(pair: Pair) -> Iterator[Violation]:
    """Amplitudes that one pair survives."""
    written = pair.written
    whole = pair.w_max - pair.w_min if pair.kind == "additive" else 1.0
    given = pair.absolute or pair.relative
    assert given is not None
    for key, asked, amount in zip(("A_plus", "A_minus"), given, written, strict=True):
        if math.isfinite(amount) and 0 <= amount < whole:
            continue
        if pair.absolute is not None:
            fix = f"Absolute amplitudes are in nA; if {asked:.9g} is meant as in PyNN and NEST, give relative=."
            unit, limit = " nA", f"0 to less than w_max - w_min = {whole:.9g} nA"
        else:
            fix = f"One pair would move a weight by {amount:.9g} of {whole:.9g}: over its whole range."
            unit, limit = "", f"0 to less than {whole / (pair.w_max if pair.kind == 'additive' else 1.0):.9g}"
        yield Violation("stdp", key, f"{asked:.9g}{unit}", limit, fix)


def _bounds(rule: Rule) -> Iterator[Violation]:
    """A largest weight that its 16 bits hold."""
    high, shift = int(rule.bounds[0, 1]), rule.shift[0]
    if high >> shift > LIMIT:
        found, allowed = f"{high / arith.ONE:.9g} nA", f"at most {_nano(LIMIT << shift)} with ring shift {shift}"
        fix = "A larger weight keeps its low 16 bits only; choose a larger shift or smaller w_max."
        yield Violation("stdp", "w_max", found, allowed, fix)


def _effects(pair: Pair, rule: Rule) -> Iterator[Violation]:
    """Amplitudes that a weight of 16 bits can show, tried with the rule itself on the pair that moves it most."""
    low, high, plus, minus = rule.bounds[0]
    step = 1 << rule.shift[0]
    start, receptor = np.array([low, high]), np.zeros(2, dtype=np.int64)
    up = int((rule.moved(start, np.full(2, rule.plus[1]), receptor, up=True) - start)[0])
    down = int((start - rule.moved(start, np.full(2, FULL_TRACE), receptor, up=False))[1])
    for key, asked, moved, word in (("A_plus", pair.written[0], up, plus), ("A_minus", pair.written[1], down, minus)):
        if moved >= step or (asked == 0 and word == 0):
            continue
        found = f"{asked:.9g}, which moves a weight by {_nano(moved)} at most in one pair"
        instead = "potentiation is lost" if key == "A_plus" else "each depression costs a whole step"
        fix = f"Weights are floored to steps: {instead}. Enlarge it or w_max, choose a smaller shift, or set 0."
        yield Violation("stdp", key, found, f"0, or enough for a weight step of {_nano(step)}", fix)


def _inside(rule: Rule, weights: IntArray) -> Iterator[Violation]:
    low, high = (int(word) for word in rule.bounds[0, :2])
    values = weights.astype(np.int64) << rule.shift[0]
    outside = (values < low) | (values > high)
    if outside.any():
        worst = values[outside][np.argmax(np.abs(values[outside] - (low + high) // 2))]
        fix = f"{int(outside.sum())} of {weights.size} weights are outside; widen the bounds or clip the weights."
        yield Violation("stdp", "weight", _nano(int(worst)), f"w_min {_nano(low)} to w_max {_nano(high)}", fix)


def _nano(word: int) -> str:
    return f"{word / arith.ONE:.9g} nA"
