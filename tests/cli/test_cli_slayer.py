"""`snnc` on SLAYER files: their integers go to the chip as they are, and nothing is settled behind one's back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unit.formats.slayer_nets import dense, net_bytes, neuron

Snnc = Any
RNG = np.random.default_rng(5)
# Membranes without leak and even weights: v often is exactly at the threshold.
FLAT = neuron(iDecay=4096, vDecay=0, vThMant=24)
LAYERS = [
    dense(2 * RNG.integers(-8, 16, (8, 12)), neuron=FLAT, bias=np.array([-2.0])),
    dense(2 * RNG.integers(-8, 16, (4, 8)), neuron=neuron(iDecay=2048, vDecay=500, vThMant=24)),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net of 12-8-4, and spikes beside it."""
    folder = tmp_path_factory.mktemp("slayer")
    (folder / "small.net").write_bytes(net_bytes(LAYERS))
    spikes = (RNG.random((6, 20, 12)) < 0.3).astype(np.int8)
    np.savez(folder / "data.npz", spikes=spikes, labels=np.zeros(6, dtype=np.int64))
    return folder / "small.net"


@pytest.fixture(scope="module")
def common(model: Path) -> tuple[Any, ...]:
    return ("compile", model, "--data", model.with_name("data.npz"))


def test_compile_and_validate(snnc: Snnc, common: tuple[Any, ...], tmp_path: Path) -> None:
    ran = snnc(*common, "-t", "loihi1", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    with np.load(tmp_path / "out" / "loihi1" / "program.npz", allow_pickle=False) as payload:
        for index, layer in enumerate(LAYERS):
            assert np.array_equal(payload[f"layer{index}_weights.w"], layer["weight"])
        assert [int(payload[f"layer1.{key}"]) for key in ("du", "dv", "vth")] == [2047, 500, 24]
        assert payload["layer0.bias_mant"].tolist() == [-2] * 8
        assert int(payload["layer0.bias_exp"]) == 6
    ran = snnc("validate", tmp_path / "out", "--data", common[3], "--accuracy-points", 100)
    assert ran.code == 0, ran.err
    assert "engine / loihi" in ran.out


def test_a_chip_of_another_kind_quantizes_the_same_network(snnc: Snnc, common: tuple[Any, ...], tmp_path: Path) -> None:
    (tmp_path / "leaky.net").write_bytes(net_bytes([dense(LAYERS[0]["weight"])]))
    ran = snnc("compile", tmp_path / "leaky.net", *common[2:], "-t", "spinnaker1", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err


def test_the_comparison_is_an_option(snnc: Snnc, common: tuple[Any, ...], tmp_path: Path) -> None:
    """The same spikes in; where v meets the threshold the two comparisons part."""
    outputs = {}
    for word in ("gt", "ge"):
        folder = tmp_path / word
        ran = snnc(*common, "--fires", word, "-o", folder)
        assert ran.code == 0, ran.err
        ran = snnc("run", folder, "-b", "reference", "--input", common[3], "-o", tmp_path / f"{word}.npz")
        assert ran.code == 0, ran.err
        with np.load(tmp_path / f"{word}.npz", allow_pickle=False) as trace:
            outputs[word] = trace["spikes/layer0"]
    assert outputs["ge"].sum() > outputs["gt"].sum() > 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--weight-bits", 4), "integers already"), (("--per-channel",), "integers already"),
        (("--dt", "1e-3"), "settles dt"), (("--reset", "zero"), "settles reset"), (("--fires", "eq"), "gt or ge"),
    ],
)  # fmt: skip
def test_what_the_file_settles_is_no_option(
    snnc: Snnc, common: tuple[Any, ...], tmp_path: Path, options: tuple[Any, ...], word: str
) -> None:
    ran = snnc(*common, *options, "-o", tmp_path / "out")
    assert ran.code == 2
    assert word in " ".join(ran.err.split())
    assert not (tmp_path / "out").exists()


def test_fires_is_for_slayer_files(snnc: Snnc, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def build():\n    raise SystemExit\n")
    ran = snnc("compile", tmp_path / "model.py", "--fires", "ge", "-o", tmp_path / "out")
    assert ran.code == 2
    assert "settles fires" in " ".join(ran.err.split())


def test_data_is_asked_for(snnc: Snnc, model: Path, tmp_path: Path) -> None:
    ran = snnc("compile", model, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "--data" in ran.err


@pytest.mark.parametrize(
    ("content", "code", "word"),
    [
        (b"no file of this kind", 2, "no HDF5 file"),
        (net_bytes([{key: LAYERS[0][key] for key in LAYERS[0] if key != "weight"}]), 2, "layer0"),
        (net_bytes([*LAYERS, {"type": "pool", "shape": [2]}]), 3, "layer2"),
        (net_bytes([{**LAYERS[0], "neuron": neuron(iDecay=0)}]), 3, "decay_u"),
    ],
    ids=["damaged", "missing", "pool", "du -1"],
)
def test_exit_codes(snnc: Snnc, common: tuple[Any, ...], tmp_path: Path, content: bytes, code: int, word: str) -> None:
    (tmp_path / "bad.net").write_bytes(content)
    ran = snnc("compile", tmp_path / "bad.net", *common[2:], "-t", "loihi1", "-o", tmp_path / "out")
    assert ran.code == code
    assert word in " ".join(ran.err.split())
    assert not (tmp_path / "out").exists()
