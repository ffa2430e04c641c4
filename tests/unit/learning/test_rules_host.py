"""What the host computes: errors, winners, thresholds, norms and labels, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.errors import InputError
from snnc.learning.host import competed, labelled, normalised, s2_errors, winners


def test_s2_errors_pull_the_target_ahead_by_the_gap() -> None:
    errors = s2_errors([8, 8, 8, 8], 1, 16, 4.0)
    np.testing.assert_allclose(errors, [-1 / 16, 3 / 16, -1 / 16, -1 / 16], atol=1e-12)
    assert errors.sum() == pytest.approx(0.0), "the mean time stays where it is"
    met = np.array([9.0, 5.0, 9.0, 9.0])
    np.testing.assert_allclose(s2_errors(met, 1, 16, 4.0), 0, atol=1e-12)
    assert np.abs(s2_errors(met, 0, 16, 4.0)).max() > 0.1, "negative control: another label"
    with pytest.raises(InputError, match="target is 4"):
        s2_errors([8, 8, 8, 8], 4, 16, 4.0)


def test_winners_fire_first_and_ties_go_to_the_membrane() -> None:
    assert winners([3, 2, 9, 5, 5, 9], [0, 0, 8, 1, 4, 9], 3).tolist() == [1, 4]
    assert winners([16, 16, 16], [1, 3, 2], 3).tolist() == [1]


def test_competition_keeps_the_sum_of_a_group_until_the_floor() -> None:
    start = np.array([1.5, 1.5, 1.5, 1.5])
    after = competed(start, 3, 2, 0.2, 1.0)
    np.testing.assert_allclose(after, [1.5, 1.5, 1.4, 1.6])
    np.testing.assert_allclose(competed([1.0, 1.0], 0, 2, 0.2, 1.0), [1.1, 1.0])


@pytest.mark.parametrize(("norm", "size"), [("L1", 1), ("L2", 2)])
def test_norms(norm: str, size: int) -> None:
    weights = np.array([[1.0, -3.0], [0.0, 0.0]])
    scaled = normalised(weights, 2.0, norm)
    assert np.linalg.norm(scaled[0], size) == pytest.approx(2.0)
    assert np.sign(scaled[0]).tolist() == [1, -1]
    assert scaled[1].tolist() == [0, 0]


def test_labels_follow_means_not_sums() -> None:
    counts = [[2, 0, 0], [2, 0, 0], [2, 1, 0], [5, 3, 0]]
    assert labelled(counts, [0, 0, 0, 1], 3).tolist() == [1, 1, 0]
