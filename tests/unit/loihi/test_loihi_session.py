"""Lava itself: imported late, its absence said clearly, and a child that fails ends the run with its reason."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from snnc.errors import SnncError, TraceError
from snnc_loihi import backend, compat
from snnc_loihi.lowering import plan_of
from snnc_loihi.target import LOIHI1
from snnc_loihi.timeline import Timeline
from unit.loihi.loihi_nets import EVERYTHING, dense


def python(code: str) -> str:
    paths = [p for p in sys.path if p]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    return done.stdout + done.stderr


def test_lowering_imports_no_lava() -> None:
    code = (
        "import sys; from snnc_loihi import backend; from unit.loihi.loihi_nets import dense;"
        "backend.lower(dense().graph, backend.targets[0]); print('lava' in sys.modules, 'torch' in sys.modules)"
    )
    assert python(code).strip() == "False False"


def test_another_start_method_is_refused() -> None:
    code = (
        "import multiprocessing as m; m.set_start_method('spawn')\n"
        "from snnc_loihi import compat\n"
        "try: compat.activate()\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    assert "SnncError Lava starts its processes by fork" in python(code)


def test_a_program_that_chose_fork_runs_lava() -> None:
    code = (
        "import multiprocessing as m; m.set_start_method('fork'); before = m.set_start_method\n"
        "from snnc_loihi import compat; compat.activate(); import lava.magma.runtime.runtime\n"
        "print(m.set_start_method == before)"
    )
    assert python(code).strip() == "True"


def test_missing_lava_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, package: str | None = None) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="lava")

    monkeypatch.setattr(compat, "_done", [])
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SnncError, match=r"make setup.*--ignore-requires-python lava-nc==0\.10\.0"):
        compat.activate()


def test_lava_leaves_no_handlers_and_no_processes_behind() -> None:
    net = dense()
    program = backend.lower(net.graph, LOIHI1)
    handlers = list(logging.getLogger().handlers)
    backend.run(program, net.spikes[:1, :2], EVERYTHING)
    assert logging.getLogger().handlers == handlers
    assert not multiprocessing.active_children()
    from lava.magma.core.process.process import ProcessServer

    assert not ProcessServer().processes


def test_a_run_ends_a_program_silently() -> None:
    code = (
        "from snnc_loihi import backend; from unit.loihi.loihi_nets import EVERYTHING, dense; net = dense();"
        "program = backend.lower(net.graph, backend.targets[0]);"
        "backend.run(program, net.spikes[:1, :2], EVERYTHING); print('done')"
    )
    assert python(code).strip() == "done", "Lava's processes are collected when Python ends: not a word of theirs"


def run_with(failing: Any) -> Any:
    compat.activate()
    from snnc_loihi.sim.network import simulate
    from snnc_loihi.sim.recording import RecordingLif

    net = dense()
    plan = plan_of(net.graph)
    model = type("Model", (RecordingLif,), {"run_spk": failing})
    with compat.quiet():
        return simulate(plan, Timeline.of(plan, 4, 11), net.spikes, frozenset(), model)


def test_an_exception_in_a_child_becomes_the_error() -> None:
    def failing(self: Any) -> None:
        if self.time_step == 3:
            raise ValueError("the dendrite broke")
        super(type(self), self).run_spk()

    with pytest.raises(SnncError, match="ValueError: the dendrite broke"):
        run_with(failing)
    assert not multiprocessing.active_children()


def test_a_child_that_dies_becomes_an_error() -> None:
    def dying(self: Any) -> None:
        os._exit(7)

    with pytest.raises(SnncError, match="exit code 7"):
        run_with(dying)
    assert not multiprocessing.active_children()


def test_a_child_that_cannot_be_built_becomes_an_error() -> None:
    compat.activate()
    from snnc_loihi.sim.network import simulate
    from snnc_loihi.sim.recording import RecordingLif

    def broken(self: Any, proc_params: Any) -> None:
        raise MemoryError("no room for the axons")

    net = dense()
    plan = plan_of(net.graph)
    model = type("Model", (RecordingLif,), {"__init__": broken})
    with compat.quiet(), pytest.raises(SnncError, match="no room for the axons"):
        simulate(plan, Timeline.of(plan, 1, 11), net.spikes, frozenset(), model)
    assert not multiprocessing.active_children()


def test_silence_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    compat.activate()
    from snnc_loihi.sim import session

    monkeypatch.setattr(session, "START_SECONDS", 2.0)
    monkeypatch.setattr(session, "STEP_SECONDS", 0.0)

    def stuck(self: Any) -> None:
        import time

        time.sleep(60)

    with pytest.raises(SnncError, match="no answer in time"):
        run_with(stuck)
    assert not multiprocessing.active_children()


def test_wrong_input_is_refused_before_lava_starts() -> None:
    program = backend.lower(dense().graph, LOIHI1)
    with pytest.raises(TraceError, match="input shape"):
        backend.run(program, np.zeros((2, 5, 13)), EVERYTHING)
    with pytest.raises(TraceError, match="0 or 1"):
        backend.run(program, np.full((2, 5, 12), 2), EVERYTHING)
