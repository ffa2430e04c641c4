"""What ``pytest tests/golden --golden-dir DIR`` answers: a vector that is not checked is never passed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from golden_base import Kind, report

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "tests" / "golden" / "vectors"


def outcome(folder: Path) -> tuple[int, str]:
    """Exit code and output of a run over the folder."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/golden",
        "--golden-dir",
        str(folder),
        "-rA",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("exists", [True, False])
def test_folder_without_vectors_fails(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "empty"
    if exists:
        (folder / "gen").mkdir(parents=True)
        (folder / "README.md").write_text("no numbers here")
        (folder / "gen" / "hidden.npz").write_bytes(b"not looked at")
    code, text = outcome(folder)
    assert code == 1
    assert "holds no golden vectors" in text


def change(source: str, target: Path, edit: Callable[[dict[str, np.ndarray]], None]) -> None:
    with np.load(VECTORS / f"{source}.npz") as found:
        data = dict(found)
    edit(data)
    np.savez_compressed(target, **data)


def one_more(key: str) -> Callable[[dict[str, np.ndarray]], None]:
    def edit(data: dict[str, np.ndarray]) -> None:
        data[key].flat[data[key].size // 2] += 1

    return edit


def test_each_file_gets_its_own_verdict(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("ignored")
    (tmp_path / "gen.py").write_text("ignored")
    shutil.copy(VECTORS / "lava_recurrent_dense.npz", tmp_path / "good.npz")
    change("lava_recurrent_dense", tmp_path / "changed.npz", one_more("v"))
    change("lava_recurrent_dense", tmp_path / "lava_recurrent_dense.npz", lambda data: data.pop("a_rec"))
    change("lava_recurrent_dense", tmp_path / "extra.npz", lambda data: data.update(more=np.arange(3)))
    change("lava_recurrent_dense", tmp_path / "short.npz", lambda data: data.update(spikes=data["spikes"][:-1]))
    for key in ("v", "final_row_words"):
        change("lif_curr_delta_random", tmp_path / f"changed_{key}.npz", one_more(key))
    np.savez(tmp_path / "foreign.npz", x=np.arange(4))
    (tmp_path / "foreign.json").write_text(json.dumps({"x": 1}))
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "damaged.npz").write_bytes(b"PK no archive")
    code, text = outcome(tmp_path)
    assert code == 1
    verdicts = dict(
        reversed(line.split(" - ")[0].split(" ", 1)) for line in text.splitlines() if line[:6] in ("PASSED", "FAILED")
    )
    passed = [test for test, verdict in verdicts.items() if verdict == "PASSED"]
    assert passed == ["tests/golden/test_vectors.py::test_vector[good.npz]"]
    assert len(verdicts) == 11
    assert "good.npz: 15360 values, 0 differing" in text
    assert "  v: 1 of 3840 differ, first at [16, 0]: vector " in text
    assert "  v: 1 differ, first at [100, 0]: vector " in text
    assert "  final_row_words: 1 of " in text
    assert "the nearest is lava_recurrent_dense, which also needs a_rec" in text
    assert "more: lava_recurrent_dense has no such field, so that nothing compared it" in text
    assert "recognised as lava_recurrent_dense, but its fields do not fit together" in text
    assert text.count("unknown kind of vector") >= 3
    assert "a vector file holds an object, not list" in text
    assert "damaged.npz: cannot be read as .npz" in text


def test_a_kind_that_waits_for_an_executor_is_not_passed() -> None:
    waiting = Kind("a new chip", frozenset({"spikes"}))
    lines = report("new.npz", waiting.run({"spikes": np.zeros(2)}))
    assert lines[1:] == ["  file: recognised as a new chip, not executed by any executor yet"]
