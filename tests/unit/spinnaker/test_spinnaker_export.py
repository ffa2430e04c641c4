"""The exported script: on a stand-in that runs the emulated core, and on sPyNNaker's virtual board."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnc.backend import Exporter, Program
from snnc.ir import Affine, Edge, Flatten, Graph, Input, Neuron, Readout
from snnc.passes import run_passes
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc.trace import Probes, read_trace
from snnc_reference.execute import execute
from snnc_spinnaker import backend
from snnc_spinnaker.placement_report import Report
from snnc_spinnaker.target import SPINNAKER1
from unit.spinnaker import fake_pynn

CONFIG = "[Machine]\nvirtual_board = True\nversion = 5\n[Reports]\nwrite_network_graph = False\n"


def network(wide: int = 8, loop: int = 5) -> tuple[Program, Any]:
    """Both models, a bias, a start value, a refractory loop with a delay."""
    rng = np.random.default_rng(3)
    pairs = {"w1": (wide, 12), "w2": (6, wide), "rec": (wide, wide)}
    drawn = {name: Affine(name, rng.normal(0.1, 2 / np.sqrt(size[1]), size)) for name, size in pairs.items()}
    drawn["w1"] = Affine("w1", drawn["w1"].weight, rng.normal(0, 0.2, wide))
    first = Neuron("a", shape=(wide,), decay_u=np.array(0.6), decay_v=np.array(0.9), v_reset=np.array(-0.5),
                   reset_v="value", refractory=2)  # fmt: skip
    last = Neuron("b", shape=(6,), decay_v=rng.uniform(0.3, 0.9, 6), v_init=np.array(0.2))
    nodes = (Input("in", shape=(3, 4)), Flatten("flat"), *drawn.values(), first, last, Readout("out"))
    ends = [("in", "flat"), ("flat", "w1"), ("w1", "a"), ("a", "w2"), ("w2", "b"), ("b", "out"), ("rec", "a")]
    graph = Graph(nodes, (*(Edge(*end) for end in ends), Edge("a", "rec", loop)))
    graph, _ = run_passes(graph, SPINNAKER1.prepare)
    x = (rng.random((2, 20, 3, 4)) < 0.3).astype(np.int8)
    made = SPINNAKER1.quantize(graph, Calibration(x, execute(graph, x)), QuantizeOptions())
    return backend.lower(made.graph, SPINNAKER1), x


def exported(program: Program, folder: Path, **changed: Any) -> Path:
    """The files in a folder; ``changed`` replaces entries of the network or of its parts."""
    files = dict(backend.export(program))
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if changed:
        data = dict(np.load(folder / "spynnaker.npz", allow_pickle=False))
        found = json.loads(str(data["network"]))
        for path, value in changed.items():
            part, _, key = path.partition("__")
            for entry in found[part]:
                entry[key] += value
        data["network"] = np.array(json.dumps(found))
        np.savez(folder / "spynnaker.npz", **data)
    return folder / "run_spynnaker.py"


def simulate(script: Path, x: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, fake_pynn.Simulator]:
    """The script's trace from the stand-in."""
    sim = fake_pynn.Simulator()
    holder = SimpleNamespace(get_config_bool=lambda *_: False)
    monkeypatch.setitem(sys.modules, "pyNN", SimpleNamespace(spiNNaker=sim))
    monkeypatch.setitem(sys.modules, "pyNN.spiNNaker", sim)
    monkeypatch.setitem(sys.modules, "spinn_utilities", SimpleNamespace(config_holder=holder))
    monkeypatch.setitem(sys.modules, "spinn_utilities.config_holder", holder)
    spec = importlib.util.spec_from_file_location("exported_script", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given, made = script.with_name("x.npz"), script.with_name("y.npz")
    np.savez(given, spikes=x)
    monkeypatch.setattr(sys, "argv", [str(script), str(given), str(made), "--states"])
    module.main()
    return read_trace(made), sim


def differing(program: Program, got: Any, x: Any) -> int:
    want = backend.run(program, x, Probes("all", "all"))
    assert set(got.spikes) == set(want.spikes)
    assert set(got.states) == set(want.states)
    pairs = [(got.spikes[key], want.spikes[key]) for key in want.spikes]
    pairs += [(got.states[key], want.states[key]) for key in want.states]
    assert all(a.shape == b.shape for a, b in pairs)
    return sum(int(np.count_nonzero(a != b)) for a, b in pairs)


def test_the_script_gives_the_emulators_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = network()
    assert {p.words.kind for p in program.data.populations} == {"exp", "delta"}
    got, sim = simulate(exported(program, tmp_path), x, monkeypatch)
    assert sim.setups == len(x)
    assert got.spikes["a"].any()
    assert got.spikes["b"].any()
    assert differing(program, got, x) == 0


def test_delays_over_an_extension_are_whole_in_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in has rings as long as the longest delay: the emulator's stages change nothing."""
    program, x = network(66, 140)
    assert [(late.source, late.stages, late.reach) for late in program.data.extensions] == [("a", 1, 128)]
    x = np.concatenate([x] * 8, axis=1)[:1]
    got, _ = simulate(exported(program, tmp_path), x, monkeypatch)
    assert got.spikes["a"][0, :139].any()
    assert differing(program, got, x) == 0
    late, _ = simulate(exported(program, tmp_path, projections__delay=1), x, monkeypatch)
    assert differing(program, late, x) > 20


WRONG = {
    "latency": {"populations__latency": -1},
    "start": {"sources__start": 1},
    "weight unit": {"projections__ring_shift": 1},
    "ring shift": {"populations__ring_shift": -1},
    "delay": {"projections__delay": 1},
}


@pytest.mark.parametrize("change", WRONG)
def test_a_wrong_export_is_noticed(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = network()
    got, _ = simulate(exported(program, tmp_path, **WRONG[change]), x, monkeypatch)
    assert differing(program, got, x) > 20


def test_a_sample_without_spikes_and_one_without_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = network()
    script = exported(program, tmp_path)
    got, sim = simulate(script, np.zeros_like(x[:1]), monkeypatch)
    assert differing(program, got, np.zeros_like(x[:1])) == 0
    assert sim.setups == 1
    alone, _ = simulate(script, x[1], monkeypatch)
    assert differing(program, alone, x[1:]) == 0


def test_the_largest_expected_sum_gives_each_shift() -> None:
    assert [fake_pynn.shift_of(0.75 * 2.0**shift) for shift in range(16)] == list(range(16))
    assert [fake_pynn.shift_of(w) for w in (1, 3, 40)] == [1, 2, 6]  # the examples of section 1.3


def test_the_export_is_the_back_ends_and_needs_no_snnc() -> None:
    assert isinstance(backend, Exporter)
    program, _ = network()
    files = backend.export(program)
    assert files == backend.export(Program("spinnaker", "spinnaker1", program.graph, {}, {}))
    text = files["run_spynnaker.py"].decode()
    assert "import snnc" not in text
    assert "from snnc" not in text


@pytest.mark.skipif(importlib.util.find_spec("spynnaker") is None, reason="sPyNNaker is not installed")
def test_the_tools_map_the_script_as_we_do(tmp_path: Path) -> None:
    """Cores and keys on the virtual board; HOME is a scratch folder, because the tools write into it."""
    program, x = network(300, 200)
    script = exported(program, tmp_path)
    (tmp_path / ".spynnaker.cfg").write_text(CONFIG)
    np.savez(tmp_path / "x.npz", spikes=x)
    run: Callable[..., Any] = subprocess.run
    done = run([sys.executable, script, "x.npz", "y.npz"], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)},
               capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "y.npz", allow_pickle=False) as made:
        theirs = json.loads(str(made["mapping"]))
    ours = [
        {"population": s.vertex, "first": s.first, "last": s.last, "x": s.chip[0], "y": s.chip[1], "core": s.core,
         "key": s.key}
        for s in Report(program.data, SPINNAKER1).demand.slices
    ]  # fmt: skip
    assert len(ours) == 1 + 1 + 5 + 1 + 5
    assert ours[-1]["population"] == "a_delayed"
    assert ours == theirs
