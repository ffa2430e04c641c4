"""Rung 1: a torch module in float64 and its captured graph send the same spikes. Each case has a wrong twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from snnc.capture import Captured, capture, probe
from snnc.capture.probe import drives
from snnc.ir import Affine, Concat, Conv, Flatten, Graph, Identity, Neuron, Pool, Scale
from snnc.nn import LIF, CubaLIF, Recurrent
from snnc_reference.execute import execute

torch.set_num_threads(1)
STEPS = 9


def example(*shape: int, analog: bool = False) -> np.ndarray:
    rng = np.random.default_rng(3)
    full = (3, STEPS, *shape)
    return rng.standard_normal(full) if analog else (rng.random(full) < 0.5).astype(np.int8)


def trained(module: nn.Module, seed: int = 7) -> nn.Module:
    """Weights that make every layer fire, and running statistics that are not the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        for name, tensor in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            if isinstance(part, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                tensor.data = torch.randn(tensor.shape, generator=generator) * (0.7 if name == "weight" else 0.3)
            elif isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)) and tensor.is_floating_point():
                tensor.data = torch.rand(tensor.shape, generator=generator) + 0.5
    return module


def check(module: nn.Module, samples: np.ndarray) -> Captured:
    captured = capture(module, samples)
    result = probe(module, captured, samples, execute)
    assert result.equal, result
    assert result.first_difference == ""
    spikes = execute(captured.graph, samples).spikes
    for name in captured.populations:
        assert 0.01 < spikes[name].mean() < 0.99, f"{name} hardly tests anything: rate {spikes[name].mean()}"
    return captured


def caught(module: nn.Module, captured: Captured, wrong: Graph, samples: np.ndarray) -> bool:
    result = probe(module, replace(captured, graph=wrong), samples, execute)
    return not result.equal


def changed(graph: Graph, kind: type[Any], change: Callable[[Any], dict[str, Any]]) -> Graph:
    node = next(n for n in graph.nodes if isinstance(n, kind))
    return graph.replace_node(replace(node, **change(node)))


