"""ReLU networks in torch: modules, functions, methods, one module used twice; what is none is told apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from snnc.anns import witness
from snnc.capture import ann_answers, capture_ann, is_ann
from snnc.conversion import Ann, answers
from snnc.errors import ModelError, NotEquivalentError, UnsupportedError
from snnc.ir import Affine
from snnc.nn import LIF


class Residual(nn.Module):
    """One rectifier for two places, a method, batch normalisation, a sum, a view."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.relu = nn.ReLU(inplace=True)
        self.first, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.second, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(48, 5)
        self.norm.running_mean.uniform_(-1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.norm(self.first(x)))
        z = nn.functional.avg_pool2d(self.relu(self.second(y) + y), 2)
        return self.last(nn.functional.dropout(z.view(z.size(0), -1), training=self.training)).relu()


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(nn.functional.relu(self.b(torch.relu(self.a(x)))))


CASES = {
    "residual": (Residual(), (1, 8, 8), 3),
    "functional": (Functional(), (4,), 2),
    "sequential": (
        nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(9, 4)), (2, 8), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_layers_answer_what_the_module_answers(name: str) -> None:
    module, shape, count = CASES[name]
    assert is_ann(module)
    training = module.training
    ann = capture_ann(module, shape)
    assert len(ann.relus) == count
    values = np.random.default_rng(0).normal(size=(7, *shape))
    rung = witness(ann, lambda x: ann_answers(module, x), values)
    assert rung.passed
    assert rung.compared == 15 * answers(ann, values).shape[1]
    assert module.training == training


def test_a_layer_that_differs_is_caught() -> None:
    """Negative control of the witness: one weight in the tenth digit, and a rectifier that is forgotten."""
    module, shape, _ = CASES["functional"]
    ann = capture_ann(module, shape)
    values = np.random.default_rng(0).normal(size=(7, *shape))
    node = next(n for n in ann.graph.nodes if isinstance(n, Affine))
    weight = np.array(node.weight)
    weight[0, 0] *= 1 + 1e-7
    changed = Ann(ann.graph.replace_node(Affine(node.name, weight, node.bias)))
    forgotten = Ann(ann.graph.without(ann.relus[0].name))
    for wrong in (changed, forgotten):
        with pytest.raises(NotEquivalentError, match="captured layers differ"):
            witness(wrong, lambda x: ann_answers(module, x), values)


@pytest.mark.parametrize(
    "module",
    [nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), LIF(3)), nn.Sequential(nn.Linear(3, 3), nn.ReLU(), LIF(3))],
)
def test_other_networks_are_no_relu_networks(module: nn.Module) -> None:
    assert not is_ann(module)


def test_refusals_say_what_to_do() -> None:
    with pytest.raises(UnsupportedError, match=r"1: activation is Tanh, allowed is ReLU. .*train with ReLU"):
        capture_ann(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.ReLU()), (3,))
    with pytest.raises(UnsupportedError, match=r"2: activation is Softmax.*largest answer"):
        capture_ann(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Softmax(1)), (3,))
    pooled = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(UnsupportedError, match=r"max of activations.*average pooling.*stride 2"):
        capture_ann(pooled, (1, 6, 6))
    with pytest.raises(ModelError, match="a batch of samples without time"):
        capture_ann(CASES["functional"][0], (5,))


class Branching(Functional):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.a(x)) if x.sum() > 0 else self.a(x)


def test_control_flow_over_data_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"cannot be traced.*must not depend on data"):
        capture_ann(Branching(), (4,))
