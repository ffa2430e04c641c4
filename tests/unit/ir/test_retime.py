"""Retiming: where device delays come from, and that only time is skewed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.errors import UnsupportedError
from snnc.ir import (
    Affine,
    Concat,
    Conventions,
    Edge,
    Fixed,
    FixedGraph,
    Format,
    Graph,
    Identity,
    Input,
    Neuron,
    Node,
    Readout,
)
from snnc.quantize.base import retime
from snnc.trace import Probes
from snnc_reference.execute import execute


def plain(*edges: tuple[str, str, int]) -> Graph:
    """A graph of scalar nodes: names starting with i are inputs, w weightless nodes, c constants, o readouts."""
    kinds: dict[str, type[Node]] = {"i": Input, "c": Input, "w": Identity, "o": Readout}
    names = dict.fromkeys(name for a, b, _ in edges for name in (a, b))
    nodes: list[Node] = []
    for name in names:
        kind = kinds.get(name[0], Neuron)
        extra = {"encoding": "constant"} if name[0] == "c" else {}
        nodes.append(kind(name, shape=(1,), **extra) if kind in (Input, Neuron) else kind(name))
    return Graph(tuple(nodes), tuple(Edge(*edge) for edge in edges))


def delays(graph: Graph, hop: int) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    edges, latency = retime(graph, hop)
    return {(edge.source, edge.target): edge.delay for edge in edges}, latency


def test_no_hop_changes_nothing() -> None:
    graph = plain(("in", "w", 0), ("w", "a", 0), ("a", "a", 1), ("a", "out", 0))
    edges, latency = retime(graph, 0)
    assert edges == graph.edges
    assert latency == {"in": 0, "a": 0}


def test_a_chain_gets_one_hop_per_population() -> None:
    graph = plain(("in", "w1", 0), ("w1", "a", 0), ("a", "w2", 0), ("w2", "b", 0), ("b", "out", 0))
    for hop in (1, 2):
        found, latency = delays(graph, hop)
        assert latency == {"in": 0, "a": hop, "b": 2 * hop}
        hops = {edge: delay for edge, delay in found.items() if delay}
        assert set(hops.values()) == {hop}
        assert len(hops) == 2
        assert found["b", "out"] == 0


def test_a_skip_waits_for_the_long_way() -> None:
    found, latency = delays(plain(("in", "a", 0), ("a", "b", 0), ("a", "d", 0), ("b", "d", 0)), 1)
    assert latency == {"in": 0, "a": 1, "b": 2, "d": 3}
    assert found == {("in", "a"): 1, ("a", "b"): 1, ("a", "d"): 2, ("b", "d"): 1}


def test_a_delay_pays_for_its_hop() -> None:
    found, latency = delays(plain(("in", "a", 0), ("a", "b", 1), ("a", "d", 3)), 1)
    assert latency == {"in": 0, "a": 1, "b": 1, "d": 0}
    assert found == {("in", "a"): 1, ("a", "b"): 1, ("a", "d"): 2}


def test_recurrence_keeps_its_delay() -> None:
    found, latency = delays(plain(("in", "a", 0), ("a", "w", 1), ("w", "a", 0), ("a", "out", 0)), 1)
    assert latency == {"in": 0, "a": 1}
    assert found["a", "w"] + found["w", "a"] == 1
    found, _ = delays(plain(("in", "a", 0), ("a", "w", 0), ("w", "a", 1)), 1)
    assert (found["a", "w"], found["w", "a"]) == (1, 0)


def test_a_loop_of_two_needs_two_steps() -> None:
    loop = (("in", "a", 0), ("a", "b", 0), ("b", "a", 2))
    found, latency = delays(plain(*loop), 1)
    assert latency == {"in": 0, "a": 1, "b": 2}
    assert (found["a", "b"], found["b", "a"]) == (1, 1)
    with pytest.raises(UnsupportedError, match="recurrent delay is fewer steps than hops in a cycle"):
        retime(plain(*loop[:2], ("b", "a", 1)), 1)
    with pytest.raises(UnsupportedError, match="at least 2 step per hop"):
        retime(plain(("in", "a", 0), ("a", "a", 1)), 2)
    assert retime(plain(*loop[:2], ("b", "a", 1)), 0)[1] == {"in": 0, "a": 0, "b": 0}


def test_a_constant_starts_with_what_it_feeds() -> None:
    graph = plain(("in", "a", 0), ("a", "b", 0), ("cst", "w", 0), ("w", "b", 0))
    found, latency = delays(graph, 1)
    assert latency == {"in": 0, "a": 1, "b": 2, "cst": 1}
    assert found["cst", "w"] + found["w", "b"] == 1


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random feed-forward graphs of populations and weightless nodes, some edges delayed, some self-loops."""
    count = draw(st.integers(2, 7))
    names = ["in", *(draw(st.sampled_from("nw")) + str(i) for i in range(1, count))]
    edges = []
    for k in range(1, count):
        for j in sorted(draw(st.sets(st.integers(0, k - 1), min_size=1, max_size=3))):
            edges.append((names[j], names[k], draw(st.sampled_from([0, 0, 0, 1, 3]))))
        if names[k][0] == "n" and draw(st.booleans()):
            edges.append((names[k], names[k], draw(st.integers(2, 4))))
    return plain(*edges)


