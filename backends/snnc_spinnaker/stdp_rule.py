"""A rule of the library to SpiNNaker's pair STDP, with what its arithmetic makes of the numbers.

The programs learn when a pre spike arrives, from the post spikes since the one before: what is not a pair rule, or
happens in every step, is left to the host between runs. Source: specs/spinnaker.md section 1.8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.learning.account import LearningAccount, LearningOptions, Rate, Register
from snnc.learning.rule import HostOperation, Read, Rule, Term
from snnc.learning.settings import LearningConfig
from snnc_spinnaker import arith
from snnc_spinnaker.ring import LIMIT
from snnc_spinnaker.stdp import FULL_TRACE, HISTORY
from snnc_spinnaker.stdp import Rule as DeviceRule
from snnc_spinnaker.stdp_config import Kind, Pair, device_rule, table

TARGET = "spinnaker1"
LARGEST_TRACE = 0x7FFF
MISSING = {("delta", "multiplicative")}
"""Neurons and weight rules for which sPyNNaker 7.4.1 has no program."""
CLEARED = "traces are cleared by time: silent steps after each sample, as many as the tables reach, end every pair"
KINDS: dict[str, Kind] = {
    "pair-stdp": "additive",
    "multiplicative-stdp": "multiplicative",
    "soft-bound-stdp": "multiplicative",
}
REASONS = {
    "nearest-stdp": "sPyNNaker's nearest-pair program is neither emulated nor proven here",
    "triplet-stdp": "sPyNNaker's triplet program adds to its traces instead of setting them, and is not emulated here",
    "reward-stdp": "sPyNNaker's neuromodulated program is neither emulated nor proven here",
    "weight-decay": "weights change only when a pre spike arrives: nothing happens in every step",
    "homeostatic-scaling": "weights change only when a pre spike arrives: nothing happens in every step",
    "s2-stdp": "errors at a sample's end need a program of its own",
    "products": "its programs do not multiply what a user writes",
}


def pair_of(rule: Rule, options: LearningOptions | None = None) -> tuple[Pair, int]:
    """The STDP settings and the ring shift of a rule.

    Args:
        rule: a pair rule of the library; its amplitudes are absolute, whichever way they were given.
        options: ``gain`` is nA per unit of weight; ``unit`` the float weight of one device step, from which the shift
            follows (0: the smallest shift that holds w_max).

    Raises:
        UnsupportedError: not a pair rule; says why.
    """
    options = options or LearningOptions()
    base = rule.name.split(" + ", maxsplit=1)[0]
    soft = base == "soft-bound-stdp" and rule.w_min != 0
    if base not in KINDS or soft:
        reason = "its depression ends at 0, the program's at w_min: set w_min = 0" if soft else REASONS.get(base, "")
        fix = reason or "only pair rules are there"
        kinds = ", ".join(KINDS)
        raise UnsupportedError.of(Violation(f"rule {rule.name} on {TARGET}", "rule", base, kinds, fix))
    rates = {term.name: abs(term.rate) for term in rule.active(rule.phases[0])}
    both = rates.get("A_plus", 0.0), rates.get("A_minus", 0.0)
    dt = float(rule["dt"]) if rule["time_unit"] == "ms" else 1.0
    taus = {trace.side: trace.tau * dt for trace in rule.traces if trace.name in ("x", "y")}
    low, high = rule.w_min * options.gain, rule.w_max * options.gain
    absolute = (both[0] * options.gain, both[1] * options.gain)
    additive = KINDS[base] == "additive"
    amounts: dict[str, tuple[float, float]] = {"absolute": absolute} if additive else {"relative": both}
    pair = Pair(KINDS[base], taus["pre"], taus["post"], low, high, dt, **amounts)
    step = options.unit * options.gain * arith.ONE if options.unit else max(high, 0.0) * arith.ONE / LIMIT
    return pair, max(0, math.ceil(math.log2(step) - 1e-9)) if step > 1 else 0


def check_program(one: LearningConfig, population: str, neurons: str, kind: Kind) -> None:
    """Refuses neurons and weight rules for which the release has no program.

    Args:
        one: the rule on its projection.
        population: behind it.
        neurons: ``exp`` or ``delta``, the synapse of its neurons.
        kind: how the rule moves a weight.

    Raises:
        UnsupportedError: with the neurons and the rule that have a program.
    """
    if (neurons, kind) not in MISSING:
        return
    found = f"{one.rule.name} ({kind}) on IF_curr_{neurons}"
    allowed = f"pair-stdp (additive) there, or {one.rule.name} on IF_curr_exp"
    fix = (
        f"sPyNNaker has no such program. Give {population} a synaptic filter (decay_u above 0, in PyTorch "
        f'snnc.nn.CubaLIF in the place of LIF), which makes it IF_curr_exp; or write rule = "pair-stdp" in '
        f"[learning.{one.projection}]"
    )
    raise UnsupportedError.of(Violation(f"{one.projection} on {TARGET}", "rule", found, allowed, fix))


def account(rule: Rule, options: LearningOptions | None = None) -> LearningAccount:
    """What SpiNNaker's programs make of a rule.

    Raises:
        InputError: numbers that cannot be meant or that a 16-bit weight cannot show (see
            :mod:`snnc_spinnaker.stdp_config`), such as signed weights.
    """
    options = options or LearningOptions()
    try:
        pair, shift = pair_of(rule, options)
    except UnsupportedError as error:
        text = "the whole rule, between runs: read the weights, change them, write them back"
        host = (*rule.host, HostOperation("phase", "sample", text))
        return LearningAccount(TARGET, native=False, device=None, unit=math.nan, host=host, notes=(error.message,))
    words = device_rule(pair, shift)
    unit = 2.0**shift / arith.ONE / options.gain
    rates = tuple(_rates(rule, pair, words, options.gain, unit))
    got = {rate.term: rate.got for rate in rates}
    timed = tuple(t for t in rule.terms if t.event in ("pre", "post"))
    device = replace(
        rule,
        terms=tuple(_as_programmed(term, got[term.name], words, options.gain) for term in timed),
        w_min=float(words.bounds[0, 0]) / arith.ONE / options.gain,
        w_max=float(words.bounds[0, 1]) / arith.ONE / options.gain,
    )
    left = [term for term in rule.terms if term.event not in ("pre", "post")]
    host = tuple(HostOperation("phase", "sample", f"{t.when} ({', '.join(t.phases)}): {t}, between runs") for t in left)
    return LearningAccount(
        TARGET,
        native=True,
        device=device,
        unit=unit,
        rates=rates,
        registers=tuple(_registers(rule)),
        settings=_settings(pair, words),
        host=(*(one for one in rule.host if one.kind != "clear"), *host),
        notes=(*_notes(pair, words, options), *([CLEARED] if rule.clears else [])),
        warnings=tuple(_warnings(rule, rates, options)),
    )


def _settings(pair: Pair, words: DeviceRule) -> dict[str, object]:
    """PyNN's parameters and the words of the core."""
    plus, minus = pair.written
    return {
        "timing_dependence": {
            "tau_plus": pair.tau_plus, "tau_minus": pair.tau_minus, "A_plus": plus, "A_minus": minus
        },
        "weight_dependence": {"kind": pair.kind, "w_min": pair.w_min, "w_max": pair.w_max},
        "ring_shift": words.shift[0],
        "table_entries": {"plus": len(words.plus), "minus": len(words.minus)},
        "words": dict(zip(("w_min", "w_max", "a_plus", "a_minus"), map(int, words.bounds[0]), strict=True)),
    }  # fmt: skip


