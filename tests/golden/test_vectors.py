"""Rung 6: numbers that other people's software and chips produced, replayed bit for bit.

``pytest tests/golden --golden-dir DIR`` runs every .npz and .json file of DIR. A file that nobody recognises, one
that nothing executes yet and a folder without files all fail: a vector that is not checked is not passed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_base import read, report, vector_files
from golden_kinds import replay


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder: Path = metafunc.config.getoption("--golden-dir")
    files = vector_files(folder) if folder.is_dir() else []
    metafunc.parametrize("vector", files or [None], ids=[path.name for path in files] or ["no-vectors"])


def test_vector(vector: Path | None, pytestconfig: pytest.Config) -> None:
    if vector is None:
        pytest.fail(f"{pytestconfig.getoption('--golden-dir')} holds no golden vectors: nothing is checked", False)
    lines = report(vector.name, replay(vector.stem, read(vector)))
    print(lines[0])  # noqa: T201 - the count is the evidence, shown by -rP
    if len(lines) > 1:
        pytest.fail("\n".join(lines), False)
