"""The window against the executor: one pre and one post spike on a silent synapse."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.learning import Rule, build, window
from snnc_reference.learning_rules import RuleLearning

DISTANCES = np.arange(-12, 13)


def by_pair(rule: Rule, distance: int) -> float:
    synapse = RuleLearning(rule, [[0.5 * (rule.w_min + rule.w_max)]])
    begin = synapse.weights.copy()
    for t in range(40):
        synapse.step(np.array([t == 20]), np.array([t == 20 + distance]))
    moved = synapse.eligibility if rule.tagged else synapse.weights - begin
    return float(moved[0, 0])


@pytest.mark.parametrize("coincident", ["both", "depression", "none"])
@pytest.mark.parametrize("name", ["pair-stdp", "nearest-stdp", "multiplicative-stdp", "soft-bound-stdp"])
def test_window_is_what_a_pair_does(name: str, coincident: str) -> None:
    rule = build(name, tau_plus=5.0, tau_minus=8.0, w_min=0.1, coincident=coincident)
    want = [by_pair(rule, int(d)) for d in DISTANCES]
    np.testing.assert_allclose(window(rule, DISTANCES), want, rtol=0, atol=1e-12)
    assert np.abs(window(rule, -DISTANCES) - want).max() > 1e-3, "negative control: mirrored"


def test_rules_with_eligibility_show_it() -> None:
    rule = build("s2-stdp")
    want = [by_pair(rule, int(d)) for d in DISTANCES]
    np.testing.assert_allclose(window(rule, DISTANCES), want, rtol=0, atol=1e-12)
    assert want[0] == pytest.approx(-0.1)
    assert want[-1] == pytest.approx(0.1)


def test_the_third_spike_of_a_triplet() -> None:
    rule = build("triplet-stdp", nu_pre=0.01, nu_post=0.1)
    alone = window(rule, [-3, 3])
    assert alone[0] < 0
    assert alone[1] == 0, "no post spike before: nothing to multiply with"
    np.testing.assert_allclose(window(rule, [3], earlier=0.5), [0.05 * np.exp(-3 / 20)])
