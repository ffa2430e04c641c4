"""FixedGraph -> Plan: registers, matrices, payload, and everything that is refused before Lava starts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from snnc.errors import UnsupportedError
from snnc.ir import (
    Add,
    Affine,
    Conv,
    Conventions,
    Delay,
    Edge,
    FixedGraph,
    Flatten,
    Format,
    Inhibit,
    Input,
    Neuron,
    Node,
    Pool,
)
from snnc_loihi import backend
from snnc_loihi.lowering import plan_of
from snnc_loihi.paths import compose, paths_into
from snnc_loihi.synapse_memory import conv_pairs
from snnc_loihi.target import LOIHI1
from snnc_reference.execute import execute
from unit.loihi.loihi_nets import (
    EVERYTHING,
    bias,
    convolutional,
    dense,
    fixed,
    graph,
    mixed,
    neuron,
    pooled,
    positive,
    skipped,
    with_node,
)


def chain(*nodes: Node, delay: int = 1) -> FixedGraph:
    edges = [Edge(nodes[0].name, nodes[1].name, delay)]
    edges += [Edge(a.name, b.name, int(isinstance(a, Neuron))) for a, b in pairwise(nodes[1:])]
    latency, steps = {}, -1
    for node in nodes:
        if isinstance(node, (Input, Neuron)):
            steps += 1
            latency[node.name] = steps
    return graph(nodes, tuple(edges), latency)


def reasons(net: FixedGraph) -> list[tuple[str, str]]:
    with pytest.raises(UnsupportedError) as caught:
        plan_of(net)
    return [(v.node, v.quantity) for v in caught.value.violations]


def test_payload_holds_the_registers() -> None:
    net = dense()
    program = backend.lower(net.graph, LOIHI1)
    f1 = net.graph["f1"].weight.raw  # type: ignore[attr-defined]
    numbers = {key: value.tolist() for key, value in program.payload.items() if value.ndim == 0}
    assert numbers == {
        "a.du": 3095, "a.dv": 196, "a.vth": 300, "a.bias_exp": 0, "b.du": 4095, "b.dv": 1096, "b.vth": 150,
        "b.bias_exp": 0, "f1.weight_exp": 0, "f1.num_weight_bits": 8, "f1.delay": 1, "f2.weight_exp": 1,
        "f2.num_weight_bits": 5, "f2.delay": 1, "f1.mixed": 1, "f2.mixed": 1,
    }  # fmt: skip
    assert np.array_equal(program.payload["f1.w"], f1 * 2)
    assert np.all(program.payload["f2.w"] % 16 == 0)
    assert program.utilization["neuro cores"] == (2, 128)


def test_bias_has_mantissa_and_exponent() -> None:
    raw = [-4095, 0, 12, 4095, 1]
    plan = plan_of(with_node(dense(), "b", bias=bias(raw, 5)).graph)
    found = plan.populations[1]
    assert (found.bias_mant.tolist(), found.bias_exp) == (raw, 5)


def test_conv_kernel_is_flipped_and_transposed() -> None:
    net = convolutional()
    plan = plan_of(net.graph)
    raw = net.graph["c1"].weight.raw  # type: ignore[attr-defined]
    assert plan.synapses[0].weights.shape == (4, 2, 3, 2)
    assert plan.synapses[0].weights[3, 0, 2, 1] == 2 * raw[3, 1, 0, 1]


def test_delays_and_lags() -> None:
    found = {s.name: (s.source, s.delay, s.lag, s.kind) for s in plan_of(skipped().graph).synapses}
    assert found["late"] == ("a", 4, 2, "delay")
    assert found["f3@a>c"] == ("a", 2, 0, "delay")
    assert found["f3@b>c"] == ("b", 1, 0, "dense")
    assert found["s"] == ("in", 3, 0, "dense")


@pytest.mark.parametrize("make", [pooled, convolutional, skipped])
def test_composed_matrices_are_what_the_reference_computes(make: Any) -> None:
    """The current of a neuron that keeps nothing is the sum over paths of matrix times spikes."""
    net = make()
    last = net.graph.neurons[-1]
    quiet = replace(last, decay_u=fixed(0, last.decay_u.format))
    one = net.graph.replace_node(quiet)
    spikes = execute(one, net.spikes).spikes
    total = np.zeros((*net.spikes.shape[:2], *last.shape), dtype=np.int64)
    for path in paths_into(one, last.name):
        matrix, shift = compose(one, path)
        lag = path.delay - one.latency[last.name] + one.latency[path.source]
        sent = spikes[path.source].reshape(*net.spikes.shape[:2], -1).astype(np.int64)
        arrived = np.zeros_like(sent)
        arrived[:, lag:] = sent[:, : sent.shape[1] - lag]
        total += (arrived @ matrix.T << shift).reshape(total.shape)
    assert np.array_equal(total, execute(one, net.spikes, EVERYTHING).states[last.name, "u"])
    assert np.any(total)


def test_overlapping_pools_that_leave_the_grid_are_refused() -> None:
    rng = np.random.default_rng(0)
    pool = Pool("pool", "sum", (3, 3), (1, 1), (0, 0))
    good = fixed(rng.integers(-8, 8, (4, 9)), Format(4, -(6 + 5)))
    image, flat = Input("in", (1, 5, 5)), Flatten("flat")
    net = chain(image, pool, flat, Affine("f", good), neuron("a", 4))
    assert plan_of(net).synapses[0].weights.shape == (4, 25)
    bad = fixed(rng.integers(-128, 128, (4, 9)), Format(8, -(6 + 1)))
    found = chain(image, pool, flat, Affine("f", bad), neuron("a", 4))
    assert reasons(found) == [("f", "weights from in to a")]


REFUSED = {
    "fires": {"fires": "ge"},
    "fire_from": {"fire_from": "previous"},
    "reset_delay": {"reset_delay": 1},
    "reset_u": {"reset_u": True},
    "refractory": {"refractory": 2},
    "leak": {"leak": "linear"},
    "output": {"output": "ternary"},
    "one_shot": {"one_shot": True},
    "reset_v": {"reset_v": "subtract"},
    "v_reset": {"reset_v": "value", "v_reset": fixed(-1, Format(2, 0))},
    "v_rest": {"v_rest": fixed(1, Format(2, 0))},
    "v_init": {"v_init": fixed(1, Format(2, 0))},
    "gain": {"gain": fixed(2, Format(4, 0))},
    "gain_u": {"gain_u": fixed(3, Format(4, 1))},
    "decay_u": {"decay_u": fixed(4096, Format(13, 12, signed=False))},
    "decay_v": {"decay_v": fixed(0, Format(13, 12, signed=False))},
    "threshold": {"threshold": fixed(131072, Format(18, -6, signed=False))},
    "bias mantissa": {"bias": fixed(4096, Format(14, 0))},
    "bias exponent": {"bias": bias(1, 8)},
}


@pytest.mark.parametrize("quantity", list(REFUSED))
def test_neurons_that_are_no_compartment_are_refused(quantity: str) -> None:
    assert reasons(with_node(dense(), "a", **REFUSED[quantity]).graph) == [("a", quantity)]


@pytest.mark.parametrize(
    ("quantity", "fields"),
    [
        ("decay_v", {"decay_v": fixed([100] * 15 + [101], Format(13, 12, signed=False))}),
        ("decay_u", {"decay_u": fixed(1, Format(14, 13, signed=False))}),
        ("threshold", {"threshold": fixed([100] * 15 + [101], Format(17, -6, signed=False))}),
        ("threshold", {"threshold": fixed(101, Format(17, -5, signed=False))}),
        ("bias exponent", {"bias": fixed(1, Format(13, 1))}),
    ],
)
def test_values_that_a_register_does_not_take_are_refused(quantity: str, fields: dict[str, Any]) -> None:
    assert reasons(with_node(dense(), "a", **fields).graph) == [("a", quantity)]


def test_values_at_the_edge_of_a_register_are_taken() -> None:
    edge = {
        "decay_u": fixed(4095, Format(13, 12, signed=False)), "decay_v": fixed(1, Format(13, 12, signed=False)),
        "threshold": fixed(131071, Format(17, -6, signed=False)), "bias": bias(-4095, 7),
    }  # fmt: skip
    found = plan_of(with_node(dense(), "a", **edge).graph).populations[0]
    assert (found.du, found.dv, found.vth, found.bias_exp, found.bias_mant.min()) == (0, 4095, 131071, 7, -4095)


def test_every_violation_is_reported_at_once() -> None:
    net = with_node(with_node(dense(), "a", refractory=1, reset_u=True), "b", fires="ge")
    assert set(reasons(net.graph)) == {("a", "refractory"), ("a", "reset_u"), ("b", "fires")}


def test_nodes_that_are_not_synapses_are_refused() -> None:
    rng = np.random.default_rng(0)
    one = Affine("f", mixed(rng, 4, 4))
    cases = {
        ("pool", "pooling"): chain(Input("in", (1, 4, 4)), Pool("pool", "max"), Flatten("x"), one, neuron("a", 4)),
        ("i", "node type"): chain(Input("in", (4,)), Inhibit("i", (4,)), one, neuron("a", 4)),
        ("f", "bias"): chain(Input("in", (4,)), replace(one, bias=fixed([1] * 4, Format(8, 0))), neuron("a", 4)),
        ("in", "input"): chain(Input("in", (4,), "direct"), one, neuron("a", 4)),
        ("a", "weights from in"): chain(Input("in", (4,)), Flatten("x"), neuron("a", 4)),
    }
    for expected, net in cases.items():
        assert reasons(net) == [expected]
    two = chain(Input("in", (4,)), one, Affine("g", mixed(rng, 4, 4)), neuron("a", 4))
    assert reasons(two) == [("a", "weights from in")]


def test_delays_beyond_62_are_refused_from_neurons_only() -> None:
    rng = np.random.default_rng(0)

    def net(first: int, second: int) -> FixedGraph:
        nodes = (
            Input("in", (3,)), Affine("f", mixed(rng, 3, 3)), neuron("a", 3), Delay("d", second - 1),
            Affine("g", mixed(rng, 3, 3)), neuron("b", 3),
        )  # fmt: skip
        edges = (
            Edge("in", "f", first), Edge("f", "a"), Edge("a", "d", 1), Edge("d", "g"), Edge("g", "b"),
        )  # fmt: skip
        return graph(nodes, edges, {"in": 0, "a": 1, "b": 2})

    assert [s.delay for s in plan_of(net(100, 63)).synapses] == [100, 63]
    assert reasons(net(1, 64)) == [("b", "delay")]


def test_a_loop_without_neurons_is_refused() -> None:
    rng = np.random.default_rng(0)
    nodes = (Input("in", (3,)), Add("sum"), Affine("f", mixed(rng, 3, 3)), neuron("a", 3))
    edges = (Edge("in", "sum", 1), Edge("sum", "f"), Edge("f", "a"), Edge("sum", "sum", 1))
    with pytest.raises(UnsupportedError, match="without a neuron"):
        plan_of(graph(nodes, edges, {"in": 0, "a": 1}))


def test_integers_of_another_target_are_refused() -> None:
    net = dense().graph
    other = FixedGraph(net.nodes, net.edges, "generic", Conventions(), net.latency)
    with pytest.raises(UnsupportedError, match="conventions"):
        backend.lower(other, LOIHI1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv_synapses_are_counted_like_those_of_the_matrix(stride: int, groups: int) -> None:
    rng = np.random.default_rng(stride)
    weight = positive(rng, 4, 2 // groups, 3, 2, bits=2)
    node = Conv("c", weight, None, (stride, 1), (1, 2), (2, 1), groups)
    shape = (4, (6 + 2 - 5) // stride + 1, 5 + 4 - 1)
    net = chain(Input("in", (2, 6, 5)), node, neuron("a", shape))
    one = plan_of(net).synapses[0]
    assert one.window is not None
    matrix, _ = compose(net, paths_into(net, "a")[0])
    into, out = conv_pairs(one.window, one.weights)
    counted = np.zeros_like(matrix)
    np.add.at(counted, (out, into), 1)
    assert np.array_equal(counted, matrix != 0)
