"""MNIST, 784-128-10, T = 16: two dense layers without bias, hard reset. Needs the images to train, not to build."""

from __future__ import annotations

from pathlib import Path

import torch

from _data import CALIBRATION, Samples, mnist
from _train import WEIGHTS, Recipe, fit, load_weights, main, save_weights
from snnc.nn import LIF, Sequence

NAME = "mnist_mlp"
RECIPE = Recipe(epochs=6, batch=128, rate=2e-3)


def network() -> Sequence:
    """The untrained network: spikes [B, 16, 784] -> spikes [B, 16, 10]."""
    return Sequence(
        torch.nn.Sequential(
            torch.nn.Linear(784, 128, bias=False),
            LIF(128, decay=0.9),
            torch.nn.Linear(128, 10, bias=False),
            LIF(10, decay=0.9),
        )
    )


def build() -> Sequence:
    """The trained network; needs only the committed weights."""
    return load_weights(network(), NAME)


def example() -> Samples:
    """256 training samples for calibration: ``spikes`` [256, 16, 784], ``labels`` [256].

    Raises:
        InputError: the images are not on this machine.
    """
    return mnist().train.samples(CALIBRATION)


def held_out() -> Samples:
    """The 10,000 test images; raises as :func:`example` does."""
    return mnist().held_out.samples()


def train(epochs: int | None = None, weights: Path = WEIGHTS / f"{NAME}.npz") -> Sequence:
    """Trains on the 60,000 training images and writes ``weights``; raises as :func:`example` does."""
    model = fit(network, mnist().train, RECIPE, epochs)
    save_weights(model, weights)
    return model


if __name__ == "__main__":
    main(NAME, train, example, held_out)
