"""The first difference and the counts, checked by planting differences at known places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.compare import compare, layer_errors
from snnc.errors import TraceError
from snnc.ir import Affine, Edge, Fixed, FixedGraph, Format, Graph, Input, Neuron, Readout
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute

SHAPES = {"in": (6,), "conv1": (2, 3, 4), "out": (5,)}
B, T = 4, 9


def make_trace(backend: str = "reference", dtype: Any = np.int64, seed: int = 3, **changes: Any) -> Trace:
    rng = np.random.default_rng(seed)
    spikes = {name: rng.integers(0, 2, (B, T, *shape)).astype(np.int8) for name, shape in SHAPES.items()}
    states = {
        (name, key): rng.integers(-9000, 9000, (B, T, *SHAPES[name])).astype(dtype)
        for name in ("conv1", "out")
        for key in ("v", "u")
    }
    return Trace(backend, "loihi1", changes.get("spikes", spikes), changes.get("states", states))


def changed(trace: Trace, edit: Callable[[dict[str, Any], dict[tuple[str, str], Any]], None]) -> Trace:
    spikes = {k: v.copy() for k, v in trace.spikes.items()}
    states = {k: v.copy() for k, v in trace.states.items()}
    edit(spikes, states)
    return Trace("loihi", trace.target, spikes, states)


def test_equal_traces_are_equal_and_counted() -> None:
    result = compare(make_trace(), make_trace("loihi"))
    assert result.equal
    assert result.first_difference is None
    assert [layer.population for layer in result.layers] == ["in", "conv1", "out"]
    assert result.compared == B * T * (6 + 3 * 24 + 3 * 5)
    assert result.spikes_compared == B * T * (6 + 24 + 5)
    assert "equal" in result.text


def test_one_flipped_spike_is_found_where_it_is() -> None:
    def flip(spikes: dict[str, Any], states: Any) -> None:
        spikes["conv1"][2, 7, 1, 2, 3] ^= 1

    left = make_trace()
    result = compare(left, changed(left, flip))
    first = result.first_difference
    assert first is not None
    assert (first.sample, first.step, first.population, first.neuron) == (2, 7, "conv1", (1, 2, 3))
    assert first.quantity == "spike"
    assert first.left == 1 - first.right
    assert first.left == left.spikes["conv1"][2, 7, 1, 2, 3]
    assert result.differing == result.spikes_differing == 1
    assert result.layers[1].first_step == 7
    assert not result.equal


def test_one_state_off_by_one_is_found_with_both_integers() -> None:
    def nudge(spikes: Any, states: dict[tuple[str, str], Any]) -> None:
        states["out", "v"][3, 7, 4] = 4032

    def nudge_more(spikes: Any, states: dict[tuple[str, str], Any]) -> None:
        nudge(spikes, states)
        states["out", "v"][3, 7, 4] += 1

    base = make_trace()
    nudged = changed(base, nudge)
    left = Trace("reference", "loihi1", nudged.spikes, nudged.states)
    result = compare(left, changed(base, nudge_more))
    assert str(result.first_difference) == (
        "sample 3, step 7, population out, neuron 4: v is 4032 in reference, 4033 in loihi"
    )
    assert (result.differing, result.spikes_differing) == (1, 0)
    assert result.layers[2].states["v"].first_step == 7
    assert result.layers[2].states["u"].differing == 0


def test_first_means_step_then_population_then_sample_then_cause() -> None:
    def later_step_of_earlier_sample(spikes: Any, states: Any) -> None:
        spikes["in"][0, 5, 0] ^= 1
        states["out", "v"][3, 4, 2] += 1
        states["out", "u"][3, 4, 2] += 1
        spikes["out"][3, 4, 2] ^= 1
        states["out", "v"][2, 4, 3] += 1
        spikes["conv1"][3, 5, 0, 0, 0] ^= 1

    left = make_trace()
    first = compare(left, changed(left, later_step_of_earlier_sample)).first_difference
    assert first is not None
    assert (first.step, first.population, first.sample, first.neuron, first.quantity) == (4, "out", 2, (3,), "v")

    def same_step(spikes: Any, states: Any) -> None:
        spikes["out"][0, 4, 0] ^= 1
        spikes["conv1"][3, 4, 1, 1, 1] ^= 1
        states["conv1", "v"][3, 4, 1, 1, 1] += 5
        states["conv1", "u"][3, 4, 1, 1, 1] += 5

    first = compare(left, changed(left, same_step)).first_difference
    assert first is not None
    assert (first.step, first.population, first.sample, first.quantity) == (4, "conv1", 3, "u")
    assert first.right - first.left == 5


def test_causes_come_before_the_membrane_and_the_spike() -> None:
    spikes = {"a": np.zeros((1, 2, 1), dtype=np.int8)}
    names = ("v", "hold", "u_inh", "u_exc")
    left = Trace("reference", "x", spikes, {("a", n): np.zeros((1, 2, 1), dtype=np.int64) for n in names})
    found = []
    for wrong in (names, names[:3], names[:2], names[:1]):
        states = {("a", n): np.full((1, 2, 1), int(n in wrong)) for n in names}
        first = compare(left, Trace("loihi", "x", {"a": spikes["a"] + 1}, states)).first_difference
        assert first is not None
        found.append(first.quantity)
    assert found == ["u_exc", "u_inh", "hold", "v"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, B - 1), st.integers(0, T - 1), st.integers(0, 4)), min_size=1, max_size=6))
def test_first_difference_against_brute_force(places: list[tuple[int, int, int]]) -> None:
    def edit(spikes: Any, states: Any) -> None:
        for b, t, n in places:
            states["out", "v"][b, t, n] = 123456

    left = make_trace()
    result = compare(left, changed(left, edit))
    want = min((t, b, n) for b, t, n in places)
    first = result.first_difference
    assert first is not None
    assert (first.step, first.sample, *first.neuron) == want
    assert result.differing == len(set(places))


def test_populations_must_match_and_the_missing_one_is_named() -> None:
    left = make_trace()
    right = Trace("loihi", "loihi1", {k: v for k, v in left.spikes.items() if k != "conv1"})
    with pytest.raises(TraceError, match="loihi has no spikes of conv1"):
        compare(left, right, states=False)
    with pytest.raises(TraceError, match="loihi has no spikes of conv1"):
        compare(right, left, states=False)
    with pytest.raises(TraceError, match="loihi has no state conv1/u"):
        compare(left, Trace("loihi", "loihi1", left.spikes))
    assert compare(left, right, states=False, populations=["out", "in"]).layers[0].population == "out"
    with pytest.raises(TraceError, match="nope"):
        compare(left, left, populations=["nope"])
    with pytest.raises(TraceError, match="nothing to compare"):
        compare(Trace("a", "x", {}), Trace("b", "x", {}))


def test_shapes_and_kinds_must_match() -> None:
    left = make_trace()
    short = Trace("loihi", "loihi1", {k: v[:, :5] for k, v in left.spikes.items()})
    with pytest.raises(TraceError, match=r"in: shape of spike is \(4, 9, 6\) in reference and \(4, 5, 6\) in loihi"):
        compare(left, short, states=False)
    with pytest.raises(TraceError, match="integers and floats"):
        compare(left, make_trace("float", np.float64))


def test_floats_compare_relative_to_the_size_of_the_state() -> None:
    left = make_trace("torch", np.float64)

    def by(amount: float) -> Callable[[Any, Any], None]:
        def edit(spikes: Any, states: Any) -> None:
            states["out", "v"][1, 2, 3] = left.states["out", "v"][1, 2, 3] + amount

        return edit

    peak = float(np.abs(left.states["out", "v"]).max())
    assert compare(left, changed(left, by(peak * 0.9e-9))).equal
    assert compare(left, changed(left, by(peak * 3e-9))).differing == 1
    assert compare(left, changed(left, by(peak * 3e-9)), rtol=1e-8).equal
    assert compare(left, changed(left, by(float("nan")))).differing == 1
    assert compare(left, changed(left, by(float("inf")))).differing == 1


def test_traces_of_one_back_end_are_told_apart() -> None:
    spikes = make_trace().spikes
    names = compare(Trace("reference", "float", spikes), Trace("reference", "loihi1", spikes))
    assert (names.left, names.right) == ("reference/float", "reference/loihi1")
    same = compare(Trace("reference", "float", spikes), Trace("reference", "float", spikes))
    assert same.left != same.right


def test_empty_comparison_is_not_equality() -> None:
    nothing = np.zeros((0, 3, 2), dtype=np.int8)
    result = compare(Trace("a", "x", {"in": nothing}), Trace("b", "x", {"in": nothing}))
    assert not result.equal


def nets(scale: float, second: float) -> tuple[Graph, FixedGraph]:
    """Two layers in float, and in integers of ``scale`` units with the second layer's weights times ``second``."""
    rng = np.random.default_rng(5)
    w1, w2 = rng.normal(0.2, 0.5, (8, 6)), rng.normal(0.2, 0.5, (4, 8))
    edges = tuple(
        Edge(a, b) for a, b in zip(("in", "w1", "l1", "w2", "l2"), ("w1", "l1", "w2", "l2", "r"), strict=True)
    )
    graph = Graph(
        (
            Input("in", shape=(6,)), Affine("w1", weight=w1), Neuron("l1", shape=(8,), decay_v=0.5),
            Affine("w2", weight=w2), Neuron("l2", shape=(4,), decay_v=0.5), Readout("r"),
        ),
        edges,
    )  # fmt: skip

    def neuron(name: str, size: int) -> Neuron:
        zero = Fixed(np.zeros((), np.int64), Format(32))
        one = Fixed(np.ones((), np.int64), Format(32))
        half = Fixed(np.array(2048), Format(13, 12, signed=False))
        none = Fixed(np.array(0), Format(13, 12, signed=False))
        level = Fixed(np.array(round(scale)), Format(32))
        return Neuron(
            name, shape=(size,), decay_u=none, decay_v=half, gain_u=one, gain=one, bias=zero, threshold=level,
            v_rest=zero, v_reset=zero, v_init=zero,
        )  # fmt: skip

    def fixed(weight: Any, factor: float) -> Fixed:
        return Fixed(np.rint(weight * scale * factor).astype(np.int64), Format(32))

    nodes = (
        Input("in", shape=(6,)), Affine("w1", weight=fixed(w1, 1)), neuron("l1", 8),
        Affine("w2", weight=fixed(w2, second)), neuron("l2", 4), Readout("r"),
    )  # fmt: skip
    return graph, FixedGraph(nodes, edges, latency={"in": 0, "l1": 0, "l2": 0})


