"""What spinnaker1 has no native way to do: one function per rule, over the float graph after the passes.

A docstring's first line is the rule and the message, the rest says why and what helps; ``snnc targets`` and
TARGETS.md print them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import (
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
    Pool,
    Readout,
)  # fmt: skip
from snnc.quantize.base import retime
from snnc.target import OUTPUT_FIXES, Target, no_lower_bound
from snnc_spinnaker import solve
from snnc_spinnaker.delays import beyond
from snnc_spinnaker.paths import all_paths

NODES = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Delay, Neuron, Readout)
RANGE = 65536.0


def _outside(node: Neuron, key: str, bad: object, allowed: str, fix: str) -> Iterator[Violation]:
    values, wrong = np.broadcast_arrays(np.asarray(getattr(node, key)), np.asarray(bad))
    if wrong.any():
        yield Violation(node.name, key, f"{float(values[wrong].flat[0]):.9g}", allowed, fix)


def node_types(graph: Graph, target: Target) -> Iterator[Violation]:
    """A network is made of neurons, weights, sums, sum pools, delays and re-arrangements.

    Whatever stands between two populations must become a list of weights. Fuse batch normalisation into weights;
    filters, per-step gains and winner-take-all have no synapse on this chip.
    """
    for node in graph.nodes:
        if not isinstance(node, NODES):
            fix = "Fuse it into weights." if node.kind == "scale" else "Leave it out or use the generic target."
            yield Violation(node.name, "node type", node.kind, f"what {target.name} has", fix)


def pooling(graph: Graph, target: Target) -> Iterator[Violation]:
    """Pooling is a sum.

    A sum of spikes is composed with the weights behind it into one connection list. A maximum is not linear; an average
    that could not be moved into weights would need fractions of a spike.
    """
    for node in graph.nodes:
        if isinstance(node, Pool) and node.pooling != "sum":
            fix = "Train with average pooling or strides." if node.pooling == "max" else "Run the pass average-to-sum."
            yield Violation(node.name, "pooling", node.pooling, f"sum on {target.name}", fix)


def binary_input(graph: Graph, target: Target) -> Iterator[Violation]:
    """Input is spikes.

    A spike source sends spikes; analog values have no packet. Encode them before the network, or let the first layer
    be neurons outside the chip.
    """
    for node in graph.nodes:
        if isinstance(node, Input) and node.encoding == "direct":
            yield Violation(node.name, "encoding", "direct", f"spikes on {target.name}", "Encode values as spikes.")


def plain_neurons(graph: Graph, target: Target) -> Iterator[Violation]:
    """A neuron is IF_curr_exp or IF_curr_delta: binary spikes, exponential leak, no adaptation, no schedule.

    Adaptive thresholds are another binary of sPyNNaker that this back end does not emulate; parameters cannot change
    from step to step.
    """
    allowed = {
        "leak": "exp", "output": "binary", "adaptation": (), "one_shot": False, "schedule": (), "fire_from": "updated",
    }  # fmt: skip
    for node in graph.neurons:
        for key, want in allowed.items():
            if getattr(node, key) != want:
                found = str(getattr(node, key)) or "empty"
                fix = OUTPUT_FIXES.get(node.output, "") if key == "output" else ""
                yield Violation(node.name, key, found, f"{want if want != () else 'none'} on {target.name}", fix)


def hard_reset(graph: Graph, target: Target) -> Iterator[Violation]:
    """A spike resets the membrane to a value, at once, and leaves the current alone.

    The chip stores V_reset into V in the step of the spike. It cannot subtract the threshold, wait a step, keep V, or
    clear the synaptic current. Train with a hard reset, deploy soft resets to a target that has them, or give
    ``--allow hard-reset``: the pass replaces the soft reset, and the report says how many spikes that changed.
    """
    for node in graph.neurons:
        if node.reset_v not in ("zero", "value") and (node.output, node.reset_v) != ("graded", "none"):
            soft = node.reset_v == "subtract"
            fix = "Train with a hard reset" + (", or measure the error of --allow hard-reset." if soft else ".")
            yield Violation(node.name, "reset_v", node.reset_v, f"zero or value on {target.name}", fix)
        if node.reset_delay:
            yield Violation(node.name, "reset_delay", str(node.reset_delay), "0", "Reset in the step of the spike.")
        if node.reset_u:
            yield Violation(node.name, "reset_u", "True", "False", "Synaptic currents outlive a spike.")


def membrane_leaks(graph: Graph, target: Target) -> Iterator[Violation]:
    """A membrane keeps at least 0 and less than 0.99997 of itself per step.

    The leak is exp(-1/tau_m) with 15 bits; at tau_m of 32769 steps and more it becomes exactly 1 and V never moves, so
    that an integrator without leak does not map. 0 is exact: a short tau_m makes the chip's exp 0.
    """
    for node in graph.neurons:
        kept = np.asarray(node.decay_v)
        bad = (kept < 0) | (kept > solve.slowest_decay())
        fix = f"Give the membrane a leak: tau_m of at most 32768 steps on {target.name}."
        yield from _outside(node, "decay_v", bad, "0 to 0.999969", fix)


def current_decays(graph: Graph, target: Target) -> Iterator[Violation]:
    """A synaptic current keeps at least 0 and less than 0.99997 of itself per step.

    At tau_syn of 32769 steps and more the chip's exp(0) wraps to 0 and the current would last one step only. 0 makes
    the population IF_curr_delta.
    """
    for node in graph.neurons:
        kept = np.asarray(node.decay_u)
        bad = (kept < 0) | (kept > solve.slowest_decay())
        fix = f"tau_syn of at most 32768 steps on {target.name}."
        yield from _outside(node, "decay_u", bad, "0 to 0.999969", fix)


def gains(graph: Graph, target: Target) -> Iterator[Violation]:
    """Gains of a neuron are positive.

    A positive gain goes into the unit of the membrane. A negative one would turn the threshold round; zero cuts the
    neuron off from its input.
    """
    for node in graph.neurons:
        for key in ("gain", "gain_u"):
            fix = f"Put the sign into the weights; {target.name} takes positive gains."
            yield from _outside(node, key, np.asarray(getattr(node, key)) <= 0, "> 0", fix)


def reset_below_threshold(graph: Graph, target: Target) -> Iterator[Violation]:
    """With a refractory period the reset value lies below the threshold.

    The chip compares V with the threshold in refractory steps too: a reset at or above it fires in each of them.
    Without a refractory period V is updated before the next comparison, as in the model, and any reset value is exact.
    """
    for node in graph.neurons:
        reset = np.zeros(()) if node.reset_v == "zero" else np.asarray(node.v_reset)
        if node.refractory and node.reset_v in ("zero", "value"):
            fix = f"Lower v_reset or drop the refractory period on {target.name}."
            yield from _outside(node, "v_reset", reset >= np.asarray(node.threshold), "below the threshold", fix)


def membrane_range(graph: Graph, target: Target) -> Iterator[Violation]:
    """Rest, reset and start values lie within 65536 thresholds.

    A membrane is s16.15: beyond +-65536 it wraps. One scale serves the whole range, and nothing of the threshold would
    be left.
    """
    for node in graph.neurons:
        for key in ("v_rest", "v_reset", "v_init"):
            bad = np.abs(np.asarray(getattr(node, key))) >= RANGE * np.asarray(node.threshold)
            fix = f"{target.name} holds -65536 to 65536."
            yield from _outside(node, key, bad, "within 65536 times the threshold", fix)


def weight_biases(graph: Graph, target: Target) -> Iterator[Violation]:
    """Weights have no bias of their own.

    A synapse carries spikes only. The pass bias-to-source replaces a bias by weights from a source that spikes in every
    step; it is part of this target's preparation.
    """
    for node in graph.nodes:
        if isinstance(node, (Affine, Conv)) and node.bias is not None:
            fix = f"Run the pass bias-to-source before {target.name}."
            yield Violation(node.name, "bias", "present", "none", fix)


def one_weight_per_path(graph: Graph, target: Target) -> Iterator[Violation]:
    """Between two populations lies exactly one layer of weights, and it belongs to one population.

    Positive and negative weights take separate ways (excitatory and inhibitory), so that two layers in a row are no
    product of weights; and a population's weights share its ring-buffer unit. Multiply linear layers into one; give
    each population its own copy.
    """
    users: dict[str, set[str]] = {}
    for path in all_paths(graph):
        if len(path.weighted) != 1:
            found = f"{len(path.weighted)} from {path.source} ({', '.join(path.weighted) or 'none'})"
            fix = "Run the pass add-weights." if not path.weighted else "Multiply the linear layers into one."
            yield Violation(path.target, "weight layers on a path", found, f"1 on {target.name}", fix)
        for name in path.weighted:
            users.setdefault(name, set()).add(path.target)
    for name, targets in users.items():
        if len(targets) > 1:
            found = ", ".join(sorted(targets))
            yield Violation(name, "populations fed", found, "1", "Give each population its own copy of the weights.")


def spiking_readout(graph: Graph, target: Target) -> Iterator[Violation]:
    """A read-out reads spikes of a population.

    Weights without a neuron behind them exist nowhere on the chip. Put a population behind them and count its spikes
    (or give it a threshold that it never reaches and read its membrane).
    """
    for node in graph.readouts:
        for edge in graph.incoming(node.name):
            if not isinstance(graph[edge.source], Neuron):
                fix = f"Put neurons before the read-out on {target.name}."
                yield Violation(node.name, "source", f"{edge.source} ({graph[edge.source].kind})", "a neuron", fix)


def delays(graph: Graph, target: Target) -> Iterator[Violation]:
    """A path takes 1 to 2048 steps.

    A packet needs a step, so that each cycle has at least one step of delay per population. Ring buffers of 64 neurons
    a core reach 128 steps. Beyond, delay-extension cores keep spikes for up to 8 stages of a ring's length, as
    sPyNNaker adds them; their program has memory for 2047 steps of 16 neurons, 1023 of 44, 511 of 100, 255 of 216, and
    with two stages and more the slices of both populations must be equal and full, or the tools put synapses on wrong
    neurons. Where that does not hold, populations get fewer neurons a core and longer rings.
    """
    try:
        edges, _ = retime(graph, target.conventions.hop_delay)
    except UnsupportedError as error:
        yield from error.violations or (Violation("graph", "delay", str(error), "at least 1 step per hop"),)
        return
    longest = target.limits["delay steps"].value
    for path in all_paths(replace(graph, edges=edges)):
        if path.delay > longest:
            fix = beyond(path.delay, longest)
            yield Violation(path.target, f"delay from {path.source}", str(path.delay), f"1 to {longest}", fix)


CONSTRAINTS = (
    node_types, pooling, binary_input, plain_neurons, no_lower_bound, hard_reset, membrane_leaks, current_decays, gains,
    reset_below_threshold, membrane_range, weight_biases, one_weight_per_path, spiking_readout, delays,
)  # fmt: skip
