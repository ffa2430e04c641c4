"""What lies in a SLAYER ``.net`` file: one record of fields per layer. Nothing is trusted or executed.

The file is HDF5, read with bounds in a process of its own (:mod:`snnc.formats.hdf5_read`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from snnc.errors import InputError, Violation
from snnc.formats import hdf5_read
from snnc.formats.hdf5_read import LIMITS, read_content
from snnc.formats.hdf5_tree import Group, Limits, Value
from snnc.ir import IntArray

__all__ = ["Record", "read_content", "read_records"]
MAX_LAYERS = 1000
MAX_FIELDS = 100
MAX_DEPTH = 3
HINT = "is this a SLAYER network file?"


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


def read_records(content: bytes, where: str, limits: Limits = LIMITS) -> tuple[Record, ...]:
    """The layers in order.

    Args:
        content: the file's bytes.
        where: what messages call the file.
        limits: bounds.

    Raises:
        InputError: h5py is missing, or the file is damaged, too large, or has no layers 0, 1, 2, ...
    """
    file = hdf5_read.read_hdf5(content, where, "slayer", limits)
    layers = hdf5_read.member(file, "layer", where, HINT)
    return tuple(_record(hdf5_read.member(layers, key, where, HINT), key, where) for key in _numbered(layers, where))


def _numbered(group: Group | Value, where: str) -> list[str]:
    """The keys 0, 1, 2, ... in order, and nothing else."""
    found = set(group.members) if isinstance(group, Group) else set()
    if not 1 <= len(found) <= MAX_LAYERS:
        raise InputError(f"{where}: {len(found)} layers, allowed are 1 to {MAX_LAYERS}")
    wanted = [str(index) for index in range(len(found))]
    if found != set(wanted):
        strange = ", ".join(sorted(found - set(wanted))[:5])
        raise InputError(f"{where}: {len(found)} layers are called 0 to {len(found) - 1}, not {strange}")
    return wanted


def _record(group: Group | Value, key: str, where: str) -> Record:
    """All fields of a layer."""
    fields: dict[str, Value] = {}
    if not isinstance(group, Group):
        raise InputError(f"{where}: layer {key} is data where a group is expected")
    _collect(group, "", fields, where, 0)
    return Record(where, f"layer{key}", MappingProxyType(fields))


def _collect(group: Group, prefix: str, fields: dict[str, Value], where: str, depth: int) -> None:
    if depth > MAX_DEPTH or len(fields) + len(group.members) > MAX_FIELDS:
        raise InputError(f"{where}: {group.path} has more than {MAX_FIELDS} fields or {MAX_DEPTH} levels")
    for key in group.members:
        item = hdf5_read.member(group, key, where, HINT)
        if isinstance(item, Group):
            _collect(item, f"{prefix}{key}/", fields, where, depth + 1)
        else:
            fields[prefix + key] = _plain(item, f"{where}: {group.path}/{key}")


def _plain(value: Value, what: str) -> Value:
    """Numbers of any shape, or one text."""
    if isinstance(value, str) or value.dtype.kind != "O":
        return value
    if value.size != 1:
        raise InputError(f"{what} holds {value.size} texts, allowed is one")
    return str(value.flat[0])
