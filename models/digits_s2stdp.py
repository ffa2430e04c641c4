"""Digits learned with labels by S2-STDP, 128-50, T = 16: five neurons of each class compete, the first spike wins.

A pixel is two inputs, one for ink and one for paper: the stronger, the earlier its only spike. The class is that of the
neuron that spikes first. Errors, thresholds of training and normalisation are the host's.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from _data import CALIBRATION, STEPS, Part, Samples, digits
from _learning import configured
from snnc.ir import FloatArray, IntArray
from snnc.learning import LearningConfig, Ports, configure, lower_rule
from snnc.learning.host import competed, normalised, s2_errors, winners
from snnc.nn import LIF, Sequence
from snnc_reference.learning import IntegerLearning
from snnc_reference.learning_rules import RuleLearning

CONFIG = Path(__file__).resolve().with_suffix(".toml")
SHAPE = (64,)
INPUTS = 128
CLASSES = 10
THRESHOLD = 0.25
"""Of the sum of a neuron's weights."""
UINT8 = 255
LEAK = 0.9999
"""SpiNNaker's neurons leak; over 16 steps this is as good as none."""
Array = npt.NDArray[Any]
Arithmetic = Literal["float", "uint8 stochastic", "uint8 nearest", "loihi"]
ARITHMETICS: tuple[Arithmetic, ...] = ("float", "uint8 stochastic", "uint8 nearest", "loihi")


@dataclass(frozen=True)
class Recipe:
    """How the layer learns, beside what the rule says.

    Attributes:
        group: neurons of each class; 1: none compete.
        normalise: the host keeps the sum of each neuron's weights.
        epochs: passes over the training part.
        seed: of weights, order and stochastic rounding.
    """

    group: int = 5
    normalise: bool = True
    epochs: int = 12
    seed: int = 0


def encode(part: Part) -> npt.NDArray[np.int64]:
    """Step of the only spike of each input [B, 128]: level 16 in step 0, level 1 in step 15, level 0 never (16)."""
    return np.concatenate([STEPS - part.levels.astype(np.int64), part.levels.astype(np.int64)], axis=1)


def spikes_of(times: Array) -> npt.NDArray[np.int8]:
    """Steps of spikes [B, 128] to spikes [B, 16, 128]."""
    return np.asarray(times[:, np.newaxis] == np.arange(STEPS)[:, np.newaxis], dtype=np.int8)


class FloatLayer:
    """Weights that learn by the rule as written, in float64 or rounded to 8 bits after each change.

    Attributes:
        unit: float weight of one step.
        weights: [neurons, 128] in steps.
    """

    def __init__(self, config: LearningConfig, weights: FloatArray, arithmetic: Arithmetic, seed: int) -> None:
        self.config, self.arithmetic = config, arithmetic
        self.dice = np.random.default_rng(seed)
        self.unit = 1.0 if arithmetic == "float" else config.rule.w_max / UINT8
        self.learning = RuleLearning(config.rule, weights)
        self.write(np.arange(len(weights)), weights)

    @property
    def weights(self) -> Array:
        """[neurons, 128] in steps."""
        found = self.learning.weights / self.unit
        return found if self.arithmetic == "float" else np.rint(found).astype(np.int64)

    def sample(self, pre: Array, post: Array, errors: FloatArray, rate: float) -> None:
        """Spikes [16, 128] and [16, neurons], then the errors times the rate.

        Inputs after the last spike of a neuron change nothing and are left out.
        """
        last = np.flatnonzero(post.any(axis=1))[-1:]
        for step in range(int(last.sum()) + 1):
            self.learning.step(pre[step], post[step])
        self.learning.end_sample({"error": errors * rate})
        changed = np.flatnonzero(errors)
        self.write(changed, self.learning.weights[changed])

    def write(self, rows: Array, weights: FloatArray) -> None:
        """Sets weights, rounded as the arithmetic has it."""
        low, high = self.config.rule.w_min, self.config.rule.w_max
        exact = np.clip(weights, low, high) / self.unit
        if self.arithmetic == "uint8 stochastic":
            exact = np.floor(exact + self.dice.random(exact.shape))
        elif self.arithmetic == "uint8 nearest":
            exact = np.rint(exact)
        self.learning.weights[rows] = exact * self.unit


