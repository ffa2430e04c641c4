"""What the planner makes of a graph: which ways, in which unit and order, on which steps, with which bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.engine import tables
from snnc.engine.accumulators import accumulators
from snnc.engine.dense import run, worst_sums
from snnc.engine.plan import Bound, Convolution, Dense, Plan, Population, Sparse
from snnc.engine.planner import plan
from snnc.errors import FormatError, TraceError, UnsupportedError
from snnc.ir import (
    Affine,
    Concat,
    Conv,
    Conventions,
    Delay,
    Edge,
    FixedGraph,
    Flatten,
    Inhibit,
    Input,
    Neuron,
    Node,
    Pool,
)
from snnc.trace import Probes
from snnc_reference.execute import execute
from unit.formats.onnx_nets import SPLIT, fixed, spikes

ONES: dict[str, Any] = {"gain": fixed(1), "gain_u": fixed(1), "v_rest": fixed(0), "v_reset": fixed(0),
                        "v_init": fixed(0), "bias": fixed(0)}  # fmt: skip
RNG = np.random.default_rng(7)


def lif(name: str, shape: tuple[int, ...], **changes: Any) -> Neuron:
    fields = {**ONES, "decay_u": fixed(0, 13, 12), "decay_v": fixed(2048, 13, 12), "threshold": fixed(9)} | changes
    return Neuron(name, shape=shape, **fields)


def net(nodes: list[Node], *edges: tuple[Any, ...], latency: dict[str, int] | None = None, **rules: Any) -> FixedGraph:
    return FixedGraph(
        tuple(nodes), tuple(Edge(*edge) for edge in edges), "some", Conventions(**rules), latency or {}
    )  # fmt: skip


def of(made: Plan, name: str) -> Population:
    return next(p for p in made.populations if p.name == name)


def equal(graph: FixedGraph, made: Plan, steps: int = 8) -> bool:
    x = spikes(RNG, graph.inputs[0].shape, 3, steps)
    want, found = execute(graph, x, Probes(states="all")), run(made, x, Probes(states="all"))
    return all(np.array_equal(found.spikes[k], want.spikes[k]) for k in want.spikes) and all(
        np.array_equal(found.states[k], want.states[k]) for k in want.states
    )


def test_pooling_flattening_joining_and_delays_fold_into_one_dense_way() -> None:
    weight = RNG.integers(-9, 10, (3, 8))
    graph = net(
        [Input("in", (2, 4, 4)), Pool("p", kernel=(2, 2), stride=(2, 2)), Flatten("f"), Delay("d", steps=2),
         Affine("w", weight=fixed(weight)), lif("n", (3,))],
        ("in", "p", 1), ("p", "f", 1), ("f", "d"), ("d", "w"), ("w", "n", 1),
    )  # fmt: skip
    made = plan(graph)
    (way,) = of(made, "n").ways
    assert isinstance(way.operator, Dense)
    assert (way.delay, way.operator.weight.dtype, of(made, "n").chains) == (5, np.int8, ())
    image = np.arange(32).reshape(2, 4, 4)
    assert np.array_equal(way.operator.weight[:, image[1, 3, 2]], weight[:, 4 + 2 + 1])
    assert equal(graph, made)


def test_a_convolution_keeps_its_geometry_and_makes_its_target_channel_last() -> None:
    weight = fixed(RNG.integers(-9, 10, (4, 1, 3, 2)))
    conv = Conv("c", weight=weight, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    graph = net(
        [Input("in", (2, 8, 8)), Pool("p", kernel=(2, 2), stride=(2, 2)), conv, Flatten("f"), lif("n", (16,)),
         Affine("w", weight=fixed(RNG.integers(-9, 10, (3, 16)))), lif("m", (3,))],
        ("in", "p"), ("p", "c"), ("c", "f"), ("f", "n"), ("n", "w"), ("w", "m"),
    )  # fmt: skip
    made = plan(graph)
    (way,) = of(made, "n").ways
    assert isinstance(way.operator, Convolution)
    assert (way.operator.given, way.operator.made, way.operator.groups) == ((2, 4, 4), (4, 2, 2), 2)
    assert list(way.operator.place[:4]) == [0, 0, 1, 1]
    order = of(made, "n").order
    assert order is not None
    assert list(order[:5]) == [0, 4, 8, 12, 1]
    assert equal(graph, made)


def test_what_a_convolution_makes_is_taken_apart_where_it_is_joined_or_pooled() -> None:
    def conv(name: str) -> Conv:
        return Conv(name, weight=fixed(RNG.integers(-9, 10, (2, 2, 3))), padding=(1,))

    graph = net(
        [Input("in", (2, 6)), conv("a"), conv("b"), Concat("j"), Pool("p", kernel=(2,), stride=(2,), padding=(0,)),
         lif("n", (4, 3))],
        ("in", "a"), ("in", "b", 1), ("a", "j"), ("b", "j"), ("j", "p"), ("p", "n"),
    )  # fmt: skip
    made = plan(graph)
    assert {type(way.operator) for way in of(made, "n").ways} <= {Sparse, Dense}
    assert sorted(way.delay for way in of(made, "n").ways) == [0, 1]
    assert equal(graph, made)


def pooled(before: list[Node], way: list[tuple[Any, ...]], encoding: Any = "spikes") -> FixedGraph:
    """A maximum pooling and a convolution behind it."""
    conv = Conv("c", weight=fixed(RNG.integers(-9, 20, (3, 2, 2))))
    return net(
        [Input("in", (2, 6), encoding), *before, Pool("p", "max", (2,), (2,), (0,)), conv, lif("n", (3, 2))],
        *way, ("p", "c"), ("c", "n"), latency={"n": 2},
    )  # fmt: skip


def test_a_maximum_of_spikes_is_a_relay_and_weights_behind_it_stay_ways() -> None:
    graph = pooled([], [("in", "p", 2)])
    made = plan(graph)
    relay = of(made, "/max/p")
    (way,) = of(made, "n").ways
    assert isinstance(way.operator, Convolution)
    assert made.populations[way.source] is relay
    assert (relay.kind, relay.numbers, relay.first, relay.extra, relay.ways) == ("relay", False, 2, 0, ())
    assert of(made, "n").bounds
    assert equal(graph, made)


def test_a_maximum_of_sums_of_spikes_sends_numbers() -> None:
    graph = pooled([], [("in", "p", 1), ("in", "p", 2)])
    assert of(plan(graph), "/max/p").numbers
    assert of(plan(graph), "n").bounds == ()
    assert equal(graph, plan(graph))


def test_a_maximum_of_weighted_sums_stays_a_chain() -> None:
    weights = Conv("a", weight=fixed(RNG.integers(-9, 20, (2, 2, 1))))
    graph = pooled([weights], [("in", "a", 2), ("a", "p")])
    made = plan(graph)
    assert [p.name for p in made.populations] == ["in", "n"]
    assert [node.name for node in of(made, "n").chains[0].nodes] == ["a", "p", "c"]
    assert equal(graph, made)


def two_units(first: int, second: int, bias: int | None = None) -> FixedGraph:
    a = Affine("a", weight=fixed([[3, -2]], 9, first), bias=None if bias is None else fixed([bias], 9, 0))
    b = Affine("b", weight=fixed([[1, 5]], 9, second))
    return net([Input("in", (2,)), a, b, lif("n", (1,))], ("in", "a"), ("in", "b"), ("a", "n"), ("b", "n"))


def test_weights_of_several_units_share_the_finest() -> None:
    made = plan(two_units(-6, -4))
    found = of(made, "n")
    weights = [way.operator.weight.tolist() for way in found.ways if isinstance(way.operator, Dense)]
    assert (found.shift, weights) == (4, [[[12, -8]], [[1, 5]]])
    assert found.bounds == (Bound(-8, 18, 26),)
    assert equal(two_units(-6, -4), made)


@pytest.mark.parametrize(("bias", "shift"), [(32, 5), (64, 6), (128, 6), (3, 0), (0, 6)])
def test_a_bias_counts_in_the_unit(bias: int, shift: int) -> None:
    graph = two_units(-6, -6, bias)
    assert of(plan(graph), "n").shift == shift
    assert equal(graph, plan(graph))


def test_a_bias_that_meets_zeros_counts_for_nothing() -> None:
    graph = net(
        [Input("in", (2,)), Affine("a", weight=fixed([[3, 2], [1, 1]], 9, -2), bias=fixed([0, 5], 9, 0)),
         Affine("b", weight=fixed([[4, 0]], 9, -1)), lif("n", (1,))], ("in", "a"), ("a", "b"), ("b", "n"),
    )  # fmt: skip
    assert of(plan(graph), "n").shift == 3
    assert equal(graph, plan(graph))


def test_sums_that_lose_bits_stay_a_chain_and_those_that_lose_none_do_not() -> None:
    lossy, exact = two_units(1, 0), two_units(-1, 0)
    assert [len(of(plan(graph), "n").chains) for graph in (lossy, exact)] == [1, 0]
    whole = lossy.replace_node(Affine("a", weight=fixed([[4, -2]], 9, 1)))
    assert of(plan(whole), "n").chains == ()
    assert all(equal(graph, plan(graph)) for graph in (lossy, exact, whole))


def test_a_weight_that_gets_too_large_stays_a_chain() -> None:
    wide = replace(two_units(-40, 0), conventions=Conventions(accumulator_bits=64, register_bits=62, state_bits=60))
    assert [len(p.chains) for p in plan(wide).populations if p.name == "n"] == [1]
    assert equal(wide, plan(wide))


def test_a_map_that_gets_too_large_stays_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = net(
        [Input("in", (6,)), Affine("a", weight=fixed(RNG.integers(-9, 10, (5, 6)))),
         Affine("b", weight=fixed(RNG.integers(-9, 10, (4, 5)))), lif("n", (4,))],
        ("in", "a"), ("a", "b"), ("b", "n"),
    )  # fmt: skip
    assert [len(of(plan(graph), "n").ways), equal(graph, plan(graph))] == [1, True]
    monkeypatch.setattr(tables, "LIMIT", 10)
    assert [len(of(plan(graph), "n").ways), len(of(plan(graph), "n").chains)] == [0, 1]
    assert equal(graph, plan(graph))


def test_a_split_synapse_becomes_magnitudes_of_two_receptors() -> None:
    per = {key: fixed(1 << 15, 32, 15) for key in ("gain", "decay_v", "bias", "v_rest", "v_reset", "v_init")}
    neuron = Neuron("n", shape=(2,), decay_u=fixed(1 << 31, 33, 32, False), gain_u=fixed(1 << 32, 34, 32, False),
                    threshold=fixed(1 << 16, 32, 15), **per)  # fmt: skip
    graph = FixedGraph(
        (Input("in", (2,)), Affine("w", weight=fixed([[3, -2], [0, 7]], 17, 12)), neuron),
        (Edge("in", "w", 1), Edge("w", "n")), "some", SPLIT,
    )  # fmt: skip
    found = of(plan(graph), "n")
    weights = {way.receptor: way.operator.weight.tolist() for way in found.ways if isinstance(way.operator, Dense)}
    assert weights == {0: [[3, 0], [0, 7]], 1: [[0, 2], [0, 0]]}
    assert (found.shift, found.bounds) == (3, (Bound(0, 7, 7), Bound(0, 2, 2)))
    assert [row.receptor for row in accumulators(plan(graph))] == ["excitatory", "inhibitory"]
    assert equal(graph, plan(graph))


def layered(latency: dict[str, int], bias: int = 0, back: int = 0, **rules: Any) -> FixedGraph:
    nodes: list[Node] = [
        Input("in", (4,)), Affine("w", weight=fixed(RNG.integers(-9, 20, (3, 4)))), lif("a", (3,), bias=fixed(bias)),
        Affine("v", weight=fixed(RNG.integers(-9, 20, (2, 3)))), lif("b", (2,)),
    ]  # fmt: skip
    edges: list[tuple[Any, ...]] = [("in", "w", 1), ("w", "a"), ("a", "v", 1), ("v", "b")]
    if back:
        nodes.append(Affine("r", weight=fixed(RNG.integers(-9, 20, (3, 3)))))
        edges += [("a", "r", back), ("r", "a")]
    return net(nodes, *edges, latency=latency, **rules)


WINDOWS: dict[str, tuple[FixedGraph, dict[str, tuple[int, int, int | None]]]] = {
    "in step": (layered({"a": 1, "b": 2}), {"a": (1, 0, None), "b": (2, 0, None)}),
    "fires early, nobody reads it": (layered({"a": 2, "b": 3}, bias=9), {"a": (2, 0, None), "b": (3, 0, None)}),
    "fires early into a loop": (layered({"a": 2, "b": 3}, 9, 1), {"a": (0, 2, 2), "b": (3, 0, None)}),
    "silent in a loop": (layered({"a": 1, "b": 2}, 0, 1), {"a": (1, 0, None), "b": (2, 0, None)}),
    "read too early": (layered({"a": 2, "b": 2}, bias=9), {"a": (0, 2, 2), "b": (2, 0, None)}),
    "read late": (layered({"a": 1, "b": 4}), {"a": (1, 2, None), "b": (4, 0, None)}),
    "runs freely": (layered({"a": 1, "b": 2}, 1, aligned_start=False), {"a": (0, 1, None), "b": (2, 0, None)}),
    "rests": (layered({"a": 1, "b": 2}, aligned_start=False), {"a": (1, 0, None), "b": (2, 0, None)}),
    "refuses": (
        layered({"a": 1, "b": 2}, current_overflow="refuse"), {"a": (0, 2, 1), "b": (0, 2, 2)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_are_as_small_as_is_proven(name: str) -> None:
    graph, want = WINDOWS[name]
    made = plan(graph)
    assert {p.name: (p.first, p.extra, p.restart) for p in made.populations if p.kind == "neuron"} == want
    assert equal(graph, made)


def test_a_state_that_leaves_its_width_is_refused_outside_the_logical_steps_too() -> None:
    graph = layered({"a": 3, "b": 4}, current_overflow="refuse", state_bits=5)
    graph = graph.replace_node(Affine("w", weight=fixed(np.full((3, 4), 9))))
    x = np.ones((1, 1, 4), dtype=np.int8)
    with pytest.raises(FormatError, match="left 5 bits"):
        execute(graph, x)
    with pytest.raises(FormatError, match="left 5 bits"):
        run(plan(graph), x)


def test_populations_that_wait_for_each_other_are_one_group() -> None:
    graph = net(
        [Input("in", (2,)), lif("a", (2,)), lif("b", (2,)), lif("c", (2,))],
        ("in", "a"), ("a", "b"), ("b", "a", 1), ("b", "c"),
    )  # fmt: skip
    made = plan(graph)
    groups = [([made.populations[i].name for i in group.members], group.loop) for group in made.groups]
    assert groups == [(["in"], False), (["a", "b"], True), (["c"], False)]
    assert equal(graph, made)


def test_the_report_has_bounds_widths_and_what_was_seen() -> None:
    graph = net(
        [Input("in", (300,)), Affine("w", weight=fixed(np.full((2, 300), 127))),
         lif("n", (2,), threshold=fixed(1 << 14))],
        ("in", "w"), ("w", "n"),
    )  # fmt: skip
    made = plan(graph)
    x = np.ones((2, 3, 300), dtype=np.int8)
    x[0, 0] = 0
    (row,) = accumulators(made, worst_sums(made, x[:, :, :]))
    assert (row.layer, row.low, row.high, row.peak, row.width, row.worst) == ("n", 0, 38100, 38100, 32, 38100)
    x[:, :, 7:] = 0
    assert accumulators(made, worst_sums(made, x))[0].worst == 7 * 127
    assert accumulators(made)[0].worst is None


@pytest.mark.parametrize(("size", "width"), [(258, 16), (259, 32)])
def test_the_width_changes_where_the_bound_does(size: int, width: int) -> None:
    weight = fixed(np.full((1, size), -127))
    graph = net([Input("in", (size,)), Affine("w", weight=weight), lif("n", (1,))], ("in", "w"), ("w", "n"))
    assert accumulators(plan(graph))[0].width == width


REFUSED: dict[str, FixedGraph] = {
    "winner take all": net([Input("in", (2,)), Inhibit("i", groups=(2,)), lif("n", (2,))], ("in", "i"), ("i", "n")),
    "average": net([Input("in", (1, 2, 2)), Pool("p", "avg"), lif("n", (1, 1, 1))], ("in", "p"), ("p", "n")),
    "two inputs": net([Input("in", (2,)), Input("more", (2,)), lif("n", (2,))], ("in", "n"), ("more", "n")),
    "linear leak": net([Input("in", (2,)), lif("n", (2,), leak="linear")], ("in", "n")),
    "gain": net([Input("in", (2,)), lif("n", (2,), gain=fixed(2))], ("in", "n")),
    "reset delay": net([Input("in", (2,)), lif("n", (2,), reset_delay=2)], ("in", "n")),
    "split euler": net([Input("in", (2,)), lif("n", (2,))], ("in", "n"), synapse="split"),
    "limits": net([Input("in", (2,)), lif("n", (2,))], ("in", "n"), membrane="closed_form", membrane_minimum=-3),
    "weights behind weights": replace(
        net([Input("in", (2,)), Affine("a", weight=fixed([[1, 2], [3, 4]])), Affine("b", weight=fixed([[1, 2]])),
             lif("n", (1,))], ("in", "a", 1), ("a", "b"), ("b", "n")), conventions=SPLIT),
    "a bias beside a split synapse": replace(
        net([Input("in", (2,)), Affine("a", weight=fixed([[1, 2]]), bias=fixed([1])), lif("n", (1,))],
            ("in", "a", 1), ("a", "n")), conventions=SPLIT),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_integers_do_not_execute_is_refused(what: str) -> None:
    with pytest.raises(UnsupportedError):
        plan(REFUSED[what])


def test_wrong_input_is_named() -> None:
    made = plan(layered({}))
    with pytest.raises(TraceError, match="input shape"):
        run(made, np.zeros((1, 2, 5), dtype=np.int8))
    with pytest.raises(TraceError, match="spikes are 0 or 1; found 0 to 2"):
        run(made, np.full((1, 2, 4), 2, dtype=np.int8) * np.arange(2)[:, np.newaxis].astype(np.int8))
    with pytest.raises(TraceError, match="no population"):
        run(made, np.zeros((1, 2, 4), dtype=np.int8), forced={"x": np.zeros((1, 2, 4), dtype=np.int8)})
    with pytest.raises(TraceError, match="allowed is integers"):
        run(made, np.zeros((1, 2, 4), dtype=np.int8), forced={"a": np.zeros((1, 2, 4), dtype=np.int8)})
