"""Damage for files: bytes that are changed, cut or spliced, and members that are exchanged for others."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

Damage = Callable[[bytes], bytes]
WORDS = (0, 1, 2, 3, 7, 8, 16, 255, 1 << 15, (1 << 16) - 1, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, (1 << 63) - 1,
         (1 << 64) - 1)  # fmt: skip
TEXTS = ("", "LIF", "Conv2d", "NIRGraph", "Input", "Output", "same", "\ud800", "\x1b[31m", "a b", "n0", "x" * 300)
NUMBERS = (0, 1, -1, 2, 3, 0.5, -2.5, 1e-300, 1e300, float("nan"), float("inf"), 1 << 31, 1 << 62)
SHAPES = ((), (0,), (1,), (3,), (2, 3), (1, 1, 3), (0, 5), (3, 0, 2), (1, 1, 1, 1, 1))


def _one(draw: st.DrawFn, files: Sequence[bytes]) -> bytes:
    return files[draw(st.integers(0, len(files) - 1))]


@st.composite
def bytewise(draw: st.DrawFn, files: Sequence[bytes]) -> bytes:
    """One of the files after a few changes of its bytes; places that are not zero are hit more often."""
    content = bytearray(_one(draw, files))
    used = np.flatnonzero(np.frombuffer(content, dtype=np.uint8))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        if len(used) and draw(st.booleans()):
            at = int(used[at % len(used)])
        kind = draw(st.integers(0, 4))
        if kind == 0 and at < len(content):
            content[at] ^= draw(st.integers(1, 255))
        elif kind == 1:
            size = draw(st.sampled_from((1, 2, 4, 8)))
            word = draw(st.sampled_from(WORDS)) % (1 << 8 * size)
            content[at : at + size] = word.to_bytes(size, "little")
        elif kind == 2:
            other = _one(draw, files)
            start, size = draw(st.integers(0, len(other) - 1)), draw(st.integers(1, 64))
            content[at : at + size] = other[start : start + size]
        elif kind == 3:
            del content[at : at + draw(st.integers(1, 16))]
        else:
            del content[max(at, 4) :]
    return bytes(content)


@st.composite
def values(draw: st.DrawFn) -> Any:
    """Text, numbers or arrays of any shape, for a member of a file."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.sampled_from([text for text in TEXTS if text.isascii()]))
    if kind == 1:
        return draw(st.sampled_from(NUMBERS))
    shape, number = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(NUMBERS))
    if kind == 2:
        return np.full(shape, float(number))
    return np.full(shape, str(number), dtype=object)


@st.composite
def hdf5(draw: st.DrawFn, files: Sequence[bytes]) -> bytes:
    """One of the files with members removed, exchanged, copied or with other values."""
    buffer = io.BytesIO(_one(draw, files))
    with h5py.File(buffer, "r+") as file:
        for _ in range(draw(st.integers(1, 3))):
            names: list[str] = []
            file.visit(names.append)
            if not names:
                break
            name, other = draw(st.sampled_from(names)), draw(st.sampled_from(names))
            kind = draw(st.integers(0, 4))
            if kind == 0:
                del file[name]
            elif kind == 1 and name != other and not other.startswith(f"{name}/") and not name.startswith(f"{other}/"):
                del file[name]
                if other in file:
                    file.copy(other, name)
            elif kind == 2 and isinstance(file[name], h5py.Dataset) and file[name].shape:
                moved = np.resize(file[name][()].ravel(), draw(st.sampled_from(SHAPES)))
                text = h5py.check_string_dtype(file[name].dtype)
                del file[name]
                file.create_dataset(name, data=moved, dtype=h5py.string_dtype() if text else None)
            elif isinstance(file[name], h5py.Dataset):
                value = draw(values())
                del file[name]
                text = isinstance(value, np.ndarray) and value.dtype == object
                file.create_dataset(name, data=value, dtype=h5py.string_dtype() if text else None)
    return buffer.getvalue()


@st.composite
def jsons(draw: st.DrawFn, text: str) -> str:
    """A JSON text with some of its values exchanged or removed."""
    tree = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        holders: list[Any] = []
        waiting = [tree]
        while waiting:
            found = waiting.pop()
            if isinstance(found, (dict, list)) and found:
                holders.append(found)
                waiting += found.values() if isinstance(found, dict) else found
        if not holders:
            break
        holder = draw(st.sampled_from(holders))
        key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else list(range(len(holder)))))
        if draw(st.integers(0, 4)) == 0:
            del holder[key]
        else:
            holder[key] = draw(_leaves(holders))
    return json.dumps(tree)


def _leaves(holders: list[Any]) -> st.SearchStrategy[Any]:
    copies = [json.loads(json.dumps(found)) for found in holders]
    simple = [*TEXTS, *NUMBERS, None, True, False]
    return st.one_of(st.sampled_from(simple), st.sampled_from(copies))
