"""backends/TARGETS.md is what the constraints say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "backends" / "TARGETS.md"


def test_the_page_of_targets_is_fresh(snnc: Any) -> None:
    printed = snnc("targets", "--markdown").out
    assert PAGE.read_text(encoding="utf-8") == printed, "run: snnc targets --markdown > backends/TARGETS.md"
    assert "**A spike sets the membrane to zero.**" in printed