def errors_of(scale: float, second: float = 1.0) -> tuple[Any, ...]:
    graph, integers = nets(scale, second)
    spikes = np.random.default_rng(1).integers(0, 2, (5, 30, 6)).astype(np.int8)
    probes = Probes(states="all")
    truth = execute(graph, spikes, probes)
    cascaded = execute(integers, spikes, probes)
    taught = execute(integers, spikes, probes, forced={"l1": truth.spikes["l1"], "l2": truth.spikes["l2"]})
    return layer_errors(truth, cascaded, taught, {"l1": np.array(scale), "l2": np.full((4,), scale)})


def test_layer_errors_vanish_with_fine_integers() -> None:
    for layer in errors_of(2.0**20):
        assert layer.spikes_float > 0
        assert layer.cascaded_differing == layer.forced_differing == 0
        assert layer.v_rms_cascaded is not None
        assert layer.v_rms_cascaded < 1e-4
        assert layer.rate_difference == 0


def test_layer_errors_are_laid_at_the_right_layer() -> None:
    """Coarse integers in layer 1 hurt layer 2 only in the cascade; a wrong layer 2 hurts it under both."""
    first, second = errors_of(3.0)
    assert first.population == "l1"
    assert first.cascaded_differing == first.forced_differing > 0
    assert first.v_rms_forced == first.v_rms_cascaded
    assert second.cascaded_differing != second.forced_differing

    fine, wrong = errors_of(2.0**20, second=0.5)
    assert fine.cascaded_differing == 0
    assert wrong.forced_differing == wrong.cascaded_differing > 0
    assert wrong.rate_difference < 0
    assert wrong.forced_fraction == wrong.forced_differing / (5 * 30 * 4)


def test_membrane_error_is_the_rms_in_float_units() -> None:
    spikes = {"a": np.zeros((2, 3, 2), dtype=np.int8)}
    truth = Trace("reference", "float", spikes, {("a", "v"): np.full((2, 3, 2), 0.5)})
    raw = np.broadcast_to(np.array([60, 70], dtype=np.int64), (2, 3, 2)).copy()
    integers = Trace("reference", "generic", spikes, {("a", "v"): raw})
    (layer,) = layer_errors(truth, integers, Trace("x", "generic", spikes), {"a": np.array([100.0, 100.0])})
    assert layer.v_rms_cascaded == pytest.approx(np.sqrt((0.1**2 + 0.2**2) / 2))
    assert layer.v_rms_forced is None
    with pytest.raises(TraceError, match="no spikes of b"):
        layer_errors(truth, integers, integers, {"b": 1.0})
