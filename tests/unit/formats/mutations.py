"""Damage for files: bytes that are changed, cut or spliced, and members that are exchanged for others."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

WORDS = (0, 1, 2, 3, 7, 8, 16, 255, 1 << 15, (1 << 16) - 1, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, (1 << 63) - 1,
         (1 << 64) - 1)  # fmt: skip
TEXTS = ("", "LIF", "Conv2d", "NIRGraph", "Input", "Output", "same", "\ud800", "\x1b[31m", "a b", "n0", "x" * 300)
NUMBERS = (0, 1, -1, 2, 3, 0.5, -2.5, 1e-300, 1e300, float("nan"), float("inf"), 1 << 31, 1 << 62)
SHAPES = ((), (0,), (1,), (3,), (2, 3), (1, 1, 3), (0, 5), (3, 0, 2), (1, 1, 1, 1, 1))


def bytewise(rng: random.Random, files: Sequence[bytes]) -> bytes:
    """One of the files after a few changes of its bytes; places that are not zero are hit more often."""
    content = bytearray(rng.choice(files))
    used = np.flatnonzero(np.frombuffer(content, dtype=np.uint8))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(max(len(content), 1))
        if len(used) and rng.random() < 0.6:
            at = int(rng.choice(used))
        kind = rng.choices(range(5), (6, 6, 4, 1, 1))[0]
        if kind == 0 and at < len(content):
            content[at] ^= rng.randint(1, 255)
        elif kind == 1:
            size = rng.choice((1, 2, 4, 8))
            content[at : at + size] = (rng.choice(WORDS) % (1 << 8 * size)).to_bytes(size, "little")
        elif kind == 2:
            other = rng.choice(files)
            start, size = rng.randrange(len(other)), rng.randint(1, 64)
            content[at : at + size] = other[start : start + size]
        elif kind == 3:
            del content[at : at + rng.randint(1, 16)]
        else:
            del content[max(at, 4) :]
    return bytes(content)


def value(rng: random.Random) -> Any:
    """Text, a number or an array of any shape, for a member of a file."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice([text for text in TEXTS if text.isascii()])
    if kind == 1:
        return rng.choice(NUMBERS)
    shape, number = rng.choice(SHAPES), rng.choice(NUMBERS)
    return np.full(shape, float(number)) if kind == 2 else np.full(shape, str(number), dtype=object)


def hdf5(rng: random.Random, files: Sequence[bytes]) -> bytes:
    """One of the files with members removed, exchanged, copied, or of another shape or value."""
    buffer = io.BytesIO(rng.choice(files))
    with h5py.File(buffer, "r+") as file:
        for _ in range(rng.randint(1, 3)):
            names: list[str] = []
            file.visit(names.append)
            if names:
                _member(rng, file, rng.choice(names), rng.choice(names))
    return buffer.getvalue()


def _member(rng: random.Random, file: h5py.File, name: str, other: str) -> None:
    kind, apart = rng.randrange(5), not (f"{other}/".startswith(f"{name}/") or f"{name}/".startswith(f"{other}/"))
    if kind == 0:
        del file[name]
    elif kind == 1 and apart:
        del file[name]
        file.copy(other, name)
    elif isinstance(file[name], h5py.Dataset):
        found = value(rng)
        if kind == 2 and file[name].size:
            found = np.resize(np.ravel(file[name][()]), rng.choice(SHAPES))
        array = np.asarray(found)
        dtype = h5py.string_dtype() if array.dtype.kind in "OSU" else array.dtype
        del file[name]
        file.create_dataset(name, array.shape, dtype, found if array.size else None)


def jsons(rng: random.Random, text: str) -> str:
    """A JSON text with some of its values exchanged or removed."""
    tree = json.loads(text)
    for _ in range(rng.randint(1, 3)):
        holders: list[Any] = []
        waiting = [tree]
        while waiting:
            found = waiting.pop()
            if isinstance(found, (dict, list)) and found:
                holders.append(found)
                waiting += found.values() if isinstance(found, dict) else found
        if holders:
            holder = rng.choice(holders)
            key = rng.choice(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
            if rng.random() < 0.2:
                del holder[key]
            else:
                simple = [*TEXTS, *NUMBERS, None, True, False]
                holder[key] = rng.choice([*simple, json.loads(json.dumps(rng.choice(holders)))])
    return json.dumps(tree)
