"""Delay-extension cores: they keep spikes for whole stages and send them again, where a ring buffer alone is too short.

sPyNNaker puts one behind a population as soon as a delay into some population is longer than that population's ring.
Of a delay of ``d`` steps into a ring of ``R`` slots, ``stages(d, R)`` times ``R`` pass in the extension and the rest,
1 to ``R``, in the ring. Equality with the release program ``delay_extension.aplx`` is tested word for word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Extension:
    """What stands between a population and whoever hears it late.

    Attributes:
        source: population or source whose spikes are kept.
        size: its neurons.
        reach: steps of one stage: the ring slots of every population that it sends to.
        stages: how many stages it sends after; stage ``n`` sends ``n * reach`` steps late.
    """

    source: str
    size: int
    reach: int
    stages: int

    @property
    def slots(self) -> int:
        """Steps that the program has memory for."""
        return slots(self.stages, self.reach)


def stages(delay: int, reach: int) -> int:
    """Stages of a delay extension that a delay needs when ring buffers reach ``reach`` steps; 0: none."""
    return (delay - 1) // reach


def slots(count: int, reach: int) -> int:
    """Steps for which the program keeps spikes: the first power of two above its longest delay."""
    return 1 << (count * reach).bit_length()


class DelayCore:
    """The state of an extension over a batch.

    In a tick it first sends, for each stage, what came in that stage's delay ago, then forgets the slot that this
    tick's packets will fill, and then they arrive.
    """

    def __init__(self, extension: Extension, batch: int) -> None:
        self.extension = extension
        self.kept = np.zeros((extension.slots, batch, extension.size), dtype=bool)

    def step(self, time: int) -> tuple[BoolArray, ...]:
        """What stages 1, 2, ... send in a tick, [batch, n] each."""
        reach = self.extension.reach
        late = range(reach, (self.extension.stages + 1) * reach, reach)
        sent = tuple(self.kept[(time - steps) % len(self.kept)].copy() for steps in late)
        self.kept[time % len(self.kept)] = False
        return sent

    def receive(self, time: int, spikes: npt.NDArray[Any]) -> None:
        """Packets [batch, n] of a tick arrive."""
        self.kept[time % len(self.kept)] |= spikes != 0
