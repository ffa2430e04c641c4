"""Digits as 1x8x8 images, T = 16: two convolutions with batch normalisation, average pooling, one dense layer."""

from __future__ import annotations

from pathlib import Path

import torch

from _data import CALIBRATION, Samples, digits
from _train import WEIGHTS, Recipe, fit, load_weights, main, save_weights
from snnc.nn import LIF, Sequence

NAME = "digits_conv"
SHAPE = (1, 8, 8)
RECIPE = Recipe(epochs=30)


def network() -> Sequence:
    """The untrained network: spikes [B, 16, 1, 8, 8] -> spikes [B, 16, 10]."""
    return Sequence(
        torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(8),
            LIF((8, 8, 8), decay=0.9),
            torch.nn.AvgPool2d(2),
            torch.nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
            torch.nn.BatchNorm2d(16),
            LIF((16, 2, 2), decay=0.9),
            torch.nn.Flatten(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(64, 10, bias=False),
            LIF(10, decay=0.9),
        )
    )


def build() -> Sequence:
    """The trained network."""
    return load_weights(network(), NAME)


def example() -> Samples:
    """256 training samples for calibration: ``spikes`` [256, 16, 1, 8, 8], ``labels`` [256]."""
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
