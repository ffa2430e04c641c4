"""Sleep: the weights that digits_stdp learned contract to a baseline, and what integers make of that.

After n steps of ``w -= rate * (w - baseline)`` a weight is ``baseline + (1 - rate)**n * (w - baseline)``. Integers that
round stochastically follow; those that truncate or round to nearest stop on the way.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from _learning import configured
from digits_stdp import Recipe, build, example, held_out
from digits_stdp import train as learned
from snnc.ir import FloatArray, IntArray
from snnc.learning import LearningConfig, Rule, Term, lower_rule
from snnc_reference.learning_chip import ChipLearning
from snnc_reference.learning_rules import RuleLearning

__all__ = ["build", "example", "held_out"]
CONFIG = Path(__file__).resolve().with_suffix(".toml")
PHASE = "sleep"
STEPS = 128
NIGHTS = 8
Rounding = Literal["float", "stochastic", "nearest", "floor"]
ROUNDINGS: tuple[Rounding, ...] = ("float", "stochastic", "nearest", "floor")


@dataclass(frozen=True, eq=False)
class Slept:
    """Weights after sleep.

    Attributes:
        weights: [neurons, 64] floats.
        expected: factor by which distances to the baseline should have shrunk, by the rate that the arithmetic has.
        contraction: factor by which they did: slope of distances after over distances before.
        short: mean distance from where the weights should be, in device steps.
        stopped: share of the weights that no longer move although they are a device step or more from the baseline.
    """

    weights: FloatArray
    expected: float
    contraction: float
    short: float
    stopped: float


def sleep(weights: FloatArray, rounding: Rounding, steps: int = STEPS, config: LearningConfig | None = None) -> Slept:
    """Sleeps for a number of steps.

    Args:
        weights: [neurons, inputs].
        rounding: float, or how 8-bit weights on Loihi's engine are rounded (the chip: stochastically).
        steps: how many.
        config: the rule; None takes ``digits_sleep.toml``.
    """
    config = config or configured(CONFIG)
    account = lower_rule(config.rule, config.options)
    assert account.device is not None
    rule = config.rule if rounding == "float" else account.device
    term = decay(rule)
    if rounding == "float":
        begin, end, still = weights, asleep(config.rule, weights, steps), np.zeros(weights.shape, dtype=np.bool_)
    else:
        engine = account.engine[PHASE]
        assert engine is not None
        rows = integers_asleep(ChipLearning(engine, np.rint(weights / account.unit).astype(np.int64), rounding), steps)
        begin, end = rows[0] * account.unit, rows[steps] * account.unit
        still = np.all(rows[steps:] == rows[steps], axis=0)
    expected = (1.0 + term.rate) ** (steps // term.every)
    from_start, from_end = begin + term.reads[0].offset, end + term.reads[0].offset
    contraction = float(np.sum(from_start * from_end) / np.sum(np.square(from_start)))
    short = float(np.mean(np.abs(from_end - expected * from_start)) / account.unit)
    stopped = float(np.mean(still & (np.abs(from_end) >= account.unit)))
    return Slept(end, expected, contraction, short, stopped)


def asleep(rule: Rule, weights: FloatArray, steps: int) -> FloatArray:
    """Float weights after some steps."""
    synapses = RuleLearning(rule, weights)
    post, pre = (np.zeros(n, dtype=np.int64) for n in weights.shape)
    for _ in range(steps):
        synapses.step(pre, post, phase=PHASE)
    return synapses.weights


def integers_asleep(chip: ChipLearning, steps: int) -> IntArray:
    """Integer weights at the start and after each of twice as many steps, [2 * steps + 1, neurons, inputs]."""
    post, pre = (np.zeros(n, dtype=np.int64) for n in chip.weights.shape)
    rows = [chip.weights.copy()]
    for _ in range(2 * steps):
        chip.step(pre, post)
        rows.append(chip.weights.copy())
    return np.stack(rows)


def decay(rule: Rule) -> Term:
    """The term that contracts."""
    (found,) = rule.active(PHASE)
    return found


def warnings(rounding: Rounding, config: LearningConfig | None = None) -> Iterator[str]:
    """What ``snnc learn explain`` warns of with this rounding."""
    config = config or configured(CONFIG)
    if rounding != "float":
        yield from lower_rule(config.rule, replace(config.options, rounding=rounding)).warnings


def train() -> FloatArray:
    """What the layer learned by day."""
    return learned("float", Recipe(epochs=1)).weights


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Lets learned weights sleep, in float and in integers.")
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    weights = train()
    for rounding in ROUNDINGS:
        one, long = sleep(weights, rounding, given.steps), sleep(weights, rounding, NIGHTS * given.steps)
        print(
            f"digits_sleep: {rounding}, after {given.steps} steps distances are times {one.contraction:.4f} "
            f"(expected {one.expected:.4f}), {one.short:.2f} steps of a weight off; after {NIGHTS * given.steps} steps "
            f"{long.short:.2f} off, {100 * long.stopped:.1f} % stand still away from the baseline"
        )
        for line in warnings(rounding):
            print(f"digits_sleep: warning: {line}")


if __name__ == "__main__":
    main()
