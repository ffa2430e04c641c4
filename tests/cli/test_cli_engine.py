"""`snnc run` and `snnc validate` in the engine: the same traces on every path, bounds shown, wrong wishes refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TARGETS = ("generic", "loihi1", "spinnaker1")


@pytest.mark.parametrize("target", TARGETS)
def test_every_path_gives_the_same_trace(
    snnc: Any, compiled: Path, held_out: Path, tmp_path: Path, target: str
) -> None:
    """The engine is the default; kernels, NumPy and more threads give what the definition gives."""
    ways = {
        "default": (),
        "dense": ("--engine", "dense"),
        "threads": ("--threads", 3),
        "definition": ("-b", "reference"),
    }
    for name, way in ways.items():
        ran = snnc(
            "run", compiled, "-t", target, "-i", held_out, "--samples", 20, "--states", "-o", tmp_path / name, *way
        )  # fmt: skip
        assert ran.code == 0, ran.err
    for name in ("default", "dense", "threads"):
        ran = snnc("compare", tmp_path / "definition", tmp_path / name, "--json")
        found = json.loads(ran.out)
        assert (ran.code, found["differing"]) == (0, 0)
        assert found["compared"] > 50_000


def test_the_definition_may_be_asked_for(snnc: Any, compiled: Path, held_out: Path) -> None:
    ran = snnc("run", compiled, "-i", held_out, "--samples", 2, "--engine", "reference", "--json")
    assert json.loads(ran.out)["backend"] == "reference"
    ran = snnc("run", compiled, "-i", held_out, "--samples", 2, "--json")
    assert json.loads(ran.out)["backend"] == "engine"


def test_the_sums_that_were_seen_lie_within_what_is_proven(snnc: Any, compiled: Path, held_out: Path) -> None:
    for target in TARGETS:
        ran = snnc("run", compiled, "-t", target, "-i", held_out, "--accumulators", "--json")
        rows = json.loads(ran.out)["accumulators"]
        assert {row["layer"] for row in rows} == {"lif1", "lif3"}
        for row in rows:
            assert 0 < row["worst"] <= max(abs(row["low"]), row["high"]) <= row["peak"] < 1 << (row["width"] - 1)
    shown = snnc("inspect", compiled).out
    assert "how wide the engine adds" in shown


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--engine", "evnt"), "the nearest is 'event'"),
        (("--backend", "loihi", "--engine", "dense"), "leave --backend loihi out"),
        (("--backend", "loihi", "--accumulators"), "loihi has none"),
        (("--executor", "binary"), "belongs to a back end"),
        (("--target", "loihi"), "the nearest is 'loihi1'"),
        (("--target", "generic", "--samples", "0"), "samples"),
    ],
)
def test_wrong_wishes_are_refused(
    snnc: Any, compiled: Path, held_out: Path, options: tuple[str, ...], text: str
) -> None:
    ran = snnc("run", compiled, "-i", held_out, *options)
    assert ran.code == 2
    assert text in ran.err


def test_a_folder_without_a_plan_says_so(snnc: Any, copy: Path, held_out: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["plan.npz"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    (copy / "plan.npz").unlink()
    ran = snnc("run", copy, "-i", held_out)
    assert ran.code == 2
    assert "use --engine reference" in ran.err
    assert snnc("run", copy, "-i", held_out, "--samples", 1, "--engine", "reference").code == 0


def test_validate_can_do_without_the_engine(snnc: Any, compiled: Path, held_out: Path) -> None:
    found = {}
    for engine in ("auto", "dense", "reference"):
        ran = snnc("validate", compiled, "--data", held_out, "--samples", 30, "--engine", engine, "--json")
        assert ran.code == 0, ran.err
        found[engine] = json.loads(ran.out)
    assert {r["right"] for r in found["auto"]["rungs"]} - {r["right"] for r in found["reference"]["rungs"]} == {
        "engine"
    }
    for key in ("accuracy", "layers"):
        assert found["auto"][key] == found["dense"][key] == found["reference"][key]
    assert snnc("validate", compiled, "--data", held_out, "--engine", "fast").code == 2
