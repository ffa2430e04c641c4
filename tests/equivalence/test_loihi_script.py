"""The exported script, run where snnc cannot be imported, gives what the reference gives: every spike and state."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.trace import Trace, npz_bytes, read_trace
from snnc_loihi import backend, export
from snnc_loihi.lowering import plan_of
from snnc_loihi.plan import Plan, Synapses
from snnc_loihi.target import LOIHI1
from snnc_reference.execute import execute
from unit.loihi.loihi_nets import (
    EVERYTHING,
    Net,
    biased,
    convolutional,
    dense,
    differing,
    overflowing,
    recurrent,
    self_sustaining,
    short,
    skipped,
)

ALONE = """
import runpy, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith(("snnc", "torch", "onnx", "typer", "rich")):
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Nothing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not [name for name in sys.modules if name.startswith("snnc")]
"""


def call(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", ALONE, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=script.parent)


def exported(net: Net, folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Writes the script and its data; ``change`` damages the data, of which ``network`` is parsed."""
    files = dict(backend.export(backend.lower(net.graph, LOIHI1)))
    if change is not None:
        with np.load(io.BytesIO(files["lava.npz"]), allow_pickle=False) as data:
            arrays: dict[str, Any] = {key: data[key] for key in data.files}
        arrays["network"] = json.loads(str(arrays["network"]))
        change(arrays)
        files["lava.npz"] = npz_bytes({**arrays, "network": np.array(json.dumps(arrays["network"]))})
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / "run_lava.py"


def on_script(net: Net, folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Trace:
    script = exported(net, folder / "compiled", change)
    np.savez(folder / "input.npz", spikes=net.spikes)
    ran = call(script, folder / "input.npz", folder / "trace.npz", "--states")
    assert ran.returncode == 0, ran.stderr
    return read_trace(folder / "trace.npz")


@pytest.mark.parametrize("make", [short, convolutional, biased, skipped, overflowing, recurrent, self_sustaining])
def test_the_script_equals_the_reference(make: Callable[[], Net], tmp_path: Path) -> None:
    net = make()
    expected = execute(net.graph, net.spikes, EVERYTHING)
    found = on_script(net, tmp_path)
    assert found.spikes.keys() == expected.spikes.keys()
    assert differing(expected, found) == 0
    assert (found.backend, found.target) == ("lava", "loihi1")


def one_weight(arrays: dict[str, Any]) -> None:
    arrays["weights/f1"][3, 5] += 2


def one_reset(arrays: dict[str, Any]) -> None:
    """The states of b are cleared a step late, and its trace is cut a step late."""
    arrays["network"]["populations"][1]["latency"] += 1
    arrays["network"]["depth"] += 1


@pytest.mark.parametrize("change", [one_weight, one_reset])
def test_a_small_damage_shows(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    net = dense()
    assert differing(execute(net.graph, net.spikes, EVERYTHING), on_script(net, tmp_path, change)) > 0


def test_a_loop_needs_a_run_per_sample(tmp_path: Path) -> None:
    """One sample's echo reaches the next if they share a run."""
    net = self_sustaining()

    def together(arrays: dict[str, Any]) -> None:
        assert arrays["network"]["together"] is False
        arrays["network"]["together"] = True

    assert differing(execute(net.graph, net.spikes, EVERYTHING), on_script(net, tmp_path, together)) > 0


def test_one_sample_without_a_batch_axis(tmp_path: Path) -> None:
    net = dense()
    script = exported(net, tmp_path / "compiled")
    np.savez(tmp_path / "input.npz", spikes=net.spikes[1])
    ran = call(script, tmp_path / "input.npz", tmp_path / "trace.npz")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    with np.load(tmp_path / "trace.npz", allow_pickle=False) as data:
        assert data["spikes/b"].shape == (11, 5)
        assert not [key for key in data.files if key.startswith("states")]
    found = read_trace(tmp_path / "trace.npz")
    assert np.array_equal(found.spikes["b"], execute(net.graph, net.spikes[1:2]).spikes["b"])


def test_what_is_no_input_is_refused(tmp_path: Path) -> None:
    script = exported(dense(), tmp_path / "compiled")
    for spikes in (np.zeros((2, 4, 13)), np.full((2, 4, 12), 2), np.zeros((0, 4, 12))):
        np.savez(tmp_path / "input.npz", spikes=spikes)
        ran = call(script, tmp_path / "input.npz", tmp_path / "trace.npz")
        assert ran.returncode == 2
        assert "[B, T, *(12,)]" in ran.stderr
    assert not (tmp_path / "trace.npz").exists()


def test_the_script_imports_lava_and_numpy_only(tmp_path: Path) -> None:
    script = exported(dense(), tmp_path / "compiled")
    tree = ast.parse(script.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert foreign == {"lava", "numpy"}
    (tmp_path / "bad.py").write_text("import snnc")
    ran = call(tmp_path / "bad.py")
    assert "blocked: snnc" in ran.stderr, "the wall around the script has a hole"


def test_the_same_network_gives_the_same_bytes() -> None:
    first, second = (backend.export(backend.lower(skipped().graph, LOIHI1)) for _ in range(2))
    assert first == second
    assert sorted(first) == [export.DATA, export.SCRIPT]


def test_what_the_script_does_not_know_is_not_exported() -> None:
    """A field that is new in a plan is either written for the script or keeps it from being written."""
    plan = plan_of(dense().graph)
    assert {f.name for f in fields(Synapses)} == {*export.CONNECTION, "lag", "weights", "window"}
    assert {f.name for f in fields(Plan)} == {"sources", "populations", "synapses", "depth", "hosts"}
    assert export.script_files(plan, "loihi1")
    first, *rest = plan.populations
    other: Any = object()
    programmed = replace(plan, populations=(replace(first, code=other), *rest))
    assert export.script_files(programmed, "loihi2") == {}
    assert export.script_files(replace(plan, hosts=(other,)), "loihi1") == {}
