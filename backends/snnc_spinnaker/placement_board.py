"""The virtual 48-chip board: which chips there are, their cores, and who is next to whom.

Source: specs/spinnaker.md section 1.9; the list of chips with 17 cores is that of SpiNNMachine 7.4.1.
"""

from __future__ import annotations

from collections import deque
from functools import cache

Chip = tuple[int, int]
LINKS: tuple[Chip, ...] = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
"""Steps of links 0 to 5: east, north-east, north, west, south-west, south."""
ETHERNET: Chip = (0, 0)
NARROW = frozenset({(1, 1), (1, 3), (3, 1), (3, 3), (3, 5), (5, 2), (5, 4), (5, 6)})
"""Chips with 17 cores; the others have 18."""
CHIPS: tuple[Chip, ...] = tuple((x, y) for x in range(8) for y in range(max(0, x - 4), min(8, x + 4)))
"""Chips of the board in the order in which a placement starts on them."""


def cores(chip: Chip) -> tuple[int, ...]:
    """Cores that programs may use: all but the monitor, the second monitor and, on one chip, the packet gatherer."""
    return tuple(range(3 if chip == ETHERNET else 2, 17 if chip in NARROW else 18))


def neighbours(chip: Chip) -> tuple[tuple[int, Chip], ...]:
    """(link, chip at its other end), in the order of links."""
    near = ((link, (chip[0] + dx, chip[1] + dy)) for link, (dx, dy) in enumerate(LINKS))
    return tuple((link, other) for link, other in near if other in _ALL)


@cache
def toward(source: Chip) -> dict[Chip, tuple[Chip, int]]:
    """A shortest-path tree: chip -> (the chip before it on the way from ``source``, the link taken there)."""
    found: dict[Chip, tuple[Chip, int]] = {}
    waiting = deque([source])
    while waiting:
        chip = waiting.popleft()
        for link, other in neighbours(chip):
            if other != source and other not in found:
                found[other] = (chip, link)
                waiting.append(other)
    return found


_ALL = frozenset(CHIPS)
