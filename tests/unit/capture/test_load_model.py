"""Model files: what a user's file may do, and how each mistake is told."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from snnc.capture import capture, load_model
from snnc.errors import ModelError

GOOD = """
from torch import nn
from parts import hidden
from snnc.nn import LIF
import numpy as np

def build():
    print("building")
    return nn.Sequential(nn.Linear(4, hidden()), LIF(3))

def wide():
    return nn.Sequential(nn.Linear(4, 8), LIF(8))

def example():
    return {"spikes": np.ones((2, 5, 4)), "labels": np.array([0, 1])}
"""


def write(folder: Path, text: str, name: str = "net.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_with_a_module_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, GOOD)
    write(tmp_path, "def hidden():\n    return 3\n", "parts.py")
    before = list(sys.path)
    model = load_model(str(path))
    assert (model.name, model.path) == ("net", path)
    assert model.samples is not None
    assert model.samples.spikes.shape == (2, 5, 4)
    assert model.samples.spikes.dtype == np.int8
    assert model.samples.labels is not None
    assert model.samples.labels.tolist() == [0, 1]
    assert capture(model.module, model.samples.spikes).graph["linear0"].kind == "affine"
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "building\n"), "a user's prints must not mix with the command's output"
    assert sys.path == before
    assert "parts" not in sys.modules


def test_two_files_with_neighbours_of_one_name(tmp_path: Path) -> None:
    for size in (3, 6):
        folder = tmp_path / str(size)
        folder.mkdir()
        write(folder, GOOD.replace("LIF(3)", f"LIF({size})"))
        write(folder, f"def hidden():\n    return {size}\n", "parts.py")
        assert load_model(str(folder / "net.py")).module[0].out_features == size


def test_another_function(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    write(tmp_path, "def hidden():\n    return 3\n", "parts.py")
    assert load_model(f"{path}:wide").module[0].out_features == 8


FOUR = "from torch import nn\n"
MISTAKES = {
    "syntax": ("def build(:\n", r"importing it raised SyntaxError.*line 1"),
    "import": ("x = 1\nimport nonsense_package\n", r"importing it raised ModuleNotFoundError.*line 2"),
    "name": ("def biuld():\n    pass\n", r"no function is called 'build'; the nearest is 'biuld'"),
    "empty": ("", r"no function is called 'build'; the file defines none"),
    "raises": ("def build():\n    a = 1\n    raise KeyError('w')\n", r"build\(\) raised KeyError: 'w' \(line 3\)"),
    "exit": ("import sys\nsys.exit(3)\n", r"importing it raised SystemExit: 3 \(line 2\)"),
    "arguments": ("def build(n):\n    pass\n", r"build\(\) raised TypeError.*'n'"),
    "result": ("def build():\n    return 3\n", r"build\(\) returns int, allowed is torch.nn.Module"),
    "nan": (
        FOUR + "def build():\n    m = nn.Linear(2, 2)\n    m.weight.data[0, 1] = float('nan')\n    return m\n",
        r"build\(\): weight is NaN or infinite in 1 of 4 places",
    ),
    "example": (
        FOUR + "def build():\n    return nn.Linear(2, 2)\ndef example():\n    return 1 / 0\n",
        r"example\(\) raised ZeroDivisionError: division by zero \(line 5\)",
    ),
    "example-keys": (
        FOUR + "def build():\n    return nn.Linear(2, 2)\ndef example():\n    return {'x': 1}\n",
        r"example\(\) returns a dict with x; needs 'spikes'",
    ),
    "example-shape": (
        FOUR + "def build():\n    return nn.Linear(2, 2)\ndef example():\n    return [1, 2, 3]\n",
        r"example\(\): input shape is \(3,\), allowed is \[B, T",
    ),
    "example-labels": (
        FOUR + "def build():\n    return nn.Linear(2, 2)\ndef example():\n    return [[[1]], [[0]]], [0.5, 1]\n",
        r"example\(\): labels are float64",
    ),
    "example-not-spikes": (
        FOUR + "def build():\n    return nn.Linear(2, 2)\ndef example():\n    return {'spikes': [[[2]]]}\n",
        r"example\(\): spikes are 0 or 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_a_model_error_that_says_where(name: str, tmp_path: Path) -> None:
    text, message = MISTAKES[name]
    path = write(tmp_path, text)
    modules = set(sys.modules)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(str(path))
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    assert set(sys.modules) == modules


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_model(str(tmp_path / "absent.py"))
    with pytest.raises(ModelError, match=r"a model is file.py or file.py:function"):
        load_model(str(tmp_path / "net.onnx"))


@pytest.mark.parametrize(
    ("returned", "direct"),
    [("torch.ones(1, 2, 3), torch.tensor([4])", False), ("torch.rand(1, 2, 3)", True), ("[[[0, 1]]]", False)],
)
def test_forms_of_examples(returned: str, direct: bool, tmp_path: Path) -> None:
    text = f"import torch\ndef build():\n    return torch.nn.Linear(2, 2)\ndef example():\n    return {returned}\n"
    samples = load_model(str(write(tmp_path, text))).samples
    assert samples is not None
    assert (samples.spikes.dtype.kind == "f") == direct
    assert samples.batched
