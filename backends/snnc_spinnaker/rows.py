"""Synaptic rows as they lie in SDRAM: ``n_plastic, plastic..., n_fixed, n_controls, fixed..., control half-words``.

Source: specs/spinnaker.md section 1.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import IntArray


@dataclass(frozen=True, eq=False)
class Row:
    """One row, taken apart.

    Attributes:
        fixed: words of static synapses.
        plastic: the plastic part (last pre time, pre trace, weights in half-words); empty if there is none.
        controls: half-words of the plastic synapses, same low bits as a fixed word.
    """

    fixed: IntArray
    plastic: npt.NDArray[np.uint32]
    controls: IntArray

    @property
    def weights(self) -> IntArray:
        """Weights of the plastic synapses."""
        halves = np.ascontiguousarray(self.plastic[2:]).view("<u2")
        return halves[: len(self.controls)].astype(np.int64)


def parse(words: npt.NDArray[Any]) -> Row:
    """Takes one row apart; padding behind it is ignored."""
    row = np.ascontiguousarray(words, dtype="<u4")
    plastic = int(row[0])
    fixed, controls = int(row[1 + plastic]), int(row[2 + plastic])
    start = 3 + plastic
    tail = np.ascontiguousarray(row[start + fixed :]).view("<u2")
    return Row(row[start : start + fixed].astype(np.int64), row[1 : 1 + plastic], tail[:controls].astype(np.int64))