class Residual(nn.Module):
    def __init__(self, style: str) -> None:
        super().__init__()
        self.first, self.inner, self.outer = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5)
        self.lif1, self.lif2, self.style = LIF(5), LIF(5, reset="subtract"), style

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spikes = self.lif1(self.first(x))
        y = self.inner(spikes)
        if self.style == "operator":
            y = y + spikes
        elif self.style == "torch":
            y = torch.add(y, spikes)
        elif self.style == "sum":
            y = sum([y, spikes])
        else:
            y += spikes
        return self.lif2(self.outer(y))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 2, 3), nn.Conv2d(2, 1, 3)
        self.lif = LIF()
        self.fc, self.out = nn.Linear(3 * 9, 4), LIF(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([self.left(x), self.right(x)], dim=1)
        return self.out(self.fc(self.lif(joined).view(x.size(0), -1)))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif, self.fc, self.out = nn.Conv2d(1, 2, 3), LIF(), nn.Linear(2 * 2 * 2, 3), LIF(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = self.lif(F.max_pool2d(self.conv(x), 2))
        s = torch.flatten(F.dropout(s, 0.5, self.training), 1)
        return self.out(F.linear(s, self.fc.weight, self.fc.bias) * 2 - 0.25)


def sequential(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def flip(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda node: {name: -getattr(node, name)}


CASES: dict[str, tuple[Callable[[], nn.Module], np.ndarray, type[Any], Callable[[Any], dict[str, Any]]]] = {
    "linear": (lambda: sequential(nn.Linear(6, 5), LIF(5)), example(6), Affine, flip("weight")),
    "linear-bias": (lambda: sequential(nn.Linear(6, 5), LIF(5)), example(6), Affine, lambda n: {"bias": None}),
    "cuba": (
        lambda: sequential(nn.Linear(6, 5), CubaLIF(5, reset="subtract")), example(6), Neuron,
        lambda n: {"decay_u": np.asarray(n.decay_v), "decay_v": np.asarray(n.decay_u)},
    ),
    "subtract": (
        lambda: sequential(nn.Linear(6, 5), LIF(5, reset="subtract")), example(6), Neuron,
        lambda n: {"reset_v": "zero"},
    ),
    "learned": (
        lambda: sequential(nn.Linear(6, 5), LIF(5, decay=0.7, learn_decay=True, learn_threshold=True)), example(6),
        Neuron, lambda n: {"decay_v": np.asarray(n.decay_v) + 1e-6},
    ),
    "analog": (lambda: sequential(nn.Linear(6, 5), LIF(5)), example(6, analog=True), Affine, flip("weight")),
    "weight-norm": (
        lambda: sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), LIF(5, threshold=0.3)), example(6),
        Affine, lambda n: {"weight": np.asarray(n.weight) * 1.0001},
    ),
    "conv1d": (
        lambda: sequential(nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2), LIF()), example(2, 9), Conv,
        lambda n: {"weight": np.asarray(n.weight)[..., ::-1]},
    ),
    "conv2d-dilated": (
        lambda: sequential(nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1)), LIF()),
        example(2, 5, 6), Conv, lambda n: {"weight": np.asarray(n.weight)[:, :, ::-1]},
    ),
    "conv2d-groups": (
        lambda: sequential(nn.Conv2d(4, 4, 3, groups=2, bias=False), LIF()), example(4, 5, 5), Conv,
        lambda n: {"weight": np.asarray(n.weight)[:, ::-1]},
    ),
    "conv2d-same": (
        lambda: sequential(nn.Conv2d(1, 2, 3, padding="same", dilation=2), LIF()), example(1, 5, 5), Conv,
        lambda n: {"dilation": (1, 1), "padding": (1, 1)},
    ),
    "conv2d-valid": (
        lambda: sequential(nn.Conv2d(1, 2, 3, padding="valid"), LIF()), example(1, 5, 5), Conv,
        lambda n: {"bias": None},
    ),
    "batchnorm1d": (
        lambda: sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), LIF(5)), example(6), Scale,
        lambda n: {"shift": np.zeros(())},
    ),
    "batchnorm2d": (
        lambda: sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3, eps=0.1), LIF()), example(1, 5, 5), Scale,
        lambda n: {"gain": np.asarray(n.gain) * 1.001},
    ),
    "batchnorm-plain": (
        lambda: sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3, affine=False), LIF(threshold=0.3)), example(2, 7),
        Scale,
        lambda n: {"gain": np.ones(())},
    ),
    "avgpool2d": (
        lambda: sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2, stride=1, padding=1), LIF()), example(1, 5, 5), Pool,
        lambda n: {"pooling": "sum"},
    ),
    "avgpool1d": (
        lambda: sequential(nn.Conv1d(1, 2, 3), nn.AvgPool1d(3), LIF()), example(1, 11), Pool,
        lambda n: {"pooling": "max"},
    ),
    "maxpool2d": (
        lambda: sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), LIF()), example(1, 6, 6), Pool,
        lambda n: {"pooling": "avg"},
    ),
    "maxpool2d-padded-spikes": (
        lambda: sequential(nn.Conv2d(1, 2, 3), LIF(), nn.MaxPool2d(2, padding=1), nn.Conv2d(2, 3, 2), LIF()),
        example(1, 7, 7), Pool, lambda n: {"pooling": "sum"},
    ),
    "maxpool1d-ceil-exact": (
        lambda: sequential(nn.Conv1d(1, 2, 3), nn.MaxPool1d(2, ceil_mode=True), LIF()), example(1, 8), Pool,
        lambda n: {"pooling": "sum"},
    ),
    "flatten-dropout-identity": (
        lambda: sequential(
            nn.Conv2d(1, 2, 3), LIF(), nn.Dropout2d(), nn.Identity(), nn.Flatten(), nn.Linear(18, 4), LIF(4)
        ),
        example(1, 5, 5), Affine, flip("weight"),
    ),
    "recurrent": (
        lambda: sequential(nn.Linear(6, 5), Recurrent(LIF(5), nn.Linear(5, 5))), example(6), Neuron,
        lambda n: {"reset_v": "subtract"},
    ),
    "residual": (lambda: Residual("operator"), example(5), Affine, flip("weight")),
    "branches": (Branches, example(2, 5, 5), Conv, lambda n: {"bias": None}),
    "functional": (Functional, example(1, 6, 6), Scale, lambda n: {"gain": np.ones(())}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_graph_sends_the_modules_spikes(name: str) -> None:
    build, samples, kind, change = CASES[name]
    module = trained(build())
    captured = check(module, samples)
    wrong = changed(captured.graph, kind, change)
    assert caught(module, captured, wrong, samples), f"a wrong {kind.__name__} is not noticed"


@pytest.mark.parametrize("style", ["torch", "sum", "in-place"])
def test_every_way_to_write_a_residual_is_the_same_graph(style: str) -> None:
    one, other = trained(Residual("operator")), trained(Residual(style))
    assert capture(one, example(5)).graph.digest == capture(other, example(5)).graph.digest
    check(other, example(5))


def test_the_missing_branch_of_a_residual_is_noticed() -> None:
    module = trained(Residual("operator"))
    captured = check(module, example(5))
    add = next(node.name for node in captured.graph.nodes if node.kind == "add")
    kept = [e for e in captured.graph.edges if (e.source, e.target) != ("lif1", add)]
    assert caught(module, captured, captured.graph.with_nodes(captured.graph.nodes, kept), example(5))


def test_the_order_of_a_concatenation_is_noticed() -> None:
    module = trained(Branches())
    module.right = trained(nn.Conv2d(2, 2, 3), seed=8)
    module.fc = trained(nn.Linear(36, 4))
    captured = check(module, example(2, 5, 5))
    joins = [n for n in captured.graph.nodes if isinstance(n, Concat)]
    assert [e.source for e in captured.graph.incoming(joins[0].name)] == ["left", "right"]
    assert caught(module, captured, captured.graph.with_nodes(captured.graph.nodes, captured.graph.edges[::-1]),
                  example(2, 5, 5))  # fmt: skip


def test_another_delay_of_a_recurrent_edge_is_noticed() -> None:
    module = trained(nn.Sequential(nn.Linear(6, 5), Recurrent(LIF(5), nn.Linear(5, 5))))
    captured = check(module, example(6))
    edges = [replace(e, delay=2) if e.delay else e for e in captured.graph.edges]
    assert edges != list(captured.graph.edges)
    assert caught(module, captured, captured.graph.with_nodes(captured.graph.nodes, edges), example(6))


@pytest.mark.parametrize("fires", ["ge", "gt"])
def test_the_comparison_is_noticed(fires: str) -> None:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[0.5, 0.5], [0.5, -0.25]])
    module = nn.Sequential(layer, LIF(2, decay=1.0, fires=fires))
    captured = check(module, example(2))
    other = {"fires": "gt" if fires == "ge" else "ge"}
    assert caught(module, captured, changed(captured.graph, Neuron, lambda n: other), example(2))


