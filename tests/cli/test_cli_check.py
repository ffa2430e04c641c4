"""`snnc check`: all nodes, all targets, all findings at once; codes 0, 2 and 3; and output that nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Snnc = Any
ROOT = Path(__file__).resolve().parents[2]
STRANGE = """
import numpy as np
import torch
from torch import nn
from snnc.nn import LIF

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), LIF(5, reset="subtract"), nn.Linear(5, 4), LIF(4, reset="subtract"))

def example():
    return (np.random.default_rng(0).random((2, 10, 6)) < 0.5).astype(np.int8)
"""


def test_every_target_and_every_finding(snnc: Snnc, tmp_path: Path) -> None:
    model = tmp_path / "net.py"
    model.write_text(STRANGE)
    ran = snnc("check", model, "--json")
    assert ran.code == 3
    report = json.loads(ran.out)
    names = {row["name"] for row in json.loads(snnc("targets", "--json").out)["targets"]}
    assert set(report["targets"]) == names, "no target is left out"
    assert [n["type"] for n in report["nodes"]] == ["input", "affine", "neuron", "affine", "neuron", "readout"]
    neurons = [n["name"] for n in report["nodes"] if n["type"] == "neuron"]
    found = report["targets"]["loihi1"]["violations"]
    assert [v["node"] for v in found if v["quantity"] == "reset_v"] == neurons, "the second is named as the first is"
    assert report["targets"]["generic"] == {"ok": True, "violations": []}
    ran = snnc("check", model, "-t", "generic", "--json")
    assert (ran.code, list(json.loads(ran.out)["targets"])) == (0, ["generic"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.py", None, "none.py"),
        ("bad.py", b"def build(:\n", "line 1"),
        ("bad.py", b"raise SystemExit(4)\n", "bad.py"),
        ("bad.py", b"\0\xff", "bad.py"),
        ("bad.nir", b"no file", "no HDF5 file"),
        ("bad.net", b"", "no HDF5 file"),
        ("bad.onnx", b"\x08\x0c\xff\xff", "no ONNX file"),
        ("bad.txt", b"", "a model is"),
    ],
)
def test_what_cannot_be_read_is_an_error(
    snnc: Snnc, tmp_path: Path, name: str, content: bytes | None, text: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ran = snnc("check", tmp_path / name)
    assert ran.code == 2
    assert text in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("options", [("--json",), ()])
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, options: tuple[str, ...]) -> None:
    """As `snnc check ... | head` when head has seen enough: the code stays the one of the check."""
    model = tmp_path / "net.py"
    model.write_text(STRANGE)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from snnc.cli import main; main()", "check", str(model), *options]
    ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    os.close(write)
    assert ran.returncode == 3
    assert ran.stderr == ""
