"""What all library rules share: parameters with units, times in steps or ms, absolute or relative amplitudes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from snnc.learning.rule import Rule, Value, refuse


def number(default: float, unit: str, least: float = 0.0) -> Any:
    """A parameter that is a number of at least ``least``; ``time`` as unit means steps, or ms with ``time_unit``."""
    return field(default=default, metadata={"unit": unit, "least": least})


def positive(default: float, unit: str) -> Any:
    """A parameter that is more than 0."""
    return field(default=default, metadata={"unit": unit, "above": 0.0})


def count(default: int, unit: str) -> Any:
    """A parameter that is a whole number of 1 or more."""
    return field(default=default, metadata={"unit": unit, "least": 1})


def choice(default: str, *words: str) -> Any:
    """A parameter that is one of a few words."""
    return field(default=default, metadata={"unit": "", "words": (default, *words)})


@dataclass(frozen=True)
class Spec:
    """A library rule with its parameters.

    Attributes:
        w_min: smallest weight, in the unit of the float network's weights.
        w_max: largest weight.
        time_unit: unit of every time constant: ``steps`` or ``ms``.
        dt: ms per step; needed with ``ms``.

    Raises:
        InputError: on construction: a parameter is out of its range; says which and what is allowed.
    """

    w_min: float = number(0.0, "weight", -math.inf)
    w_max: float = number(1.0, "weight", -math.inf)
    time_unit: str = choice("steps", "ms")
    dt: float = number(0.0, "ms")

    def __post_init__(self) -> None:
        for one in fields(self):
            self._check(one.name, getattr(self, one.name), dict(one.metadata))
        if self.time_unit == "ms" and not self.dt:
            refuse(self.name, "dt", "0 ms", "more than 0 with time_unit 'ms'", "Say how many ms a step is")
        if not self.w_min < self.w_max:
            refuse(self.name, "w_min and w_max", f"{self.w_min:g} and {self.w_max:g}", "w_min < w_max")

    def _check(self, key: str, value: Value, meta: dict[str, Any]) -> None:
        unit = f" {self.unit(key)}" if meta.get("unit") else ""
        if "words" in meta:
            if value not in meta["words"]:
                refuse(self.name, key, repr(value), " or ".join(map(repr, meta["words"])))
        elif isinstance(value, bool) != isinstance(getattr(type(self), key), bool):
            refuse(self.name, key, repr(value), f"a {type(getattr(type(self), key)).__name__}")
        elif isinstance(value, str) or not math.isfinite(value):
            refuse(self.name, key, repr(value), f"a finite number{unit}")
        elif "above" in meta and not value > meta["above"]:
            fix = "A trace of 0 steps is gone before a rule reads it" if key.startswith("tau") else ""
            refuse(self.name, key, f"{value:g}{unit}", f"more than {meta['above']:g}", fix)
        elif "least" in meta and value < meta["least"]:
            fix = "Give the magnitude: the rule holds the sign" if key.startswith("A_") else ""
            refuse(self.name, key, f"{value:g}{unit}", f"at least {meta['least']:g}", fix)

    @property
    def name(self) -> str:
        """Name in the library."""
        raise NotImplementedError

    def rule(self) -> Rule:
        """The rule as a value."""
        raise NotImplementedError

    def unit(self, key: str) -> str:
        """Unit of a parameter as the user sees it."""
        unit = str(next(f for f in fields(self) if f.name == key).metadata.get("unit", ""))
        return self.time_unit if unit == "time" else unit

    def steps(self, key: str) -> float:
        """A time constant in steps."""
        value = float(getattr(self, key))
        return value / self.dt if self.time_unit == "ms" else value

    def given(self) -> tuple[tuple[str, Value, str], ...]:
        """All parameters with their units."""
        return tuple((f.name, getattr(self, f.name), self.unit(f.name)) for f in fields(self))


def parameters(cls: type[Spec]) -> dict[str, tuple[Value, str]]:
    """Parameter -> (default, unit) of a library rule."""
    return {f.name: (f.default, str(f.metadata.get("unit", ""))) for f in fields(cls)}  # type: ignore[misc]
