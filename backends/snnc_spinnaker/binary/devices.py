"""A core's peripherals: interrupt controller, timer, DMA, communications and system controller.

Only what the release programs touch. Time is not modelled: a DMA transfer is done when it was asked for, and an
interrupt comes when the core waits for one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

TIMER, ANY_PACKET, DMA_DONE, CPU, MULTICAST = 4, 6, 12, 18, 24
ENABLED, SOURCE_MASK, SLOTS = 0x20, 0x1F, 16
FAST = -1
COMMS, TIMERS, VIC, DMA, SYSTEM_CONTROL = "comms", "timers", "vic", "dma", "system control"
BASES = {
    COMMS: (0x10000000, 0x20000000),
    TIMERS: (0x11000000, 0x21000000),
    VIC: (0x1F000000, 0x2F000000, 0xFFFFF000),
    DMA: (0x30000000, 0x40000000),
    SYSTEM_CONTROL: (0xE2000000, 0xF2000000),
}
Mover = Callable[[int, int, int], None]


class Devices:
    """The peripherals of one core.

    Attributes:
        sent: keys of packets that the core sent since it was last emptied.
        waiting: keys that have arrived and were not read.
        timer, dma_done, cpu: interrupts that are pending.
    """

    def __init__(self, core: int, move: Mover) -> None:
        """Args: core: its number; move: copies (from address, to address, bytes) in the core's memory."""
        self.core, self.move = core, move
        self.sent: list[int] = []
        self.waiting: deque[int] = deque()
        self.timer = self.dma_done = self.cpu = False
        self.soft = self.enabled = self.fast = 0
        self.vectors, self.slots = [0] * SLOTS, [0] * SLOTS
        self.current_vector = 0
        self._counter = 100_000
        self._dma: dict[int, int] = {}

    def raw(self) -> int:
        """Interrupt lines that are up."""
        lines = self.soft | self.timer << TIMER | self.dma_done << DMA_DONE | self.cpu << CPU
        return lines | (1 << MULTICAST | 1 << ANY_PACKET if self.waiting else 0)

    def pending(self) -> int | None:
        """Vector of the interrupt to take now, FAST for the fast one, or None."""
        up = self.raw() & self.enabled
        if up & self.fast:
            return FAST
        for vector, slot in zip(self.vectors, self.slots, strict=True):
            if slot & ENABLED and up >> (slot & SOURCE_MASK) & 1:
                return vector
        return None

    def handlers(self) -> dict[str, tuple[Callable[..., int], Callable[..., None]]]:
        """Device -> functions that read and write its registers, in unicorn's form."""
        return {
            COMMS: (self._read_comms, self._write_comms),
            TIMERS: (self._read_timers, self._write_timers),
            VIC: (self._read_vic, self._write_vic),
            DMA: (self._read_dma, self._write_dma),
            SYSTEM_CONTROL: (self._read_nothing, self._write_system),
        }

    def _read_nothing(self, _uc: Any, _offset: int, _size: int, _user: Any) -> int:
        return 0

    def _read_comms(self, _uc: Any, offset: int, _size: int, _user: Any) -> int:
        if offset == 0x00:
            return 0x90000000  # transmitter: empty, not full
        if offset == 0x14 and self.waiting:
            return self.waiting.popleft()
        return 0  # receiver status: multicast without payload

    def _write_comms(self, _uc: Any, offset: int, _size: int, value: int, _user: Any) -> None:
        if offset == 0x08:
            self.sent.append(value)

    def _read_timers(self, _uc: Any, offset: int, _size: int, _user: Any) -> int:
        if offset in (0x04, 0x24):
            self._counter -= 1
            return self._counter & 0xFFFFFFFF
        return 0

    def _write_timers(self, _uc: Any, offset: int, _size: int, _value: int, _user: Any) -> None:
        if offset == 0x0C:
            self.timer = False

    def _read_vic(self, _uc: Any, offset: int, _size: int, _user: Any) -> int:
        if 0x100 <= offset < 0x140:
            return self.vectors[(offset - 0x100) // 4]
        if 0x200 <= offset < 0x240:
            return self.slots[(offset - 0x200) // 4]
        raw = self.raw()
        known = {0x00: raw & self.enabled & ~self.fast, 0x04: raw & self.enabled & self.fast, 0x08: raw,
                 0x0C: self.fast, 0x10: self.enabled, 0x18: self.soft, 0x30: self.current_vector}  # fmt: skip
        return known.get(offset, 0)

    def _write_vic(self, _uc: Any, offset: int, _size: int, value: int, _user: Any) -> None:
        if 0x100 <= offset < 0x140:
            self.vectors[(offset - 0x100) // 4] = value
        elif 0x200 <= offset < 0x240:
            self.slots[(offset - 0x200) // 4] = value
        elif offset == 0x0C:
            self.fast = value
        elif offset == 0x10:
            self.enabled |= value
        elif offset == 0x14:
            self.enabled &= ~value
        elif offset == 0x18:
            self.soft |= value
        elif offset == 0x1C:
            self.soft &= ~value

    def _read_dma(self, _uc: Any, offset: int, _size: int, _user: Any) -> int:
        if offset == 0x14:
            return self.core << 24 | self.dma_done << 10
        return self._dma.get(offset, 0)

    def _write_dma(self, _uc: Any, offset: int, _size: int, value: int, _user: Any) -> None:
        if offset == 0x10:
            if value & 0x08 or value == 0x1F:
                self.dma_done = False
            return
        self._dma[offset] = value
        if offset == 0x0C:
            outside, inside = self._dma.get(0x04, 0), self._dma.get(0x08, 0)
            outward = value >> 19 & 1
            self.move(inside if outward else outside, outside if outward else inside, value & 0x1FFFF)
            self.dma_done = True

    def _write_system(self, _uc: Any, offset: int, _size: int, _value: int, _user: Any) -> None:
        if offset == 0x0C:
            self.cpu = False
