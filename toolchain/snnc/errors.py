"""Every error that snnc raises, in one tree.

    SnncError                    exit code 2 unless a subclass says otherwise
    |-- InputError           2   a file, an option or an array is not what was asked for
    |   |-- ConfigError      2   snnc.toml
    |   |-- ModelError       2   the model file or the module it builds
    |   |-- GraphError       2   a graph breaks its own rules (NaN, bad shape, cycle without delay)
    |   |-- FormatError      2   a number does not fit the format it is given
    |   |-- IntegrityError   2   a compiled folder is not what its manifest says
    |   `-- TraceError       2   a trace or spike file does not match
    |-- PassError            2   a pass broke a graph; carries the history
    |-- UnsupportedError     3   no native way to do this on the target
    |-- DoesNotFitError      4   the target has too little of a resource
    `-- NotEquivalentError   1   a rung of the ladder or the budget failed

Each carries where it happened and what to do, so that a report can show them as columns.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One broken rule: where, which quantity, what was found, what is allowed, and what helps."""

    node: str
    quantity: str
    found: str
    allowed: str
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.node}: {self.quantity} is {self.found}, allowed is {self.allowed}"
        return f"{text}. {self.fix}" if self.fix else text


class SnncError(Exception):
    """Base of every error that snnc raises on purpose."""

    exit_code = 2

    def __init__(self, message: str, *, violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.violations = violations

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {violation}" for violation in self.violations)]
        return "\n".join(lines)

    @classmethod
    def of(cls, *violations: Violation, message: str = "") -> SnncError:
        """Builds the error from the rules that were broken; one alone needs no heading."""
        if len(violations) == 1 and not message:
            return cls(str(violations[0]))
        return cls(message or f"{len(violations)} rules are broken", violations=violations)


class InputError(SnncError):
    """A file, an option or an array is not what was asked for."""


class ConfigError(InputError):
    """snnc.toml holds something that snnc does not understand."""


class ModelError(InputError):
    """The model file cannot be loaded, or its module cannot be captured as it stands."""


class GraphError(InputError):
    """A graph breaks one of its own rules."""


class FormatError(InputError):
    """A number does not fit the fixed-point format that it is given."""


class IntegrityError(InputError):
    """A compiled folder does not match its manifest."""


class TraceError(InputError):
    """A trace or spike file does not match what it is used for."""


class PassError(SnncError):
    """A pass produced a graph that does not verify."""


class UnsupportedError(SnncError):
    """The target (or every target) has no native way to do this."""

    exit_code = 3


class DoesNotFitError(SnncError):
    """The target has too little of a resource."""

    exit_code = 4


class NotEquivalentError(SnncError):
    """A rung of the ladder or the user's budget failed."""

    exit_code = 1


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Message for a name that does not exist, with the nearest that does."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"; the nearest is {near[0]!r}" if near else ""
    return f"no {what} is called {name!r}{hint} (there are {', '.join(sorted(names)) or 'none'})"
