"""`snnc learn run --executor binary`: the release programs learn behind the same command; wrong use is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifacts import open_folder
from snnc.backend import discover
from snnc.commands.learn_run import order_of
from snnc.errors import TraceError, UnsupportedError
from snnc.learnfolder import learning_of
from snnc_reference.pair_stdp import PairRule, Source, Target, decay_table
from snnc_spinnaker.backend import learners
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
    first = nn.Linear(6, 4, bias=False)
    with torch.no_grad():
        first.weight.uniform_(0.1, 0.5)
    return Sequence(nn.Sequential(first, LIF(4, decay=0.9)))


def example():
    return {"spikes": (np.random.default_rng(0).random((4, 12, 6)) < 0.3).astype(np.int8)}
"""
RULE = """[learning.linear0]
rule = "pair-stdp"
A_plus = 0.15
A_minus = 0.12
tau_plus = 3.0
tau_minus = 4.0
w_max = 0.5
"""


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own for every test; nothing may be written there."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def place(snnc: Snnc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.py, data.npz and the compiled folder out."""
    root = tmp_path_factory.mktemp("learns")
    (root / "model.py").write_text(MODEL, encoding="utf-8")
    (root / "snnc.toml").write_text(RULE, encoding="utf-8")
    spikes = (np.random.default_rng(5).random((3, 12, 6)) < 0.3).astype(np.int8)
    np.savez(root / "data.npz", spikes=spikes, labels=np.array([0, 1, 0]))
    ran = snnc("compile", root / "model.py", "-t", "spinnaker1", "--config", root / "snnc.toml", "-o", root / "out")
    assert ran.code == 0, ran.err
    return root


