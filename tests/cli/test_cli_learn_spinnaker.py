"""snnc compile, learn run and learn apply for spinnaker1: one run of the chip, words kept exactly, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifacts import open_folder
from snnc.backend import discover
from snnc.ir import Affine, Fixed
from snnc.learnfolder import learning_of
from snnc_spinnaker.learn_run import emulate
from snnc_spinnaker.learner import bound

Snnc = Callable[..., Any]
MODEL = """
import numpy as np
import torch
from torch import nn

from snnc.nn import LIF, Sequence


def build():
    torch.manual_seed(0)
    first, second = nn.Linear(12, 6, bias=False), nn.Linear(6, 3, bias=False)
    with torch.no_grad():
        first.weight.uniform_(0.0, 0.5)
        second.weight.uniform_(0.0, 0.6)
    return Sequence(nn.Sequential(first, LIF(6, decay=0.9), second, LIF(3, decay=0.85)))


def example():
    return {"spikes": (np.random.default_rng(0).random((4, 20, 12)) < 0.2).astype(np.int8)}
"""
PAIR = 'rule = "pair-stdp"\nA_plus = 0.06\nA_minus = 0.04\namplitudes = "relative"\ntau_plus = 5.0\ntau_minus = 6.0\n'


def config(path: Path, body: str) -> Path:
    path.write_text(f"[learning.linear0]\n{body}", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(snnc: Snnc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.py, data.npz and the compiled folder out."""
    root = tmp_path_factory.mktemp("learns")
    (root / "model.py").write_text(MODEL, encoding="utf-8")
    rng = np.random.default_rng(5)
    np.savez(root / "data.npz", spikes=(rng.random((7, 20, 12)) < 0.2).astype(np.int8), labels=rng.integers(0, 3, 7))
    body = PAIR + "w_max = 0.5\n"
    ran = snnc("compile", root / "model.py", "-t", "spinnaker1", "--config", config(root / "snnc.toml", body),
               "-o", root / "out")  # fmt: skip
    assert ran.code == 0, ran.err
    return root


