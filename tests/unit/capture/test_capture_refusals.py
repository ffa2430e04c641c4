"""What a graph cannot say is refused: path, type or option, and what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from snnc.capture import capture, probe, torch_trace
from snnc.capture.adapters import Layer, Site, adapter_for, register, unregister
from snnc.errors import GraphError, ModelError, UnsupportedError
from snnc.ir import Affine, Identity, Node
from snnc.nn import LIF
from snnc_reference.execute import execute

torch.set_num_threads(1)


def example(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).random((2, 5, *shape)) < 0.5).astype(np.int8)


def net(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, LIF())


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "relu": (
        lambda: net(nn.Linear(3, 2), nn.ReLU()), (3,), r"1: module type is torch\S*ReLU.*put a neuron in its place",
    ),
    "lstm": (lambda: net(nn.LSTM(3, 2)), (3,), r"0: module type is torch\S*LSTM.*Gated units"),
    "layer-norm": (lambda: net(nn.LayerNorm(3)), (3,), r"0: module type is torch\S*LayerNorm.*use BatchNorm"),
    "batch-statistics": (
        lambda: net(nn.BatchNorm1d(3, track_running_stats=False)), (3,), "0: running statistics is absent",
    ),
    "same-even": (lambda: net(nn.Conv1d(1, 1, 2, padding="same")), (1, 5), "0: padding is 'same' with kernel .2,."),
    "reflect": (
        lambda: net(nn.Conv1d(1, 1, 3, padding_mode="reflect", padding=1)), (1, 5), "0: padding_mode is reflect",
    ),
    "ceil": (lambda: net(nn.MaxPool1d(2, ceil_mode=True)), (1, 5), r"0: ceil_mode is \(3,\), allowed is \(2,\)"),
    "ceil-average": (lambda: net(nn.AvgPool2d(2, ceil_mode=True)), (1, 5, 4), "0: ceil_mode"),
    "dilated-pool": (lambda: net(nn.MaxPool1d(2, dilation=2)), (1, 6), "0: dilation is 2, allowed is 1"),
    "pad-count": (
        lambda: net(nn.AvgPool1d(2, padding=1, count_include_pad=False)), (1, 6), "0: count_include_pad is False",
    ),
    "divisor": (lambda: net(nn.AvgPool2d(2, divisor_override=3)), (1, 4, 4), "0: divisor_override is 3, allowed is 4"),
    "negative-padding": (
        lambda: net(nn.Conv1d(1, 1, 3), nn.MaxPool1d(2, padding=1)), (1, 8), "1: padding is .*may be negative",
    ),
    "unflattened": (lambda: net(nn.Linear(4, 2)), (3, 4), r"0: input shape is \(3, 4\).*Flatten before"),
    "partly-flat": (lambda: net(nn.Flatten(2)), (2, 3, 4), r"0: reshape is \(2, 3, 4\) to \(2, 12\)"),
    "batch-flat": (lambda: net(nn.Flatten(0)), (3,), "0 changes the batch axis"),
    "unflatten": (lambda: net(nn.Unflatten(1, (1, 4))), (4,), r"0: module type is torch\S*Unflatten"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_no_node_can_say(name: str) -> None:
    build, shape, message = LAYERS[name]
    with pytest.raises(UnsupportedError, match=message) as caught:
        capture(build(), example(*shape))
    assert caught.value.exit_code == 3


def test_no_neuron_at_all() -> None:
    with pytest.raises(UnsupportedError, match=r"0, which are not spikes. End the model with a neuron"):
        capture(nn.Sequential(nn.Linear(3, 2)), example(3))


def test_a_linear_layer_after_the_last_neuron() -> None:
    with pytest.raises(UnsupportedError, match=r"the model returns linear2, which are not spikes"):
        capture(nn.Sequential(nn.Linear(3, 2), LIF(2), nn.Linear(2, 2)), example(3))


def test_numbers_that_are_none() -> None:
    module = net(nn.Linear(3, 2))
    module[0].bias.data[1] = float("nan")
    with pytest.raises(ModelError, match=r"the model: 0.bias is NaN or infinite in 1 of 2 places"):
        capture(module, example(3))


def test_a_threshold_that_is_none() -> None:
    module = net(nn.Linear(3, 2))
    module[1].thresholds.value.fill_(0)
    with pytest.raises(GraphError, match=r"1: threshold is 0, allowed is > 0"):
        capture(module, example(3))


@pytest.mark.parametrize("bad", [np.ones((5, 3)), np.ones((0, 5, 3)), np.full((1, 5, 3), np.nan), np.array(["a"])])
def test_examples_that_are_none(bad: np.ndarray) -> None:
    with pytest.raises(ModelError, match="the example"):
        capture(net(nn.Linear(3, 2)), bad)


def test_a_thing_that_is_no_module() -> None:
    with pytest.raises(ModelError, match=r"takes a torch.nn.Module, not function"):
        capture(lambda x: x, example(3))  # type: ignore[arg-type]


def test_samples_of_another_shape_are_told() -> None:
    module = net(nn.Linear(3, 2))
    captured = capture(module, example(3))
    with pytest.raises(ModelError, match=r"the samples are \(2, 5, 4\), allowed is \[B, T, \*\(3,\)\]"):
        probe(module, captured, example(4), execute)


class Doubled(nn.Linear):
    """Inherits a layer but computes something else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class Named(nn.Linear):
    """Inherits a layer and its forward."""


