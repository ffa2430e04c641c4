"""Which nodes must share one gain, and what has no integer form in the shift family at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import (
    POPULATIONS,
    Add,
    Affine,
    Concat,
    Conv,
    Delay,
    Flatten,
    Graph,
    Identity,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
)
from snnc.quantize import host
from snnc.quantize.direct import joined
from snnc.quantize.profile import ShiftProfile

Weighted = (Affine, Conv)
PASSING = (Add, Concat, Delay, Flatten, Identity, Pool)


@dataclass(frozen=True, eq=False)
class Group:
    """Weight nodes and the populations that they feed: v of a population has one unit, so its weights share it.

    Attributes:
        weights, neurons, readouts: names, in topological order.
        channelwise: True if channel c of every weight node is channel c of every population, so that each channel
            may have a gain of its own.
    """

    weights: tuple[str, ...]
    neurons: tuple[str, ...]
    readouts: tuple[str, ...]
    channelwise: bool


def groups(graph: Graph) -> tuple[Group, ...]:
    """Every weight node in exactly one group.

    Raises:
        UnsupportedError: weights feed weights, or spikes reach a neuron without weights.
    """
    found: list[Violation] = []
    reach: dict[str, tuple[set[str], bool]] = {}
    for name in graph.order:
        if isinstance(graph[name], Weighted):
            ends, straight = _ends(graph, name)
            reach[name] = ends, straight
            found += [
                Violation(name, "weights", f"followed by the weights {end}", "one set of weights before each neuron",
                          "Merge the two linear layers into one, or put a spiking layer between them.")
                for end in sorted(ends) if isinstance(graph[end], Weighted)
            ]  # fmt: skip
        elif isinstance(graph[name], POPULATIONS):
            found += [
                Violation(end, "input", f"spikes of {name} without weights", "weights", "Run the pass add-weights.")
                for end in sorted(_ends(graph, name)[0]) if isinstance(graph[end], Neuron)
            ]  # fmt: skip
    if found:
        raise UnsupportedError.of(*found)
    return tuple(_joined(graph, reach))


def _ends(graph: Graph, name: str) -> tuple[set[str], bool]:
    """Neurons, readouts and weights that the node's output reaches, and whether channels keep their place."""
    ends: set[str] = set()
    seen: set[str] = set()
    straight = True
    waiting = [name]
    while waiting:
        for edge in graph.outgoing(waiting.pop()):
            node = graph[edge.target]
            if not isinstance(node, PASSING):
                ends.add(node.name)
            elif node.name not in seen:
                seen.add(node.name)
                waiting.append(node.name)
                flat = isinstance(node, Flatten) and len(graph.shapes[edge.source]) == 1
                straight = straight and (flat or not isinstance(node, (Flatten, Concat)))
    return ends, straight


def _joined(graph: Graph, reach: dict[str, tuple[set[str], bool]]) -> Iterator[Group]:
    """Connected components of weights and what they reach."""
    left = [name for name in graph.order if name in reach]
    while left:
        weights, ends = {left[0]}, set(reach[left[0]][0])
        grown = True
        while grown:
            more = {name for name in left if reach[name][0] & ends} - weights
            grown = bool(more)
            weights |= more
            ends = ends.union(*(reach[name][0] for name in more))
        left = [name for name in left if name not in weights]
        names = tuple(name for name in graph.order if name in weights)
        neurons = tuple(name for name in graph.order if isinstance(graph[name], Neuron) and name in ends)
        readouts = tuple(name for name in graph.order if isinstance(graph[name], Readout) and name in ends)
        sizes = {graph.shapes[name][0] for name in (*names, *neurons)}
        straight = len(sizes) == 1 and all(reach[name][1] for name in names)
        yield Group(names, neurons, readouts, straight)


def refuse(graph: Graph, profile: ShiftProfile) -> None:
    """Raises if a node has no integer form under the profile.

    Raises:
        UnsupportedError: with every violation.
    """
    if profile.conventions.membrane != "euler" or profile.conventions.synapse != "signed":
        raise UnsupportedError(f"{profile.target}: shift quantization needs the euler membrane and signed synapses")
    found = [violation for node in graph.nodes for violation in _node(node, profile)]
    found += joined(graph)
    found += host.violations(graph) if profile.host else ()
    if found:
        raise UnsupportedError(f"{profile.target} has no integers for this network", violations=tuple(found))


def _node(node: Node, profile: ShiftProfile) -> Iterator[Violation]:
    known = (*POPULATIONS, *Weighted, *PASSING, Readout)
    if not isinstance(node, known):
        yield Violation(node.name, "node type", node.kind, "a type that has integers", "Run the default passes.")
    elif isinstance(node, Pool) and node.pooling == "avg":
        yield Violation(node.name, "pooling", "avg", "sum or max", "Run the pass average-to-sum.")
    elif isinstance(node, Input) and node.encoding == "direct" and profile.direct_bits is None:
        fix = "Encode the input as spikes, or put a spiking layer in front."
        yield Violation(node.name, "encoding", "direct (analog values)", "spikes", fix)
    elif isinstance(node, Weighted) and node.bias is not None and not profile.linear_bias:
        yield Violation(node.name, "bias", "present", "none", "Run the passes move-bias and bias-to-source.")
    elif isinstance(node, Neuron):
        yield from _neuron(node)


def _neuron(node: Neuron) -> Iterator[Violation]:
    for key, want in (("gain_u", 1.0), ("gain", 1.0), ("v_rest", 0.0)):
        value = np.asarray(getattr(node, key))
        if np.any(value != want):
            fix = "Run the passes fold-gain and fold-rest."
            yield Violation(node.name, key, f"{float(value.flat[0]):g}", f"{want:g}", fix)
    plain = {"leak": "exp", "adaptation": (), "output": "binary", "one_shot": False, "schedule": ()}
    for field, allowed in plain.items():
        if getattr(node, field) != allowed:
            yield Violation(node.name, field, str(getattr(node, field)), str(allowed))
