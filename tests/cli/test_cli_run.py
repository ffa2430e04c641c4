"""`snnc run`, `compare`, `validate`, `inspect`: contracts of files, JSON and exit codes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def flip(path: Path, *, where: int) -> None:
    """Changes one byte of a file."""
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", ["loihi1/model.fixed.onnx", "model.float.onnx", "loihi1/program.npz", "report.json"])
def test_one_changed_number_is_refused(snnc: Any, copy: Path, held_out: Path, name: str) -> None:
    flip(copy / name, where=(copy / name).stat().st_size // 2)
    ran = snnc("run", copy, "--backend", "loihi", "--input", held_out, "--samples", 1)
    assert ran.code == 2
    assert name in ran.err
    assert "changed" in ran.err


def test_missing_and_extra_files_are_refused(snnc: Any, copy: Path, held_out: Path) -> None:
    (copy / "extra.txt").write_text("hello")
    assert "extra.txt" in snnc("run", copy, "--backend", "reference", "--input", held_out).err
    (copy / "extra.txt").unlink()
    (copy / "model.fixed.onnx").unlink()
    ran = snnc("run", copy, "--backend", "reference", "--input", held_out)
    assert ran.code == 2
    assert "model.fixed.onnx is missing" in ran.err


def test_a_trace_file_keeps_its_contract(snnc: Any, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.npz"
    ran = snnc("run", compiled, "--backend", "spinnaker", "-i", held_out, "--samples", 3, "--states", "-o", trace)
    assert ran.code == 0, ran.err
    with np.load(trace, allow_pickle=False) as data:
        populations = {key.removeprefix("spikes/") for key in data.files if key.startswith("spikes/")}
        assert {"input", *(key.split("/")[1] for key in data.files if key.startswith("states/"))} == populations
        for name in populations:
            assert data[f"spikes/{name}"].shape[:2] == (3, 16)
        assert json.loads(str(data["meta"]))["target"] == "spinnaker1"


def test_input_without_a_batch_axis_gives_a_trace_without_one(
    snnc: Any, compiled: Path, held_out: Path, tmp_path: Path
) -> None:
    single, trace = tmp_path / "one.npz", tmp_path / "trace.npz"
    with np.load(held_out, allow_pickle=False) as data:
        np.savez(single, spikes=data["spikes"][0])
    assert snnc("run", compiled, "-b", "reference", "-i", single, "-o", trace).code == 0
    with np.load(trace, allow_pickle=False) as data:
        assert data["spikes/input"].shape == (16, 64)


def test_every_executor_gives_the_same_trace(snnc: Any, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    for target, backend in (("loihi1", "loihi"), ("spinnaker1", "spinnaker")):
        for who in (backend, "reference", "onnxruntime"):
            ran = snnc(
                "run", compiled, "-b", who, "-t", target, "-i", held_out, "--samples", 4, "--states",
                "-o", tmp_path / f"{who}.npz",
            )  # fmt: skip
            assert ran.code == 0, ran.err
        for who in (backend, "onnxruntime"):
            ran = snnc("compare", tmp_path / "reference.npz", tmp_path / f"{who}.npz", "--json")
            found = json.loads(ran.out)
            assert ran.code == 0, ran.out
            assert found["differing"] == 0
            assert found["compared"] > 10_000


def test_compare_tells_traces_of_two_targets_apart(snnc: Any, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    """Negative control: other integers are found, located, and gated by the budget."""
    paths = []
    for target in ("generic", "loihi1"):
        paths.append(tmp_path / f"{target}.npz")
        snnc("run", compiled, "-b", "reference", "-t", target, "-i", held_out, "--samples", 40, "-o", paths[-1])
    ran = snnc("compare", *paths, "--json")
    found = json.loads(ran.out)
    assert ran.code == 1
    assert found["first_difference"]["population"]
    assert found["fraction"] > 0
    assert snnc("compare", *paths, "--budget", 1).code == 0
    assert snnc("compare", *paths, "--budget", found["fraction"] / 2).code == 1


def test_validate_prints_one_json_object(snnc: Any, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    junit, html = tmp_path / "junit.xml", tmp_path / "page.html"
    ran = snnc(
        "validate", compiled, "--data", held_out, "--samples", 60, "--json", "--junit", junit, "--html", html
    )  # fmt: skip
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert {"rungs", "accuracy", "layers", "worst"} <= report.keys()
    assert {1, 3, 4, 5} <= {rung["rung"] for rung in report["rungs"]}
    for rung in report["rungs"]:
        assert {"rung", "left", "right", "compared", "differing", "pass"} <= rung.keys()
        assert rung["pass"]
        assert rung["compared"] > 0
        if rung["rung"] in (4, 5):
            assert rung["differing"] == 0
    assert report["accuracy"].keys() == {"float", "fixed", "loihi1", "spinnaker1"}
    assert all(value >= 0.9 for value in report["accuracy"].values())
    assert ET.parse(junit).getroot().tag == "testsuites"
    page = html.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<svg" in page


def test_validate_fails_when_the_budget_is_broken(snnc: Any, compiled: Path, held_out: Path) -> None:
    ran = snnc("validate", compiled, "--data", held_out, "--samples", 20, "--spike-mismatch", 0, "--json")
    assert ran.code == 1
    report = json.loads(ran.out)
    assert not report["pass"]
    assert report["worst"]["cascaded_differing"] > 0


def test_validate_catches_wrong_labels(snnc: Any, compiled: Path, held_out: Path, tmp_path: Path) -> None:
    """Negative control of the accuracy column: with shifted labels it falls to chance."""
    wrong = tmp_path / "wrong.npz"
    with np.load(held_out, allow_pickle=False) as data:
        np.savez(wrong, spikes=data["spikes"][:60], labels=(data["labels"][:60] + 1) % 10)
    report = json.loads(snnc("validate", compiled, "--data", wrong, "--json").out)
    assert report["accuracy"]["float"] < 0.3


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"spikes": np.zeros((2, 16, 63), dtype=np.int8)}, "shape"),
        ({"spikes": np.full((2, 16, 64), 2, dtype=np.int8)}, "0 or 1"),
        ({"spikes": np.full((2, 16, 64), np.nan)}, "0 or 1"),
        ({"spikes": np.zeros((0, 16, 64), dtype=np.int8)}, "empty"),
        ({"images": np.zeros((2, 16, 64), dtype=np.int8)}, "'spikes'"),
        ({"spikes": np.zeros((2, 16, 64), dtype=np.int8), "labels": np.zeros(3, dtype=np.int64)}, "labels"),
    ],
)
def test_bad_input_is_refused(snnc: Any, compiled: Path, tmp_path: Path, arrays: Any, word: str) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    ran = snnc("run", compiled, "--backend", "reference", "--input", path, "-o", tmp_path / "trace.npz")
    assert ran.code == 2
    assert word in ran.err
    assert not (tmp_path / "trace.npz").exists()


def test_files_that_are_no_archives_are_refused(snnc: Any, compiled: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(b"no zip at all")
    assert snnc("run", compiled, "-b", "reference", "-i", path).code == 2
    assert snnc("run", compiled, "-b", "reference", "-i", tmp_path / "absent.npz").code == 2
    assert snnc("compare", path, path).code == 2
    assert snnc("inspect", tmp_path).code == 2
    np.savez(tmp_path / "objects.npz", spikes=np.array([{"a": 1}], dtype=object))
    assert snnc("run", compiled, "-b", "reference", "-i", tmp_path / "objects.npz").code == 2


def test_names_that_do_not_exist_name_the_nearest(snnc: Any, compiled: Path, held_out: Path) -> None:
    assert "'spinnaker'" in snnc("run", compiled, "-b", "spinaker", "-i", held_out).err
    ran = snnc("run", compiled, "-b", "reference", "-t", "lohi1", "-i", held_out)
    assert ran.code == 2
    assert "'loihi1'" in ran.err
    assert snnc("run", compiled, "-b", "loihi", "-t", "spinnaker1", "-i", held_out).code == 2


def test_inspect_targets_passes_and_doctor(snnc: Any, compiled: Path) -> None:
    report = json.loads(snnc("inspect", compiled, "--json").out)
    assert report["targets"]["loihi1"]["steps_behind"] == 2
    assert report["targets"]["loihi1"]["utilization"]
    assert any(n["formats"].get("weight") for n in report["targets"]["loihi1"]["nodes"])
    names = {row["name"] for row in json.loads(snnc("targets", "--json").out)["targets"]}
    assert {"generic", "loihi1", "spinnaker1"} <= names
    shown = json.loads(snnc("targets", "show", "loihi1", "--json").out)
    assert all(entry["rule"] for entry in shown["rules"])
    assert "source" in next(iter(shown["limits"].values()))
    assert snnc("targets", "show", "loihi7").code == 2
    assert {"fuse-batch-norm", "average-to-sum"} <= {
        p["name"] for p in json.loads(snnc("passes", "--json").out)["passes"]
    }
    checks = json.loads(snnc("doctor", "--json").out)
    assert checks["ok"], checks
    assert {"what": "Lava", "found": "imports", "say": "ok"} in checks["checks"]


@pytest.mark.parametrize("arguments", [("fly",), ("compile",), ("run", "x"), ("validate", "x", "--samples", 0)])
def test_usage_errors_have_code_2(snnc: Any, arguments: tuple[object, ...]) -> None:
    assert snnc(*arguments).code == 2
