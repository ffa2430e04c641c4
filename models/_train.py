"""Training, weights and command line that the example models share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from _data import Part, Samples, rate_code
from snnc.errors import InputError
from snnc.nn import Sequence
from snnc.trace import load_npz, npz_bytes, write_atomic

WEIGHTS = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; equal recipes give equal weights on one machine.

    Attributes:
        epochs: passes over the training part.
        batch: samples per update.
        rate: learning rate of Adam; falls to 0 along a half cosine.
        decay: weight decay.
        logit: what one output spike adds to its class's logit.
        frozen_norms: share of the epochs, at the end, in which batch normalisation uses its running statistics, so
            that the weights are trained for what inference computes.
        seed: of weights, order and dropout.
    """

    epochs: int
    batch: int = 64
    rate: float = 5e-3
    decay: float = 0.0
    logit: float = 0.5
    frozen_norms: float = 0.4
    seed: int = 0


def fit(network: Callable[[], Sequence], part: Part, recipe: Recipe, epochs: int | None = None) -> Sequence:
    """Trains a fresh network with cross-entropy on output spike counts; prints a line per epoch.

    Args:
        network: makes the untrained network.
        part: training part; nothing else is looked at.
        recipe: see :class:`Recipe`.
        epochs: instead of the recipe's.
    """
    total = recipe.epochs if epochs is None else epochs
    with _reproducible(recipe.seed):
        model = network()
        order = np.random.default_rng(recipe.seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
        updates = -(-len(part.labels) // recipe.batch) * total
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(updates, 1))
        for epoch in range(total):
            model.train()
            if epoch >= round(total * (1 - recipe.frozen_norms)):
                _freeze_norms(model)
            loss, right = 0.0, 0
            shuffled = order.permutation(len(part.labels))
            for start in range(0, len(shuffled), recipe.batch):
                chosen = shuffled[start : start + recipe.batch]
                labels = torch.from_numpy(part.labels[chosen])
                counts = model(torch.from_numpy(rate_code(part.levels[chosen])).float()).sum(1)
                error = torch.nn.functional.cross_entropy(counts * recipe.logit, labels)
                optimizer.zero_grad()
                error.backward()
                optimizer.step()
                schedule.step()
                loss += error.item() * len(chosen)
                right += int((counts.argmax(1) == labels).sum())
            n = len(shuffled)
            print(f"epoch {epoch + 1:3d}/{total}  loss {loss / n:.4f}  training accuracy {right / n:.4f}", flush=True)
    return model.eval()


def accuracy(model: torch.nn.Module, samples: Samples, batch: int = 500) -> float:
    """Share of samples whose most active output (the first among equals) is the label."""
    spikes, labels = samples["spikes"], samples["labels"]
    right = 0
    with torch.no_grad():
        for start in range(0, len(labels), batch):
            counts = model(torch.from_numpy(spikes[start : start + batch]).float()).sum(1)
            right += int((counts.argmax(1).numpy() == labels[start : start + batch]).sum())
    return right / len(labels)


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Writes the state dict as .npz; equal weights give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, npz_bytes({key: value.detach().numpy() for key, value in model.state_dict().items()}))


def load_weights(model: Sequence, name: str) -> Sequence:
    """Puts the committed weights into the network, ready for inference.

    Raises:
        InputError: there are no weights, or they belong to another network.
    """
    path = WEIGHTS / f"{name}.npz"
    if not path.is_file():
        raise InputError(f"{path}: no trained weights; make them with: python models/{name}.py")
    try:
        model.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in load_npz(path).items()})
    except RuntimeError as error:
        raise InputError(f"{path}: the weights do not fit the network: {error}") from error
    return model.eval()


def main(
    name: str,
    train: Callable[[], Sequence],
    example: Callable[[], Samples],
    held_out: Callable[[], Samples],
) -> None:
    """The script: trains and reports, or with ``--export`` writes input files for the snnc command."""
    parser = argparse.ArgumentParser(description=f"Trains {name}, or exports its data.")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write input files there and do not train")
    options = parser.parse_args()
    if options.export is None:
        model = train()
        print(f"{name}: held-out accuracy {accuracy(model, held_out()):.4f}")
        return
    options.export.mkdir(parents=True, exist_ok=True)
    for kind, samples in (("held_out", held_out()), ("calibration", example())):
        path = options.export / f"{name}_{kind}.npz"
        write_atomic(path, npz_bytes(samples))
        print(f"{path}: spikes {list(samples['spikes'].shape)}")


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread and a fixed seed inside; the caller's settings are untouched."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _freeze_norms(model: torch.nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
