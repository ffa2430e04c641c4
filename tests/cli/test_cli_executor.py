"""`snnc run --executor`: the release programs of SpiNNaker behind the same command, and names that do not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_release_programs_give_the_emulators_trace(snnc: Any, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    made, wanted = tmp_path / "binary.npz", tmp_path / "emulator.npz"
    options = ("run", compiled, "-b", "spinnaker", "-i", held_out, "--samples", 2, "--states")
    ran = snnc(*options, "--executor", "binary", "-o", made)
    assert ran.code == 0, ran.err
    assert snnc(*options, "-o", wanted).code == 0
    assert snnc("compare", made, wanted).code == 0
    assert snnc(*options[:-2], 1, "--states", "-o", wanted).code == 0
    assert snnc("compare", made, wanted).code == 2


def test_an_unknown_executor_is_refused(snnc: Any, compiled: Path, held_out: Path) -> None:
    ran = snnc("run", compiled, "-b", "spinnaker", "-i", held_out, "--executor", "binar")
    assert ran.code == 2
    assert "no executor of the back end 'spinnaker' is called 'binar'; the nearest is 'binary'" in ran.err
    for backend in ("reference", "loihi", "onnxruntime"):
        ran = snnc("run", compiled, "-b", backend, "-i", held_out, "--executor", "binary")
        assert ran.code == 2
        assert "(there are emulator)" in ran.err
