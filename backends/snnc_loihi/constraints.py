"""What a float network must be so that Loihi 1 runs it natively. A docstring is rule, message and manual entry."""

# ruff: noqa: ARG001 - every constraint takes (graph, target), and most need no number of the target

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

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
from snnc.target import Target
from snnc_loihi.lowering import MAX_DELAY
from snnc_loihi.paths import paths_into, weighted

RUNS = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Delay, Neuron, Readout)


def _neurons(
    graph: Graph, quantity: str, broken: Callable[[Neuron], Any], allowed: str, fix: str
) -> Iterator[Violation]:
    """One violation per population whose ``broken`` gives what was found."""
    for node in graph.neurons:
        found = broken(node)
        if found is not None and found is not False:
            yield Violation(node.name, quantity, str(found), allowed, fix)


def _span(value: Any) -> str:
    low, high = float(np.min(np.asarray(value))), float(np.max(np.asarray(value)))
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _unless(value: Any, number: float) -> str | None:
    return _span(value) if np.any(np.asarray(value) != number) else None


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
    """The input is spikes, 0 or 1 in each step.

    Axons carry no analog value. Encode values as spikes before the network, by rate or by time.
    """
    for node in graph.nodes:
        if isinstance(node, Input) and node.encoding == "direct":
            yield Violation(node.name, "input", "analog values (direct)", "spikes", "Encode the values as spikes.")


def binary_spikes(graph: Graph, target: Target) -> Iterator[Violation]:
    """A neuron sends 0 or 1.

    Graded, ternary and multiple spikes need Loihi 2.
    """
    fix = "Use a neuron with binary spikes."
    yield from _neurons(graph, "output", lambda n: n.output != "binary" and n.output, "binary", fix)


def hard_reset(graph: Graph, target: Target) -> Iterator[Violation]:
    """A spike sets the membrane to zero.

    Loihi 1 subtracts nothing from the membrane and cannot leave it alone. Train with the hard reset.
    """
    fix = "Train with reset to zero (hard reset)."
    yield from _neurons(graph, "reset_v", lambda n: n.reset_v not in ("zero", "value") and n.reset_v, "zero", fix)


def reset_to_zero(graph: Graph, target: Target) -> Iterator[Violation]:
    """The reset value is the resting value, zero.

    There is no register for another one. The pass fold-rest shifts both away where they are equal.
    """

    def broken(node: Neuron) -> str | None:
        return _unless(node.v_reset, 0) if node.reset_v == "value" else None

    yield from _neurons(graph, "v_reset", broken, "0", "Train with a reset to the resting value.")


def rest_at_zero(graph: Graph, target: Target) -> Iterator[Violation]:
    """The membrane leaks towards zero.

    The pass fold-rest moves a resting value into the threshold.
    """
    yield from _neurons(graph, "v_rest", lambda n: _unless(n.v_rest, 0), "0", "Run the pass fold-rest.")


def start_at_zero(graph: Graph, target: Target) -> Iterator[Violation]:
    """The membrane starts at zero.

    A sample begins with a reset of u and v to 0.
    """
    yield from _neurons(graph, "v_init", lambda n: _unless(n.v_init, 0), "0", "Start from the resting value.")


def immediate_reset(graph: Graph, target: Target) -> Iterator[Violation]:
    """The reset happens in the step of the spike.

    snnTorch's ``Leaky`` and ``Synaptic`` reset one step later unless ``reset_delay=False``.
    """
    fix = "Train with reset_delay=False (snnTorch) or an snnc.nn neuron."
    yield from _neurons(graph, "reset_delay", lambda n: n.reset_delay or None, "0", fix)


def current_survives_spike(graph: Graph, target: Target) -> Iterator[Violation]:
    """A spike leaves the synaptic current as it is.

    Only the membrane is reset.
    """
    yield from _neurons(graph, "reset_u", lambda n: n.reset_u, "False", "Train without resetting the current.")


def no_refractory(graph: Graph, target: Target) -> Iterator[Violation]:
    """There is no refractory period.

    The chip has one, but Lava has a fixed-point model without it only, so it could not be checked.
    """
    fix = "Train with refractory = 0."
    yield from _neurons(graph, "refractory", lambda n: n.refractory or None, "0", fix)


def no_adaptation(graph: Graph, target: Target) -> Iterator[Violation]:
    """The threshold does not adapt.

    A compartment has one constant threshold.
    """

    def broken(node: Neuron) -> str | None:
        return f"{len(node.adaptation)} traces" if node.adaptation else None

    yield from _neurons(graph, "adaptation", broken, "none", "Train without threshold adaptation.")


