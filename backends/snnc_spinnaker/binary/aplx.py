"""SpiNNaker program files (.aplx): a list of copy and fill orders, followed by the bytes they copy."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from snnc.errors import SnncError

COPY_FROM_FILE, COPY_FROM_HERE, FILL, START, END = 1, 2, 3, 4, 0xFFFFFFFF
MAX_ORDERS = 256
ITCM_SIZE = 0x8000
WAIT = 0xEE070F90
"""``mcr p15, 0, r0, c7, c0, 4``: sleep until an interrupt line is up."""
RESTORE, RESTORE_MASK, RETURN = 0xE120F000, 0xFFF0FFFF, 0xE12FFF1E
"""``msr cpsr_x, r0`` with any x, then ``bx lr``: the end of what allows interrupts again."""


@dataclass(frozen=True)
class Image:
    """A program as it lies in the core's memory.

    Attributes:
        path: the file.
        blocks: (address, content).
    """

    path: Path
    blocks: tuple[tuple[int, bytes], ...]

    @cached_property
    def code(self) -> bytes:
        """Instruction memory after loading."""
        memory = bytearray(ITCM_SIZE)
        for address, content in self.blocks:
            if address + len(content) <= ITCM_SIZE:
                memory[address : address + len(content)] = content
        return bytes(memory)

    @cached_property
    def waits(self) -> tuple[int, ...]:
        """Addresses of the instructions that wait for an interrupt."""
        words = np.frombuffer(self.code, dtype="<u4")
        return tuple(int(at) * 4 for at in np.flatnonzero(words == WAIT))

    @cached_property
    def openings(self) -> tuple[int, ...]:
        """Addresses of the returns at which interrupts may just have been allowed again."""
        words = np.frombuffer(self.code, dtype="<u4")
        found = ((words[:-1] & RESTORE_MASK) == RESTORE) & (words[1:] == RETURN)
        return tuple(int(at) * 4 + 4 for at in np.flatnonzero(found))


@lru_cache(maxsize=32)
def load(path: Path) -> Image:
    """Reads a program.

    Raises:
        SnncError: the file is missing or is no program.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SnncError(f"{path} cannot be read: {error.strerror}") from error
    blocks: list[tuple[int, bytes]] = []
    for at in range(0, 16 * MAX_ORDERS, 16):
        if at + 16 > len(content):
            break
        order, address, first, last = struct.unpack_from("<4I", content, at)
        if order in (START, END, END & 0xFF):
            return Image(path, tuple(blocks))
        if order == FILL:
            blocks.append((address, struct.pack("<I", last) * (first // 4)))
        elif order in (COPY_FROM_FILE, COPY_FROM_HERE):
            start = first + (at if order == COPY_FROM_HERE else 0)
            blocks.append((address, content[start : start + last]))
        else:
            break
    raise SnncError(f"{path} is no SpiNNaker program: order {len(blocks)} is unknown")
