"""Readers of untrusted files: whatever is in them, the outcome is a network (or arrays) or an error of snnc.

A few hundred inputs in every run; ``SNNC_NIGHTLY=1`` (``make nightly``) reads 10,000 and more with each reader, other
ones each time. Address space is limited while they run, so that an allocation without bound is an error here.
"""

from __future__ import annotations

import io
import os
import random
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.config import load_config
from snnc.errors import SnncError
from snnc.formats import hdf5_read, nir_file, onnx_file, slayer_file
from snnc.formats.nir_file import Meaning
from snnc.formats.nir_write import write
from snnc.ir import Affine, Conv, Edge, Flatten, Graph, Input, Network, Neuron, Node, Pool, Readout
from snnc.trace import Samples, Trace, npz_bytes, read_samples, read_trace, write_trace
from unit.formats.mutations import bytewise, hdf5, jsons, value
from unit.formats.nir_files import LIF, full, line, raw
from unit.formats.onnx_small import meta, model_of, simple, whole
from unit.formats.slayer_nets import conv, dense, net_bytes

NIGHTLY = os.environ.get("SNNC_NIGHTLY") == "1"
EXAMPLES = 6000 if NIGHTLY else 150
ROOM = 1 << 30
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


SAID = (
    Meaning(1e-3, "zero", "euler"),
    Meaning(1e-3, "subtract-delayed", "exact", "ge"),
    Meaning(),
    Meaning(1.0, "zero"),
)
NETS = [
    net_bytes([dense(np.ones((3, 4))), dense(np.ones((2, 3)))]),
    net_bytes([{"type": "input", "shape": [1, 8, 8]}, conv(np.ones((2, 1, 3, 3)), (6, 6))]),
]
ONNX = [onnx_file.write(whole()), onnx_file.write(simple())]
TOML = [
    b'[compile]\ntargets = ["loihi1"]\nweight_bits = 8\nper_channel = true\npasses = ["fold-gain"]\nallow = []\n'
    b'overflow = "lava"\n[model]\ndt = 1e-3\nreset = "zero"\ndecay = "euler"\n',
    b"[calibration]\nsamples = 3\n[verify]\nsamples = 2\n[budget]\naccuracy_points = 1.5\nspike_mismatch = 0.5\n",
    b'a = {b = [1, {c = 1979-05-27T07:32:00Z}]}\n"\\ud7ff" = inf\n[[x]]\ny = """\n"""\nz = 0x1F\n',
]


def each(go: Callable[[random.Random], None], examples: int = EXAMPLES) -> None:
    """Runs with many seeds: the same ones every day, others every night. A failure names its seed."""
    start = random.SystemRandom().randrange(1 << 40) if NIGHTLY else 0
    for seed in range(start, start + examples):
        try:
            go(random.Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error


@pytest.fixture(scope="module")
def nirs(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return nir_bytes(tmp_path_factory.mktemp("nir"))


def test_the_files_are_good_before_the_damage(nirs: list[bytes]) -> None:
    for content in nirs:
        assert isinstance(nir_file.read(content, Meaning(1e-3 if content != nirs[3] else 1.0, "zero", "euler")), Graph)
    for content in NETS:
        assert slayer_file.read(content, "good").graph()


@pytest.mark.parametrize("damage", [bytewise, hdf5])
def test_nir(nirs: list[bytes], damage: Callable[[random.Random, list[bytes]], bytes]) -> None:
    def go(rng: random.Random) -> None:
        content, meaning = damage(rng, nirs), rng.choice(SAID)
        outcome(f"nir {damage.__name__}", lambda: nir_file.read(content, meaning), Graph)

    each(go)


@pytest.mark.parametrize("damage", [bytewise, hdf5])
def test_slayer(damage: Callable[[random.Random, list[bytes]], bytes]) -> None:
    def go(rng: random.Random) -> None:
        content = damage(rng, NETS)
        outcome(f"slayer {damage.__name__}", lambda: slayer_file.read(content, "fuzzed").graph(), Graph)

    each(go)


def test_onnx() -> None:
    def go(rng: random.Random) -> None:
        content = bytewise(rng, ONNX)
        outcome("onnx bytewise", lambda: onnx_file.read(content), Network)

    each(go)


def test_onnx_descriptions() -> None:
    """Sound protobuf around a description that was changed."""

    def go(rng: random.Random) -> None:
        model = model_of(rng.choice(ONNX))
        meta(model).value = jsons(rng, meta(model).value).encode("utf-8", "replace").decode()
        outcome("onnx description", lambda: onnx_file.read(model.SerializeToString()), Network)

    each(go)


def test_toml(tmp_path: Path) -> None:
    path = tmp_path / "snnc.toml"

    def go(rng: random.Random) -> None:
        path.write_bytes(bytewise(rng, TOML))
        outcome("toml", lambda: load_config(path), object)

    each(go, 2 * EXAMPLES)


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


def zips(rng: random.Random, files: list[bytes]) -> bytes:
    """An archive with a member exchanged: another array, or damaged with a right checksum."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(rng.choice(files))) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    name = rng.choice(sorted(members))
    if rng.random() < 0.5:
        members[name] = bytewise(rng, [members[name]])
    else:
        array, found = io.BytesIO(), np.asarray(value(rng))
        np.save(array, found.astype(str) if found.dtype == object else found)
        members[name] = array.getvalue()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for key, content in members.items():
            new.writestr(key, content)
    return buffer.getvalue()


@pytest.mark.parametrize("damage", [bytewise, zips])
def test_npz(tmp_path: Path, damage: Callable[[random.Random, list[bytes]], bytes]) -> None:
    files, path = archives(tmp_path), tmp_path / "fuzzed.npz"

    def go(rng: random.Random) -> None:
        path.write_bytes(damage(rng, files))
        encoding = rng.choice(("spikes", "direct"))
        outcome(f"npz samples {damage.__name__}", lambda: read_samples(path, (3,), encoding), Samples)
        outcome(f"npz trace {damage.__name__}", lambda: read_trace(path), Trace)

    each(go)


def test_an_error_of_another_kind_would_be_seen() -> None:
    """Control."""
    with pytest.raises(KeyError):
        outcome("control", lambda: {}["x"], object)
    with pytest.raises(AssertionError):
        outcome("control", lambda: 1, Graph)
