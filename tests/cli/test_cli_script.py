"""The compiled digits network on the exported script, where snnc cannot be imported; and the core table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

WALL = (
    "import runpy, sys; sys.modules['snnc'] = None; sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def test_the_script_runs_the_digits_as_the_reference_does(
    snnc: Any, compiled: Path, held_out: Path, tmp_path: Path
) -> None:
    with np.load(held_out, allow_pickle=False) as data:
        np.savez(tmp_path / "few.npz", spikes=data["spikes"][:12])
    before = sorted(compiled.rglob("*"))
    command = [sys.executable, "-I", "-c", WALL, compiled / "loihi1" / "run_lava.py", "few.npz", "lava.npz", "--states"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert sorted(compiled.rglob("*")) == before
    for target, other in (("loihi1", "loihi.npz"), ("generic", "generic.npz")):
        out = tmp_path / other
        arguments = ("-b", "reference", "-t", target, "-i", tmp_path / "few.npz", "--states", "-o", out)
        assert snnc("run", compiled, *arguments).code == 0
    equal = json.loads(snnc("compare", tmp_path / "loihi.npz", tmp_path / "lava.npz", "--json").out)
    assert equal["pass"]
    assert equal["fraction"] == 0
    shown = snnc("compare", tmp_path / "loihi.npz", tmp_path / "lava.npz").out
    assert "values of reference and lava are equal" in shown
    # The integers of another target are other integers: the comparison can fail.
    assert snnc("compare", tmp_path / "generic.npz", tmp_path / "lava.npz").code == 1


def test_inspect_shows_every_core(snnc: Any, compiled: Path) -> None:
    table = json.loads(snnc("inspect", compiled, "--json").out)["targets"]["loihi1"]["tables"]["cores"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [(row["chip"], row["core"], row["neurons"]) for row in rows] == [(0, 0, "0 to 63"), (0, 1, "0 to 9")]
    # 64 axons of ceil((10 + 64 * 8) / 64) words, then of ceil((10 + 10 * 8) / 64).
    assert [row["synaptic words"] for row in rows] == [[64 * 9, 16384], [64 * 2, 16384]]
    shown = snnc("inspect", compiled).out
    assert "Cores" in shown
    assert "16,384" in shown
