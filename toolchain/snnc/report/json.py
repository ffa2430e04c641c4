"""JSON reports: strict JSON, where what is not a number is null."""

from __future__ import annotations

import json
from typing import Any

from snnc.comparison import Comparison, Tally
from snnc.evidence import Evidence
from snnc.plain import plain


def dumps(value: Any) -> str:
    """Any report as JSON text; the same value gives the same text.

    Args:
        value: mappings, sequences, dataclasses, NumPy and Python numbers; NaN and infinity become null.
    """
    return json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def evidence_json(evidence: Evidence) -> str:
    """Evidence as JSON text, see :meth:`snnc.evidence.Evidence.to_json`."""
    return dumps(evidence.to_json())


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain data: totals, the first difference, and one entry per population."""
    first = comparison.first_difference
    data: dict[str, Any] = plain(
        {
            "left": comparison.left,
            "right": comparison.right,
            "compared": comparison.compared,
            "differing": comparison.differing,
            "equal": comparison.equal,
            "first_difference": first and {**vars(first), "text": first.text},
            "layers": [
                {
                    "population": layer.population,
                    "spikes": _tally(layer.spikes),
                    "states": {name: _tally(tally) for name, tally in layer.states.items()},
                    "first_step": layer.first_step,
                }
                for layer in comparison.layers
            ],
        }
    )
    return data


def _tally(tally: Tally) -> dict[str, int | None]:
    return {"compared": tally.compared, "differing": tally.differing, "first_step": tally.first_step}
