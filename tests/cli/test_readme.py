"""The README says nothing that a command does not show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def words(line: str) -> list[str]:
    return line.split()


def test_the_table_on_the_first_page_is_what_validate_prints(snnc: Any, compiled: Path, held_out: Path) -> None:
    head = README.splitlines()[:25]
    shown = [words(line) for line in head if re.match(r" (network|float|fixed|loihi1|spinnaker1) ", line)]
    assert len(shown) == 5, "the first 25 lines show the command and its output"
    ran = snnc("validate", compiled, "--data", held_out)
    assert ran.code == 0, ran.err
    printed = [words(line) for line in ran.out.splitlines()]
    for line in shown:
        assert line in printed, f"the README shows {' '.join(line)}"
    verdict = next(line for line in head if line.startswith("PASS"))
    assert verdict in ran.out


def test_the_model_of_the_readme_goes_down_the_corridor(snnc: Any, tmp_path: Path, monkeypatch: Any) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    (tmp_path / "net.py").write_text(code.group(1))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    np.savez("data.npz", spikes=(rng.random((3, 16, 64)) < 0.3).astype(np.int8))
    assert snnc("check", "net.py").code == 0
    assert snnc("init", "net.py").code == 0
    assert snnc("compile", "net.py", "-t", "loihi1").code == 0
    assert snnc("run", "out/net", "--backend", "loihi", "--input", "data.npz", "-o", "trace.npz").code == 0
    assert snnc("run", "out/net", "-b", "reference", "-t", "loihi1", "-i", "data.npz", "-o", "other.npz").code == 0
    assert snnc("compare", "trace.npz", "other.npz").code == 0


def test_every_verb_and_target_of_the_readme_exists(snnc: Any) -> None:
    verbs = set(re.findall(r"\bsnnc ([a-z]+)", README)) - {"import", "in"}
    listed = snnc("--help").out
    assert {verb for verb in verbs if verb not in listed} == set()
    for name in re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE):
        assert snnc("targets", "show", name).code == 0
