"""What SpikingJelly has and no node can say is refused by name, with what to use or write instead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer, neuron, surrogate
from torch import nn

from snnc.capture import capture
from snnc.capture.adapters import adapter_for
from snnc.errors import UnsupportedError

torch.set_num_threads(1)
EXAMPLE = (np.random.default_rng(0).random((2, 4, 6)) < 0.5).astype(np.int8)


class Small(nn.Module):
    """A user's surrogate with a check that fits the numbers it happened to see."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() < 10:
            raise ValueError("too few numbers")
        return (x >= 0).to(x)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "rectified": (neuron.KLIFNode, r"1: module type is spikingjelly\S*KLIFNode.*rectifies the membrane"),
    "complementary": (neuron.ComplementaryLIFNode, "through a sigmoid"),
    "analog": (lambda: neuron.LIAFNode(torch.relu, True), "sends an activation of its membrane"),
    "counts": (neuron.ILIFNode, "sends counts"),
    "votes": (lambda: layer.VotingLayer(2), "Count the spikes of the"),
    "quadratic": (neuron.QIFNode, "no leaky integrator"),
    "resonating": (lambda: neuron.RAFNode(b=-0.1, omega=1.0, dt=1.0), "no leaky integrator"),
    "group-norm": (lambda: layer.GroupNorm(1, 6), "data of the sample itself"),
    "filter": (layer.SynapseFilter, "decay depends on its input"),
    "broken": (lambda: neuron.IFNode(surrogate_function=Small()), "surrogate_function is a function that fails"),
    "primitive": (
        lambda: neuron.IFNode(surrogate_function=surrogate.Sigmoid(spiking=False)),
        "surrogate_function is Sigmoid, allowed is forward x >= 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_name(kind: str) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(UnsupportedError, match=message):
        capture(nn.Sequential(nn.Linear(6, 6), make(), neuron.IFNode()), EXAMPLE)


class Halved(neuron.LIFNode):
    """A user's subclass with another step."""

    def single_step_functional_forward(self, inputs: tuple, states: tuple, **kwargs: object) -> tuple:
        (spike,), (v,) = super().single_step_functional_forward(inputs, states, **kwargs)
        return (spike,), (v / 2,)


class Named(neuron.LIFNode):
    """A user's subclass that changes nothing."""


def test_a_subclass_with_a_step_of_its_own_is_not_taken_for_its_base() -> None:
    assert adapter_for(Named()) is not None
    assert adapter_for(Halved()) is None
    assert adapter_for(neuron.LIAFNode(torch.relu, False)) is None, "it inherits LIFNode.forward"


@pytest.mark.parametrize(
    ("module", "texts"),
    [
        (neuron.KLIFNode(), ("states(module, input, spikes) as in snnc/capture/adapters/spikingjelly.py",
                             "register('spikingjelly.activation_based.neuron.lif_variants.KLIFNode', Cell(")),
        (nn.Softshrink(), ("node(module, site) -> snnc.ir.Node as in snnc/capture/adapters/torch.py",
                           "register('torch.nn.modules.activation.Softshrink', Layer(node))")),
    ],
)  # fmt: skip
def test_the_adapter_to_write_is_named(module: nn.Module, texts: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        capture(nn.Sequential(nn.Linear(6, 6), module, neuron.IFNode()), EXAMPLE)
    for text in texts:
        assert text in str(caught.value)


def test_a_reset_value_per_neuron_is_refused() -> None:
    module = nn.Sequential(nn.Linear(6, 6), neuron.IFNode())
    module[1].set_reset_value("v", torch.zeros(2, 6))
    with pytest.raises(UnsupportedError, match=r"reset value of v is a tensor \(2, 6\), allowed is one number"):
        capture(module, EXAMPLE)
