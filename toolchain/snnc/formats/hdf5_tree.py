"""What lies in an HDF5 file: groups of arrays and texts, read with bounds. Nothing is trusted or executed.

Links, data in other files and object types are not followed. They stay in the tree as :class:`Refused`, so that a
member nobody asks for does no harm. :func:`walk` runs in a process of its own (:mod:`snnc.formats.hdf5_read`);
:func:`pack` and :func:`unpack` carry its answer.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError

# Deflate packs at most 1,032 bytes into one; what claims more was never written.
MAX_RATIO = 1100
# What h5py and HDF5 raise on damaged files.
DAMAGE = (
    OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError, MemoryError, OverflowError,
)  # fmt: skip
HEAD = 8
Value = npt.NDArray[Any] | str


@dataclass(frozen=True)
class Limits:
    """Bounds of one file.

    Attributes:
        file: bytes of the file.
        unpacked: bytes of all arrays and texts.
        objects: members of all groups.
        depth: groups inside groups.
        seconds: time for a file of no size; larger ones get a second per 10 MiB more.
    """

    file: int = 1 << 30
    unpacked: int = 1 << 30
    objects: int = 100_000
    depth: int = 40
    seconds: float = 10.0


@dataclass(frozen=True)
class Refused:
    """A member that is not read.

    Attributes:
        reason: completes "the member ...".
    """

    reason: str


@dataclass(frozen=True, eq=False)
class Group:
    """Members by name, in sorted order.

    Attributes:
        path: where it lies in the file.
        members: numbers, text, groups, or what is not read.
    """

    path: str
    members: Mapping[str, Value | Group | Refused]


Member = Value | Group | Refused


def walk(content: bytes, limits: Limits) -> Group:
    """Reads a whole file.

    Raises:
        InputError: the file is damaged or exceeds a limit; the message does not name the file.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            return _Walk(h5py, limits, len(content)).group(file, "", 0)
    except DAMAGE as error:
        raise InputError(f"the HDF5 file is damaged: {printable(str(error))}") from error


def printable(text: str) -> str:
    """The text with what a terminal could not show, or would obey, escaped."""
    return text if text.isprintable() else ascii(text)[1:-1]


class _Walk:
    """Reads members in place and counts what it has read."""

    def __init__(self, h5py: Any, limits: Limits, size: int) -> None:
        self.h5py, self.limits, self.size = h5py, limits, size
        self.objects = self.bytes = 0

    def group(self, group: Any, path: str, depth: int) -> Group:
        self.objects += len(group)
        if self.objects > self.limits.objects:
            raise InputError(f"more than {self.limits.objects} objects")
        return Group(path or "/", {printable(k): self.member(group, k, path, depth) for k in sorted(group)})

    def member(self, group: Any, key: str, path: str, depth: int) -> Member:
        if not isinstance(group.get(key, getlink=True), self.h5py.HardLink):
            return Refused("is a link; only data in place is read")
        try:
            found = group[key]
        except DAMAGE as error:
            return Refused(f"is damaged: {printable(str(error))}")
        if isinstance(found, self.h5py.Group):
            if depth >= self.limits.depth:
                return Refused(f"lies more than {self.limits.depth} deep")
            return self.group(found, f"{path}/{printable(key)}", depth + 1)
        if not isinstance(found, self.h5py.Dataset):
            return Refused("is neither data nor a group")
        return self.value(found)

    def value(self, data: Any) -> Value | Refused:
        """A dataset as an array of numbers or of text, or as one text."""
        try:
            wrong = self.wrong(data)
            if wrong:
                return Refused(wrong)
            if self.h5py.check_string_dtype(data.dtype) is None:
                return np.asarray(data[()])
            found = np.asarray(data.asstr()[()], dtype=object)
        except DAMAGE as error:
            return Refused(f"is damaged: {printable(str(error))}")
        self.count(sum(len(text) for text in found.flat))
        return printable(str(found.item())) if found.ndim == 0 else found

    def wrong(self, data: Any) -> str:
        """Why a dataset is not read; empty if it is."""
        if data.shape is None:
            return "holds no data"
        if data.is_virtual or data.external:
            return "lies in another file; only data in place is read"
        if self.h5py.check_string_dtype(data.dtype) is None and data.dtype.kind not in "biuf":
            return f"is {data.dtype}; only numbers and text are read"
        size = max(data.dtype.itemsize, 1) * math.prod(data.shape)
        held = self.size if data.chunks is None else MAX_RATIO * min(int(data.id.get_storage_size()), self.size)
        if size > held:
            return f"claims {size} bytes, which the file does not hold"
        self.count(size)
        return ""

    def count(self, size: int) -> None:
        """Adds to the bytes of the whole file."""
        self.bytes += size
        if self.bytes > self.limits.unpacked:
            raise InputError(f"more than {self.limits.unpacked} bytes unpacked")


def pack(tree: Group) -> bytes:
    """A tree as bytes: the length of a JSON head, the head, and the numbers behind each other."""
    parts: list[bytes] = []
    head = json.dumps(_packed(tree, parts, [0])).encode()
    return b"".join([len(head).to_bytes(HEAD, "little"), head, *parts])


def _packed(member: Member, parts: list[bytes], at: list[int]) -> list[Any]:
    if isinstance(member, Group):
        return ["group", member.path, {key: _packed(value, parts, at) for key, value in member.members.items()}]
    if isinstance(member, Refused):
        return ["refused", member.reason]
    if isinstance(member, str):
        return ["text", member]
    if member.dtype.kind == "O":
        return ["texts", list(member.shape), [printable(str(text)) for text in member.flat]]
    parts.append(member.tobytes())
    at[0] += member.nbytes
    return ["array", member.dtype.str, list(member.shape), at[0] - member.nbytes]


def unpack(data: bytes) -> Group:
    """What :func:`pack` packed.

    Raises:
        ValueError, LookupError, TypeError: the bytes are something else.
    """
    start = HEAD + int.from_bytes(data[:HEAD], "little")
    found = _unpacked(json.loads(data[HEAD:start]), memoryview(data)[start:])
    if not isinstance(found, Group):
        raise TypeError("no group")
    return found


def _unpacked(entry: Any, numbers: memoryview) -> Member:
    kind, rest = entry[0], entry[1:]
    if kind == "group":
        return Group(rest[0], {key: _unpacked(value, numbers) for key, value in rest[1].items()})
    if kind == "refused":
        return Refused(str(rest[0]))
    if kind == "text":
        return str(rest[0])
    if kind == "texts":
        texts = np.empty(len(rest[1]), dtype=object)
        texts[:] = rest[1]
        return np.asarray(texts.reshape(rest[0]))
    dtype = np.dtype(rest[0])
    if dtype.kind not in "biuf":
        raise TypeError("no numbers")
    return np.asarray(np.frombuffer(numbers, dtype, math.prod(rest[1]), rest[2]).reshape(rest[1]))
