"""A compiled digits network that all command-line tests share, and a way to call the command in this process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from snnc.cli import asked_for

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "digits_mlp.py"


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


Snnc = Callable[..., Ran]


@pytest.fixture(scope="session")
def snnc() -> Snnc:
    """Calls the command line in this process: snnc("run", folder, ...)."""

    def call(*arguments: object) -> Ran:
        words = [str(a) for a in arguments]
        result = CliRunner().invoke(asked_for(words), words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture(scope="session")
def digits_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the held-out and the calibration digits."""
    folder = tmp_path_factory.mktemp("digits")
    subprocess.run([sys.executable, str(MODEL), "--export", str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def held_out(digits_data: Path) -> Path:
    """The held-out digits."""
    return digits_data / "digits_mlp_held_out.npz"


@pytest.fixture(scope="session")
def compiled(snnc: Snnc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits network compiled for both chips. Read only."""
    folder = tmp_path_factory.mktemp("compiled") / "digits"
    ran = snnc("compile", MODEL, "-t", "loihi1", "-t", "spinnaker1", "-o", folder)
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture
def copy(compiled: Path, tmp_path: Path) -> Path:
    """A copy of the compiled folder that a test may damage."""
    return Path(shutil.copytree(compiled, tmp_path / "copy"))
