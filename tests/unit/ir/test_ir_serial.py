"""Networks as data: nothing is lost, every number counts in the digest, damaged descriptions are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from snnc.errors import GraphError, SnncError
from snnc.ir import (
    Adaptation,
    Affine,
    Conv,
    Conventions,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Format,
    Graph,
    Input,
    Neuron,
    Pool,
    Readout,
    describe,
    rebuild,
)


def floats() -> Graph:
    nodes = (
        Input("in", shape=(2, 5, 5)),
        Conv("c", weight=np.ones((3, 2, 3, 3)), bias=np.arange(3.0), stride=(1, 1), padding=(1, 1), dilation=(1, 1)),
        Neuron("n", shape=(3, 5, 5), decay_v=np.full((3, 1, 1), 0.5), adaptation=(Adaptation(0.5, 1.0, 2.0),)),
        Pool("p", kernel=(5, 5), stride=(5, 5)),
        Flatten("f"),
        Affine("w", weight=np.ones((2, 3))),
        Neuron("m", shape=(2,), reset_v="subtract", fires="gt", schedule=("bias",), bias=np.zeros((7, 2))),
        Readout("out"),
    )
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return Graph(nodes, (*edges, Edge("m", "m", 1)), dt=1e-3)


def integers() -> FixedGraph:
    flat = {key: Fixed(np.array(3), Format(8, 2)) for key in Neuron.PARAMS}
    weight = Fixed(np.array([[1, -2], [3, 4]]), Format(4, -6))
    nodes = (Input("in", shape=(2,)), Affine("w", weight=weight), Neuron("n", shape=(2,), **flat))
    conventions = Conventions(hop_delay=1, decay_rounding="floor")
    return FixedGraph(nodes, (Edge("in", "w", 1), Edge("w", "n")), "test", conventions, {"in": 0, "n": 1})


@pytest.mark.parametrize("make", [floats, integers])
def test_a_network_survives_json(make: Callable[[], Any]) -> None:
    network = make()
    head, arrays = describe(network)
    again = rebuild(json.loads(json.dumps(head)), arrays)
    assert type(again) is type(network)
    assert again.digest == network.digest
    assert again.edges == network.edges
    second, numbers = describe(again)
    assert second == head
    assert sorted(numbers) == sorted(arrays)
    for key, array in numbers.items():
        np.testing.assert_array_equal(array, arrays[key])


def with_node(graph: Any, name: str, **change: Any) -> Any:
    return graph.replace_node(replace(graph[name], **change))


def weight(graph: FixedGraph) -> Fixed:
    node = graph["w"]
    assert isinstance(node, Affine)
    assert isinstance(node.weight, Fixed)
    return node.weight


FLOAT_CHANGES: dict[str, Callable[[Graph], Graph]] = {
    "one weight": lambda g: with_node(g, "w", weight=np.array([[1, 1, 1], [1, 1, np.nextafter(1, 2)]])),
    "a shape of equal numbers": lambda g: with_node(g, "n", decay_v=np.full((1, 1, 1), 0.5)),
    "an option": lambda g: with_node(g, "m", fires="ge"),
    "an adaptation": lambda g: with_node(g, "n", adaptation=(Adaptation(0.5, 1.0, 3.0),)),
    "a missing bias": lambda g: with_node(g, "c", bias=None),
    "an edge's delay": lambda g: g.with_nodes(g.nodes, (*g.edges[:-1], Edge("m", "m", 2))),
    "one edge more": lambda g: g.with_nodes(g.nodes, (*g.edges, Edge("n", "n", 1))),
    "the step": lambda g: replace(g, dt=1e-4),
}
FIXED_CHANGES: dict[str, Callable[[FixedGraph], FixedGraph]] = {
    "one integer": lambda g: with_node(g, "w", weight=Fixed(np.array([[1, -2], [3, 5]]), weight(g).format)),
    "a format": lambda g: with_node(g, "w", weight=Fixed(weight(g).raw, Format(5, -6))),
    "a rounding": lambda g: with_node(g, "w", weight=Fixed(weight(g).raw, replace(weight(g).format, rounding="floor"))),
    "the target": lambda g: replace(g, target="other"),
    "the conventions": lambda g: replace(g, conventions=replace(g.conventions, decay_rounding="toward_zero")),
    "a latency": lambda g: replace(g, latency={"in": 0, "n": 2}),
}


@pytest.mark.parametrize("name", FLOAT_CHANGES)
def test_the_digest_of_a_float_graph_sees(name: str) -> None:
    assert floats().digest == floats().digest
    assert FLOAT_CHANGES[name](floats()).digest != floats().digest


@pytest.mark.parametrize("name", FIXED_CHANGES)
def test_the_digest_of_a_fixed_graph_sees(name: str) -> None:
    assert integers().digest == integers().digest
    assert FIXED_CHANGES[name](integers()).digest != integers().digest


def entry(head: dict[str, Any], name: str) -> dict[str, Any]:
    found = next(node for node in head["nodes"] if node["name"] == name)
    assert isinstance(found, dict)
    return found


DAMAGES: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "no type": lambda head, _: head.pop("type"),
    "unknown type": lambda head, _: head.update(type="Net"),
    "no nodes": lambda head, _: head.pop("nodes"),
    "nodes of no use": lambda head, _: head.update(nodes=[7]),
    "unknown node type": lambda head, _: entry(head, "w").update(type="Dense"),
    "unknown field": lambda head, _: entry(head, "w").update(wieght=1),
    "missing array": lambda _, arrays: arrays.pop("w/weight"),
    "array of another shape": lambda _, arrays: arrays.update({"w/weight": np.ones((3, 3), dtype=int)}),
    "number outside its format": lambda _, arrays: arrays.update({"w/weight": np.array([[1, 2], [3, 99]])}),
    "unknown convention": lambda head, _: head["conventions"].update(rounding_mode="up"),
    "bad latency": lambda head, _: head["latency"].update(n=-1),
    "short edge": lambda head, _: head["edges"].append(["in", "w"]),
    "dangling edge": lambda head, _: head["edges"].append(["in", "x", 1]),
    "impossible format": lambda head, _: entry(head, "w")["weight"]["format"].update(bits=99),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_descriptions_are_refused(name: str) -> None:
    head, arrays = describe(integers())
    head = json.loads(json.dumps(head))
    assert rebuild(json.loads(json.dumps(head)), dict(arrays)).digest == integers().digest
    DAMAGES[name](head, arrays)
    with pytest.raises(SnncError):
        rebuild(head, arrays)


def test_a_float_graph_refuses_nan_when_it_is_read() -> None:
    head, arrays = describe(floats())
    arrays["w/weight"] = np.full((2, 3), np.nan)
    with pytest.raises(GraphError, match="NaN"):
        rebuild(head, arrays)
