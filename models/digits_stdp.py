"""Digits learned without labels, 64-100, T = 16: soft-bound STDP, the winner takes all, thresholds keep rates alike.

In each step at most one neuron spikes: the one that is furthest over its threshold. It takes all potentials back to 0.
After a sample the host scales the weights into each neuron that spiked to one sum, and moves thresholds towards equal
rates. Labels come in only at the end: each neuron gets the class that made it spike most.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from _data import CALIBRATION, Samples, digits
from _learning import ARITHMETICS, Arithmetic, configured, synapses
from snnc.ir import FloatArray, IntArray
from snnc.learning import LearningConfig
from snnc.learning.host import labelled, normalised
from snnc.nn import LIF, Sequence

CONFIG = Path(__file__).resolve().with_suffix(".toml")
SHAPE = (64,)
CLASSES = 10
SILENT = -1
LEAK = 0.9999
"""SpiNNaker's neurons leak; over 16 steps this is as good as none."""
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recipe:
    """How the layer learns.

    Attributes:
        neurons: that compete.
        threshold: of all of them at the start.
        total: sum of the weights into each neuron; 0: the host does not normalise.
        homeostasis: what a spike more than the mean of a sample adds to a threshold; falls to 0 along a line.
        epochs: passes over the training part.
        samples: of the training part; 0 for all.
        seed: of weights, order and stochastic rounding.
    """

    neurons: int = 100
    threshold: float = 30.0
    total: float = 12.8
    homeostasis: float = 0.8
    epochs: int = 2
    samples: int = 0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Learned:
    """A layer after learning: weights [neurons, 64] and thresholds [neurons] in steps of ``unit``."""

    weights: Array
    thresholds: Array
    unit: float

    def counts(self, spikes: npt.NDArray[np.int8]) -> IntArray:
        """Spikes [B, T, 64] -> number of spikes [B, neurons]; nothing learns."""
        v: Array = np.zeros((len(spikes), len(self.weights)), dtype=self.weights.dtype)
        found = np.zeros(v.shape, dtype=np.int64)
        for now in np.moveaxis(spikes.astype(self.weights.dtype), 1, 0):
            v = v + now @ self.weights.T
            first, over = furthest(v, self.thresholds)
            rows = np.flatnonzero(over)
            found[rows, first[rows]] += 1
            v[rows] = 0
        return found


def furthest(v: Array, thresholds: Array) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """The neuron that is furthest over its threshold, and whether it is: v [..., neurons]."""
    height = v - thresholds
    first = np.argmax(height, axis=-1)
    return first, np.take_along_axis(height, first[..., np.newaxis], axis=-1)[..., 0] >= 0


def start(recipe: Recipe) -> FloatArray:
    """Random weights [neurons, 64] with the sum that the host keeps."""
    weights = np.random.default_rng(recipe.seed).random((recipe.neurons, *SHAPE))
    return np.clip(normalised(weights, recipe.total or 12.8), 0.0, 1.0)


def network(recipe: Recipe = Recipe()) -> Sequence:
    """The layer before learning, spikes [B, 16, 64] -> spikes [B, 16, neurons]; competition is the host's."""
    layer = torch.nn.Linear(*SHAPE, recipe.neurons, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start(recipe)))
    return Sequence(torch.nn.Sequential(layer, LIF(recipe.neurons, decay=LEAK, threshold=recipe.threshold)))


def build() -> Sequence:
    """The layer before learning."""
    return network()


def example() -> Samples:
    """256 training samples: ``spikes`` [256, 16, 64], ``labels`` [256]."""
    return digits(SHAPE).train.samples(CALIBRATION)


def held_out() -> Samples:
    """The 360 samples that training never sees."""
    return digits(SHAPE).held_out.samples()


def train(arithmetic: Arithmetic = "float", recipe: Recipe = Recipe(), config: LearningConfig | None = None) -> Learned:
    """Learns from the training part; labels are not looked at.

    Args:
        arithmetic: of weights and traces. Potentials are sums of weights, exact in all three.
        recipe: how.
        config: the rule; None takes ``digits_stdp.toml``.
    """
    spikes = digits(SHAPE).train.samples(recipe.samples or None)["spikes"].astype(np.bool_)
    projection = synapses(arithmetic, config or configured(CONFIG), start(recipe), recipe.seed)
    unit, order = projection.unit, np.random.default_rng(recipe.seed + 1)
    whole = arithmetic != "float"
    level = np.full(recipe.neurons, recipe.threshold)
    last = recipe.epochs * len(spikes)
    for done in range(last):
        if done % len(spikes) == 0:
            shuffled = order.permutation(len(spikes))
        thresholds = np.rint(level / unit) if whole else level
        v: Array = np.zeros(recipe.neurons)
        counts = np.zeros(recipe.neurons)
        for pre in spikes[shuffled[done % len(spikes)]]:
            v = v + projection.arrive(pre)
            first, over = furthest(v, thresholds)
            post = np.zeros(recipe.neurons, dtype=np.int8)
            if over:
                post[first] = 1
                counts += post
                v[:] = 0
            projection.learn(post)
        projection.rest()
        fired = np.flatnonzero(counts)
        if recipe.total:
            projection.write(fired, normalised(projection.weights[fired] * unit, recipe.total))
        level += recipe.homeostasis * (1 - done / last) * (counts - counts.mean())
    return Learned(projection.weights.copy(), np.rint(level / unit).astype(np.int64) if whole else level, unit)


def untrained(recipe: Recipe = Recipe()) -> Learned:
    """The layer that it starts from."""
    return Learned(start(recipe), np.full(recipe.neurons, recipe.threshold), 1.0)


def accuracy(learned: Learned, labels: Array | None = None) -> float:
    """Share of held-out samples whose class wins the vote of the neurons.

    Args:
        learned: a layer.
        labels: of the training part, by which neurons get their classes; None takes the true ones.
    """
    split = digits(SHAPE)
    known = split.train.samples()
    counts = learned.counts(known["spikes"])
    classes = labelled(counts, known["labels"] if labels is None else labels, CLASSES)
    classes[counts.sum(axis=0) == 0] = SILENT
    samples = split.held_out.samples()
    spikes = learned.counts(samples["spikes"])
    votes = np.stack([spikes[:, classes == c].sum(axis=1) for c in range(CLASSES)], axis=1)
    sizes = np.array([max(1, np.count_nonzero(classes == c)) for c in range(CLASSES)])
    return float(np.mean(np.argmax(votes / sizes, axis=1) == samples["labels"]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Learns digits without labels, in three arithmetics.")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    given = parser.parse_args()
    recipe = Recipe(epochs=given.epochs, seed=given.seed)
    print(f"digits_stdp: before learning, held-out accuracy {accuracy(untrained(recipe)):.4f}")
    for arithmetic in ARITHMETICS:
        print(f"digits_stdp: {arithmetic}, held-out accuracy {accuracy(train(arithmetic, recipe)):.4f}", flush=True)


if __name__ == "__main__":
    main()
