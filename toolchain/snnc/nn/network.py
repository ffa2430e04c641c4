"""Recurrence and time: what turns single-step modules into a network over a sequence."""

from __future__ import annotations

import torch

from snnc.errors import ModelError
from snnc.ir import Neuron
from snnc.nn.base import SpikingModule, reset_states


class Recurrent(SpikingModule):
    """A population that also receives its own spikes of the step before: ``s[t] = neuron(x[t] + linear(s[t-1]))``.

    s before the first step is 0, so a bias of ``linear`` acts from the first step on. In a graph the loop is the
    edge ``neuron -> linear`` with delay 1 and ``linear -> neuron`` with delay 0.

    Args:
        neuron: a spiking module such as :class:`~snnc.nn.LIF`.
        linear: maps spikes [B, *shape] to currents [B, *shape].
    """

    STATES = ("s",)
    s: torch.Tensor | None

    def __init__(self, neuron: SpikingModule, linear: torch.nn.Module) -> None:
        super().__init__()
        if not isinstance(neuron, SpikingModule):
            raise ModelError(f"Recurrent takes a spiking module, not {type(neuron).__name__}")
        self.neuron = neuron
        self.linear = linear

    def reset(self) -> None:
        """Forgets the last spikes and the neuron's state."""
        super().reset()
        neuron = self._modules.get("neuron") if hasattr(self, "_modules") else None
        if isinstance(neuron, SpikingModule):
            neuron.reset()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One step, [B, *shape] -> [B, *shape]."""
        if self.s is None or (self.s.shape, self.s.dtype, self.s.device) != (x.shape, x.dtype, x.device):
            self.reset()
            self.s = torch.zeros_like(x)
        s = self.neuron(x + self.linear(self.s))
        assert isinstance(s, torch.Tensor)
        self.s = s
        return s

    def node(self, name: str, shape: tuple[int, ...] | None = None) -> Neuron:
        """The population in a graph, without the loop around it."""
        return self.neuron.node(name, shape)


class Sequence(torch.nn.Module):
    """Runs a single-step module over time: x [B, T, ...] -> outputs [B, T, ...].

    All spiking modules inside start from rest at every call, so batches may differ in size.

    Args:
        step: module that maps one step [B, ...] to one step [B, ...].
    """

    def __init__(self, step: torch.nn.Module) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All steps, in order.

        Raises:
            ModelError: x has no time axis or no steps.
        """
        if x.ndim < 2 or x.shape[1] == 0:
            raise ModelError(f"Sequence takes [B, T, ...] with T >= 1, not {tuple(x.shape)}")
        reset_states(self)
        return torch.stack([self.step(x[:, t]) for t in range(x.shape[1])], dim=1)
