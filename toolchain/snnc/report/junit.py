"""JUnit XML: one test case per rung and per budget entry, so that any CI shows the ladder."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from snnc.evidence import BudgetResult, Evidence, Rung

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_bytes(evidence: Evidence, name: str = "snnc") -> bytes:
    """Evidence as JUnit XML; the same evidence gives the same bytes (no clock is read, times are 0).

    Args:
        evidence: what was found.
        name: name of the suite.
    """
    results = evidence.budget_results
    skipped = sum(not result.applies for result in results) + sum(rung.skipped for rung in evidence.rungs)
    failed = sum(not (rung.passed or rung.skipped) for rung in evidence.rungs) + sum(
        not result.passed for result in results
    )
    counts = {
        "tests": str(len(evidence.rungs) + len(results)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(skipped),
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": _clean(name), **counts})
    suite = ET.SubElement(root, "testsuite", {"name": _clean(name), **counts})
    properties = ET.SubElement(suite, "properties")
    facts = {"samples": evidence.samples, "steps": evidence.steps}
    accuracies = {f"accuracy.{key}": "n/a" if v is None else f"{v:.6g}" for key, v in evidence.accuracy.items()}
    for key, value in {**facts, **accuracies}.items():
        ET.SubElement(properties, "property", {"name": _clean(key), "value": str(value)})
    taken: dict[str, int] = {}
    for rung in evidence.rungs:
        _rung(suite, rung, taken)
    for result in results:
        _budget(suite, result)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _rung(suite: ET.Element, rung: Rung, taken: dict[str, int]) -> None:
    target = f" [{rung.target}]" if rung.target else ""
    name = f"{rung.title}{target}"
    taken[name] = taken.get(name, 0) + 1
    again = f" #{taken[name]}" if taken[name] > 1 else ""
    case = _case(suite, f"snnc.{rung.when}", name + again)
    if rung.skipped:
        ET.SubElement(case, "skipped", {"message": _clean(rung.detail)})
    elif not rung.passed:
        message = f"{rung.count}{': ' if rung.detail else ''}{rung.detail}"
        ET.SubElement(case, "failure", {"type": "NotEquivalent", "message": _clean(message)}).text = _clean(message)
    elif rung.detail:
        ET.SubElement(case, "system-out").text = _clean(f"{rung.count}; {rung.detail}")


def _budget(suite: ET.Element, result: BudgetResult) -> None:
    case = _case(suite, "snnc.budget", f"budget {result.quantity} [{result.target}]")
    if not result.applies:
        ET.SubElement(case, "skipped", {"message": _clean(result.detail)})
    elif not result.passed:
        message = _clean(str(result.violation))
        ET.SubElement(case, "failure", {"type": "OverBudget", "message": message}).text = message


def _case(suite: ET.Element, group: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", {"classname": group, "name": _clean(name), "time": "0"})


def _clean(text: str) -> str:
    """XML 1.0 has no way to write control characters."""
    return NOT_XML.sub("\ufffd", text)
