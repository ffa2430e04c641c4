"""Rung 2: every pass, run-transform-run, spike for spike; and plausible wrong passes, which must be caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snnc.ir import Add, Affine, Concat, Conv, Delay, Edge, Graph, Input, Neuron, Pool, Scale
from snnc.passes import (
    DEFAULT,
    AddWeights,
    AverageToSum,
    BiasToSource,
    DropIdentity,
    FoldGain,
    FoldRest,
    FuseBatchNorm,
    MoveBias,
    Pass,
    run_passes,
)
from snnc.passes.rewrite import full, number
from unit.passes import networks as n

SEEDS = range(4)


def gains_left(graph: Graph) -> bool:
    return any(np.any(number(m.gain) != 1) or np.any(number(m.gain_u) != 1) for m in graph.neurons)


def averages_left(graph: Graph) -> bool:
    return any(isinstance(m, Pool) and m.pooling == "avg" for m in graph.nodes)


def scales_left(graph: Graph) -> bool:
    return any(isinstance(m, Scale) for m in graph.nodes)


def biases_left(graph: Graph) -> bool:
    return any(isinstance(m, (Affine, Conv)) and m.bias is not None for m in graph.nodes)


def rests_left(graph: Graph) -> bool:
    return any(np.any(number(m.v_rest) != 0) and m.reset_v != "subtract" for m in graph.neurons)


def idle_left(graph: Graph) -> bool:
    return any(m.name in {"drop", "zero", "flat"} for m in graph.nodes)


CASES: list[tuple[Pass, n.Make, Callable[[Graph], bool]]] = [
    (DropIdentity(), n.identities, idle_left),
    *[
        (FuseBatchNorm(), make, scales_left)
        for make in (n.dense_norm, n.conv_norm, n.residual_norm, n.norm_first, n.norm_neuron)
    ],
    *[
        (AverageToSum(), make, averages_left)
        for make in (n.pool_dense, n.pool_conv, n.pool_concat, n.pool_residual, n.pool_neuron)
    ],
    *[(FoldGain(), make, gains_left) for make in (n.gains, n.gains_conv, n.gains_forked, n.gains_negative)],
    *[(FoldGain("threshold"), make, gains_left) for make in (n.gains, n.gains_conv, n.gains_forked)],
    (FoldRest(), n.rests, rests_left),
    (MoveBias(), n.biases, biases_left),
    *[(BiasToSource(), make, biases_left) for make in (n.biases, n.biases_filtered, n.biases_joined)],
    (AddWeights(), n.bare, lambda graph: AddWeights()(graph) is not graph),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("step", "make", "left"), CASES, ids=lambda x: getattr(x, "name", getattr(x, "__name__", "")))
def test_pass_keeps_every_spike(step: Pass, make: n.Make, left: Callable[[Graph], bool], seed: int) -> None:
    before = n.build(make, seed)
    after = step(before)
    assert after is not before
    assert left(before)
    assert not left(after)
    assert n.differing(before, after) == 0
    assert step(after) is after, "a second run must find nothing"


@pytest.mark.parametrize("step", [*DEFAULT, MoveBias(), BiasToSource(), AddWeights()], ids=lambda x: x.name)
def test_pass_returns_the_graph_itself_when_nothing_matches(step: Pass) -> None:
    graph = n.build(n.plain, 0)
    assert step(graph) is graph


@pytest.mark.parametrize(
    ("step", "make"), [(FuseBatchNorm(), n.norm_forked), (MoveBias(), n.biases_filtered)], ids=["scale", "bias"]
)
def test_pass_leaves_what_it_must_not_touch(step: Pass, make: n.Make) -> None:
    graph = n.build(make, 1)
    assert step(graph) is graph


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "make",
    [n.conv_norm, n.residual_norm, n.norm_neuron, n.pool_conv, n.pool_neuron, n.pool_residual, n.gains_conv, n.rests],
)
def test_all_passes_together(make: n.Make, seed: int) -> None:
    before = n.build(make, seed)
    after, history = run_passes(before, (*DEFAULT, AddWeights(), MoveBias(), BiasToSource()))
    assert n.differing(before, after) == 0
    assert any(entry.changed for entry in history)
    for left in (gains_left, scales_left, averages_left, biases_left):
        assert not left(after)


def weights_of(graph: Graph, name: str) -> Affine | Conv:
    node = graph[name]
    assert isinstance(node, (Affine, Conv))
    return node


def neuron_of(graph: Graph, name: str) -> Neuron:
    node = graph[name]
    assert isinstance(node, Neuron)
    return node


def drops_real_delays(graph: Graph) -> Graph:
    return DropIdentity()(graph.replace_node(Delay("late", 0)))


def joins_instead_of_adding(graph: Graph) -> Graph:
    """Removes the identity whose two inputs are summed, as if the Concat behind it would sum them too."""
    edges = [e for e in graph.edges if e != Edge("b", "both", 1)]
    return DropIdentity()(graph.with_nodes(graph.nodes, edges))


def forgets_the_shift(graph: Graph) -> Graph:
    bn = graph["bn"]
    assert isinstance(bn, Scale)
    return FuseBatchNorm()(graph.replace_node(replace(bn, shift=np.zeros(()))))


def forgets_to_scale_the_bias(graph: Graph) -> Graph:
    after = FuseBatchNorm()(graph)
    fc = weights_of(after, "c1")
    bn = graph["bn1"]
    assert isinstance(bn, Scale)
    old = number(weights_of(graph, "c1").bias)
    return after.replace_node(replace(fc, bias=old + number(bn.shift).reshape(-1)))


def scales_columns_instead_of_rows(graph: Graph) -> Graph:
    fc, bn = weights_of(graph, "c2"), graph["bn2"]
    assert isinstance(bn, Scale)
    gain = number(bn.gain).reshape(1, -1, 1, 1)
    return FuseBatchNorm()(graph).replace_node(replace(fc, weight=number(fc.weight) * gain))


def normalises_both_terms(graph: Graph) -> Graph:
    """The shift goes to both branches of the sum."""
    after = FuseBatchNorm()(graph)
    return after.replace_node(replace(weights_of(after, "c2"), bias=weights_of(after, "c1").bias))


def filters_the_shift(graph: Graph) -> Graph:
    """Moves the shift into Neuron.bias although the current has a memory."""
    m, bn = neuron_of(graph, "m"), graph["bn2"]
    assert isinstance(bn, Scale)
    memoryless = graph.replace_node(replace(m, decay_u=np.zeros(())))
    after = FuseBatchNorm()(memoryless)
    return after.replace_node(replace(neuron_of(after, "m"), decay_u=m.decay_u))


def forgets_one_axis(graph: Graph) -> Graph:
    fc = weights_of(AverageToSum()(graph), "fc")
    return AverageToSum()(graph).replace_node(replace(fc, weight=number(fc.weight) * 2))


def forgets_the_factor(graph: Graph) -> Graph:
    after = AverageToSum()(graph)
    return after.replace_node(weights_of(graph, "c2"))


def scales_the_whole_join(graph: Graph) -> Graph:
    """Scales the columns of the other input of the Concat too."""
    fc = weights_of(graph, "c2")
    return AverageToSum()(graph).replace_node(replace(fc, weight=number(fc.weight) / 4))


def forgets_gain_u(graph: Graph) -> Graph:
    node = neuron_of(graph, "n")
    return FoldGain()(graph.replace_node(replace(node, gain_u=np.ones(()))))


def forgets_the_recurrence(graph: Graph) -> Graph:
    return FoldGain()(graph).replace_node(graph["rec"])


def multiplies_the_threshold(graph: Graph) -> Graph:
    node = neuron_of(graph, "n")
    after = FoldGain("threshold")(graph)
    wrong = full(node.threshold, node.shape) * full(node.gain, node.shape)
    return after.replace_node(replace(neuron_of(after, "n"), threshold=wrong))


def keeps_the_reset(graph: Graph) -> Graph:
    after = FoldRest()(graph)
    return after.replace_node(replace(neuron_of(after, "n"), reset_v="zero", v_reset=np.zeros(())))


def keeps_the_threshold(graph: Graph) -> Graph:
    after = FoldRest()(graph)
    return after.replace_node(replace(neuron_of(after, "m"), threshold=neuron_of(graph, "m").threshold))


def folds_a_soft_reset(graph: Graph) -> Graph:
    k = neuron_of(graph, "k")
    higher = full(k.threshold, k.shape) - number(k.v_rest)
    return FoldRest()(graph).replace_node(replace(k, threshold=higher, v_rest=np.zeros(()), v_init=-number(k.v_rest)))


def moves_without_the_gain(graph: Graph) -> Graph:
    plain = graph.replace_node(replace(neuron_of(graph, "n"), gain=np.ones(()), gain_u=np.ones(())))
    moved = neuron_of(MoveBias()(plain), "n").bias
    after = MoveBias()(graph)
    return after.replace_node(replace(neuron_of(after, "n"), bias=moved))


def moves_once(graph: Graph) -> Graph:
    """Counts the bias that reaches the Concat twice only once."""
    after = MoveBias()(graph)
    bias = full(neuron_of(after, "m").bias, (12,)).copy()
    bias[8:] = 0
    return after.replace_node(replace(neuron_of(after, "m"), bias=bias))


def moves_through_memory(graph: Graph) -> Graph:
    n_ = neuron_of(graph, "n")
    moved = MoveBias()(graph.replace_node(replace(n_, decay_u=np.zeros(()))))
    assert weights_of(moved, "c").bias is None
    return moved.replace_node(replace(neuron_of(moved, "n"), decay_u=n_.decay_u))


def starts_late(graph: Graph) -> Graph:
    after = BiasToSource()(graph)
    edges = [replace(e, delay=e.delay + 1) if e.source == "c_bias_weight" else e for e in after.edges]
    return after.with_nodes(after.nodes, edges)


def shares_the_source(graph: Graph) -> Graph:
    """Both branches of the Concat get the bias of one."""
    after = BiasToSource()(graph)
    wrong = weights_of(after, "a_bias_weight").weight
    return after.replace_node(replace(weights_of(after, "b_bias_weight"), weight=wrong))


def doubles_the_bare_path(graph: Graph) -> Graph:
    after = AddWeights()(graph)
    node = weights_of(after, "f_to_sum")
    return after.replace_node(replace(node, weight=2 * number(node.weight)))


WRONG: list[tuple[Callable[[Graph], Graph], n.Make]] = [
    (drops_real_delays, n.identities),
    (joins_instead_of_adding, n.identities),
    (forgets_the_shift, n.dense_norm),
    (forgets_to_scale_the_bias, n.conv_norm),
    (scales_columns_instead_of_rows, n.conv_norm),
    (normalises_both_terms, n.residual_norm),
    (filters_the_shift, n.norm_neuron),
    (forgets_one_axis, n.pool_dense),
    (forgets_the_factor, n.pool_conv),
    (scales_the_whole_join, n.pool_concat),
    (forgets_gain_u, n.gains),
    (forgets_the_recurrence, n.gains),
    (multiplies_the_threshold, n.gains),
    (keeps_the_reset, n.rests),
    (keeps_the_threshold, n.rests),
    (folds_a_soft_reset, n.rests),
    (moves_without_the_gain, n.biases),
    (moves_once, n.biases),
    (moves_through_memory, n.biases_filtered),
    (starts_late, n.biases_joined),
    (shares_the_source, n.biases_joined),
    (doubles_the_bare_path, n.bare),
]


@pytest.mark.parametrize(("wrong", "make"), WRONG, ids=lambda x: x.__name__)
def test_wrong_pass_is_caught(wrong: Callable[[Graph], Graph], make: n.Make) -> None:
    caught = [n.differing(graph, wrong(graph)) > 0 for graph in (n.build(make, seed) for seed in SEEDS)]
    assert any(caught)


def test_bias_source_of_a_conv_keeps_the_shape() -> None:
    graph = n.build(n.biases_filtered, 0)
    after = BiasToSource()(graph)
    source = after["c_bias"]
    assert isinstance(source, Input)
    assert (source.shape, source.encoding) == ((1, 4, 4), "constant")
    assert weights_of(after, "c_bias_weight").weight.shape == (3, 1, 1, 1)


def test_identity_with_two_inputs_before_a_join_becomes_a_sum() -> None:
    after = DropIdentity()(n.build(n.identities, 0))
    assert isinstance(after["both"], Add)
    assert isinstance(after["cat"], Concat)
