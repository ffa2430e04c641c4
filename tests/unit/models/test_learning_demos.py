"""The models that learn on a chip, at a size for every commit: figures that can fail, and what must make them fail."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from snnc.cli import app
from snnc.learning import Rule, configure
from snnc_spinnaker.ring import Layout, Ring
from snnc_spinnaker.rows import Row
from snnc_spinnaker.stdp import PlasticRow, Posts

MODELS = Path(__file__).resolve().parents[3] / "models"
CHANCE = 0.1


def load(name: str) -> ModuleType:
    """The script as the command line loads it: by path, its folder importable while it loads."""
    spec = importlib.util.spec_from_file_location(name, MODELS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(MODELS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(MODELS))
    return module


WTA, SLEEP = load("digits_stdp"), load("digits_sleep")
LEARNING = sys.modules["_learning"]
SMALL = WTA.Recipe(neurons=50, samples=700, epochs=1, homeostasis=1.6)


@pytest.fixture(scope="module")
def layer() -> Any:
    """Learned in float from 700 digits."""
    return WTA.train("float", SMALL)


def test_unsupervised_stdp_learns_digits(layer: Any) -> None:
    found = WTA.accuracy(layer)
    assert found >= 0.75
    assert WTA.accuracy(WTA.untrained(SMALL)) <= found - 0.2


@pytest.mark.parametrize("arithmetic", ["loihi", "spinnaker"])
def test_unsupervised_stdp_learns_in_the_arithmetic_of_chips(arithmetic: str) -> None:
    learned = WTA.train(arithmetic, SMALL)
    assert learned.weights.dtype == np.int64
    assert learned.weights.min() >= 0
    assert learned.weights.max() <= {"loihi": 255, "spinnaker": 4096}[arithmetic]
    assert WTA.accuracy(learned) >= 0.71


def test_spinnakers_weights_are_old_where_sources_do_not_spike_before_the_host_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(synapses: Any) -> None:
        synapses.time += 200

    monkeypatch.setattr(LEARNING.SpinnakerSynapses, "rest", silent)
    assert WTA.accuracy(WTA.train("spinnaker", SMALL)) <= 0.68


def test_labels_of_other_samples_end_at_chance(layer: Any) -> None:
    labels = WTA.digits(WTA.SHAPE).train.labels
    assert WTA.accuracy(layer, np.random.default_rng(0).permutation(labels)) <= CHANCE + 0.15


def swapped(rule: Rule) -> Rule:
    """Post before pre potentiates, pre before post depresses."""
    up, down = rule.terms
    risen = replace(up, event="pre", reads=(replace(up.reads[0], variable="y"), up.reads[1]))
    fallen = replace(down, event="post", reads=(replace(down.reads[0], variable="x"), down.reads[1]))
    return replace(rule, terms=(risen, fallen))


def test_pre_and_post_the_wrong_way_round_is_clearly_worse() -> None:
    """Within a sample rates are steady, so that order matters only where depression is the stronger of the two."""
    table = {**WTA.configured(WTA.CONFIG).as_dict(), "A_minus": 0.04}
    config = configure("linear0", **table)
    right, wrong = (
        WTA.accuracy(WTA.train("float", SMALL, replace(config, rule=rule)))
        for rule in (config.rule, swapped(config.rule))
    )
    assert right >= 0.65
    assert wrong <= right - 0.3


@pytest.mark.parametrize("without", [{"total": 0.0}, {"homeostasis": 0.0}])
def test_without_what_the_host_does_few_neurons_win_everything(layer: Any, without: dict[str, float]) -> None:
    assert WTA.accuracy(WTA.train("float", replace(SMALL, **without))) <= WTA.accuracy(layer) - 0.3


def follow(seed: int, change: Callable[[Any], None] = lambda _: None) -> bool:
    """Whether all rows at once have the weights of the emulator's rows after each of 100 random steps."""
    rng = np.random.default_rng(seed)
    kind = ("soft-bound-stdp", "pair-stdp")[seed % 2]
    config = configure("p", rule=kind, A_plus=0.02, A_minus=0.02, tau_plus=4.0, tau_minus=3.0)
    synapses = LEARNING.SpinnakerSynapses(config, rng.random((8, 3)))
    ring, posts, rows = Ring(Layout(5, 4), 8), Posts(8), []
    for words in synapses.weights.T:
        part = np.concatenate([np.zeros(4, "<u2"), words.astype("<u2")]).view("<u4")
        rows.append(PlasticRow(Row(np.zeros(0, np.int64), part, 1 << 6 | np.arange(8)), ring))
    rule = synapses.rule
    change(synapses)
    busy, post = rng.choice([0.05, 0.3]), np.zeros(8, dtype=np.bool_)
    for time in range(100):
        posts.spike(rule, time, np.flatnonzero(post))
        pre, post = rng.random(3) < busy, rng.random(8) < 0.3
        synapses.arrive(pre)
        synapses.learn(post)
        for number in np.flatnonzero(pre):
            rows[number].arrive(rule, posts, ring, time)
        if not np.array_equal(synapses.weights.T, [row.weight for row in rows]):
            return False
    return True


