"""How large sums and currents get: on the calibration samples, and at most, whatever the input.

Everything is in the unit of the float weights, per neuron of the target population (flat).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from snnc.errors import InputError
from snnc.ir import FloatArray, Graph, Neuron
from snnc.quantize.base import Calibration
from snnc_spinnaker.connect import Connections, Values, of_path
from snnc_spinnaker.paths import Path, paths_into

CHUNK_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class Levels:
    """Peaks of one population's input, (n,) each; the larger of both receptors.

    Attributes:
        single: largest weight of one synapse (weights of one path, composed).
        bound: sum of all weights, which no input can pass.
        ring: largest sum that arrived in one step.
        current: largest filtered sum.
    """

    single: FloatArray
    bound: FloatArray
    ring: FloatArray
    current: FloatArray


def measure(graph: Graph, node: Neuron, calibration: Calibration) -> Levels:
    """Peaks of what reaches a population.

    Args:
        graph: the float graph that the calibration ran.
        node: a neuron population.
        calibration: its trace holds the spikes of every source.

    Raises:
        InputError: the trace lacks a population.
    """
    links = [[(path, of_path(graph, path, sign)) for path in paths_into(graph, node.name)] for sign in (1, -1)]
    size = math.prod(node.shape)
    single, bound = np.zeros(size), np.zeros((2, size))
    for receptor, paths in enumerate(links):
        for _, found in paths:
            np.maximum.at(single, found.post, found.weight)
            np.add.at(bound[receptor], found.post, found.weight)
    ring, current = np.zeros(size), np.zeros(size)
    kept = np.broadcast_to(np.asarray(node.decay_u, dtype=np.float64), node.shape).ravel()
    steps = max(1, calibration.trace.steps)
    chunk = max(1, CHUNK_BYTES // (8 * size * steps))
    for first in range(0, calibration.trace.samples, chunk):
        for paths in links:
            arrived = _arrived(paths, calibration, slice(first, first + chunk), size)
            ring = np.maximum(ring, arrived.max(axis=(0, 1), initial=0.0))
            held = np.zeros((len(arrived), size))
            for t in range(arrived.shape[1]):
                held = held * kept + arrived[:, t]
                current = np.maximum(current, held.max(axis=0))
    return Levels(single, bound.max(axis=0), ring, current)


def _arrived(paths: list[tuple[Path, Connections]], calibration: Calibration, samples: slice, size: int) -> FloatArray:
    """Sum of one receptor's weights in every step, [B, T, n]."""
    trace = calibration.trace
    batch = len(range(*samples.indices(trace.samples)))
    total = np.zeros((batch, trace.steps, size))
    for path, links in paths:
        if path.source not in trace.spikes:
            raise InputError(f"calibration holds no spikes of {path.source!r}: record every population")
        spikes: Values = trace.spikes[path.source][samples].reshape(batch, trace.steps, -1)
        if path.delay < trace.steps:
            total[:, path.delay :] += links.deliver(spikes[:, : trace.steps - path.delay])
    return total
