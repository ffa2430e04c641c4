"""Rules on Loihi's learning engine: the integers follow the float rule that is promised; what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.errors import InputError, UnsupportedError
from snnc.ir import PlasticityRule
from snnc.learning import LearningOptions, Read, Rule, Term, Trace, build, combine, lower_rule
from snnc_reference.learning import IntegerLearning
from snnc_reference.learning_rules import RuleLearning

TRAINS, STEPS = 100, 200
Spikes = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def spikes() -> Spikes:
    """[2, STEPS, TRAINS]: pre and post, sparse enough that no trace saturates."""
    rng = np.random.default_rng(3)
    return (rng.random((2, STEPS, TRAINS)) < 0.04).astype(np.int64)


def drift(
    rule: Rule, options: LearningOptions, spikes: Spikes, start: float, phase: str = "train"
) -> tuple[float, float]:
    """Mean change of 100 synapses by 200 steps in device steps: by the float rule promised, and by the integers."""
    account = lower_rule(rule, options)
    assert account.device is not None
    begin = 2 * round(start / account.unit / 2)
    floats = RuleLearning(account.device, np.full((TRAINS, TRAINS), begin * account.unit))
    engine = account.engine[phase]
    assert engine is not None
    integers = IntegerLearning(engine, np.full((TRAINS, TRAINS), begin))
    for pre, post in zip(spikes[0], spikes[1], strict=True):
        floats.step(pre, post, phase=phase)
        integers.step(pre, post)
    return float(np.mean(floats.weights / account.unit - begin)), float(np.mean(integers.weights - begin))


CASES: dict[str, tuple[dict[str, Any], float, str]] = {
    "pair-stdp": ({"A_plus": 0.03, "A_minus": 0.006}, 0.5, "train"),
    "nearest-stdp": ({"A_plus": 0.03, "A_minus": 0.006}, 0.5, "train"),
    "multiplicative-stdp": ({"A_plus": 0.02, "A_minus": 0.01}, 0.3, "train"),
    "soft-bound-stdp": ({"A_plus": 0.02, "A_minus": 0.04}, 0.7, "train"),
    "weight-decay": ({"rate": 0.005, "baseline": 0.3}, 0.9, "sleep"),
    "homeostatic-scaling": ({"rate": 0.05, "target": 0.1, "tau": 50.0}, 0.2, "train"),
}


@pytest.mark.parametrize("name", CASES)
def test_integers_follow_the_promised_rule(name: str, spikes: Spikes) -> None:
    parameters, start, phase = CASES[name]
    rule = build(name, **parameters)
    floats, integers = drift(rule, LearningOptions(), spikes, start, phase)
    assert abs(floats) > 12, "weights must move for this to say anything"
    assert integers == pytest.approx(floats, abs=max(4.0, 0.12 * abs(floats)))
    halved = replace(rule, terms=tuple(replace(t, rate=t.rate / 2) for t in rule.terms))
    assert abs(drift(halved, LearningOptions(), spikes, start, phase)[1] - floats) > max(4.0, 0.12 * abs(floats))


def test_hidden_factors_are_made_up_for_or_reported(spikes: Spikes) -> None:
    rule = build("multiplicative-stdp", A_plus=0.9, A_minus=0.4)
    plain = lower_rule(rule, LearningOptions(compensate=False))
    assert [rate.shift for rate in plain.rates] == [5, 5]
    assert all(rate.got / rate.asked == pytest.approx(1 / 32, rel=0.2) for rate in plain.rates)
    assert any("not made up for" in note for note in plain.notes)
    assert any("hidden factor included" in text for text in plain.warnings)
    made_up = lower_rule(rule)
    assert made_up.worst < 0.02
    assert any("divides" in note and "by 32" in note and "; made up for" in note for note in made_up.notes)
    floats, integers = drift(rule, LearningOptions(compensate=False), spikes, 0.3)
    assert integers == pytest.approx(floats, abs=4.0), "what is reported is what happens"
    assert abs(drift(rule, LearningOptions(), spikes, 0.3)[0]) > 4 * abs(floats)


def test_rates_that_quantise_to_zero_are_refused_with_the_number_that_would_do() -> None:
    with pytest.raises(InputError) as error:
        lower_rule(build("triplet-stdp"))
    assert "rate nu_pre is 0.0001, on the chip -0.0002*1*x0*y1, which is zero" in str(error.value)
    assert "at least 0.00195" in str(error.value)
    lower_rule(build("triplet-stdp", nu_pre=0.002, nu_post=0.032))
    with pytest.raises(InputError, match="overflows"):
        lower_rule(build("pair-stdp", A_plus=0.5), LearningOptions(unit=1e-7))


def test_a_trace_that_must_be_late_comes_through_a_port() -> None:
    account = lower_rule(build("triplet-stdp", nu_pre=0.01, nu_post=0.1))
    engine = account.engine["train"]
    assert engine is not None
    assert engine.third_factors
    assert {r.name: (r.holds, r.port, r.late) for r in account.registers} == {
        "x1": ("x", False, False),
        "y1": ("y", True, False),
        "y2": ("y_slow", True, True),
    }
    assert any("y2 = y_slow (a step late)" in note for note in account.notes)


def test_the_phases_hold_their_own_sums() -> None:
    rule = combine(build("pair-stdp"), build("weight-decay", rate=0.01, baseline=0.25), "sleep")
    account = lower_rule(rule)
    assert set(account.engine) == {"train", "test", "sleep"}
    assert account.engine["test"] is None
    train, sleep = account.engine["train"], account.engine["sleep"]
    assert train is not None
    assert sleep is not None
    assert {p.dependency for p in train.dw} == {"x0", "y0"}
    assert {p.dependency for p in sleep.dw} == {"u"}
    assert sleep.x1 == train.x1, "traces go on in sleep"
    with pytest.raises(InputError, match="w_max"):
        combine(build("pair-stdp"), build("weight-decay", w_max=2.0), "sleep")


def test_written_products_are_taken_as_they_stand() -> None:
    rule = build("products", dw="2^-2*x1*y0 - 3*x0*y1*x1", x1_impulse=16, x1_tau=10, y1_impulse=20, y1_tau=5, t_epoch=2)
    account = lower_rule(rule)
    made = account.engine["train"]
    assert isinstance(made, PlasticityRule)
    assert [str(p) for p in made.dw] == ["1*2^-2*y0*x1", "-3*x0*y1*x1"]
    assert [(rate.asked, rate.got, rate.shift) for rate in account.rates] == [(0.25, 0.25, 0), (-3.0, -0.375, 3)]
    assert account.t_epoch == 2
    with pytest.raises(InputError, match="one number in both places"):
        lower_rule(rule, LearningOptions(t_epoch=3))


def test_seeds_and_parity() -> None:
    rule = build("pair-stdp")
    own = lower_rule(rule, LearningOptions(seed=5, weight_seed=9)).engine["train"]
    lava = lower_rule(rule, LearningOptions(seed=5, weight_seed=9, parity="lava")).engine["train"]
    assert own is not None
    assert lava is not None
    assert (own.seeds.traces, own.seeds.weights, lava.seeds.weights) == (5, 9, 2)


def test_traces_saturate_where_the_account_says() -> None:
    account = lower_rule(build("pair-stdp"), LearningOptions(max_rate=0.2))
    for register in account.registers:
        kept = math.exp(-1 / register.tau)
        assert register.rate >= 0.2
        period = 1 / register.rate
        assert register.impulse / (1 - kept**period) == pytest.approx(127, rel=1e-6)
        assert register.impulse / (1 - kept ** (0.9 * period)) > 127, "negative control: a little faster is clipped"


def test_nearest_rounding_that_stalls_is_warned_about() -> None:
    small = build("pair-stdp", A_plus=0.0015, A_minus=0.004)
    text = "\n".join(lower_rule(small, LearningOptions(rounding="nearest")).warnings)
    assert "A_plus: one pair moves a weight by 0.3" in text
    assert "never learns" in text
    assert "A_minus: with nearest rounding pairs more than" in text
    assert "never learns" not in "\n".join(lower_rule(small).warnings)
    decay = lower_rule(build("weight-decay", rate=0.03), LearningOptions(rounding="floor"))
    assert any("stall up to 3" in line for line in decay.warnings), decay.warnings


def test_slow_rules_count_in_longer_periods() -> None:
    account = lower_rule(build("weight-decay", rate=0.001, every=1))
    rate = account.rates[0]
    assert rate.asked == pytest.approx(-(1 - 0.999 ** (1 << int(rate.written.split("*u")[1][0]))))
    assert any("is applied every" in note for note in account.notes)
    every = lower_rule(build("weight-decay", rate=0.05, every=200))
    assert every.t_epoch << 2 == 200
    assert "u2" in every.rates[0].written


def test_more_than_the_chip_has() -> None:
    traces = tuple(Trace(name, "pre", 10.0) for name in ("a", "b", "c"))
    terms = tuple(Term(name, "w", 0.1, "post", (Read(name),)) for name in ("a", "b", "c"))
    with pytest.raises(UnsupportedError, match="traces is 3 of kind x"):
        lower_rule(Rule("three", terms, traces, w_min=0.0, w_max=1.0))
    late = Term("a", "w", 0.1, "pre", (Read("a", before=True),))
    with pytest.raises(UnsupportedError, match="read a step late"):
        lower_rule(Rule("late", (late,), traces[:1], w_min=0.0, w_max=1.0))
    with pytest.raises(InputError, match="w_min and w_max is infinite"):
        lower_rule(Rule("open", terms[:1], traces[:1]))


def test_bounds_that_the_chip_does_not_hold() -> None:
    narrow = lower_rule(build("pair-stdp", w_min=0.2, w_max=0.8), LearningOptions(unit=0.01))
    assert any("w_min is 0.2, but the chip clips at 0" in line for line in narrow.warnings)
    assert any("w_max is 0.8, but the chip clips at 2.55" in line for line in narrow.warnings)
    assert not any("clips" in line for line in lower_rule(build("pair-stdp")).warnings)


@pytest.mark.parametrize(
    ("name", "parameters", "warned"),
    [
        ("pair-stdp", {}, True),
        ("soft-bound-stdp", {}, False),
        ("weight-decay", {"rate": 0.1, "baseline": 0.5}, False),
    ],
)
def test_a_bound_that_no_term_crosses_needs_no_host(name: str, parameters: dict[str, Any], warned: bool) -> None:
    """A unit beyond the bound leaves room on the chip; only rules that push weights there are warned about."""
    rule = build(name, w_min=0.0, w_max=1.0, **parameters)
    found = [line for line in lower_rule(rule, LearningOptions(unit=0.02)).warnings if "the host has to clip" in line]
    assert bool(found) == warned


def test_the_range_of_weights_and_traces_is_said() -> None:
    unsigned = lower_rule(build("pair-stdp", A_plus=0.02, A_minus=0.01, w_max=2.0))
    signed = lower_rule(build("pair-stdp", A_plus=0.02, A_minus=0.01, w_min=-1.0))
    top = 255 * unsigned.unit
    assert any(
        note.startswith(f"weights are integers, 0 to 255 steps (0 to {top:.4g}), traces") for note in unsigned.notes
    )
    assert any(note.startswith("weights are integers, -25") for note in signed.notes)
