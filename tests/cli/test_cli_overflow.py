"""`--overflow`: whose registers, what is proven, and what is said where Lava cannot be the witness."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np

MODEL = """
import numpy as np
import torch
from torch import nn
from snnc import nn as snn

def build():
    torch.manual_seed(0)
    return snn.Sequence(nn.Sequential(nn.Linear(8, 12, bias=False), snn.CubaLIF(12, decay_u={u}, reset="zero")))

def example():
    rng = np.random.default_rng(0)
    return {"spikes": (rng.random((4, 9, 8)) < 0.6).astype(np.int8)}
"""
FAST, SLOW = "0.5", "0.9995"


def model(folder: Path, decay: str) -> Path:
    path = folder / "net.py"
    path.write_text(MODEL.replace("{u}", decay))
    return path


def rungs(folder: Path) -> dict[int, dict[str, Any]]:
    found = json.loads((folder / "report.json").read_text())["evidence"]["rungs"]
    return {r["rung"]: r for r in found if r["target"] in ("", "loihi1")}


def test_a_proof_lets_lava_be_the_witness(snnc: Any, tmp_path: Path) -> None:
    path, folder = model(tmp_path, FAST), tmp_path / "out"
    ran = snnc("compile", path, "-t", "loihi1", "--overflow", "loihi", "-o", folder)
    assert ran.code == 0, ran.err
    climbed = rungs(folder)
    assert climbed[5]["compared"] > 0
    assert (climbed[4]["pass"], climbed[5]["pass"], climbed[5]["skipped"]) == (True, True, False)
    assert "proven to be the same" in climbed[5]["detail"]
    account = json.loads((folder / "loihi1" / "quantization.json").read_text())
    assert account["overflows"] == {"lava": {"used": False, "open": []}, "loihi": {"used": True, "open": []}}
    bits = {r["quantity"]: (r["bits"], r["safe"]) for r in account["registers"]}
    assert bits["x"] == (22, True)
    shown = snnc("inspect", folder).out
    assert "What registers can hold, for any input" in shown
    assert "--overflow lava: proven to compute the same for any input" in shown
    found = json.loads(snnc("inspect", folder, "--json").out)["targets"]
    assert found["loihi1"]["registers"] == account["registers"]
    assert found["generic"]["registers"]
    assert found["generic"]["overflows"] == {}


def test_without_a_proof_the_rung_is_skipped_aloud(snnc: Any, tmp_path: Path) -> None:
    path, folder = model(tmp_path, SLOW), tmp_path / "out"
    ran = snnc("compile", path, "-t", "loihi1", "--overflow", "loihi", "-o", folder)
    assert ran.code == 0, ran.err
    rung = rungs(folder)[5]
    assert (rung["pass"], rung["skipped"], rung["compared"]) == (False, True, 0)
    said = " ".join(ran.out.split())
    assert "skipped: not executed by Lava: registers of the chip" in said
    assert "1 skipped, the budget is kept" in said
    assert "3, 4 pass; 5 skipped" in said
    assert "not executed by Lava" in (folder / "report.html").read_text()
    assert not list((folder / "loihi1").glob("run_lava*"))
    data = tmp_path / "data.npz"
    shown = " ".join(snnc("inspect", folder).out.split())
    assert "--overflow lava: not proven to compute the same: cubalif1.u of 24 bits" in shown
    np.savez(data, spikes=np.ones((2, 9, 8), dtype=np.int8))
    refused = snnc("run", folder, "-i", data, "-b", "loihi")
    assert refused.code == 3
    assert "registers of the chip" in refused.err
    assert snnc("run", folder, "-i", data, "-b", "reference", "-t", "loihi1").code == 0
    junit = tmp_path / "junit.xml"
    assert snnc("validate", folder, "-d", data, "--junit", junit).code == 0
    suite = ET.parse(junit).getroot()
    assert (suite.get("skipped"), suite.get("failures")) == ("1", "0")


def test_lava_is_what_is_compiled_without_the_option(snnc: Any, tmp_path: Path) -> None:
    path = model(tmp_path, SLOW)
    for extra, folder in (((), tmp_path / "a"), (("--overflow", "lava"), tmp_path / "b")):
        assert snnc("compile", path, "-t", "loihi1", *extra, "-o", folder).code == 0
        assert rungs(folder)[5]["pass"]
    digests = [json.loads((tmp_path / name / "manifest.json").read_text())["digests"] for name in "ab"]
    assert digests[0] == digests[1]


def test_a_word_or_a_target_that_does_not_fit_is_refused(snnc: Any, tmp_path: Path) -> None:
    path = model(tmp_path, FAST)
    assert "the nearest is 'loihi'" in snnc("compile", path, "-t", "loihi1", "--overflow", "lohi").err
    ran = snnc("compile", path, "-t", "spinnaker1", "--overflow", "loihi")
    assert ran.code == 2
    assert "no target that is compiled for has it" in ran.err
