"""Every library rule on 200 random spike trains against loops from the equations: sums over spikes, no traces."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.errors import InputError
from snnc.learning import LIBRARY, Rule, build
from snnc_reference.learning_rules import RuleLearning

TRAINS, STEPS = 200, 50
TOLERANCE = 1e-9
Train = list[int]
Numbers = npt.NDArray[Any]
Loop = Callable[[Train, Train, float, npt.NDArray[np.float64]], float]


def times(train: npt.NDArray[np.int64]) -> Train:
    return [int(t) for t in np.flatnonzero(train)]


def late(spikes: Train, now: int, tau: float, *, strict: bool = False) -> list[float]:
    """exp(-age/tau) of every spike up to now (before it, if strict), oldest first."""
    return [math.exp(-(now - s) / tau) for s in spikes if s < now or (s == now and not strict)]


def clip(w: float, low: float, high: float) -> float:
    return low if w < low else high if w > high else w


def pair(pre: Train, post: Train, w: float, third: npt.NDArray[np.float64]) -> float:
    for now in range(STEPS):
        up = 0.07 * sum(late(pre, now, 9.0)) if now in post else 0.0
        down = 0.08 * sum(late(post, now, 13.0)) if now in pre else 0.0
        w = clip(w + up - down, 0.05, 0.9)
    return w


def nearest(pre: Train, post: Train, w: float, third: npt.NDArray[np.float64]) -> float:
    for now in range(STEPS):
        up = 0.07 * max(late(pre, now, 9.0), default=0.0) if now in post else 0.0
        down = 0.08 * max(late(post, now, 13.0), default=0.0) if now in pre else 0.0
        w = clip(w + up - down, 0.05, 0.9)
    return w


def multiplicative(pre: Train, post: Train, w: float, third: npt.NDArray[np.float64]) -> float:
    for now in range(STEPS):
        up = 0.07 * (0.9 - w) * sum(late(pre, now, 9.0)) if now in post else 0.0
        down = 0.08 * (w - 0.05) * sum(late(post, now, 13.0)) if now in pre else 0.0
        w = clip(w + up - down, 0.05, 0.9)
    return w


def soft_bound(pre: Train, post: Train, w: float, third: npt.NDArray[np.float64]) -> float:
    for now in range(STEPS):
        up = 0.07 * (0.9 - w) * sum(late(pre, now, 9.0)) if now in post else 0.0
        down = 0.08 * w * sum(late(post, now, 13.0)) if now in pre else 0.0
        w = clip(w + up - down, 0.05, 0.9)
    return w


def triplet(pre: Train, post: Train, w: float, third: npt.NDArray[np.float64]) -> float:
    for now in range(STEPS):
        earlier = max(late(post, now, 21.0, strict=True), default=0.0)
        up = 0.2 * max(late(pre, now, 9.0), default=0.0) * earlier if now in post else 0.0
        down = 0.08 * max(late(post, now, 13.0), default=0.0) if now in pre else 0.0
        w = clip(w + up - down, 0.05, 0.9)
    return w


def reward(pre: Train, post: Train, w: float, third: npt.NDArray[np.float64]) -> float:
    kept = math.exp(-1 / 17.0)
    written: list[float] = []
    for now in range(STEPS):
        known = sum(amount * kept ** (now - 1 - s) for s, amount in enumerate(written))
        w = clip(w + 0.3 * third[now] * known, 0.05, 0.9)
        up = 0.07 * sum(late(pre, now, 9.0)) if now in post else 0.0
        down = 0.08 * sum(late(post, now, 13.0)) if now in pre else 0.0
        written.append(up - down)
    return w


def decay(pre: Train, post: Train, w: float, third: npt.NDArray[np.float64]) -> float:
    return 0.3 + (w - 0.3) * 0.96 ** (STEPS // 4)


def homeostasis(pre: Train, post: Train, w: float, third: npt.NDArray[np.float64]) -> float:
    kept = math.exp(-1 / 15.0)
    for now in range(2, STEPS, 3):
        rate = sum((1 - kept) * kept ** (now - s) for s in post if s <= now)
        w = clip(w * (1 + 0.4 * (0.1 - rate)), 0.05, 0.9)
    return w


def supervised(pre: Train, post: Train, w: float, third: npt.NDArray[np.float64]) -> float:
    """Five samples of ten steps; the first spike of each side counts."""
    for start in range(0, STEPS, 10):
        first = [min((t for t in side if start <= t < start + 10), default=None) for side in (pre, post)]
        if first[1] is not None:
            came = first[0] is not None and first[0] <= first[1]
            w = clip(w + third[start + 9] * (0.07 if came else -0.08), 0.05, 0.9)
    return w


BOUNDS = {"w_min": 0.05, "w_max": 0.9}
PAIR = {"A_plus": 0.07, "A_minus": 0.08, "tau_plus": 9.0, "tau_minus": 13.0, **BOUNDS}
CASES: dict[str, tuple[dict[str, Any], Loop]] = {
    "pair-stdp": (PAIR, pair),
    "nearest-stdp": (PAIR, nearest),
    "multiplicative-stdp": (PAIR, multiplicative),
    "soft-bound-stdp": (PAIR, soft_bound),
    "triplet-stdp": (
        {"nu_pre": 0.08, "nu_post": 0.2, "tau_plus": 9.0, "tau_minus": 13.0, "tau_y": 21.0, **BOUNDS},
        triplet,
    ),
    "reward-stdp": ({**PAIR, "tau_e": 17.0, "rate": 0.3}, reward),
    "weight-decay": ({"rate": 0.04, "baseline": 0.3, "every": 4, **BOUNDS}, decay),
    "homeostatic-scaling": ({"rate": 0.4, "target": 0.1, "tau": 15.0, "every": 3, **BOUNDS}, homeostasis),
    "s2-stdp": ({"A_plus": 0.07, "A_minus": 0.08, "t_max": 10, **BOUNDS}, supervised),
}


@pytest.fixture(scope="module")
def trains() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Pre and post spikes [STEPS, TRAINS], weights [TRAINS], third factors [STEPS, TRAINS]."""
    rng = np.random.default_rng(7)
    rates = rng.uniform(0.03, 0.4, size=(2, 1, TRAINS))
    spikes = (rng.random((2, STEPS, TRAINS)) < rates).astype(np.int64)
    return spikes[0], spikes[1], rng.uniform(0.05, 0.9, TRAINS), rng.uniform(-1, 1, (STEPS, TRAINS))


