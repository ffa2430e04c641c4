"""Drift of SpiNNaker's pair STDP: each of the core's ways is seen where it acts, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.backend import Drifting, discover
from snnc.learning import configure
from snnc.learning.drift import Course, Drift, summary
from snnc_spinnaker.learn import Learning, Plastic
from snnc_spinnaker.learn_drift import CAUSES, drift, learning_drift
from snnc_spinnaker.learner import Learner
from unit.spinnaker.test_spinnaker_learning import PAIR, learning, samples, small

STEPS = 160


def made(**changed: Any) -> Learning:
    return learning(small(), configure("w", **{**PAIR, **changed}))


@pytest.fixture(scope="module")
def net() -> Learning:
    return made()


def trains(rate: float = 0.05, *, apart: bool = True) -> tuple[Any, Any]:
    """Pre and post spikes; ``apart``: at no synapse in the same step, and every source fires in the last one."""
    rng = np.random.default_rng(3)
    pre, post = rng.random((STEPS, 12)) < rate, rng.random((STEPS, 8)) < rate
    if apart:
        # A delay of one step takes a post spike of an even step to an odd one.
        pre[1::2], post[1::2] = False, False
        pre[-2], post[-4:] = True, False
        pre, post = pre[:-1], post[:-1]
    return pre, post


def measured(made: Learning, pre: Any, post: Any, **changed: Any) -> Drift:
    (one,) = made.plastic
    return drift(replace(one, **changed), made.words(one), 1, pre, post)


def last(found: Drift) -> dict[str, float]:
    return {cause: float(values[-1]) for cause, values in found.causes.items()}


def wrong_rates(one: Plastic, factor: float) -> Any:
    return replace(one.asked, terms=tuple(replace(term, rate=term.rate * factor) for term in one.asked.terms))


@pytest.mark.parametrize("rule", ["pair-stdp", "multiplicative-stdp"])
def test_ways_that_do_not_act_add_nothing(rule: str) -> None:
    """No coincidence, no pair that waits, few spikes: what is left are floors and tables."""
    pre, post = trains()
    found = measured(made(rule=rule), pre, post)
    parts = last(found)
    for cause in ("coincidences", "deferred"):
        assert parts[cause] < 1e-12, cause
    assert parts["history"] == parts["overflow"] == 0
    for cause in ("tables", "products", "words"):
        assert 1e-7 < parts[cause] < 0.01, cause
    assert found.causes["deferred"].max() > 0.001, "under way pairs wait"
    assert found.error[-1] < 0.01
    assert np.all(found.error <= sum(found.causes.values()) + 1e-12)
    assert found.final.mean() < 0, "floors go down"


def test_ways_that_act_are_told_apart(net: Learning) -> None:
    (one,) = net.plastic
    pre, post = trains()
    calm = last(measured(net, pre, post))
    rates = last(measured(net, pre, post, asked=wrong_rates(one, 1.8)))
    assert max(rates, key=lambda cause: rates[cause]) == "rates"
    assert rates["rates"] > 100 * calm["rates"]
    assert {cause: rates[cause] for cause in CAUSES if cause != "rates"} == {
        cause: calm[cause] for cause in CAUSES if cause != "rates"
    }
    assert last(measured(net, *trains(apart=False)))["coincidences"] > 0.001
    assert last(measured(net, pre[:-1], post[:-1]))["deferred"] > 0.001, "the last pre spikes are missing"
    busy = post.copy()
    busy[40:80:2] = True
    quiet = pre.copy()
    quiet[36], quiet[38:84] = True, False
    assert last(measured(net, quiet, busy))["history"] > 0.001
    assert last(measured(net, quiet, post))["history"] == 0


def test_traces_that_wrap_are_seen() -> None:
    """A spike in every step with a long memory: 16 full traces are more than 16 bits hold."""
    slow = made(tau_plus=40.0, A_plus=0.001, A_minus=0.001)
    pre, post = trains()
    assert last(measured(slow, pre, post))["overflow"] == 0
    pre[:, :6] = True
    assert last(measured(slow, pre, post))["overflow"] > 0.001


def test_a_wrong_arithmetic_is_seen(net: Learning) -> None:
    """The core's program exchanged for the other kind: no longer an exact copy but for the times of its changes."""
    (one,) = net.plastic
    parts = last(measured(net, *trains(), rule=replace(one.rule, kind="multiplicative")))
    assert parts["deferred"] > 0.001


def test_an_exact_copy_does_not_drift() -> None:
    begin = np.full((2, 3), 0.5)
    moved = begin + np.arange(6).reshape(2, 3) / 10
    copy, late = Course(("a", "b"), begin, 0.01), Course(("a", "b"), begin, 0.01)
    for _ in range(3):
        copy.add([moved, moved, moved])
        late.add([moved, moved, begin])
    found = copy.found()
    assert found.error.max() == found.worst.max() == found.stalled == 0
    assert last(found) == {"a": 0.0, "b": 0.0}
    assert np.array_equal(found.histograms["float"], found.histograms["integers"])
    other = late.found()
    assert last(other) == {"a": 0.0, "b": pytest.approx(0.25)}
    assert (other.stalled, other.worst[-1]) == (1.0, pytest.approx(0.5))
    said = summary(other, {"a": "first", "b": "second"}, "somebody")
    assert said["over_time"]["step"] == [1, 2, 3]
    assert said["over_time"]["causes"]["b"] == pytest.approx([0.25] * 3)
    assert (said["by"], said["meanings"]) == ("somebody", {"a": "first", "b": "second"})
    empty = summary(Course(("a",), begin, 0.01).found(), {"a": "first"})
    assert (empty["steps"], empty["error"], empty["causes"]) == (0, 0.0, {"a": 0.0})


def test_without_spikes_nothing_drifts(net: Learning) -> None:
    pre, post = trains()
    found = measured(net, np.zeros_like(pre), post)
    assert found.error.max() == 0
    assert all(values.max() == 0 for values in found.causes.values())


def test_the_drift_of_a_learner_is_that_of_its_own_words(net: Learning) -> None:
    data = samples(small(), batch=3)
    learner, fresh = Learner(net), Learner(net)
    found = learning_drift(learner, [(one, None) for one in data])["w"]
    assert learner.samples == 0, "it stays as it is"
    for one in data:
        fresh.sample(one)
    assert found["steps"] == fresh.steps
    ends = np.histogram(fresh.weights["w"], found["edges"])[0].tolist()
    assert ends == found["histograms"]["integers"]
    assert ends != found["histograms"]["start"]
    assert set(found["causes"]) == set(CAUSES) == set(found["meanings"])
    assert found["over_time"]["step"][-1] == found["steps"]
    assert found["over_time"]["error"][-1] == found["error"] > 0
    assert found["worst"] >= found["error"]
    assert learning_drift(learner, [(data[0], None)], "test") == {}
    assert learning_drift(learner, []) == {}


def test_every_back_end_that_learns_says_its_drift() -> None:
    found = {name for name, one in discover().backends.items() if isinstance(one, Drifting)}
    assert found == {"reference", "loihi", "spinnaker"}
