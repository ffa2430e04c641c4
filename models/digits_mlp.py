"""Digits, 64-64-10, T = 16: two dense layers without bias, hard reset, one decay and one threshold for all."""

from __future__ import annotations

from pathlib import Path

import torch

from _data import CALIBRATION, Samples, digits
from _train import WEIGHTS, Recipe, fit, load_weights, main, save_weights
from snnc.nn import LIF, Sequence

NAME = "digits_mlp"
SHAPE = (64,)
RECIPE = Recipe(epochs=40)


def network() -> Sequence:
    """The untrained network: spikes [B, 16, 64] -> spikes [B, 16, 10]."""
    return Sequence(
        torch.nn.Sequential(
            torch.nn.Linear(64, 64, bias=False),
            LIF(64, decay=0.9),
            torch.nn.Linear(64, 10, bias=False),
            LIF(10, decay=0.9),
        )
    )


def build() -> Sequence:
    """The trained network."""
    return load_weights(network(), NAME)


def example() -> Samples:
    """256 training samples for calibration: ``spikes`` [256, 16, 64], ``labels`` [256]."""
    return digits(SHAPE).train.samples(CALIBRATION)


def held_out() -> Samples:
    """The 360 samples that training never sees."""
    return digits(SHAPE).held_out.samples()


def train(epochs: int | None = None, weights: Path = WEIGHTS / f"{NAME}.npz") -> Sequence:
    """Trains on the 1,437 other samples and writes ``weights``."""
    model = fit(network, digits(SHAPE).train, RECIPE, epochs)
    save_weights(model, weights)
    return model


if __name__ == "__main__":
    main(NAME, train, example, held_out)
