"""Sums that the host rounds and hands to a population as its bias, in ONNX operators."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import TensorProto

from snnc.errors import Violation
from snnc.formats.onnx_emit import Emitter
from snnc.ir import Affine, Conv, Fixed, FixedGraph, Network, Neuron, Node


def is_host(node: Node) -> bool:
    """True for weights whose sums become a bias."""
    return isinstance(node, (Affine, Conv)) and node.host is not None


def bias(e: Emitter, node: Affine | Conv) -> str:
    """The bias in the unit of the raw weights' sums."""
    assert isinstance(node.bias, Fixed)
    assert isinstance(node.weight, Fixed)
    return e.constant(node.bias.aligned(node.weight.format.frac))


def rounded(e: Emitter, sums: str, node: Affine | Conv, unit: int, kind: int) -> str:
    """Sums of raw weights with the bias -> state units: ties to even, then clipped.

    float64 holds every sum below 2**53, and its Round is the one of the host.

    Args:
        e: where the operators go.
        sums: int64 tensor.
        node: with a host format.
        unit: fractional bits of the state.
        kind: element type of the result.
    """
    assert isinstance(node.weight, Fixed)
    assert isinstance(node.host, Fixed)
    fmt = node.host.format
    step = e.constant(2.0 ** (fmt.frac - node.weight.format.frac), np.float64)
    steps = e.op("Round", e.op("Mul", e.cast(sums, int(TensorProto.DOUBLE)), step))
    ends = (e.constant(end, np.float64) for end in (fmt.minimum, fmt.maximum))
    return e.op("Mul", e.cast(e.op("Clip", steps, *ends), kind), e.constant(1 << (unit - fmt.frac)))


def refusals(node: Affine | Conv, network: Network) -> Iterator[Violation]:
    """What such sums need: integers under euler, and neurons that take them."""
    if node.host is None:
        return
    if not isinstance(network, FixedGraph) or network.conventions.membrane != "euler":
        yield Violation(node.name, "host", "a format", "none but in integers under euler")
    elif isinstance(node.host, Fixed) and not 0 <= network.conventions.state_frac - node.host.format.frac <= 32:
        yield Violation(node.name, "host", str(node.host.format), "a format of whole state units below 2**32")
    for edge in network.outgoing(node.name):
        if not isinstance(network[edge.target], Neuron):
            yield Violation(node.name, "host", f"sums for {edge.target}", "sums for neurons")