def test_layers_become_the_nodes_that_they_are() -> None:
    captured = capture(CASES["flatten-dropout-identity"][0](), example(1, 5, 5))
    kinds = {node.name: node.kind for node in captured.graph.nodes}
    assert kinds == {"input": "input", "conv2d0": "conv", "lif1": "neuron", "dropout2d2": "identity",
                     "identity3": "identity", "flatten4": "flatten",
                     "linear5": "affine", "lif6": "neuron", "output": "readout"}  # fmt: skip
    origins = [n.origin for n in captured.graph.nodes if isinstance(n, Identity)]
    assert origins == ["dropout", "identity"]
    assert any(isinstance(n, Flatten) for n in captured.graph.nodes)
    assert captured.graph.inputs[0].encoding == "spikes"
    assert captured.graph.output is not None
    assert captured.graph.output.name == "lif6"
    assert dict(captured.populations) == {"lif1": "1", "lif6": "6"}
    assert capture(CASES["analog"][0](), example(6, analog=True)).graph.inputs[0].encoding == "direct"


def test_parameters_are_the_trained_float32_exactly() -> None:
    module = trained(nn.Sequential(nn.Linear(6, 5), LIF(5)))
    node = capture(module, example(6)).graph["linear0"]
    assert isinstance(node, Affine)
    assert np.array_equal(np.asarray(node.weight), module[0].weight.detach().numpy().astype(np.float64))


def test_the_difference_is_told_with_both_membranes() -> None:
    module = trained(nn.Sequential(nn.Linear(6, 5), LIF(5)))
    captured = capture(module, example(6))
    wrong = replace(captured, graph=changed(captured.graph, Affine, flip("weight")))
    result = probe(module, wrong, example(6), execute)
    assert result.differing > 0
    assert "drive 'samples', step 0, population lif1" in result.first_difference
    assert "v torch" in result.first_difference
    assert result.compared == 5 * STEPS * (3 + 4 + 4 + 4 + 4)


def test_a_state_that_differs_without_a_spike_that_differs_is_noticed() -> None:
    module = trained(nn.Sequential(nn.Linear(6, 5), LIF(5, reset="none", threshold=1e6)))
    captured = capture(module, example(6))
    wrong = replace(captured, graph=changed(captured.graph, Affine, lambda n: {"weight": np.asarray(n.weight) + 0.01}))
    result = probe(module, wrong, example(6), execute)
    assert result.differing == 0
    assert result.worst_state_error > 1e-9
    assert not result.equal


def test_our_own_drives_show_what_samples_do_not() -> None:
    quiet = np.zeros((2, STEPS, 6), dtype=np.int8)
    assert set(drives(quiet, analog=False)) == {"samples", "silent", "random", "strong"}
    assert set(drives(quiet, analog=True)) == {"samples", "silent", "random", "strong", "negative"}
    module = trained(nn.Sequential(nn.Linear(6, 5, bias=False), LIF(5)))
    captured = capture(module, quiet)
    wrong = replace(captured, graph=changed(captured.graph, Affine, flip("weight")))
    result = probe(module, wrong, quiet, execute)
    assert "drive 'random'" in result.first_difference
