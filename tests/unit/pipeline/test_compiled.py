"""A compiled folder from Python: what users get without the command line, and without what running does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snnc import artifacts
from snnc.backend import discover
from snnc.compare import compare
from snnc.compiled import load
from snnc.config import Config
from snnc.errors import InputError, IntegrityError
from snnc.folder import write_folder
from snnc.pipeline import compile_source
from snnc.trace import Probes
from unit.pipeline.test_ladder import source

LIGHT = """
import sys, numpy
from snnc.compiled import load
load(sys.argv[1]).run(numpy.zeros((1, 3, 6), dtype=numpy.int8))
print([name for name in ("torch", "onnx", "onnxruntime", "rich", "typer", "snnc_reference") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = compile_source(source(), Config().override("compile", targets=("spinnaker1",)), discover())
    out = tmp_path_factory.mktemp("compiled") / "net"
    write_folder(out, artifacts.files(made), artifacts.facts(made))
    return out


def test_it_runs_like_the_reference(folder: Path) -> None:
    compiled = load(folder)
    assert compiled.targets == ("generic", "spinnaker1")
    spikes = (np.random.default_rng(3).random((5, 20, *compiled.shape)) < 0.4).astype(np.int8)
    opened = artifacts.open_folder(folder, discover())
    for target in compiled.targets:
        truth = discover().reference.execute(opened.fixed_graph(target), spikes, Probes(states="all"))
        for engine in ("auto", "dense"):
            found = compiled.run(spikes, Probes(states="all"), target=target, engine=engine)  # type: ignore[arg-type]
            assert compare(truth, found).differing == 0
    other = compiled.run(spikes, target="spinnaker1")
    assert compare(truth, other, states=False).differing == 0


def test_running_imports_nothing_that_it_does_not_need(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bad_folders_and_targets_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the nearest is 'spinnaker1'"):
        load(folder).run(np.zeros((1, 1, 6), dtype=np.int8), target="spinaker1")
    with pytest.raises(IntegrityError, match="no compiled folder"):
        load(tmp_path)