def words(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as data:
        return data["fixed/linear0"]


def samples(place: Path) -> Any:
    with np.load(place / "data.npz", allow_pickle=False) as data:
        return data["spikes"]


def parts(place: Path) -> Any:
    opened = open_folder(place / "out", discover())
    return (
        opened.float_graph(), opened.fixed_graph("spinnaker1"), opened.scales("spinnaker1"), learning_of(opened.folder)
    )  # fmt: skip


def by_definition(place: Path, x: Any) -> Any:
    """Words [post, pre] by the reference's own rule, one neuron of the target after the other, on the spikes seen."""
    made = bound(*parts(place))
    (one,) = made.plastic
    seen = emulate(made, x)
    pair, delay = one.pair, made.machine.projections[one.number].delay
    low, high, plus, minus = (round(value * 32768) for value in (pair.w_min, pair.w_max, *pair.written))
    tables = decay_table(pair.tau_plus), decay_table(pair.tau_minus)
    rule = PairRule(pair.kind, *tables, low, high, plus, minus, one.rule.shift[0])
    targets = [Target(rule) for _ in range(4)]
    rows = [Source(rule, targets, row, [delay] * 4) for row in made.words(one).tolist()]
    for step, (pre, post) in enumerate(zip(seen.spikes[one.source], seen.spikes[one.target], strict=True)):
        for neuron in np.flatnonzero(post):
            targets[neuron].spike(step)
        for source in np.flatnonzero(pre):
            rows[source].spike(step)
    return np.array([row.weights for row in rows]).T


def test_release_programs_learn_what_the_emulator_and_the_rule_say(snnc: Snnc, place: Path, tmp_path: Path) -> None:
    base = ("learn", "run", place / "out", "--data", place / "data.npz", "--backend", "spinnaker")
    more = ("--epochs", 2, "--shuffle", 3)
    ran = snnc(*base, *more, "--executor", "binary", "-o", tmp_path / "binary.npz", "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert (result["executor"], result["samples"]) == ("binary", 6)
    assert [(one["where"], one["count"]) for one in result["saturations"] if "ring" in one["what"]] == [("lif1", 0)]
    other = snnc(*base, *more, "-o", tmp_path / "emulator.npz", "--json")
    assert other.code == 0, other.err
    theirs = words(tmp_path / "binary.npz")
    assert np.array_equal(theirs, words(tmp_path / "emulator.npz"))
    assert json.loads(other.out)["accuracy"] == result["accuracy"]
    order = [*order_of(3, 3, 0), *order_of(3, 3, 1)]
    x = samples(place)[order]
    assert np.array_equal(theirs, by_definition(place, x))
    assert not np.array_equal(theirs, by_definition(place, np.roll(x, 2, axis=0))), "the order counts"
    assert snnc(*base, "--executor", "binary", "-o", tmp_path / "once.npz").code == 0
    assert not np.array_equal(theirs, words(tmp_path / "once.npz")), "the second epoch counts"
    meta = json.loads(str(np.load(tmp_path / "binary.npz", allow_pickle=False)["meta"]))
    assert meta["executor"] == "binary"
    applied = snnc("learn", "apply", place / "out", tmp_path / "binary.npz", "-o", tmp_path / "trained", "--json")
    assert applied.code == 0, applied.err
    assert json.loads(applied.out)["trained"]["worst"]["spinnaker1"] == {"linear0": 0.0}


def test_a_course_on_the_programs_is_that_of_the_emulator(place: Path) -> None:
    x = samples(place)
    theirs, ours = learners["binary"](*parts(place)), discover().backend("spinnaker").learner(*parts(place))
    trace = theirs.course(x)
    (output,) = [name for name in trace.spikes if name.startswith("lif")]
    wrong = 0
    for number, one in enumerate(x):
        sent = ours.sample(one).spikes[output][0]
        assert np.array_equal(trace.spikes[output][number], sent)
        wrong += not np.array_equal(trace.spikes[output][number - 1], sent)
    assert wrong, "samples differ"
    assert np.array_equal(theirs.raw["linear0"], ours.raw["linear0"])
    assert theirs.samples == 3
    assert theirs.steps == ours.steps
    with pytest.raises(TraceError, match=r"samples are \(12, 6\), allowed is \[B, T, \*\(6,\)\]"):
        theirs.course(x[0])
    for call in (lambda: theirs.sample(x[0]), theirs.state, lambda: theirs.restore({}),
                 lambda: theirs.set_weights("linear0", 0)):  # fmt: skip
        with pytest.raises(UnsupportedError, match="emulator"):
            call()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--backend", "spinnaker", "--executor", "binar"), 2, "lets networks learn is called 'binar'; the nearest is"),
        (("--backend", "reference", "--executor", "binary"), 2, "(there are emulator)"),
        (("--backend", "float", "--executor", "binary"), 2, "belongs to a back end"),
        (("--executor", "binary"), 2, "executor of the back end 'reference'"),
        (("--backend", "spinnaker", "--executor", "binary", "--checkpoint", "c.npz"), 3, "use --executor emulator"),
        (("--backend", "spinnaker", "--executor", "binary", "--phase", "test"), 3, "not 'test'; use --executor"),
        (("--backend", "spinnaker", "--executor", "binary", "--phase", "tset"), 2, "the nearest is 'test'"),
        (("--backend", "spinnaker", "--executor", "binary", "--seed", 1), 2, "spinnaker has none"),
    ],
)
def test_wrong_use_is_refused(
    snnc: Snnc, place: Path, tmp_path: Path, arguments: tuple[Any, ...], code: int, says: str
) -> None:
    ran = snnc("learn", "run", place / "out", "--data", place / "data.npz", "-o", tmp_path / "w.npz", *arguments)
    assert (ran.code, says in " ".join(ran.err.split())) == (code, True), ran.err
    assert not (tmp_path / "w.npz").exists()


def test_missing_tools_are_named(snnc: Snnc, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "unicorn", None)
    for name in [name for name in sys.modules if name.startswith("snnc_spinnaker.binary")]:
        monkeypatch.delitem(sys.modules, name)
    ran = snnc("learn", "run", place / "out", "--data", place / "data.npz", "--backend", "spinnaker",
               "--executor", "binary", "-o", tmp_path / "w.npz")  # fmt: skip
    assert ran.code != 0
    assert "pip install" in ran.err
    assert not (tmp_path / "w.npz").exists()