def test_all_rows_at_once_are_the_emulators_rows() -> None:
    assert all(follow(seed) for seed in range(12))

    def shorter(synapses: Any) -> None:
        synapses.rule = replace(synapses.rule, minus=synapses.rule.plus)

    assert not all(follow(seed, shorter) for seed in range(12))


def test_nearest_rounding_is_warned_about() -> None:
    config = SLEEP.configured(SLEEP.CONFIG)
    assert any("stall up to 32 steps" in line for line in SLEEP.warnings("nearest", config))
    assert any("stall up to 64 steps" in line for line in SLEEP.warnings("floor", config))
    assert not any("stall" in line for line in SLEEP.warnings("stochastic", config))


def test_sleep_contracts_weights_by_the_closed_form(layer: Any) -> None:
    weights = layer.weights
    slept = SLEEP.sleep(weights, "float")
    factor = (1 - 1 / 64) ** SLEEP.STEPS
    np.testing.assert_allclose(slept.weights, 0.2 + factor * (weights - 0.2), rtol=0, atol=1e-12)
    assert slept.contraction == pytest.approx(factor, abs=1e-9)
    stochastic = SLEEP.sleep(weights, "stochastic")
    assert stochastic.expected == pytest.approx(factor)
    assert stochastic.contraction == pytest.approx(factor, abs=0.05)
    assert stochastic.short <= 2.0
    for wrong in (1 / 32, 1 / 128):
        assert abs(stochastic.contraction - (1 - wrong) ** SLEEP.STEPS) > 0.05


@pytest.mark.parametrize(("rounding", "far"), [("nearest", 20.0), ("floor", 12.0)])
def test_sleep_that_does_not_round_stochastically_stalls(layer: Any, rounding: str, far: float) -> None:
    slept = SLEEP.sleep(layer.weights, rounding, 400)
    assert slept.contraction > 4 * slept.expected
    assert slept.short >= far
    assert slept.stopped >= 0.4
    assert SLEEP.sleep(layer.weights, "stochastic", 400).stopped == 0.0


def test_nothing_decays_by_day(layer: Any) -> None:
    config = SLEEP.configured(SLEEP.CONFIG)
    assert [term.name for term in config.rule.active("train")] == ["A_plus", "A_minus"]
    assert not config.rule.active("test")


@pytest.mark.parametrize("name", ["digits_stdp", "digits_sleep"])
def test_explain_shows_the_equation_for_the_model(name: str) -> None:
    arguments = ["learn", "explain", str(MODELS / f"{name}.py"), "--config", str(MODELS / f"{name}.toml")]
    done = CliRunner().invoke(app, [*arguments, "-t", "loihi1"])
    assert done.exit_code == 0, done.output
    expected = {
        "digits_stdp": "w += 0.02 * x * (1 - w)",
        "digits_sleep": "w -= 0.015625 * (-0.2 + w)",
    }
    assert expected[name] in done.output


def test_input_times_and_samples() -> None:
    assert WTA.held_out()["spikes"].shape == (360, 16, 64)
    assert WTA.example()["labels"].shape == (256,)
