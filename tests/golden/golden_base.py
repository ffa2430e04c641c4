"""What all kinds of golden vectors share: reading a file, recognising it by its fields, counting differences."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from snnc.trace import load_npz

Data = Mapping[str, Any]
SUFFIXES = (".npz", ".json")


@dataclass
class Tally:
    """Values compared, one line for each quantity that differs, and the parts that nothing executes."""

    compared: int = 0
    mismatches: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def same(self, name: str, got: Any, want: Any, tolerance: float = 0.0) -> None:
        """Compares an array of the executor with the vector's; integers exactly, floats to the tolerance."""
        ours, theirs = np.asarray(got), np.asarray(want)
        if theirs.size == 0:
            self.mismatches[name] = "the vector holds no number to compare"
        elif ours.shape != theirs.shape:
            self.mismatches[name] = f"the vector has shape {theirs.shape}, the executor {ours.shape}"
        else:
            self.compared += int(theirs.size)
            differ = ours.astype(theirs.dtype) - theirs if tolerance else _whole(ours) != _whole(theirs)
            places = np.argwhere(np.abs(differ) > tolerance if tolerance else differ)
            if len(places):
                at = tuple(int(i) for i in places[0])
                first = f"first at {list(at)}: vector {theirs[at]}, executor {ours[at]}"
                self.mismatches[name] = f"{len(places)} of {theirs.size} differ, {first}"


def _whole(values: Any) -> Any:
    """Integers wide enough that no comparison wraps; floats stay what they are."""
    return values if values.dtype.kind == "f" else values.astype(np.int64)


class Fields(Mapping[str, Any]):
    """The fields of a file, which remember who was looked at: what is not compared is not passed."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.used: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        value = self.data[key]
        self.used.add(key)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class Kind:
    """A kind of vector file.

    Attributes:
        name: what the file is called in shared collections of vectors.
        needs: fields by which it is recognised.
        check: replays the file, or None if nothing in the project executes what it holds.
        inputs: regular expression of fields that are notes or sources of other fields, not results.
    """

    name: str
    needs: frozenset[str]
    check: Callable[[Data, Tally], None] | None = None
    inputs: str = "meta"

    def fits(self, data: Data) -> bool:
        """True if the file holds every field that this kind needs."""
        return self.needs <= set(data)

    def run(self, data: Data) -> Tally:
        """Replays the file; a field that the replay did not look at and does not call missing is a mismatch."""
        tally = Tally()
        if self.check is None:
            tally.missing["file"] = f"recognised as {self.name}"
            return tally
        fields = Fields(data)
        self.check(fields, tally)
        for key in sorted(set(data) - fields.used):
            if not re.fullmatch(self.inputs, key) and not any(fnmatch(key, part) for part in tally.missing):
                tally.mismatches[key] = f"{self.name} has no such field, so that nothing compared it"
        return tally


def read(path: Path) -> Data:
    """All fields of a vector file.

    Raises:
        TraceError: damaged .npz.
        ValueError: damaged .json.
    """
    if path.suffix == ".npz":
        return load_npz(path)
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: a vector file holds an object, not {type(content).__name__}")
    return content


def vector_files(folder: Path) -> list[Path]:
    """The vector files of a folder; read-me files, scripts and sub-folders are none."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES)


def report(name: str, tally: Tally) -> list[str]:
    """What happened, for people: the count, then one line for each reason to fail."""
    lines = [f"{name}: {tally.compared} values, {len(tally.mismatches)} quantities differing"]
    if not tally.mismatches:
        lines = [f"{name}: {tally.compared} values, 0 differing"]
    lines += [f"  {key}: {text}" for key, text in tally.mismatches.items()]
    lines += [f"  {key}: {text}, not executed by any executor yet" for key, text in tally.missing.items()]
    if not tally.compared and len(lines) == 1:
        lines.append("  nothing was compared")
    return lines


def meta(data: Data) -> dict[str, Any]:
    """The scalar parameters of a file."""
    found = json.loads(str(data["meta"]))
    assert isinstance(found, dict)
    return found
