"""Which step advances which population, and which of its states a trace shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import Atrlif, Conventions, Delta, Input, Neuron, Node, Sigma, SigmaDelta
from snnc_reference import neuron_atrlif, neuron_closed, neuron_euler, neuron_float, neuron_graded, neuron_single

Array = npt.NDArray[Any]
STATEFUL = (Neuron, Atrlif, Sigma, Delta, SigmaDelta)
GRADED = (Sigma, Delta, SigmaDelta)


def sends_numbers(node: Node) -> bool:
    """True for a population whose output is no spikes: a trace shows it as a state, or not at all."""
    if isinstance(node, Input):
        return node.encoding == "direct"
    return isinstance(node, GRADED) or (isinstance(node, Neuron) and node.output == "graded")


def start(node: Node, conventions: Conventions | None, batch: int) -> Any:
    """A population's state before its first step.

    Args:
        node: the population.
        conventions: of the fixed graph; None means float64.
        batch: samples.
    """
    if isinstance(node, (Sigma, Delta)):
        return neuron_graded.start(node, batch)
    if isinstance(node, Atrlif):
        assert conventions is not None
        return neuron_atrlif.start(node, conventions, batch)
    assert isinstance(node, Neuron)
    if conventions is None:
        return neuron_float.start(node, batch)
    if conventions.membrane == "closed_form":
        return neuron_closed.start(node, conventions, batch)
    if conventions.membrane == "float32":
        return neuron_single.start(node, batch)
    return neuron_euler.start(node, conventions, batch)


def step(
    node: Node, conventions: Conventions | None, state: Any, x: Array, drive: Array | int = 0, ring_shift: int = 0
) -> Any:
    """A population's state after one step.

    Args:
        node: the population.
        conventions: of the fixed graph; None means float64.
        state: before the step.
        x: summed input; under ``closed_form`` a pair, or anything else for no input at all.
        drive: added with the bias, under ``euler``.
        ring_shift: left shift from a ring unit to a state unit, under ``closed_form``.
    """
    if conventions is None:
        assert isinstance(node, Neuron)
        return neuron_float.step(node, state, x)
    if isinstance(node, (Sigma, Delta)):
        return neuron_graded.step(node, conventions, state, x)
    if isinstance(node, Atrlif):
        return neuron_atrlif.step(node, conventions, state, x, drive)
    assert isinstance(node, Neuron)
    if conventions.membrane != "euler":
        if not (conventions.synapse == "split" and x.ndim == len(node.shape) + 2):
            x = np.zeros((2, x.shape[0], *node.shape), dtype=np.int64)
        if conventions.membrane == "float32":
            return neuron_single.step(node, state, x)
        return neuron_closed.step(node, conventions, state, x, ring_shift)
    return neuron_euler.step(node, conventions, state, x, drive)


def recorded(node: Node, conventions: Conventions | None) -> dict[str, str]:
    """Name in a trace -> attribute of the state. What populations of numbers send is their state ``s`` or ``v``."""
    if isinstance(node, Sigma):
        return {"sigma": "sigma", "s": "s"}
    if isinstance(node, Delta):
        own = {key: key for key in ("act", "residue", "error", "s")}
        return {"sigma": "sigma", **own} if isinstance(node, SigmaDelta) else own
    if isinstance(node, Atrlif):
        return {key: key for key in ("u", "v", "theta", "r")}
    if conventions is not None and conventions.membrane == "closed_form":
        return {"u_exc": "used_exc", "u_inh": "used_inh", "v": "v"}
    if conventions is not None and conventions.membrane == "float32":
        return {key: key for key in ("u_exc", "u_inh", "v")}
    return {"u": "u", "v": "v"}
