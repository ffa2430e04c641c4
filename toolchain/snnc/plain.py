"""Values as JSON and people read them: no NaN, no infinity, no NumPy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np


def known(value: float | None) -> float | None:
    """The number, or None if it is missing, NaN or infinite."""
    return None if value is None or not math.isfinite(value) else float(value)


def percent(value: float | None) -> str:
    """A fraction as people read it: ``97.50 %``, or ``n/a``."""
    number = known(value)
    return "n/a" if number is None else f"{100 * number:.2f} %"


def plain(value: Any) -> Any:
    """Any mixture of mappings, sequences, dataclasses and numbers as JSON-ready data without NaN or infinity."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float):
        return known(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return [plain(item) for item in sorted(value, key=str)]
    if is_dataclass(value) and not isinstance(value, type):
        return {key: plain(item) for key, item in vars(value).items()}
    return str(value)
