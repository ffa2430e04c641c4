"""snnc compile with [learning], snnc learn run and snnc learn apply: what they write, go on from, and refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.commands.learn_report import report_lines
from snnc.commands.learn_run import order_of
from snnc.errors import UnsupportedError
from snnc.formats import onnx_file
from snnc.ir import Fixed, FixedGraph, Graph

Snnc = Callable[..., Any]
MODEL = """
import numpy as np
import torch
from torch import nn

from snnc.nn import LIF, Sequence
from snnc.trace import Samples


def build():
    torch.manual_seed(0)
    fc = nn.Linear(12, 5, bias=False)
    with torch.no_grad():
        fc.weight.uniform_({low}, 0.3)
    return Sequence(nn.Sequential(fc, LIF(5, decay=0.85, threshold=1.5)))


def example():
    rng = np.random.default_rng(8)
    return Samples((rng.random((24, 16, 12)) < 0.1).astype(np.int8), rng.integers(0, 3, 24))
"""
PAIR = 'rule = "pair-stdp"\nA_plus = 0.03\nA_minus = 0.02\ntau_plus = 6.0\ntau_minus = 6.0\n'


@dataclass(frozen=True)
class Place:
    """Files that the tests share; read only."""

    root: Path
    model: Path
    data: Path
    folder: Path


def config(path: Path, body: str, projection: str = "linear0") -> Path:
    path.write_text(f"[learning.{projection}]\n{body}", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(snnc: Snnc, tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("learns")
    model = root / "tiny.py"
    model.write_text(MODEL.format(low=0.0), encoding="utf-8")
    rng = np.random.default_rng(9)
    spikes = (rng.random((24, 16, 12)) < 0.1).astype(np.int8)
    np.savez(root / "data.npz", spikes=spikes, labels=rng.integers(0, 3, 24))
    folder = root / "out"
    ran = snnc("compile", model, "-t", "loihi1", "--config", config(root / "snnc.toml", PAIR), "-o", folder)
    assert ran.code == 0, ran.err
    return Place(root, model, root / "data.npz", folder)


def weights(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


def test_rules_travel_with_the_network(snnc: Snnc, made: Place) -> None:
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert "learning.json" in manifest["files"]
    entry = json.loads((made.folder / "learning.json").read_text())["learning"]["linear0"]
    assert entry["rule"] == "pair-stdp"
    assert entry["population"] == "lif1"
    assert entry["phases"] == ["train", "test"]
    for target, top in (("loihi1", 255), ("generic", 254)):
        account = entry["targets"][target]
        assert account["weights"]["step"] == pytest.approx(1 / top)
        assert account["unit"] == account["weights"]["step"], "rates count in steps of the quantized weights"
        assert {rate["term"] for rate in account["rates"]} == {"A_plus", "A_minus"}
    assert entry["targets"]["loihi1"]["phases"]["train"]["dw"].count("*") > 2
    report = json.loads((made.folder / "report.json").read_text())
    assert report["learning"]["linear0"] == entry
    shown = snnc("inspect", made.folder)
    assert "Learning of linear0: pair-stdp" in shown.out
    assert "learning.json" in shown.out
    assert "Learning of linear0: pair-stdp" in (made.folder / "report.html").read_text()


def test_a_changed_rule_is_noticed(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(made.folder, tmp_path / "copy"))
    text = (copy / "learning.json").read_text()
    (copy / "learning.json").write_text(text.replace("0.03", "0.04"))
    ran = snnc("learn", "run", copy, "--data", made.data, "-o", tmp_path / "w.npz")
    assert ran.code == 2
    assert "learning.json" in ran.err


@pytest.mark.parametrize(("backend", "target"), [("reference", "generic"), ("reference", "loihi1"), ("float", None)])
def test_weights_and_summary(snnc: Snnc, made: Place, tmp_path: Path, backend: str, target: str | None) -> None:
    chosen = () if target is None else ("-t", target)
    command = ("learn", "run", made.folder, "--data", made.data, "--backend", backend, *chosen, "--epochs", 2)
    ran = snnc(*command, "-o", tmp_path / "a.npz", "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["samples"] == 48
    assert 0 <= result["accuracy"] <= 1
    assert len(result["assignment"]) == 5
    one = result["projections"]["linear0"]
    assert sum(one["end"]) == sum(one["start"]) == 60
    assert one["moved"] > 0.5
    assert snnc(*command, "-o", tmp_path / "b.npz").code == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = weights(tmp_path / "a.npz")
    assert found["linear0"].shape == (5, 12)
    if target is None:
        assert result["drift"] == {}
        assert set(found) == {"linear0", "meta"}
    else:
        drift = result["drift"]["linear0"]
        assert set(drift["causes"]) == {"rates", "saturation", "rounding"}
        assert 0 < drift["error"] <= sum(drift["causes"].values()) + 1e-12
        step = 1 / (255 if target == "loihi1" else 254)
        assert np.allclose(found["linear0"], found["fixed/linear0"] * step)


def test_every_engine_writes_the_same_files(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    """Weights, checkpoints and what is said of them; only the field that names the engine differs."""
    common = ("learn", "run", made.folder, "--data", made.data, "-t", "loihi1", "--json", "--every", 7, "-o")
    found, files = [], []
    for n, engine in enumerate((None, "event", "dense", "reference")):
        out, check = tmp_path / "w.npz", tmp_path / f"c{n}.npz"
        chosen = () if engine is None else ("--engine", engine)
        ran = snnc(*common, out, "--checkpoint", check, *chosen)
        assert ran.code == 0, ran.err
        found.append(json.loads(ran.out))
        files.append((out.read_bytes(), check.read_bytes()))
    assert [one.pop("engine") for one in found] == ["event", "event", "dense", "reference"]
    assert all(one == found[0] for one in found)
    assert len(set(files)) == 1
    text = snnc(*[word for word in common if word != "--json"], tmp_path / "w.npz").out
    assert "24 samples learned on the engine (event), target loihi1" in text


def test_what_the_engine_does_not_execute_is_for_the_definition(
    snnc: Snnc, made: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedError("not this graph")

    monkeypatch.setattr("snnc.engine.learner.learning_plan", refuse)
    common = ("learn", "run", made.folder, "--data", made.data, "-t", "loihi1", "-o", tmp_path / "w.npz", "--json")
    assert json.loads(snnc(*common).out)["engine"] == "reference"
    ran = snnc(*common, "--engine", "event")
    assert ran.code == 3
    assert "not this graph" in ran.err


def test_drift_is_that_of_the_spikes_that_were_seen(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    """With few samples, the integers of the drift are the integers that learned."""
    command = ("learn", "run", made.folder, "--data", made.data, "-t", "loihi1", "--samples", 10)
    result = json.loads(snnc(*command, "-o", tmp_path / "w.npz", "--json").out)
    drift = result["drift"]["linear0"]
    assert drift["steps"] == 10 * 17
    ends = np.histogram(weights(tmp_path / "w.npz")["linear0"], drift["edges"])[0]
    assert ends.tolist() == drift["histograms"]["integers"]


def test_lava_itself_learns_the_same(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    """The same folder on Lava's processes and on the reference, weight for weight; Lava's seed is asked for."""
    folder, body = tmp_path / "parity", PAIR + 'parity = "lava"\n'
    assert (
        snnc("compile", made.model, "-t", "loihi1", "--config", config(tmp_path / "c.toml", body), "-o", folder).code
        == 0
    )
    common = ("learn", "run", folder, "--data", made.data, "--samples", 12, "--epochs", 2, "--shuffle", 1)
    ran = snnc(*common, "--backend", "loihi", "-o", tmp_path / "lava.npz", "--json")
    assert ran.code == 0, ran.err
    drift = json.loads(ran.out)["drift"]["linear0"]
    ran = snnc(*common, "-t", "loihi1", "-o", tmp_path / "ours.npz", "--json")
    assert ran.code == 0, ran.err
    own = json.loads(ran.out)["drift"]["linear0"]
    assert drift["error"] > 0
    assert (drift.pop("by"), own.pop("by")) == ("the reference, whose integers equal Lava's weight for weight", "")
    assert drift == own
    lava, ours = weights(tmp_path / "lava.npz"), weights(tmp_path / "ours.npz")
    assert np.array_equal(lava["fixed/linear0"], ours["fixed/linear0"])
    ran = snnc(*common, "--backend", "loihi", "-o", tmp_path / "x.npz", "--checkpoint", tmp_path / "c.npz")
    assert ran.code == 3
    assert "without checkpoints" in ran.err
    ran = snnc("learn", "run", made.folder, "--data", made.data, "--backend", "loihi", "-o", tmp_path / "x.npz")
    assert ran.code == 2
    assert 'parity = "lava"' in ran.err


def test_supervised_rules_are_judged_by_the_first_spike(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    body = 'rule = "s2-stdp"\nA_plus = 0.1\nA_minus = 0.1\nt_max = 16\ngap = 6.0\nw_min = -1.0\n'
    folder, data = tmp_path / "s2", tmp_path / "s2.npz"
    rng = np.random.default_rng(3)
    labels = np.arange(40) % 5
    spikes = np.zeros((40, 16, 12), np.int8)
    for n, label in enumerate(labels):
        spikes[n, np.arange(12), rng.integers(0, 4, 12) + 8 * (np.arange(12) // 2 != label)] = 1
    np.savez(data, spikes=spikes, labels=labels)
    path = config(tmp_path / "c.toml", body)
    assert snnc("compile", made.model, "-t", "loihi1", "--config", path, "-o", folder).code == 0
    found = []
    for backend in (("reference", "-t", "loihi1"), ("float",)):
        ran = snnc("learn", "run", folder, "--data", data, "--epochs", 8, "--backend", *backend,
                   "-o", tmp_path / "w.npz", "--json")  # fmt: skip
        assert ran.code == 0, ran.err
        found.append(json.loads(ran.out))
    assert all(one["accuracy"] >= 0.4 for one in found), [one["accuracy"] for one in found]
    assert found[0]["assignment"] is None
    assert found[0]["again"] > 0, "nothing inhibits a neuron that fired"
    assert any("a neuron fires again" in line for line in report_lines(found[0]))
    assert not any("fires again" in line for line in report_lines({**found[0], "again": 0.0}))
    command = ("learn", "run", folder, "--data", data, "-t", "loihi1", "--samples", 2, "-o", tmp_path / "w.npz")
    assert "with nearest rounding values of error below" in snnc(*command, "--rounding", "nearest").err
    assert "values of error below" not in snnc(*command, "--rounding", "stochastic").err


def test_weights_that_a_pass_scales_are_refused(snnc: Snnc, tmp_path: Path) -> None:
    model = tmp_path / "scaled.py"
    text = MODEL.format(low=0.0).replace("Sequential(fc, ", "Sequential(fc, norm, ")
    norm = "    norm = nn.BatchNorm1d(5).eval()\n    norm.running_var.fill_(0.25)\n"
    text = text.replace("    return Sequence", norm + "    return Sequence")
    model.write_text(text.replace("threshold=1.5)))", "threshold=1.5))).eval()"), encoding="utf-8")
    ran = snnc("compile", model, "-t", "loihi1", "--config", config(tmp_path / "c.toml", PAIR), "-o", tmp_path / "o")
    assert ran.code == 3
    assert "changed by a pass (largest times 2)" in ran.err


def test_shuffled_epochs_differ_and_repeat(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    assert not np.array_equal(order_of(24, 3, 0), order_of(24, 3, 1))
    assert np.array_equal(order_of(24, None, 1), np.arange(24))
    kept = []
    for shuffle in ((), ("--shuffle", 1), ("--shuffle", 1), ("--shuffle", 2)):
        assert snnc("learn", "run", made.folder, "--data", made.data, *shuffle, "-o", tmp_path / "w.npz").code == 0
        kept.append(weights(tmp_path / "w.npz")["linear0"])
    assert np.array_equal(kept[1], kept[2])
    assert not np.array_equal(kept[0], kept[1])
    assert not np.array_equal(kept[1], kept[3])


CHIP = ("--backend", "reference", "-t", "loihi1")


@pytest.mark.parametrize(
    ("backend", "killed", "resumed"),
    [
        (CHIP, "event", "event"), (CHIP, "dense", "reference"), (CHIP, "reference", "event"),
        (("--backend", "float"), "auto", "auto"),
    ],
)  # fmt: skip
def test_a_killed_run_resumes_to_identical_weights(
    snnc: Snnc, made: Place, tmp_path: Path, backend: tuple[str, ...], killed: str, resumed: str
) -> None:
    """Also by another engine: a checkpoint does not depend on who executes it. The whole run is by whom was killed."""
    common = [str(made.folder), "--data", str(made.data), "--epochs", "8", "--shuffle", "5", "--every", "5", *backend]
    check, out = tmp_path / "check.npz", tmp_path / "killed.npz"
    first, second = ("--engine", killed), ("--engine", resumed)
    command = [sys.executable, "-c", "from snnc.cli import main; main()", "learn", "run", *common, *first]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    victim = subprocess.Popen(
        [*command, "-o", str(out), "--checkpoint", str(check)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment,
    )  # fmt: skip
    try:
        while not check.is_file() and victim.poll() is None:
            time.sleep(0.01)
        for _ in range(3):
            seen = check.read_bytes()
            while victim.poll() is None and check.read_bytes() == seen:
                time.sleep(0.001)
        victim.send_signal(signal.SIGKILL)
    finally:
        victim.wait(timeout=30)
    assert victim.returncode == -signal.SIGKILL, "it was still learning"
    assert not out.exists()
    head = json.loads(str(weights(check)["run"]))
    assert 0 < 24 * head["epoch"] + head["index"] < 24 * 8
    ran = snnc("learn", "run", *common, *second, "-o", out, "--checkpoint", check, "--resume")
    assert ran.code == 0, ran.err
    whole, short = tmp_path / "whole.npz", tmp_path / "short.npz"
    assert snnc("learn", "run", *common, *first, "-o", whole).code == 0
    assert out.read_bytes() == whole.read_bytes()
    assert snnc("learn", "run", *[w if w != "8" else "7" for w in common], "-o", short).code == 0
    assert short.read_bytes() != whole.read_bytes(), "the last epoch counts"
    assert not list(tmp_path.glob(".*tmp")), "whoever is killed while writing leaves the old file; none is left here"


def test_checkpoints_belong_to_their_run(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    check, out = tmp_path / "c.npz", tmp_path / "w.npz"
    common = ("learn", "run", made.folder, "--data", made.data, "-o", out, "--checkpoint", check)
    assert snnc(*common, "--resume").code == 0, "no checkpoint yet: the run begins"
    for option, says in ((("--shuffle", 1), "another order"), (("--backend", "float"), "another back end"),
                         (("-t", "loihi1"), "another target"), (("--samples", 3), "other data")):  # fmt: skip
        ran = snnc(*common, "--resume", *option)
        assert ran.code == 2
        assert says in ran.err
    check.write_bytes(b"PK nothing")
    assert snnc(*common, "--resume").code == 2
    np.savez(check, weights=np.zeros(3))
    ran = snnc(*common, "--resume")
    assert ran.code == 2
    assert "no checkpoint" in ran.err
    assert "--resume needs --checkpoint" in snnc(*common[:-2], "--resume").err


def test_trained_weights_go_back_into_a_folder(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    out, folder = tmp_path / "w.npz", tmp_path / "trained"
    assert snnc("learn", "run", made.folder, "--data", made.data, "-t", "loihi1", "-o", out).code == 0
    ran = snnc("learn", "apply", made.folder, out, "-o", folder, "--data", made.data, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    trained = weights(out)
    graph = onnx_file.read((folder / "model.float.onnx").read_bytes(), 1 << 30)
    fixed = onnx_file.read((folder / "loihi1" / "model.fixed.onnx").read_bytes(), 1 << 30)
    generic = onnx_file.read((folder / "model.fixed.onnx").read_bytes(), 1 << 30)
    assert isinstance(graph, Graph)
    assert isinstance(fixed, FixedGraph)
    assert np.array_equal(np.asarray(graph["linear0"].params()["weight"]), trained["linear0"])
    own = fixed["linear0"].params()["weight"]
    assert isinstance(own, Fixed)
    assert np.array_equal(own.raw, trained["fixed/linear0"]), "bit for bit what the chip learned"
    other = generic["linear0"].params()["weight"]
    assert isinstance(other, Fixed)
    assert not np.array_equal(other.raw, own.raw), "its own unit"
    worst = result["trained"]["worst"]
    assert worst["loihi1"]["linear0"] < 1e-12
    assert 0 < worst["generic"]["linear0"] < 0.004
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["weights"]["target"] == "loihi1"
    assert manifest["weights"]["samples"] == 24
    assert len(manifest["weights"]["sha256"]) == 64
    assert snnc("validate", folder, "--data", made.data).code == 0
    again = snnc("learn", "run", folder, "--data", made.data, "-t", "loihi1", "-o", tmp_path / "more.npz")
    assert again.code == 0, "it goes on learning from there"
    np.savez(tmp_path / "bad.npz", linear1=np.zeros((5, 12)), meta=np.array('{"formats": {}}'))
    ran = snnc("learn", "apply", made.folder, tmp_path / "bad.npz", "-o", tmp_path / "no")
    assert ran.code == 2
    assert "the nearest is 'linear0'" in ran.err
    np.savez(tmp_path / "bad.npz", linear0=np.zeros((5, 11)), meta=np.array('{"formats": {}}'))
    ran = snnc("learn", "apply", made.folder, tmp_path / "bad.npz", "-o", tmp_path / "no")
    assert "(5, 11), allowed is (5, 12)" in ran.err
    assert not (tmp_path / "no").exists()


BAD = [
    ('rule = "pair-stdp"\nA_plus = 0.0000001', 2, "which is zero"),
    ('rule = "pair-stdp"\ntau_plus = 0.0', 2, "more than 0. A trace of 0 steps"),
    ('rule = "pair-stdp"\nt_epoch = 64', 2, "1 to 63 steps (6 bits)"),
    ('rule = "products"\ndw = "y0*x1"\nx1_impulse = 200.0\nx1_tau = 8.0', 2, "0 to 127"),
    ('rule = "products"\ndw = "u10*x1"\nx1_impulse = 20.0\nx1_tau = 8.0', 2, "u10"),
    ('rule = "products"\ndw = "0.5*y0*x1"\nx1_impulse = 20.0\nx1_tau = 8.0', 2, "0.5"),
    ('rule = "pair-stdp"\nw_min = -1.0\nsign = "excitatory"', 2, "set w_min = 0"),
    ('rule = "pair-stdp"\nA_pluss = 0.01', 2, "the nearest is 'A_plus'"),
    ('rule = "pair-sdtp"', 2, "the nearest is 'pair-stdp'"),
]


@pytest.mark.parametrize(("body", "code", "says"), BAD, ids=range(len(BAD)))
def test_bad_rules_are_refused_while_compiling(
    snnc: Snnc, made: Place, tmp_path: Path, body: str, code: int, says: str
) -> None:
    ran = snnc(
        "compile", made.model, "-t", "loihi1", "--config", config(tmp_path / "c.toml", body), "-o", tmp_path / "o"
    )
    assert ran.code == code, ran.err
    assert says in ran.err
    assert not (tmp_path / "o").exists()


def test_rules_that_a_target_does_not_have(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    """Refused where it was asked for, with what the host could do; the generic target may say no in silence."""
    path = config(tmp_path / "c.toml", 'rule = "triplet-stdp"\n')
    ran = snnc("compile", made.model, "-t", "spinnaker1", "--config", path, "-o", tmp_path / "o")
    assert ran.code == 3
    assert "triplet-stdp" in ran.err
    assert "another target" in ran.err
    ran = snnc("compile", made.model, "-t", "loihi1", "--config", config(tmp_path / "c.toml", PAIR, "linear1"))
    assert ran.code == 2
    assert "the nearest is 'linear0'" in ran.err
    signed = tmp_path / "signed.py"
    signed.write_text(MODEL.format(low=-0.3), encoding="utf-8")
    ran = snnc("compile", signed, "-t", "loihi1", "--config", config(tmp_path / "c.toml", PAIR), "-o", tmp_path / "o")
    assert ran.code == 2
    assert "Clamp them in the model, or let the rule have signed weights" in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--backend", "loihi2x"), "the nearest is 'loihi'"),
        (("--backend", "spinnaker"), "holds nothing for the back end 'spinnaker'"),
        (("--backend", "loihi", "-t", "generic"), "serves loihi1, loihi2, not generic"),
        (("--backend", "float", "-t", "loihi1"), "is of integers"),
        (("-t", "loihi2"), "no compiled target is called 'loihi2'"),
        (("--phase", "trian"), "the nearest is 'train'"),
        (("--epochs", 0), "--epochs is 0"),
        (("--every", 0), "--every is 0"),
        (("--samples", 0), "--samples is 0, allowed is 1 or more"),
        (("--samples", -3), "--samples is -3, allowed is 1 or more"),
        (("--shuffle", -1), "--shuffle is -1, allowed is 0 or more"),
        (("--seed", -1), "--seed is -1, allowed is 0 or more"),
        (("--rounding", "up"), "no rounding is called 'up'"),
        (("--engine", "evnt"), "the nearest is 'event'"),
        (("--engine", "dense", "--backend", "float"), "executes the reference's integers"),
    ],
)
def test_mistakes_of_learn_run(snnc: Snnc, made: Place, tmp_path: Path, arguments: tuple[Any, ...], says: str) -> None:
    ran = snnc("learn", "run", made.folder, "--data", made.data, "-o", tmp_path / "w.npz", *arguments)
    assert ran.code == 2
    assert says in ran.err
    assert not (tmp_path / "w.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-o", ""), "--output . cannot be written: it is a folder; name a file"),
        (("-o", "nowhere/w.npz"), "--output nowhere/w.npz cannot be written: there is no folder nowhere"),
        (("-o", "data.npz"), "--output data.npz is read by this run"),
        (("-o", "test.npz", "--test", "test.npz"), "--output test.npz is read by this run"),
        (("-o", "w.npz", "--checkpoint", "w.npz"), "--checkpoint w.npz is the file of --output already"),
        (("-o", "w.npz", "--checkpoint", "data.npz"), "--checkpoint data.npz is read by this run"),
        (("-o", "w.npz", "--checkpoint", "no/c.npz"), "--checkpoint no/c.npz cannot be written"),
        (("-o", "w.npz", "--test", "nowhere.npz"), "nowhere.npz cannot be read: No such file or directory"),
        (("-o", "w.npz", "--test", "narrow.npz"), "allowed is [T, 12] or [B, T, 12]"),
        (("-o", "w.npz", "--checkpoint", "test.npz", "--resume"), "test.npz: no checkpoint of `snnc learn run`"),
        (("-o", "w.npz", "--checkpoint", "text", "--resume"), "text: cannot be read as .npz: it is no zip archive"),
    ],
)
def test_files_of_learn_run_are_looked_at_first(
    snnc: Snnc, made: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], says: str
) -> None:
    for name in ("data.npz", "test.npz"):
        (tmp_path / name).write_bytes(made.data.read_bytes())
    np.savez(tmp_path / "narrow.npz", spikes=np.zeros((2, 16, 11), dtype=np.int8))
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ran = snnc("learn", "run", made.folder, "--data", "data.npz", *arguments)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert says in ran.err
    assert "Error(" not in ran.err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert snnc("learn", "run", made.folder, "--data", "data.npz", "-o", made.folder / "w.npz").code == 2


def test_folders_without_rules_say_so(snnc: Snnc, made: Place, tmp_path: Path) -> None:
    empty = tmp_path / "c.toml"
    empty.write_text("", encoding="utf-8")
    assert snnc("compile", made.model, "--config", empty, "-o", tmp_path / "o").code == 0
    assert not (tmp_path / "o" / "learning.json").exists()
    ran = snnc("learn", "run", tmp_path / "o", "--data", made.data, "-o", tmp_path / "w.npz")
    assert ran.code == 2
    assert "Put [learning.PROJECTION] into snnc.toml" in ran.err
