"""N-MNIST recordings as binary frames 2x34x34 of 1 ms: input for networks from elsewhere, such as cnn_sinabs.nir.

Not a model: the recordings' licence is another one (CC BY-SA 4.0), so that they are found beside the project or not
at all. ``python models/nmnist.py --export out`` writes what the command ``snnc`` takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.trace import load_npz, npz_bytes, write_atomic

EVENTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "nmnist" / "nmnist_1100.npz"
SIDE = 34
STEP_US = 1000
STEPS = 337
CALIBRATION = 64
KEYS = ("t_us", "x", "y", "p", "offset", "label", "is_test")
Recordings = tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]


def recordings(path: Path = EVENTS, *, test: bool = True, count: int | None = None, steps: int = STEPS) -> Recordings:
    """Recordings as frames: an element is 1 if the pixel sent at least one event of that polarity in that step.

    Args:
        path: raw events: ``t_us x y p`` per event, ``offset`` [N + 1], ``label`` and ``is_test`` [N].
        test: the test recordings, or those to train on.
        count: the first ones only.
        steps: steps of 1 ms; later events are left out (the longest recording has 337 steps).

    Returns:
        spikes [B, steps, 2, 34, 34] int8 (channel = polarity p, then y, then x) and labels [B].

    Raises:
        InputError: the file is not on this machine, or is another one.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: the N-MNIST events are not on this machine; put an .npz there with {', '.join(KEYS)}"
        )
    data = load_npz(path)
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise InputError(f"{path}: no array {', '.join(missing)}; found {', '.join(sorted(data))}")
    chosen = np.flatnonzero(data["is_test"] == test)[:count]
    spikes = np.zeros((len(chosen), steps, 2, SIDE, SIDE), dtype=np.int8)
    for row, index in enumerate(chosen):
        events = slice(int(data["offset"][index]), int(data["offset"][index + 1]))
        when = data["t_us"][events] // STEP_US
        kept = when < steps
        x, y, p = (data[key][events][kept] for key in ("x", "y", "p"))
        spikes[row, when[kept], p, y, x] = 1
    return spikes, data["label"][chosen].astype(np.int64)


def export(folder: Path, path: Path = EVENTS) -> None:
    """Writes ``nmnist_held_out.npz`` (the test recordings) and ``nmnist_calibration.npz`` (64 others)."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, dict[str, Any]] = {
        "held_out": {"test": True},
        "calibration": {"test": False, "count": CALIBRATION},
    }
    for name, which in parts.items():
        spikes, labels = recordings(path, **which)
        write_atomic(folder / f"nmnist_{name}.npz", npz_bytes({"spikes": spikes, "labels": labels}))
        print(f"wrote {folder / f'nmnist_{name}.npz'}: {spikes.shape}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Writes N-MNIST recordings as input files for snnc.")
    parser.add_argument("--export", type=Path, required=True, metavar="DIR", help="folder for the two .npz files")
    parser.add_argument("--events", type=Path, default=EVENTS, help="the raw events")
    given = parser.parse_args()
    try:
        export(given.export, given.events)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
