"""What people type wrong at `snnc run` and `snnc learn run`: one sentence, the right exit code, and nothing written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Snnc = Callable[..., Any]
SPIKES = np.zeros((2, 16, 64), dtype=np.int8)


@pytest.fixture
def place(tmp_path: Path, held_out: Path) -> Path:
    """A folder with files of all sorts; commands run in it."""
    shutil.copy(held_out, tmp_path / "good.npz")
    np.savez(tmp_path / "narrow.npz", spikes=SPIKES[:, :, :63])
    np.savez(tmp_path / "objects.npz", spikes=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "other.npz", other=SPIKES)
    np.savez(tmp_path / "counts.npz", spikes=SPIKES + np.int8(3))
    np.savez(tmp_path / "labels.npz", spikes=SPIKES, labels=np.zeros(3, dtype=np.int64))
    np.savez(tmp_path / "words.npz", spikes=np.array(["a", "b"]))
    np.save(tmp_path / "array.npy", SPIKES)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "cut.npz").write_bytes(held_out.read_bytes()[:900])
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "manifest.json").write_text(json.dumps({"layout": 1, "files": {}}))
    return tmp_path


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def refused(ran: Any, text: str, code: int = 2) -> None:
    """One line, of ours or of the parser's, without a trace of Python."""
    assert ran.code == code
    lines = [line for line in ran.err.splitlines() if line and not line.startswith(("Usage:", "Try "))]
    assert len(lines) == 1
    assert lines[0].lower().startswith("error: ")
    assert text in lines[0]
    assert "Error(" not in lines[0]
    assert not ran.out


DATA = [
    ("nowhere.npz", "nowhere.npz cannot be read: No such file or directory"),
    ("empty", "empty cannot be read: Is a directory"),
    ("text", "text: cannot be read as .npz: it is no zip archive"),
    ("cut.npz", "cut.npz: cannot be read as .npz: it is no zip archive, or a damaged one"),
    ("narrow.npz", "input shape is (2, 16, 63), allowed is [T, 64] or [B, T, 64]"),
    ("objects.npz", "it holds pickled Python objects, which may run code and are never loaded"),
    ("array.npy", "save it with numpy.savez(file, spikes=array)"),
    ("other.npz", "no array 'spikes'; found other"),
    ("counts.npz", "spikes are 0 or 1; found 3 to 3"),
    ("labels.npz", "allowed are 2 integers"),
    ("words.npz", "allowed are numbers"),
]
OUTPUT = [
    ("", "cannot be written: it is a folder; name a file"),
    ("empty", "cannot be written: it is a folder; name a file"),
    (os.devnull, "cannot be written: it is no regular file"),
    ("nowhere/trace.npz", "cannot be written: there is no folder nowhere"),
    ("text/trace.npz", "cannot be written: there is no folder text"),
    ("good.npz", "is read by this run; name another file"),
    ("empty/../good.npz", "is read by this run; name another file"),
]


@pytest.mark.parametrize(("name", "text"), DATA)
def test_data_that_do_not_fit(
    snnc: Snnc, compiled: Path, place: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.chdir(place)
    before = listing(place)
    refused(snnc("run", compiled, "-i", name, "-o", "trace.npz"), text)
    assert listing(place) == before


@pytest.mark.parametrize(("name", "text"), OUTPUT)
def test_traces_that_cannot_be_written(
    snnc: Snnc, compiled: Path, place: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.chdir(place)
    before = listing(place)
    refused(snnc("run", compiled, "-i", "good.npz", "-o", name), text)
    assert listing(place) == before
    assert not Path(os.devnull).is_file()


def test_a_compiled_folder_stays_as_it_is(snnc: Snnc, copy: Path, held_out: Path) -> None:
    before = listing(copy)
    for name in ("trace.npz", "loihi1/trace.npz", "manifest.json"):
        refused(snnc("run", copy, "-i", held_out, "-o", copy / name), "lies in the compiled folder")
    for option in ("--html", "--junit"):
        refused(snnc("validate", copy, "-d", held_out, option, copy / "page"), f"{option} {copy}/page lies in the comp")
    assert listing(copy) == before
    assert snnc("run", copy, "-i", held_out, "--samples", 1).code == 0


def test_a_good_place_is_taken(snnc: Snnc, compiled: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: what the refusals above refuse is the place."""
    monkeypatch.chdir(place)
    assert snnc("run", compiled, "-i", "good.npz", "--samples", 1, "-o", "text").code == 0
    assert (place / "text").read_bytes()[:2] == b"PK", "a file of one's own may be replaced"
    assert not list(place.glob(".*"))


@pytest.mark.parametrize(
    ("folder", "text"),
    [
        ("nowhere", "nowhere is no compiled folder"), ("text", "text is no compiled folder"),
        ("empty", "empty is no compiled folder"), ("bare", "manifest.json is damaged (it lacks 'config')"),
        ("", ". is no compiled folder"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [(), ("--backend", "loihi")])
def test_folders_that_are_none(
    snnc: Snnc, place: Path, monkeypatch: pytest.MonkeyPatch, folder: str, text: str, more: tuple[str, ...]
) -> None:
    monkeypatch.chdir(place)
    ran = snnc("run", folder, "-i", "good.npz", "-o", "trace.npz", *more)
    assert (ran.code, len(ran.err.splitlines()), (place / "trace.npz").exists()) == (2, 1, False)
    assert text in ran.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--engine", "evnt"), "no engine is called 'evnt'; the nearest is 'event'"),
        (("--threads", "0"), "'--threads': Input should be greater than or equal to 1"),
        (("--threads", "two"), "'--threads': Input should be a valid integer"),
        (("--samples", "0"), "'--samples': Input should be greater than or equal to 1"),
        (("--backend", "loihi", "--threads", "2"), "--threads shares samples out among threads of the engine; loihi"),
        (("--engine", "reference", "--threads", "2"), "reference has none"),
        (("--backend", "lohi"), "no back end is called 'lohi'; the nearest is 'loihi'"),
        (("-o",), "'-o' requires an argument"),
        (("--thread", "2"), "No such option: --thread"),
    ],
)
def test_options_of_run(snnc: Snnc, compiled: Path, held_out: Path, options: tuple[str, ...], text: str) -> None:
    refused(snnc("run", compiled, "-i", held_out, *options), text)


def test_an_older_plan_is_compiled_again(snnc: Snnc, copy: Path, held_out: Path, monkeypatch: Any) -> None:
    from snnc.engine import files

    monkeypatch.setattr(files, "VERSION", files.VERSION + 1)
    refused(snnc("run", copy, "-i", held_out), f"this snnc reads {files.VERSION}; compile again")
