"""The plugin in a project of its own: a test that holds, and one whose budget is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_plugin_passes_and_fails_as_it_should(compiled: Path, held_out: Path, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "def test_good(snnc_equivalence):\n"
        f"    found = snnc_equivalence({str(compiled)!r}, {str(held_out)!r}, samples=20)\n"
        "    assert found.accuracy['loihi1'] > 0.8\n\n"
        "def test_bad(snnc_equivalence):\n"
        f"    snnc_equivalence({str(compiled)!r}, {str(held_out)!r}, samples=20, spike_mismatch=0.0)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "snnc.pytest_plugin", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "NotEquivalentError" in done.stdout
    assert "spike_mismatch" in done.stdout