class LoihiLayer:
    """The same on Loihi's learning engine: 7-bit traces, tags, errors on two ports, stochastic rounding."""

    def __init__(self, config: LearningConfig, weights: FloatArray, seed: int) -> None:
        account = lower_rule(config.rule, replace(config.options, seed=seed, weight_seed=seed))
        engine = account.engine[config.rule.phases[0]]
        assert engine is not None
        self.unit, self.bounds = account.unit, engine.bounds
        self.dice = np.random.default_rng(seed)
        self.ports = Ports(account, len(weights))
        self.learning = IntegerLearning(engine, self._steps(weights))

    @property
    def weights(self) -> Array:
        """[neurons, 128] in device steps."""
        return self.learning.weights

    def sample(self, pre: Array, post: Array, errors: FloatArray, rate: float) -> None:
        """An epoch of the engine with the spikes, and a silent one with the errors."""
        for before, after in zip(pre, post, strict=True):
            self.learning.step(before, after, self.ports.step(after))
        nothing = np.zeros(len(errors), dtype=np.int64)
        silence = np.zeros(pre.shape[1], dtype=np.int64)
        for _ in range(len(pre)):
            self.learning.step(silence, nothing, self.ports.step(nothing, {"error": errors * rate}))
        self.learning.x[:], self.learning.tag_1[:] = 0, 0

    def write(self, rows: Array, weights: FloatArray) -> None:
        """Rounded stochastically."""
        self.learning.weights[rows] = self._steps(weights)

    def _steps(self, weights: FloatArray) -> IntArray:
        exact = weights / self.unit
        return np.clip(np.floor(exact + self.dice.random(exact.shape)), *self.bounds).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Learned:
    """A layer after learning: weights [neurons, 128], the threshold, neurons of each class."""

    weights: Array
    threshold: float
    group: int

    def accuracy(self, part: Part) -> float:
        """Share of samples whose first spike is by a neuron of the label; ties go to the highest potential."""
        heard = encode(part)[:, :, np.newaxis] <= np.arange(STEPS)
        potentials = np.einsum("nf,bft->bnt", self.weights.astype(np.float64), heard)
        found = [first_spikes(v, np.full(len(v), self.threshold)) for v in potentials]
        chosen = [winners(times, height, len(times))[0] // self.group for times, height in found]
        return float(np.mean(np.array(chosen) == part.labels))


def first_spikes(potentials: Array, thresholds: Array) -> tuple[IntArray, FloatArray]:
    """First step [neurons] at the threshold (16: none), and how far above it the potential then is (or at the end)."""
    over = potentials >= thresholds[:, np.newaxis]
    times = np.where(over.any(axis=1), np.argmax(over, axis=1), STEPS)
    height = potentials[np.arange(len(times)), np.minimum(times, STEPS - 1)] - thresholds
    return times, height


def start(recipe: Recipe, total: float) -> FloatArray:
    """Random weights [neurons, 128] with the sum that the host keeps."""
    weights = np.random.default_rng(recipe.seed).normal(0.5, 0.1, (CLASSES * recipe.group, INPUTS))
    return np.clip(normalised(np.clip(weights, 0.0, 1.0), total), 0.0, 1.0)


def build() -> Sequence:
    """The layer before learning, spikes [B, 16, 128] -> spikes [B, 16, 50]."""
    recipe, rule = Recipe(), configured(CONFIG).rule
    total = float(rule["sum_weights"])
    layer = torch.nn.Linear(INPUTS, CLASSES * recipe.group, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start(recipe, total)))
    return Sequence(torch.nn.Sequential(layer, LIF(CLASSES * recipe.group, decay=LEAK, threshold=THRESHOLD * total)))


def example() -> Samples:
    """256 training samples: ``spikes`` [256, 16, 128], ``labels`` [256]."""
    part = digits(SHAPE).train
    return {"spikes": spikes_of(encode(part)[:CALIBRATION]), "labels": part.labels[:CALIBRATION].copy()}


def held_out() -> Samples:
    """The 360 samples that training never sees."""
    part = digits(SHAPE).held_out
    return {"spikes": spikes_of(encode(part)), "labels": part.labels.copy()}


