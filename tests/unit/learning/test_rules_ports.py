"""Rules whose y traces come from outside, in integers, against the float rule that is promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.errors import InputError
from snnc.learning import LearningAccount, Rule, build, lower_rule
from snnc.learning.ports import Ports
from snnc_reference.learning import IntegerLearning
from snnc_reference.learning_rules import RuleLearning

TRAINS, STEPS, SAMPLE = 80, 192, 16
Trains = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def trains() -> Trains:
    return (np.random.default_rng(5).random((2, STEPS, TRAINS)) < 0.05).astype(np.int64)


def both(account: LearningAccount, promised: Rule, trains: Trains, third: Mapping[str, Any]) -> tuple[Any, Any]:
    """Final changes [post, pre] in device steps: float and integers. Rules with samples get errors at their ends."""
    engine = account.engine["train"]
    assert engine is not None
    start = 2 * round(0.5 / account.unit / 2) if promised.w_min >= 0 else 0
    floats = RuleLearning(promised, np.full((TRAINS, TRAINS), start * account.unit))
    integers, ports = IntegerLearning(engine, np.full((TRAINS, TRAINS), start)), Ports(account, TRAINS)
    nothing = np.zeros(TRAINS, dtype=np.int64)
    for t in range(STEPS):
        now = {name: values[t] for name, values in third.items()}
        during = {} if promised.clears else now
        floats.step(trains[0, t], trains[1, t], during)
        integers.step(trains[0, t], trains[1, t], ports.step(trains[1, t], during))
        if promised.clears and t % SAMPLE == SAMPLE - 1:
            floats.end_sample(now)
            integers.step(nothing, nothing, ports.step(nothing, now))
            integers.x[:], integers.tag_1[:] = 0, 0
            ports.clear()
    return floats.weights / account.unit - start, integers.weights - start


CASES: dict[str, dict[str, Any]] = {
    "triplet-stdp": {"nu_pre": 0.01, "nu_post": 0.4},
    "reward-stdp": {"A_plus": 0.04, "A_minus": 0.02, "rate": 0.2},
    "s2-stdp": {"A_plus": 0.1, "A_minus": 0.05},
}


@pytest.mark.parametrize("name", CASES)
def test_integers_follow_the_promised_rule(name: str, trains: Trains) -> None:
    rule = build(name, **CASES[name])
    account = lower_rule(rule)
    assert account.device is not None
    rng = np.random.default_rng(2)
    third = {one.name: np.tile(rng.uniform(-1, 1, TRAINS), (STEPS, 1)) for one in rule.thirds}
    floats, integers = both(account, account.device, trains, third)
    assert np.abs(floats).mean() > 8, "weights must move for this to say anything"
    assert np.corrcoef(floats.ravel(), integers.ravel())[0, 1] > 0.95
    size = np.abs(floats).mean()
    assert np.abs(floats - integers).mean() < 0.25 * size + 2
    swapped = both(account, account.device, trains[::-1], third)[1]
    assert np.corrcoef(floats.ravel(), swapped.T.ravel())[0, 1] < 0.9, "negative control: pre for post"


def test_a_slow_trace_with_this_steps_spike_is_seen(trains: Trains) -> None:
    """Negative control: y_slow written with the post spike that makes the change."""
    account = lower_rule(build("triplet-stdp", **CASES["triplet-stdp"]))
    assert account.device is not None
    naive = replace(account, registers=tuple(replace(one, late=False) for one in account.registers))
    floats, right = both(account, account.device, trains, {})
    _, wrong = both(naive, account.device, trains, {})
    assert np.abs(floats - wrong).mean() > 3 * np.abs(floats - right).mean()


def test_ports_hold_whole_numbers_of_the_right_sign() -> None:
    ports = Ports(lower_rule(build("reward-stdp", reward_max=2.0)), 3)
    spikes = np.array([1, 0, 0])
    values = ports.step(spikes, {"reward": np.array([1.0, -2.0, 9.0])})
    assert values.dtype == np.int64
    names = {register.holds: register for register in ports.registers}
    assert values[0, 0] == names["y"].impulse
    assert values[1:].tolist() == [[64, 0, 127], [0, 127, 0]]
    assert ports.step(spikes * 0)[1:].tolist() == [[0, 0, 0]] * 2
    ports.clear()
    assert ports.step(spikes * 0).max() == 0
    with pytest.raises(InputError, match="the nearest is 'reward'"):
        ports.step(spikes, {"rewards": 1.0})
    with pytest.raises(InputError, match="third factors is none"):
        Ports(lower_rule(build("pair-stdp")), 3)
