"""What is missing is explained with the extra that brings it; what is not used is not imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snnc.artifacts import installed
from snnc.commands import showing

ROOT = Path(__file__).resolve().parents[2]
FRAMEWORKS = ("snntorch", "spikingjelly", "norse", "sinabs")
SEEN_BY_CAPTURE = """
import sys
import numpy as np, torch
from snnc.capture import capture, probe
from snnc.nn import LIF
from snnc_reference.execute import execute
module = torch.nn.Sequential(torch.nn.Linear(3, 2), LIF())
example = np.ones((2, 4, 3), np.int8)
assert probe(module, capture(module, example), example, execute).equal
print(sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_absent_framework_is_explained_with_its_extra(
    snnc: Any, monkeypatch: pytest.MonkeyPatch, framework: str
) -> None:
    assert f'\n{framework} = ["{framework}>=' in (ROOT / "pyproject.toml").read_text(), "there is no such extra"
    rows = {row["what"]: row for row in json.loads(snnc("doctor", "--json").out)["checks"]}
    assert (rows[framework]["found"], rows[framework]["say"]) == (installed(framework), "ok")

    def absent(name: str) -> str | None:
        return None if name == framework else installed(name)

    monkeypatch.setattr(showing, "installed", absent)
    answer = snnc("doctor", "--json")
    rows = {row["what"]: row for row in json.loads(answer.out)["checks"]}
    assert rows[framework]["found"] == "missing"
    assert f"pip install 'snnc[{framework}]'" in rows[framework]["say"]
    assert answer.code == 0, "a framework that the model does not need is no fault"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_model_of_an_absent_framework_says_what_to_install(
    snnc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, framework: str
) -> None:
    monkeypatch.setitem(sys.modules, framework, None)
    model = tmp_path / "net.py"
    model.write_text(f"import {framework}\n\n\ndef build():\n    return None\n")
    answer = snnc("check", model)
    assert answer.code == 2
    assert f"pip install 'snnc[{framework}]'" in " ".join(answer.err.split())


def test_capture_imports_no_framework_that_the_model_does_not_use() -> None:
    seen = subprocess.run([sys.executable, "-c", SEEN_BY_CAPTURE], capture_output=True, text=True, check=True).stdout
    assert "torch" in seen
    assert not [name for name in (*FRAMEWORKS, "nir", "onnx", "h5py") if f"'{name}'" in seen]


@pytest.mark.parametrize("variable", ["none", "/nowhere/kernels.so"])
def test_the_engine_without_kernels_is_named_and_still_runs(
    snnc: Any, compiled: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("SNNC_KERNELS", variable)
    rows = {row["what"]: row for row in json.loads(snnc("doctor", "--json").out)["checks"]}
    assert rows["engine"]["found"] == "NumPy"
    assert "the same bits" in rows["engine"]["say"]
    assert snnc("run", compiled, "-i", held_out, "--samples", 2).code == 0
    asked = snnc("run", compiled, "-i", held_out, "--samples", 2, "--engine", "event")
    assert asked.code == 3
    assert "no compiled kernels" in asked.err
