"""Memory that a core shares with its chip: SDRAM, and the system RAM in which SC&MP keeps its structures.

Addresses and layouts are those of SARK's public structures (``sv``, ``vcpu``, heaps, shared message buffers). Every
core gets a chip's memory for itself: the programs that run here share nothing through it.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Mapping

from snnc.errors import SnncError

SDRAM, SDRAM_UNBUFFERED, SDRAM_SIZE = 0x60000000, 0x70000000, 128 << 20
SYSTEM, SYSTEM_UNBUFFERED, SYSTEM_SIZE = 0xE5000000, 0xF5000000, 0x8000
ALLOC_TAGS, APP_DATA, ROUTER_COPY = SDRAM + 0x600000, SDRAM + 0x6C0000, SDRAM + 0x700000
SYSTEM_HEAP, HEAP, DATA = SDRAM + 0x800000, SDRAM + 0x1000000, SDRAM + 0x4000000
SV, VCPU, MESSAGES = 0x7F00, 0x7000, 0x1000
MESSAGE_SIZE, MESSAGE_COUNT = 292, 8
MAX_CORES = 18
# Fields of sv: clock, heaps, alloc tags and the like.
CPU_CLOCK, MEMORY_CLOCK, HEAP_POINTER, IOBUF_SIZE = 0x24, 0x26, 0x4C, 0x50
ROUTER_POINTER, ROUTER_SIZE, FREE_MESSAGE = 0x54, 0x58, 0x68
PHYSICAL_TO_VIRTUAL, VIRTUAL_TO_PHYSICAL, CORE_COUNT = 0x94, 0xA8, 0xBC
VCPU_BASE, SYSTEM_HEAP_POINTER, ALLOC_TAG_POINTER, APP_DATA_POINTER, VERSION = 0xCC, 0xD0, 0xDC, 0xE4, 0xFC
# Fields of a core's vcpu block.
VCPU_SIZE, LINK, CODE, STATE, MESSAGE, COMMAND_IN, COMMAND_OUT = 128, 40, 44, 46, 48, 56, 57
IOBUF, USER = 88, 112
# The header of a data specification: magic, version, and per region address, checksum and size.
MAGIC, FORMAT_VERSION, MAX_REGIONS, REGION_ENTRY = 0xAD130AD6, 0x00010000, 32, 12


class Memory:
    """SDRAM and system RAM of one core.

    Attributes:
        core: its number on the chip.
        sdram, system: the bytes; unicorn maps them in place.
    """

    def __init__(self, core: int) -> None:
        self.core = core
        self.sdram = mmap.mmap(-1, SDRAM_SIZE)
        self.system = mmap.mmap(-1, SYSTEM_SIZE)
        self._addresses: dict[int, tuple[int, int]] = {}
        self._initialise()

    def pointers(self) -> dict[int, tuple[int, int]]:
        """Base address -> (size, host address) of every mapped range."""
        found: dict[int, tuple[int, int]] = {}
        for bases, store, size in (
            ((SDRAM, SDRAM_UNBUFFERED), self.sdram, SDRAM_SIZE),
            ((SYSTEM, SYSTEM_UNBUFFERED), self.system, SYSTEM_SIZE),
        ):
            host = ctypes.addressof(ctypes.c_char.from_buffer(store))
            found |= dict.fromkeys(bases, (size, host))
        return found

    def read(self, address: int, size: int) -> bytes:
        """Bytes of SDRAM, by either of its addresses."""
        at = address - (SDRAM_UNBUFFERED if address >= SDRAM_UNBUFFERED else SDRAM)
        if not 0 <= at <= SDRAM_SIZE - size:
            raise SnncError(f"core {self.core} gives {size} bytes at {address:#010x}, which is no SDRAM")
        return self.sdram[at : at + size]

    def word(self, address: int) -> int:
        """A word of SDRAM."""
        return int.from_bytes(self.read(address, 4), "little")

    def write(self, address: int, content: bytes) -> None:
        """Writes to SDRAM."""
        self.sdram[address - SDRAM : address - SDRAM + len(content)] = content

    def words(self, address: int, *values: int) -> None:
        """Writes words to SDRAM."""
        self.write(address, struct.pack(f"<{len(values)}I", *values))

    def vcpu(self, field: int, size: int = 1) -> int:
        """A field of this core's block in system RAM."""
        at = VCPU + VCPU_SIZE * self.core + field
        return int.from_bytes(self.system[at : at + size], "little")

    def set_vcpu(self, field: int, value: int, size: int = 1) -> None:
        """Sets a field of this core's block."""
        self._put(VCPU + VCPU_SIZE * self.core + field, value, size)

    def system_word(self, offset: int) -> int:
        """A word of system RAM."""
        return int.from_bytes(self.system[offset : offset + 4], "little")

    def _put(self, offset: int, value: int, size: int = 4) -> None:
        self.system[offset : offset + size] = value.to_bytes(size, "little")

    def _initialise(self) -> None:
        """What SC&MP has set up when an application starts."""
        self._put(SV + CPU_CLOCK, 200, 2)
        self._put(SV + MEMORY_CLOCK, 130, 2)
        self._heap(SYSTEM_HEAP, HEAP)
        self._heap(HEAP, DATA)
        for field, value in (
            (HEAP_POINTER, HEAP), (SYSTEM_HEAP_POINTER, SYSTEM_HEAP), (IOBUF_SIZE, 16384),
            (ROUTER_POINTER, ROUTER_COPY), (ROUTER_SIZE, 1024), (VCPU_BASE, SYSTEM_UNBUFFERED + VCPU),
            (ALLOC_TAG_POINTER, ALLOC_TAGS), (APP_DATA_POINTER, APP_DATA), (VERSION, 0x0004FF00),
            (FREE_MESSAGE, SYSTEM_UNBUFFERED + MESSAGES),
        ):  # fmt: skip
            self._put(SV + field, value)
        for core in range(MAX_CORES + 2):
            self._put(SV + PHYSICAL_TO_VIRTUAL + core, core, 1)
            self._put(SV + VIRTUAL_TO_PHYSICAL + core, core, 1)
        self._put(SV + CORE_COUNT, MAX_CORES, 1)
        for number in range(MESSAGE_COUNT):
            at = MESSAGES + number * MESSAGE_SIZE
            self._put(at, SYSTEM_UNBUFFERED + at + MESSAGE_SIZE if number < MESSAGE_COUNT - 1 else 0)

    def _heap(self, base: int, top: int) -> None:
        """An empty heap: free list, first and last block, free bytes; a block is (next, free)."""
        first, last = base + 16, top - 8
        self.words(base, first, first, last, last - first - 8)
        self.words(first, last, 0)
        self.words(last, 0, 0)

    def load(self, regions: Mapping[int, tuple[int, bytes]]) -> dict[int, int]:
        """Lays out a data specification at ``DATA``.

        Args:
            regions: region -> (size in bytes, content).

        Returns:
            Region -> address.

        Raises:
            SnncError: it is larger than the space that is kept for it.
        """
        at = DATA + 8 + MAX_REGIONS * REGION_ENTRY
        entries = [0] * (3 * MAX_REGIONS)
        found = {}
        for number, (size, content) in sorted(regions.items()):
            at = (at + 15) & ~15
            room = max(size, len(content))
            if at + room > SDRAM + SDRAM_SIZE:
                raise SnncError(f"core {self.core}: its data take more than {(SDRAM + SDRAM_SIZE - DATA) >> 20} MB")
            self.write(at, content)
            found[number] = entries[3 * number] = at
            at += room
        self.words(DATA, MAGIC, FORMAT_VERSION, *entries)
        return found

    def take_message(self, content: bytes) -> None:
        """Hands the core a message through its mailbox, as the monitor core does."""
        at = self.system_word(SV + FREE_MESSAGE) - SYSTEM_UNBUFFERED
        self._put(SV + FREE_MESSAGE, self.system_word(at))
        self.system[at : at + len(content)] = content
        self.set_vcpu(MESSAGE, SYSTEM_UNBUFFERED + at, 4)
        self.set_vcpu(COMMAND_IN, 1)

    def log(self) -> str:
        """What the program wrote into its log buffers."""
        at, found = self.vcpu(IOBUF, 4), b""
        while at:
            following, _, _, size = struct.unpack("<4I", self.read(at, 16))
            found += self.read(at + 16, size)
            at = following
        return found.decode("latin1")
