"""Options and paths that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-dir", type=Path, default=ROOT / "tests" / "golden" / "vectors", help="golden vectors")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real models and recordings; they are not part of the project."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("real models and recordings (../shared/data) are not on this machine")
    return folder
