"""Thresholds that a host reads and writes, in the float network's unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.ir import Fixed, FixedGraph, FloatArray, Graph, Neuron
from snnc.ir.graph import Network


def with_thresholds(
    network: Network, population: str, thresholds: npt.ArrayLike, scales: Mapping[str, FloatArray]
) -> Network:
    """The network with other thresholds of a population; integers take the nearest, and 1 at least.

    Args:
        network: float or fixed.
        population: of neurons.
        thresholds: scalar or [neurons], in the float network's unit.
        scales: of a fixed network: population -> raw state units per 1.0.

    Raises:
        InputError: the node is no population of neurons.
    """
    node = _neurons(network, population)
    given = np.asarray(thresholds, dtype=np.float64)
    if isinstance(network, Graph):
        return network.replace_node(replace(node, threshold=given))
    assert isinstance(network, FixedGraph)
    assert isinstance(node.threshold, Fixed)
    fmt = node.threshold.format
    per = np.asarray(scales[population]) * 2.0 ** (fmt.frac - network.conventions.state_frac)
    raw = np.clip(np.rint(given * per), max(1, fmt.minimum), fmt.maximum).astype(np.int64)
    return network.replace_node(replace(node, threshold=Fixed(raw, fmt)))


def thresholds_of(network: Network, population: str, scales: Mapping[str, FloatArray]) -> FloatArray:
    """Thresholds of a population, scalar or [neurons], in the float network's unit.

    Args:
        network: float or fixed.
        population: of neurons.
        scales: of a fixed network: population -> raw state units per 1.0.

    Raises:
        InputError: the node is no population of neurons.
    """
    node = _neurons(network, population)
    if isinstance(node.threshold, Fixed):
        assert isinstance(network, FixedGraph)
        raw = node.threshold.aligned(network.conventions.state_frac)
        return np.asarray(raw / np.asarray(scales[population]), dtype=np.float64)
    return np.asarray(node.threshold, dtype=np.float64)


def _neurons(network: Network, population: str) -> Neuron:
    node = network[population]
    if not isinstance(node, Neuron):
        raise InputError(f"{population} is no population of neurons: it has no threshold")
    return node
