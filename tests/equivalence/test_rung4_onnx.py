"""Rung 4: model.fixed.onnx in onnxruntime is the reference bit for bit, and a wrong file is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.errors import InputError
from snnc.formats import onnx_file, onnx_run
from snnc.ir import Affine, Conv, Conventions, Edge, Fixed, FixedGraph, Input, Network, Neuron, Pool, Readout
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from unit.formats.onnx_nets import LOIHI, SINGLE, SPLIT, Array, difference, fixed, random_network, spikes

KINDS: dict[str, Conventions | str | None] = {
    "random": "random", "loihi": LOIHI, "split": SPLIT, "single": SINGLE, "float": None,
}  # fmt: skip
SEEDS = range(30)


def reference(network: Network, x: Array) -> Trace:
    return execute(network, x, Probes(states="all"))


def compared(network: Network, x: Array) -> str:
    tolerance = 0.0 if isinstance(network, FixedGraph) else 1e-9
    return difference(onnx_run.run(onnx_file.write(network), x), reference(network, x), tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_networks_with_every_layer_equal_the_reference(kind: str) -> None:
    for seed in SEEDS:
        network, x = random_network(seed, KINDS[kind])
        assert compared(network, x) == "", f"seed {seed}"


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(1000, 1 << 30), kind=st.sampled_from(sorted(KINDS)))
def test_any_network_equals_the_reference(seed: int, kind: str) -> None:
    network, x = random_network(seed, KINDS[kind])
    assert compared(network, x) == ""


def features(network: Network) -> set[str]:
    """What of the corners a network reaches."""
    found = {node.kind for node in network.nodes}
    for node in network.nodes:
        if isinstance(node, Neuron):
            found |= {f"reset {node.reset_v}", node.fires, f"delayed {node.reset_delay}", f"reset_u {node.reset_u}"}
            found.add(f"refractory {node.refractory > 0}")
        elif isinstance(node, Pool):
            found.add(f"pool {node.pooling}")
        elif isinstance(node, Conv):
            found.add(f"conv{len(node.stride)}d")
            sizes = {"groups": node.groups, "stride": max(node.stride), "dilation": max(node.dilation)}
            sizes["padding"] = 1 + max(node.padding)
            found |= {key for key, value in sizes.items() if value > 1}
        elif isinstance(node, Input) and node.encoding == "constant":
            found.add("constant")
    return found | ({"back"} if any(node.name.startswith("back") for node in network.nodes) else set())


def test_the_networks_reach_every_corner() -> None:
    seen: set[str] = set()
    policies: set[str] = set()
    rates: list[float] = []
    for seed in SEEDS:
        for kind in ("random", "loihi"):
            network, x = random_network(seed, KINDS[kind])
            assert isinstance(network, FixedGraph)
            seen |= features(network)
            c = network.conventions
            policies |= {f"current {c.current_overflow}", f"membrane {c.membrane_overflow}", c.decay_rounding}
            policies |= {f"sum {c.accumulator_overflow}", f"aligned {c.aligned_start}", f"hop {c.hop_delay}"}
            rates.append(float(np.mean([s.mean() for s in reference(network, x).spikes.values()])))
    assert seen >= {
        "affine", "add", "concat", "delay", "flatten", "identity", "conv1d", "conv2d", "groups", "stride", "padding",
        "dilation", "pool sum", "pool max", "reset zero", "reset value", "reset subtract", "reset none", "gt", "ge",
        "delayed 0", "delayed 1", "reset_u True", "refractory True", "constant", "back",
    }  # fmt: skip
    every = {f"{a} {b}" for a in ("current", "membrane", "sum")
             for b in ("wrap", "wrap_once", "saturate", "saturate_symmetric")}  # fmt: skip
    every |= {"toward_zero", "floor", "nearest_even", "aligned True", "aligned False", "hop 0", "hop 1"}
    assert policies >= every
    assert sum(rate > 0.02 for rate in rates) > 0.7 * len(rates)


def stress() -> tuple[FixedGraph, Array]:
    """Two recurrent layers whose registers overflow and whose membranes meet the threshold exactly."""
    rng = np.random.default_rng(3)
    conventions = Conventions(
        hop_delay=1, accumulator_bits=8, accumulator_overflow="wrap", state_bits=9, current_overflow="wrap_once",
        membrane_overflow="saturate_symmetric", decay_rounding="toward_zero", aligned_start=True,
    )  # fmt: skip
    ones = {"gain": fixed(1), "gain_u": fixed(1), "v_rest": fixed(0), "v_reset": fixed(-7)}
    hidden = Neuron(
        "hidden", shape=(8,), decay_u=fixed(3000, 13, 12), decay_v=fixed(3900, 13, 12), bias=fixed(3), v_init=fixed(11),
        threshold=fixed(40), reset_v="subtract", reset_delay=1, **ones,
    )  # fmt: skip
    out = Neuron(
        "out", shape=(5,), decay_u=fixed(1000, 13, 12), decay_v=fixed(3500, 13, 12), bias=fixed(2), v_init=fixed(11),
        threshold=fixed(30), fires="gt", refractory=1, **ones,
    )  # fmt: skip
    nodes = (
        Input("in", shape=(6,)), Affine("a", weight=fixed(rng.integers(-90, 91, (8, 6)))), hidden,
        Affine("b", weight=fixed(rng.integers(-90, 91, (5, 8)))), out,
        Affine("back", weight=fixed(rng.integers(-90, 91, (5, 5)))), Readout("answer"),
    )  # fmt: skip
    edges = (
        Edge("in", "a", 1), Edge("a", "hidden"), Edge("hidden", "b", 1), Edge("b", "out"), Edge("out", "back", 2),
        Edge("back", "out"), Edge("out", "answer"),
    )  # fmt: skip
    graph = FixedGraph(nodes, edges, "some", conventions, {"hidden": 1, "out": 2})
    return graph, spikes(rng, (6,), batch=8, steps=30)


def convention(**changes: Any) -> Callable[[FixedGraph], FixedGraph]:
    return lambda graph: replace(graph, conventions=replace(graph.conventions, **changes))


def field(name: str, **changes: Any) -> Callable[[FixedGraph], FixedGraph]:
    return lambda graph: graph.replace_node(replace(graph[name], **changes))


def one_weight(graph: FixedGraph) -> FixedGraph:
    node = graph["b"]
    assert isinstance(node, Affine)
    assert isinstance(node.weight, Fixed)
    raw = node.weight.raw.copy()
    raw[2, 3] += 1
    return graph.replace_node(replace(node, weight=fixed(raw)))


def longer(graph: FixedGraph) -> FixedGraph:
    return replace(graph, edges=tuple(replace(e, delay=3) if e.source == "out" else e for e in graph.edges))


WRONG: dict[str, Callable[[FixedGraph], FixedGraph]] = {
    "one weight": one_weight,
    "rounding floor": convention(decay_rounding="floor"),
    "rounding nearest": convention(decay_rounding="nearest_even"),
    "sum saturates": convention(accumulator_overflow="saturate"),
    "sum has a bit more": convention(accumulator_bits=9),
    "current saturates": convention(current_overflow="saturate"),
    "membrane wraps": convention(membrane_overflow="wrap"),
    "membrane wraps once": convention(membrane_overflow="wrap_once"),
    "membrane reaches the most negative number": convention(membrane_overflow="saturate"),
    "states have a bit more": convention(state_bits=10),
    "states run freely": convention(aligned_start=False),
    "hidden compares with gt": field("hidden", fires="gt"),
    "out compares with ge": field("out", fires="ge"),
    "hidden resets to zero": field("hidden", reset_v="zero"),
    "hidden resets at once": field("hidden", reset_delay=0),
    "out does not reset": field("out", reset_v="none"),
    "out resets to a value": field("out", reset_v="value"),
    "out resets its current": field("out", reset_u=True),
    "out holds longer": field("out", refractory=2),
    "decay is one unit more": field("out", decay_v=fixed(3501, 13, 12)),
    "threshold is one unit more": field("out", threshold=fixed(31)),
    "bias is one unit more": field("hidden", bias=fixed(4)),
    "start is one unit more": field("hidden", v_init=fixed(12)),
    "the loop is a step longer": longer,
    "latency is a step more": lambda graph: replace(graph, latency={"hidden": 1, "out": 3}),
}


def test_the_stress_network_equals_the_reference() -> None:
    assert compared(*stress()) == ""


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_caught(wrong: str) -> None:
    graph, x = stress()
    other = WRONG[wrong](graph)
    found = onnx_run.run(onnx_file.write(other), x)
    assert difference(found, reference(graph, x)) != ""
    assert difference(found, reference(other, x)) == ""


def exchange(model: onnx.ModelProto, old: str, new: str) -> None:
    """Exchanges an operator in every function."""
    for function in model.functions:
        for node in function.node:
            if node.op_type == old:
                node.op_type = new


def attribute(model: onnx.ModelProto, name: str, step: int) -> None:
    """Changes an integer attribute of every call in the loop."""
    loop = next(node for node in model.graph.node if node.op_type == "Scan")
    body = next(a.g for a in loop.attribute if a.name == "body")
    for node in body.node:
        for entry in node.attribute:
            if entry.name == name and node.domain:
                entry.i += step


TAMPERED: dict[str, Callable[[onnx.ModelProto], None]] = {
    "compare": lambda model: exchange(model, "GreaterOrEqual", "Greater"),
    "rounding": lambda model: exchange(model, "Div", "BitwiseOr"),
    "overflow": lambda model: exchange(model, "Mod", "Min"),
    "range": lambda model: attribute(model, "high_v", 1),
    "unit": lambda model: attribute(model, "unit_v", 1),
    "refractory": lambda model: attribute(model, "refractory", 1),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_changed_model_executes_differently_and_is_refused(what: str) -> None:
    graph, x = stress()
    model = onnx.ModelProto.FromString(onnx_file.write(graph))
    TAMPERED[what](model)
    content = model.SerializeToString()
    assert difference(onnx_run.execute(content, graph, x), reference(graph, x)) != ""
    with pytest.raises(InputError, match="is not what the description stands for"):
        onnx_run.run(content, x)


def test_a_changed_weight_in_the_file_gives_another_network() -> None:
    graph, x = stress()
    model = onnx.ModelProto.FromString(onnx_file.write(graph))
    tensor = next(t for t in model.graph.initializer if t.name == "param/b/weight")
    raw = bytearray(tensor.raw_data)
    raw[4] ^= 1
    tensor.raw_data = bytes(raw)
    content = model.SerializeToString()
    assert onnx_file.read(content).digest != graph.digest
    assert difference(onnx_run.run(content, x), reference(graph, x)) != ""


def test_extreme_weights_are_exact() -> None:
    rng = np.random.default_rng(0)
    top = (1 << 16) - 1
    raw = rng.choice([-top, top, top - 1, 1], (3, 40, 5))
    raw[0], raw[1] = top, -top
    weight = fixed(raw, 17, -6)
    neuron = Neuron(
        "n", shape=(3, 4), decay_u=fixed(4096, 13, 12, False), decay_v=fixed(4096, 13, 12, False), gain=fixed(1),
        gain_u=fixed(1), bias=fixed(0), threshold=fixed((1 << 31) - 1), v_reset=fixed(0), v_init=fixed(0),
        v_rest=fixed(0), reset_v="subtract",
    )  # fmt: skip
    graph = FixedGraph(
        (Input("in", shape=(40, 8)), Conv("c", weight=weight), neuron),
        (Edge("in", "c"), Edge("c", "n")),
        "generic",
        Conventions(state_bits=31, current_overflow="saturate", membrane_overflow="wrap"),
    )
    x = spikes(rng, (40, 8), steps=25, rate=0.9)
    u = reference(graph, x).states["n", "u"]
    assert int(u.max()) == (1 << 30) - 1
    assert int(u.min()) == -(1 << 30)
    assert compared(graph, x) == ""


def test_maximum_pooling_of_large_sums_is_exact() -> None:
    """onnxruntime's own Max and ReduceMax compare the low halves of such numbers."""
    rng = np.random.default_rng(0)
    weight = fixed(rng.integers(-(1 << 30), 1 << 30, (4, 1, 3)), 32, -4)
    ones = {key: fixed(1) for key in ("gain", "gain_u")}
    none = {key: fixed(0) for key in ("bias", "decay_u", "decay_v", "v_rest", "v_reset", "v_init")}
    graph = FixedGraph(
        (
            Input("in", shape=(1, 12)), Conv("c", weight=weight),
            Pool("p", pooling="max", kernel=(3,), stride=(2,), padding=(1,)),
            Neuron("n", shape=(4, 5), threshold=fixed(1 << 20), **none, **ones),
        ),
        (Edge("in", "c"), Edge("c", "p"), Edge("p", "n")),
        "generic",
        Conventions(accumulator_bits=40, accumulator_overflow="saturate", state_bits=32),
    )  # fmt: skip
    assert compared(graph, spikes(rng, (1, 12), batch=6, steps=20)) == ""


