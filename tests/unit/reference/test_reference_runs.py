"""Whole runs of the reference: teacher forcing, latency, constant sources, refusals, the back end's face."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

import snnc_reference
from snnc.backend import Backend, Reference
from snnc.errors import TraceError, UnsupportedError
from snnc.ir import (
    Adaptation,
    Affine,
    Concat,
    Conventions,
    Edge,
    Fixed,
    FixedGraph,
    Format,
    Graph,
    Inhibit,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
    SynFilter,
)
from snnc.quantize.base import retime
from snnc.target import Target
from snnc.trace import Probes
from snnc_reference.execute import execute, refusals

Spikes = npt.NDArray[np.int8]
RNG = np.random.default_rng(11)
SPIKES = RNG.integers(0, 2, (3, 15, 4)).astype(np.int8)
ALL = Probes(states="all")


def cells(fixed: bool, *names: str) -> list[Node]:
    def param(value: float, fmt: Format) -> object:
        return Fixed(np.array(round(value / fmt.step)), fmt) if fixed else np.array(value)

    flat = {key: param(float(key in ("gain", "gain_u")), Format(24)) for key in Neuron.PARAMS if key != "v_min"}
    flat |= {"threshold": param(3.0, Format(24)), "decay_v": param(0.5, Format(13, 12))}
    return [Neuron(name, shape=(4,), **flat) for name in names]  # type: ignore[arg-type]


def layers(fixed: bool = False, hop: int = 0) -> Graph | FixedGraph:
    """in -> a (recurrent) -> b -> c with a skip from a, three populations of four."""
    rng = np.random.default_rng(2)
    weights: list[Node] = []
    for name in ("wa", "wb", "wc", "rec", "skip"):
        raw = rng.integers(-2, 4, (4, 4))
        weights.append(Affine(name, weight=Fixed(raw, Format(8)) if fixed else raw.astype(float)))
    nodes = (Input("in", shape=(4,)), *weights, *cells(fixed, "a", "b", "c"), Readout("out"))
    edges = [Edge(x, y) for x, y in pairwise(("in", "wa", "a", "wb", "b", "wc", "c", "out"))]
    edges += [Edge("a", "rec", 1), Edge("rec", "a"), Edge("a", "skip"), Edge("skip", "c")]
    graph = Graph(
        (Input("in", shape=(4,)), *layers_float(weights), *cells(False, "a", "b", "c"), Readout("out")),
        tuple(edges),
    )
    if not fixed:
        return graph
    timed, latency = retime(graph, hop)
    return FixedGraph(nodes, timed, "test", Conventions(hop_delay=hop), latency)


def layers_float(weights: list[Node]) -> list[Node]:
    found: list[Node] = []
    for node in weights:
        assert isinstance(node, Affine)
        found.append(replace(node, weight=node.weight.to_float()) if isinstance(node.weight, Fixed) else node)
    return found


KINDS = [(False, 0), (True, 0), (True, 1), (True, 2)]


@pytest.mark.parametrize(("fixed", "hop"), KINDS[:3])
def test_forcing_what_happened_changes_nothing(fixed: bool, hop: int) -> None:
    graph = layers(fixed, hop)
    free = execute(graph, SPIKES, ALL)
    assert 20 < int(free.spikes["c"].sum()) < 160
    forced = execute(graph, SPIKES, ALL, {name: free.spikes[name] for name in ("in", "a", "b")})
    for name in ("a", "b", "c"):
        np.testing.assert_array_equal(forced.spikes[name], free.spikes[name])
        np.testing.assert_array_equal(forced.states[name, "v"], free.states[name, "v"])


@pytest.mark.parametrize(("fixed", "hop"), KINDS[:3])
def test_forced_spikes_reach_targets_only(fixed: bool, hop: int) -> None:
    graph = layers(fixed, hop)
    free = execute(graph, SPIKES)
    other = RNG.integers(0, 2, free.spikes["b"].shape).astype(np.int8)
    forced = execute(graph, SPIKES, None, {"b": other})
    for name in ("in", "a", "b"):
        np.testing.assert_array_equal(forced.spikes[name], free.spikes[name])
    assert not np.array_equal(forced.spikes["c"], free.spikes["c"])
    silent = execute(graph, SPIKES, None, {"a": np.zeros_like(other)})
    assert not silent.spikes["b"].any()
    assert not silent.spikes["c"].any()
    assert not np.array_equal(silent.spikes["a"], free.spikes["a"]), "the recurrence must hear the forced spikes"


@pytest.mark.parametrize(("fixed", "hop"), KINDS[1:3])
def test_forced_time_is_logical(fixed: bool, hop: int) -> None:
    """A layer under teacher forcing is the layer alone on the same spikes."""
    drive = RNG.integers(0, 2, (3, 15, 4)).astype(np.int8)
    forced = execute(layers(fixed, hop), SPIKES, ALL, {"a": drive})
    whole = layers(fixed, 0)
    nodes = (Input("in", shape=(4,)), whole["wb"], whole["b"])
    edges = (Edge("in", "wb"), Edge("wb", "b"))
    alone = execute(FixedGraph(nodes, edges, "test", Conventions()), drive, ALL)
    np.testing.assert_array_equal(forced.spikes["b"], alone.spikes["b"])
    np.testing.assert_array_equal(forced.states["b", "v"], alone.states["b", "v"])
    shifted = np.roll(drive, 1, axis=1)
    assert not np.array_equal(execute(layers(fixed, hop), SPIKES, None, {"a": shifted}).spikes["b"], alone.spikes["b"])


def test_forcing_reaches_through_a_concat() -> None:
    nodes = (
        Input("in", shape=(4,)),
        *cells(False, "a"),
        Concat("j"),
        Affine("w", weight=np.ones((4, 8))),
        *cells(False, "b"),
    )
    edges = (Edge("in", "a"), Edge("in", "j"), Edge("a", "j"), Edge("j", "w"), Edge("w", "b"))
    graph = Graph(nodes, edges)
    free = execute(graph, SPIKES, ALL)
    same = execute(graph, SPIKES, ALL, {"a": free.spikes["a"]})
    np.testing.assert_array_equal(same.states["b", "v"], free.states["b", "v"])
    more = execute(graph, SPIKES, ALL, {"a": np.ones_like(free.spikes["a"])})
    np.testing.assert_array_equal(more.states["b", "u"], SPIKES.sum(-1, keepdims=True) + np.full(4, 4.0))


def test_samples_do_not_touch_each_other() -> None:
    for graph in (layers(), layers(True, 1)):
        together = execute(graph, SPIKES, ALL)
        for k in range(len(SPIKES)):
            alone = execute(graph, SPIKES[k : k + 1], ALL)
            np.testing.assert_array_equal(alone.states["c", "v"][0], together.states["c", "v"][k])


def test_probes_choose_what_is_recorded() -> None:
    trace = execute(layers(), SPIKES, Probes(spikes=("b",), states=("c",)))
    assert sorted(trace.spikes) == ["b"]
    assert sorted(trace.states) == [("c", "u"), ("c", "v")]
    assert trace.target == "float"
    assert trace.spikes["b"].dtype == np.int8


@pytest.mark.parametrize("hop", [0, 1])
def test_a_constant_carries_a_bias_from_the_first_step(hop: int) -> None:
    one = Input("one", shape=(1,), encoding="constant")
    weight = Affine("w", weight=np.array([[1.0], [2], [0], [5]]))
    graph = Graph(
        (Input("in", shape=(4,)), one, weight, *cells(False, "a")), (Edge("in", "a"), Edge("one", "w"), Edge("w", "a"))
    )
    edges, latency = retime(graph, hop)
    fixed = FixedGraph(
        (graph["in"], one, Affine("w", weight=Fixed(np.array([[1], [2], [0], [5]]), Format(8))), *cells(True, "a")),
        edges, "test", Conventions(hop_delay=hop), latency,
    )  # fmt: skip
    for network in (graph, fixed):
        trace = execute(network, SPIKES, ALL)
        np.testing.assert_array_equal(trace.states["a", "u"], SPIKES + np.array([1, 2, 0, 5]))
        assert (trace.spikes["one"] == 1).all()


def broken(**change: object) -> Graph:
    (cell,) = cells(False, "n")
    return Graph((Input("in", shape=(4,)), replace(cell, **change)), (Edge("in", "n"),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (broken(fire_from="previous"), "n: fire_from is previous, allowed is updated"),
        (broken(leak="linear"), "n: leak is linear"),
        (broken(adaptation=(Adaptation(0.5, 1, 1),)), "n: adaptation is"),
        (broken(output="graded"), "n: reset_v is zero, allowed is none"),
        (broken(one_shot=True), "n: one_shot is True"),
        (broken(reset_delay=2), "n: reset_delay is 2, allowed is 0 or 1"),
        (broken(schedule=("bias",), bias=np.zeros((9, 4))), "n: schedule is"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(graph: Graph, text: str) -> None:
    with pytest.raises(UnsupportedError, match=text):
        execute(graph, SPIKES)


def test_every_refusal_is_listed() -> None:
    (cell,) = cells(False, "n")
    nodes = (
        Input("in", shape=(4,)),
        SynFilter("f"),
        Inhibit("i", groups=(4,)),
        replace(cell, leak="none", one_shot=True),
    )
    graph = Graph(nodes, (Edge("in", "f"), Edge("f", "i"), Edge("i", "n")))
    assert [(v.node, v.quantity) for v in refusals(graph)] == [
        ("f", "node type"), ("i", "node type"), ("n", "leak"), ("n", "one_shot"),
    ]  # fmt: skip


def test_integers_refuse_what_needs_fractions() -> None:
    gain = Fixed(np.array(1), Format(8))
    nodes = (
        Input("in", shape=(1, 4)),
        Scale("x", gain=gain, shift=gain),
        Pool("p", pooling="avg", kernel=(2,), stride=(2,), padding=(0,)),
    )
    graph = FixedGraph(nodes, (Edge("in", "x"), Edge("x", "p")))
    assert [(v.node, v.found) for v in refusals(graph)] == [("x", "scale"), ("p", "avg")]


def test_wrong_input_is_named() -> None:
    with pytest.raises(TraceError, match=r"input shape is \(3, 15, 2\), allowed is \[B, T, \*\(4,\)\]"):
        execute(layers(), SPIKES[..., :2])
    two = Graph(
        (Input("in", shape=(4,)), Input("more", shape=(4,)), *cells(False, "n")), (Edge("in", "n"), Edge("more", "n"))
    )
    with pytest.raises(UnsupportedError, match="feeds one input, the network has 2"):
        execute(two, SPIKES)


def test_the_back_end_is_one() -> None:
    backend = snnc_reference.backend
    assert isinstance(backend, Backend)
    assert isinstance(backend, Reference)
    graph = layers(True, 1)
    assert isinstance(graph, FixedGraph)
    target = Target("test", "", graph.conventions, {}, {}, (), lambda *_: None)  # type: ignore[arg-type,return-value]
    program = backend.lower(graph, target)
    trace = backend.run(program, SPIKES, ALL)
    np.testing.assert_array_equal(trace.states["c", "v"], execute(graph, SPIKES, ALL).states["c", "v"])
    assert {"wa.weight", "a.threshold"} <= set(program.payload)
    for name in ("in", "a", "b", "c"):
        assert trace.spikes[name].shape == SPIKES.shape
