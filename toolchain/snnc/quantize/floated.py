"""FixedGraph -> Graph: the float network that integers stand for, so that they can be compiled as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import Affine, Conv, Conventions, Edge, Fixed, FixedGraph, Graph, Input, Node, Readout
from snnc.quantize.base import Quantized


def floated(fixed: FixedGraph) -> Graph:
    """The float network with the numbers of the integers, without the latencies of their target.

    One unit of its membranes is ``2**state_frac`` raw. Spikes are those of the integers up to what rounding of decays
    and the width of registers change.

    Raises:
        UnsupportedError: the integers have no plain float network; says why.
    """
    found = tuple(_violations(fixed))
    if found:
        raise UnsupportedError.of(*found, message="" if len(found) == 1 else "these integers cannot be compiled again")
    depth: dict[str, int] = dict(fixed.latency)
    for name in fixed.order:
        if name not in depth and fixed.incoming(name):
            depth[name] = min(depth[e.source] + e.delay for e in fixed.incoming(name) if e.source in depth)
    edges = (replace(e, delay=_logical(fixed, e, depth)) for e in fixed.edges)
    return Graph(tuple(_plain(node) for node in fixed.nodes), tuple(edges))


def as_they_are(fixed: FixedGraph, name: str, known: Collection[Conventions]) -> Quantized | None:
    """These integers, if they were made for the target; None where the float network must be quantized for it.

    Args:
        fixed: integers.
        name: of the target.
        known: conventions that it has.

    Raises:
        UnsupportedError: they were made for the target as another version of snnc knew it.
    """
    if name != fixed.target:
        return None
    if fixed.conventions not in known:
        fix = "Compile the float network (model.float.onnx) again."
        here = "those of this version of the target"
        raise UnsupportedError.of(Violation(name, "conventions of the file", "others", here, fix))
    unit = np.asarray(2.0**fixed.conventions.state_frac)
    return Quantized(fixed, {node.name: unit for node in fixed.neurons}, ())


def _violations(fixed: FixedGraph) -> Iterator[Violation]:
    fix = "Compile the float network (model.float.onnx)."
    if fixed.conventions.membrane != "euler" or fixed.conventions.synapse == "split":
        yield Violation(fixed.target, "membrane", fixed.conventions.membrane, "euler with one synapse", fix)
    for node in fixed.nodes:
        if isinstance(node, Input) and node.encoding == "direct":
            yield Violation(node.name, "encoding", "direct, as integers", "spikes", fix)
        elif isinstance(node, (Affine, Conv)) and node.host is not None:
            yield Violation(node.name, "host", "sums that the host computes", "synapses", fix)


def _logical(fixed: FixedGraph, edge: Edge, depth: dict[str, int]) -> int:
    if isinstance(fixed[edge.target], Readout):
        return edge.delay
    return edge.delay + depth[edge.source] - depth[edge.target]


def _plain(node: Node) -> Node:
    values: dict[str, Any] = {k: v.to_float() for k, v in node.params().items() if isinstance(v, Fixed)}
    return replace(node, **values)
