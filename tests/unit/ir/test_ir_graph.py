"""What a graph refuses when it is built, and what it answers about itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from snnc.errors import GraphError
from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Conventions,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Format,
    Graph,
    Inhibit,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
)  # fmt: skip


def chain(*nodes: Node) -> Graph:
    return Graph(nodes, tuple(Edge(a.name, b.name) for a, b in pairwise(nodes)))


def net() -> Graph:
    weight = np.arange(6.0).reshape(2, 3)
    return chain(Input("in", shape=(3,)), Affine("w", weight=weight), Neuron("n", shape=(2,)), Readout("out"))


def refused(text: str, nodes: tuple[Node, ...], edges: tuple[Edge, ...]) -> None:
    with pytest.raises(GraphError, match=text):
        Graph(nodes, edges)


def test_names_are_unique_and_plain() -> None:
    refused("two nodes are called 'a'", (Input("a", shape=(1,)), Readout("a")), ())
    for name in ("", "a b", "a/b", "a\n"):
        with pytest.raises(GraphError, match="no space and no slash"):
            Input(name, shape=(1,))


def test_edges_name_nodes_and_run_forward_in_time() -> None:
    nodes = (Input("in", shape=(1,)), Readout("out"))
    refused("names 'gone', which is no node", nodes, (Edge("in", "gone"),))
    refused("names 'gone', which is no node", nodes, (Edge("gone", "out"),))
    refused("negative delay -1", nodes, (Edge("in", "out", -1),))


def test_only_inputs_have_no_incoming_edge() -> None:
    refused("out \\(readout\\) has no incoming edge", (Input("in", shape=(1,)), Readout("out")), ())
    nodes = (Input("in", shape=(1,)), Input("b", shape=(1,)))
    refused("b \\(input\\) has an incoming edge", nodes, (Edge("in", "b"),))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_parameters_are_finite(bad: float) -> None:
    with pytest.raises(GraphError, match=r"w: weight is NaN or infinite in 1 of 6 places, allowed is finite"):
        net().replace_node(Affine("w", weight=np.array([[0, 1, 2], [3, bad, 5.0]])))


@pytest.mark.parametrize("bad", [0.0, -1.0, [1.0, 0.0]])
def test_thresholds_are_positive(bad: Any) -> None:
    with pytest.raises(GraphError, match=r"n: threshold is -?[01], allowed is > 0"):
        net().replace_node(Neuron("n", shape=(2,), threshold=np.array(bad)))


def test_parameters_broadcast_to_the_population() -> None:
    assert net().replace_node(Neuron("n", shape=(2,), decay_v=np.ones(2))).neurons[0].shape == (2,)
    for shape in ((3,), (1, 2)):
        with pytest.raises(GraphError, match="decay_v shape"):
            net().replace_node(Neuron("n", shape=(2,), decay_v=np.ones(shape)))


def test_float_graphs_and_fixed_graphs_do_not_mix() -> None:
    fixed = Affine("w", weight=Fixed(np.ones((2, 3), dtype=int), Format(8)))
    with pytest.raises(GraphError, match=r"w\.weight is fixed-point"):
        net().replace_node(fixed)
    with pytest.raises(GraphError, match=r"w\.weight is float; a FixedGraph holds integers only"):
        FixedGraph(net().nodes, net().edges)


def test_cycles_need_a_delay() -> None:
    nodes = (Input("in", shape=(1,)), Neuron("a", shape=(1,)), Neuron("b", shape=(1,)))
    loop = (Edge("in", "a"), Edge("a", "b"), Edge("b", "a"))
    refused("a cycle without delay goes through a, b", nodes, loop)
    assert Graph(nodes, (*loop[:2], Edge("b", "a", 1))).order == ("in", "a", "b")
    refused("cycle without delay", nodes, (Edge("in", "a"), Edge("a", "b"), Edge("b", "b")))


W = np.ones((4, 2, 3, 3))


@pytest.mark.parametrize(
    ("shape", "node", "text"),
    [
        ((3,), Affine("x", weight=np.ones((2, 4))), r"input shape is \(3,\), allowed is \(4,\)"),
        ((3, 2), Affine("x", weight=np.ones((2, 3))), "Flatten before a dense layer"),
        ((3,), Affine("x", weight=np.ones((2, 3)), bias=np.ones(3)), "bias shape"),
        ((3,), Affine("x", weight=np.ones(3)), "weight shape"),
        ((2, 5, 5), Conv("x", weight=W), "stride is"),
        ((3, 5, 5), Conv("x", weight=W, stride=(1, 1), padding=(0, 0), dilation=(1, 1)), "input shape"),
        ((2, 2, 2), Conv("x", weight=W, stride=(1, 1), padding=(0, 0), dilation=(1, 1)), "kernel is 3, allowed is at"),
        ((6, 5, 5), Conv("x", weight=W, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=3), "groups is 3"),
        ((2, 5, 5), Conv("x", weight=np.ones((4, 2))), "weight shape"),
        ((2, 5, 5), Conv("x", weight=W, bias=np.ones(2), stride=(1, 1), padding=(0, 0), dilation=(1, 1)), "bias shape"),
        ((2, 5), Pool("x"), "input shape"),
        ((2, 1, 5), Pool("x"), "kernel is 2"),
        ((3,), Neuron("x", shape=(4,)), "input shape"),
        ((3,), Inhibit("x", groups=(2, 2)), "groups is 4"),
    ],
)
def test_shapes_must_fit(shape: tuple[int, ...], node: Node, text: str) -> None:
    with pytest.raises(GraphError, match=f"^x: .*{text}"):
        chain(Input("in", shape=shape), node)


def test_summed_edges_have_one_shape_and_concat_joins() -> None:
    a, b = Input("a", shape=(2, 3)), Input("b", shape=(4, 3))
    edges = (Edge("a", "x"), Edge("b", "x"))
    refused("incoming edges are summed", (a, b, Add("x")), edges)
    assert Graph((a, b, Concat("x")), edges).shapes["x"] == (6, 3)
    refused("equal but for axis 1", (a, b, Concat("x", axis=1)), edges)


def test_shapes_of_nodes() -> None:
    conv = Conv("c", weight=W, stride=(2, 1), padding=(1, 0), dilation=(1, 2))
    graph = chain(
        Input("in", shape=(2, 7, 9)), conv, Pool("p", kernel=(2, 2), stride=(1, 2), padding=(0, 1)), Flatten("f")
    )
    assert dict(graph.shapes) == {"in": (2, 7, 9), "c": (4, 4, 5), "p": (4, 3, 3), "f": (36,)}


def test_a_graph_describes_itself() -> None:
    graph = net()
    bias = Input("one", shape=(2,), encoding="constant")
    with_bias = graph.with_nodes((*graph.nodes, bias), (*graph.edges, Edge("one", "n")))
    assert [n.name for n in with_bias.inputs] == ["in"]
    assert [n.name for n in with_bias.populations] == ["in", "one", "n"]
    assert [n.name for n in with_bias.neurons] == ["n"]
    assert graph.output is graph["n"]
    assert "w" in graph
    assert "v" not in graph
    with pytest.raises(GraphError, match="no node is called 'v'; there are in, w, n, out"):
        _ = graph["v"]


def test_without_joins_edges_and_adds_delays() -> None:
    nodes = (Input("in", shape=(2,)), Flatten("f"), Neuron("n", shape=(2,)))
    graph = Graph(nodes, (Edge("in", "f", 1), Edge("f", "n", 2)))
    assert graph.without("f").edges == (Edge("in", "n", 3),)


def test_parameters_cannot_be_changed_in_place() -> None:
    weight = np.ones((2, 3))
    node = Affine("w", weight=weight)
    weight[0, 0] = 7
    assert isinstance(node.weight, np.ndarray)
    assert node.weight[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        node.weight[0, 0] = 3


def fixed_chain(hop: int, delay: int, latency: dict[str, int] | None = None) -> FixedGraph:
    weight = Fixed(np.ones((2, 3), dtype=int), Format(8))
    flat = {key: Fixed(np.zeros((), dtype=int), Format(8)) for key in Neuron.PARAMS}
    nodes = (Input("in", shape=(3,)), Affine("w", weight=weight), Neuron("n", shape=(2,), **flat), Readout("out"))
    edges = (Edge("in", "w", delay), Edge("w", "n"), Edge("n", "out"))
    return FixedGraph(nodes, edges, "test", Conventions(hop_delay=hop), latency or {})


def test_fixed_graphs_hold_the_hop_delay_of_their_target() -> None:
    assert fixed_chain(1, 1, {"in": 0, "n": 1}).depth == 1
    with pytest.raises(GraphError, match="in -> w has delay 0; test needs at least 1"):
        fixed_chain(1, 0)
    for latency in ({"gone": 0}, {"n": -1}):
        with pytest.raises(GraphError, match="names no node or is negative"):
            fixed_chain(1, 1, latency)


def test_latency_is_frozen() -> None:
    graph = fixed_chain(1, 1, {"n": 1})
    with pytest.raises(TypeError):
        graph.latency["n"] = 3  # type: ignore[index]
    assert replace(graph, latency={"n": 2}).depth == 2