def exponential_leak(graph: Graph, target: Target) -> Iterator[Violation]:
    """The leak is a factor per step.

    A membrane without leak has decay_v = 1.
    """
    fix = "Use an exponential leak; decay_v = 1 is no leak."
    yield from _neurons(graph, "leak", lambda n: n.leak != "exp" and n.leak, "exp", fix)


def fires_after_update(graph: Graph, target: Target) -> Iterator[Violation]:
    """The comparison sees the membrane of the same step.

    The chip compares after the update.
    """
    fix = "Compare after the update."
    yield from _neurons(graph, "fire_from", lambda n: n.fire_from != "updated" and n.fire_from, "updated", fix)


def repeated_spikes(graph: Graph, target: Target) -> Iterator[Violation]:
    """A neuron may spike in any step.

    Nothing in a compartment remembers that it has spiked.
    """
    yield from _neurons(graph, "one_shot", lambda n: n.one_shot, "False", "Decode the first spike at the readout.")


def constant_parameters(graph: Graph, target: Target) -> Iterator[Violation]:
    """Parameters are the same in every step.

    Registers are not rewritten while a sample runs.
    """
    fix = "Use one value for all steps."
    yield from _neurons(graph, "schedule", lambda n: ", ".join(n.schedule) or None, "none", fix)


def folded_gain(graph: Graph, target: Target) -> Iterator[Violation]:
    """A neuron's gains are 1.

    The pass fold-gain moves them into weights or thresholds.
    """
    for key in ("gain", "gain_u"):
        found = _neurons(graph, key, lambda n, k=key: _unless(getattr(n, k), 1), "1", "Run the pass fold-gain.")  # type: ignore[misc]
        yield from found


def shared_decays(graph: Graph, target: Target) -> Iterator[Violation]:
    """The neurons of a population share their decays.

    Lava takes one du and one dv per process. Share them per layer, or split the layer.
    """
    for key in ("decay_u", "decay_v"):

        def broken(node: Neuron, key: str = key) -> str | None:
            values = np.unique(np.asarray(getattr(node, key)))
            return f"{len(values)} values" if len(values) > 1 else None

        yield from _neurons(graph, key, broken, "one value", "Share it in the layer, or split the layer.")


def decaying_current(graph: Graph, target: Target) -> Iterator[Violation]:
    """The synaptic current decays: decay_u is at least 0 and below 1.

    The chip always takes at least 1/4096 of the current away (ds_offset).
    """
    yield from _neurons(graph, "decay_u", lambda n: _outside(n.decay_u, 0.0, 1.0, upper=False), "0 to 4095/4096", "")


def remembering_membrane(graph: Graph, target: Target) -> Iterator[Violation]:
    """The membrane keeps something: decay_v is above 0 and at most 1.

    dv has 12 bits, so at least 1/4096 is kept.
    """
    fix = "Use a small decay_v; 1/4096 is the smallest."
    yield from _neurons(graph, "decay_v", lambda n: _outside(n.decay_v, 0.0, 1.0, upper=True), "1/4096 to 1", fix)


def _outside(value: Any, low: float, high: float, *, upper: bool) -> str | None:
    array = np.asarray(value)
    legal = (array > low) & (array <= high) if upper else (array >= low) & (array < high)
    return None if np.all(legal) else _span(array)


def bias_on_neurons(graph: Graph, target: Target) -> Iterator[Violation]:
    """Weights have no bias.

    The passes move-bias and bias-to-source put it on the neuron or carry it by a source that always spikes.
    """
    for node in graph.nodes:
        if isinstance(node, (Affine, Conv)) and node.bias is not None and np.any(np.asarray(node.bias) != 0):
            fix = "Run the passes move-bias and bias-to-source."
            yield Violation(node.name, "bias", _span(node.bias), "none on weights", fix)


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
    known_nodes, sum_pooling, spiking_input, binary_spikes, hard_reset, reset_to_zero, rest_at_zero, start_at_zero,
    immediate_reset, current_survives_spike, no_refractory, no_adaptation, exponential_leak, fires_after_update,
    repeated_spikes, constant_parameters, folded_gain, shared_decays, decaying_current, remembering_membrane,
    bias_on_neurons, one_weighted_layer, delays_fit,
)  # fmt: skip
