"""Library rules on SpiNNaker: the emulated program follows the float rule that is promised; what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.errors import InputError, UnsupportedError
from snnc.learning import NAMES, LearningOptions, Rule, build, combine
from snnc_reference.learning_rules import RuleLearning
from snnc_spinnaker.ring import Layout, Ring
from snnc_spinnaker.rows import Row
from snnc_spinnaker.stdp import PlasticRow, Posts
from snnc_spinnaker.stdp_config import device_rule
from snnc_spinnaker.stdp_rule import account, pair_of

PAIRS = ("pair-stdp", "multiplicative-stdp", "soft-bound-stdp")
SHIFT = 2
UNIT = 2.0 ** (SHIFT - 15)
SETTINGS: dict[str, Any] = {"A_plus": 0.05, "A_minus": 0.04, "tau_plus": 12.0, "tau_minus": 20.0}


def emulated(rule: Rule, pre: np.ndarray[Any, Any], post: np.ndarray[Any, Any], start: int) -> float:
    """Weight after the trains on the emulated core, without delay of post spikes; the last step has a pre spike."""
    pair, shift = pair_of(rule, LearningOptions(unit=UNIT))
    words = replace(device_rule(pair, shift), delayed_posts=False)
    ring, posts = Ring(Layout(0, 2), 1), Posts(1)
    row = PlasticRow(Row(np.zeros(0, np.int64), np.array([0, 0, start], np.uint32), np.array([1 << 1])), ring)
    for t in range(len(pre)):
        if post[t]:
            posts.spike(words, t + 1, np.array([0]))
        if pre[t]:
            row.arrive(words, posts, ring, t + 1)
    return float(row.weight[0]) * UNIT


def promised(rule: Rule, pre: np.ndarray[Any, Any], post: np.ndarray[Any, Any], start: int) -> float:
    synapse = RuleLearning(rule, [[start * UNIT]])
    for t in range(len(pre)):
        synapse.step(pre[t : t + 1], post[t : t + 1])
    return float(synapse.weights[0, 0])


@pytest.mark.parametrize("coincident", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_emulator_follows_the_promised_rule(name: str, coincident: bool) -> None:
    """Floors and table entries apart. Multiplicative rules take coincident spikes one after the other on the chip, and
    both from the same weight in float, which is the product of both amplitudes.
    """
    rule = build(name, **SETTINGS)
    device = account(rule, LearningOptions(unit=UNIT)).device
    assert device is not None
    per_event = UNIT if not coincident or name == "pair-stdp" else UNIT + 0.05 * 0.04 / 2
    rng = np.random.default_rng(1)
    moved = wrong = 0
    for _ in range(30):
        pre, post = (rng.random((2, 60)) < 0.07).astype(np.int64)
        if coincident:
            pre[10] = post[10] = 1
        pre[-1] = 1
        post *= 1 if coincident else 1 - pre
        want, got = promised(device, pre, post, 4096), emulated(rule, pre, post, 4096)
        close = int(pre.sum() + post.sum()) * per_event
        assert got == pytest.approx(want, abs=close)
        moved += abs(got - 4096 * UNIT) > 2 * close
        control = promised(rule, pre, post, 4096) if coincident else promised(device, post, pre, 4096)
        wrong += abs(got - control) > close
    assert moved > 12
    assert wrong > 12, "negative control: coincident spikes that count twice, or pre for post, are seen"


def test_settings_are_pynns() -> None:
    given = account(build("pair-stdp", **SETTINGS, amplitudes="relative", w_max=2.0), LearningOptions(gain=0.5))
    assert given.settings["timing_dependence"] == {"tau_plus": 12.0, "tau_minus": 20.0, "A_plus": 0.05, "A_minus": 0.04}
    assert given.settings["weight_dependence"] == {"kind": "additive", "w_min": 0.0, "w_max": 1.0}
    assert [rate.error for rate in given.rates] == pytest.approx([0, 0], abs=5e-4)
    assert given.unit == pytest.approx(2.0**-15 / 0.5)
    in_ms = build("pair-stdp", tau_plus=20.0, time_unit="ms", dt=0.1)
    assert pair_of(in_ms)[0].tau_plus == pytest.approx(20.0)
    assert pair_of(in_ms)[0].dt == 0.1


def test_shift_follows_the_unit() -> None:
    for shift in (0, 1, 5):
        assert pair_of(build("pair-stdp"), LearningOptions(unit=2.0 ** (shift - 15)))[1] == shift
    assert pair_of(build("pair-stdp", w_max=3.0))[1] == 1


@pytest.mark.parametrize("name", sorted(set(NAMES) - {*PAIRS, "products"}))
def test_other_rules_are_left_to_the_host(name: str) -> None:
    given = account(build(name))
    assert not given.native
    assert given.notes[0].endswith(tuple("abcdefghijklmnopqrstuvwxyz"))
    assert "between runs" in given.host[-1].text
    with pytest.raises(UnsupportedError, match=f"rule is {name}"):
        pair_of(build(name))


def test_sleep_is_left_to_the_host() -> None:
    rule = combine(build("pair-stdp"), build("weight-decay", rate=0.02), "sleep")
    given = account(rule)
    assert given.native
    assert "in every step (sleep): w -= 0.02 * w, between runs" in given.host[-1].text


def test_what_cannot_be_meant() -> None:
    with pytest.raises(InputError, match="0 <= w_min < w_max"):
        account(build("pair-stdp", w_min=-1.0))
    with pytest.raises(InputError, match="which moves a weight by"):
        account(build("pair-stdp", A_plus=1e-5))
    with pytest.raises(UnsupportedError, match="set w_min = 0"):
        pair_of(build("soft-bound-stdp", w_min=0.1))


def test_traces_are_cleared_by_the_silent_steps_between_samples() -> None:
    found = {key: account(build("soft-bound-stdp", between_samples=key)) for key in ("keep", "clear")}
    assert not found["clear"].host, "the host has nothing to do"
    assert [note for note in found["clear"].notes if "cleared by time" in note]
    assert not [note for note in found["keep"].notes if "cleared by time" in note]


def test_what_amplitudes_count_is_said_for_each_kind() -> None:
    """A current in nA where weights are added to, a part of the way where they are multiplied."""
    options = LearningOptions(unit=UNIT)
    additive, soft = (" ".join(account(build(name, **SETTINGS), options).notes) for name in PAIRS[::2])
    assert "relative ones times w_max" in additive
    assert "parts of the way to the bound" not in additive
    assert "parts of the way to the bound" in soft
    assert "relative ones times w_max" not in soft
    assert "or take pair-stdp" in soft


def test_traces_that_could_wrap_are_warned_about() -> None:
    """Tried on the core's own arithmetic: just below the rate nothing wraps, above it does."""
    found = {}
    for tau in (8.0, 60.0):
        rule = build("pair-stdp", **{**SETTINGS, "tau_plus": tau, "tau_minus": 5.0})
        made = account(rule, LearningOptions(unit=UNIT, max_rate=0.4))
        (x,) = [one for one in made.registers if one.holds == "x"]
        found[tau] = [text for text in made.warnings if "wraps" in text], x.rate
        words = device_rule(*pair_of(rule, LearningOptions(unit=UNIT)))
        for every, wraps in ((int(np.ceil(1 / x.rate)), False), (int(np.ceil(1 / x.rate)) - 1, True)):
            trace, least = np.array(0), 0
            for _ in range(4000 if every else 0):
                trace = words.raised(words.decayed(trace, np.array(every), "pre"))
                least = min(least, int(trace))
            assert (least < 0) == (wraps and every > 0)
    assert found[8.0][0] == []
    assert found[60.0][1] < 0.4
    assert "x wraps where a neuron spikes more than" in found[60.0][0][0]
