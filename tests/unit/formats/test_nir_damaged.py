"""Files that are damaged, hostile, or no NIR graphs: an error of snnc, never a traceback of HDF5, never a guess."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnc.errors import InputError, SnncError, UnsupportedError
from snnc.formats.hdf5_tree import Limits
from snnc.formats.nir_file import Meaning, read
from snnc.formats.nir_file_tree import read_content, read_tree
from unit.formats.nir_files import LIF, Fields, full, line, raw

SAID = Meaning(1e-3, "zero", "euler")
DENSE: Fields = {"type": "Affine", "weight": np.ones((3, 4)), "bias": np.zeros(3)}
NEURON: Fields = {"type": "LIF", **full(3, **LIF)}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=NEURON)


def refused(path: Path, text: str, kind: type[SnncError] = InputError) -> None:
    with pytest.raises(kind, match=text) as error:
        read(path, SAID)
    assert str(error.value).startswith(str(path)), "an error says which file"


def swap(path: Path, key: str, value: object) -> Path:
    """The file with one member replaced, or removed if the value is None."""
    with h5py.File(path, "r+") as file:
        del file[key]
        if value is not None:
            file[key] = value
    return path


def test_the_good_file_is_read(good: Path) -> None:
    assert read(good, SAID).digest == read(good.read_bytes(), SAID).digest


def test_missing_and_empty_files(tmp_path: Path) -> None:
    refused(tmp_path / "none.nir", "cannot be read")
    for content in (b"", b"\x89HDF\r\n\x1a\n", b"not hdf5 at all" * 100):
        (tmp_path / "bad.nir").write_bytes(content)
        refused(tmp_path / "bad.nir", "no HDF5 file or is damaged")


def test_another_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.nir", "w") as file:
        file["weights"] = np.ones(3)
    refused(tmp_path / "other.nir", "no member 'node'")


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("node/type", "LIF", "one LIF, not a NIRGraph"),
        ("node/edges", np.zeros((3, 3)), r"\(n, 2\)"),
        ("node/edges", None, "no member 'edges'"),
        ("node/nodes", np.zeros(3), "data where a group is expected"),
        ("node/nodes/fc/type", None, "no member 'type'"),
        ("node/nodes/fc/weight", None, "'weight' is missing"),
        ("node/nodes/fc/weight", "text", "is text"),
        ("node/nodes/fc/weight", np.full((3, 4), np.nan), "NaN or infinite"),
        ("node/nodes/fc/weight", np.ones((3, 5)), r"input shape is \(4,\)"),
        ("node/nodes/fc/weight", np.ones(3), "weight shape"),
        ("node/nodes/fc/bias", np.ones(2), "bias shape"),
        ("node/nodes/lif/tau", np.full(3, -0.01), "> 0"),
        ("node/nodes/lif/tau", np.zeros(3), "> 0"),
        ("node/nodes/lif/v_threshold", np.zeros(3), "threshold is 0"),
        ("node/nodes/lif/v_threshold", None, "'v_threshold' is missing"),
        ("node/nodes/input/shape", np.array([2.5]), "whole numbers"),
        ("node/nodes/input/shape", np.array([], dtype=int), "whole numbers"),
        ("node/nodes/input/shape", np.array([-4]), "at least 1"),
        ("node/nodes/output/shape", np.array([4]), "output shape"),
    ],
)
def test_wrong_members(good: Path, key: str, value: object, text: str) -> None:
    refused(swap(good, key, value), text)


def test_an_unknown_primitive_lists_those_that_are_known(good: Path) -> None:
    refused(swap(good, "node/nodes/lif/type", "Izhikevich"), "'Izhikevich', allowed is .*CubaLIF", UnsupportedError)


@pytest.mark.parametrize(
    ("edges", "text"),
    [
        ([("input", "fc"), ("fc", "lif"), ("lif", "out")], "names 'out', which is no node"),
        ([("input", "fc"), ("fc", "lif"), ("fc", "lif"), ("lif", "output")], "twice"),
        ([("fc", "lif"), ("lif", "output")], "nothing feeds fc"),
        ([], "nothing feeds"),
        ([("fc", "fc"), ("fc", "lif"), ("lif", "output")], "no path from the Input"),
    ],
)
def test_wrong_edges(tmp_path: Path, edges: list[tuple[str, str]], text: str) -> None:
    ends = {"input": {"type": "Input", "shape": (4,)}, "output": {"type": "Output", "shape": (3,)}}
    refused(raw(tmp_path / "net.nir", {**ends, "fc": DENSE, "lif": NEURON}, edges), text)


def test_ends(tmp_path: Path) -> None:
    ends = {"input": {"type": "Input", "shape": (4,)}, "output": {"type": "Output", "shape": (3,)}}
    net = {**ends, "fc": DENSE, "lif": NEURON}
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
    second = {**net, "more": {"type": "Input", "shape": (4,)}}
    refused(raw(tmp_path / "two.nir", second, [*edges, ("more", "fc")]), "2 Input nodes")
    net.pop("output")
    refused(raw(tmp_path / "none.nir", net, edges[:2]), "0 Output nodes")


def test_a_convolution_that_contradicts_its_input(tmp_path: Path) -> None:
    conv = {"type": "Conv2d", "input_shape": (5, 5), "weight": np.ones((1, 1, 3, 3)), "stride": 1, "padding": 0,
            "dilation": 1, "groups": 1, "bias": np.zeros(1)}  # fmt: skip
    refused(line(tmp_path / "a.nir", (1, 6, 6), (1, 4, 4), conv=conv, lif={**NEURON, **full((), **LIF)}), "input_shape")


def soft_link(file: h5py.File) -> None:
    file["node/nodes/fc/weight"] = h5py.SoftLink("/node/nodes/fc/bias")


def external_link(file: h5py.File) -> None:
    file["node/nodes/fc/weight"] = h5py.ExternalLink("/etc/passwd", "/")


def external_data(file: h5py.File) -> None:
    file["node/nodes/fc"].create_dataset("weight", (3, 4), "u1", external=[("/etc/passwd", 0, 12)])


def virtual_data(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 4), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 4))
    file["node/nodes/fc"].create_virtual_dataset("weight", layout)


def bomb(file: h5py.File) -> None:
    """A terabyte of zeros in a few bytes."""
    file["node/nodes/fc"].create_dataset("weight", (1 << 20, 1 << 17), "f8", chunks=(1024, 1024), compression="gzip")


def references(file: h5py.File) -> None:
    file["node/nodes/fc"].create_dataset("weight", (3, 4), h5py.ref_dtype)


def ring(file: h5py.File) -> None:
    """A graph that holds itself."""
    file["node/nodes/again"] = file["node"]
    file["node/nodes/fc/weight"] = np.ones((3, 4))


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (soft_link, "is a link"), (external_link, "is a link"), (external_data, "another file"),
        (virtual_data, "another file"), (bomb, "claims 1099511"), (references, "only numbers and text"), (ring, "deep"),
    ],
)  # fmt: skip
def test_hostile_members(good: Path, harm: Callable[[h5py.File], None], text: str) -> None:
    with h5py.File(good, "r+") as file:
        del file["node/nodes/fc/weight"]
        harm(file)
    refused(good, text)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(file=5), "at most 5 are read"),
        (Limits(unpacked=5), "more than 5 bytes unpacked"),
        (Limits(objects=5), "more than 5 objects"),
        (Limits(depth=2), "'fc' in /node/nodes lies more than 2 deep"),
    ],
)
def test_sizes_are_bounded(good: Path, limits: Limits, text: str) -> None:
    with pytest.raises(InputError, match=text):
        read_tree(good.read_bytes(), str(good), limits)
    with pytest.raises(InputError, match="at most 5 are read"):
        read_content(good, Limits(file=5))


def test_without_h5py(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(good, r"snnc\[nir\]")


def test_a_heap_without_end_is_refused(good: Path) -> None:
    """HDF5 would walk it for ever: its free entry gets the size 0."""
    content = bytearray(good.read_bytes())
    place = content.index(b"GCOL") + 16
    while index := int.from_bytes(content[place : place + 2], "little"):
        length = int.from_bytes(content[place + 8 : place + 16], "little")
        place += 16 + (length + 7) // 8 * 8
        assert index < 100
    content[place + 8 : place + 16] = bytes(8)
    good.write_bytes(content)
    refused(good, "has no end")


def test_flipped_bytes_and_cuts_end_as_errors(good: Path) -> None:
    """Whatever is damaged: a graph, or an error of snnc."""
    rng = np.random.default_rng(0)
    content = good.read_bytes()
    ends = {"graph": 0, "error": 0}
    for _ in range(300):
        broken = bytearray(content)
        for place in rng.integers(0, len(content), 8):
            broken[place] = int(rng.integers(256))
        data = bytes(broken[: rng.integers(len(content) // 2, len(content) + 1)])
        try:
            read(data, SAID)
            ends["graph"] += 1
        except SnncError:
            ends["error"] += 1
    assert ends["error"] > 50
