"""Supervised digits at a size for every commit: figures that can fail, and what must make them fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from snnc.cli import app
from snnc.learning import lower_rule
from unit.models.model_scripts import MODELS, load

CHANCE = 0.1


S2 = load("digits_s2stdp")
TRAINING, HELD_OUT = S2.training(), S2.held_out()


def first(count: int) -> Any:
    """The first of the training samples."""
    return {key: values[:count] for key, values in TRAINING.items()}


def learned(count: int, config: Any = None, samples: Any = None, **keys: Any) -> float:
    lesson = S2.Lesson(config or S2.configured(), **{"epochs": 1, **keys})
    return float(S2.accuracy(lesson, samples or first(count), HELD_OUT))


def test_groups_that_compete_beat_one_neuron_for_each_class() -> None:
    groups = learned(500, epochs=2, seed=2)
    assert groups >= 0.85
    single = S2.configured(S2.SINGLE, A_plus=0.05, A_minus=0.05)
    assert groups >= learned(500, single, epochs=2, seed=2) + 0.02


def test_other_labels_and_pre_and_post_the_wrong_way_round_stay_at_chance() -> None:
    samples = first(300)
    labels = np.random.default_rng(0).permutation(samples["labels"])
    assert learned(300, samples={**samples, "labels": labels}) <= CHANCE + 0.15
    config = S2.configured()
    signs = tuple(replace(term, rate=-term.rate if term.change == "e" else term.rate) for term in config.rule.terms)
    assert learned(300, replace(config, rule=replace(config.rule, terms=signs))) <= CHANCE + 0.15


def test_loihis_integers_learn() -> None:
    assert learned(300, rounding="stochastic") >= 0.45


def test_small_rates_stand_still_under_nearest_rounding() -> None:
    """A tenth of the rate moves weights by less than half a step: only dice carry that."""
    slow = S2.configured(A_plus=0.01, A_minus=0.01)
    moved = {}
    for rounding in ("nearest", "stochastic"):
        learner = S2.learner(S2.Lesson(slow, rounding))
        before = next(iter(learner.weights.values()))
        for spikes, label in zip(TRAINING["spikes"][:60], TRAINING["labels"][:60], strict=True):
            learner.sample(spikes, int(label))
        moved[rounding] = float(np.abs(next(iter(learner.weights.values())) - before).mean())
    assert moved["nearest"] < 0.5 * moved["stochastic"]


def test_the_commands_learn_what_the_script_learns(tmp_path: Path) -> None:
    """``snnc compile`` and ``snnc learn run``, weight for weight."""
    np.savez(tmp_path / "data.npz", **first(40))
    compile_ = [
        "compile",
        str(MODELS / "digits_s2stdp.py"),
        "--config",
        str(MODELS / "digits_s2stdp.toml"),
        "-t",
        "loihi1",
    ]
    run = ["learn", "run", str(tmp_path / "out"), "--data", str(tmp_path / "data.npz"), "-t", "loihi1"]
    run += ["--shuffle", "0", "--seed", "1", "-o", str(tmp_path / "w.npz")]
    for command in ([*compile_, "-o", str(tmp_path / "out")], run):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    assert "fires again" not in done.output
    learner = S2.learner(S2.Lesson(S2.configured(), "stochastic"))
    for n in np.random.default_rng([0, 0]).permutation(40):
        learner.sample(TRAINING["spikes"][n], int(TRAINING["labels"][n]))
    found = np.load(tmp_path / "w.npz")["linear0"]
    assert np.array_equal(found, learner.weights["linear0"])
    learner.sample(TRAINING["spikes"][0], int(TRAINING["labels"][0]))
    assert not np.array_equal(found, learner.weights["linear0"]), "negative control: a sample more"


def test_nearest_rounding_is_warned_about() -> None:
    config = S2.configured()
    found = {
        rounding: [
            line for line in lower_rule(config.rule, replace(config.options, rounding=rounding)).warnings
            if "nearest rounding values of error below" in line
        ]
        for rounding in ("nearest", "stochastic")
    }  # fmt: skip
    assert len(found["nearest"]) == 1
    assert found["stochastic"] == []


@pytest.mark.parametrize("model", ["digits_s2stdp.py", "digits_s2stdp.py:single"])
def test_explain_shows_the_equation(model: str) -> None:
    table = S2.SINGLE if "single" in model else S2.CONFIG
    done = CliRunner().invoke(app, ["learn", "explain", str(MODELS / model), "--config", str(table), "-t", "loihi1"])
    assert done.exit_code == 0, done.output
    assert "w += 1 * error * e" in done.output


def test_input_times_and_samples() -> None:
    part = S2.Part(np.array([[0, 16, 5]], dtype=np.uint8), np.array([3]))
    assert S2.encode(part).tolist() == [[16, 0, 11, 0, 16, 5]]
    assert S2.spikes_of(part)["spikes"].sum(axis=1).tolist() == [[0, 1, 1, 1, 0, 1]]
    assert HELD_OUT["spikes"].shape == (360, 16, 128)
    assert S2.example()["labels"].shape == (256,)
