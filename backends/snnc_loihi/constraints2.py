"""What a float network must be so that Loihi 2 runs it natively. A docstring is rule, message and manual entry."""

# ruff: noqa: ARG001 - every constraint takes (graph, target), and most need no number of the target

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snnc.errors import Violation
from snnc.ir import Graph
from snnc.target import OUTPUT_FIXES, Target, no_lower_bound
from snnc_loihi import constraints as layers
from snnc_loihi import constraints_neuron as neurons

PLAIN = {
    "fire_from": "updated", "leak": "exp", "adaptation": (), "output": "binary", "one_shot": False, "schedule": (),
}  # fmt: skip


def plain_neurons(graph: Graph, target: Target) -> Iterator[Violation]:
    """A neuron has u, v, a threshold, a reset and a refractory time, and sends 0 or 1.

    Loihi 2 could be programmed to do more (graded spikes, adaptation, other leaks); this program does not, and
    refuses what it would get wrong.
    """
    for node in graph.neurons:
        for key, want in PLAIN.items():
            if getattr(node, key) != want:
                allowed = "none" if want == () else str(want)
                fix = OUTPUT_FIXES.get(node.output, "") if key == "output" else ""
                fix = fix or "Not in the neuron program yet."
                yield Violation(node.name, key, str(getattr(node, key)), allowed, fix)


def reset_in_time(graph: Graph, target: Target) -> Iterator[Violation]:
    """The reset comes with the spike or one step later.

    The program remembers the last step's spike and no earlier one.
    """
    for node in graph.neurons:
        if node.reset_delay not in (0, 1):
            yield Violation(node.name, "reset_delay", str(node.reset_delay), "0 or 1")


def kept_fractions(graph: Graph, target: Target) -> Iterator[Violation]:
    """decay_u and decay_v lie between 0 and 1; they may differ from neuron to neuron.

    They are the fraction kept per step, in 4096ths.
    """
    for node in graph.neurons:
        for key in ("decay_u", "decay_v"):
            value = np.asarray(getattr(node, key))
            if np.any((value < 0) | (value > 1)):
                yield Violation(node.name, key, neurons.span(value), "0 to 1")


CONSTRAINTS = (
    layers.known_nodes,
    layers.sum_pooling,
    layers.spiking_input,
    plain_neurons,
    reset_in_time,
    no_lower_bound,
    kept_fractions,
    neurons.rest_at_zero,
    neurons.folded_gain,
    layers.bias_on_neurons,
    layers.one_weighted_layer,
    layers.delays_fit,
    layers.silent_before_its_input,
)
