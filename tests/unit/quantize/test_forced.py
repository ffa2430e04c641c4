"""The estimate behind the choice of gains counts exactly what the reference counts when it forces the same spikes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.ir import Add, Affine, Concat, Conv, Delay, Edge, Flatten, Graph, Input, Neuron, Node, Pool
from snnc.quantize.calibrate import calibrate
from snnc.quantize.forced import Forced
from snnc_reference.execute import execute
from unit.passes import networks
from unit.quantize import nets


def every_node(net: networks.Net) -> None:
    net.input(2, 6, 6)
    net.conv("c1", 4, 2, "in", groups=2, dilation=(2, 1), padding=(2, 1))
    net.conv("c2", 4, 2, "in", stride=(1, 1))
    net.add(Add("sum"), "c1", ("c2", 1))
    net.neuron("n", (4, 6, 6), "sum", reset_delay=1)
    net.add(Pool("p", "max", (2, 2), (2, 2), (0, 0)), "n")
    net.add(Pool("q", "sum", (3, 3), (2, 2), (1, 1)), "n")
    net.add(Concat("cat"), "p", "q")
    net.add(Delay("late", 1), "cat")
    net.add(Flatten("f"), "late")
    net.affine("fc", 10, 72, "f")
    net.affine("rec", 10, 10, ("m", 1))
    net.neuron("m", (10,), "fc", "rec", reset_u=True, threshold=2.0)


def counted(graph: Graph, changed: dict[str, Node], seed: int) -> tuple[dict[str, int | None], dict[str, int]]:
    """(estimate, reference) per population."""
    x = networks.spikes(graph, seed)
    found = calibrate(graph, x, execute)
    nodes = {n.name: changed.get(n.name, n) for n in graph.nodes}
    estimate = {n.name: Forced.of(graph, found).wrong([n.name], nodes) for n in graph.neurons}
    other = execute(graph.with_nodes(nodes.values()), x, forced=dict(found.trace.spikes))
    right = {n.name: int(np.sum(other.spikes[n.name] != found.trace.spikes[n.name])) for n in graph.neurons}
    return estimate, right


@pytest.mark.parametrize("seed", range(6))
def test_unchanged_layers_have_no_wrong_spike(seed: int) -> None:
    estimate, _ = counted(networks.build(every_node, seed), {}, seed)
    assert estimate == {"n": 0, "m": 0}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["c1", "c2", "fc", "rec", "n", "m"])
def test_changed_layers_are_counted_as_the_reference_counts_them(name: str, seed: int) -> None:
    graph = networks.build(every_node, seed)
    node = graph[name]
    changed: Any
    if isinstance(node, (Affine, Conv)):
        changed = replace(node, weight=np.round(np.asarray(node.weight) * 2) / 2)
    else:
        assert isinstance(node, Neuron)
        changed = replace(node, threshold=np.asarray(node.threshold) * 1.2)
    estimate, right = counted(graph, {name: changed}, seed)
    assert estimate == right
    assert sum(right.values()) > 0


def test_a_budget_takes_fewer_samples_and_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = nets.mlp()
    fc = graph["fc0"]
    assert isinstance(fc, Affine)
    changed = {n.name: n for n in graph.nodes} | {"fc0": replace(fc, weight=np.asarray(fc.weight) * 0.5)}
    found = Forced.of(graph, nets.calibrated(graph))
    everything = found.wrong(["n0"], changed)
    monkeypatch.setattr("snnc.quantize.forced.BUDGET", 1.0)
    one = Forced.of(graph, nets.calibrated(graph)).wrong(["n0"], changed)
    assert everything is not None
    assert one is not None
    assert 0 < one * 10 < everything


def test_a_loop_of_memoryless_nodes_has_no_estimate() -> None:
    nodes = (Input("in", (3,)), Affine("fc", np.eye(3)), Add("sum"), Neuron("n", (3,), threshold=2.0))
    edges = (Edge("in", "fc"), Edge("fc", "sum"), Edge("sum", "sum", 1), Edge("sum", "n"))
    graph = Graph(nodes, edges)
    found = Forced.of(graph, calibrate(graph, nets.spikes((3,)), execute))
    assert found.wrong(["n"], {n.name: n for n in nodes}) is None


def test_clipping_large_weights_is_followed_only_if_clearly_better() -> None:
    """Weights with a long tail: the recorded spikes show that most of the tail does not matter."""
    rng = np.random.default_rng(3)
    graph = nets.mlp()
    fc = graph["fc0"]
    assert isinstance(fc, Affine)
    graph = graph.replace_node(replace(fc, weight=rng.standard_t(2, fc.weight.shape) * 0.25))
    with_tries = nets.quantized(graph, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snnc.quantize.scales.MULTIPLES", ())
        without = nets.quantized(graph, 5)
    assert nets.wrong(graph, with_tries.graph)["n0"] < 0.6 * nets.wrong(graph, without.graph)["n0"]
    assert float(nets.quantized(nets.whole(0), 8).scales["n"]) in {2.0**k for k in range(30)}
