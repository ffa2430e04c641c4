"""After a failed probe the nearest explanation is named: a graph is spoilt in one way, and that way must be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from spikingjelly.activation_based import neuron
from torch import nn

from snnc.capture import Captured, capture, probe
from snnc.capture.probe import drives, inhibiting_inputs
from snnc.ir import Affine, Conv, Edge, Flatten, Graph, Input, Neuron, Readout
from snnc_reference.execute import execute

torch.set_num_threads(1)
EXAMPLE = (np.random.default_rng(5).random((3, 10, 6)) < 0.5).astype(np.int8)
TAU = 1.6


def leaky() -> nn.Module:
    return snntorch.Leaky(0.8, init_hidden=True)


def two(make: Callable[[], nn.Module], size: float = 5.0) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(6, 5), make(), nn.Linear(5, 4), make())
    for index in (0, 2):
        made[index].weight.data *= size
    return made


def spoilt(captured: Captured, only: int | None = None, **values: Any) -> Captured:
    graph = captured.graph
    for index, node in enumerate(graph.neurons):
        if only in (None, index):
            graph = graph.replace_node(replace(node, **values))
    return replace(captured, graph=graph)


def explained(module: nn.Module, only: int | None = None, **values: Any) -> str:
    result = probe(module, spoilt(capture(module, EXAMPLE), only, **values), EXAMPLE, execute)
    assert not result.equal
    assert result.text.endswith(result.explanation)
    return result.explanation


def lif(**options: Any) -> Callable[[], nn.Module]:
    return lambda: neuron.LIFNode(TAU, **options)


CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], str]] = {
    "late": (leaky, {"reset_delay": 0}, "matches with reset one step late"),
    "immediate": (lif(v_reset=None), {"reset_delay": 1}, "matches with reset in the step of the spike"),
    "hard": (lif(), {"reset_v": "subtract"}, "matches with hard reset to 0"),
    "soft": (lif(v_reset=None), {"reset_v": "zero"}, "matches with soft reset"),
    "soft-late": (leaky, {"reset_v": "zero", "reset_delay": 0}, "matches with soft reset one step late"),
    "decay-input": (lif(), {"gain": 1.0}, "matches with the input scaled by 1 - decay (decay_input, norm_input)"),
    "whole-input": (
        lif(decay_input=False), {"gain": 1 / TAU}, "matches with the whole input (no decay_input, norm_input or r)",
    ),
    "euler": (lif(), {"decay_v": np.exp(-1 / TAU)}, "matches with decay_v: 1 - 1/tau, not exp(-1/tau)"),
    "exponential": (
        leaky, {"decay_v": 1 + np.log(float(np.float32(0.8)))}, "matches with decay_v: exp(-1/tau), not 1 - 1/tau",
    ),
    "scaled-tau": (
        leaky, {"decay_v": 0.9}, "matches with decay_v 0.8, input times 1 in leaky1 and decay_v 0.8, input times 1 in",
    ),
    "rest": (lif(v_reset=0.25), {"v_rest": 0.0}, "matches with a resting value that is the reset value"),
    "start": (lambda: neuron.HalfThresholdIFNode(1.0), {"v_init": 0.0}, "matches with a start at half the threshold"),
    "exchanged": (
        lambda: neuron.CUBALIFNode(0.5, 0.75, 1.0), {"decay_u": 0.75, "decay_v": 0.5},
        "matches with decays of current and membrane exchanged",
    ),
    "refractory": (lif(), {"refractory": 1}, "matches with no refractory steps"),
    "bias": (lif(), {"bias": 0.01}, "matches with no bias"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_what_was_spoilt_is_named(kind: str) -> None:
    make, values, expected = CASES[kind]
    assert explained(two(make), **values).startswith(expected)


def test_a_comparison_at_the_threshold_is_named() -> None:
    module = nn.Sequential(nn.Linear(6, 1, bias=False), neuron.IFNode())
    module[0].weight.data.fill_(0.25)
    assert explained(module, fires="gt") == "matches with v >= threshold"


def test_the_population_is_named_if_only_one_differs() -> None:
    assert explained(two(leaky), only=1, reset_delay=0) == "matches with reset one step late in leaky3"
    assert explained(two(leaky), only=0, decay_v=0.7) == "matches with decay_v 0.8, input times 1 in leaky1"


def test_what_no_change_of_a_neuron_explains_is_said_to_be_so() -> None:
    module = two(leaky)
    captured = capture(module, EXAMPLE)
    layer = next(node for node in captured.graph.nodes if isinstance(node, Affine))
    wrong = replace(captured, graph=captured.graph.replace_node(replace(layer, weight=-np.asarray(layer.weight))))
    result = probe(module, wrong, EXAMPLE, execute)
    assert result.explanation == "no single change of reset, comparison, decay, gain or start explains it"
    twice = spoilt(captured, reset_delay=0, decay_v=0.9)
    assert "matches" not in probe(module, twice, EXAMPLE, execute).explanation


def test_equal_ones_are_not_explained() -> None:
    module = two(leaky)
    result = probe(module, capture(module, EXAMPLE), EXAMPLE, execute)
    assert (result.explanation, result.first_difference) == ("", "")
    assert result.text.startswith("states differ by")


def network(*layers: Any, shape: tuple[int, ...]) -> Graph:
    nodes = (Input("input", shape), *layers, Readout("output"))
    edges = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    return Graph(nodes, edges)


def test_the_negative_drive_of_spikes_uses_inputs_that_inhibit() -> None:
    weight = np.array([[1.0, -2.0, 0.5], [1.0, 1.0, -0.75]])
    dense = network(Affine("fc", weight), Neuron("lif", (2,)), shape=(3,))
    mask = inhibiting_inputs(dense)
    assert mask is not None
    assert mask.tolist() == [False, True, True]
    made = drives(np.zeros((2, 5, 3)), analog=False, inhibiting=mask)["negative"]
    assert made[..., 0].max() == 0
    assert set(np.unique(made)) == {0.0, 1.0}
    assert "negative" not in drives(np.zeros((2, 5, 3)), analog=False, inhibiting=np.zeros(3, bool))
    flat = network(Flatten("flat"), Affine("fc", weight), Neuron("lif", (2,)), shape=(3, 1))
    flat_mask = inhibiting_inputs(flat)
    assert flat_mask is not None
    assert flat_mask.tolist() == [[False], [True], [True]]
    kernel = np.stack([np.full((1, 2), -1.0), np.full((1, 2), 1.0)], axis=1)
    image = network(Conv("conv", kernel), Neuron("lif", (1, 3)), shape=(2, 4))
    image_mask = inhibiting_inputs(image)
    assert image_mask is not None
    assert image_mask.tolist() == [[True] * 4, [False] * 4]
    assert inhibiting_inputs(network(Neuron("lif", (3,)), shape=(3,))) is None
