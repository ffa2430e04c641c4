"""`snnc compile`: what it writes, that it is reproducible, and that nothing is half-written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.formats import onnx_file
from snnc.ir import FixedGraph, Graph

MODEL = Path(__file__).resolve().parents[2] / "models" / "digits_mlp.py"
HEAD = """
import numpy as np
import torch
from torch import nn
from snnc import nn as snn

def example():
    rng = np.random.default_rng(0)
    return {"spikes": (rng.random((4, 8, 6)) < 0.4).astype(np.int8), "labels": np.array([0, 1, 2, 0])}
"""


def net(layers: str) -> str:
    """build() of a step-wise network."""
    return f"def build(): return snn.Sequence(nn.Sequential({layers}))"


def model(folder: Path, body: str) -> Path:
    """A model file with a given build()."""
    path = folder / "net.py"
    path.write_text(HEAD + body)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_folder_holds_integers_for_every_target(compiled: Path) -> None:
    files = tree(compiled)
    for name in ("model.float.onnx", "model.fixed.onnx", "report.json", "report.html", "manifest.json"):
        assert files[name], f"{name} is missing or empty"
    for target in ("loihi1", "spinnaker1"):
        graph = onnx_file.read(files[f"{target}/model.fixed.onnx"])
        assert isinstance(graph, FixedGraph)
        assert graph.target == target
        assert f"{target}/program.npz" in files
    assert isinstance(onnx_file.read(files["model.float.onnx"]), Graph)
    evidence = json.loads(files["report.json"])["evidence"]
    climbed = {(r["rung"], r["target"]) for r in evidence["rungs"] if r["pass"]}
    assert (1, "") in climbed
    assert {(5, "loihi1"), (5, "spinnaker1"), (4, "fixed"), (4, "loihi1"), (4, "spinnaker1")} <= climbed
    assert all(r["compared"] > 0 for r in evidence["rungs"])


def test_compiling_twice_gives_the_same_bytes(snnc: Any, compiled: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert snnc("compile", MODEL, "-t", "loihi1", "-t", "spinnaker1", "-o", again).code == 0
    first, second = tree(compiled), tree(again)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_another_weight_width_gives_other_bytes(snnc: Any, compiled: Path, tmp_path: Path) -> None:
    """Negative control of the test above: the comparison of bytes can fail."""
    other = tmp_path / "other"
    assert snnc("compile", MODEL, "--weight-bits", 6, "-o", other).code == 0
    assert tree(other)["model.fixed.onnx"] != tree(compiled)["model.fixed.onnx"]


BAD: dict[str, tuple[str, int, str]] = {
    "layer that nothing supports": (net("nn.Linear(6, 3), nn.Softmax(1), snn.LIF()"), 3, "Softmax"),
    "non-spiking output": (net("snn.LIF(), nn.Linear(6, 3)"), 3, ""),
    "NaN weights": (
        "def build():\n    net = snn.Sequence(nn.Sequential(nn.Linear(6, 3), snn.LIF()))\n"
        "    net.step[0].weight.data[1, 2] = float('nan')\n    return net",
        2,
        "NaN",
    ),
    "wrong input shape": (net("nn.Linear(7, 3), snn.LIF()"), 2, "7"),
    "threshold of zero": (net("nn.Linear(6, 3), snn.LIF(threshold=0.0)"), 2, "threshold"),
    "negative threshold": (net("nn.Linear(6, 3), snn.LIF(threshold=-1.0)"), 2, "threshold"),
    "code that raises": ("def build(): return undefined_name", 2, "undefined_name"),
    "no module": ("def build(): return 3", 2, "Module"),
    "no build": ("def bild(): return 3", 2, "bild"),
    "soft reset on Loihi 1": (net("nn.Linear(6, 3), snn.LIF(reset='subtract')"), 3, "reset"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_models_are_refused_and_nothing_is_written(snnc: Any, tmp_path: Path, name: str) -> None:
    body, code, word = BAD[name]
    path = model(tmp_path, body)
    before = sorted(tmp_path.iterdir())
    ran = snnc("compile", path, "-t", "loihi1", "-o", tmp_path / "out")
    assert ran.code == code, ran.err
    assert "error:" in ran.err
    assert "Traceback" not in ran.err
    assert word in ran.err
    assert [p for p in sorted(tmp_path.iterdir()) if p.name != "__pycache__"] == before


def test_a_good_model_of_the_same_shape_compiles(snnc: Any, tmp_path: Path) -> None:
    """Negative control of the refusals: the frame around the bad models is not what is refused."""
    path = model(tmp_path, net("nn.Linear(6, 3), snn.LIF()"))
    ran = snnc("compile", path, "-t", "loihi1", "-t", "spinnaker1", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_a_corrupt_onnx_file_is_refused(snnc: Any, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes((compiled / "model.float.onnx").read_bytes()[:5000])
    ran = snnc("compile", path, "--data", held_out, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "broken.onnx" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_float_onnx_file_is_a_model(snnc: Any, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    ran = snnc("compile", compiled / "model.float.onnx", "--data", held_out, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err


def test_an_unwritable_folder_is_refused(snnc: Any, tmp_path: Path) -> None:
    path = model(tmp_path, net("nn.Linear(6, 3), snn.LIF()"))
    (tmp_path / "file").write_text("in the way")
    ran = snnc("compile", path, "-o", tmp_path / "file" / "out")
    assert ran.code == 2
    assert "cannot be written" in ran.err
    ran = snnc("compile", path, "-o", tmp_path / "file")
    assert ran.code == 2
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_foreign_folder_is_not_replaced(snnc: Any, tmp_path: Path) -> None:
    path = model(tmp_path, net("nn.Linear(6, 3), snn.LIF()"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    ran = snnc("compile", path, "-o", tmp_path / "mine")
    assert ran.code == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_an_unknown_target_names_the_nearest(snnc: Any, tmp_path: Path) -> None:
    ran = snnc("compile", MODEL, "--target", "nonsense", "-o", tmp_path / "out")
    assert ran.code == 2
    assert "the nearest is" in ran.err
    ran = snnc("compile", MODEL, "--target", "lohi1", "-o", tmp_path / "out")
    assert "the nearest is 'loihi1'" in ran.err


def test_weight_bits_outside_the_range_are_refused(snnc: Any, tmp_path: Path) -> None:
    for bits in (1, 17):
        ran = snnc("compile", MODEL, "--weight-bits", bits, "-o", tmp_path / "out")
        assert ran.code == 2, ran.out
        assert "2 to 16" in ran.err


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[compile]\ntarget = ['loihi1']\n", "'targets'"),
        ("[compil]\n", "'compile'"),
        ("[compile]\nweight_bits = 'eight'\n", "weight_bits"),
        ("[budget]\naccuracy_points = -1\n", "accuracy_points"),
        ("[compile\n", "not valid TOML"),
    ],
)
def test_a_bad_configuration_is_refused(snnc: Any, tmp_path: Path, text: str, word: str) -> None:
    config = tmp_path / "snnc.toml"
    config.write_text(text)
    ran = snnc("compile", MODEL, "--config", config, "-o", tmp_path / "out")
    assert ran.code == 2
    assert word in ran.err


def test_init_writes_a_configuration_that_compile_takes(snnc: Any, tmp_path: Path) -> None:
    path = model(tmp_path, net("nn.Linear(6, 3), snn.LIF()"))
    config = tmp_path / "snnc.toml"
    assert snnc("init", path, "-o", config).code == 0
    assert '"loihi1"' in config.read_text()
    assert snnc("init", path, "-o", config).code == 2, "an existing file is not replaced without --force"
    assert snnc("compile", path, "--config", config, "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "loihi1").is_dir()


def test_check_lists_every_violation_of_every_target(snnc: Any, tmp_path: Path) -> None:
    body = (
        "def build(): return snn.Sequence(nn.Sequential(nn.Linear(6, 5), snn.LIF(reset='subtract'), "
        "nn.Linear(5, 3), snn.LIF(reset='subtract')))"
    )
    ran = snnc("check", model(tmp_path, body), "--json")
    assert ran.code == 3
    report = json.loads(ran.out)
    assert report["targets"]["generic"]["ok"]
    for target in ("loihi1", "spinnaker1"):
        found = report["targets"][target]["violations"]
        assert len({v["node"] for v in found if "reset" in v["quantity"]}) == 2, found
        assert all(v["fix"] for v in found)
    good = model(tmp_path, net("nn.Linear(6, 3), snn.LIF()"))
    assert snnc("check", good).code == 0


def test_calibration_data_can_be_given(snnc: Any, digits_data: Path, tmp_path: Path) -> None:
    ran = snnc("compile", MODEL, "--data", digits_data / "digits_mlp_calibration.npz", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, spikes=np.zeros((2, 16, 63), dtype=np.int8))
    ran = snnc("compile", MODEL, "--data", wrong, "-o", tmp_path / "out2")
    assert ran.code == 2
    assert not (tmp_path / "out2").exists()


def test_options_that_would_do_nothing_are_refused(snnc: Any, tmp_path: Path) -> None:
    ran = snnc("compile", MODEL, "--dt", 0.001, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "--dt" in ran.err
    assert snnc("compile", MODEL, "--reset", "sideways", "-o", tmp_path / "out").code == 2
    ran = snnc("compile", MODEL, "--allow", "magic", "-o", tmp_path / "out")
    assert ran.code == 2
    assert "magic" in ran.err


def test_check_runs_the_passes_that_compile_would_run(snnc: Any, tmp_path: Path) -> None:
    path = model(tmp_path, net("nn.Linear(6, 3), nn.BatchNorm1d(3), snn.LIF()"))
    config = tmp_path / "snnc.toml"
    config.write_text('[compile]\npasses = ["drop-identity"]\n')
    for verb in (("check",), ("compile", "-o", tmp_path / "out")):
        assert snnc(*verb, path).code == 0, "the default passes fuse the batch normalisation"
        ran = snnc(*verb, path, "--config", config)
        assert ran.code == 3, "without them a scale is left, and no target has one in integers"
        assert "scale" in ran.out + ran.err