def train(
    arithmetic: Arithmetic = "float", recipe: Recipe = Recipe(), config: LearningConfig | None = None,
    part: Part | None = None,
) -> Learned:  # fmt: skip
    """Learns from labels, one sample after the other.

    Args:
        arithmetic: of weights, traces and tags; potentials are sums of weights, exact in all.
        recipe: how.
        config: the rule and the host's numbers; None takes ``digits_s2stdp.toml``.
        part: to learn from; None takes the training part.
    """
    config, part = config or configured(CONFIG), part or digits(SHAPE).train
    rule = config.rule
    total, gap, rise, step = (float(rule[key]) for key in ("sum_weights", "gap", "A_plus", "threshold_rate"))
    weights = start(recipe, total)
    layer = (
        LoihiLayer(config, weights, recipe.seed) if arithmetic == "loihi"
        else FloatLayer(config, weights, arithmetic, recipe.seed)
    )  # fmt: skip
    times_in, order = encode(part), np.random.default_rng(recipe.seed + 1)
    spikes = spikes_of(times_in)
    floor = THRESHOLD * total
    neurons, rate = np.arange(len(weights)), 1.0
    for _ in range(recipe.epochs):
        training = np.full(len(weights), floor)
        for n in order.permutation(len(part.labels)):
            label = int(part.labels[n])
            own = neurons // recipe.group == label
            potentials = layer.weights @ (times_in[n][:, np.newaxis] <= np.arange(STEPS))
            times, height = first_spikes(potentials, np.where(own, training, floor) / layer.unit)
            best = winners(times, height, recipe.group)
            errors = np.zeros(len(weights))
            errors[best] = s2_errors(times[best], label, STEPS, gap)
            post = np.zeros((STEPS, len(weights)), dtype=np.int8)
            fired = best[times[best] < STEPS]
            post[times[fired], fired] = 1
            layer.sample(spikes[n], post, errors, rate)
            silent = best[times[best] == STEPS]
            if silent.size:
                added = layer.weights[silent] * layer.unit + rate * rise * errors[silent][:, np.newaxis]
                layer.write(silent, added)
            if recipe.normalise:
                layer.write(best, normalised(layer.weights[best] * layer.unit, total))
            training = competed(training, int(best[label]), recipe.group, step, floor)
        rate *= float(rule["anneal"])
    return Learned(layer.weights.copy(), floor / layer.unit, recipe.group)


def one_each(config: LearningConfig) -> LearningConfig:
    """The rule at the rate and the gap at which a layer with one neuron for each class does best."""
    return configure(config.projection, **{**config.as_dict(), "A_plus": 0.01, "A_minus": 0.01, "gap": 4.0, "group": 1})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Learns digits by S2-STDP, with groups that compete and without.")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs, help="half as many on Loihi's engine")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    given = parser.parse_args()
    recipe, config = Recipe(epochs=given.epochs, seed=given.seed), configured(CONFIG)
    single, bare = replace(recipe, group=1), replace(recipe, normalise=False)
    short = replace(recipe, epochs=max(1, given.epochs // 2))
    lines: list[tuple[str, Arithmetic, Recipe, LearningConfig]] = [
        ("float, groups of 5", "float", recipe, config),
        ("float, one neuron for each class, same rates", "float", single, config),
        ("float, one neuron for each class, its own best rates", "float", single, one_each(config)),
        ("float, groups of 5, no normalisation", "float", bare, config),
        ("uint8, stochastic rounding", "uint8 stochastic", recipe, config),
        ("uint8, stochastic rounding, no normalisation", "uint8 stochastic", bare, config),
        ("uint8, nearest rounding", "uint8 nearest", recipe, config),
        (f"Loihi's engine, {short.epochs} epochs", "loihi", short, config),
    ]
    for text, arithmetic, chosen, rule in lines:
        found = train(arithmetic, chosen, rule).accuracy(digits(SHAPE).held_out)
        print(f"digits_s2stdp: {text}: held-out accuracy {found:.4f}", flush=True)
    for line in lower_rule(config.rule, replace(config.options, rounding="nearest")).warnings:
        print(f"digits_s2stdp: warning: {line}")


if __name__ == "__main__":
    main()
