"""What every stateful spiking module shares: how its state starts, and what it is in a graph."""

from __future__ import annotations

from typing import Any

import torch

from snnc.ir import Neuron


class SpikingModule(torch.nn.Module):
    """A module with state that computes one step per call; capture takes it as a leaf.

    State lives in the plain attributes named in ``STATES``: None before the first step, then a tensor [B, *shape].
    It is neither in ``state_dict`` nor carried into copies and pickles: a copy starts from rest.
    """

    STATES = ()  # type: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        """Forgets the state; the next step starts from rest, with whatever batch size it is given."""
        for name in self.STATES:
            setattr(self, name, None)

    def node(self, name: str, shape: tuple[int, ...] | None = None) -> Neuron:
        """The population in a graph, in float64. ``shape`` is per sample; by default the module's own."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(self.__dict__)
        kept.update(dict.fromkeys(self.STATES))
        return kept


def reset_states(module: torch.nn.Module) -> None:
    """Resets every spiking module inside ``module`` (and itself)."""
    for part in module.modules():
        if isinstance(part, SpikingModule):
            part.reset()
