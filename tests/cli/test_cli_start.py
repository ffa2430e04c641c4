"""What `snnc run` needs to start: no package that takes longer to import than the run, and the same command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from snnc.cli import app, asked_for

HEAVY = {"torch", "onnx", "onnxruntime", "rich", "pydantic", "matplotlib"}
CHILD = """
import json, sys
from snnc.cli import main
try:
    main(sys.argv[2:])
finally:
    with open(sys.argv[1], "w") as file:
        json.dump(sorted({name.partition(".")[0] for name in sys.modules}), file)
"""


def imported(tmp_path: Path, *arguments: object) -> set[str]:
    """Packages that a process holds when the verb is done."""
    plain = {key: value for key, value in os.environ.items() if key not in {"FORCE_COLOR", "TTY_COMPATIBLE"}}
    listed = tmp_path / "modules.json"
    subprocess.run(
        [sys.executable, "-c", CHILD, str(listed), *(str(a) for a in arguments)],
        check=True, capture_output=True, env=plain,
    )  # fmt: skip
    return set(json.loads(listed.read_text()))


@pytest.mark.parametrize("options", [(), ("--json",), ("--states", "--threads", 2, "--accumulators")])
def test_a_run_imports_little(compiled: Path, held_out: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    trace = tmp_path / "trace.npz"
    found = imported(
        tmp_path, "run", compiled, "--input", held_out, "-t", "loihi1", "-o", trace, "--samples", 2, *options
    )
    assert trace.is_file()
    assert not found & HEAVY
    assert not {name for name in found if name.startswith("snnc_")}, "no back end is loaded"
    assert {"snnc", "typer", "numpy"} <= found


def test_other_verbs_import_what_they_need(compiled: Path, held_out: Path, tmp_path: Path) -> None:
    """Negative control: what is listed are the modules of that process."""
    assert {"rich", "onnx", "snnc_loihi", "pydantic"} <= imported(tmp_path, "inspect", compiled)
    ran = imported(tmp_path, "run", compiled, "--input", held_out, "--backend", "reference", "--samples", 1)
    assert {"onnx", "snnc_reference"} <= ran


@pytest.mark.parametrize(
    "words",
    [
        (), ("--help",), ("--version",), ("run",), ("run", "--help"), ("rn",), ("run", "x", "--input", "y", "z"),
        ("run", "x", "--inptu", "y"), ("run", "x", "--input"), ("targets", "--help"), ("targets", "show"),
        ("learn",), ("learn", "run", "--help"), ("learn", "rn"), ("compile",), ("--nothing", "run"), ("init", "--help"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_part_says_what_the_whole_says(words: tuple[str, ...]) -> None:
    """One verb is built alone; help, suggestions and refusals are those of the whole command line."""
    whole, part = (CliRunner().invoke(made, list(words)) for made in (app, asked_for(list(words))))
    assert (part.exit_code, part.stdout, part.stderr) == (whole.exit_code, whole.stdout, whole.stderr)


def test_only_what_is_asked_for_is_built() -> None:
    """Negative control: the part is a part, and asking for it leaves the whole as it is."""
    count = len(app.registered_commands)
    assert [one.callback.__name__ for one in asked_for(["run", "x"]).registered_commands if one.callback] == ["run"]
    assert not asked_for(["learn"]).registered_commands
    assert asked_for(["runn"]) is app
    assert len(app.registered_commands) == count > 5


def test_tables_in_pipes_are_never_cut(
    snnc: Any, compiled: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    ran = snnc("run", compiled, "--input", held_out, "--samples", 3)
    first, _, head, rule, row, *_ = ran.out.splitlines()
    assert first == "engine / generic: 3 samples of 16 steps, accuracy 100.00 %"
    assert head.split() == ["population", "spikes", "spikes", "per", "neuron", "and", "step"]
    assert set(rule.strip()) == {"─"}
    assert row.split()[0] == "lif1"


def test_colours_come_when_they_are_asked_for(
    snnc: Any, compiled: Path, held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ("run", compiled, "--input", tmp_path / "a:smile:[bold]b.npz")
    plain = snnc(*wrong)
    assert plain.err.startswith(f"error: {tmp_path}/a:smile:[bold]b.npz cannot")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = snnc(*wrong)
    assert "\x1b[1;31merror:\x1b[0m" in coloured.err
    assert "a:smile:[bold]b.npz" in coloured.err
    assert "\x1b[1m" in snnc("run", compiled, "--input", held_out, "--samples", 1).out
