"""snnc convert, and ReLU networks in snnc compile and check."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from snnc.formats import onnx_file
from snnc.ir import Graph
from snnc.trace import load_npz, npz_bytes

if TYPE_CHECKING:
    from conftest import Snnc

MODELS = Path(__file__).resolve().parents[2] / "models"
MODEL = MODELS / "digits_ann.py"


@pytest.fixture(scope="module")
def digits_ann() -> Any:
    """The example's module."""
    sys.path.insert(0, str(MODELS))
    try:
        spec = importlib.util.spec_from_file_location("digits_ann_example", MODEL)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(MODELS))


@pytest.fixture(scope="module")
def held_out(digits_ann: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """360 digits that training never saw, values [B, 64]."""
    path = tmp_path_factory.mktemp("ann") / "held_out.npz"
    path.write_bytes(npz_bytes(digits_ann.held_out()))
    return path


@pytest.fixture(scope="module")
def converted(snnc: Snnc, held_out: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder of snnc convert --steps 16, and what it printed."""
    folder = tmp_path_factory.mktemp("convert") / "out"
    ran = snnc("convert", MODEL, "--data", held_out, "--steps", 16, "-o", folder, "--json")
    assert ran.code == 0, ran.err
    return folder, json.loads(ran.out)


def test_convert_is_within_a_point_at_16_steps(converted: tuple[Path, dict[str, Any]]) -> None:
    _, report = converted
    curve = report["curve"]
    assert curve["samples"] == 360
    assert curve["ann"] > 0.97
    last = curve["points"][-1]
    assert last["steps"] == 16
    assert 100 * (curve["ann"] - last["counts"]) <= 1.0
    assert curve["enough"] <= 16
    assert curve["points"][0]["counts"] < last["counts"] - 0.2


def test_convert_writes_what_compile_takes(converted: tuple[Path, dict[str, Any]]) -> None:
    folder, report = converted
    assert {p.name for p in folder.iterdir()} >= {
        "model.float.onnx", "calibration.npz", "data.npz", "conversion.json", "curve.svg"}  # fmt: skip
    graph = onnx_file.read(folder / "model.float.onnx")
    assert isinstance(graph, Graph)
    assert {n.reset_v for n in graph.neurons} == {"subtract"}
    assert {float(np.asarray(n.threshold)) for n in graph.neurons} == {1.0}
    assert load_npz(folder / "data.npz")["values"].shape == (360, 16, 64)
    assert load_npz(folder / "calibration.npz")["values"].shape == (256, 16, 64)
    svg = (folder / "curve.svg").read_text()
    assert "var(--" not in svg
    assert "accuracy" in svg
    written = json.loads((folder / "conversion.json").read_text())
    assert written["curve"] == report["curve"]
    assert set(written["scales"]) == {n.name for n in graph.neurons}


def test_no_normalisation_and_membranes_at_zero_are_worse(
    snnc: Snnc, held_out: Path, converted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Negative controls, at 4 steps."""
    right = {p["steps"]: p["counts"] for p in converted[1]["curve"]["points"]}[4]
    for options in (("--norm", "none"), ("--v-init", "zero"), ("--percentile", 70)):
        ran = snnc("convert", MODEL, "--data", held_out, "--steps", 4, *options, "-o", tmp_path, "--json")
        wrong = json.loads(ran.out)["curve"]["points"][-1]["counts"]
        assert wrong < right - 0.02, options


def test_a_table_for_people(snnc: Snnc, held_out: Path, tmp_path: Path) -> None:
    ran = snnc("convert", MODEL, "--data", held_out, "--steps", 8, "--samples", 60, "-o", tmp_path, "--balance")
    assert ran.code == 0, ran.err
    for text in ("60 samples", "ANN", "spike counts", "with membrane", "one spike stands for", "snnc compile"):
        assert text in ran.out


def test_compile_validates_for_generic_and_loihi2(
    snnc: Snnc, converted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    ran = snnc("compile", MODEL, "--steps", 8, "-t", "loihi2", "-o", tmp_path / "c", "--json")
    assert ran.code == 0, ran.err
    rungs = json.loads(ran.out)["evidence"]["rungs"]
    assert any(r["rung"] == 1 and r["right"] == "relu layers" and r["pass"] for r in rungs)
    assert {"conversion.json", "curve.svg"} <= {p.name for p in (tmp_path / "c").iterdir()}
    values = {k: v[:24, :8] if k == "values" else v[:24] for k, v in load_npz(converted[0] / "data.npz").items()}
    data = tmp_path / "data.npz"
    data.write_bytes(npz_bytes(values))
    done = snnc("validate", tmp_path / "c", "--data", data, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert all(r["pass"] for r in found["rungs"])
    assert {r["target"] for r in found["rungs"] if r["rung"] == 5} == {"loihi2"}


def test_onnx_of_another_tool_compiles(snnc: Snnc, digits_ann: Any, tmp_path: Path) -> None:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(digits_ann.build(), (torch.zeros(1, 64),), out, dynamo=False, opset_version=17)
    path = tmp_path / "digits.onnx"
    path.write_bytes(out.getvalue())
    data = tmp_path / "calibration.npz"
    data.write_bytes(npz_bytes(digits_ann.example()))
    ran = snnc("compile", path, "--data", data, "--steps", 8, "-o", tmp_path / "c", "--json")
    assert ran.code == 0, ran.err
    assert snnc("compile", path, "--steps", 8).code == 2
    missing = snnc("compile", path, "--data", data)
    assert missing.code == 2
    assert "--steps 32" in missing.err
    checked = snnc("check", path, "-t", "loihi2", "--json")
    assert checked.code == 0, checked.out


def test_targets_that_need_another_network_say_so(snnc: Snnc, tmp_path: Path) -> None:
    loihi = snnc("compile", MODEL, "--steps", 4, "-t", "loihi1", "-o", tmp_path / "x")
    assert loihi.code == 3
    assert "--allow hard-reset" in loihi.err
    spinnaker = snnc("compile", MODEL, "--steps", 4, "-t", "spinnaker1", "-o", tmp_path / "x")
    assert spinnaker.code == 3
    for text in ("reset_v is subtract", "--allow hard-reset", "encoding is direct", "Encode values as spikes"):
        assert text in spinnaker.err
    hard = snnc(
        "compile", MODEL, "--steps", 4, "--v-init", "zero", "-t", "loihi1", "--allow", "hard-reset",
        "-o", tmp_path / "h", "--json",
    )  # fmt: skip
    assert hard.code == 0, hard.err
    rungs = json.loads(hard.out)["evidence"]["rungs"]
    assert any("hard-reset" in r["left"] and r["differing"] > 0 for r in rungs)


def test_spinnaker1_takes_rates_hard_resets_and_a_leak(snnc: Snnc, tmp_path: Path) -> None:
    config = tmp_path / "snnc.toml"
    config.write_text('[convert]\nsteps = 4\ninput = "rate"\nv_init = "zero"\nkeep = 0.9999\n')
    ran = snnc(
        "compile",
        MODEL,
        "--config",
        config,
        "-t",
        "spinnaker1",
        "--allow",
        "hard-reset",
        "-o",
        tmp_path / "s",
        "--json",
    )
    assert ran.code == 0, ran.err
    assert all(r["pass"] for r in json.loads(ran.out)["evidence"]["rungs"])


RESIDUAL = """
import numpy as np
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.a, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.b, self.last, self.relu = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(36, 3), nn.ReLU()
        self.norm.running_mean.uniform_(-0.3, 0.3)

    def forward(self, x):
        y = self.relu(self.norm(self.a(x)))
        z = self.relu(self.b(y) + y)
        return self.last(torch.flatten(nn.functional.avg_pool2d(z, 2), 1))

def build():
    return Net().eval()

def example():
    return {"values": np.random.default_rng(0).random((12, 1, 6, 6))}
"""


def test_a_residual_network_compiles_for_generic_and_loihi2(snnc: Snnc, tmp_path: Path) -> None:
    """Batch normalisation, a sum of two branches, average pooling: every executor has every bit."""
    (tmp_path / "residual.py").write_text(RESIDUAL)
    out = tmp_path / "c"
    ran = snnc("compile", tmp_path / "residual.py", "--steps", 6, "-t", "loihi2", "-o", out, "--json")
    assert ran.code == 0, ran.err
    rungs = json.loads(ran.out)["evidence"]["rungs"]
    assert all(r["pass"] for r in rungs)
    assert {r["target"] for r in rungs if r["rung"] >= 4} == {"fixed", "loihi2"}
    assert json.loads((out / "conversion.json").read_text())["curve"] is None


def test_convert_refuses_what_is_no_relu_network(snnc: Snnc, held_out: Path, tmp_path: Path) -> None:
    spiking = snnc("convert", MODELS / "digits_mlp.py", "-o", tmp_path)
    assert spiking.code == 2
    assert "use `snnc compile`" in spiking.err
    timed = snnc("compile", MODELS / "digits_mlp.py", "--steps", 4)
    assert timed.code == 2
    assert "spikes already" in timed.err
    assert snnc("convert", MODEL, "--norm", "l2", "-o", tmp_path).code == 2
    assert snnc("convert", MODEL, "--data", tmp_path / "no.npz", "-o", tmp_path).code == 2
