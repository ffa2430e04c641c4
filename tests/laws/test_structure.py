"""The laws of the house: what may import what, and how large a room may be. The message is the reason."""

from __future__ import annotations

import ast
import importlib
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLCHAIN = ROOT / "toolchain"
BACKENDS = ROOT / "backends"
KERNELS = TOOLCHAIN / "snnc" / "engine" / "kernels"
FILES = sorted((*TOOLCHAIN.rglob("*.py"), *BACKENDS.rglob("*.py")))

STAGES = {
    "errors": 0, "ir": 1, "plain": 1, "nn": 2, "trace": 2, "folder": 2, "capture": 3, "passes": 3, "conversion": 3,
    "quantize": 3, "formats": 3, "learning": 3, "config": 3, "target": 4, "engine": 4, "compiled": 5, "backend": 5,
    "comparison": 6, "compare": 6, "metrics": 6, "evidence": 6, "ladder": 7, "report": 7, "anns": 7, "sources": 7,
    "validation": 8, "pipeline": 8, "learnfolder": 8, "accounts": 8, "artifacts": 9, "testing": 9, "commands": 10,
    "cli": 11, "cli_learn": 11, "cli_values": 11, "pytest_plugin": 11,
}  # fmt: skip
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}


def module_name(path: Path) -> str:
    base = TOOLCHAIN if path.is_relative_to(TOOLCHAIN) else BACKENDS
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Modules that a file imports; with ``top_level`` only those that run when it is imported."""
    root = tree(path)
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in _executed(root) if top_level else ast.walk(root):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], base]).rstrip(".")
            names = [f"{base}.{alias.name}" for alias in node.names]
            if not all(is_module(name) for name in names):
                yield base
            yield from names


def is_module(name: str) -> bool:
    relative = Path(*name.split("."))
    return any(
        (base / relative).with_suffix(".py").is_file() or (base / relative).is_dir() for base in (TOOLCHAIN, BACKENDS)
    )


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _executed(child)


def top(names: Iterator[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_third_party_packages_stay_in_their_rooms(path: Path) -> None:
    name = module_name(path)
    rooms = {
        "torch": ("snnc.capture", "snnc.nn"),
        "snntorch": ("snnc.capture",),
        "onnx": ("snnc.formats",),
        "onnxruntime": ("snnc.formats",),
        "nir": ("snnc.formats.nir_file",),
        "h5py": ("snnc.formats",),
        "typer": ("snnc.cli",),
        "lava": ("snnc_loihi",),
        "spynnaker": ("snnc_spinnaker.binary",),
        "pyNN": ("snnc_spinnaker.binary",),
        "unicorn": ("snnc_spinnaker.binary",),
        "matplotlib": ("snnc.report",),
    }
    for package in top(imports(path)) & rooms.keys():
        allowed = rooms[package]
        assert name.startswith(allowed), (
            f"{name} imports {package}: only {allowed} may, so that the rest runs without it"
        )


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_back_ends_are_strangers(path: Path) -> None:
    name = module_name(path)
    own = name.split(".")[0]
    used = {package for package in top(imports(path)) if package.startswith("snnc_")}
    if own == "snnc":
        assert not used, f"{name} imports {used}: the toolchain finds back ends through entry points only"
    else:
        assert used <= {own}, f"{name} imports {used - {own}}: agreement with another back end's code proves nothing"


@pytest.mark.parametrize("path", [p for p in FILES if (TOOLCHAIN / "snnc" / "ir") in p.parents], ids=module_name)
def test_ir_imports_numpy_and_errors_only(path: Path) -> None:
    for name in imports(path):
        if name.startswith("snnc"):
            assert name.startswith(("snnc.ir", "snnc.errors")), f"{module_name(path)} imports {name}: ir travels alone"


@pytest.mark.parametrize("path", [p for p in FILES if TOOLCHAIN in p.parents], ids=module_name)
def test_no_arrow_from_lower_to_higher_layer(path: Path) -> None:
    parts = module_name(path).split(".")
    if len(parts) == 1:
        return
    assert parts[1] in STAGES, f"snnc.{parts[1]} has no layer yet: add it to STAGES"
    for name in imports(path):
        there = name.split(".")
        if there[0] == "snnc" and len(there) > 1 and there[1] in STAGES and there[1] != parts[1]:
            assert STAGES[there[1]] <= STAGES[parts[1]], f"{'.'.join(parts)} imports {name}: an arrow that flows back"


def test_no_import_circle() -> None:
    names = {module_name(path) for path in FILES}
    graph = {module_name(p): {n for n in imports(p, top_level=True) if n in names} - {module_name(p)} for p in FILES}
    # A package's __init__ gathers its own modules; importing the package from inside it would be the circle.
    state: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        state[name] = 1
        for other in sorted(graph[name]):
            if state.get(other) == 1:
                pytest.fail("import circle: " + " -> ".join((*path, name, other)))
            if other not in state:
                visit(other, (*path, name))
        state[name] = 2

    for name in sorted(graph):
        if name not in state:
            visit(name, ())


@pytest.mark.parametrize("package", ["snnc", "snnc.ir", "snnc_reference", "snnc_loihi", "snnc_spinnaker"])
def test_public_names_are_what_all_says(package: str) -> None:
    module = importlib.import_module(package)
    ordered = sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert list(module.__all__) == ordered, f"{package}.__all__ is sorted so that a diff shows what changed"
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing, f"{package}.__all__ promises {missing}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_rooms_are_small(path: Path) -> None:
    name = module_name(path)
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 300 or name in LONG_FILES, f"{name} has {lines} lines: at most 300, or a reason in LONG_FILES"
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            key = f"{name}.{node.name}"
            assert size <= 50 or key in LONG_FUNCTIONS, f"{key} has {size} lines: at most 50, or a reason"


INTEGER_KERNELS = [
    "snnc_reference/neuron_euler.py",
    "snnc_reference/neuron_closed.py",
    "snnc_reference/neuron_atrlif.py",
    "snnc_reference/neuron_graded.py",
    "snnc_loihi/microcode.py",
    "snnc_spinnaker/core.py",
    "snnc_spinnaker/ring.py",
]


@pytest.mark.parametrize("name", INTEGER_KERNELS)
def test_no_float_in_integer_kernels(name: str) -> None:
    with (BACKENDS / name).open("rb") as stream:
        words = {token.string.lower() for token in tokenize.tokenize(stream.readline) if token.type == tokenize.NAME}
    found = {word for word in words if "float" in word or word == "double"}
    assert not found, f"{name} mentions {found}: a float in an integer kernel rounds where the chip does not"


SINGLE_PRECISION = "single.h"
COMPILED = sorted(path for path in KERNELS.glob("*.[ch]") if path.name != SINGLE_PRECISION)


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.name)
def test_no_float_in_compiled_integer_kernels(path: Path) -> None:
    """One header steps membranes that are float32 on the chip; all others hold integers."""
    assert (KERNELS / SINGLE_PRECISION).exists()
    code = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"\b(?:float|double|_Float\w+|__m(?:128|256|512)d?)\b|\b\d+\.\d*|_p[sd]\(", code)
    assert not found, f"{path.name} mentions {found}: a float in an integer kernel rounds where the chip does not"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_nothing_is_unpickled(path: Path) -> None:
    for name in top(imports(path)):
        assert name not in {"pickle", "dill", "cloudpickle", "joblib", "shelve"}, f"{name} runs code from a model file"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
            owner = ast.unparse(node.func.value)
            words = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if owner in {"np", "numpy"}:
                assert words.get("allow_pickle") == "False", f"{module_name(path)}: np.load needs allow_pickle=False"
            if owner == "torch":
                assert words.get("weights_only") == "True", f"{module_name(path)}: torch.load needs weights_only=True"


def test_the_laws_see_a_breach(tmp_path: Path) -> None:
    """Negative control: the scanner finds an import inside a function and a relative one."""
    path = TOOLCHAIN / "snnc" / "ir" / "graph.py"
    source = "def f():\n    import torch\nfrom . import nodes\nfrom ..errors import GraphError\n"
    probe = tmp_path / "probe.py"
    probe.write_text(source)
    found = {n.name for node in ast.walk(tree(probe)) if isinstance(node, ast.Import) for n in node.names}
    assert found == {"torch"}
    assert "snnc.errors" in set(imports(path))
    assert "torch" not in {
        n for node in _executed(tree(probe)) if isinstance(node, ast.Import) for n in [node.names[0].name]
    }
