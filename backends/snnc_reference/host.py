"""Weights whose sums the host computes, rounds and hands to a population as its bias (``host`` of Affine and Conv)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import Violation
from snnc.ir import Affine, Conv, Fixed, FixedGraph, Network, Neuron
from snnc.ir.fixed import shift_right

Array = npt.NDArray[Any]


def drive(node: Affine | Conv, sums: Array, unit: int) -> Array:
    """The sums with the bias as state units, after the host's rounding: ties to even, then clipped.

    Args:
        node: with a host format.
        sums: [B, *shape], products of raw weights.
        unit: fractional bits of the state.
    """
    weight, host, bias = node.weight, node.host, node.bias
    assert isinstance(weight, Fixed)
    assert isinstance(host, Fixed)
    if isinstance(bias, Fixed):
        sums = sums + bias.aligned(weight.format.frac).reshape(1, -1, *(1,) * (sums.ndim - 2))
    down = weight.format.frac - host.format.frac
    raw = shift_right(sums, down, "nearest_even") if down >= 0 else sums << -down
    return np.asarray(np.clip(raw, host.format.minimum, host.format.maximum) << (unit - host.format.frac))


def refusals(node: Affine | Conv, network: Network) -> Iterator[Violation]:
    """What a host's sums need: integers under euler, and neurons that take them."""
    if node.host is None:
        return
    if not isinstance(network, FixedGraph) or network.conventions.membrane != "euler":
        yield Violation(node.name, "host", "a format", "none but in integers under euler")
    elif isinstance(node.host, Fixed) and node.host.format.frac > network.conventions.state_frac:
        yield Violation(node.name, "host", str(node.host.format), "a format of whole state units")
    for edge in network.outgoing(node.name):
        if not isinstance(network[edge.target], Neuron):
            yield Violation(node.name, "host", f"sums for {edge.target}", "sums for neurons")
