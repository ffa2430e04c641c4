"""What each verb does; the command line only parses. A verb's module is imported when the verb is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnc.commands.learn import ExplainChoices, explain, rules
    from snnc.commands.making import Choices, check, compile_, init
    from snnc.commands.running import RunChoices, ValidateChoices, compare_, run, validate
    from snnc.commands.screen import Screen
    from snnc.commands.showing import doctor, inspect, passes, target, targets

_HOME = {
    "learn": ("ExplainChoices", "explain", "rules"),
    "making": ("Choices", "check", "compile_", "init"),
    "running": ("RunChoices", "ValidateChoices", "compare_", "run", "validate"),
    "screen": ("Screen",),
    "showing": ("doctor", "inspect", "passes", "target", "targets"),
}

__all__ = [
    "Choices",
    "ExplainChoices",
    "RunChoices",
    "Screen",
    "ValidateChoices",
    "check",
    "compare_",
    "compile_",
    "doctor",
    "explain",
    "init",
    "inspect",
    "passes",
    "rules",
    "run",
    "target",
    "targets",
    "validate",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"snnc.commands.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