def words(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as data:
        return data["fixed/linear0"]


def stored(folder: Path) -> Any:
    node = open_folder(folder, discover()).fixed_graph("spinnaker1")["linear0"]
    assert isinstance(node, Affine)
    assert isinstance(node.weight, Fixed)
    return node.weight.raw


def test_the_folder_holds_the_rule_in_the_unit_of_its_weights(place: Path) -> None:
    names = {path.name for path in (place / "out" / "spinnaker1").iterdir()}
    assert {"run_spynnaker_learning.py", "spynnaker_learning.npz", "run_spynnaker.py", "spynnaker.npz"} <= names
    entry = json.loads((place / "out" / "learning.json").read_text())["learning"]["linear0"]["targets"]["spinnaker1"]
    step = entry["weights"]["step"]
    assert entry["native"]
    assert entry["unit"] == step
    assert np.log2(step) == round(np.log2(step))
    graph = open_folder(place / "out", discover()).float_graph()
    node = graph["linear0"]
    assert isinstance(node, Affine)
    assert np.abs(stored(place / "out") - np.asarray(node.weight) / step).max() <= 0.5
    with np.load(place / "out" / "spinnaker1" / "spynnaker_learning.npz", allow_pickle=False) as data:
        network = json.loads(str(data["network"]))
    (rule,) = (entry["rule"] for entry in network["projections"] if entry["rule"] is not None)
    # Relative amplitudes become currents: a part of w_max, in nA.
    assert rule["A_plus"] == pytest.approx(0.06 * rule["w_max"])
    assert network["pause"] > 40


def test_samples_are_one_run_of_the_chip(snnc: Snnc, place: Path) -> None:
    weights = place / "whole.npz"
    ran = snnc(
        "learn", "run", place / "out", "--data", place / "data.npz", "--backend", "spinnaker", "-o", weights, "--json"
    )
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["samples"] == 7
    drift = result["drift"]["linear0"]
    with np.load(weights, allow_pickle=False) as data:
        assert np.histogram(data["linear0"], drift["edges"])[0].tolist() == drift["histograms"]["integers"]
    assert drift["error"] <= sum(drift["causes"].values())
    assert drift["causes"]["deferred"] > drift["causes"]["words"] > 0
    assert len(drift["over_time"]["error"]) == len(drift["over_time"]["step"]) == 24
    opened = open_folder(place / "out", discover())
    parts = opened.float_graph(), opened.fixed_graph("spinnaker1"), opened.scales("spinnaker1")
    made = bound(*parts, learning_of(opened.folder))
    with np.load(place / "data.npz", allow_pickle=False) as data:
        x = data["spikes"]
    assert np.array_equal(words(weights), emulate(made, x).weights["linear0"].T)
    assert not np.array_equal(words(weights), emulate(made, x[::-1]).weights["linear0"].T)
    assert np.mean(words(weights) != stored(place / "out")) > 0.9


def one_by_one(folder: Path, data: Path) -> int:
    """Additions that a full ring entry cut, where rows come in the order of their sources."""
    opened = open_folder(folder, discover())
    parts = opened.float_graph(), opened.fixed_graph("spinnaker1"), opened.scales("spinnaker1")
    made = bound(*parts, learning_of(opened.folder))
    with np.load(data, allow_pickle=False) as given:
        seen = emulate(made, given["spikes"], every_step=True)
    found = 0
    for words_now, sent in zip(seen.history["linear0"], seen.spikes[made.plastic[0].source], strict=True):
        ring = np.zeros(words_now.shape[1], dtype=np.int64)
        for row in words_now[sent != 0]:
            found += int(np.sum(ring + row > 65535))
            ring = np.minimum(ring + row, 65535)
    return found


def test_rings_that_are_cut_are_shown_with_what_to_do(
    snnc: Snnc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 inputs in every step, where the network was compiled for a 50th of that."""
    monkeypatch.setenv("HOME", str(tmp_path))
    model = MODEL.replace("nn.Linear(12, 6", "nn.Linear(60, 6").replace("(4, 20, 12)) < 0.2", "(4, 20, 60)) < 0.02")
    (tmp_path / "model.py").write_text(model, encoding="utf-8")
    file = config(tmp_path / "snnc.toml", PAIR + "w_max = 0.5\n")
    ran = snnc("compile", tmp_path / "model.py", "-t", "spinnaker1", "--config", file, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    base = ("learn", "run", tmp_path / "out", "--backend", "spinnaker", "-o", tmp_path / "w.npz", "--data")
    found = {}
    for name, rate in (("loud", 1.0), ("calm", 0.02)):
        x = (np.random.default_rng(0).random((2, 10, 60)) < rate).astype(np.int8)
        np.savez(tmp_path / f"{name}.npz", spikes=x)
        ran = snnc(*base, tmp_path / f"{name}.npz", "--json")
        assert ran.code == 0, ran.err
        counts = json.loads(ran.out)["saturations"]
        (found[name],) = [one for one in counts if one["where"] == "linear0" and "ring" in one["what"]]
    assert (found["calm"]["count"], found["calm"]["warning"]) == (0, "")
    assert 0 < found["loud"]["count"] <= 20 * 6
    ran = snnc(*base, tmp_path / "loud.npz", "--executor", "binary", "--json")
    assert ran.code == 0, ran.err
    counted = {one["where"]: one for one in json.loads(ran.out)["saturations"] if "ring" in one["what"]}
    assert counted["lif1"]["count"] == one_by_one(tmp_path / "out", tmp_path / "loud.npz") > found["loud"]["count"]
    assert counted["lif3"]["count"] == 0
    said = " ".join(snnc(*base, tmp_path / "loud.npz").out.split())
    assert f"warning: {found['loud']['warning']}" in said
    assert "receive less than the weights say. Compile with --data as busy as what the network learns from" in said


def test_the_drift_is_shown_with_what_the_chip_does(snnc: Snnc, place: Path, tmp_path: Path) -> None:
    ran = snnc("learn", "run", place / "out", "--data", place / "data.npz", "--backend", "spinnaker", "--samples", 2,
               "-o", tmp_path / "w.npz")  # fmt: skip
    said = " ".join(ran.out.split())
    assert "pairs wait for the next pre spike" in said
    assert "off the float rule on average" in said
    assert "mean error from the first to the last step: |" in said
    assert "measured on" not in said, "the emulator's own"


def test_a_run_goes_on_from_its_checkpoint(snnc: Snnc, place: Path, tmp_path: Path) -> None:
    base = ("learn", "run", place / "out", "--data", place / "data.npz", "--backend", "spinnaker")
    ends = {}
    for name, epochs, more in (("once", 2, ()), ("first", 1, ("--resume",)), ("rest", 2, ("--resume",))):
        keep = () if name == "once" else ("--checkpoint", tmp_path / "state.npz")
        ran = snnc(*base, "--epochs", str(epochs), *keep, *more, "-o", tmp_path / f"{name}.npz")
        assert ran.code == 0, ran.err
        ends[name] = words(tmp_path / f"{name}.npz")
    assert np.array_equal(ends["once"], ends["rest"])
    assert not np.array_equal(ends["once"], ends["first"])


def test_words_go_back_exactly(snnc: Snnc, place: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.npz"
    assert (
        snnc("learn", "run", place / "out", "--data", place / "data.npz", "--backend", "spinnaker", "-o", weights).code
        == 0
    )
    ran = snnc("learn", "apply", place / "out", weights, "-o", tmp_path / "trained", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["trained"]["worst"]["spinnaker1"] == {"linear0": 0.0}
    assert np.array_equal(stored(tmp_path / "trained"), words(weights))
    ran = snnc(
        "run", tmp_path / "trained", "--backend", "spinnaker", "--target", "spinnaker1", "--input", place / "data.npz"
    )
    assert ran.code == 0, ran.err


REFUSED = {
    "no program": ('rule = "triplet-stdp"\nw_max = 0.5\n', 3, "triplet program"),
    "signed": (PAIR + "w_min = -0.5\nw_max = 0.5\n", 2, "give magnitudes"),
    "absolute meant relative": (
        'rule = "pair-stdp"\nA_plus = 0.3\nA_minus = 0.01\nw_max = 0.2\n', 2, "write amplitudes = 'relative'",
    ),
    "outside": (PAIR + "w_max = 0.3\n", 2, "weights are outside"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_programs_cannot_learn_is_refused_when_compiling(
    snnc: Snnc, place: Path, tmp_path: Path, what: str
) -> None:
    body, code, text = REFUSED[what]
    file = config(tmp_path / "snnc.toml", body)
    ran = snnc("compile", place / "model.py", "-t", "spinnaker1", "--config", file, "-o", tmp_path / "out")
    assert (ran.code, text in " ".join(ran.err.split())) == (code, True), ran.err


def test_a_rule_without_a_program_names_neurons_and_rules_that_have_one(
    snnc: Snnc, place: Path, tmp_path: Path
) -> None:
    """Multiplicative weights need a synaptic filter: each way that the refusal names is then taken."""
    body = 'rule = "soft-bound-stdp"\nA_plus = 0.06\nA_minus = 0.04\ntau_plus = 5.0\ntau_minus = 6.0\nw_max = 0.5\n'
    file = config(tmp_path / "snnc.toml", body)
    ran = snnc("compile", place / "model.py", "-t", "spinnaker1", "--config", file, "-o", tmp_path / "out")
    assert ran.code == 3
    said = " ".join(ran.err.split())
    for words_of_it in (
        "soft-bound-stdp (multiplicative) on IF_curr_delta", "soft-bound-stdp on IF_curr_exp", "snnc.nn.CubaLIF",
        "Give lif1 a synaptic filter", 'rule = "pair-stdp" in [learning.linear0]',
    ):  # fmt: skip
        assert words_of_it in said, words_of_it
    assert not (tmp_path / "out").exists()
    filtered = MODEL.replace("LIF, Sequence", "LIF, CubaLIF, Sequence")
    filtered = filtered.replace("LIF(6, decay=0.9)", "CubaLIF(6, decay_u=0.5, decay_v=0.9)")
    (tmp_path / "filtered.py").write_text(filtered, encoding="utf-8")
    ran = snnc("compile", tmp_path / "filtered.py", "-t", "spinnaker1", "--config", file, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    ran = snnc("learn", "run", tmp_path / "out", "--data", place / "data.npz", "--backend", "spinnaker", "--samples", 2,
               "-o", tmp_path / "w.npz", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["projections"]["linear0"]["moved"] > 0.5
    config(tmp_path / "pair.toml", body.replace("soft-bound", "pair"))
    ran = snnc("compile", place / "model.py", "-t", "spinnaker1", "--config", tmp_path / "pair.toml",
               "-o", tmp_path / "pair")  # fmt: skip
    assert ran.code == 0, ran.err


def test_other_integers_do_not_learn_here(snnc: Snnc, place: Path, tmp_path: Path) -> None:
    file = config(tmp_path / "snnc.toml", PAIR + "w_max = 0.5\n")
    ran = snnc("compile", place / "model.py", "-t", "spinnaker2", "--config", file, "-o", tmp_path / "out")
    assert ran.code == 3
    assert "synapses" in ran.err or "learn" in ran.err
