"""``snnc.nn`` neurons, and any user's :class:`snnc.nn.SpikingModule`: the module itself knows its node."""

from __future__ import annotations

import torch
from torch import nn

from snnc.capture.adapters.base import Cell, Shape, States
from snnc.ir import Neuron
from snnc.nn import SpikingModule


def _node(module: nn.Module, name: str, shape: Shape) -> Neuron:
    assert isinstance(module, SpikingModule)
    return module.node(name, shape)


def _reset(module: nn.Module) -> None:
    assert isinstance(module, SpikingModule)
    module.reset()


def _memory(module: nn.Module) -> States:
    assert isinstance(module, SpikingModule)
    found = {name: getattr(module, name, None) for name in module.STATES}
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}


def _states(module: nn.Module, given: torch.Tensor, spikes: torch.Tensor) -> States:  # noqa: ARG001 - Cell's signature
    return {name: value for name, value in _memory(module).items() if name in ("u", "v")}


_CELL = Cell(_node, _reset, _memory, _states)


def adapter_for(module: nn.Module) -> Cell | None:
    """The adapter if the module is a single population; wrappers such as Recurrent are looked into."""
    if not isinstance(module, SpikingModule):
        return None
    inner = (part for part in module.modules() if part is not module)
    return None if any(isinstance(part, SpikingModule) for part in inner) else _CELL
