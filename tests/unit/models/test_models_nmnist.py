"""models/nmnist.py: events become frames, one by one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from snnc.errors import InputError

SCRIPT = Path(__file__).resolve().parents[3] / "models" / "nmnist.py"


@pytest.fixture(scope="module")
def nmnist() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nmnist_under_test", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Two recordings: one to train on, one to test with four events, of which two fall into one element."""
    np.savez(
        tmp_path / "events.npz",
        t_us=np.array([5, 0, 999, 1000, 3500], dtype=np.uint32),
        x=np.array([1, 7, 7, 7, 33], dtype=np.uint8), y=np.array([2, 3, 3, 3, 0], dtype=np.uint8),
        p=np.array([0, 1, 1, 1, 0], dtype=np.uint8), offset=np.array([0, 1, 5]), label=np.array([4, 9], dtype=np.uint8),
        is_test=np.array([False, True]),
    )  # fmt: skip
    return tmp_path / "events.npz"


def test_events_become_binary_frames(nmnist: ModuleType, events: Path) -> None:
    spikes, labels = nmnist.recordings(events, steps=4)
    assert (spikes.shape, spikes.dtype, labels.tolist()) == ((1, 4, 2, 34, 34), np.int8, [9])
    assert np.argwhere(spikes).tolist() == [[0, 0, 1, 3, 7], [0, 1, 1, 3, 7], [0, 3, 0, 0, 33]]
    assert spikes.max() == 1


def test_parts_and_ends(nmnist: ModuleType, events: Path) -> None:
    train, labels = nmnist.recordings(events, test=False)
    assert (train.shape[1], labels.tolist(), np.argwhere(train).tolist()) == (337, [4], [[0, 0, 0, 2, 1]])
    assert nmnist.recordings(events, steps=3)[0].sum() == 2
    assert len(nmnist.recordings(events, count=0)[0]) == 0


def test_another_file_is_refused(nmnist: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not on this machine"):
        nmnist.recordings(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(InputError, match="no array t_us, y, p"):
        nmnist.recordings(tmp_path / "other.npz")


def test_the_script_exports(events: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--export", str(tmp_path / "out"), "--events", str(events)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "nmnist_held_out.npz: (1, 337, 2, 34, 34)" in done.stdout
    with np.load(tmp_path / "out" / "nmnist_held_out.npz", allow_pickle=False) as data:
        assert data["spikes"].sum() == 3
        assert data["labels"].tolist() == [9]
    failed = subprocess.run(
        [sys.executable, str(SCRIPT), "--export", str(tmp_path / "out"), "--events", str(tmp_path / "none.npz")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert failed.returncode == 1
    assert "not on this machine" in failed.stderr