def _rates(rule: Rule, pair: Pair, words: DeviceRule, gain: float, unit: float) -> Iterator[Rate]:
    span = rule.w_max - rule.w_min
    for name, word in zip(("A_plus", "A_minus"), words.bounds[0, 2:], strict=True):
        asked = next((term.rate for term in rule.terms if term.name == name), 0.0)
        if not asked:
            continue
        size = float(word) / arith.ONE / (gain if pair.kind == "additive" else 1.0)
        step = size * (1.0 if pair.kind == "additive" else span) / unit
        yield Rate(name, asked, math.copysign(size, asked), f"{name} = {int(word)}/2^15", step=step)


def _as_programmed(term: Term, rate: float, words: DeviceRule, gain: float) -> Term:
    """The term as the program has it: at distance 0 only depression counts."""
    reads = tuple(replace(read, before=term.event == "post") if read.variable != "w" else read for read in term.reads)
    return replace(term, rate=rate, reads=tuple(_bounded(read, words, gain) for read in reads))


def _bounded(read: Read, words: DeviceRule, gain: float) -> Read:
    if read.variable != "w" or not read.offset:
        return read
    word = words.bounds[0, 1 if read.scale < 0 else 0]
    return replace(read, offset=-read.scale * float(word) / arith.ONE / gain)


