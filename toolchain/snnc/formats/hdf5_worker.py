"""The process in which the HDF5 library reads: files come in on stdin, trees go out on stdout.

A damaged file may crash the library, keep it busy for ever or make it ask for any amount of memory. Here that costs
this process, which has limits; the one that asked lives on. A request is the length of a head and of the content,
the head (JSON: the limits) and the content; an answer is ``t`` (tree) or ``e`` (error), a length and the bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, Any

from snnc.errors import InputError
from snnc.formats.hdf5_tree import MAX_RATIO, Limits, pack, walk

SIZE = 8
ROOM = 64 << 20


def main() -> None:
    """Answers until stdin ends."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while len(lengths := stdin.read(2 * SIZE)) == 2 * SIZE:
        head = stdin.read(int.from_bytes(lengths[:SIZE], "little"))
        content = stdin.read(int.from_bytes(lengths[SIZE:], "little"))
        kind, found = _answer(content, Limits(**json.loads(head)))
        stdout.write(kind + len(found).to_bytes(SIZE, "little"))
        stdout.write(found)
        stdout.flush()


def _answer(content: bytes, limits: Limits) -> tuple[bytes, bytes]:
    try:
        _limit(len(content), limits)
        return b"t", pack(walk(content, limits))
    except InputError as error:
        return b"e", error.message.encode("utf-8", "backslashreplace")
    except (MemoryError, RecursionError) as error:
        return b"e", f"the HDF5 file is damaged: it needs too much memory ({error!r})".encode()


def _limit(size: int, limits: Limits) -> None:
    """Bounds memory and time of the next file. Systems without the module resource have the deadline alone."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + limits.seconds + (size >> 20) / 10) + 1
    memory = _held() + ROOM + 2 * size + 4 * min(limits.unpacked, MAX_RATIO * size)
    for what, value in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory)):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _held() -> int:
    """Bytes of address space that this process holds; a generous guess where the system does not say."""
    try:
        import resource

        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        return int(pages) * resource.getpagesize()
    except (OSError, ValueError, ImportError):
        return 4 << 30


def request(content: bytes, limits: dict[str, Any], out: IO[bytes]) -> None:
    """Writes one request."""
    head = json.dumps(limits).encode()
    out.write(len(head).to_bytes(SIZE, "little") + len(content).to_bytes(SIZE, "little") + head)
    out.write(content)
    out.flush()
