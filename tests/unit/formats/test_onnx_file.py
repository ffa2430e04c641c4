"""ONNX files: read back as the same network, same bytes every time, and nothing damaged is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from snnc.errors import InputError, TraceError, UnsupportedError
from snnc.formats import onnx_file, onnx_run
from snnc.ir import (
    Adaptation,
    Affine,
    Concat,
    Conventions,
    Delay,
    Edge,
    Graph,
    Inhibit,
    Input,
    Neuron,
    Node,
    Pool,
    Scale,
    SynFilter,
    TimeScale,
)  # fmt: skip
from unit.formats.onnx_nets import LOIHI, SPLIT, fixed, random_network, spikes
from unit.formats.onnx_small import body, model_of, simple, whole

KINDS: dict[str, Any] = {"random": "random", "loihi": LOIHI, "split": SPLIT, "float": None}


def with_layer(node: Node, shape: tuple[int, ...] = (2,)) -> Graph:
    lif = Neuron("lif", shape=shape)
    return Graph((Input("in", shape=(2,)), node, lif), (Edge("in", node.name), Edge(node.name, "lif")))


@pytest.mark.parametrize("kind", KINDS)
def test_read_is_the_inverse_of_write(kind: str) -> None:
    for seed in range(10):
        network, _ = random_network(seed, KINDS[kind])
        data = onnx_file.write(network)
        again = onnx_file.read(data)
        assert type(again) is type(network)
        assert again.digest == network.digest
        assert onnx_file.write(again) == data


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_valid_onnx(kind: str) -> None:
    for seed in range(4):
        model = ModelProto.FromString(onnx_file.write(random_network(seed, KINDS[kind])[0]))
        onnx.checker.check_model(model, full_check=True)
        assert model.ir_version == 10
        assert {entry.domain: entry.version for entry in model.opset_import} == {"": 21, "ai.snnc": 1}
        assert all(function.domain == "ai.snnc" for function in model.functions)


@pytest.mark.parametrize("kind", KINDS)
def test_operators_that_onnxruntime_gets_wrong_on_int64_are_not_used(kind: str) -> None:
    for seed in range(20):
        model = model_of(onnx_file.write(random_network(seed, KINDS[kind])[0]))
        nodes = [*model.graph.node, *body(model).node, *(n for f in model.functions for n in f.node)]
        assert {n.op_type for n in nodes}.isdisjoint({"Min", "Max", "Clip", "Sign", "ReduceMax", "ReduceMin"})


def test_extra_metadata_is_kept_in_any_order() -> None:
    data = onnx_file.write(whole(), {"b": "2", "a": "1"})
    assert data == onnx_file.write(whole(), {"a": "1", "b": "2"})
    assert onnx_file.read_extra(data) == {"a": "1", "b": "2"}
    assert onnx_file.read(data).digest == whole().digest
    with pytest.raises(InputError, match="is taken"):
        onnx_file.write(whole(), {"snnc": "x"})


def test_the_numbers_that_execute_are_stored_narrow_and_unchanged() -> None:
    model = ModelProto.FromString(onnx_file.write(whole(weight=fixed([[1, 2, 300], [-4, 5, 6]]))))
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert stored["param/fc/weight"].dtype == np.int16
    assert stored["param/fc/weight"].tolist() == [[1, 2, 300], [-4, 5, 6]]
    assert stored["param/lif/threshold"].dtype == np.int8


def test_names_that_look_like_outputs_are_kept_apart() -> None:
    nodes = (Input("input", shape=(2,)), Affine("spikes", weight=np.eye(2)), Neuron("weight", shape=(2,)))
    graph = Graph(nodes, (Edge("input", "spikes"), Edge("spikes", "weight")))
    data = onnx_file.write(graph)
    assert onnx_file.read(data).digest == graph.digest
    found = onnx_run.run(data, np.ones((1, 2, 2), dtype=np.int8))
    assert found.spikes["weight"].tolist() == [[[1, 1], [1, 1]]]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "timescale": (lambda: with_layer(TimeScale("ts", gain=np.ones((4,)))), "ts: node type is timescale"),
    "synfilter": (lambda: with_layer(SynFilter("sf")), "sf: node type is synfilter"),
    "inhibit": (lambda: with_layer(Inhibit("wta", groups=(2,))), "wta: node type is inhibit"),
    "adaptation": (lambda: simple(adaptation=(Adaptation(0.9, 1.0, 0.1),)), "lif: adaptation is"),
    "previous": (lambda: simple(fire_from="previous"), "lif: fire_from is previous"),
    "linear leak": (lambda: simple(leak="linear"), "lif: leak is linear"),
    "graded": (lambda: simple(output="graded"), "lif: output is graded"),
    "one shot": (lambda: simple(one_shot=True), "lif: one_shot is True"),
    "schedule": (lambda: simple(schedule=("bias",), bias=np.zeros((4, 2))), "lif: schedule is"),
    "reset delay": (lambda: simple(reset_delay=2), "lif: reset_delay is 2"),
    "delay": (lambda: with_layer(Delay("late", steps=-1)), "late: steps is -1"),
    "axis": (lambda: with_layer(Concat("cat", axis=-1), (2, 2)), "cat: axis is -1"),
    "refuse": (lambda: whole(Conventions(current_overflow="refuse")), "current_overflow is refuse"),
    "63 bits": (lambda: whole(Conventions(state_bits=63)), "membrane bits is 63"),
    "membrane": (lambda: whole(Conventions(membrane="closed_form")), "synapse is signed"),
    "gain": (lambda: whole(gain=fixed(2)), "lif: gain is another number"),
    "unit": (lambda: whole(threshold=fixed(3, 32, 1)), "lif: threshold is in s32.1"),
    "decay": (lambda: whole(decay_v=fixed(3, 32, -1)), "lif: decay_v format is s32.-1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_execute_is_refused_by_name(what: str) -> None:
    make, message = REFUSED[what]
    with pytest.raises(UnsupportedError, match=message) as caught:
        onnx_file.write(make())
    assert caught.value.exit_code == 3


def test_integer_layers_without_a_meaning_are_refused() -> None:
    graph = whole()
    lif = graph["lif"]
    for node, message in (
        (Scale("x", gain=fixed(1), shift=fixed(0)), "x: node type is scale"),
        (Pool("x", pooling="avg", kernel=(1,), stride=(1,), padding=(0,)), "x: pooling is avg"),
    ):
        shape = (2, 1) if isinstance(node, Pool) else (2,)
        nodes = (Input("in", shape=shape), node, replace(lif, shape=shape))  # type: ignore[call-arg]
        with pytest.raises(UnsupportedError, match=message):
            onnx_file.write(replace(graph, nodes=nodes, edges=(Edge("in", "x", 1), Edge("x", "lif"))))


def test_everything_that_is_refused_is_named_at_once() -> None:
    with pytest.raises(UnsupportedError) as caught:
        onnx_file.write(simple(leak="linear", one_shot=True))
    assert [violation.quantity for violation in caught.value.violations] == ["leak", "one_shot"]


def test_files_are_read_from_paths_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "model.fixed.onnx"
    data = onnx_file.write(whole())
    path.write_bytes(data)
    assert onnx_file.read(path).digest == whole().digest
    assert onnx_file.read(path, len(data)).digest == whole().digest
    x = np.ones((1, 2, 3), dtype=np.int8)
    assert np.array_equal(onnx_run.run(path, x).states["lif", "u"], onnx_run.run(data, x).states["lif", "u"])
    for read in (onnx_file.read, lambda p, n: onnx_run.run(p, x, limit=n)):
        with pytest.raises(InputError, match=f"{len(data)} bytes, at most {len(data) - 1}"):
            read(path, len(data) - 1)
    for missing in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            onnx_file.read(missing)
        with pytest.raises(InputError, match="cannot be read"):
            onnx_run.run(missing, x)


def test_the_run_checks_its_input() -> None:
    data = onnx_file.write(whole())
    for x in (np.ones((1, 2, 4)), np.ones((2, 3)), np.full((1, 2, 3), 2), np.ones((0, 2, 3)), np.ones((1, 0, 3))):
        with pytest.raises(TraceError):
            onnx_run.run(data, x)


def test_without_onnxruntime_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'snnc\[onnxruntime\]'"):
        onnx_run.run(onnx_file.write(whole()), spikes(np.random.default_rng(0), (3,)))
