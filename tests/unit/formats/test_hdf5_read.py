"""HDF5 files are read by a process of their own: it may crash, hang or ask for any memory; we get an error."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator

import h5py
import numpy as np
import pytest

from snnc.errors import InputError
from snnc.formats import hdf5_read
from snnc.formats.hdf5_tree import Group, Limits, Refused, pack, unpack, walk

START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from snnc.formats import hdf5_worker\n{}\n"
HARM = {
    "crash": "import os; hdf5_worker.walk = lambda *_: os.abort()",
    "exit": "sys.exit(3)",
    "hang": "import time; hdf5_worker.walk = lambda *_: time.sleep(60)",
    "babble": "sys.stdout.buffer.write(bytes(range(255, 100, -1))); sys.stdout.flush()",
    "memory": "hdf5_worker.walk = lambda *_: bytearray(1 << 28)",
    "recursion": "def walk(*_): return walk()\nhdf5_worker.walk = walk",
    "nonsense": "hdf5_worker.pack = lambda _: b'no tree'\nhdf5_worker.walk = lambda *_: None",
}


def file_bytes() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["a/numbers"] = np.arange(6, dtype=">i4").reshape(2, 3)
        file["a/text"] = "w\u00f6rd"
        file["a/texts"] = np.array([["x", "y"]], dtype=object)
        file["a/empty"] = np.zeros((0, 2))
        file["a/scalar"] = 2.5
        file["link"] = h5py.SoftLink("/a")
        file["bad\x1b[31m"] = 1
    return buffer.getvalue()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[hdf5_read._Worker]:
    own = hdf5_read._Worker()
    monkeypatch.setattr(hdf5_read, "_WORKER", own)
    yield own
    own.close()


def test_everything_comes_through(worker: hdf5_read._Worker) -> None:
    tree = hdf5_read.read_hdf5(file_bytes(), "x.h5", "nir")
    assert list(tree.members) == ["a", "bad\\x1b[31m", "link"], "names that a terminal would obey are escaped"
    assert isinstance(tree.members["link"], Refused)
    found = tree.members["a"]
    assert isinstance(found, Group)
    numbers, texts = found.members["numbers"], found.members["texts"]
    assert isinstance(numbers, np.ndarray)
    assert isinstance(texts, np.ndarray)
    np.testing.assert_array_equal(numbers, [[0, 1, 2], [3, 4, 5]])
    assert texts.tolist() == [["x", "y"]]
    assert found.members["text"] == "w\u00f6rd"
    assert np.shape(found.members["empty"]) == (0, 2)
    assert float(np.asarray(found.members["scalar"])) == 2.5


@pytest.mark.parametrize("what", HARM)
def test_a_reader_that_fails_is_an_error_and_is_replaced(
    worker: hdf5_read._Worker, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    texts = {
        "crash": "library fail", "exit": "library fail", "hang": "too long", "babble": "library fail",
        "memory": "too much memory", "recursion": "too much memory", "nonsense": "no tree",
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(hdf5_read, "START", START.format(f"{HARM[what]}\nhdf5_worker.main()"))
        with pytest.raises(InputError, match=texts[what]) as error:
            hdf5_read.read_hdf5(file_bytes(), "x.h5", "nir", Limits(seconds=0.3 if what == "hang" else 10))
        assert str(error.value).startswith("x.h5")
    worker.close()
    assert "a" in hdf5_read.read_hdf5(file_bytes(), "x.h5", "nir").members


@pytest.mark.skipif(importlib.util.find_spec("resource") is None, reason="this system has no resource limits")
def test_the_memory_that_failed_is_there_without_the_limit(
    worker: hdf5_read._Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: with room for it, the same request gets past the allocation."""
    harm = "hdf5_worker.walk = lambda *_: bytearray(1 << 28)\nhdf5_worker.ROOM = 2 << 30\nhdf5_worker.main()"
    monkeypatch.setattr(hdf5_read, "START", START.format(harm))
    with pytest.raises(InputError, match="library fail"):
        hdf5_read.read_hdf5(file_bytes(), "x.h5", "nir")


def test_one_process_serves_many_files(worker: hdf5_read._Worker) -> None:
    hdf5_read.read_hdf5(file_bytes(), "x.h5", "nir")
    first = worker.process
    with pytest.raises(InputError, match="damaged"):
        hdf5_read.read_hdf5(file_bytes()[:800], "x.h5", "nir")
    hdf5_read.read_hdf5(file_bytes(), "x.h5", "nir")
    assert worker.process is first


def test_a_packed_tree_is_the_tree() -> None:
    tree = walk(file_bytes(), Limits())
    again = unpack(pack(tree))
    assert pack(again) == pack(tree)
    for wrong in (b"", b"\0" * 8, pack(tree)[:-1], pack(tree).replace(b'">i4"', b'"|O8"')):
        with pytest.raises((ValueError, TypeError, LookupError)):
            unpack(wrong)
