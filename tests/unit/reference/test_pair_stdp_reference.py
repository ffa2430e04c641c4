"""The reference's own pair STDP against the recorded release programs and against the emulator of the back end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from snnc_reference.pair_stdp import PairRule, Source, Target, decay_table
from snnc_spinnaker.ring import Layout, Ring
from snnc_spinnaker.rows import Row, parse
from snnc_spinnaker.stdp import PlasticRow, Posts, Rule
from snnc_spinnaker.stdp_config import Pair, device_rule, table

Kind = Literal["additive", "multiplicative"]
RECORDED = ("stdp_pair_additive", "stdp_pair_multiplicative", "stdp_curve_additive", "stdp_curve_multiplicative")
VECTORS = Path(__file__).resolve().parents[2] / "golden" / "vectors"
LAYOUT = Layout(4, 4)


def rule_of(words: Rule) -> PairRule:
    low, high, plus, minus = (int(word) for word in words.bounds[0])
    tables = (tuple(words.plus.tolist()), tuple(words.minus.tolist()))
    return PairRule(words.kind, *tables, low, high, plus, minus, words.shift[0], words.delayed_posts)


def replayed(data: Any, rule: PairRule) -> Any:
    """Weights, times and traces of every recorded row after every step, from the recorded spikes alone."""
    bits = int(data["log2_neurons"])
    targets = [Target(rule) for _ in range(int(data["n_neurons"]))]
    rows: dict[int, Source] = {}
    for number in data["plastic_row"].tolist():
        start, end = data["row_offset"][number : number + 2]
        row = parse(data["row_words"][start:end])
        posts = [targets[control & ((1 << bits) - 1)] for control in row.controls.tolist()]
        delays = [control >> (bits + 1) & ((1 << int(data["log2_delays"])) - 1) for control in row.controls.tolist()]
        rows[number] = Source(rule, posts, row.weights.tolist(), delays)
    found = []
    for step in range(int(data["n_steps"])):
        for neuron in np.flatnonzero(data["spikes"][step]):
            targets[neuron].spike(step)
        for number in data["event_row"][data["event_step"] == step].tolist():
            if number in rows:
                rows[number].spike(step)
        size = data["weights"].shape[2]
        found.append([[*row.weights, *[0] * (size - len(row.weights)), *row.last] for row in rows.values()])
    return np.array(found)


@pytest.mark.parametrize("name", RECORDED)
def test_the_release_programs_weights_after_every_step(name: str) -> None:
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as loaded:
        data = dict(loaded)
    kind: Kind = "additive" if name.endswith("additive") else "multiplicative"
    low, high, plus, minus = data["stdp_cfg"][0].tolist()
    tables = (tuple(data["lut_plus"].tolist()), tuple(data["lut_minus"].tolist()))
    rule = PairRule(
        kind, *tables, low, high, plus, minus, int(data["ring_shift"][0]), bool(data["stdp_backprop_delay"])
    )
    want = np.concatenate([data["weights"], data["pre_time"][..., np.newaxis], data["pre_trace"][..., np.newaxis]], 2)
    assert np.count_nonzero(np.diff(want[..., :-2].astype(int), axis=0)) > 100
    assert np.array_equal(replayed(data, rule), want)
    other: Kind = "multiplicative" if kind == "additive" else "additive"
    wrongs = [replace(rule, kind=other), replace(rule, a_plus=2 * plus), replace(rule, shift=rule.shift + 1)]
    if "pair" in name:  # the curves' tables and amplitudes are the same on both sides, and w_max is 1
        wrongs += [replace(rule, plus=rule.minus, minus=rule.plus), replace(rule, a_plus=plus * high >> 15)]
        wrongs.append(replace(rule, delayed_posts=not rule.delayed_posts))
    for wrong in wrongs:
        assert np.count_nonzero(replayed(data, wrong)[..., :-2] != want[..., :-2]) > 100, wrong


def drawn(rng: np.random.Generator) -> tuple[Rule, Any, Any, Any, Any]:
    """A rule, weights and delays of synapses, and spikes of both sides: often more than a target remembers."""
    kind: Kind = ("additive", "multiplicative")[int(rng.integers(2))]
    shift, high = int(rng.integers(0, 8)), float(rng.uniform(0.2, 1.9))
    low = float(rng.choice([0.0, 0.1]))
    amounts = rng.uniform(0.02, 0.4, 2) * (high if kind == "additive" else 1.0)
    both = (float(amounts[0]), float(amounts[1]))
    form: dict[str, Any] = {"absolute" if kind == "additive" else "relative": both}
    tau_plus, tau_minus = rng.uniform(1.5, 30, 2).tolist()
    pair = Pair(kind, tau_plus, tau_minus, low, high, **form)
    rule = device_rule(pair, shift)
    rule = replace(rule, delayed_posts=bool(rng.random() < 0.8))
    low_word, high_word = (int(word) >> shift for word in rule.bounds[0, :2])
    weights = rng.integers(low_word + (low > 0), high_word + 1, (3, 8))
    delays = rng.integers(0, 16, (3, 8))
    pre, post = rng.random((60, 3)) < rng.choice([0.03, 0.3]), rng.random((60, 8)) < rng.choice([0.05, 0.2, 0.6])
    return rule, weights, delays, pre, post


def emulated(rule: Rule, weights: Any, delays: Any, pre: Any, post: Any) -> Any:
    ring, posts = Ring(LAYOUT, 8), Posts(8)
    rows = []
    for words, late in zip(weights, delays, strict=True):
        part = np.concatenate([np.zeros(4, "<u2"), words.astype("<u2")]).view("<u4")
        controls = late << 5 | np.arange(8)
        rows.append(PlasticRow(Row(np.zeros(0, np.int64), part, controls), ring))
    found = []
    for time in range(len(pre)):
        posts.spike(rule, time, np.flatnonzero(post[time]))
        for number in np.flatnonzero(pre[time]):
            rows[number].arrive(rule, posts, ring, time)
        found.append([[*row.weight.tolist(), row.time, row.trace] for row in rows])
    return np.array(found)


def referred(rule: PairRule, weights: Any, delays: Any, pre: Any, post: Any, *, late: int = 0) -> Any:
    """``late``: what a wrong version does that learns from the spikes of the step before."""
    targets = [Target(rule) for _ in range(8)]
    rows = [Source(rule, targets, words, slow) for words, slow in zip(weights, delays, strict=True)]
    found = []
    for time in range(len(pre)):
        for neuron in np.flatnonzero(post[time - late] if time >= late else np.zeros(8)):
            targets[neuron].spike(time)
        for number in np.flatnonzero(pre[time]):
            rows[number].spike(time)
        found.append([[*row.weights, *row.last] for row in rows])
    return np.array(found)


def test_200_random_trains_are_the_emulators_after_every_step() -> None:
    rng = np.random.default_rng(7)
    moved = caught = full = 0
    for number in range(200):
        rule, *rest = drawn(rng)
        want = emulated(rule, *rest)
        assert np.array_equal(referred(rule_of(rule), *rest), want)
        moved += int(np.count_nonzero(np.diff(want[..., :-2], axis=0)))
        full += int(rest[-1].sum(axis=0).max() > 15)
        if number % 10 == 0:
            caught += not np.array_equal(referred(rule_of(rule), *rest, late=1), want)
    assert moved > 10000
    assert full > 50
    assert caught >= 19


WRONG: dict[str, Callable[[PairRule], PairRule]] = {
    "pre and post swapped": lambda rule: replace(rule, plus=rule.minus, minus=rule.plus),
    "relative for absolute": lambda rule: replace(rule, a_plus=rule.a_plus * rule.high >> 15),
    "no delay of posts": lambda rule: replace(rule, delayed_posts=not rule.delayed_posts),
    "amplitudes swapped": lambda rule: replace(rule, a_plus=rule.a_minus, a_minus=rule.a_plus),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_reference_is_noticed(what: str) -> None:
    rng = np.random.default_rng(8)
    caught = 0
    for _ in range(20):
        rule, *rest = drawn(rng)
        caught += not np.array_equal(referred(WRONG[what](rule_of(rule)), *rest), emulated(rule, *rest))
    assert caught >= 18


def test_tables_are_those_of_the_host() -> None:
    for tau in (0.3, 1.0, 2.5, 20.0, 33.3, 100.0):
        assert list(decay_table(tau)) == table(tau).tolist()
        assert list(decay_table(tau, 0.1)) == table(tau, 0.1).tolist()
