"""The backward pass: surrogates are the derivatives they claim to be, and gradients take the documented paths."""

from __future__ import annotations

import math

import pytest
import torch

from snnc.nn import LIF
from snnc.nn.surrogate import SURROGATES, spike

PRIMITIVES = {
    "atan": lambda d, slope: torch.atan(math.pi / 2 * slope * d) / math.pi,
    "fast_sigmoid": lambda d, slope: d / (1 + slope * d.abs()),
    "triangle": lambda d, slope: torch.where(
        d.abs() < 1 / slope, d - slope * d * d.abs() / 2, torch.sign(d) / (2 * slope)
    ),
}


def surrogate_gradient(name: str, slope: float, distance: torch.Tensor) -> torch.Tensor:
    given = distance.clone().requires_grad_()
    spike(given, given.detach() >= 0, SURROGATES[name][0], slope).sum().backward()
    assert given.grad is not None
    return given.grad


def primitive_gradient(name: str, slope: float, distance: torch.Tensor) -> torch.Tensor:
    given = distance.clone().requires_grad_()
    PRIMITIVES[name](given, slope).sum().backward()
    assert given.grad is not None
    return given.grad


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("slope", [0.5, 2.0, 10.0])
def test_backward_is_the_derivative_of_the_primitive(name, slope):
    distance = torch.linspace(-1.5, 1.5, 100, dtype=torch.float64)
    assert torch.autograd.gradcheck(PRIMITIVES[name], (distance.clone().requires_grad_(), slope))
    torch.testing.assert_close(surrogate_gradient(name, slope, distance), primitive_gradient(name, slope, distance))
    other = surrogate_gradient(name, slope * 1.1, distance)
    assert not torch.allclose(other, primitive_gradient(name, slope, distance))


def test_forward_is_the_step_and_obeys_the_comparison_handed_in():
    distance = torch.tensor([-1.0, 0.0, 1.0])
    derivative, slope = SURROGATES["atan"]
    assert spike(distance, distance >= 0, derivative, slope).tolist() == [0, 1, 1]
    assert spike(distance, distance > 0, derivative, slope).tolist() == [0, 0, 1]


@pytest.mark.parametrize("name", SURROGATES)
def test_two_steps_by_hand(name):
    """d(s1 + s2)/dx1 through leak and reset, for every reset and with the reset detached."""
    decay, threshold, slope = 0.5, 1.0, 1.5
    derivative = SURROGATES[name][0]
    for reset in ("zero", "subtract", "none"):
        for detach in (False, True):
            x1 = torch.tensor([[1.2]], dtype=torch.float64, requires_grad=True)
            x2 = torch.tensor([[0.7]], dtype=torch.float64)
            module = LIF(
                decay=decay, threshold=threshold, reset=reset, surrogate=name, slope=slope, reset_detach=detach
            )
            (module(x1) + module(x2)).sum().backward()
            g1 = derivative(x1.detach() - threshold, slope)
            through = {"zero": 0.0 - (0 if detach else 1.2 * g1), "subtract": 1 - (0 if detach else g1), "none": 1.0}
            after = {"zero": 0.0, "subtract": 0.2, "none": 1.2}[reset]
            g2 = derivative(decay * torch.tensor([[after]], dtype=torch.float64) + x2 - threshold, slope)
            torch.testing.assert_close(x1.grad, g1 + g2 * decay * through[reset])


def test_gradients_reach_every_learnable_value():
    module = LIF(4, decay=torch.full((4,), 0.8), learn_decay=True, learn_threshold=True)
    x = torch.rand(3, 4, requires_grad=True)
    sum(module(x) for _ in range(5)).sum().backward()
    for parameter in module.parameters():
        assert (parameter.grad != 0).any()
    assert (x.grad != 0).all()
