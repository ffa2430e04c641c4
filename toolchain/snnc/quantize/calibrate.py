"""Calibration: what the float network does on given samples. Whoever executes is handed in."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.ir import FloatArray, Network
from snnc.quantize.base import Calibration
from snnc.trace import Probes, Trace, check_samples


class Execute(Protocol):
    """Runs a network; :meth:`snnc.backend.Reference.execute` is one."""

    def __call__(self, network: Network, spikes: npt.NDArray[Any], probes: Probes = ..., /) -> Trace:
        """Runs samples [B, T, *shape] and records what the probes ask for."""


def calibrate(graph: Network, samples: npt.NDArray[Any], execute: Execute) -> Calibration:
    """Runs the float graph on the samples and keeps spikes and states of every population.

    Args:
        graph: the graph that will be quantized, after all passes.
        samples: [B, T, *shape] spikes (or analog values for direct encoding).
        execute: the reference's ``execute``.

    Raises:
        InputError: the graph has not exactly one input.
        TraceError: the samples do not fit the input.
    """
    if len(graph.inputs) != 1:
        raise InputError(f"calibration feeds one input, the network has {len(graph.inputs)}")
    source = graph.inputs[0]
    given = check_samples(samples, None, source.shape, source.encoding, "calibration samples").spikes
    return Calibration(given, execute(graph, given, Probes("all", "all")))


def rates(calibration: Calibration) -> dict[str, FloatArray]:
    """Spikes per step of every neuron on the samples: population -> [*shape]."""
    return {name: np.mean(spikes != 0, axis=(0, 1)) for name, spikes in calibration.trace.spikes.items()}
