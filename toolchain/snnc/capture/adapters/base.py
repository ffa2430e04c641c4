"""What an adapter is: how one module type becomes a node, and how its state is read and reset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from snnc.errors import UnsupportedError, Violation
from snnc.ir import Neuron, Node

Shape = tuple[int, ...]
States = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Site:
    """Where a layer stands in the model.

    Attributes:
        path: path of the module, or name of the function.
        given: shape of its input, per sample and step.
        made: shape of its output, per sample and step.
        binary: its input is known to hold only 0 and 1.
    """

    path: str
    given: Shape
    made: Shape
    binary: bool

    def refuse(self, quantity: str, found: object, allowed: object, fix: str = "") -> UnsupportedError:
        """The error for an option that no node can express."""
        violation = Violation(self.path or "the model", quantity, str(found), str(allowed), fix)
        return UnsupportedError(str(violation), violations=())


@dataclass(frozen=True)
class Layer:
    """A module without state.

    Attributes:
        node: makes the node (named like the path) or raises UnsupportedError.
        over_time: the module treats leading axes alike, so that it may be given [B, T, ...] at once.
        needs_binary: the node depends on whether the input is known to hold only 0 and 1.
    """

    node: Callable[[nn.Module, Site], Node]
    over_time: bool = False
    needs_binary: bool = False


@dataclass(frozen=True)
class Cell:
    """A neuron module: one step per call, spikes are its first (or only) output.

    Attributes:
        node: (module, name, shape) -> the population, or raises UnsupportedError.
        reset: puts the module's state to rest.
        memory: the tensors that it keeps between calls.
        states: (module, input of the step, spikes of the step) -> ``v`` and ``u`` after a step, as Trace defines
            them: v after the reset, u as the update used it.
        state_args: names of the state arguments, in their order after the input.
    """

    node: Callable[[nn.Module, str, Shape], Neuron]
    reset: Callable[[nn.Module], None]
    memory: Callable[[nn.Module], States]
    states: Callable[[nn.Module, torch.Tensor, torch.Tensor], States]
    state_args: tuple[str, ...] = ()


Adapter = Layer | Cell


def array(tensor: torch.Tensor) -> npt.NDArray[np.float64]:
    """The tensor's numbers in float64 (float32 fits exactly)."""
    return np.asarray(tensor.detach().cpu().to(torch.float64).numpy())


def per_sample(name: str, quantity: str, tensor: torch.Tensor, shape: Shape) -> npt.NDArray[np.float64]:
    """A parameter that broadcast against [B, *shape], without the axis of length 1 that stood for the batch.

    Raises:
        UnsupportedError: it differs between samples or does not broadcast.
    """
    value = array(tensor)
    if value.ndim == len(shape) + 1 and value.shape[0] == 1:
        value = value[0]
    try:
        fits = np.broadcast_shapes(value.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise UnsupportedError(str(Violation(name, f"{quantity} shape", str(value.shape), f"broadcasts to {shape}")))
    return value
