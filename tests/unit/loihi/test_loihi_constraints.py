"""Every rule of target loihi1: what breaks it is named, what keeps it passes, and all are checked at once."""

from __future__ import annotations

import inspect
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from snnc.errors import InputError, UnsupportedError
from snnc.ir import (
    Adaptation,
    Add,
    Affine,
    Delay,
    Edge,
    Flatten,
    Graph,
    Inhibit,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
    SynFilter,
    TimeScale,
)
from snnc.quantize.base import QuantizeOptions
from snnc.target import check, demand, rule
from snnc_loihi.target import LOIHI1, quantize


def net(*middle: Node, lif: dict[str, Any] | None = None, encoding: Any = "spikes", shape: Any = (4,)) -> Graph:
    weights = Affine("fc", np.ones((4, 4)))
    neuron = Neuron("lif", (4,), **{"decay_v": 0.9, **(lif or {})})
    nodes = (Input("in", shape, encoding), *middle, weights, neuron, Readout("out"))
    edges = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    return Graph(nodes, edges)


def two_behind() -> Graph:
    """Two sets of weights that analog values drive one population through."""
    graph = net(encoding="direct")
    edges = (*graph.edges, Edge("in", "more"), Edge("more", "lif"))
    return Graph((*graph.nodes, Affine("more", np.eye(4))), edges)


def relayed() -> Graph:
    """Analog values that arrive one step later."""
    graph = net(encoding="direct")
    return Graph(graph.nodes, (Edge("in", "fc", 1), *graph.edges[1:]))


NEURONS: dict[str, dict[str, Any]] = {
    "binary_spikes": {"output": "graded"},
    "hard_reset": {"reset_v": "subtract"},
    "reset_to_zero": {"reset_v": "value", "v_reset": -0.5},
    "rest_at_zero": {"v_rest": -0.1},
    "start_at_zero": {"v_init": 0.2},
    "immediate_reset": {"reset_delay": 1},
    "current_survives_spike": {"reset_u": True},
    "no_refractory": {"refractory": 2},
    "no_adaptation": {"adaptation": (Adaptation(0.9, 1.0, 0.1),)},
    "exponential_leak": {"leak": "linear"},
    "fires_after_update": {"fire_from": "previous"},
    "repeated_spikes": {"one_shot": True},
    "constant_parameters": {"schedule": ("threshold",), "threshold": np.ones((3, 1))},
    "folded_gain": {"gain": 2.0},
    "shared_decays": {"decay_v": np.array([0.9, 0.9, 0.8, 0.9])},
    "decaying_current": {"decay_u": 1.0},
    "remembering_membrane": {"decay_v": 0.0},
    "no_lower_bound": {"v_min": -1.0},
}
LAYERS: dict[str, list[Graph]] = {
    "known_nodes": [
        net(SynFilter("x", 0.5)), net(TimeScale("x", np.ones((3, 1)))), net(Inhibit("x", (4,))), net(Scale("x")),
    ],
    "sum_pooling": [
        net(Pool("p", "max"), Flatten("flat"), shape=(1, 4, 4)), net(Pool("p", "avg"), Flatten("flat"), shape=(1, 4, 4))
    ],
    "spiking_input": [
        net(encoding="direct", lif={"decay_u": 0.5}), net(Delay("late", 2), encoding="direct"), two_behind(), relayed(),
    ],
    "bias_on_neurons": [net().replace_node(Affine("fc", np.ones((4, 4)), np.ones(4)))],
    "one_weighted_layer": [net(Affine("first", np.eye(4))), net().without("fc")],
}  # fmt: skip


def broken(graph: Graph) -> set[str]:
    return {c.__name__ for c in LOIHI1.constraints if list(c(graph, LOIHI1))}


def delayed(source: str, steps: int) -> Graph:
    graph = net()
    nodes = (*graph.nodes, Delay("late", steps), Affine("back", np.eye(4)))
    edges = (*graph.edges, Edge(source, "late", 1), Edge("late", "back"), Edge("back", "lif"))
    return Graph(nodes, edges)


def test_a_plain_network_breaks_nothing() -> None:
    assert check(net(), LOIHI1) == ()
    assert check(net(lif={"decay_u": 0.5, "decay_v": 1.0, "fires": "gt", "reset_v": "value"}), LOIHI1) == ()
    assert check(net(encoding="direct"), LOIHI1) == ()


@pytest.mark.parametrize("name", list(NEURONS))
def test_neurons_that_break_a_rule(name: str) -> None:
    assert broken(net(lif=NEURONS[name])) == {name}


