"""Spike, value and trace files: what goes in comes out, and what is wrong is named."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.errors import TraceError
from snnc.trace import Probes, Samples, Trace, check_samples, load_npz, npz_bytes, read_samples, read_trace, write_trace


def trace() -> Trace:
    rng = np.random.default_rng(3)
    spikes = {"in": rng.integers(0, 2, (2, 5, 3)), "deep.layer-1": rng.integers(0, 2, (2, 5, 4, 1))}
    states = {("deep.layer-1", "v"): rng.normal(size=(2, 5, 4, 1)), ("n", "u"): rng.integers(-9, 9, (2, 5, 6))}
    return Trace("engine", "loihi1", {k: v.astype(np.int8) for k, v in spikes.items()}, states, {"seed": 7})


@pytest.mark.parametrize("batched", [True, False])
def test_a_trace_survives_its_file(tmp_path: Path, batched: bool) -> None:
    given = trace() if batched else cut(trace())
    write_trace(tmp_path / "t.npz", given, batched=batched)
    got = read_trace(tmp_path / "t.npz")
    assert (got.backend, got.target, dict(got.meta)) == ("engine", "loihi1", {"seed": 7})
    for mine, other in ((got.spikes, given.spikes), (got.states, given.states)):
        assert sorted(mine) == sorted(other)
        for key, array in mine.items():
            assert array.dtype == other[key].dtype
            np.testing.assert_array_equal(array, other[key])
    with np.load(tmp_path / "t.npz") as raw:
        assert raw["spikes/in"].ndim == (3 if batched else 2)
        assert "states/deep.layer-1/v" in raw.files
    assert [path.name for path in tmp_path.iterdir()] == ["t.npz"]


def cut(whole: Trace) -> Trace:
    spikes = {key: array[:1] for key, array in whole.spikes.items()}
    return Trace(whole.backend, whole.target, spikes, {k: a[:1] for k, a in whole.states.items()}, whole.meta)


def test_a_trace_counts_and_does_not_change() -> None:
    t = trace()
    assert (t.samples, t.steps) == (2, 5)
    np.testing.assert_array_equal(t.counts("in"), t.spikes["in"].sum(axis=1))
    with pytest.raises(TraceError, match="has no spikes of 'out'"):
        t.counts("out")
    with pytest.raises(ValueError, match="read-only"):
        t.spikes["in"][0, 0, 0] = 1


def test_same_arrays_give_same_bytes() -> None:
    a, b = np.arange(4), np.ones(3)
    assert npz_bytes({"a": a, "b": b}) == npz_bytes({"b": b, "a": a})
    assert npz_bytes({"a": a, "b": b}) != npz_bytes({"a": a, "b": b + 1})


def test_files_that_are_no_traces(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(path)
    path.write_bytes(b"no archive")
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(path)
    for meta in ({}, {"meta": np.array("{")}, {"meta": np.array("[]")}, {"meta": np.array('{"backend": "b"}')}):
        np.savez(path, **{"spikes/in": np.zeros((1, 2, 3)), **meta})
        with pytest.raises(TraceError, match="not a trace file"):
            read_trace(path)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, spikes=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(TraceError, match="cannot be read"):
        load_npz(path)


def test_truncated_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    content = npz_bytes({"spikes": np.random.default_rng(0).integers(0, 2, (50, 40))})
    for size in (0, 10, len(content) // 2, len(content) - 4):
        path.write_bytes(content[:size])
        with pytest.raises(TraceError, match="cannot be read"):
            load_npz(path)


def test_no_flipped_byte_gets_through_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    array = np.random.default_rng(0).integers(0, 2, (5, 8))
    content = npz_bytes({"spikes": array})
    refused = 0
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        path.write_bytes(bytes(flipped))
        try:
            found = load_npz(path)
        except TraceError:
            refused += 1
        else:
            for got in found.values():
                np.testing.assert_array_equal(got, array)
    assert refused > len(content) // 2


def test_archives_that_claim_too_much_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("spikes.npy", header.getvalue())
    with pytest.raises(TraceError, match="cannot be read"):
        load_npz(path)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_samples_with_and_without_batch(tmp_path: Path) -> None:
    spikes = np.random.default_rng(1).integers(0, 2, (4, 6, 3))
    got = read_samples(saved(tmp_path / "b.npz", spikes=spikes, labels=np.arange(4)), (3,))
    assert got.batched
    assert got.spikes.dtype == np.int8
    assert got.labels is not None
    assert got.head(2).spikes.shape == (2, 6, 3)
    assert got.head(None).spikes.shape == (4, 6, 3)
    one = read_samples(saved(tmp_path / "a.npz", spikes=spikes[0].astype(bool)), (3,))
    assert not one.batched
    assert one.labels is None
    np.testing.assert_array_equal(one.spikes, spikes[:1])
    values = read_samples(saved(tmp_path / "v.npz", values=spikes * 0.5), (3,), "direct")
    assert values.spikes.max() == 0.5


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"values": np.zeros((1, 2, 3))}, "no array 'spikes'; found values"),
        ({"spikes": np.zeros((1, 2, 4))}, r"input shape is \(1, 2, 4\), allowed is \[T, 3\] or \[B, T, 3\]"),
        ({"spikes": np.zeros((3,))}, "input shape"),
        ({"spikes": np.zeros((1, 1, 2, 3))}, "input shape"),
        ({"spikes": np.zeros((0, 2, 3))}, "empty"),
        ({"spikes": np.full((1, 2, 3), 2)}, "spikes are 0 or 1; found 2 to 2"),
        ({"spikes": np.full((1, 2, 3), 0.5)}, "spikes are 0 or 1"),
        ({"spikes": np.full((1, 2, 3), np.nan)}, "spikes are 0 or 1"),
        ({"spikes": np.full((1, 2, 3), "x")}, "allowed are numbers"),
        ({"spikes": np.zeros((2, 2, 3)), "labels": np.zeros(2)}, "allowed are 2 integers"),
        ({"spikes": np.zeros((2, 2, 3)), "labels": np.zeros(3, dtype=int)}, "allowed are 2 integers"),
    ],
)
def test_wrong_samples_are_named(tmp_path: Path, arrays: dict[str, Any], text: str) -> None:
    with pytest.raises(TraceError, match=text):
        read_samples(saved(tmp_path / "x.npz", **arrays), (3,))


def test_analog_values_are_finite() -> None:
    with pytest.raises(TraceError, match="NaN or infinity"):
        check_samples(np.full((1, 2, 3), np.inf), None, (3,), "direct", "here")


def test_probes_choose() -> None:
    assert Probes().wants_spikes("a")
    assert not Probes().wants_states("a")
    probes = Probes(spikes=("a",), states="all")
    assert not probes.wants_spikes("b")
    assert probes.wants_states("b")


def test_samples_keep_labels_beside_spikes() -> None:
    samples = Samples(np.zeros((3, 2, 1), dtype=np.int8), np.array([4, 5, 6]))
    head = samples.head(2).labels
    assert head is not None
    assert head.tolist() == [4, 5]
