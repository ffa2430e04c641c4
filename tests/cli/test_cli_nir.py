"""`snnc` on NIR files: what is open is asked for, what is settled is compiled and proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

Snnc = Any
RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Affine-LIF-Linear-IF, 12-8-4, and spikes beside it."""
    folder = tmp_path_factory.mktemp("nir")
    nodes: dict[str, dict[str, Any]] = {
        "in": {"type": "Input", "shape": (12,)},
        "a": {"type": "Affine", "weight": RNG.normal(0.2, 0.4, (8, 12)), "bias": RNG.normal(0, 0.1, 8)},
        "b": {"type": "LIF", "tau": 0.01, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0},
        "c": {"type": "Linear", "weight": RNG.normal(0.2, 0.4, (4, 8))},
        "d": {"type": "IF", "r": 1.0, "v_threshold": 1.0},
        "out": {"type": "Output", "shape": (4,)},
    }
    with h5py.File(folder / "net.nir", "w") as file:
        file["node/type"] = "NIRGraph"
        table = np.array([["in", "a"], ["a", "b"], ["b", "c"], ["c", "d"], ["d", "out"]], dtype=object)
        file["node"].create_dataset("edges", data=table, dtype=h5py.string_dtype())
        for name, fields in nodes.items():
            for key, value in fields.items():
                file[f"node/nodes/{name}/{key}"] = value
    spikes = (RNG.random((6, 20, 12)) < 0.3).astype(np.int8)
    np.savez(folder / "data.npz", spikes=spikes, labels=np.zeros(6, dtype=np.int64))
    np.savez(folder / "analog.npz", values=spikes * 0.5)
    return folder / "net.nir"


SETTLED = ("--dt", "1e-3", "--reset", "zero", "--decay", "euler")


def test_compile_and_validate(snnc: Snnc, model: Path, tmp_path: Path) -> None:
    data = model.with_name("data.npz")
    ran = snnc("compile", model, "--data", data, *SETTLED, "-t", "loihi1", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    ran = snnc("validate", tmp_path / "out", "--data", data, "--accuracy-points", 100)
    assert ran.code == 0, ran.err
    assert "engine / loihi" in ran.out


def test_open_questions_name_their_options(snnc: Snnc, model: Path, tmp_path: Path) -> None:
    ran = snnc("compile", model, "--data", model.with_name("data.npz"), "-o", tmp_path / "out")
    assert ran.code == 2
    for option in ("--dt", "--reset", "--decay"):
        assert option in ran.err
    assert not (tmp_path / "out").exists()


def test_data_is_asked_for(snnc: Snnc, model: Path, tmp_path: Path) -> None:
    ran = snnc("compile", model, *SETTLED, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "--data" in ran.err


def test_unknown_words_list_the_known(snnc: Snnc, model: Path, tmp_path: Path) -> None:
    ran = snnc("compile", model, "--reset", "hard", "-o", tmp_path / "out")
    assert ran.code == 2
    assert "subtract-delayed" in ran.err


def test_check_names_what_a_chip_cannot_do(snnc: Snnc, model: Path) -> None:
    """A soft reset is known to no Loihi 1; nor is one that comes a step late."""
    common = ("check", model, "--data", model.with_name("data.npz"), "--dt", "1e-3", "--decay", "euler", "-t", "loihi1")
    assert snnc(*common, "--reset", "zero").code == 0
    for word, rule in (("subtract", "reset_v"), ("zero-delayed", "reset_delay")):
        ran = snnc(*common, "--reset", word)
        assert ran.code == 3
        assert rule in ran.out


def test_analog_data_makes_an_analog_input(snnc: Snnc, model: Path) -> None:
    ran = snnc("check", model, "--data", model.with_name("analog.npz"), *SETTLED, "-t", "spinnaker1")
    assert ran.code == 3, ran.err
    assert "direct" in ran.out


def test_a_corrupt_file_is_an_error(snnc: Snnc, tmp_path: Path) -> None:
    bad = tmp_path / "bad.nir"
    bad.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    ran = snnc("check", bad, *SETTLED)
    assert ran.code == 2
    assert "is damaged" in ran.err
