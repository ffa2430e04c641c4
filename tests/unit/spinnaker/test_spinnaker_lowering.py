"""Constants and words, start values, connection lists, quantizer, constraints and lowering of target spinnaker1."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.errors import DoesNotFitError, InputError, TraceError, UnsupportedError
from snnc.ir import (
    Adaptation,
    Affine,
    Concat,
    Conv,
    Edge,
    Fixed,
    FixedGraph,
    Format,
    Graph,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
)  # fmt: skip
from snnc.passes import run_passes
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions
from snnc.target import check, rule
from snnc.trace import Probes
from snnc_reference.execute import execute
from snnc_spinnaker import arith, backend, connect, constraints, solve
from snnc_spinnaker.paths import all_paths
from snnc_spinnaker.start import Idle, start_word
from snnc_spinnaker.target import SPINNAKER1
from snnc_spinnaker.words import constants

KEPT = st.floats(0, 0.99996) | st.floats(1e-9, 1e-3)


@given(KEPT)
@settings(max_examples=60)
def test_membrane_constants_come_from_words_and_are_the_nearest(kept: float) -> None:
    resistance, leak = solve.membrane(kept)
    tau, capacity = solve.membrane_words(resistance, leak)
    assert abs(leak - kept * 32768) < (0.51 if kept < 0.99 else 1.6)
    assert int(arith.kdivk(tau, capacity)) == resistance
    assert int(arith.expk(-arith.kdivk(solve.STEP, tau))) == leak
    naive = round(-1 / math.log(max(kept, 5e-5)) * 32768)
    direct = int(arith.expk(-arith.kdivk(solve.STEP, naive)))
    assert abs(leak - kept * 32768) <= abs(direct - kept * 32768)
    assert abs(resistance * (32768 - leak) / 2**30 - 1) < 3e-4


@given(KEPT)
@settings(max_examples=60)
def test_synapse_constants_come_from_words_and_do_not_wrap(kept: float) -> None:
    fraction, first = solve.synapse(kept)
    tau = solve.synapse_words(fraction, first)
    assert [int(x) for x in arith.decay_init(tau, solve.STEP)] == [fraction, first]
    assert abs(fraction / 2.0**32 - kept) < 2.5e-5
    assert abs(first / 2.0**32 - tau / 32768 * (1 - fraction / 2.0**32)) < 1e-4


def test_words_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="32767"):
        solve.membrane_words(32768, 32767)
    fraction, first = solve.synapse(0.8)
    with pytest.raises(UnsupportedError, match="tau_syn"):
        solve.synapse_words(fraction, first + 12345)


@given(st.integers(-(1 << 20), 1 << 20), st.integers(0, 40000), st.floats(0.3, 0.999), st.integers(0, 6))
def test_start_words_lead_exactly_to_the_wanted_value(wanted: int, offset: int, kept: float, steps: int) -> None:
    resistance, leak = solve.membrane(kept)
    idle = Idle(*(np.array(x) for x in (offset, 100, resistance, leak, (1 << 31) - 1)))
    v = int(start_word("n", np.array(wanted), idle, steps))
    alpha = ((offset * resistance) >> 15) + 100
    for _ in range(steps):
        v = alpha - ((leak * (alpha - v)) >> 15)
    assert v == wanted


def test_start_values_that_cannot_be_reached_are_refused() -> None:
    resistance, leak = solve.membrane(0.01)
    idle = Idle(*(np.array(x) for x in (0, 0, resistance, leak, 1 << 20)))
    with pytest.raises(UnsupportedError, match="not reachable"):
        start_word("n", np.array(1 << 19), idle, 3)
    with pytest.raises(UnsupportedError, match="fires before"):
        start_word("n", np.array(0), replace(idle, threshold=np.array(-5)), 1)


def numbers(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(0.1, 0.5, shape)


def lif(name: str, *shape: int, **changed: Any) -> Neuron:
    return Neuron(name, shape=shape, **{"decay_v": np.array(0.9), **changed})


def pair(**changed: Any) -> Graph:
    """in -> w -> n -> out."""
    weight = numbers(np.random.default_rng(2), 4, 3)
    nodes = (Input("in", shape=(3,)), Affine("w", weight=weight), lif("n", 4, **changed), Readout("out"))
    return Graph(nodes, (Edge("in", "w"), Edge("w", "n"), Edge("n", "out")))


def drive(graph: Graph, steps: int = 12) -> Any:
    rng = np.random.default_rng(5)
    return (rng.random((2, steps, *graph.inputs[0].shape)) < 0.4).astype(np.int8)


def quantized(graph: Graph, options: QuantizeOptions | None = None) -> Quantized:
    x = drive(graph)
    return SPINNAKER1.quantize(graph, Calibration(x, execute(graph, x)), options or QuantizeOptions())


def test_connection_lists_do_what_the_nodes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of every linear node against the reference's own step, dense and sparse."""
    rng = np.random.default_rng(0)
    conv = Conv("conv", numbers(rng, 4, 2, 3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
    pool = Pool("pool", "sum", (2, 3), (1, 2), (1, 0))
    line = Conv("line", numbers(rng, 3, 2, 3), stride=(2,), padding=(1,), dilation=(2,))
    cases: list[tuple[Node, tuple[int, ...]]] = [
        (Affine("w", numbers(rng, 5, 7)), (7,)), (conv, (4, 7, 6)), (pool, (3, 5, 7)), (line, (2, 9)),
    ]  # fmt: skip
    for limit in (connect.DENSE_ELEMENTS, 0):
        monkeypatch.setattr(connect, "DENSE_ELEMENTS", limit)
        for node, shape in cases:
            graph = Graph((Input("in", shape=shape), node), (Edge("in", node.name),))
            x = rng.integers(0, 2, (2, 3, *shape))
            out = graph.shapes[node.name]
            parts = [connect.of_node(node, shape, out, sign) for sign in (1, -1)]
            flat = x.reshape(2, 3, -1)
            up, down = ([] if part is None else part.deliver(flat) for part in parts)
            got = np.asarray(up) if isinstance(node, Pool) else np.asarray(up) - np.asarray(down)
            np.testing.assert_allclose(got.reshape(2, 3, *out), by_hand(node, x, out), atol=1e-12)


def by_hand(node: Node, x: Any, out: tuple[int, ...]) -> Any:
    """The node's equation, one output element at a time."""
    want = np.zeros((*x.shape[:2], *out))
    if isinstance(node, Affine):
        return x @ np.asarray(node.weight).T
    assert isinstance(node, (Conv, Pool))
    kernel = node.weight.shape[2:] if isinstance(node, Conv) else node.kernel
    dilation = node.dilation if isinstance(node, Conv) else (1,) * len(kernel)
    weight = (
        np.asarray(node.weight)
        if isinstance(node, Conv)
        else np.eye(out[0]).reshape(out[0], out[0], *(1,) * len(kernel))
    )
    per_in = weight.shape[1]
    per_out = out[0] // (node.groups if isinstance(node, Conv) else 1)
    for place in np.ndindex(*out):
        for tap in np.ndindex(*kernel):
            at = [p * s + k * d - q for p, s, k, d, q in
                  zip(place[1:], node.stride, tap, dilation, node.padding, strict=True)]  # fmt: skip
            if all(0 <= a < n for a, n in zip(at, x.shape[3:], strict=True)):
                for c in range(per_in):
                    spot = (place[0] // per_out * per_in + c, *at) if isinstance(node, Conv) else (c, *at)
                    value = weight[(place[0], c, *(tap if isinstance(node, Conv) else (0,) * len(kernel)))]
                    want[(slice(None), slice(None), *place)] += value * x[(slice(None), slice(None), *spot)]
    return want


def test_paths_keep_delays_and_places_in_a_concat() -> None:
    rng = np.random.default_rng(0)
    nodes = (Input("a", shape=(2,)), Input("b", (3,), "constant"), Concat("both"), Affine("w", numbers(rng, 4, 5)),
             lif("n", 4))  # fmt: skip
    graph = Graph(nodes, (Edge("a", "both", 2), Edge("b", "both"), Edge("both", "w", 1), Edge("w", "n", 1)))
    first, second = all_paths(graph)
    assert (first.source, first.delay, first.weighted) == ("a", 4, ("w",))
    assert (second.source, second.delay) == ("b", 2)
    weight = np.asarray(nodes[3].weight)  # type: ignore[union-attr]
    for path, columns in ((first, weight[:, :2]), (second, weight[:, 2:])):
        links = connect.of_path(graph, path, 1)
        matrix = np.zeros(links.sizes)
        matrix[links.pre, links.post] = links.weight
        np.testing.assert_array_equal(matrix, np.maximum(columns, 0).T)


BROKEN: dict[str, tuple[Graph, str]] = {}


def broken(name: str, graph: Graph, quantity: str) -> None:
    BROKEN[name] = (graph, quantity)


broken("plain_neurons", pair(leak="linear"), "leak")
broken("no_lower_bound", pair(v_min=-1.0), "v_min")
broken("hard_reset", pair(reset_v="subtract"), "reset_v")
broken("membrane_leaks", pair(decay_v=1.0), "decay_v")
broken("current_decays", pair(decay_u=-0.25), "decay_u")
broken("gains", pair(gain=np.array([1, 1, -1, 1.0])), "gain")
broken("reset_below_threshold", pair(reset_v="value", v_reset=1.0, refractory=1), "v_reset")
broken("membrane_range", pair(v_rest=-70000.0), "v_rest")
broken("weight_biases", pair().replace_node(Affine("w", np.ones((4, 3)), np.ones(4))), "bias")
broken("binary_input", pair().replace_node(Input("in", (3,), "direct")), "encoding")
broken(
    "node_types",
    Graph((*pair().nodes, Scale("s")), (Edge("in", "s"), Edge("s", "w"), Edge("w", "n"), Edge("n", "out"))),
    "node type",
)
broken(
    "pooling",
    Graph(
        (Input("in", (1, 2)), Pool("p", "avg", (2,), (2,), (0,)), Conv("w", np.ones((1, 1, 1))), lif("n", 1, 1)),
        (Edge("in", "p"), Edge("p", "w"), Edge("w", "n")),
    ),
    "pooling",
)
broken(
    "one_weight_per_path",
    Graph((*pair().nodes, Affine("x", np.ones((3, 3)))),
          (Edge("in", "x"), Edge("x", "w"), Edge("w", "n"), Edge("n", "out"))),
    "weight layers on a path",
)  # fmt: skip
broken(
    "spiking_readout",
    Graph((*pair().nodes, Affine("x", np.ones((2, 4))), Readout("sum", "sum")),
          (*pair().edges, Edge("n", "x"), Edge("x", "sum"))),
    "source",
)  # fmt: skip
broken(
    "delays",
    Graph(pair().nodes, (Edge("in", "w", 2100), Edge("w", "n"), Edge("n", "out"))),
    "delay from in",
)


@pytest.mark.parametrize("constraint", constraints.CONSTRAINTS, ids=lambda c: c.__name__)
def test_each_rule_finds_its_breach_and_nothing_in_a_good_graph(constraint: Any) -> None:
    graph, quantity = BROKEN[constraint.__name__]
    found = tuple(constraint(graph, SPINNAKER1))
    assert [violation.quantity for violation in found] == [quantity]
    assert not tuple(constraint(pair(), SPINNAKER1))
    assert len(str(inspect.getdoc(constraint)).splitlines()) >= 3
    assert rule(constraint).endswith(".")


def test_every_breach_is_reported_at_once() -> None:
    graph = pair(reset_v="subtract", reset_u=True, decay_v=1.0, adaptation=(Adaptation(0.5, 1.0, 0.1),))
    assert {v.quantity for v in check(graph, SPINNAKER1)} == {"reset_v", "reset_u", "decay_v", "adaptation"}


def test_a_shared_weight_layer_is_a_breach() -> None:
    graph = Graph((*pair().nodes, lif("m", 4)), (*pair().edges, Edge("w", "m")))
    assert [v.quantity for v in check(graph, SPINNAKER1)] == ["populations fed"]
    with pytest.raises(UnsupportedError, match="several populations"):
        quantized(graph)


@pytest.mark.parametrize("bits", [2, 5, 12, 16])
def test_weight_bits_bound_the_levels(bits: int) -> None:
    made = quantized(pair(), QuantizeOptions(weight_bits=bits))
    weight = made.graph["w"].params()["weight"]
    assert isinstance(weight, Fixed)
    largest = int(np.abs(weight.raw).max())
    assert largest < 1 << bits
    assert bits == 16 or largest >= 1 << (bits - 2)


@pytest.mark.parametrize("bits", [0, 1, 17])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match="2 to 16"):
        quantized(pair(), QuantizeOptions(weight_bits=bits))


def test_dyadic_weights_and_decays_stay_exact_and_every_quantity_has_a_note() -> None:
    graph = pair(decay_v=0.5).replace_node(Affine("w", np.array([[1, -0.75, 0.125]] * 4)))
    made = quantized(graph)
    notes = {(n.node, n.quantity): n for n in made.notes}
    keys = ("threshold", "v_rest", "v_reset", "v_init", "bias", "decay_u", "decay_v")
    assert set(notes) == {("w", "weight"), *(("n", key) for key in keys)}
    assert [key for key, n in notes.items() if n.worst or n.clipped or n.zeroed or n.rounded] == []
    neuron = made.graph["n"]
    assert isinstance(neuron, Neuron)
    assert isinstance(neuron.threshold, Fixed)
    np.testing.assert_allclose(neuron.threshold.raw / made.scales["n"], 1.0)


def test_a_slow_leak_is_reported_with_what_it_became() -> None:
    made = quantized(pair(decay_v=0.99996))
    (found,) = [n for n in made.notes if n.quantity == "decay_v"]
    assert found.rounded == (0,)
    assert found.given[0] == 0.99996
    assert found.got[0] == 32766 / 32768


def test_gt_is_one_unit_above_ge() -> None:
    thresholds = []
    for fires in ("ge", "gt"):
        neuron = quantized(pair(fires=fires, decay_v=0.5)).graph["n"]
        assert isinstance(neuron, Neuron)
        assert isinstance(neuron.threshold, Fixed)
        assert neuron.fires == "ge"
        thresholds.append(int(neuron.threshold.raw))
    assert thresholds[1] == thresholds[0] + 1


def test_channels_get_their_own_scale_where_asked() -> None:
    graph = pair().replace_node(Affine("w", np.array([[1, 1, 1], [1e-2] * 3, [1e-4] * 3, [1e-4, 0, 0]])))
    plain, fine = quantized(graph), quantized(graph, QuantizeOptions(per_channel=True))
    weights = [made.graph["w"].params()["weight"] for made in (plain, fine)]
    assert all(isinstance(w, Fixed) for w in weights)
    rows = [np.abs(w.raw).max(axis=1) for w in weights]  # type: ignore[union-attr]
    assert rows[0][3] < 10
    assert np.all(rows[1] > 4000)
    assert plain.scales["n"].size == 1
    assert len(np.unique(fine.scales["n"])) > 1


def test_a_membrane_far_from_zero_costs_scale_but_does_not_wrap() -> None:
    graph = pair(v_rest=-70.0, v_init=-70.0, v_reset=-75.0, reset_v="value", threshold=0.5, decay_u=0.5)
    made = quantized(graph)
    program = backend.lower(made.graph, SPINNAKER1)
    trace = backend.run(program, drive(graph), Probes("all", "all"))
    v = trace.states["n", "v"] / made.scales["n"]
    want = execute(graph, drive(graph), Probes("all", "all")).states["n", "v"]
    np.testing.assert_allclose(v, want, atol=0.02)


def test_words_make_the_constants_of_the_graph() -> None:
    rng = np.random.default_rng(3)
    graph = pair(decay_v=rng.uniform(0, 0.999, 4), decay_u=rng.uniform(0.01, 0.99, 4), refractory=3)
    made = quantized(graph).graph
    program = backend.lower(made, SPINNAKER1)
    (population,) = program.data.populations
    derived, neuron = constants(population.words), made["n"].params()
    pairs = {
        "gain": derived.resistance,
        "decay_v": derived.leak,
        "decay_u": derived.fraction[1],
        "gain_u": derived.first[0],
    }
    for key, values in pairs.items():
        np.testing.assert_array_equal(values, np.broadcast_to(neuron[key].raw, 4))  # type: ignore[union-attr]
    assert derived.refractory.tolist() == [3] * 4
    np.testing.assert_array_equal(program.payload["n.neuron"], population.words.neuron)


def test_utilization_names_every_limit_and_fits() -> None:
    program = backend.lower(quantized(pair()).graph, SPINNAKER1)
    assert set(program.utilization) == set(SPINNAKER1.limits)
    assert all(0 < used <= most for used, most in program.utilization.values())
    assert program.utilization["cores"][0] == 2
    assert program.utilization["ring bits"][0] == 2 + 1 + 1


def test_populations_are_split_over_cores() -> None:
    rng = np.random.default_rng(0)
    nodes = (Input("in", shape=(3,)), Affine("w", numbers(rng, 600, 3)), lif("n", 600), Readout("out"))
    edges = (Edge("in", "w"), Edge("w", "n"), Edge("n", "out"))
    used = backend.lower(quantized(Graph(nodes, edges)).graph, SPINNAKER1).utilization
    assert (used["cores"][0], used["neurons per core"][0]) == (3 + 1, 256)
    late = (Edge("in", "w", 100), *edges[1:])
    used = backend.lower(quantized(Graph(nodes, late)).graph, SPINNAKER1).utilization
    assert (used["cores"][0], used["neurons per core"][0], used["ring bits"][0]) == (10 + 1, 64, 14)
    assert used["delay steps"][0] == 100


def test_biases_take_the_prepared_way() -> None:
    graph, _ = run_passes(pair().replace_node(Affine("w", np.ones((4, 3)), np.ones(4))), SPINNAKER1.prepare)
    assert check(graph, SPINNAKER1) == ()


def test_lowering_refuses_what_is_not_of_this_target() -> None:
    graph = quantized(pair()).graph
    weight, neuron = graph["w"], graph["n"]
    assert isinstance(weight, Affine)
    assert isinstance(neuron, Neuron)
    wrong: list[tuple[FixedGraph, str]] = [
        (replace(graph, conventions=replace(graph.conventions, synapse="signed")), "conventions"),
        (graph.replace_node(replace(neuron, fires="gt")), "fires"),
        (graph.replace_node(replace(neuron, reset_v="subtract")), "reset"),
        (graph.replace_node(replace(neuron, decay_v=Fixed(np.array(32767), Format(32, 15)))), "decay 32767"),
        (graph.replace_node(replace(weight, weight=Fixed(np.ones((4, 3), int), Format(17, 20)))), "ring shift"),
        (graph.replace_node(replace(weight, bias=Fixed(np.ones(4, int), Format(17, 0)))), "bias"),
    ]
    for bad, text in wrong:
        with pytest.raises(UnsupportedError, match=text):
            backend.lower(bad, SPINNAKER1)
    heavy = Fixed(np.full((4, 3), -65536), Format(17, 10))
    with pytest.raises(DoesNotFitError, match="65536"):
        backend.lower(graph.replace_node(replace(weight, weight=heavy)), SPINNAKER1)


def test_limits_are_enforced() -> None:
    limits = {**SPINNAKER1.limits, "cores": replace(SPINNAKER1.limits["cores"], value=1)}
    with pytest.raises(DoesNotFitError, match=r"cores: used is 2, allowed is at most 1"):
        backend.lower(quantized(pair()).graph, replace(SPINNAKER1, limits=limits))


def test_input_of_another_shape_is_refused() -> None:
    program = backend.lower(quantized(pair()).graph, SPINNAKER1)
    with pytest.raises(TraceError, match="input shape"):
        backend.run(program, np.zeros((1, 5, 4), np.int8), Probes())


def test_probes_choose_what_is_recorded() -> None:
    graph = pair()
    program = backend.lower(quantized(graph).graph, SPINNAKER1)
    trace = backend.run(replace(program, data=None), drive(graph), Probes(("n",), ("n",)))
    assert set(trace.spikes) == {"n"}
    assert set(trace.states) == {("n", "v"), ("n", "u_exc"), ("n", "u_inh")}
    assert not backend.run(program, drive(graph), Probes()).states


def test_calibration_needs_every_source() -> None:
    graph = pair()
    x = drive(graph)
    with pytest.raises(InputError, match="'in'"):
        SPINNAKER1.quantize(graph, Calibration(x, execute(graph, x, Probes(("n",)))), QuantizeOptions())


def test_a_reset_above_the_threshold_is_exact_without_and_refused_with_a_refractory_period() -> None:
    """The chip tests V after its update; only where V stands still would the reset itself fire."""
    high = pair(reset_v="value", v_reset=1.5, decay_v=0.5, fires="ge")
    high = high.replace_node(Affine("w", np.array([[1.25, 0.5, 0.25]] * 4)))
    assert check(high, SPINNAKER1) == ()
    x = drive(high)
    want = execute(high, x).spikes["n"]
    got = backend.run(backend.lower(quantized(high).graph, SPINNAKER1), x, Probes()).spikes["n"]
    np.testing.assert_array_equal(got, want)
    low = execute(high.replace_node(replace(high["n"], v_reset=0.5)), x).spikes["n"]  # type: ignore[call-arg]
    assert np.any(want != low)
    (found,) = check(pair(reset_v="value", v_reset=1.5, refractory=2), SPINNAKER1)
    assert str(found) == (
        "n: v_reset is 1.5, allowed is below the threshold. Lower v_reset or drop the refractory period on spinnaker1."
    )


def test_a_delay_beyond_what_extensions_keep_is_refused() -> None:
    late = Graph(pair().nodes, (Edge("in", "w", 2049), Edge("w", "n"), Edge("n", "out")))
    (found,) = check(late, SPINNAKER1)
    assert "delay from in is 2049, allowed is 1 to 2048. Shorten it by 1 steps" in str(found)
    fits = Graph(pair().nodes, (Edge("in", "w", 2048), Edge("w", "n"), Edge("n", "out")))
    assert check(fits, SPINNAKER1) == ()


def test_tables_show_the_time_constants_that_came_out() -> None:
    tables = backend.lower(quantized(pair(decay_v=0.999, decay_u=0.5)).graph, SPINNAKER1).tables
    assert set(tables) == {"populations", "cores", "chips"}
    (row,) = tables["populations"]
    assert float(row["tau_m steps"]) == pytest.approx(-1 / math.log(0.999), rel=0.02)
    assert float(row["tau_m steps"]) != pytest.approx(-1 / math.log(0.999), rel=1e-5)
    assert row["one unit of e, of the leak"] == f"{1 / 33:.2%}"
    assert float(row["tau_syn steps"]) == pytest.approx(-1 / math.log(0.5), rel=1e-4)
