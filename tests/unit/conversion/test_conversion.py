"""ReLU networks become spiking ones: rates times scales are activations, exactly where that can be said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from snnc.backend import discover
from snnc.config import ConvertConfig
from snnc.conversion import Ann, Converted, Relu, answers, convert, measure
from snnc.conversion.evaluate import observe
from snnc.conversion.scales import Execute
from snnc.errors import InputError, ModelError, TraceError, UnsupportedError
from snnc.ir import Add, Affine, Conv, Edge, Flatten, Graph, Identity, Input, Neuron, Node, Pool, Readout, Scale
from snnc.passes import HardenReset
from snnc.trace import Probes, Samples

EXECUTE: Execute = discover().reference.execute
RNG = np.random.default_rng


def chain(*nodes: Node) -> Ann:
    row = (*nodes, Readout("output", "sum"))
    return Ann(Graph(row, tuple(Edge(a.name, b.name) for a, b in pairwise(row))))


def one_layer(seed: int = 0) -> tuple[Ann, np.ndarray]:
    rng = RNG(seed)
    ann = chain(
        Input("x", (6,), "direct"), Affine("fc", rng.normal(size=(9, 6)), rng.normal(size=9) * 0.3), Relu("relu")
    )
    return ann, rng.random((20, 6))


def residual() -> tuple[Ann, np.ndarray]:
    """Convolution, batch normalisation, a sum of two branches, average pooling, a dense layer with a bias."""
    rng = RNG(3)
    gain, shift = rng.uniform(0.5, 1.5, (4, 1, 1)), rng.normal(size=(4, 1, 1)) * 0.1
    nodes: tuple[Node, ...] = (
        Input("x", (1, 8, 8), "direct"),
        Conv("c1", rng.normal(size=(4, 1, 3, 3)), rng.normal(size=4) * 0.1, (1, 1), (1, 1), (1, 1)),
        Scale("bn1", gain, shift),
        Relu("r1"),
        Conv("c2", rng.normal(size=(4, 4, 3, 3)) * 0.3, None, (1, 1), (1, 1), (1, 1)),
        Identity("drop", "dropout"),
        Add("sum"),
        Relu("r2"),
        Pool("pool", "avg", (2, 2), (2, 2), (0, 0)),
        Flatten("flat"),
        Affine("fc", rng.normal(size=(5, 64)) * 0.3, rng.normal(size=5)),
        Readout("output", "sum"),
    )
    names = ("x", "c1", "bn1", "r1", "c2", "drop", "sum", "r2", "pool", "flat", "fc", "output")
    edges = tuple(Edge(a, b) for a, b in pairwise(names))
    return Ann(Graph(nodes, (*edges, Edge("r1", "sum")))), rng.random((12, 1, 8, 8))


def activations(ann: Ann, values: np.ndarray) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    observe(ann, values, lambda name, value: found.update({name: value.copy()}))
    return found


def rates(converted: Converted, values: np.ndarray, graph: Graph | None = None) -> dict[str, np.ndarray]:
    """Firing rate times what a spike stands for."""
    steps = converted.encode(Samples(values)).spikes
    trace = EXECUTE(graph or converted.graph, steps, Probes())
    return {n: trace.counts(n) / steps.shape[1] * converted.scales[n] for n in converted.scales}


def exact(found: np.ndarray, activation: np.ndarray, scale: np.ndarray, steps: int, part: float) -> bool:
    """Rate times scale is the clipped activation to within this part of a spike."""
    bound = scale / steps * part * (1 + 1e-9)
    return bool(np.all(np.abs(found - np.clip(activation, 0, scale)) <= bound))


@pytest.mark.parametrize("norm", ["data", "percentile", "none"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_rate_times_scale_is_the_clipped_activation(norm: str, per_channel: bool) -> None:
    ann, values = one_layer()
    options = ConvertConfig(steps=16, norm=norm, percentile=90.0, per_channel=per_channel)
    converted = convert(ann, values, options, EXECUTE)
    want, scale = activations(ann, values)["relu"], converted.scales["relu"]
    assert want.max() > (1 if norm == "none" else 0)
    assert exact(rates(converted, values)["relu"], want, scale, 16, 0.5)


def changed(graph: Graph, **fields: Any) -> Graph:
    return graph.replace_node(replace(graph.neurons[0], **fields))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda g: changed(g, threshold=np.asarray(1.05)),
        lambda g: changed(g, gain_u=np.asarray(0.95)),
        lambda g: changed(g, v_init=np.zeros(())),
        lambda g: changed(g, decay_v=np.asarray(0.98)),
        HardenReset(),
    ],
    ids=["threshold", "gain", "v_init", "leak", "hard reset"],
)
def test_a_wrong_conversion_is_caught(spoil: Callable[[Graph], Graph]) -> None:
    """Negative control of the exact check."""
    ann, values = one_layer()
    converted = convert(ann, values, ConvertConfig(steps=16, norm="data"), EXECUTE)
    want, scale = activations(ann, values)["relu"], converted.scales["relu"]
    assert exact(rates(converted, values)["relu"], want, scale, 16, 0.5)
    assert not exact(rates(converted, values, spoil(converted.graph))["relu"], want, scale, 16, 0.5)


def test_membranes_at_zero_lose_up_to_a_whole_spike() -> None:
    ann, values = one_layer()
    converted = convert(ann, values, ConvertConfig(steps=16, norm="data", v_init="zero"), EXECUTE)
    want, scale = activations(ann, values)["relu"], converted.scales["relu"]
    found = rates(converted, values)["relu"]
    assert exact(found, want, scale, 16, 1.0)
    assert not exact(found, want, scale, 16, 0.5)


@pytest.mark.parametrize("norm", ["data", "balance"])
@pytest.mark.parametrize("source", ["direct", "rate"])
def test_every_layer_of_a_residual_network_converges(norm: str, source: str) -> None:
    ann, values = residual()
    converted = convert(ann, values, ConvertConfig(steps=256, norm=norm, input=source), EXECUTE)
    want = activations(converted.ann, values)
    want["answer"] = want["fc"] + converted.shift
    found = rates(converted, values)
    assert set(found) == {"r1", "r2", "answer"}
    for name, rate in found.items():
        scale = np.max(converted.scales[name])
        assert np.max(np.abs(rate - np.clip(want[name], 0, scale))) < 0.03 * scale, name


def test_without_normalisation_activations_are_cut() -> None:
    """Negative control: spikes that stand for 1 cannot say more."""
    ann, values = residual()
    converted = convert(ann, values, ConvertConfig(steps=256, norm="none"), EXECUTE)
    want = activations(converted.ann, values)
    assert np.max(np.abs(rates(converted, values)["r2"] - want["r2"])) > 0.5


def test_branches_of_a_sum_need_their_own_scales() -> None:
    """Negative control: an identity that passes spikes on unweighted is another network."""
    ann, values = residual()
    converted = convert(ann, values, ConvertConfig(steps=256, norm="data"), EXECUTE)
    branch = next(n for n in converted.graph.nodes if n.name.startswith("r1_scale"))
    assert isinstance(branch, Conv)
    wrong = converted.graph.replace_node(replace(branch, weight=np.ones_like(np.asarray(branch.weight))))
    want = activations(converted.ann, values)["r2"]
    right_error, wrong_error = (
        np.max(np.abs(rates(converted, values, g)["r2"] - want)) for g in (converted.graph, wrong)
    )
    assert wrong_error > 5 * right_error


def test_balance_takes_the_largest_input_of_each_spiking_layer() -> None:
    ann, values = residual()
    converted = convert(ann, values, ConvertConfig(steps=12, norm="balance"), EXECUTE)
    steps = converted.encode(Samples(values)).spikes
    trace = EXECUTE(converted.graph, steps, Probes(states=("r1", "r2")))
    for name in ("r1", "r2"):
        node = converted.graph[name]
        assert isinstance(node, Neuron)
        assert float(node.threshold) == pytest.approx(trace.states[name, "u"].max(), rel=1e-12)
    plain = convert(ann, values, ConvertConfig(steps=12, norm="data"), EXECUTE)
    assert converted.scales["r2"] > 1.05 * plain.scales["r2"]


def test_answers_are_shifted_until_they_can_be_counted() -> None:
    ann, values = one_layer()
    nodes = [replace(n, bias=np.asarray(n.bias) - 20) if isinstance(n, Affine) else n for n in ann.graph.nodes]
    below = Graph(tuple(n for n in nodes if not isinstance(n, Relu)), (Edge("x", "fc"), Edge("fc", "output")))
    want = answers(Ann(below), values).argmax(axis=1)
    converted = convert(Ann(below), values, ConvertConfig(steps=400), EXECUTE)
    assert converted.shift > 10
    assert np.mean(rates(converted, values)["answer"].argmax(axis=1) == want) > 0.9
    silent = changed(converted.graph, bias=np.zeros(()))
    assert not rates(converted, values, silent)["answer"].any()


def test_evenly_spaced_spikes_and_random_ones() -> None:
    ann, _ = one_layer()
    values = np.linspace(0, 2, 12).reshape(2, 6)
    rate = convert(ann, values, ConvertConfig(steps=10, input="rate"), EXECUTE)
    spikes = rate.encode(Samples(values)).spikes
    assert spikes.dtype == np.int8
    np.testing.assert_array_equal(spikes.sum(axis=1), np.floor(values / 2 * 10 + 0.5))
    assert spikes[0, :5].sum() > 0
    poisson = convert(ann, values, ConvertConfig(steps=4000, input="poisson", seed=5), EXECUTE)
    drawn = poisson.encode(Samples(values)).spikes
    np.testing.assert_allclose(drawn.mean(axis=1), values / 2, atol=0.03)
    np.testing.assert_array_equal(drawn, poisson.encode(Samples(values)).spikes)


def test_evaluation_is_what_torch_computes() -> None:
    import torch

    rng = RNG(1)
    x = rng.normal(size=(3, 4, 9, 7))
    weight, bias = rng.normal(size=(6, 2, 3, 2)), rng.normal(size=6)
    ann = chain(
        Input("x", (4, 9, 7), "direct"),
        Pool("max", "max", (2, 2), (1, 1), (0, 0)),
        Conv("c", weight, bias, (2, 1), (1, 2), (1, 2), 2),
        Relu("r"),
        Pool("p", "avg", (3, 2), (1, 2), (1, 0)),
        Flatten("f"),
    )
    f = torch.nn.functional
    y = f.max_pool2d(torch.from_numpy(x), 2, 1)
    y = f.conv2d(y, torch.from_numpy(weight), torch.from_numpy(bias), (2, 1), (1, 2), (1, 2), 2).relu()
    y = f.avg_pool2d(y, (3, 2), (1, 2), (1, 0)).flatten(1)
    np.testing.assert_allclose(answers(ann, x), y.numpy(), rtol=1e-12, atol=1e-12)


def test_maximum_of_activations_is_refused_and_of_values_not() -> None:
    pool = Pool("pool", "max", (2, 2), (2, 2), (0, 0))
    conv = Conv("c", np.ones((2, 1, 1, 1)), None, (1, 1), (0, 0), (1, 1))
    source = Input("x", (1, 4, 4), "direct")
    with pytest.raises(UnsupportedError, match=r"pool: pooling is max of activations.*average pooling.*stride 2"):
        chain(source, conv, Relu("r"), pool)
    ann, values = chain(source, pool, conv, Relu("r")), RNG(0).random((3, 1, 4, 4))
    converted = convert(ann, values, ConvertConfig(steps=8, norm="data"), EXECUTE)
    assert exact(rates(converted, values)["r"], activations(ann, values)["r"], converted.scales["r"], 8, 0.5)
    with pytest.raises(InputError, match=r"pool.*--input direct"):
        convert(ann, values, ConvertConfig(steps=8, input="rate"), EXECUTE)


def test_refusals_say_what_to_do() -> None:
    ann, values = one_layer()
    with pytest.raises(InputError, match="--steps"):
        convert(ann, values, ConvertConfig(), EXECUTE)
    with pytest.raises(InputError, match="per-channel"):
        convert(ann, values, ConvertConfig(steps=4, norm="balance", per_channel=True), EXECUTE)
    with pytest.raises(InputError, match=r"smallest value is -1.*--input direct"):
        convert(ann, values - values.min() - 1, ConvertConfig(steps=4, input="rate"), EXECUTE)
    with pytest.raises(TraceError, match=r"\(20, 5\), allowed is \[B, 6\]"):
        convert(ann, values[:, :5], ConvertConfig(steps=4), EXECUTE)
    with pytest.raises(InputError, match="labels"):
        measure(convert(ann, values, ConvertConfig(steps=4), EXECUTE), Samples(values), EXECUTE)
    with pytest.raises(ModelError, match="delay"):
        Ann(Graph(ann.graph.nodes, (*ann.graph.edges[:-1], replace(ann.graph.edges[-1], delay=1))))


def test_the_curve_reads_every_length_from_one_run() -> None:
    ann, values = residual()
    labels = answers(ann, values).argmax(axis=1)
    long = convert(ann, values, ConvertConfig(steps=48), EXECUTE)
    curve = measure(long, Samples(values, labels), EXECUTE)
    assert curve.ann == 1.0
    assert [p.steps for p in curve.points] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
    short = convert(ann, values, ConvertConfig(steps=6), EXECUTE)
    again = measure(short, Samples(values, labels), EXECUTE)
    assert again.points == curve.points[: len(again.points)]
    assert curve.points[-1].counts == curve.points[-1].agree
    assert curve.points[0].counts < curve.points[-1].counts
    assert curve.to_json()["loss_points"] == pytest.approx(100 * (1 - curve.points[-1].counts))
