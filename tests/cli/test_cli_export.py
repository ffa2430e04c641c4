"""`snnc export`: NIR files, their report, and the way back through `snnc check` and `snnc compile`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import snn_mlir

from snnc.artifacts import open_folder
from snnc.backend import discover
from snnc.formats import nir_file
from snnc.formats.nir_file import Meaning
from snnc_reference.execute import execute

Snnc = Any
LATE = """
import numpy as np
import torch
from torch import nn
from snnc.nn import LIF

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), LIF(4, reset="subtract"), nn.Linear(4, 4), LIF(4, reset="zero"))

def example():
    return (np.random.default_rng(0).random((2, 10, 6)) < 0.5).astype(np.int8)
"""


def options(report: dict[str, Any]) -> list[str]:
    return [part for key, value in report["meaning"].items() if value for part in (f"--{key}", str(value))]


def test_a_compiled_folder_goes_out_and_comes_back(snnc: Snnc, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    ran = snnc("export", compiled, "--nir", tmp_path / "net.nir", "--json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    quantities = {entry["quantity"] for entry in report["outside"]}
    assert {"quantization", "reset"} <= quantities
    assert report["lost"] == []
    assert report["rounded"] == {}
    graph = open_folder(compiled, discover()).float_graph()
    found = nir_file.read(tmp_path / "net.nir", Meaning(**report["meaning"]))
    with np.load(held_out, allow_pickle=False) as data:
        spikes = data["spikes"][:40]
    left, right = execute(graph, spikes), execute(found, spikes)
    names = {new: old for old, new in report["names"].items()}
    for node in graph.neurons:
        assert left.spikes[node.name].sum() > 100
        np.testing.assert_array_equal(left.spikes[node.name], right.spikes[names.get(node.name, node.name)])
    assert set(nir.read(tmp_path / "net.nir").nodes) == set(found.order)
    assert snn_mlir.check(tmp_path / "net.nir").ok
    shown = snnc("export", compiled, "--nir", tmp_path / "net.nir").out
    assert "read it with --dt 1.0 --reset zero --decay euler --fires ge" in shown


def test_the_report_is_what_the_reader_needs(snnc: Snnc, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    """Without the options that the report names, the file leaves them open; with them it compiles."""
    file = tmp_path / "net.nir"
    report = json.loads(snnc("export", compiled, "--nir", file, "--json").out)
    assert snnc("check", file).code == 2
    ran = snnc("check", file, *options(report), "-t", "generic", "-t", "spinnaker1")
    assert ran.code == 0, ran.out + ran.err
    ran = snnc("compile", file, "--data", held_out, *options(report), "-o", tmp_path / "out")
    assert ran.code == 0, ran.err


def test_a_module_that_nir_cannot_say(snnc: Snnc, tmp_path: Path) -> None:
    model = tmp_path / "late.py"
    model.write_text(LATE)
    ran = snnc("export", model, "--nir", tmp_path / "net.nir")
    assert ran.code == 3
    assert "reset is zero, allowed is subtract, as in the other populations" in ran.err
    assert not (tmp_path / "net.nir").exists()
    ran = snnc("export", model, "--nir", tmp_path / "net.nir", "--lossy", "--step", "1e-3")
    assert ran.code == 0, ran.err
    assert "another network" in ran.out
    assert "--reset subtract" in ran.out
    assert "--dt 0.001" in ran.out
    assert (tmp_path / "net.nir").exists()


def test_nir_to_nir(snnc: Snnc, compiled: Path, tmp_path: Path) -> None:
    """A file that is read with its options and written again is the same file."""
    report = json.loads(snnc("export", compiled, "--nir", tmp_path / "a.nir", "--json").out)
    ran = snnc("export", tmp_path / "a.nir", "--nir", tmp_path / "b.nir", *options(report), "--json")
    assert ran.code == 0, ran.err
    first, second = (nir_file.read(tmp_path / f"{n}.nir", Meaning(**report["meaning"])) for n in "ab")
    assert first.digest == second.digest


def test_errors(snnc: Snnc, compiled: Path, tmp_path: Path) -> None:
    ran = snnc("export", compiled, "--nir", tmp_path / "no" / "net.nir")
    assert (ran.code, "cannot be written" in ran.err) == (2, True)
    assert snnc("export", tmp_path, "--nir", tmp_path / "net.nir").code == 2
    assert snnc("export", tmp_path / "none.py", "--nir", tmp_path / "net.nir").code == 2


@pytest.mark.parametrize("suffix", [".nir", ".net", ".onnx"])
def test_check_needs_no_data(snnc: Snnc, compiled: Path, tmp_path: Path, suffix: str) -> None:
    """Nothing is converted; a corrupt file is an error, not a traceback."""
    bad = tmp_path / f"bad{suffix}"
    bad.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    ran = snnc("check", bad)
    assert ran.code == 2
    assert str(bad) in ran.err
    if suffix == ".onnx":
        ran = snnc("check", compiled / "model.float.onnx", "-t", "loihi1", "--json")
        assert (ran.code, json.loads(ran.out)["targets"]["loihi1"]["ok"]) == (0, True)
