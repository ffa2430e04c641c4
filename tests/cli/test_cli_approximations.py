"""`snnc compile` where a target would refuse: an allowed approximation is said aloud; analog values reach integers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HEAD = """
import numpy as np
import torch
from torch import nn
from snnc import nn as snn

def build():
    torch.manual_seed(0)
    layers = nn.Linear(8, 12, bias=False), snn.LIF(12, decay=0.9, reset="subtract", threshold=0.3)
    return snn.Sequence(nn.Sequential(*layers))

def example():
    rng = np.random.default_rng(0)
    return {example}
"""
SPIKES = '{"spikes": (rng.random((4, 9, 8)) < 0.6).astype(np.int8)}'
VALUES = '{"values": rng.normal(0.3, 0.8, (4, 9, 8))}'
HELD = '{"values": np.repeat(rng.normal(0.3, 0.8, (4, 1, 8)), 9, axis=1)}'


def model(folder: Path, example: str) -> Path:
    path = folder / "net.py"
    path.write_text(HEAD.replace("{example}", example))
    return path


def test_a_hard_reset_is_refused_unless_allowed_and_then_counted(snnc: Any, tmp_path: Path) -> None:
    path, folder = model(tmp_path, SPIKES), tmp_path / "out"
    refused = snnc("compile", path, "-t", "spinnaker1", "-o", folder)
    assert refused.code == 3
    assert "--allow hard-reset" in refused.err
    ran = snnc("compile", path, "-t", "spinnaker1", "--allow", "hard-reset", "-o", folder)
    assert ran.code == 0, ran.err
    rungs = json.loads((folder / "report.json").read_text())["evidence"]["rungs"]
    rung = next(r for r in rungs if r["right"] == "after hard-reset")
    assert rung["differing"] > 0
    said = f"hard-reset changed {rung['differing']} of {rung['compared']:,} spike bins"
    assert said in " ".join(ran.out.split())
    page = (folder / "report.html").read_text()
    assert said in page
    assert "approximated (" in page


def test_analog_values_become_integers_but_chips_need_them_held(snnc: Any, tmp_path: Path) -> None:
    path, folder = model(tmp_path, VALUES), tmp_path / "out"
    ran = snnc("compile", path, "-o", folder)
    assert ran.code == 0, ran.err
    rungs = {r["rung"]: r for r in json.loads((folder / "report.json").read_text())["evidence"]["rungs"]}
    assert (rungs[4]["compared"] > 0, rungs[4]["differing"]) == (True, 0)
    assert rungs[3]["differing"] < 0.05 * rungs[3]["compared"]
    refused = snnc("compile", path, "-t", "loihi2", "-o", folder)
    assert refused.code == 3
    assert "allowed is the same values in every step of a sample" in refused.err


def test_held_values_run_on_a_chip_as_biases(snnc: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    ran = snnc("compile", model(tmp_path, HELD), "-t", "loihi2", "-o", folder)
    assert ran.code == 0, ran.err
    rungs = {r["rung"]: r for r in json.loads((folder / "report.json").read_text())["evidence"]["rungs"]}
    assert (rungs[5]["compared"] > 0, rungs[5]["differing"]) == (True, 0)
    assert rungs[3]["differing"] < 0.05 * rungs[3]["compared"]
