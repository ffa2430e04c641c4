"""Law: nobody loads a file of weights in a way that runs code from it; the command line says what to do instead."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from snnc import cli

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("toolchain", "backends", "models", "benchmarks")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LOADERS = ("torch.load", "torch.jit.load", "torch.package.PackageImporter")


def breaches(source: str) -> Iterator[str]:
    """Calls that unpickle, and names under which ``load`` could hide from this scan."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in (
            "torch",
            "torch.jit",
            "torch.package",
            "torch.serialization",
        ):
            yield from (f"from torch import {n.name}" for n in node.names if n.name in ("load", "PackageImporter"))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in LOADERS:
            words = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if ast.unparse(node.func) != "torch.load" or words.get("weights_only") != "True":
                yield ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_weights_are_loaded_without_code(path: Path) -> None:
    assert not list(breaches(path.read_text())), "a weight file from elsewhere would run its code"


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x.pt')",
        "import torch\ntorch.load('x.pt', weights_only=False)",
        "import torch\ndef f(p, w): return torch.load(p, weights_only=w)",
        "import torch\ntorch.jit.load('x.pt')",
        "from torch import load",
        "def f():\n    from torch.serialization import load as read",
    ],
)
def test_the_law_sees_a_breach(source: str) -> None:
    assert list(breaches(source))
    assert not list(breaches("import torch\ntorch.load('x.pt', map_location='cpu', weights_only=True)"))


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".pkl"])
@pytest.mark.parametrize("verb", ["check", "compile", "convert"])
def test_a_file_of_weights_is_refused_unread(
    suffix: str, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mark, model = tmp_path / "ran", tmp_path / f"model{suffix}"
    model.write_bytes(pickle.dumps(Trap(mark)))
    monkeypatch.setattr("sys.argv", ["snnc", verb, str(model)])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "weights_only=True" in error
    assert "build()" in error
    assert not mark.exists(), "code from the file ran"
    pickle.loads(model.read_bytes())
    assert mark.exists(), "the trap is none"
