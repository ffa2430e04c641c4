"""A plan as a file: the same bytes for the same plan, nothing lost, and damage is named."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from snnc.engine import dense, files
from snnc.engine.operators import smallest
from snnc.engine.pack import pack
from snnc.engine.plan import Bound, Dense, Group, Plan, Way
from snnc.engine.planner import plan
from snnc.engine.tiled import Tiled
from snnc.errors import IntegrityError
from snnc.trace import Probes
from snnc_reference.execute import execute
from unit.engine.engine_nets import KINDS, Case, random_case

CASES = [random_case(seed, kind) for kind in KINDS for seed in range(4)]


def same(a: Any, b: Any) -> bool:
    """True if two values of a plan are equal, arrays with their types."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, Dense):
        return isinstance(b, Dense) and a.shape == b.shape and same(a.weight, b.weight)
    if is_dataclass(a) and not isinstance(a, type):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if hasattr(a, "keys"):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_a_plan_comes_back(case: Case) -> None:
    made = plan(case.graph)
    content = files.write(made)
    found = files.read(content, case.graph.digest)
    assert same(made, found)
    assert files.write(found) == content
    assert files.write(plan(case.graph)) == content


def test_the_comparison_sees_a_difference() -> None:
    made = plan(CASES[0].graph)
    last = made.populations[-1]
    for other in (replace(last, shift=last.shift + 1), replace(last, params={}), replace(last, ways=())):
        assert not same(made, replace(made, populations=(*made.populations[:-1], other)))


def test_what_was_read_runs() -> None:
    for case in CASES[:6]:
        want = execute(case.graph, case.values, Probes(states="all"), case.forced)
        found = dense.run(files.read(files.write(plan(case.graph))), case.values, Probes(states="all"), case.forced)
        assert all(np.array_equal(found.spikes[key], want.spikes[key]) for key in want.spikes)
        assert all(np.array_equal(found.states[key], want.states[key]) for key in want.states)


def ways(made: Plan) -> list[Way]:
    return [way for p in made.populations for way in p.ways]


