"""What lies in a SLAYER ``.net`` file: one record of fields per layer. Nothing is trusted or executed.

The file is HDF5. It is read with bounded sizes, without following links to other places or other files, and without
object types, so that a damaged or hostile file ends as an InputError.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, Violation
from snnc.formats.hdf5_check import check_hdf5
from snnc.ir import IntArray

MAX_FILE = 1 << 30
MAX_UNPACKED = 1 << 30
MAX_LAYERS = 1000
MAX_FIELDS = 100
MAX_DEPTH = 3
# What h5py and HDF5 raise on damaged files.
DAMAGE = (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError, MemoryError, OverflowError)
Value = npt.NDArray[Any] | str


@dataclass(frozen=True, eq=False)
class Record:
    """The fields of one layer.

    Attributes:
        where: what messages call the file.
        name: ``layer<index>``.
        fields: path below the layer (``neuron/vThMant``) -> text or numbers.
    """

    where: str
    name: str
    fields: Mapping[str, Value]

    def wrong(self, key: str, found: str, allowed: str, fix: str = "") -> InputError:
        """The error for one field."""
        return InputError(f"{self.where}: {Violation(self.name, key, found, allowed, fix)}")

    def __contains__(self, key: str) -> bool:
        return key in self.fields or any(name.startswith(f"{key}/") for name in self.fields)

    def text(self, key: str) -> str:
        """A field that holds one word."""
        value = self._value(key, "a word")
        if not isinstance(value, str):
            raise self.wrong(key, f"{value.dtype} {value.shape}", "a word")
        return value

    def integers(self, key: str, low: int, high: int) -> IntArray:
        """A field that holds whole numbers (SLAYER stores many of them as float32), any shape.

        Raises:
            InputError: missing, no numbers, a fraction, NaN, or outside ``low`` to ``high``.
        """
        value = self._value(key, f"whole numbers from {low} to {high}")
        if isinstance(value, str):
            raise self.wrong(key, repr(value), f"whole numbers from {low} to {high}")
        array = np.asarray(value, dtype=np.float64)
        bad = ~np.isfinite(array) | (array != np.rint(array)) | (array < low) | (array > high)
        if np.any(bad):
            found = f"{array[bad].flat[0]:g} in {int(bad.sum())} of {array.size} places"
            raise self.wrong(key, found, f"whole numbers from {low} to {high}")
        return np.asarray(array, dtype=np.int64)

    def integer(self, key: str, low: int, high: int) -> int:
        """A field that holds one whole number; see :meth:`integers`."""
        array = self.integers(key, low, high)
        if array.size != 1:
            raise self.wrong(key, f"{array.size} numbers", "one number")
        return int(array.flat[0])

    def pair(self, key: str, low: int, high: int) -> tuple[int, int]:
        """One number for both spatial axes, or one for each (rows, columns)."""
        array = self.integers(key, low, high).reshape(-1)
        if array.size not in (1, 2):
            raise self.wrong(key, f"{array.size} numbers", "one or two numbers")
        return int(array[0]), int(array[-1])

    def _value(self, key: str, allowed: str) -> Value:
        if key not in self.fields:
            raise self.wrong(key, "missing", allowed, "Export the network with slayer's export_hdf5.")
        return self.fields[key]


def read_content(path: Path) -> bytes:
    """The file's bytes, at most ``MAX_FILE``.

    Raises:
        InputError: it cannot be read or is larger.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise InputError(f"{path} has {path.stat().st_size} bytes, at most {MAX_FILE} are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def read_records(content: bytes, where: str) -> tuple[Record, ...]:
    """The layers in order.

    Args:
        content: the file's bytes.
        where: what messages call the file.

    Raises:
        InputError: h5py is missing, or the file is damaged, too large, or has no layers 0, 1, 2, ...
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{where}: .net files need h5py; pip install 'snnc[slayer]'") from error
    try:
        check_hdf5(content, where)
        with h5py.File(io.BytesIO(content), "r") as file:
            walk = _Walk(h5py, where)
            layers = walk.member(file, "layer")
            return tuple(walk.record(walk.member(layers, key), key) for key in walk.numbered(layers))
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{where} is no SLAYER network file or is damaged: {error}") from error


class _Walk:
    """Reads members in place and counts the bytes."""

    def __init__(self, h5py: Any, where: str) -> None:
        self.h5py, self.where, self.bytes = h5py, where, 0

    def member(self, group: Any, key: str) -> Any:
        """A member that lies in this file, at this place."""
        if not isinstance(group, self.h5py.Group) or key not in group:
            raise InputError(f"{self.where}: {group.name} has no member {key!r}; is this a SLAYER network file?")
        if not isinstance(group.get(key, getlink=True), self.h5py.HardLink):
            raise InputError(f"{self.where}: {key!r} in {group.name} is a link; only data in place is read")
        return group[key]

    def numbered(self, group: Any) -> list[str]:
        """The keys 0, 1, 2, ... in order, and nothing else."""
        count = len(group) if isinstance(group, self.h5py.Group) else 0
        if not 1 <= count <= MAX_LAYERS:
            raise InputError(f"{self.where}: {count} layers, allowed are 1 to {MAX_LAYERS}")
        wanted = [str(index) for index in range(count)]
        if set(group) != set(wanted):
            strange = ", ".join(sorted(set(group) - set(wanted))[:5])
            raise InputError(f"{self.where}: {count} layers are called 0 to {count - 1}, not {strange}")
        return wanted

    def record(self, group: Any, key: str) -> Record:
        """All fields of a layer."""
        fields: dict[str, Value] = {}
        self._collect(group, "", fields, 0)
        return Record(self.where, f"layer{key}", MappingProxyType(fields))

    def _collect(self, group: Any, prefix: str, fields: dict[str, Value], depth: int) -> None:
        if not isinstance(group, self.h5py.Group):
            raise InputError(f"{self.where}: {group.name} is data where a group is expected")
        if depth > MAX_DEPTH or len(fields) + len(group) > MAX_FIELDS:
            raise InputError(f"{self.where}: {group.name} has more than {MAX_FIELDS} fields or {MAX_DEPTH} levels")
        for key in sorted(group):
            item = self.member(group, key)
            if isinstance(item, self.h5py.Dataset):
                fields[prefix + key] = self._value(item)
            else:
                self._collect(item, f"{prefix}{key}/", fields, depth + 1)

    def _value(self, data: Any) -> Value:
        """Numbers of any shape, or the first of some texts."""
        if data.shape is None:
            raise InputError(f"{self.where}: {data.name} holds no data")
        if data.is_virtual or data.external:
            raise InputError(f"{self.where}: {data.name} lies in another file; only data in place is read")
        text = self.h5py.check_string_dtype(data.dtype) is not None
        if not text and data.dtype.kind not in "biuf":
            raise InputError(f"{self.where}: {data.name} is {data.dtype}; only numbers and text are read")
        self.bytes += max(data.dtype.itemsize, 1) * int(data.size)
        if self.bytes > MAX_UNPACKED:
            raise InputError(f"{self.where}: more than {MAX_UNPACKED} bytes unpacked")
        if not text:
            return np.asarray(data[()])
        found = np.asarray(data.asstr()[()], dtype=object).reshape(-1)
        if found.size != 1:
            raise InputError(f"{self.where}: {data.name} holds {found.size} texts, allowed is one")
        return str(found[0])
