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


def one_step(module: nn.Module) -> int | None:  # noqa: ARG001 - a time_axis function
    """The time axis of a module that takes one step per call: none."""
    return None


def never(module: nn.Module) -> bool:  # noqa: ARG001 - a predicate of modules
    """False for every module."""
    return False


@dataclass(frozen=True)
class Layer:
    """A module without state.

    Attributes:
        node: makes the node (named like the path), or several that follow each other, or raises UnsupportedError.
        over_time: the module treats leading axes alike, so that it may be given [B, T, ...] at once.
        needs_binary: the node depends on whether the input is known to hold only 0 and 1.
        time_axis: position of the time axis if the module takes all steps in one call (0: [T, B, ...]), else None.
        inherits: methods that a subclass must leave as they are, or the adapter does not speak for it.
    """

    node: Callable[[nn.Module, Site], Node | tuple[Node, ...]]
    over_time: bool = False
    needs_binary: bool = False
    time_axis: Callable[[nn.Module], int | None] = one_step
    inherits: tuple[str, ...] = ("forward",)


@dataclass(frozen=True)
class Cell:
    """A neuron module: one step per call, or all steps in one; spikes are its first (or only) output.

    Attributes:
        node: (module, name, shape) -> the population, or raises UnsupportedError.
        reset: puts the module's state to rest.
        memory: the tensors that it keeps between calls.
        states: (module, input of the step, spikes of the step) -> ``v`` and ``u`` after a step, as Trace defines
            them: v after the reset, u as the update used it.
        state_args: names of the state arguments, in their order after the input.
        returns: names of the states returned after the spikes; None: those of ``state_args``.
        spikes_arg: the state argument that takes the spikes of the step before; empty if there is none.
        time_axis: as for :class:`Layer`.
        sequence: for modules that take all steps in one call: (module, input, spikes) -> states as above, with the
            time axis of the spikes; called after the run, which began at rest. None: no state is compared.
        before: makes the node through which the input passes first, or None.
        recurrent: makes the node through which the module feeds its own spikes of the step before to itself.
        inherits: as for :class:`Layer`.
        several: the module sends counts, several spikes a step, or -1 beside 1.
        graded: the module sends its membrane and never spikes; ``states`` need not give ``v``.
        restarts: a call that is given no state starts at rest, whatever was before.
    """

    node: Callable[[nn.Module, str, Shape], Neuron]
    reset: Callable[[nn.Module], None]
    memory: Callable[[nn.Module], States]
    states: Callable[[nn.Module, torch.Tensor, torch.Tensor], States]
    state_args: tuple[str, ...] = ()
    returns: tuple[str, ...] | None = None
    spikes_arg: str = ""
    time_axis: Callable[[nn.Module], int | None] = one_step
    sequence: Callable[[nn.Module, torch.Tensor, torch.Tensor], States] | None = None
    before: Callable[[nn.Module, Site], Node | None] | None = None
    recurrent: Callable[[nn.Module, Site], Node | None] | None = None
    inherits: tuple[str, ...] = ("forward",)
    several: Callable[[nn.Module], bool] = never
    graded: Callable[[nn.Module], bool] = never
    restarts: bool = False

    @property
    def returned_states(self) -> tuple[str, ...]:
        """Names of the states behind the spikes in what a call returns."""
        return self.state_args if self.returns is None else self.returns


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
