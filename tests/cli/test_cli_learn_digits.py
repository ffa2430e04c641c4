"""models/digits_stdp.py by the commands of models/README.md: day, night, and what rounding makes of the night."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from snnc import trace
from snnc.commands.learn_run import LearnChoices, taught
from snnc.learning.contraction import decay_of
from snnc.learning.library import build, combine
from snnc.learning.settings import configure

Snnc = Callable[..., Any]
MODELS = Path(__file__).resolve().parents[2] / "models"
NIGHT = 130
"""Steps of sleep on a chip: 128, one until spikes have gone through the layers, one in which synapses see the last."""


def load() -> ModuleType:
    """The script as the command line loads it."""
    sys.path.insert(0, str(MODELS))
    try:
        return importlib.import_module("digits_stdp")
    finally:
        sys.path.remove(str(MODELS))


@pytest.fixture(scope="module")
def day(snnc: Snnc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, the compiled network ``net``, and ``day`` after 30 digits on Loihi's integers."""
    root, script = tmp_path_factory.mktemp("stdp"), load()
    np.savez(root / "training.npz", **script.training())
    np.savez(root / "silence.npz", **script.silence())
    config = root / "digits_stdp.toml"
    config.write_text(
        (MODELS / config.name).read_text(encoding="utf-8") + "\n[verify]\nsamples = 2\n", encoding="utf-8"
    )
    assert snnc("compile", MODELS / "digits_stdp.py", "--config", config, "-t", "loihi1", "-o", root / "net").code == 0
    learned = ("learn", "run", root / "net", "--data", root / "training.npz", "-t", "loihi1", "--samples", 30)
    assert snnc(*learned, "--shuffle", 0, "-o", root / "day.npz").code == 0
    assert snnc("learn", "apply", root / "net", root / "day.npz", "-o", root / "day").code == 0
    return root


def test_the_commands_learn_what_the_script_learns(day: Path) -> None:
    script = load()
    samples = trace.Samples(script.training()["spikes"][:30])
    with np.load(day / "day.npz", allow_pickle=False) as data:
        wanted = data["linear0"]
    for shuffle, same in ((0, True), (1, False)):
        found, _ = script.learner(script.Lesson("loihi1"))
        taught(found, samples, LearnChoices(Path(), Path(), shuffle=shuffle), {}, lambda *_: None)
        assert np.array_equal(found.weights["linear0"], wanted) == same


def night(snnc: Snnc, day: Path, *options: object) -> tuple[Any, str]:
    """The contraction that the command reports, and its warnings."""
    common = ("learn", "run", day / "day", "--phase", "sleep", "--data", day / "silence.npz", "-o", day / "night.npz")
    ran = snnc(*common, *options, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["contraction"]["linear0"], ran.err


def test_weights_contract_by_the_closed_form(snnc: Snnc, day: Path) -> None:
    exact, _ = night(snnc, day, "--backend", "float")
    assert exact["steps"] == 128
    assert exact["factor"] == pytest.approx((1 - 1 / 64) ** 128, abs=1e-9)
    assert exact["off"] < 1e-6
    chip, said = night(snnc, day, "-t", "loihi1")
    assert chip["steps"] == NIGHT
    assert chip["expected"] == pytest.approx((1 - 1 / 64) ** NIGHT)
    assert chip["factor"] == pytest.approx(chip["expected"], abs=0.06)
    assert chip["off"] <= 2.5
    assert "stall" not in said
    for wrong in (1 / 32, 1 / 128):
        assert abs(chip["factor"] - (1 - wrong) ** NIGHT) > 0.08, "another rate is seen"


@pytest.mark.parametrize(("rounding", "words", "far"), [("nearest", 32, 15.0), ("floor", 64, 1.0)])
def test_rounding_that_stalls_sleep_is_reported(snnc: Snnc, day: Path, rounding: str, words: int, far: float) -> None:
    found, said = night(snnc, day, "-t", "loihi1", "--rounding", rounding, "--epochs", 4)
    assert found["expected"] < 0.001
    assert found["off"] >= far
    assert f"with {rounding} rounding the weights stall up to {words} steps away" in said
    chip, _ = night(snnc, day, "-t", "loihi1", "--epochs", 4)
    assert chip["off"] <= far / 3


def test_people_are_told(snnc: Snnc, day: Path) -> None:
    common = ("learn", "run", day / "day", "--phase", "sleep", "--data", day / "silence.npz", "-o", day / "night.npz")
    said = snnc(*common, "--backend", "float").out
    assert "after 128 steps of decay distances to the baseline 0.4375 are times 0.1332 (closed form 0.1332)" in said
    explained = snnc(
        "learn", "explain", MODELS / "digits_stdp.py", "--config", MODELS / "digits_stdp.toml", "-t", "loihi1"
    )
    assert "w += 0.08 * x * (1 - w)" in explained.out
    assert "w -= 0.015625 * (-0.4375 + w)" in explained.out


def test_decay_is_a_phase_in_which_nothing_else_happens() -> None:
    rule = combine(build("pair-stdp"), build("weight-decay"), "sleep")
    found = decay_of(rule, "sleep")
    assert found is not None
    assert found.name == "sleep.rate"
    assert decay_of(rule, "train") is None
    assert decay_of(configure("p", rule="homeostatic-scaling").rule, "train") is None
