"""First spikes as a host reads them from a trace, and the membranes that decide between neurons of one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import Fixed, FixedGraph, FloatArray, IntArray, Neuron
from snnc.ir.graph import Network
from snnc.learning.host import winners
from snnc.trace import Trace


@dataclass(frozen=True, eq=False)
class Firsts:
    """What decides who was first.

    Attributes:
        times: [B, neurons] step of the first spike; T, the number of steps, of those that stayed silent.
        heights: [B, neurons] membrane minus threshold, in state units: before the reset at the first spike, after the
            last step where there was none. Of a trace without membranes: the number of spikes.
    """

    times: IntArray
    heights: FloatArray

    def winners(self, group: int) -> IntArray:
        """[B, groups] neurons that fired first in their group; ties and silence go to the highest membrane."""
        return np.stack([winners(*one, group) for one in zip(self.times, self.heights, strict=True)])

    def classes(self, group: int) -> IntArray:
        """[B] class of the neuron that fired first of all; -1 where all were silent and no membrane tells them apart.

        Args:
            group: neurons of each class.
        """
        first = self.winners(self.times.shape[1])[:, 0] // group
        alike = (np.ptp(self.times, axis=1) == 0) & (np.ptp(self.heights, axis=1) == 0)
        return np.where(alike, -1, first)


def firsts(trace: Trace, network: Network, population: str) -> Firsts:
    """First spikes of a population.

    A tie needs the membrane before its reset, which no probe shows. It is what the step made of the membrane before:
    ``decay_v * (v[t-1] - v_rest) + v_rest + gain * u[t] + bias``.

    Args:
        trace: of one or several samples, with spikes of the population, and its states u and v where they are known.
        network: that ran, thresholds included.
        population: of neurons.
    """
    spikes = np.asarray(trace.spikes[population])
    spikes = spikes.reshape(*spikes.shape[:2], -1) != 0
    steps = spikes.shape[1]
    times = np.where(spikes.any(axis=1), np.argmax(spikes, axis=1), steps)
    node = network[population]
    states = [trace.states.get((population, key)) for key in ("u", "v")]
    if not isinstance(node, Neuron) or states[0] is None or states[1] is None:
        return Firsts(times, spikes.sum(axis=1).astype(np.float64))
    u, v = (np.asarray(one, dtype=np.float64).reshape(spikes.shape) for one in states)
    frac = network.conventions.state_frac if isinstance(network, FixedGraph) else 0
    value = {key: _state(getattr(node, key), frac, node.shape) for key in ("v_init", "v_rest", "bias", "threshold")}
    before = np.concatenate([np.broadcast_to(value["v_init"], v[:, :1].shape), v[:, :-1]], axis=1)
    rest, keep = value["v_rest"], _plain(node.decay_v, node.shape)
    charged = keep * (before - rest) + rest + _plain(node.gain, node.shape) * u + value["bias"]
    at = np.minimum(times, steps - 1)[:, np.newaxis]
    fired = np.take_along_axis(charged, at, axis=1)[:, 0]
    return Firsts(times, np.where(times < steps, fired, v[:, -1]) - value["threshold"])


def _state(given: Any, frac: int, shape: tuple[int, ...]) -> FloatArray:
    """A parameter in state units, scalar or flat [neurons]."""
    return _flat(given.aligned(frac) if isinstance(given, Fixed) else given, shape)


def _plain(given: Any, shape: tuple[int, ...]) -> FloatArray:
    """A factor as the number that it stands for, scalar or flat [neurons]."""
    return _flat(given.to_float() if isinstance(given, Fixed) else given, shape)


def _flat(values: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    found = np.asarray(values, dtype=np.float64)
    return np.broadcast_to(found, shape).reshape(-1) if found.ndim else found