def _registers(rule: Rule) -> Iterator[Register]:
    for trace in rule.traces:
        room = 1.0 - FULL_TRACE / LARGEST_TRACE
        rate = 1.0 / max(1.0, math.log(room) / math.log(trace.decay)) if trace.decay < 1 else 0.0
        home = "row of the pre neuron" if trace.side == "pre" else "history of the post neuron"
        yield Register(home, trace.name, FULL_TRACE, trace.tau, LARGEST_TRACE, rate)


def _notes(pair: Pair, words: DeviceRule, options: LearningOptions) -> Iterator[str]:
    if not options.unit:
        step = 2.0 ** words.shift[0] / arith.ONE
        yield f"weights move in steps of {step:.3g} nA or more: the ring shift is set by all that a neuron receives"
    for name, tau, lut in (("tau_plus", pair.tau_plus, words.plus), ("tau_minus", pair.tau_minus, words.minus)):
        exact = np.exp(-np.arange(len(lut)) * pair.dt / tau)
        off = float(np.max(np.abs(table(tau, pair.dt) / FULL_TRACE - exact)))
        yield f"{name}: a table of {len(lut)} entries; at most {off:.2g} of a full trace from exp; 0 beyond its end"
    yield f"a neuron remembers {HISTORY - 1} post spikes; of more between two pre spikes the oldest are lost"
    yield "weights change when the next pre spike arrives, not before: what is read back may lack the last pairs"
    yield (
        f"traces are s4.11: a spike adds {FULL_TRACE}, and beyond {LARGEST_TRACE} (16 spikes' worth) they are not "
        "clipped but wrap to negative numbers"
    )
    if pair.kind == "multiplicative":
        yield "amplitudes are parts of the way to the bound, as in PyNN and NEST; no unit to convert"
        yield (
            "the release has this rule for IF_curr_exp only: neurons need a synaptic filter (decay_u > 0), or take "
            "pair-stdp"
        )
    else:
        yield "amplitudes are written as absolute numbers: PyNN's and NEST's relative ones times w_max"


def _warnings(rule: Rule, rates: tuple[Rate, ...], options: LearningOptions) -> Iterator[str]:
    for rate in rates:
        if abs(rate.error) >= 0.02:
            yield f"{rate.term}: {rate.asked:.4g} becomes {rate.got:.4g}, {100 * rate.error:+.1f} %"
        if rate.asked < 0:
            bias = 0.5 / rate.step if rate.step else math.inf
            yield (
                f"{rate.term}: weights are floored, so every depression costs half a step more on average: "
                f"{100 * bias:.2g} % of a pair's {rate.step:.3g} steps"
            )
        elif rate.step < 8:
            yield f"{rate.term}: weights are floored: a pair raises a weight by {rate.step:.3g} steps, less half of one"
    for trace in _registers(rule):
        if trace.rate < options.max_rate:
            yield (
                f"{trace.holds} wraps where a neuron spikes more than {trace.rate:.3g} times per step, and max_rate is "
                f"{options.max_rate:g}: pairs then move weights the wrong way. Shorten its time constant"
            )
    wanted = [read for term in rule.terms for read in term.reads if term.event in ("pre", "post") and read.before]
    if not wanted and len(rates) == 2:
        yield "a pre and a post spike in one step (delay included): only the depression counts here"
    if options.rounding == "nearest":
        yield "the programs floor weights; rounding = 'nearest' has no effect here"