def test_a_subclass_with_its_own_forward_is_looked_into() -> None:
    assert adapter_for(Doubled(3, 2)) is None
    assert adapter_for(Named(3, 2)) is not None
    module = net(Doubled(3, 2))
    module[0].weight.data *= 3
    captured = capture(module, example(3))
    assert [node.kind for node in captured.graph.nodes] == ["input", "affine", "scale", "neuron", "readout"]
    assert probe(module, captured, example(3), execute).equal
    plain = replace(captured.graph["scale"], gain=np.ones(()))
    wrong = replace(captured, graph=captured.graph.replace_node(plain))
    assert not probe(module, wrong, example(3), execute).equal


class Halve(nn.Module):
    """A module of a stranger that capture cannot read: it leaves torch for NumPy."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.numpy() / 2)


@pytest.fixture
def halve() -> Iterator[None]:
    def node(module: nn.Module, site: Site) -> Node:
        size = site.given[0]
        return Affine(site.path, np.eye(size) / 2)

    register(f"{__name__}.Halve", Layer(node))
    yield
    unregister(f"{__name__}.Halve")


@pytest.mark.usefixtures("halve")
def test_strangers_register_adapters() -> None:
    module = net(nn.Linear(3, 2), Halve())
    module[0].weight.data *= 5
    captured = capture(module, example(3))
    assert captured.graph["halve1"].kind == "affine"
    assert probe(module, captured, example(3), execute).equal
    wrong = replace(captured, graph=captured.graph.replace_node(Affine("halve1", np.eye(2))))
    assert not probe(module, wrong, example(3), execute).equal


def test_without_the_adapter_it_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"in 1 \(Halve\): Python asks for the value of data"):
        capture(net(nn.Linear(3, 2), Halve()), example(3))


def test_names_are_paths_and_never_clash() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input, self.output, self.a_b = nn.Linear(3, 3), LIF(3), LIF(3)
            self.a = nn.ModuleDict({"b": LIF(3)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a["b"](self.a_b(self.output(self.input(self.input(x)))))

    captured = capture(Block(), example(3))
    assert dict(captured.populations) == {"output_2": "output", "a_b": "a_b", "a_b_2": "a.b"}
    assert [n.name for n in captured.graph.nodes] == [
        "input", "input_2", "input_3", "output_2", "a_b", "a_b_2", "output",
    ]  # fmt: skip


def test_the_model_may_be_one_neuron() -> None:
    module = LIF(3)
    captured = capture(module, example(3))
    assert dict(captured.populations) == {"lif": ""}
    assert probe(module, captured, example(3), execute).equal


def test_a_population_that_drops_steps_is_noticed_by_the_trace() -> None:
    class Gapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif, self.limit = nn.Linear(3, 2), LIF(2), 5

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.lif.reset()
            return torch.stack([self.lif(self.fc(x[:, t])) for t in range(min(self.limit, x.shape[1]))], 1)

    module = Gapped()
    captured = capture(module, example(3))
    with pytest.raises(ModelError, match="lif: the module calls it 5 times for 8 steps"):
        torch_trace(module, captured, np.ones((1, 8, 3)))


def test_dropout_that_stays_active_is_refused() -> None:
    class Wild(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = LIF(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif(nn.functional.dropout(x, 0.5))

    with pytest.raises(UnsupportedError, match="dropout that is active although the model is in eval mode"):
        capture(Wild(), example(3))


def test_dropout_modules_are_identities() -> None:
    captured = capture(net(nn.Dropout(0.9)), example(3))
    node = captured.graph["dropout0"]
    assert isinstance(node, Identity)
    assert node.origin == "dropout"
