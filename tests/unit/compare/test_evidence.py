"""Evidence: what passes, what fails, and its JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from snnc.compare import LayerError, compare
from snnc.evidence import Budget, Evidence, LayerRow, Rung
from snnc.plain import plain
from snnc.trace import Trace

GOOD = Rung(5, "reference", "loihi", 1000, 0, True, target="loihi1")
ROWS = (
    LayerRow("loihi1", "lif1", 500, 10, 20, 1000, 0.01, 0.02),
    LayerRow("loihi1", "lif2", 100, 1, 60, 1000),
    LayerRow("spinnaker1", "lif1", 500, 30, 30, 1000),
)


def evidence(**changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "rungs": (GOOD,),
        "accuracy": {"float": 0.975, "fixed": 0.97, "loihi1": 0.969},
        "layers": ROWS,
        "samples": 50,
        "steps": 16,
        "first_differences": {"loihi1": "sample 0, step 3"},
    }
    return Evidence(**{**fields, **changes})


def test_json_has_the_keys_of_the_contract() -> None:
    data = evidence(budget=Budget(1.0, 0.1)).to_json()
    assert list(data) == ["rungs", "accuracy", "layers", "worst", "samples", "steps", "budget", "pass"]
    assert {"rung", "left", "right", "compared", "differing", "pass"} <= set(data["rungs"][0])
    assert "passed" not in data["rungs"][0]
    assert (data["rungs"][0]["rung"], data["rungs"][0]["pass"]) == (5, True)
    assert data["accuracy"] == {"float": 0.975, "fixed": 0.97, "loihi1": 0.969}
    assert data["worst"]["population"] == "lif2"
    assert data["worst"]["cascaded_fraction"] == 0.06
    assert data["worst"]["first_difference"] == "sample 0, step 3"
    assert [entry["pass"] for entry in data["budget"]["results"]] == [True, True, True, True]
    assert data["pass"] is True
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_one_failed_rung_fails_all() -> None:
    bad = Rung(5, "reference", "loihi", 1000, 1, False, "sample 3, step 7")
    found = evidence(rungs=(GOOD, bad))
    assert not found.passed
    assert found.to_json()["pass"] is False
    assert "sample 3, step 7" in str(found.violations[0])


def test_nothing_compared_is_no_proof() -> None:
    empty = Rung(5, "reference", "loihi", 0, 0, True)
    assert not empty.passed
    assert empty.detail == "nothing was compared"
    assert not evidence(rungs=()).passed
    assert not evidence(rungs=(GOOD, empty)).passed


@pytest.mark.parametrize(("points", "passes"), [(0.61, True), (0.6, True), (0.59, False), (0.0, False), (None, True)])
def test_accuracy_budget(points: float | None, passes: bool) -> None:
    found = evidence(budget=Budget(accuracy_points=points))
    assert found.passed is passes
    if not passes:
        assert found.violations[-1].node == "loihi1"
        assert found.violations[-1].quantity == "accuracy_points"


def test_better_than_float_is_within_the_budget() -> None:
    assert evidence(accuracy={"float": 0.9, "fixed": 0.95}, budget=Budget(0.0)).passed


@pytest.mark.parametrize(("limit", "passes"), [(0.03, True), (0.029, False), (1.0, True)])
def test_mismatch_budget_is_about_teacher_forced_layers(limit: float, passes: bool) -> None:
    """lif2 differs in 6 % of the bins in the cascade, but itself causes 0.1 % only."""
    found = evidence(budget=Budget(spike_mismatch=limit))
    assert found.passed is passes
    assert [(r.target, r.found) for r in found.budget_results] == [("loihi1", 0.01), ("spinnaker1", 0.03)]


def test_unlabelled_data_is_reported_but_a_missing_number_fails() -> None:
    none = evidence(accuracy={}, budget=Budget(1.0))
    assert none.passed
    assert [r.verdict for r in none.budget_results] == ["not measured"]
    assert evidence(accuracy={"float": None, "fixed": float("nan")}, budget=Budget(1.0)).passed
    some = evidence(accuracy={"float": 0.9, "fixed": 0.9, "loihi1": None}, budget=Budget(1.0))
    assert not some.passed
    assert [r.verdict for r in some.budget_results] == ["pass", "FAIL"]
    only = evidence(accuracy={"float": 0.9}, budget=Budget(1.0))
    assert [r.verdict for r in only.budget_results] == ["not measured"]
    assert [r.verdict for r in evidence(layers=(), budget=Budget(spike_mismatch=0.1)).budget_results] == [
        "not measured"
    ]


def test_rung_and_row_of_measurements() -> None:
    spikes = np.zeros((1, 4, 2), dtype=np.int8)
    flipped = spikes.copy()
    flipped[0, 2, 1] = 1
    left, right = Trace("reference", "loihi1", {"a": spikes}), Trace("loihi", "loihi1", {"a": flipped})
    good, bad = Rung.exact(5, compare(left, left)), Rung.exact(5, compare(left, right), target="loihi1")
    assert (good.passed, good.detail, good.compared) == (True, "", 8)
    assert (bad.passed, bad.differing, bad.right) == (False, 1, "loihi")
    assert bad.detail == "sample 0, step 2, population a, neuron 1: spike is 0 in reference, 1 in loihi"
    row = LayerRow.of("loihi1", LayerError("a", 8, 5, 4, 3, 2, 1, 0.5, 0.25))
    assert row == LayerRow("loihi1", "a", 5, 1, 2, 8, 0.25, 0.5)


def test_nan_and_numpy_become_plain() -> None:
    data = evidence(accuracy={"float": float("nan"), "fixed": np.float64(0.5)}).to_json()
    assert data["accuracy"] == {"float": None, "fixed": 0.5}
    value = plain({"a": np.arange(3), "b": np.float32("inf"), "c": (np.int64(1), {2}), "d": GOOD, "e": np.bool_(True)})
    assert value["a"] == [0, 1, 2]
    assert value["b"] is None
    assert value["c"] == [1, [2]]
    assert value["d"]["compared"] == 1000
    assert json.dumps(value, allow_nan=False)


def test_frozen() -> None:
    found = evidence()
    with pytest.raises(TypeError):
        found.accuracy["float"] = 1.0  # type: ignore[index]