@pytest.mark.parametrize("shape", [(1, 1), (16, 3), (17, 5), (33, 7), (64, 2), (100, 9), (130, 4), (600, 5), (2000, 3)])
@pytest.mark.parametrize("span", [(-128, 127), (-3, 250), (0, 255), (-32768, 32767), (-70, 65000), (-9, -1)])
def test_weights_lie_in_the_file_as_the_kernels_read_them(shape: tuple[int, int], span: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    matrix = rng.integers(span[0], span[1] + 1, shape)
    matrix.flat[: 2 if matrix.size > 1 else 0] = span[: matrix.size]
    made = operator_plan(smallest(matrix))
    stored = files.read(files.write(made))
    (way,) = ways(stored)
    assert isinstance(way.operator, Tiled)
    assert "weight" not in vars(way.operator)
    first, second = pack(made).arrays, pack(stored).arrays
    assert set(first) == set(second)
    assert all(np.array_equal(first[key], second[key]) and first[key].dtype == second[key].dtype for key in first)
    assert "weight" not in vars(way.operator)
    assert same(way.operator.weight, made.populations[1].ways[0].operator.weight)


def operator_plan(weight: np.ndarray) -> Plan:  # type: ignore[type-arg]
    """An input and neurons behind these weights."""
    case = next(c for c in CASES if any(isinstance(w.operator, Dense) for w in ways(plan(c.graph))))
    whole = plan(case.graph)
    source, target = whole.populations[0], next(p for p in whole.populations if p.kind == "neuron")
    params = {key: value if value.ndim == 0 else value[:1].reshape(()) for key, value in target.params.items()}
    peak = int(np.abs(weight.astype(np.int64)).sum(axis=1).max())
    source = replace(source, shape=(weight.shape[1],), order=None)
    target = replace(
        target, shape=(weight.shape[0],), order=None, params=params, ways=(Way(0, 0, 0, Dense(weight)),), chains=(),
        bounds=(Bound(-peak, peak, peak),),
    )  # fmt: skip
    return replace(whole, populations=(source, target), groups=(Group((0,), False), Group((1,), False)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 1}, {"high": -1}, {"high": 400}, {"bits": 16}, {"bits": 4}, {"tile": 17}, {"tile": 0}, {"tile": 64},
        {"neurons": 99}, {"neurons": -1},
    ],
    ids=str,
)  # fmt: skip
def test_tiles_that_kernels_would_follow_blindly_are_refused(wrong: dict[str, int]) -> None:
    made = operator_plan(np.arange(-50, 50, dtype=np.int8).reshape(20, 5))
    with np.load(io.BytesIO(files.write(made)), allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    head = json.loads(arrays["head"].tobytes())
    assert files.read(packed(head, arrays)).populations
    first_way(head).update(wrong)
    with pytest.raises(IntegrityError):
        files.read(packed(head, arrays))


def test_another_graph_is_refused() -> None:
    with pytest.raises(IntegrityError, match="is of the graph"):
        files.read(files.write(plan(CASES[0].graph)), CASES[1].graph.digest)


def unpacked() -> tuple[dict[str, Any], dict[str, Any]]:
    made = next(m for m in map(plan_of, CASES) if any(len(p.ways) and p.order is not None for p in m.populations))
    with np.load(io.BytesIO(files.write(made)), allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    return json.loads(arrays["head"].tobytes()), arrays


def plan_of(case: Case) -> Plan:
    return plan(case.graph)


def packed(head: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    content = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    np.savez(buffer, **{**arrays, "head": content})  # type: ignore[arg-type]
    return buffer.getvalue()


def first_way(head: dict[str, Any]) -> dict[str, Any]:
    return next(p["ways"][0] for p in head["populations"] if p["ways"])  # type: ignore[no-any-return]


def ordered(head: dict[str, Any]) -> str:
    return next(p["order"] for p in head["populations"] if p["order"])  # type: ignore[no-any-return]


STRANGE = {"nodes": [], "edges": [["nobody", "x", 0]], "drive": False, "receptors": 1, "prefix": "0/chains/0"}
DAMAGE: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "version": lambda head, _: head.update(version=99),
    "no conventions": lambda head, _: head.pop("conventions"),
    "strange conventions": lambda head, _: head["conventions"].update(state_bits="x", membrane="y"),
    "unknown kind": lambda head, _: head["populations"][0].update(kind="x"),
    "source outside": lambda head, _: first_way(head).update(source=77),
    "negative delay": lambda head, _: first_way(head).update(delay=-1),
    "receptor": lambda head, _: first_way(head).update(receptor=2),
    "operator": lambda head, _: first_way(head).update(kind="x"),
    "groups": lambda head, _: head["groups"].pop(),
    "negative window": lambda head, _: head["populations"][-1].update(extra=-1),
    "missing array": lambda head, arrays: arrays.pop(ordered(head)),
    "no threshold": lambda head, _: [p["params"].pop("threshold", 0) for p in head["populations"]],
    "no choices": lambda head, _: [p["options"].clear() for p in head["populations"]],
    "chain of strangers": lambda head, _: [p.update(chains=[STRANGE]) for p in head["populations"]],
    "no permutation": lambda head, arrays: arrays.update({ordered(head): np.zeros_like(arrays[ordered(head)])}),
    "a text": lambda head, arrays: arrays.update({ordered(head): np.array(["x"])}),
    "floats": lambda head, arrays: [arrays.update({k: v.astype(float)}) for k, v in arrays.items() if "/ways/" in k],
    "short weights": lambda head, arrays: [arrays.update({k: v[:-1]}) for k, v in arrays.items() if "/ways/" in k],
    "long parameters": lambda head, arrays: [
        arrays.update({k: np.zeros(999, dtype=np.int64)}) for k in arrays if "/params/" in k
    ],
}  # fmt: skip


def test_the_undamaged_parts_make_the_plan() -> None:
    assert files.read(packed(*unpacked())).populations


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named(what: str) -> None:
    head, arrays = unpacked()
    DAMAGE[what](head, arrays)
    with pytest.raises(IntegrityError):
        files.read(packed(head, arrays))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 500])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        files.read(content)


def test_every_cut_and_many_flips_are_refused_or_harmless() -> None:
    content = files.write(plan(CASES[0].graph))
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 150):
        with pytest.raises(IntegrityError):
            files.read(content[: int(place)])
        flipped = bytearray(content)
        flipped[int(place)] ^= 1 << int(rng.integers(8))
        try:
            files.read(bytes(flipped))
        except IntegrityError:
            continue


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("head.npy", b"0" * 5000)
    with pytest.raises(IntegrityError, match="at most 1000 are read"):
        files.read(buffer.getvalue())


def test_running_a_stored_plan_imports_neither_torch_nor_onnx(tmp_path: Any) -> None:
    (tmp_path / "plan.npz").write_bytes(files.write(plan(CASES[0].graph)))
    np.save(tmp_path / "x.npy", CASES[0].values)
    code = (
        "import sys, pathlib, numpy as np\n"
        "from snnc.engine import files\nfrom snnc.engine.run import execute\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "made = files.read((folder / 'plan.npz').read_bytes())\n"
        "found = execute(made, np.load(folder / 'x.npy', allow_pickle=False))\n"
        "assert found.spikes\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'scipy', 'snnc_reference'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
