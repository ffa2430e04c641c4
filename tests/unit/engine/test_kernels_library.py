"""How the compiled kernels are found, checked and chosen, and what is said where there are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernel_brute import LOIHI, neurons, plan, source
from snnc.engine import files, library, native, selftest
from snnc.engine.plan import Dense, Plan, Way
from snnc.errors import ConfigError, UnsupportedError

FOUND = library.state()


def small() -> Plan:
    return plan(LOIHI, source(9), neurons(5, (Way(0, 0, 0, Dense(np.ones((5, 9), np.int8))),), [9]))


@pytest.fixture
def kernels() -> library.Kernels:
    assert isinstance(FOUND, library.Kernels), FOUND
    return FOUND


def test_the_fastest_variant_is_the_best(kernels: library.Kernels) -> None:
    if not os.environ.get(library.VARIABLE, "").isalnum():
        assert kernels.best == kernels.variants[-1]
    assert library.kernels() is kernels
    assert not set(kernels.refused) & set(kernels.variants)


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch, kernels: library.Kernels) -> None:
    first = kernels.variants[0]
    if not os.environ.get(library.VARIABLE):
        monkeypatch.setenv(library.VARIABLE, first)
        chosen = library.kernels()
        assert chosen is not None
        assert chosen.best == first
    monkeypatch.setenv(library.VARIABLE, "none")
    assert library.kernels() is None
    with pytest.raises(UnsupportedError, match="no compiled kernels: SNNC_KERNELS is none"):
        native.execute(native.prepare(small()), {0: np.zeros((1, 1, 9), np.int8)}, 1, native.Wishes())
    monkeypatch.setenv(library.VARIABLE, str(kernels.path))
    again = library.kernels()
    assert again is not None
    assert again.variants == kernels.variants


LOADING = "cannot be loaded"


@pytest.mark.parametrize(
    ("wish", "reason"), [("neon9", "allowed is"), ("/nowhere/at/all.so", LOADING), (__file__, LOADING)]
)
def test_what_cannot_be_used_has_a_reason(wish: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, wish)
    found = library.state()
    assert isinstance(found, library.Absent)
    assert reason in found.reason


def test_an_installation_without_kernels_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    library._load.cache_clear()
    monkeypatch.delenv(library.VARIABLE, raising=False)
    found = library.state()
    library._load.cache_clear()
    assert isinstance(found, library.Absent)
    assert "without a C compiler" in found.reason


def test_a_library_of_other_sources_is_refused(monkeypatch: pytest.MonkeyPatch, kernels: library.Kernels) -> None:
    monkeypatch.setattr(library, "TABLES", tuple((*table, "more") for table in library.TABLES))
    found = library._load.__wrapped__(str(kernels.path))
    assert isinstance(found, library.Absent)
    assert "built from other sources" in found.reason


@pytest.mark.parametrize("wrong", ["spike", "membrane", "ending"])
def test_a_variant_that_disagrees_is_refused(
    wrong: str, monkeypatch: pytest.MonkeyPatch, kernels: library.Kernels
) -> None:
    """The definition is bent instead of the kernels: by one bit of one number."""
    right = selftest.expected

    def bent(p: Plan, spikes: np.ndarray) -> tuple[list[list[int]], list[list[int]]]:  # type: ignore[type-arg]
        fired, membranes = right(p, spikes)
        if wrong == "spike":
            fired[-1][-1] ^= 1
        elif wrong == "membrane":
            membranes[2][5] ^= 1
        return fired, membranes

    monkeypatch.setattr(selftest, "expected", bent)
    if wrong == "ending":
        assert not selftest.agrees(lambda _fields: 1)
        return
    selftest._case.cache_clear()
    try:
        found = library._load.__wrapped__(str(kernels.path))
    finally:
        selftest._case.cache_clear()
    assert isinstance(found, library.Absent)
    assert "disagrees" in found.reason


def test_the_selftest_saturates() -> None:
    spikes = np.ones((selftest.STEPS, selftest.SOURCES), dtype=np.int8)
    fired, membranes = selftest.expected(selftest.layer(), spikes)
    top = (1 << 23) - 1
    assert {-top, top} <= {v for row in membranes for v in row}
    assert 0 < sum(map(sum, fired)) < selftest.STEPS * selftest.NEURONS


def test_an_unknown_variant_names_those_that_there_are(kernels: library.Kernels) -> None:
    with pytest.raises(ConfigError, match="avx3"):
        kernels.number("avx3")


def test_a_plan_runs_alike_after_storing() -> None:
    p = small()
    prepared, again = native.prepare(p), native.prepare(files.read(files.write(p)))
    sent = np.ones((2, 40, 9), np.int8)
    runs = [native.execute(one, {0: sent}, 40, native.Wishes((1,), (1,))) for one in (prepared, again)]
    assert np.array_equal(runs[0].states[1, "v"], runs[1].states[1, "v"])
    assert runs[0].signals[1].any()
    assert native.prepare(p) is prepared


def test_results_are_not_overwritten_while_somebody_has_them() -> None:
    prepared = native.prepare(small())
    ones = np.ones((3, 40, 9), np.int8)
    first = native.execute(prepared, {0: ones}, 40, native.Wishes((1,)))
    view, before = first.signals[1][1:], first.signals[1][1:].copy()
    del first
    second = native.execute(prepared, {0: ones * 0}, 40, native.Wishes((1,)))
    assert not second.signals[1].any()
    assert np.array_equal(view, before)
    assert view.any()
    address = second.signals[1].ctypes.data
    del second
    assert native.execute(prepared, {0: ones}, 40, native.Wishes((1,))).signals[1].ctypes.data == address


def test_running_imports_neither_torch_nor_onnx() -> None:
    code = "import sys, snnc.engine.native as n; n.library.state(); print({'torch', 'onnx'} & set(sys.modules))"
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"} | {library.VARIABLE: ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "set()"
