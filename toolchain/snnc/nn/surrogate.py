"""The spike: a step function forward, a smooth pseudo-derivative backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from snnc.errors import ModelError

Derivative = Callable[[torch.Tensor, float], torch.Tensor]


def atan(distance: torch.Tensor, slope: float) -> torch.Tensor:
    """``(slope/2) / (1 + (pi/2 * slope * d)^2)``, the derivative of ``atan(pi/2 * slope * d) / pi``."""
    return slope / 2 / (1 + (math.pi / 2 * slope * distance) ** 2)


def fast_sigmoid(distance: torch.Tensor, slope: float) -> torch.Tensor:
    """``1 / (1 + slope * |d|)^2``, the derivative of ``d / (1 + slope * |d|)``."""
    return 1 / (1 + slope * distance.abs()) ** 2


def triangle(distance: torch.Tensor, slope: float) -> torch.Tensor:
    """``max(0, 1 - slope * |d|)``."""
    return (1 - slope * distance.abs()).clamp_min(0)


SURROGATES: dict[str, tuple[Derivative, float]] = {
    "atan": (atan, 2.0),
    "fast_sigmoid": (fast_sigmoid, 10.0),
    "triangle": (triangle, 1.0),
}
"""Name -> (derivative, slope used when none is given)."""


def chosen(name: str, slope: float | None) -> tuple[Derivative, float]:
    """The derivative of this name and its slope.

    Raises:
        ModelError: no such surrogate, or a slope that is not positive.
    """
    if name not in SURROGATES:
        raise ModelError(f"surrogate is {name!r}, allowed are {', '.join(sorted(SURROGATES))}")
    derivative, usual = SURROGATES[name]
    value = usual if slope is None else float(slope)
    if not (math.isfinite(value) and value > 0):
        raise ModelError(f"slope of the surrogate {name} is {slope}, allowed is a finite number > 0")
    return derivative, value


class Spike(torch.autograd.Function):
    """``fired`` as 0 or 1 forward; ``derivative(distance) * gradient`` backward to ``distance = v - threshold``.

    The comparison is handed in, so that it is the comparison of v and threshold themselves, not of a difference.
    """

    @staticmethod
    def forward(
        ctx: Any, distance: torch.Tensor, fired: torch.Tensor, derivative: Derivative, slope: float
    ) -> torch.Tensor:
        """Spikes in the dtype of ``distance``."""
        ctx.save_for_backward(distance)
        ctx.derivative, ctx.slope = derivative, slope
        return fired.to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """The pseudo-gradient of the distance."""
        (distance,) = ctx.saved_tensors
        return gradients[0] * ctx.derivative(distance, ctx.slope), None, None, None


def spike(distance: torch.Tensor, fired: torch.Tensor, derivative: Derivative, slope: float) -> torch.Tensor:
    """Spikes with a pseudo-gradient; see :class:`Spike`."""
    out = Spike.apply(distance, fired, derivative, slope)  # type: ignore[no-untyped-call]
    assert isinstance(out, torch.Tensor)
    return out
