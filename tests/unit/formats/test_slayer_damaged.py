"""SLAYER files that are damaged, hostile or beyond netx: each refused by name, none read half."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnc.errors import InputError, UnsupportedError
from snnc.formats import slayer_tree
from snnc.formats.hdf5_tree import Limits
from snnc.formats.slayer_file import open_net, read
from unit.formats.slayer_nets import NEURON, conv, dense, net_bytes, neuron, without

GOOD = dense([[2, -4], [6, 8], [0, 2]])
IMAGE = {"type": "input", "shape": [2, 5, 5]}
KERNEL = conv(np.full((3, 2, 3, 3), 2), (3, 3))


def test_the_good_ones_are_read() -> None:
    """Guards the cases below: what they change is what is refused."""
    assert read(net_bytes([GOOD]), "good").layers.shape == (2,)
    assert read(net_bytes([IMAGE, KERNEL]), "good").layers.shape == (2, 5, 5)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([without(GOOD, "weight")], "layer0: weight is missing"),
        ([without(GOOD, "type")], "layer0: type is missing"),
        ([without(GOOD, "shape")], "layer0: shape is missing"),
        ([without(GOOD, "inFeatures")], "layer0: inFeatures is missing"),
        ([GOOD, {**dense([[2, 2, 2]]), "neuron": without(NEURON, "vThMant")}], "layer1: neuron/vThMant is missing"),
        ([{**GOOD, "neuron": without(NEURON, "type")}], "layer0: neuron/type is missing"),
        ([{**GOOD, "neuron": neuron(vDecay=4097)}], "layer0: neuron/vDecay is 4097"),
        ([{**GOOD, "neuron": neuron(iDecay=-1)}], "layer0: neuron/iDecay is -1"),
        ([{**GOOD, "neuron": neuron(iDecay=[1, 2])}], "layer0: neuron/iDecay is 2 numbers, allowed is 1 or 3"),
        ([{**GOOD, "neuron": neuron(vThMant=0)}], "layer0: neuron/vThMant is 0"),
        ([{**GOOD, "neuron": neuron(vThMant=[1, 2])}], "layer0: neuron/vThMant is 2 numbers, allowed is one number"),
        ([{**GOOD, "weight": np.full((3, 2), 0.5)}], "layer0: weight is 0.5 in 6 of 6 places"),
        ([{**GOOD, "weight": np.full((3, 2), 1000)}], "layer0: weight is 1000"),
        ([{**GOOD, "weight": np.full((3, 2), np.nan)}], "layer0: weight is nan"),
        ([{**GOOD, "weight": "w"}], "layer0: weight is 'w'"),
        ([{**GOOD, "weight": np.zeros((3, 3))}], r"layer0: weight is of shape \(3, 3\), allowed is \(3, 2\)"),
        ([{**GOOD, "bias": np.zeros(2)}], "layer0: bias is 2 numbers, allowed is 1 or 3"),
        ([{**GOOD, "type": 3}], "layer0: type is int64"),
        ([GOOD, {"type": "flatten", "shape": [3]}], "layer1: type is flatten, allowed is dense or conv in the last"),
        ([IMAGE], "no dense or conv layer"),
        ([IMAGE, GOOD], "layer1: input is of shape .*Put a flatten layer"),
        ([KERNEL], "layer0: type is conv, allowed is input or dense in the first layer"),
        ([GOOD, KERNEL], "layer1: input is of shape"),
        ([GOOD, IMAGE, KERNEL], "layer1: type is input, allowed is input in the first layer only"),
        ([{**IMAGE, "shape": [5, 5]}, KERNEL], "layer0: shape is"),
        ([{**IMAGE, "shape": [1 << 20, 1 << 20, 1]}, KERNEL], "layer0: shape is"),
        ([IMAGE, {**KERNEL, "shape": [3, 3, 4]}], r"layer1: shape is \(3, 3, 4\), allowed is \(3, 3, 3\)"),
        ([IMAGE, {**KERNEL, "stride": [1, 1, 1]}], "layer1: stride is 3 numbers"),
        ([IMAGE, {**KERNEL, "stride": [0, 1]}], "layer1: stride is 0"),
        ([IMAGE, {**KERNEL, "groups": 2}], "layer1: weight is of shape"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_field_is_named(layers: list[Any], text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        read(net_bytes(layers), "bad.net")
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith("bad.net: ")


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([GOOD, {"type": "pool", "shape": [3]}], "layer1: layer type is pool"),
        ([GOOD, {"type": "average", "shape": [3]}], "layer1: layer type is average"),
        ([GOOD, {"type": "concat", "layers": [0]}], "layer1: layer type is concat"),
        ([{**GOOD, "type": "dense_rec"}], "layer0: layer type is dense_rec"),
        ([{**GOOD, "delay": np.array([0, 1, 2])}], "layer0: delay is other than 0"),
        ([{**without(GOOD, "weight"), "weight": {"real": 1, "imag": 1}}], "layer0: weight is complex"),
        ([{**GOOD, "neuron": neuron(type="SDNN")}], "layer0: neuron/type is SDNN, allowed is CUBA or LOIHI"),
        ([{**GOOD, "neuron": neuron(refDelay=2)}], "layer0: neuron/refDelay is 2, allowed is 1"),
        ([{**GOOD, "neuron": neuron(wgtExp=1)}], "layer0: neuron/wgtExp is 1, allowed is 0"),
        ([{**GOOD, "neuron": neuron(gradedSpike=True)}], "layer0: neuron/gradedSpike is 1, allowed is 0"),
    ],
    ids=str,
)
def test_what_netx_does_not_run_is_unsupported(layers: list[Any], text: str) -> None:
    with pytest.raises(UnsupportedError, match=text) as caught:
        read(net_bytes(layers), "far.net")
    assert caught.value.exit_code == 3


def test_every_unsupported_layer_is_named_at_once() -> None:
    pool = {"type": "pool", "shape": [3]}
    with pytest.raises(UnsupportedError) as caught:
        read(net_bytes([{**GOOD, "neuron": neuron(refDelay=3)}, pool, pool]), "far.net")
    assert [violation.node for violation in caught.value.violations] == ["layer0", "layer1", "layer2"]


def test_a_delay_of_zero_says_nothing() -> None:
    assert read(net_bytes([{**GOOD, "delay": np.zeros(3)}]), "good").layers.shape == (2,)


def damaged(change: Callable[[Any], None]) -> bytes:
    buffer = io.BytesIO(net_bytes([GOOD]))
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def outside(file: Any) -> None:
    del file["layer/0/weight"]
    file["layer/0/weight"] = h5py.ExternalLink("other.h5", "/weight")


def soft(file: Any) -> None:
    del file["layer/0/weight"]
    file["layer/0/weight"] = h5py.SoftLink("/layer/0/shape")


def raw_file(file: Any) -> None:
    del file["layer/0/weight"]
    file.create_dataset("layer/0/weight", (4,), "i1", external=[("other.bin", 0, 4)])


def virtual(file: Any) -> None:
    del file["layer/0/weight"]
    layout = h5py.VirtualLayout(shape=(4,), dtype="i4")
    layout[:] = h5py.VirtualSource("other.h5", "data", shape=(4,))
    file["layer/0"].create_virtual_dataset("weight", layout)


def huge(file: Any) -> None:
    del file["layer/0/weight"]
    file["layer/0"].create_dataset("weight", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))


def gap(file: Any) -> None:
    file.move("layer/0", "layer/1")


def flat(file: Any) -> None:
    del file["layer"]
    file["layer"] = 3


def deep(file: Any) -> None:
    file.create_group("layer/0/a/b/c/d/e")


def crowded(file: Any) -> None:
    for index in range(slayer_tree.MAX_FIELDS):
        file[f"layer/0/x{index}"] = index


def texts(file: Any) -> None:
    del file["layer/0/type"]
    file["layer/0/type"] = np.array([b"dense", b"conv"])


def compound(file: Any) -> None:
    file["layer/0/pairs"] = np.zeros(3, dtype=[("a", "i4"), ("b", "f4")])


def nothing(file: Any) -> None:
    file["layer/0/nothing"] = h5py.Empty("f4")


def no_layers(file: Any) -> None:
    del file["layer/0"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (outside, "is a link"), (soft, "is a link"), (raw_file, "lies in another file"),
        (virtual, "lies in another file"), (huge, "claims 4398046511104 bytes"), (gap, "called 0 to 0, not 1"),
        (flat, "0 layers"), (deep, "levels"), (crowded, "more than 100 fields"), (texts, "holds 2 texts"),
        (compound, "only numbers and text"), (nothing, "holds no data"), (no_layers, "0 layers"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused(change: Callable[[Any], None], text: str) -> None:
    with pytest.raises(InputError, match=text):
        read(damaged(change), "bad.net")


def test_no_file_is_half_read() -> None:
    content = net_bytes([GOOD])
    for size in (0, 1, 8, 100, 700, len(content) // 2, len(content) - 200):
        with pytest.raises(InputError, match=r"cut\.net"):
            read(content[:size], "cut.net")
    with pytest.raises(InputError, match="no HDF5 file"):
        read(b"PK\x03\x04" + b"x" * 4000, "zip.net")


def test_a_text_heap_without_end_is_refused() -> None:
    """Variable-length text lies in a heap whose free entry of size 0 the HDF5 library would walk for ever."""
    buffer = io.BytesIO(net_bytes([GOOD]))
    with h5py.File(buffer, "r+") as file:
        file["layer/0/note"] = "dense"
    content = bytearray(buffer.getvalue())
    assert read(bytes(content), "heap.net").layers.shape == (2,)
    start = content.find(b"GCOL") + 16
    content[start : start + 16] = bytes(16)
    with pytest.raises(InputError, match="heap"):
        read(bytes(content), "heap.net")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.net cannot be read"):
        open_net(tmp_path / "none.net")
    (tmp_path / "big.net").write_bytes(net_bytes([GOOD]))
    with pytest.raises(InputError, match="at most 100 are read"):
        slayer_tree.read_content(tmp_path / "big.net", Limits(file=100))