@settings(max_examples=150, deadline=None)
@given(graph=graphs(), hop=st.integers(0, 2))
def test_every_edge_has_its_hop_and_paths_are_skewed_alike(graph: Graph, hop: int) -> None:
    edges, latency = retime(graph, hop)
    longer = {}
    for before, after in zip(graph.edges, edges, strict=True):
        leaves = isinstance(graph[before.source], (Input, Neuron))
        assert after.delay >= (hop if leaves else 0)
        longer[before] = after.delay - before.delay
    depth = dict(latency)
    for name in graph.order:
        for edge in graph.incoming(name):
            if edge.source in depth:
                assert depth.setdefault(name, depth[edge.source] + longer[edge]) == depth[edge.source] + longer[edge]


def small_net(bias_a: float = 3.0) -> Graph:
    """Two layers, a skip and a recurrence, float weights that are integers."""
    rng = np.random.default_rng(5)
    w = {k: rng.integers(-3, 5, (4, 4)).astype(float) for k in ("w1", "w2", "ws", "wr")}
    cells = [
        Neuron(n, shape=(4,), threshold=np.array(4.0), bias=np.array([0.0, 1, 2, last]), decay_v=np.array(0.5))
        for n, last in (("a", bias_a), ("b", 5))
    ]
    nodes = (Input("in", shape=(4,)), *(Affine(k, weight=v) for k, v in w.items()), *cells)
    path = ("in", "w1", "a", "w2", "b")
    edges = [Edge(x, y) for x, y in pairwise(path)]
    extra = [Edge("in", "ws"), Edge("ws", "b"), Edge("a", "wr", 1), Edge("wr", "a")]
    return Graph(nodes, (*edges, *extra))


SPIKES = np.random.default_rng(6).integers(0, 2, (3, 20, 4)).astype(np.int8)


def to_integers(graph: Graph, conventions: Conventions) -> FixedGraph:
    nodes: list[Node] = []
    for node in graph.nodes:
        fmt = {"decay_v": Format(13, 12), "decay_u": Format(13, 12)}
        change = {
            key: Fixed(np.rint(np.ldexp(value, fmt.get(key, Format(24)).frac)).astype(int), fmt.get(key, Format(24)))
            for key, value in node.params().items()
            if not isinstance(value, Fixed)
        }
        nodes.append(replace(node, **change) if change else node)
    edges, latency = retime(graph, conventions.hop_delay)
    return FixedGraph(tuple(nodes), edges, "test", conventions, latency)


def test_a_retimed_network_fires_like_the_network() -> None:
    graph = small_net()
    probes = Probes(states="all")
    want = execute(to_integers(graph, Conventions()), SPIKES, probes)
    got = execute(to_integers(graph, Conventions(hop_delay=1)), SPIKES, probes)
    assert int(want.spikes["b"].sum()) > 20
    for name in ("in", "a", "b"):
        np.testing.assert_array_equal(got.spikes[name], want.spikes[name])
    for key, state in want.states.items():
        np.testing.assert_array_equal(got.states[key], state)
    free = execute(to_integers(graph, Conventions(hop_delay=1, aligned_start=False)), SPIKES)
    assert not np.array_equal(free.spikes["b"], want.spikes["b"])
    late = to_integers(graph, Conventions(hop_delay=1))
    late = replace(late, latency={**late.latency, "b": late.latency["b"] + 1})
    assert not np.array_equal(execute(late, SPIKES).spikes["b"], want.spikes["b"])


def test_what_a_bias_fires_before_the_start_is_heard_by_a_recurrence() -> None:
    """As on the chip: a population runs from device step 0, and only its states are reset when its input comes."""
    graph = small_net(bias_a=5.0)
    want = execute(to_integers(graph, Conventions()), SPIKES)
    got = execute(to_integers(graph, Conventions(hop_delay=1)), SPIKES)
    assert not np.array_equal(got.spikes["a"], want.spikes["a"])


def test_a_concat_is_retimed_as_one_node() -> None:
    nodes = (Input("in", shape=(1,)), Neuron("a", shape=(1,)), Concat("j"), Neuron("b", shape=(2,)))
    graph = Graph(nodes, (Edge("in", "a"), Edge("in", "j"), Edge("a", "j"), Edge("j", "b")))
    found, latency = delays(graph, 1)
    assert latency == {"in": 0, "a": 1, "b": 2}
    assert (found["in", "j"], found["a", "j"], found["j", "b"]) == (2, 1, 0)
