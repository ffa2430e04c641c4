"""Recordings of SLAYER networks as arrays in the shapes that networks take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FRAME = 17
"""Steps between two resets of the recorded PilotNet."""
LAYERS = {
    "conv_0": ("layer1", 1), "conv_1": ("layer2", 2), "conv_2": ("layer3", 3), "conv_3": ("layer4", 4),
    "conv_4": ("layer5", 5), "fc_0": ("layer7", 6), "fc_1": ("layer8", 7), "fc_2": ("layer9", 8),
}  # fmt: skip
"""Name in the recording -> population, and its device step of logical step 0."""


def arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def oxford_input(data: Path, rounding: Any = np.rint) -> npt.NDArray[np.int8]:
    """[1, 1890, 200]; events are (neuron, 0, time in steps with fractions)."""
    events = arrays(data / "lava" / "oxford_io.npz")["input"]
    spikes = np.zeros((1, 1890, 200), dtype=np.int8)
    spikes[0, rounding(events[:, 2]).astype(int), events[:, 0].astype(int)] = 1
    return spikes


def oxford_output(data: Path) -> npt.NDArray[np.int8]:
    """[1887, 200] in logical time: the recording starts two steps later and ends at device step 1888."""
    events = arrays(data / "lava" / "oxford_io.npz")["ground_truth"].astype(int)
    spikes = np.zeros((1889, 200), dtype=np.int8)
    spikes[events[:, 2], events[:, 0]] = 1
    assert not spikes[:2].any()
    return spikes[2:]


def pilotnet_spikes(trace: Any) -> npt.NDArray[np.int8]:
    """[24, 3, 66, 200] from (columns, rows, channels, steps)."""
    return np.asarray(trace["input"].transpose(3, 2, 1, 0), dtype=np.int8)


def mnist(data: Path, count: int = 2000) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The first test images as pixels of 0 to 1 [B, 784], and labels."""
    found = arrays(data / "mnist" / "mnist_full.npz")
    return found["xte"][:count].reshape(count, 784) / 255, found["yte"][:count].astype(np.int64)


def rate_coded(pixels: npt.NDArray[np.float64], steps: int) -> npt.NDArray[np.int8]:
    """Integrate the pixel, fire at 1.0, reset to 0; in integers of 1/255."""
    step = np.rint(pixels * 255).astype(np.int64)
    v = np.zeros_like(step)
    spikes = np.zeros((pixels.shape[0], steps, pixels.shape[1]), dtype=np.int8)
    for t in range(steps):
        v = v + step
        spikes[:, t] = v >= 255
        v = np.where(v >= 255, 0, v)
    return spikes


def nmnist_events(data: Path, steps: int = 340) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """The 100 test recordings [B, T, 2312] (polarity, row, column) in steps of 1 ms, at most one spike each."""
    found = arrays(data / "nmnist" / "nmnist_1100.npz")
    chosen = np.flatnonzero(found["is_test"])
    spikes = np.zeros((chosen.size, steps, 2, 34, 34), dtype=np.int8)
    for place, index in enumerate(chosen):
        part = slice(found["offset"][index], found["offset"][index + 1])
        time = found["t_us"][part] // 1000
        spikes[place, time, found["p"][part], found["y"][part], found["x"][part]] = 1
    return spikes.reshape(chosen.size, steps, 2312), found["label"][chosen].astype(np.int64)


def nmnist_layers(data: Path, training: str, dense: Any, neuron: Any) -> list[dict[str, Any]]:
    """The layers of the network that ran on the chip, as :func:`slayer_nets.net_bytes` takes them."""
    found = arrays(data / "nmnist" / "loihi_mlp_nmnist_int8.npz")
    cells = neuron(**{key: int(found[key]) for key in ("vThMant", "vDecay", "iDecay", "refDelay")})
    first = found[f"{training}_fc1"].reshape(512, -1)
    return [dense(first, neuron=cells), dense(found[f"{training}_fc2"], neuron=cells)]
