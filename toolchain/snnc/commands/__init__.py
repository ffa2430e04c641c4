"""What each verb does; the command line only parses."""

from snnc.commands.making import Choices, check, compile_, init
from snnc.commands.running import RunChoices, ValidateChoices, compare_, run, validate
from snnc.commands.screen import Screen
from snnc.commands.showing import doctor, inspect, passes, target, targets

__all__ = [
    "Choices",
    "RunChoices",
    "Screen",
    "ValidateChoices",
    "check",
    "compare_",
    "compile_",
    "doctor",
    "init",
    "inspect",
    "passes",
    "run",
    "target",
    "targets",
    "validate",
]