def test_analog_input_equals_the_reference() -> None:
    rng = np.random.default_rng(1)
    network, x = random_network(2, None)
    graph = replace(network, nodes=(replace(network.inputs[0], encoding="direct"), *network.nodes[1:]))
    values = rng.normal(0, 1, x.shape)
    found = onnx_run.run(onnx_file.write(graph), values)
    assert "in" not in found.spikes
    assert difference(found, reference(graph, values), 1e-9) == ""
    assert difference(found, reference(graph, np.sign(values)), 1e-9) != ""


def test_samples_are_independent_of_the_chunk() -> None:
    graph, x = stress()
    assert difference(onnx_run.run(onnx_file.write(graph), x, chunk=3), reference(graph, x)) == ""


def test_a_file_is_opened_once_and_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = stress()
    opened: list[int] = []
    make = onnx_run._session
    monkeypatch.setattr(onnx_run, "_session", lambda content: opened.append(len(content)) or make(content))
    model = onnx_run.Model(onnx_file.write(graph))
    for some in (x, np.zeros_like(x), x[:2], x):
        assert difference(model.run(some), reference(graph, some)) == ""
    assert difference(model.run(x), reference(graph, np.zeros_like(x))) != ""
    assert len(opened) == 1


def test_fewer_outputs_are_the_same_outputs() -> None:
    graph, x = stress()
    found = onnx_run.run(onnx_file.write(graph), x, Probes(spikes=("out",), states=("hidden",)))
    assert difference(found, execute(graph, x, Probes(spikes=("out",), states=("hidden",)))) == ""
    assert (found.backend, found.target) == ("onnxruntime", "some")
