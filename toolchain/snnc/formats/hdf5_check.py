"""What is checked in the bytes of an HDF5 file before the HDF5 library sees them.

The library walks a damaged global heap (where text of any length lies) for ever: a free entry of size 0 leads to
itself. No time limit in the same process can stop it, so the heaps are walked here first.
"""

from __future__ import annotations

from snnc.errors import InputError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAP = b"GCOL"
HEAD = 16


def check_hdf5(content: bytes, where: str) -> None:
    """Refuses bytes that are no HDF5 file of the common layout, or whose global heaps are damaged.

    Args:
        content: the whole file.
        where: what messages call the file.

    Raises:
        InputError: says what is damaged.
    """
    versions = {0: 13, 1: 13, 2: 9, 3: 9}
    version = content[8] if len(content) > 48 else 255
    at = versions.get(version)
    if not content.startswith(SIGNATURE) or at is None:
        raise InputError(f"{where} is no HDF5 file or is damaged: no signature or superblock at its start")
    if content[at : at + 2] != b"\x08\x08":
        raise InputError(f"{where} is damaged or unusual: its HDF5 addresses do not have 8 bytes")
    start = content.find(HEAP)
    while start >= 0:
        if content[start + 4] == 1 and not _walks(content, start):
            raise InputError(f"{where} is damaged: the global heap at byte {start} has no end")
        start = content.find(HEAP, start + len(HEAP), len(content) - HEAD)


def _walks(content: bytes, start: int) -> bool:
    """True if the entries of a global heap lead to its end."""
    size = int.from_bytes(content[start + 8 : start + HEAD], "little")
    place, end = start + HEAD, min(start + size, len(content))
    while place + HEAD <= end:
        index = int.from_bytes(content[place : place + 2], "little")
        length = int.from_bytes(content[place + 8 : place + HEAD], "little")
        step = HEAD + (length + 7) // 8 * 8 if index else length
        if step <= 0:
            return False
        place += step
    return True
