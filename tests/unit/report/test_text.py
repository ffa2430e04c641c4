"""Text, JSON and JUnit reports."""

from __future__ import annotations

import json as stdlib_json
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from snnc.compare import compare
from snnc.evidence import Budget, Evidence, LayerRow, Rung
from snnc.report import json, junit, text, words
from snnc.report.html import PageData
from snnc.trace import Trace


def test_text_shows_the_demo_table(evidence: Evidence, data: PageData) -> None:
    shown = text.render(*text.compile_parts(evidence, data.notes, data.utilization), width=80)
    row = next(line for line in shown.splitlines() if line.strip().startswith("loihi1 ") and "96.90" in line)
    assert "-0.60" in row
    assert "5 pass" in row
    assert "neuro cores" in shown
    assert "clipped" in shown
    assert "PASS: 3 rungs climbed" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_text_of_a_failure(failing: Evidence) -> None:
    shown = " ".join(text.render(*text.evidence_parts(failing)).split())
    assert "neuron 12: v is 4032 in reference, 4096 in loihi" in shown
    assert "accuracy_points" in shown
    assert "PASS" not in shown
    assert words.rungs_of(failing.rungs, "loihi1") == "5 FAIL"


def test_names_are_no_markup() -> None:
    name = "[bold]x[/]"
    shown = text.render(*text.evidence_parts(Evidence((Rung(5, name, name, 1, 0, True, target=name),), {name: 0.5})))
    assert name in shown


def test_shares_never_hide_a_difference() -> None:
    assert words.share(0, 10) == "0.00 %"
    assert words.share(1, 1_000_000) == "< 0.01 %"
    assert words.share(999_999, 1_000_000) == "> 99.99 %"
    assert words.share(10, 10) == "100.00 %"
    assert words.share(0, 0) == "n/a"
    assert words.number(float("nan")) == "n/a"


def test_rungs_of_sums_up_by_number() -> None:
    rungs = [Rung(4, "a", "b", 1, 0, True, target="x"), Rung(4, "a", "c", 1, 1, False, target="x")]
    rungs.append(Rung(3, "a", "b", 1, 0, True, target="x"))
    assert words.rungs_of(rungs, "x") == "3 pass; 4 FAIL"
    assert words.rungs_of(rungs, "y") == "n/a"


def test_accuracy_rows_cover_targets_without_labels() -> None:
    rows = words.accuracy_rows(Evidence((), {}, (LayerRow("x", "a", 1, 0, 1, 4),)))
    assert rows == [("x", "n/a", "n/a", "1 (25.00 %)", "n/a", "n/a")]


def test_worst_line() -> None:
    assert words.worst_line(Evidence(())) == ""
    same = Evidence((), layers=(LayerRow("x", "a", 1, 0, 0, 4),))
    assert "every spike" in words.worst_line(same)
    worse = Evidence((), layers=(LayerRow("x", "a", 1, 0, 2, 4),), first_differences={"x": "sample 0"})
    assert words.worst_line(worse) == "worst layer: a on x, 2 of 4 bins differ from float; first at sample 0"


def test_comparison_table_and_json() -> None:
    spikes = np.zeros((1, 4, 2), dtype=np.int8)
    flipped = spikes.copy()
    flipped[0, 2, 1] = 1
    v = {("a", "v"): np.zeros((1, 4, 2), dtype=np.int64)}
    found = compare(Trace("reference", "x", {"a": spikes}, v), Trace("loihi", "x", {"a": flipped}, v))
    shown = text.render(text.comparison_table(found))
    assert "reference / loihi" in shown
    assert "differs" in shown
    assert "equal" in shown
    data = json.comparison_json(found)
    assert (data["differing"], data["equal"]) == (1, False)
    assert data["first_difference"]["step"] == 2
    assert data["first_difference"]["neuron"] == [1]
    assert data["first_difference"]["text"] == found.text
    assert data["layers"][0]["states"]["v"] == {"compared": 8, "differing": 0, "first_step": None}
    assert stdlib_json.loads(json.dumps(data)) == data
    assert json.comparison_json(compare(Trace("a", "x", {"a": spikes}), Trace("b", "x", {"a": spikes})))["equal"]


