"""Populations beyond the leaky integrator as data: files, shapes, refusals, and who else refuses them by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest

from snnc.errors import GraphError, UnsupportedError
from snnc.formats import onnx_file
from snnc.ir import (
    POPULATIONS,
    Affine,
    Atrlif,
    Conventions,
    Delta,
    Edge,
    Fixed,
    FixedGraph,
    Format,
    Graph,
    Input,
    Neuron,
    Node,
    Sigma,
    SigmaDelta,
    describe,
    rebuild,
)
from snnc.ir.catalog import NODE_TYPES
from snnc.target import Target, check

MAKE: dict[str, Callable[[], Node]] = {
    "atrlif": lambda: Atrlif("n", shape=(3,)),
    "sigma": lambda: Sigma("n", shape=(3,)),
    "delta": lambda: Delta("n", shape=(3,), shift=2, cum_error=True),
    "sigmadelta": lambda: SigmaDelta("n", shape=(3,), activation="unit"),
    "ternary": lambda: Neuron("n", shape=(3,), output="ternary", threshold_low=np.array(-0.5)),
}
TARGETS: dict[str, Target] = {
    target.name: target for point in entry_points(group="snnc.backends") for target in point.load().targets
}


def floats(kind: str) -> Graph:
    nodes = (Input("in", shape=(2,)), Affine("w", weight=np.ones((3, 2))), MAKE[kind]())
    return Graph(nodes, (Edge("in", "w"), Edge("w", "n")))


def integers(kind: str, conventions: Conventions | None = None) -> FixedGraph:
    def fixed(node: Node) -> Node:
        one = {key: Fixed(np.array(1), Format(9, 0)) for key in node.params()}
        return type(node)(**{**{f: getattr(node, f) for f in node.__dataclass_fields__}, **one})

    weight = Affine("w", weight=Fixed(np.ones((3, 2), dtype=np.int64), Format(4)))
    nodes = (Input("in", shape=(2,)), weight, fixed(MAKE[kind]()))
    edges = (Edge("in", "w", 1), Edge("w", "n"))
    return FixedGraph(nodes, edges, "test", conventions or Conventions(hop_delay=1), {"n": 1})


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("make", [floats, integers])
def test_they_survive_json(make: Callable[[str], Any], kind: str) -> None:
    graph = make(kind)
    head, arrays = describe(graph)
    again = rebuild(json.loads(json.dumps(head)), arrays)
    assert again.digest == graph.digest
    assert type(again["n"]) is type(MAKE[kind]())
    assert again.shapes["n"] == (3,)


def test_the_digest_sees_their_fields() -> None:
    def of(node: Node) -> str:
        return Graph((Input("in", shape=(3,)), node), (Edge("in", "n"),)).digest

    nodes = [
        Delta("n", shape=(3,)), Delta("n", shape=(3,), shift=1), Delta("n", shape=(3,), cum_error=True),
        SigmaDelta("n", shape=(3,)), SigmaDelta("n", shape=(3,), activation="unit"), Sigma("n", shape=(3,)),
        Neuron("n", shape=(3,), output="ternary"),
        Neuron("n", shape=(3,), output="ternary", threshold_low=np.array(-1.0)),
    ]  # fmt: skip
    assert len({of(node) for node in nodes}) == len(nodes)


def test_every_population_is_a_node_type_with_a_shape() -> None:
    for cls in POPULATIONS:
        assert NODE_TYPES[cls.__name__] is cls
        assert "shape" in cls.__dataclass_fields__


@pytest.mark.parametrize("kind", MAKE)
def test_their_shape_is_that_of_their_input(kind: str) -> None:
    nodes = (Input("in", shape=(4,)), MAKE[kind]())
    with pytest.raises(GraphError, match=r"n: input shape is \(4,\), allowed is \(3,\)"):
        Graph(nodes, (Edge("in", "n"),))


def test_their_parameters_broadcast() -> None:
    nodes = (Input("in", shape=(3,)), Delta("n", shape=(3,), threshold=np.ones(2)))
    with pytest.raises(GraphError, match="n: threshold shape is"):
        Graph(nodes, (Edge("in", "n"),))


@pytest.mark.parametrize("kind", MAKE)
def test_they_hold_the_hop_delay(kind: str) -> None:
    graph = integers(kind)
    weight = Affine("more", weight=Fixed(np.ones((1, 3), dtype=np.int64), Format(4)))
    with pytest.raises(GraphError, match="the edge n -> more has delay 0; test needs at least 1"):
        FixedGraph((*graph.nodes, weight), (*graph.edges, Edge("n", "more")), "test", graph.conventions)


def test_a_lower_threshold_at_rest_is_refused() -> None:
    with pytest.raises(GraphError, match="threshold_low is 0, allowed is less than 0"):
        Neuron("n", shape=(1,), output="ternary", threshold_low=np.array([-1.0, 0.0]))


def test_a_shift_has_bits() -> None:
    for shift in (-1, 64):
        with pytest.raises(GraphError, match=f"shift is {shift}, allowed is 0 to 63"):
            Delta("n", shape=(1,), shift=shift)


def test_conventions_check_the_registers_of_the_membrane() -> None:
    with pytest.raises(GraphError, match="drive_overflow is 'bounce'"):
        Conventions(drive_overflow="bounce")  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="membrane_minimum is 3, allowed is at most membrane_maximum, 2"):
        Conventions(membrane_minimum=3, membrane_maximum=2)


def test_targets_are_installed() -> None:
    assert {"generic", "loihi1", "spinnaker1"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", MAKE)
def test_targets_refuse_them_by_name(kind: str, target: str) -> None:
    wanted = ("output", "ternary") if kind == "ternary" else ("node type", kind)
    found = {(violation.quantity, violation.found) for violation in check(floats(kind), TARGETS[target])}
    assert wanted in found


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("make", [floats, integers])
def test_onnx_refuses_them_by_name(make: Callable[[str], Any], kind: str) -> None:
    text = "n: output is ternary" if kind == "ternary" else f"n: node type is {kind}"
    with pytest.raises(UnsupportedError, match=text):
        onnx_file.write(make(kind))


@pytest.mark.parametrize("change", [{"membrane_minimum": -3}, {"membrane_maximum": 3}], ids=str)
def test_onnx_refuses_registers_it_does_not_have(change: dict[str, Any]) -> None:
    plain = {"decay_u", "decay_v", "bias", "threshold", "v_rest", "v_reset", "v_init", "gain", "gain_u"}
    params = {key: Fixed(np.array(int("gain" in key)), Format(9)) for key in plain}
    nodes = (Input("in", shape=(3,)), Neuron("n", shape=(3,), **params))
    edges = (Edge("in", "n"),)
    onnx_file.write(FixedGraph(nodes, edges, "test", Conventions()))
    with pytest.raises(UnsupportedError, match=f"conventions: {next(iter(change))} is"):
        onnx_file.write(FixedGraph(nodes, edges, "test", Conventions(**change)))