def test_no_reset_is_refused() -> None:
    assert broken(net(lif={"reset_v": "none"})) == {"hard_reset"}


def test_decays_per_neuron_are_counted() -> None:
    found = check(net(lif={"decay_v": np.array([0.9, 0.5, 0.8, 0.5])}), LOIHI1)
    assert [(v.quantity, v.found) for v in found] == [("decay_v", "3 values in steps of 1/4096")]
    assert "32 profiles" in found[0].allowed
    assert "loihi2" in found[0].fix


def test_decays_that_round_to_one_register_are_one() -> None:
    close = 0.9 + np.array([0, 1, -1, 2]) * 1e-6
    assert check(net(lif={"decay_v": close}), LOIHI1) == ()


@pytest.mark.parametrize("name", list(LAYERS))
def test_layers_that_break_a_rule(name: str) -> None:
    for graph in LAYERS[name]:
        assert broken(graph) == {name}


def test_delays() -> None:
    assert broken(delayed("lif", 62)) == set()
    assert broken(delayed("lif", 63)) == {"delays_fit"}
    assert broken(delayed("in", 200)) == set()
    edge = net()
    edge = Graph((*edge.nodes, Affine("back", np.eye(4))), (*edge.edges, Edge("lif", "back", 63), Edge("back", "lif")))
    assert broken(edge) == {"delays_fit"}


def test_a_bias_that_fires_before_the_input_is_refused_only_if_it_is_heard() -> None:
    loop = net(lif={"bias": 1.5})
    assert broken(loop) == set(), "without a delayed path the early spike is lost in the reset"
    nodes, edges = (*loop.nodes, Affine("back", np.eye(4))), (*loop.edges, Edge("lif", "back", 1), Edge("back", "lif"))
    assert broken(Graph(nodes, edges)) == {"silent_before_its_input"}
    quiet = Graph(nodes, edges).replace_node(replace(loop.neurons[0], bias=0.9))
    assert broken(quiet) == set(), "the first layer waits one step: 0.9 stays below the threshold"


def test_a_loop_without_neurons_is_reported_not_followed() -> None:
    graph = net()
    edges = (Edge("in", "sum"), Edge("sum", "sum", 1), Edge("sum", "fc"), Edge("fc", "lif"), Edge("lif", "out"))
    assert broken(Graph((*graph.nodes, Add("sum")), edges)) == {"one_weighted_layer"}


def test_all_violations_are_collected() -> None:
    every = {k: v for one in NEURONS.values() for k, v in one.items() if k not in ("reset_v", "schedule", "threshold")}
    graph = net(SynFilter("x", 0.5), lif={**every, "reset_v": "subtract"}, encoding="direct")
    expected = set(NEURONS) - {"reset_to_zero", "constant_parameters", "shared_decays"}
    assert broken(graph) == expected | {"known_nodes", "spiking_input"}
    with pytest.raises(UnsupportedError) as caught:
        demand(graph, LOIHI1)
    assert len(caught.value.violations) == len(check(graph, LOIHI1)) >= len(expected)


def test_rules_are_documented_and_tested() -> None:
    tested = {*NEURONS, *LAYERS, "delays_fit", "silent_before_its_input"}
    assert tested == {c.__name__ for c in LOIHI1.constraints}
    for constraint in LOIHI1.constraints:
        text = inspect.getdoc(constraint) or ""
        assert rule(constraint).endswith("."), "the first line is the rule"
        assert len(text.splitlines()) >= 3, "the rest says why and what to do"


def test_limits_have_sources() -> None:
    assert all(limit.source and limit.unit for limit in LOIHI1.limits.values())
    assert LOIHI1.limits["neuro cores"].value == 128


def test_seven_bit_weights_are_refused() -> None:
    with pytest.raises(InputError, match="weight_bits is 7, allowed is 1, 2, 3, 4, 5, 6, 8"):
        quantize(net(), None, QuantizeOptions(weight_bits=7))  # type: ignore[arg-type]


def test_prepared_networks_break_nothing() -> None:
    graph = net(lif={"decay_u": 0.5}).replace_node(Affine("fc", np.ones((4, 4)), np.ones(4)))
    graph = Graph((*graph.nodes, replace(graph.neurons[0], name="two")), (*graph.edges, Edge("lif", "two")))
    assert broken(graph) == {"bias_on_neurons", "one_weighted_layer"}
    for step in LOIHI1.prepare:
        graph = step(graph)
    assert check(graph, LOIHI1) == ()
