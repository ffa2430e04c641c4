"""What populations sent on which device steps, and the largest sums that were seen on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.products import largest
from snnc.ir import IntArray

Numbers = npt.NDArray[Any]


class Sent:
    """What one population sent: [steps, B, neurons] from device step ``first`` on; nothing before and after."""

    def __init__(self, first: int, values: Numbers, top: int | None = None) -> None:
        self.first, self.values = first, values
        self.top = largest(values) if top is None else top

    def span(self, low: int, high: int) -> tuple[int, int]:
        """The part of device steps ``low`` to ``high - 1`` on which there is anything."""
        return max(low, self.first), min(high, self.first + self.values.shape[0])

    def between(self, low: int, high: int) -> Numbers:
        """What was sent on device steps ``low`` to ``high - 1``, all inside."""
        return self.values[low - self.first : high - self.first]

    def padded(self, low: int, high: int) -> IntArray:
        """What was sent on device steps ``low`` to ``high - 1``, zeros where it was nothing."""
        found = np.zeros((high - low, *self.values.shape[1:]), dtype=np.int64)
        a, b = self.span(low, high)
        if a < b:
            found[a - low : b - low] = self.between(a, b)
        return found


def note(worst: dict[str, list[int]], name: str, sums: Sequence[Numbers]) -> None:
    """Remembers the largest magnitude of each receptor's sums."""
    found = [largest(part) for part in sums]
    last = worst.get(name, [0] * len(found))
    worst[name] = [max(a, b) for a, b in zip(last, found, strict=True)]
