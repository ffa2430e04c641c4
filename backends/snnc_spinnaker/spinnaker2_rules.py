"""What spinnaker2 has no native way to do: one function per rule, over the float graph after the passes.

As in :mod:`snnc_spinnaker.constraints`, whose rules it shares where the chips are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import Graph
from snnc.quantize.base import retime
from snnc.target import Target, no_lower_bound
from snnc_spinnaker.constraints import (
    binary_input,
    gains,
    node_types,
    one_weight_per_path,
    plain_neurons,
    pooling,
    spiking_readout,
    weight_biases,
)
from snnc_spinnaker.paths import all_paths


def immediate_reset(graph: Graph, target: Target) -> Iterator[Violation]:
    """A spike takes the threshold away from the membrane or sets it to a value, at once, and leaves the current alone.

    The programs have reset_by_subtraction and reset_to_v_reset. They cannot keep V, wait a step, or clear the synaptic
    current.
    """
    for node in graph.neurons:
        if node.reset_v == "none" and node.output != "graded":
            yield Violation(
                node.name, "reset_v", "none", f"subtract, zero or value on {target.name}", "Train with one."
            )
        if node.reset_delay:
            yield Violation(node.name, "reset_delay", str(node.reset_delay), "0", "Reset in the step of the spike.")
        if node.reset_u:
            yield Violation(node.name, "reset_u", "True", "False", "Synaptic currents outlive a spike.")


def no_refractory(graph: Graph, target: Target) -> Iterator[Violation]:
    """There is no refractory period.

    The program of filtered synapses has t_refrac, but nothing that was read says what it holds still; it is not used.
    """
    for node in graph.neurons:
        if node.refractory:
            fix = f"Train without a refractory period for {target.name}."
            yield Violation(node.name, "refractory", str(node.refractory), "0", fix)


def kept_fractions(graph: Graph, target: Target) -> Iterator[Violation]:
    """A membrane keeps 0 to all of itself per step, a synaptic current 0 to less than all.

    alpha_decay = 1 is an integrator without leak. A current that never decays would grow without bound.
    """
    for node in graph.neurons:
        for key, high in (("decay_v", 1.0), ("decay_u", np.nextafter(1.0, 0.0))):
            value = np.asarray(getattr(node, key))
            wrong = (value < 0) | (value > high)
            if np.any(wrong):
                allowed = "0 to 1" if key == "decay_v" else "0 to less than 1"
                yield Violation(node.name, key, f"{float(value[wrong].flat[0]):g}", f"{allowed} on {target.name}")


def delays(graph: Graph, target: Target) -> Iterator[Violation]:
    """A path takes 1 to 8 steps.

    A packet needs a step and a synaptic word holds 0 to 7 more. Words with a delay leave 4 bits for the weight, so that
    a population that any delayed path reaches has 15 levels instead of 127.
    """
    try:
        edges, _ = retime(graph, target.conventions.hop_delay)
    except UnsupportedError as error:
        yield from error.violations or (Violation("graph", "delay", str(error), "at least 1 step per hop"),)
        return
    longest = target.limits["delay"].value + 1
    for path in all_paths(replace(graph, edges=edges)):
        if path.delay > longest:
            fix = "Shorten it, or pass it through a population that only relays."
            yield Violation(path.target, f"delay from {path.source}", str(path.delay), f"1 to {longest}", fix)


RULES = (
    node_types, pooling, binary_input, plain_neurons, no_lower_bound, immediate_reset, no_refractory, kept_fractions,
    gains, weight_biases, one_weight_per_path, spiking_readout, delays,
)  # fmt: skip
