"""ONNX files: read back as the same network, same bytes every time, and nothing damaged is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from snnc.errors import InputError, TraceError, UnsupportedError
from snnc.formats import onnx_file, onnx_run
from snnc.ir import (
    Adaptation,
    Affine,
    Concat,
    Conventions,
    Delay,
    Edge,
    FixedGraph,
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

KINDS: dict[str, Any] = {"random": "random", "loihi": LOIHI, "split": SPLIT, "float": None}


def simple(**changes: Any) -> Graph:
    nodes = (Input("in", shape=(3,)), Affine("fc", weight=np.eye(2, 3)), Neuron("lif", shape=(2,), **changes))
    return Graph(nodes, (Edge("in", "fc"), Edge("fc", "lif")), dt=0.001)


def whole(conventions: Conventions | None = None, weight: Any = None, **changes: Any) -> FixedGraph:
    keys = ("decay_u", "decay_v", "bias", "threshold", "v_rest", "v_reset", "v_init")
    values: dict[str, Any] = {key: fixed(0, 32, 0) for key in keys} | {"gain": fixed(1), "gain_u": fixed(1)}
    lif = Neuron("lif", shape=(2,), **(values | changes))
    fc = Affine("fc", weight=fixed([[1, 2, 3], [-4, 5, 6]]) if weight is None else weight)
    edges = (Edge("in", "fc", 1), Edge("fc", "lif"))
    return FixedGraph((Input("in", shape=(3,)), fc, lif), edges, "some", conventions or Conventions(), {"lif": 1})


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


def model_of(data: bytes) -> ModelProto:
    return ModelProto.FromString(data)


def meta(model: ModelProto) -> Any:
    return next(entry for entry in model.metadata_props if entry.key == "snnc")


def edit(model: ModelProto, change: Callable[[Any], Any]) -> None:
    head = json.loads(meta(model).value)
    meta(model).value = json.dumps(change(head) or head, sort_keys=True)


def weight(model: ModelProto) -> TensorProto:
    return next(t for t in model.graph.initializer if t.name == "param/fc/weight")


def body(model: ModelProto) -> Any:
    loop = next(node for node in model.graph.node if node.op_type == "Scan")
    return next(a.g for a in loop.attribute if a.name == "body")


def call(model: ModelProto) -> Any:
    return next(node for node in body(model).node if node.op_type.startswith("EulerInt64"))


def outside(model: ModelProto) -> None:
    weight(model).data_location = TensorProto.EXTERNAL
    weight(model).external_data.add(key="location", value="/etc/passwd")


def as_float(model: ModelProto) -> None:
    weight(model).CopyFrom(numpy_helper.from_array(np.eye(2, 3), "param/fc/weight"))


def huge(model: ModelProto) -> None:
    weight(model).dims[0] = 1 << 40


def big_layers(head: Any) -> None:
    head["nodes"][0]["shape"] = [10**30]


def node_field(index: int, key: str, value: Any) -> Callable[[Any], None]:
    return lambda head: head["nodes"][index].__setitem__(key, value)


DAMAGED: dict[str, tuple[Callable[[ModelProto], Any], str]] = {
    "opset": (lambda m: setattr(m.opset_import[0], "version", 22), "operator sets are"),
    "other domain": (lambda m: m.opset_import.add(domain="com.other", version=1), "operator sets are"),
    "ir version": (lambda m: setattr(m, "ir_version", 11), "IR version is 11"),
    "no metadata": (lambda m: m.ClearField("metadata_props"), "no 'snnc' metadata"),
    "metadata twice": (lambda m: m.metadata_props.add(key="snnc", value="{}"), "occurs twice"),
    "no json": (lambda m: setattr(meta(m), "value", "{"), "damaged"),
    "deep json": (lambda m: setattr(meta(m), "value", "[" * 100000), "damaged"),
    "a list": (lambda m: setattr(meta(m), "value", "[]"), "damaged"),
    "a node that is a number": (lambda m: edit(m, lambda h: h["nodes"].__setitem__(0, 3)), "damaged"),
    "no nodes": (lambda m: edit(m, lambda h: h.pop("nodes")), "damaged"),
    "unknown type": (lambda m: edit(m, node_field(0, "type", "Magic")), "Magic"),
    "unknown field": (lambda m: edit(m, node_field(0, "colour", 1)), "no field 'colour'"),
    "endless shape": (lambda m: edit(m, big_layers), "out of range|allowed is"),
    "unknown convention": (lambda m: edit(m, lambda h: h["conventions"].__setitem__("x", 1)), "damaged"),
    "unsupported convention": (
        lambda m: edit(m, lambda h: h["conventions"].__setitem__("current_overflow", "explode")), "cannot execute",
    ),
    "other compare": (lambda m: edit(m, node_field(2, "fires", "gt")), "not what the description stands for"),
    "an extra key": (lambda m: edit(m, lambda h: h.__setitem__("x", 1)), "metadata is not what"),
    "missing initializer": (lambda m: m.graph.initializer.remove(weight(m)), "'param/fc/weight' is missing"),
    "extra initializer": (
        lambda m: m.graph.initializer.append(numpy_helper.from_array(np.eye(2), "param/x/y")), "belongs to no node",
    ),
    "unknown initializer": (
        lambda m: m.graph.initializer.append(numpy_helper.from_array(np.eye(2), "x")), "'x' is unknown",
    ),
    "sparse": (lambda m: m.graph.sparse_initializer.add(), "sparse"),
    "outside the file": (outside, "lies in another file"),
    "float weights": (as_float, "integers, not float64"),
    "strings": (lambda m: setattr(weight(m), "data_type", TensorProto.STRING), "is of type 8"),
    "huge": (huge, "bytes of data"),
    "negative size": (lambda m: weight(m).dims.__setitem__(0, -1), "bytes of data"),
    "short": (lambda m: setattr(weight(m), "raw_data", b"1"), "1 bytes of data"),
    "wide weights": (
        lambda m: weight(m).CopyFrom(numpy_helper.from_array(np.array([[1, 2, 3], [-4, 5, 6]]), "param/fc/weight")),
        "initializer 'param/fc/weight' is not what",
    ),
    "unknown attribute": (
        lambda m: call(m).attribute.append(helper.make_attribute("refractary", 1)), "see refractary",
    ),
    "missing attribute": (lambda m: call(m).attribute.pop(), "attributes"),
    "unknown function": (lambda m: setattr(call(m), "op_type", "Magic"), "'Magic' of ai.snnc is called but not"),
    "unknown operator domain": (lambda m: setattr(m.graph.node[0], "domain", "evil"), "unknown domain 'evil'"),
    "function domain": (lambda m: setattr(m.functions[0], "domain", "evil"), "of domain 'evil'"),
    "function twice": (lambda m: m.functions.append(m.functions[0]), "defined twice"),
    "one input less": (lambda m: call(m).input.pop(), "another number of inputs"),
    "a function less": (lambda m: m.functions.pop(0), "called but not defined"),
    "another function body": (lambda m: m.functions[-1].node.pop(), "function .* is not what"),
    "another operator": (lambda m: setattr(m.graph.node[-1], "op_type", "Identity"), "operator .* is not what"),
    "an operator more": (lambda m: m.graph.node.append(m.graph.node[-1]), "number of operators"),
    "an output less": (lambda m: m.graph.output.pop(), "output .* is not what"),
    "training": (lambda m: m.training_info.add(), "training"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_refused(what: str) -> None:
    change, message = DAMAGED[what]
    model = model_of(onnx_file.write(whole()))
    change(model)
    with pytest.raises(InputError, match=message) as caught:
        onnx_file.read(model.SerializeToString())
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused() -> None:
    data = onnx_file.write(whole())
    for size in range(0, len(data), 37):
        with pytest.raises(InputError):
            onnx_file.read(data[:size])


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_flipped_byte_is_refused_or_is_another_network(data: st.DataObject) -> None:
    content = bytearray(onnx_file.write(whole()))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        network = onnx_file.read(bytes(content))
    except InputError:
        return
    assert onnx_file.read(onnx_file.write(network)).digest == network.digest


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        onnx_file.read(content)


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
