"""Data of the example models: images as 16 gray levels, fixed splits, and the code that turns levels into spikes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.trace import load_npz

STEPS = 16
CALIBRATION = 256
MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist" / "mnist_full.npz"
Samples = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Part:
    """One side of a split: gray levels [N, *shape] from 0 to 16 and labels [N]."""

    levels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def samples(self, count: int | None = None) -> Samples:
        """The first ``count`` samples (all if None) as ``spikes`` [B, 16, *shape] int8 and ``labels`` [B]."""
        return {"spikes": rate_code(self.levels[:count]), "labels": self.labels[:count].copy()}


@dataclass(frozen=True, eq=False)
class Split:
    """What is trained and calibrated on, and what is held out."""

    train: Part
    held_out: Part


def rate_code(levels: npt.NDArray[np.uint8], steps: int = STEPS) -> npt.NDArray[np.int8]:
    """Level k of a pixel becomes k spikes, evenly spaced over the steps; [N, *shape] -> [N, steps, *shape].

    There is a spike in step t where ``(k * t + steps/2) // steps`` grows from t to t + 1; nothing is random.
    """
    edges = np.arange(steps + 1).reshape(-1, *(1,) * (levels.ndim - 1))
    grown = np.diff((levels[:, np.newaxis].astype(np.int32) * edges + steps // 2) // steps, axis=1)
    return grown.astype(np.int8)


def digits(shape: tuple[int, ...]) -> Split:
    """scikit-learn's 1,797 digits of 8x8 pixels: 1,437 to train, 360 held out, stratified, seed 0."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    train, held_out = train_test_split(np.arange(len(data.target)), test_size=360, random_state=0, stratify=data.target)
    levels = data.data.astype(np.uint8).reshape(-1, *shape)
    labels = data.target.astype(np.int64)
    return Split(Part(levels[train], labels[train]), Part(levels[held_out], labels[held_out]))


def mnist(path: Path = MNIST) -> Split:
    """MNIST, 60,000 images to train and 10,000 held out, flat [784].

    Raises:
        InputError: the file is not on this machine, or is another one.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: the MNIST images are not on this machine; put an .npz there with xtr, ytr (60,000 images of 784 "
            "pixels, 0 to 255, and labels) and xte, yte (10,000)"
        )
    data = load_npz(path)
    missing = [key for key in ("xtr", "ytr", "xte", "yte") if key not in data]
    if missing:
        raise InputError(f"{path}: no array {', '.join(missing)}; found {', '.join(sorted(data))}")
    return Split(_mnist_part(data["xtr"], data["ytr"]), _mnist_part(data["xte"], data["yte"]))


def _mnist_part(images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Part:
    pixels = images.reshape(len(images), -1).astype(np.uint32)
    return Part(((pixels * STEPS + 127) // 255).astype(np.uint8), labels.reshape(-1).astype(np.int64))