def first_only(spikes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Only the first spike in each ten steps."""
    samples = spikes.reshape(-1, 10, spikes.shape[1])
    return np.where(np.cumsum(samples, axis=1) == 1, samples, 0).reshape(spikes.shape)


def executed(
    rule: Rule, pre: npt.NDArray[np.int64], post: npt.NDArray[np.int64], w: Numbers, third: Numbers
) -> Numbers:
    """Final weights of the synapses from train n to train n."""
    weights = np.asarray(w, dtype=np.float64)
    synapses = RuleLearning(rule, np.tile(weights[:, np.newaxis], (1, len(weights))))
    phase = "sleep" if "sleep" in rule.phases else "train"
    names = [one.name for one in rule.thirds]
    for t in range(STEPS):
        synapses.step(pre[t], post[t], {n: np.asarray(third)[t] for n in names if not rule.clears}, phase)
        if rule.clears and t % 10 == 9:
            synapses.end_sample({n: np.asarray(third)[t] for n in names}, phase)
    return np.diag(synapses.weights)


def expected(loop: Loop, pre: Numbers, post: Numbers, w: Numbers, third: Numbers) -> Numbers:
    a, b, start, factor = (np.asarray(x) for x in (pre, post, w, third))
    return np.array([loop(times(a[:, n]), times(b[:, n]), float(start[n]), factor[:, n]) for n in range(TRAINS)])


def test_every_library_rule_has_a_loop() -> None:
    assert set(CASES) == set(LIBRARY)


@pytest.mark.parametrize("name", CASES)
def test_rule_equals_its_loop(name: str, trains: tuple[npt.NDArray[np.int64], ...]) -> None:
    parameters, loop = CASES[name]
    pre, post, w, third = trains
    if name == "s2-stdp":
        pre, post = first_only(pre), first_only(post)
    want = expected(loop, pre, post, w, third)
    got = executed(build(name, **parameters), pre, post, w, third)
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE)
    assert np.max(np.abs(np.asarray(got) - w)) > 0.1, "weights must have moved for this to say anything"
    if name not in ("weight-decay", "homeostatic-scaling"):
        swapped = executed(build(name, **parameters), post, pre, w, third)
        wrong = np.abs(np.asarray(swapped) - np.asarray(want)) > 1e-6
        assert wrong.mean() > 0.8, "negative control: pre and post swapped must be seen"


def test_impulse_of_the_slow_trace_in_the_same_step_is_seen(trains: tuple[npt.NDArray[np.int64], ...]) -> None:
    """Negative control: y_slow read with the post spike that makes the change."""
    parameters, loop = CASES["triplet-stdp"]
    pre, post, w, third = trains
    rule = build("triplet-stdp", **parameters)
    naive = replace(
        rule, terms=tuple(replace(t, reads=tuple(replace(r, before=False) for r in t.reads)) for t in rule.terms)
    )
    wrong = np.abs(np.asarray(executed(naive, pre, post, w, third)) - np.asarray(expected(loop, pre, post, w, third)))
    assert (wrong > 1e-3).mean() > 0.5


def test_relative_amplitudes_taken_as_absolute_are_seen(trains: tuple[npt.NDArray[np.int64], ...]) -> None:
    """Negative control: A_plus and A_minus are parts of w_max here."""
    _, loop = CASES["pair-stdp"]
    pre, post, w, third = trains
    parts = {**PAIR, "A_plus": 0.07 / 0.9, "A_minus": 0.08 / 0.9}
    want = np.asarray(expected(loop, pre, post, w, third))
    right = executed(build("pair-stdp", amplitudes="relative", **parts), pre, post, w, third)
    np.testing.assert_allclose(right, want, rtol=0, atol=TOLERANCE)
    wrong = np.abs(np.asarray(executed(build("pair-stdp", **parts), pre, post, w, third)) - want)
    assert (wrong > 1e-6).mean() > 0.7


@pytest.mark.parametrize(("coincident", "up", "down"), [("both", 1, 1), ("depression", 0, 1), ("none", 0, 0)])
def test_coincident_spikes(coincident: str, up: int, down: int) -> None:
    rule = build("pair-stdp", A_plus=0.25, A_minus=0.125, coincident=coincident)
    synapse = RuleLearning(rule, [[0.5]])
    synapse.step(np.array([1]), np.array([1]))
    assert synapse.weights[0, 0] == 0.5 + 0.25 * up - 0.125 * down


def test_times_in_milliseconds() -> None:
    in_ms = build("pair-stdp", tau_plus=20.0, tau_minus=30.0, time_unit="ms", dt=0.5)
    assert [trace.tau for trace in in_ms.traces] == [40.0, 60.0]


def test_test_phase_keeps_weights(trains: tuple[npt.NDArray[np.int64], ...]) -> None:
    pre, post, _, _ = trains
    synapses = RuleLearning(build("pair-stdp"), np.full((TRAINS, TRAINS), 0.5))
    for t in range(5):
        synapses.step(pre[t], post[t], phase="test")
    assert (synapses.weights == 0.5).all()
    synapses.step(pre[5], post[5])
    assert (synapses.weights != 0.5).any()


PAIRS = ("pair-stdp", "nearest-stdp", "multiplicative-stdp", "soft-bound-stdp", "reward-stdp")


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_across_samples_count_only_where_traces_are_kept(name: str) -> None:
    """A post spike ends one sample, a pre spike begins the next: depression of a pair at distance 1, or nothing."""
    moved = {}
    for between in ("keep", "clear"):
        rule = build(name, between_samples=between, A_minus=0.1, tau_minus=5.0)
        assert rule.clears == (between == "clear")
        assert [one.kind for one in rule.host if one.kind == "clear"] == ["clear"] * rule.clears
        synapse = RuleLearning(rule, [[0.5]])
        third = {factor.name: 1.0 for factor in rule.thirds}
        synapse.step(np.array([0]), np.array([1]), third)
        synapse.end_sample()
        begin = synapse.weights[0, 0]
        for spike in (1, 0):
            synapse.step(np.array([spike]), np.array([0]), third)
        moved[between] = synapse.weights[0, 0] - begin
    assert moved["keep"] < -1e-3
    assert moved["clear"] == 0.0


def test_what_becomes_of_traces_is_a_word() -> None:
    with pytest.raises(InputError, match="between_samples is 'forget', allowed is 'keep' or 'clear'"):
        build("pair-stdp", between_samples="forget")
