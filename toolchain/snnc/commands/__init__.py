"""What each verb does; the command line only parses. A verb's module is imported when the verb is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnc.commands.converting import Written, convert
    from snnc.commands.executing import RunChoices, run
    from snnc.commands.exporting import ExportChoices, export
    from snnc.commands.learn import ExplainChoices, explain, rules
    from snnc.commands.learn_apply import apply_weights
    from snnc.commands.learn_run import LearnChoices, teach
    from snnc.commands.making import Choices, ConvertChoices, check, compile_, init
    from snnc.commands.running import ValidateChoices, compare_, validate
    from snnc.commands.screen import Screen, perform
    from snnc.commands.showing import doctor, inspect, passes, target, targets

_HOME = {
    "converting": ("Written", "convert"),
    "executing": ("RunChoices", "run"),
    "exporting": ("ExportChoices", "export"),
    "learn": ("ExplainChoices", "explain", "rules"),
    "learn_apply": ("apply_weights",),
    "learn_run": ("LearnChoices", "teach"),
    "making": ("Choices", "ConvertChoices", "check", "compile_", "init"),
    "running": ("ValidateChoices", "compare_", "validate"),
    "screen": ("Screen", "perform"),
    "showing": ("doctor", "inspect", "passes", "target", "targets"),
}

__all__ = [
    "Choices",
    "ConvertChoices",
    "ExplainChoices",
    "ExportChoices",
    "LearnChoices",
    "RunChoices",
    "Screen",
    "ValidateChoices",
    "Written",
    "apply_weights",
    "check",
    "compare_",
    "compile_",
    "convert",
    "doctor",
    "explain",
    "export",
    "init",
    "inspect",
    "passes",
    "perform",
    "rules",
    "run",
    "target",
    "targets",
    "teach",
    "validate",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"snnc.commands.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
