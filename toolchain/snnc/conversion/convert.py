"""ReLU networks -> spiking networks: every rectifier becomes integrate-and-fire neurons whose rate is its activation.

A spike of a population stands for ``scale``: with T steps of constant input x, soft reset and a threshold of
``scale``, a neuron fires ``floor((T*x + v_init) / scale)`` times, at most T, so that ``scale * count / T`` is
``clip(x, 0, scale)`` to within scale/T. (Cao 2015; Diehl 2015, data-based normalisation; Rueckauer 2017, percentile;
Sengupta 2018, balancing.) Scales of a layer before and of the layer itself meet in the weights between them, also in
the branches of a sum, so that weights, biases and identities keep their proportions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.config import ConvertConfig
from snnc.conversion.ann import Ann, Relu
from snnc.conversion.encode import encoded, unit_of
from snnc.conversion.evaluate import check_values
from snnc.conversion.scales import Execute, Scales, balanced, measured
from snnc.errors import InputError, Violation
from snnc.ir import Edge, FloatArray, Graph, Input, Neuron, Node, Pool, Readout, Scale
from snnc.passes.base import Pass, run_passes
from snnc.passes.drop_identity import DropIdentity
from snnc.passes.fold_gain import FoldGain
from snnc.passes.fuse_batch_norm import FuseBatchNorm
from snnc.passes.rewrite import full, push, replaced, unique
from snnc.trace import Samples

BEFORE: tuple[Pass, ...] = (DropIdentity(), FuseBatchNorm())
AFTER: tuple[Pass, ...] = (FuseBatchNorm(), FoldGain())


@dataclass(frozen=True, eq=False)
class Converted:
    """A spiking network that was a ReLU network.

    Attributes:
        graph: integrate-and-fire neurons with soft reset.
        ann: where it came from, batch normalisation fused.
        options: how.
        scales: population -> what one of its spikes stands for, one number or one per channel (C, 1, ...).
        shift: what was added to every answer, so that the largest one can be counted in spikes; it moves no argmax.
        unit: what one input spike stands for.
    """

    graph: Graph
    ann: Ann
    options: ConvertConfig
    scales: Mapping[str, FloatArray]
    shift: float
    unit: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", MappingProxyType(dict(self.scales)))

    def encode(self, samples: Samples) -> Samples:
        """Samples [B, *shape] as the network takes them, [B, T, *shape]."""
        check_values(self.ann, samples.spikes)
        return encoded(samples, self.options, self.unit)


def convert(ann: Ann, values: npt.NDArray[Any], options: ConvertConfig, execute: Execute) -> Converted:
    """Makes a spiking network of a ReLU network.

    Args:
        ann: weights, rectifiers, average pools, sums.
        values: [B, *shape] on which activations are measured.
        options: steps, normalisation, start of the membranes, input.
        execute: runs a float graph; from the back end ``reference``.

    Raises:
        InputError: no steps, negative values as rates, or options that exclude each other.
        TraceError: the values do not fit the network.
    """
    if options.steps < 1:
        raise InputError("the number of steps is missing; give --steps, or steps in [convert] of snnc.toml")
    if options.norm == "balance" and options.per_channel:
        raise InputError("balance sets one threshold per layer; leave --per-channel out, or take --norm percentile")
    largest = [n.name for n in ann.graph.nodes if isinstance(n, Pool) and n.pooling == "max"]
    if largest and options.input != "direct":
        fix = "Take --input direct: the largest value of a window is not the rate of its spikes."
        raise InputError.of(Violation(largest[0], "pooling", "max of input spikes", "max of held values", fix))
    check_values(ann, values)
    ready = Ann(run_passes(ann.graph, BEFORE)[0])
    scales = measured(ready, values, options)
    unit = unit_of(values, options)
    if options.norm == "balance":
        steps = encoded(Samples(values), options, unit).spikes
        scales = balanced(scales, steps, lambda s: _spiking(ready, s, options, unit, normal=False), execute)
    graph = _spiking(ready, scales, options, unit, normal=options.norm in ("data", "percentile"))
    return Converted(graph, ready, options, scales.of, scales.shift, unit)


def _spiking(ann: Ann, scales: Scales, options: ConvertConfig, unit: float, *, normal: bool) -> Graph:
    """The spiking network with these scales; ``normal`` puts them into weights, else thresholds are the scales."""
    draft = _Draft(ann, scales, options, normal)
    graph = Graph(tuple(draft.nodes), tuple(draft.edges))
    worth = {name: scales.of[name] for name in scales.of}
    if options.input != "direct":
        worth[ann.input.name] = np.asarray(unit)
    for name, scale in worth.items():
        for edge in graph.outgoing(name):
            if not isinstance(graph[edge.target], Readout):
                graph = _weighed(graph, edge, scale)
    return run_passes(graph, AFTER)[0]


@dataclass(eq=False)
class _Draft:
    """Nodes and edges with neurons in place of rectifiers; a spike still counts as 1."""

    ann: Ann
    scales: Scales
    options: ConvertConfig
    normal: bool
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def __post_init__(self) -> None:
        graph, source, end = self.ann.graph, self.ann.input, self.ann.graph.readouts[0]
        for node in graph.nodes:
            if isinstance(node, Relu):
                self.nodes.append(self._neuron(node.name, graph.shapes[node.name]))
            elif node is source:
                kind = "direct" if self.options.input == "direct" else "spikes"
                self.nodes.append(Input(node.name, source.shape, kind))  # type: ignore[arg-type]
            else:
                self.nodes.append(Readout(node.name, "count") if node is end else node)
        self.edges = [edge for edge in graph.edges if edge.target != end.name]
        last = self.ann.output
        if self.scales.last != last:
            self.nodes.append(self._neuron(self.scales.last, graph.shapes[last]))
            self.edges.append(Edge(last, self.scales.last))
        self.edges.append(Edge(self.scales.last, end.name))

    def _neuron(self, name: str, shape: tuple[int, ...]) -> Neuron:
        scale = self.scales.of[name]
        gain, threshold = (1 / scale, np.ones(())) if self.normal else (np.ones(()), scale)
        start = threshold / 2 if self.options.v_init == "half" else np.zeros(())
        bias = self.scales.shift * gain if name == self.scales.last else np.zeros(())
        return Neuron(
            name, shape, decay_v=np.asarray(self.options.keep), gain_u=gain, threshold=threshold, v_init=start,
            bias=bias, reset_v="subtract",
        )  # fmt: skip


def _weighed(graph: Graph, edge: Edge, scale: FloatArray) -> Graph:
    """The graph in which a spike on this edge counts as ``scale``, by the weights behind it or by some of its own."""
    name = unique(graph.nodes, f"{edge.source}_scale")
    edges = [e for e in graph.edges if e is not edge]
    place = graph.edges.index(edge)
    edges[place:place] = [Edge(edge.source, name), Edge(name, edge.target)]
    scaled = graph.with_nodes([*graph.nodes, Scale(name, scale)], edges)
    edits = push(scaled, name, full(scale, graph.shapes[edge.source]))
    return scaled if edits is None else replaced(scaled, edits).without(name)
