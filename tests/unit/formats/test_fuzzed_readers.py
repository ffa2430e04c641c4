"""Readers of untrusted files: whatever is in them, the outcome is a network (or arrays) or an error of snnc.

A few hundred inputs in every run; ``SNNC_NIGHTLY=1`` (``make nightly``) reads 10,000 and more with each reader, other
ones each time. Address space is limited while they run, so that an allocation without bound is an error here.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnc.config import load_config
from snnc.errors import SnncError
from snnc.formats import hdf5_read, nir_file, onnx_file, slayer_file
from snnc.formats.nir_file import Meaning
from snnc.formats.nir_write import write
from snnc.ir import Affine, Conv, Edge, Flatten, Graph, Input, Network, Neuron, Node, Pool, Readout
from snnc.trace import Samples, Trace, npz_bytes, read_samples, read_trace, write_trace
from unit.formats.mutations import bytewise, hdf5, jsons, values
from unit.formats.nir_files import LIF, full, line, raw
from unit.formats.onnx_small import meta, model_of, simple, whole
from unit.formats.slayer_nets import conv, dense, net_bytes

NIGHTLY = os.environ.get("SNNC_NIGHTLY") == "1"
EXAMPLES = 6000 if NIGHTLY else 100
ROOM = 1 << 30
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=not NIGHTLY,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
FOUND: Counter[tuple[str, str]] = Counter()


@pytest.fixture(scope="module", autouse=True)
def bounded() -> Iterator[None]:
    """Address space: what this process holds now and 1 GiB more (where the system can limit it)."""
    try:
        import resource
    except ImportError:
        yield
        return
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="module", autouse=True)
def figures() -> Iterator[None]:
    """What came of the inputs, shown with -s."""
    yield
    text = "".join(f"{reader}: {end} {count}\n" for (reader, end), count in sorted(FOUND.items()))
    sys.stdout.write(f"\n{text}")


def outcome(reader: str, read: Callable[[], Any], kind: type[Any] | tuple[type[Any], ...]) -> None:
    """Reads; anything but the kind or one of our errors, with a message that a terminal can show, fails the test."""
    before = hdf5_read._WORKER.process
    found, code, text = None, 0, ""
    try:
        found = read()
    except SnncError as error:
        code, text = error.exit_code, str(error)
    assert text.encode("utf-8") if code in (2, 3) else isinstance(found, kind)
    assert len(text) < 100_000
    FOUND[reader, "error" if code else "read"] += 1
    if hdf5_read._WORKER.process is not before and before is not None:
        FOUND[reader, "reading processes lost"] += 1


def nir_bytes(folder: Path) -> list[bytes]:
    """Files of several dialects, and one that snnc writes."""
    neuron = {"type": "LIF", **full(3, **LIF)}
    fc = {"type": "Affine", "weight": np.eye(3, 4), "bias": np.ones(3)}
    ports = {"in": {"type": "Input", "shape": (4,)}, "out": {"type": "Output", "shape": (3,)}}
    block = {"type": "NIRGraph", "nodes": {**ports, "fc": fc, "lif": neuron},
             "edges": [("in", "fc"), ("fc", "lif"), ("lif", "out")]}  # fmt: skip
    ends = {"input": {"type": "Input", "shape": (4,)}, "output": {"type": "Output", "shape": (3,)}}
    cuba = {"type": "CubaLIF", **full(3, tau_mem=0.01, tau_syn=0.004, r=2.0, v_leak=0.0, v_threshold=1.0, w_in=4.0)}
    ring = {**ends, "fc": fc, "lif": cuba, "rec": {"type": "Linear", "weight": np.eye(3)},
            "wait": {"type": "Delay", "delay": np.full(3, 0.002)}}  # fmt: skip
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "wait"), ("wait", "rec"), ("rec", "lif"), ("lif", "output")]
    every: tuple[Node, ...] = (
        Input("x", (2, 6, 6)), Conv("c", np.ones((3, 2, 3, 3)), None, (1, 1), (0, 0), (1, 1)),
        Neuron("a", (3, 4, 4), decay_v=np.array(0.5)),
        Pool("p"), Flatten("f"), Affine("fc", np.ones((2, 12)), np.ones(2)), Neuron("b", (2,)), Readout("y"),
    )  # fmt: skip
    picture = Graph(every, tuple(Edge(a.name, b.name) for a, b in pairwise(every)))
    return [
        line(folder / "a.nir", (4,), (3,), fc=fc, lif=neuron).read_bytes(),
        raw(folder / "b.nir", {**ends, "b": block}, [("input", "b"), ("b", "output")]).read_bytes(),
        raw(folder / "c.nir", ring, edges).read_bytes(),
        write(picture)[0],
    ]


SAID = st.sampled_from(
    [Meaning(1e-3, "zero", "euler"), Meaning(1e-3, "subtract-delayed", "exact", "ge"), Meaning(), Meaning(1.0, "zero")]
)


@pytest.fixture(scope="module")
def nirs(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return nir_bytes(tmp_path_factory.mktemp("nir"))


def test_nir(nirs: list[bytes]) -> None:
    for content in nirs:
        assert isinstance(nir_file.read(content, Meaning(1e-3 if content != nirs[3] else 1.0, "zero", "euler")), Graph)

    @fuzzed
    @given(st.one_of(bytewise(nirs), hdf5(nirs)), SAID)
    def go(content: bytes, meaning: Meaning) -> None:
        outcome("nir", lambda: nir_file.read(content, meaning), Graph)

    go()


def test_nir_members(nirs: list[bytes]) -> None:
    """Files whose HDF5 is sound and whose content is not."""

    @fuzzed
    @given(hdf5(nirs), SAID)
    def go(content: bytes, meaning: Meaning) -> None:
        outcome("nir members", lambda: nir_file.read(content, meaning), Graph)

    go()


NETS = [
    net_bytes([dense(np.ones((3, 4))), dense(np.ones((2, 3)))]),
    net_bytes([{"type": "input", "shape": [1, 8, 8]}, conv(np.ones((2, 1, 3, 3)), (6, 6))]),
]


def test_slayer() -> None:
    for content in NETS:
        assert slayer_file.read(content, "good").graph()

    @fuzzed
    @given(st.one_of(bytewise(NETS), hdf5(NETS)), st.sampled_from(["gt", "ge"]))
    def go(content: bytes, fires: Any) -> None:
        outcome("slayer", lambda: slayer_file.read(content, "fuzzed", fires).graph(), Graph)

    go()


def test_slayer_members() -> None:
    @fuzzed
    @given(hdf5(NETS))
    def go(content: bytes) -> None:
        outcome("slayer members", lambda: slayer_file.read(content, "fuzzed").graph(), Graph)

    go()


ONNX = [onnx_file.write(whole()), onnx_file.write(simple())]


@fuzzed
@given(bytewise(ONNX))
def test_onnx(content: bytes) -> None:
    outcome("onnx", lambda: onnx_file.read(content), Network)


@fuzzed
@given(st.data())
def test_onnx_descriptions(data: st.DataObject) -> None:
    """Sound protobuf around a description that was changed."""
    model = model_of(data.draw(st.sampled_from(ONNX)))
    meta(model).value = data.draw(jsons(meta(model).value))
    outcome("onnx descriptions", lambda: onnx_file.read(model.SerializeToString()), Network)


TOML = [
    b'[compile]\ntargets = ["loihi1"]\nweight_bits = 8\nper_channel = true\npasses = ["fold-gain"]\nallow = []\n'
    b'overflow = "lava"\n[model]\ndt = 1e-3\nreset = "zero"\ndecay = "euler"\n',
    b"[calibration]\nsamples = 3\n[verify]\nsamples = 2\n[budget]\naccuracy_points = 1.5\nspike_mismatch = 0.5\n",
    b'a = {b = [1, {c = 1979-05-27T07:32:00Z}]}\n"\\ud7ff" = inf\n[[x]]\ny = """\n"""\nz = 0x1F\n',
]


def test_toml(tmp_path: Path) -> None:
    path = tmp_path / "snnc.toml"

    @settings(fuzzed, max_examples=2 * EXAMPLES)
    @given(bytewise(TOML))
    def go(content: bytes) -> None:
        path.write_bytes(content)
        outcome("toml", lambda: load_config(path), object)

    go()


def test_deep_toml_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "snnc.toml"
    line = ".".join("a" * 2000)
    for content in (
        "a = " + "[" * 4000,
        "a = " + "{b = " * 800,
        f"{line} = 1",
        f"{line}.{line} = 1",
        f"{line}.b = 1\n" * 16,
    ):
        path.write_text(content)
        with pytest.raises(SnncError):
            load_config(path)


def archives(folder: Path) -> list[bytes]:
    spikes = np.ones((2, 4, 3), dtype=np.int8)
    write_trace(folder / "t.npz", Trace("reference", "float", {"lif": spikes}, {("lif", "v"): spikes * 0.5}))
    plain = io.BytesIO()
    np.savez(plain, spikes=spikes, labels=np.zeros(2, dtype=np.int64))
    return [npz_bytes({"spikes": spikes, "values": spikes * 0.5}), plain.getvalue(), (folder / "t.npz").read_bytes()]


@st.composite
def zips(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """An archive with members exchanged: other arrays, or damaged headers with right checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(draw(st.sampled_from(files)))) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    name = draw(st.sampled_from(sorted(members)))
    if draw(st.booleans()):
        members[name] = draw(bytewise([members[name]]))
    else:
        array = io.BytesIO()
        value = np.asarray(draw(values()))
        np.save(array, value.astype(str) if value.dtype == object else value)
        members[name] = array.getvalue()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for key, content in members.items():
            new.writestr(key, content)
    return buffer.getvalue()


def test_npz(tmp_path: Path) -> None:
    files, path = archives(tmp_path), tmp_path / "fuzzed.npz"

    @settings(fuzzed, max_examples=2 * EXAMPLES)
    @given(st.one_of(bytewise(files), zips(files)), st.sampled_from(["spikes", "direct"]))
    def go(content: bytes, encoding: str) -> None:
        path.write_bytes(content)
        outcome("npz samples", lambda: read_samples(path, (3,), encoding), Samples)
        outcome("npz traces", lambda: read_trace(path), Trace)

    go()


def test_an_error_of_another_kind_would_be_seen() -> None:
    """Control."""
    with pytest.raises(KeyError):
        outcome("control", lambda: {}["x"], object)
    with pytest.raises(AssertionError):
        outcome("control", lambda: 1, Graph)
