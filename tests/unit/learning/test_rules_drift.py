"""Drift between float and integer learning is attributed to what was made worse on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.errors import UnsupportedError
from snnc.learning import LearningOptions, build, lower_rule
from snnc.learning.drift import Drift
from snnc_reference.learning_rules_drift import CAUSES, drift
from snnc_reference.learning_run import Learner
from snnc_reference.learning_run_drift import learning_drift
from unit.learning.learning_nets import made, network, spikes
from unit.learning.learning_nets import rule as fitted

POST, PRE, STEPS = 30, 40, 150


def measured(rate: float = 0.03, options: LearningOptions | None = None, error: float = 0.0, **given: Any) -> Drift:
    rule = build("pair-stdp", **{"A_plus": 0.02, "A_minus": 0.01, **given})
    account = lower_rule(rule, options)
    assert account.device is not None
    worse = tuple(replace(term, rate=term.rate * (1 + error)) for term in rule.terms)
    rng = np.random.default_rng(4)
    spikes: list[npt.NDArray[np.int64]] = [(rng.random((STEPS, n)) < rate).astype(np.int64) for n in (PRE, POST)]
    return drift(replace(rule, terms=worse), account, np.full((POST, PRE), 100), spikes[0], spikes[1])


def worst(found: Drift) -> str:
    return max(CAUSES, key=lambda cause: float(found.causes[cause][-1]))


def test_rounding_is_what_is_left_in_a_good_fit() -> None:
    found = measured()
    assert worst(found) == "rounding"
    assert found.causes["saturation"].max() == 0
    assert found.error.shape == (STEPS,)
    assert found.final.shape == (POST, PRE)
    assert found.error[-1] == pytest.approx(np.abs(found.final).mean())
    assert found.stalled < 0.05
    assert {name: int(h.sum()) for name, h in found.histograms.items()} == dict.fromkeys(
        ("start", "float", "integers"), POST * PRE
    )


def test_causes_are_told_apart() -> None:
    assert worst(measured(error=0.8)) == "rates"
    assert (
        worst(measured(rate=0.3, options=LearningOptions(max_rate=0.01), A_plus=0.004, A_minus=0.003)) == "saturation"
    )


def test_parts_bound_the_whole() -> None:
    found = measured(error=0.5)
    assert np.all(found.error <= sum(found.causes.values()) + 1e-12)


def test_samples_end_with_errors() -> None:
    rule = build("s2-stdp", A_plus=0.2, A_minus=0.1)
    rng = np.random.default_rng(4)
    pre, post = ((rng.random((64, n)) < 0.05).astype(np.int64) for n in (PRE, POST))
    errors = {"error": np.ones((64, POST)) * 0.7}
    found = drift(rule, lower_rule(rule), np.zeros((POST, PRE), np.int64), pre, post, errors, sample=16)
    size = np.abs(np.diff(found.edges[[0, -1]]))[0]
    assert size > 0.3, "weights must have moved"
    assert found.error[-1] < 0.03
    silent = drift(rule, lower_rule(rule), np.zeros((POST, PRE), np.int64), pre, post, {}, sample=16)
    assert silent.histograms["float"].max() == POST * PRE, "negative control: no error, no change"


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({}, {}), ({"between_samples": "clear"}, {}), ({"between_samples": "clear", "t_epoch": 3}, {}),
        ({}, {"seed": 5}), ({}, {"rounding": "nearest"}),
    ],
    ids=["kept", "cleared", "cleared, epochs", "seed", "nearest"],
)  # fmt: skip
def test_the_drift_of_a_run_is_that_of_its_integers(keys: Any, options: Any) -> None:
    """Traces cleared between samples or kept, other seeds, other ways to round: the integers are those that learn."""
    data = spikes(6, rate=0.2)
    one = made(network(threshold=1.0), "loihi1", data, fitted(A_plus=0.015, A_minus=0.016, **keys))
    measured, run, other = (Learner(one.graph, one.plastic, scales=one.scales, **options) for _ in range(3))
    found = learning_drift(measured, [(sample, None) for sample in data])["fc"]
    for sample in data:
        run.sample(sample)
        other.sample(sample[::-1])
    ends = [np.histogram(learner.weights["fc"], found["edges"])[0].tolist() for learner in (run, other)]
    assert ends[0] == found["histograms"]["integers"]
    assert ends[1] != found["histograms"]["integers"]


def test_nearest_rounding_that_stalls_is_seen() -> None:
    """Pairs of less than half a step: the float rule moves weights, nearest rounding never does, stochastic does."""
    rule = build("pair-stdp", A_plus=0.0015, A_minus=0.0014, tau_plus=5.0, tau_minus=5.0)
    pre, post = (np.zeros((2400, n), dtype=np.int64) for n in (PRE, POST))
    pre[2::60], post[3::60] = 1, 1
    start, account = np.full((POST, PRE), 100), lower_rule(rule, LearningOptions(unit=1 / 254))
    stochastic = drift(rule, account, start, pre, post)
    nearest = drift(rule, account, start, pre, post, rounding="nearest")
    assert (stochastic.stalled, nearest.stalled) == (0.0, 1.0)
    assert nearest.causes["rounding"][-1] > 4 * stochastic.causes["rounding"][-1]


def test_only_for_loihis_engine() -> None:
    rule = build("weight-decay")
    with pytest.raises(UnsupportedError, match="phase wake"):
        drift(
            rule, lower_rule(rule), np.zeros((2, 2), np.int64), np.zeros((1, 2), np.int64), np.zeros((1, 2), np.int64)
        )