def test_json_is_strict(evidence: Evidence) -> None:
    found = json.dumps({"a": float("nan"), "b": np.float64("inf"), "c": np.int64(3), "d": (1.5, None)})
    assert stdlib_json.loads(found, parse_constant=pytest.fail) == {"a": None, "b": None, "c": 3, "d": [1.5, None]}
    assert json.evidence_json(evidence) == json.evidence_json(evidence)
    assert stdlib_json.loads(json.evidence_json(evidence))["pass"] is True


def suite(evidence: Evidence) -> ET.Element:
    root = ET.fromstring(junit.junit_bytes(evidence, "a <name> & more"))
    (found,) = root
    assert found.get("name") == "a <name> & more"
    return found


def test_junit_has_one_case_per_rung_and_demand(evidence: Evidence) -> None:
    found = suite(evidence)
    cases = found.findall("testcase")
    assert len(cases) == int(found.get("tests", "")) == 3 + 4
    assert found.get("failures") == "0"
    assert found.findall(".//failure") == []
    names = [case.get("name") for case in cases]
    assert "rung 5: loihi/loihi1 (left) / loihi/loihi1 (right) [loihi1]" in names
    assert "budget accuracy_points [loihi1]" in names
    assert len(set(names)) == len(names)
    assert junit.junit_bytes(evidence) == junit.junit_bytes(evidence)


def test_junit_failures_carry_the_first_difference(failing: Evidence) -> None:
    found = suite(failing)
    failures = found.findall(".//failure")
    assert len(failures) == int(found.get("failures", "")) == 3
    assert "neuron 12: v is 4032 in reference, 4096 in loihi" in failures[0].get("message", "")
    assert "accuracy_points" in failures[1].get("message", "")


def test_junit_survives_control_characters_and_twins() -> None:
    twin = Rung(5, "a\x00b", "c\ud800", 1, 0, True, "\x1b[0m")
    cases = suite(Evidence((twin, twin), {}, (), 0, 0, Budget(1.0))).findall("testcase")
    assert [case.get("name", "").endswith("#2") for case in cases] == [False, True, False]
    assert cases[2].find("skipped") is not None


REPORT: dict[str, Any] = {
    "model": {"name": "digits", "digest": "ab"},
    "files": {"model.fixed.onnx": "0123456789abcdef0123"},
    "targets": {
        "loihi1": {
            "backend": "loihi", "steps_behind": 2, "digest": "0123456789abcdef", "utilization": {"cores": [3, 128]},
            "nodes": [
                {"name": "fc1", "type": "conv", "shape": [4, 8, 8], "formats": {"weight": "s8.-6"}, "latency": None},
            ],
        }
    },
}  # fmt: skip


def test_tables_of_the_command_line() -> None:
    run = {"backend": "loihi", "target": "loihi1", "samples": 2, "steps": 16, "accuracy": 0.5}
    shown = text.render(text.run_table({**run, "spikes": {"a": 12345}, "rates": {"a": 0.25}}))
    assert "12,345" in shown
    assert "50.00 %" in shown
    assert "accuracy" not in text.render(text.run_table({**run, "accuracy": None, "spikes": {}, "rates": {}}))

    shown = text.render(*text.inspect_parts(REPORT))
    for expected in ("4 x 8 x 8", "weight s8.-6", "2.34 %", "model.fixed.onnx", "digits"):
        assert expected in shown

    broken = {"node": "fc1", "quantity": "bits", "found": "9", "allowed": "8", "fix": "Use 8."}
    targets = {"loihi1": {"ok": False, "violations": [broken]}, "generic": {"ok": True, "violations": []}}
    node = {"name": "fc1", "type": "affine", "shape": []}
    shown = text.render(*text.check_parts({"model": "digits", "nodes": [node], "targets": targets}))
    assert "loihi1: FAIL" in shown
    assert "generic: ok" in shown
    assert "Use 8." in shown

    target = {
        "name": "loihi1", "backend": "loihi", "summary": "one chip", "weight_bits": [2, 8],
        "conventions": {"hop_delay": 1},
        "formats": {"bias": "s13.0"}, "limits": {"cores": {"value": 128, "unit": "cores", "source": "paper"}},
        "rules": [{"rule": "A rule.", "manual": ""}],
    }  # fmt: skip
    shown = text.render(*text.target_parts(target))
    for expected in ("weights of 2 to 8 bits", "hop_delay", "s13.0", "paper", "A rule."):
        assert expected in shown
