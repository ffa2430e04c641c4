"""Digits as a ReLU network without time, 64-96-48-10: what `snnc convert` makes a spiking network of."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from _data import CALIBRATION, Part, Samples, digits
from _train import WEIGHTS, save_weights
from snnc.errors import InputError
from snnc.trace import load_npz, npz_bytes, write_atomic

NAME = "digits_ann"
SHAPE = (64,)
EPOCHS = 60


def network() -> torch.nn.Sequential:
    """The untrained network: values [B, 64] from 0 to 1 -> answers [B, 10]."""
    return torch.nn.Sequential(
        torch.nn.Linear(64, 96, bias=False),
        torch.nn.BatchNorm1d(96),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(96, 48),
        torch.nn.ReLU(),
        torch.nn.Linear(48, 10),
    )


def build() -> torch.nn.Module:
    """The trained network.

    Raises:
        InputError: there are no weights.
    """
    path = WEIGHTS / f"{NAME}.npz"
    if not path.is_file():
        raise InputError(f"{path}: no trained weights; make them with: python models/{NAME}.py")
    model = network()
    model.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in load_npz(path).items()})
    return model.eval()


def values(part: Part, count: int | None = None) -> Samples:
    """The first ``count`` samples (all if None): ``values`` [B, 64] from 0 to 1, ``labels`` [B]."""
    return {"values": part.levels[:count] / 16.0, "labels": part.labels[:count].copy()}


def example() -> Samples:
    """256 training samples on which activations are measured."""
    return values(digits(SHAPE).train, CALIBRATION)


def held_out() -> Samples:
    """The 360 samples that training never sees."""
    return values(digits(SHAPE).held_out)


def train(epochs: int = EPOCHS, weights: Path = WEIGHTS / f"{NAME}.npz") -> torch.nn.Module:
    """Trains on the 1,437 other samples and writes ``weights``."""
    given = values(digits(SHAPE).train)
    x, y = torch.from_numpy(given["values"]).float(), torch.from_numpy(given["labels"])
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = network()
    order = np.random.default_rng(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        shuffled = order.permutation(len(y))
        for start in range(0, len(y), 64):
            chosen = shuffled[start : start + 64]
            error = torch.nn.functional.cross_entropy(model(x[chosen]), y[chosen])
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        schedule.step()
    save_weights(model, weights)
    return model.eval()


def accuracy(model: torch.nn.Module, samples: Samples) -> float:
    """Share of samples whose largest answer is the label."""
    with torch.no_grad():
        found = model(torch.from_numpy(samples["values"]).float()).argmax(1).numpy()
    return float((found == samples["labels"]).mean())


def main() -> None:
    """Trains and reports, or with ``--export`` writes input files for the snnc command."""
    parser = argparse.ArgumentParser(description=f"Trains {NAME}, or exports its data.")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write input files there and do not train")
    options = parser.parse_args()
    if options.export is None:
        print(f"{NAME}: held-out accuracy {accuracy(train(), held_out()):.4f}")
        return
    options.export.mkdir(parents=True, exist_ok=True)
    for kind, samples in (("held_out", held_out()), ("calibration", example())):
        path = options.export / f"{NAME}_{kind}.npz"
        write_atomic(path, npz_bytes(samples))
        print(f"{path}: values {list(samples['values'].shape)}")


if __name__ == "__main__":
    main()
