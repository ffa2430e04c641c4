"""Plasticity rules in the field's terms, and what chips make of them."""

from snnc.learning.account import LearningAccount, LearningOptions, Rate, Register
from snnc.learning.library import LIBRARY, NAMES, build, combine
from snnc.learning.lowering import lower_rule
from snnc.learning.ports import Ports
from snnc.learning.rule import HostOperation, Read, Rule, Term, Third, Trace
from snnc.learning.settings import LearningConfig, check_projections, configure
from snnc.learning.window import window

__all__ = [
    "LIBRARY",
    "NAMES",
    "HostOperation",
    "LearningAccount",
    "LearningConfig",
    "LearningOptions",
    "Ports",
    "Rate",
    "Read",
    "Register",
    "Rule",
    "Term",
    "Third",
    "Trace",
    "build",
    "check_projections",
    "combine",
    "configure",
    "lower_rule",
    "window",
]
