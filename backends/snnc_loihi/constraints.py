"""What a float network must be so that Loihi 1 runs it natively. A docstring is rule, message and manual entry."""

# ruff: noqa: ARG001 - every constraint takes (graph, target), and most need no number of the target

from __future__ import annotations

from collections.abc import Iterator

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
)  # fmt: skip
from snnc.quantize import host
from snnc.quantize.base import retime
from snnc.target import Target
from snnc_loihi.constraints_neuron import NEURON_CONSTRAINTS, span
from snnc_loihi.lowering import MAX_DELAY
from snnc_loihi.paths import paths_into, weighted

RUNS = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Delay, Neuron, Readout)


def known_nodes(graph: Graph, target: Target) -> Iterator[Violation]:
    """A network is made of inputs, weights, sum pooling, joins, delays and neurons.

    Per-step scales, further synaptic filters and winner-take-all have no place in a compartment.
    """
    for node in graph.nodes:
        if not isinstance(node, RUNS):
            fix = _NODE_FIX.get(node.kind, "Replace it by weights and neurons.")
            yield Violation(node.name, "node type", node.kind, "weights, sum pooling, joins, delays, neurons", fix)


_NODE_FIX = {
    "scale": "Run the pass fuse-batch-norm.",
    "timescale": "Train with one scale for all steps.",
    "synfilter": "Use a neuron with synaptic current (decay_u).",
    "inhibit": "Use inhibitory weights.",
}


def sum_pooling(graph: Graph, target: Target) -> Iterator[Violation]:
    """Pooling adds; it takes no maximum and no average.

    A compartment adds what arrives. Average pooling becomes a sum by the pass average-to-sum; for max pooling use a
    convolution with a stride.
    """
    fixes = {"max": "Use a convolution with a stride.", "avg": "Run the pass average-to-sum."}
    for node in graph.nodes:
        if isinstance(node, Pool) and node.pooling != "sum":
            yield Violation(node.name, "pooling", node.pooling, "sum", fixes[node.pooling])


def spiking_input(graph: Graph, target: Target) -> Iterator[Violation]:
    """The input is spikes, or values that stay the same for a whole sample and drive neurons as their bias.

    Axons carry no analog value. If the values do not change within a sample, the host computes the first weights once
    and programs the sums, rounded to a mantissa of 12 bits and sign times 2**0 to 2**7, as biases. So every set of
    weights behind the values leads straight into one layer of neurons, which has no synaptic current (decay_u = 0):
    a bias is added to the membrane. Values that change are refused when they are run or calibrated with; encode them
    as spikes, by rate or by time.
    """
    yield from host.violations(graph)


def bias_on_neurons(graph: Graph, target: Target) -> Iterator[Violation]:
    """Weights have no bias.

    The passes move-bias and bias-to-source put it on the neuron or carry it by a source that always spikes.
    """
    for node in graph.nodes:
        if isinstance(node, (Affine, Conv)) and node.bias is not None and np.any(np.asarray(node.bias) != 0):
            fix = "Run the passes move-bias and bias-to-source."
            yield Violation(node.name, "bias", span(node.bias), "none on weights", fix)


def one_weighted_layer(graph: Graph, target: Target) -> Iterator[Violation]:
    """Between two populations lies exactly one layer of weights.

    A synapse holds one weight. Two Linear layers in a row are one Linear layer; no layer at all is the identity.
    """
    fix = "Merge linear layers that follow each other; run the pass add-weights where there is none."
    for node in graph.neurons:
        try:
            found = paths_into(graph, node.name)
        except UnsupportedError as error:
            yield Violation(node.name, "input", f"a loop without neurons ({error})", "loops through neurons")
            continue
        for path in found:
            names = [weights.name for weights in weighted(graph, path)]
            if len(names) != 1:
                text = ", ".join(names) or "none"
                yield Violation(node.name, f"weights from {path.source}", text, "exactly one layer", fix)


def delays_fit(graph: Graph, target: Target) -> Iterator[Violation]:
    """A delay between neurons is at most 62 steps.

    Synapses have six bits for it, and the hop takes the first step. Delays of the input are free: they shift data.
    """
    fix = "Relay the spikes through further neurons."
    for edge in graph.edges:
        if edge.delay > MAX_DELAY and _carries_neurons(graph, graph[edge.source]):
            yield Violation(edge.target, f"delay from {edge.source}", str(edge.delay), f"at most {MAX_DELAY}", fix)
    for node in graph.nodes:
        if isinstance(node, Delay) and node.steps > MAX_DELAY and _carries_neurons(graph, node):
            yield Violation(node.name, "delay", str(node.steps), f"at most {MAX_DELAY}", fix)


def silent_before_its_input(graph: Graph, target: Target) -> Iterator[Violation]:
    """A biased population whose spikes are heard later does not fire before its input arrives.

    A layer k steps deep runs k steps on its bias alone before its first input; its state is set to zero then, but a
    spike it sent before is still heard over a connection with a delay (a recurrence, a delayed skip), and the float
    network knows no such spike.
    """
    try:
        _, latency = retime(graph, target.conventions.hop_delay)
    except UnsupportedError:
        return
    for node in graph.neurons:
        if _heard_later(graph, node.name) and _fires_alone(node, latency[node.name]):
            found = f"{float(np.max(np.asarray(node.bias))):g}, which fires it before its input arrives"
            fix = "Use a smaller bias, a slower rise, or no delay behind this layer."
            yield Violation(node.name, "bias", found, "a membrane below threshold until then", fix)


def _fires_alone(node: Neuron, steps: int) -> bool:
    """True if start value and bias alone lift the membrane to the threshold within ``steps`` steps."""
    v = np.zeros(node.shape) + np.asarray(node.v_init)
    for _ in range(steps):
        v = np.asarray(node.decay_v) * v + np.asarray(node.bias)
        if np.any(v >= np.asarray(node.threshold)):
            return True
    return False


def _heard_later(graph: Graph, name: str) -> bool:
    """True if a path from the population to a neuron has a delay of its own."""
    waiting = [name]
    seen: set[str] = set()
    while waiting:
        for edge in graph.outgoing(waiting.pop()):
            node = graph[edge.target]
            if edge.delay > 0 or isinstance(node, Delay):
                return True
            if not isinstance(node, POPULATIONS) and node.name not in seen:
                seen.add(node.name)
                waiting.append(node.name)
    return False


def _carries_neurons(graph: Graph, node: Node) -> bool:
    """True if spikes of neurons reach the node's output."""
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Neuron):
            return True
        if one.name not in seen and not isinstance(one, POPULATIONS):
            seen.add(one.name)
            waiting += [graph[edge.source] for edge in graph.incoming(one.name)]
    return False


CONSTRAINTS = (
    known_nodes,
    sum_pooling,
    spiking_input,
    *NEURON_CONSTRAINTS,
    bias_on_neurons,
    one_weighted_layer,
    delays_fit,
    silent_before_its_input,
)
