"""What a float neuron must be so that a Loihi 1 compartment is one. A docstring is rule, message and manual entry."""

# ruff: noqa: ARG001 - every constraint takes (graph, target), and most need no number of the target

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from snnc.errors import Violation
from snnc.ir import Graph, Neuron
from snnc.target import OUTPUT_FIXES, Target, no_lower_bound


def _neurons(
    graph: Graph, quantity: str, broken: Callable[[Neuron], Any], allowed: str, fix: str
) -> Iterator[Violation]:
    """One violation per population whose ``broken`` gives what was found."""
    for node in graph.neurons:
        found = broken(node)
        if found is not None and found is not False:
            yield Violation(node.name, quantity, str(found), allowed, fix)


def span(value: Any) -> str:
    """A parameter in words: its value, or its smallest and largest."""
    low, high = float(np.min(np.asarray(value))), float(np.max(np.asarray(value)))
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _unless(value: Any, number: float) -> str | None:
    return span(value) if np.any(np.asarray(value) != number) else None


def binary_spikes(graph: Graph, target: Target) -> Iterator[Violation]:
    """A neuron sends 0 or 1.

    Graded, ternary and multiple spikes need Loihi 2. sinabs sends one spike a step with ``spike_fn=SingleSpike``.
    """
    for node in graph.neurons:
        if node.output != "binary":
            fix = OUTPUT_FIXES.get(node.output, "Use a neuron with binary spikes.")
            yield Violation(node.name, "output", node.output, "binary", fix)


def hard_reset(graph: Graph, target: Target) -> Iterator[Violation]:
    """A spike sets the membrane to zero.

    Loihi 1 subtracts nothing from the membrane and cannot leave it alone. Train with the hard reset, take Loihi 2,
    or give ``--allow hard-reset``: the pass replaces the soft reset, and the report says how many spikes that changed.
    """
    fixes = {"subtract": "Train with reset to zero, take loihi2, or measure the error of --allow hard-reset."}
    for node in graph.neurons:
        if node.reset_v not in ("zero", "value") and (node.output, node.reset_v) != ("graded", "none"):
            yield Violation(node.name, "reset_v", node.reset_v, "zero", fixes.get(node.reset_v, "Train with a reset."))


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

    Lava takes one du and one dv per process; a core of the chip holds 32 pairs of them. Values that round to the same
    4096th are one. Share them in the layer, make a layer of each value, or take Loihi 2.
    """
    profiles = target.limits["decay profiles"].value if "decay profiles" in target.limits else 1
    for node in graph.neurons:
        for key in ("decay_u", "decay_v"):
            values = np.unique(np.rint(np.asarray(getattr(node, key)) * 4096))
            if len(values) > 1:
                found = f"{len(values)} values in steps of 1/4096"
                allowed = f"one per population (a core has {profiles} profiles of du and dv, Lava's process has one)"
                fix = "Share it in the layer, make a layer of each value, or take loihi2."
                yield Violation(node.name, key, found, allowed, fix)


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
    return None if np.all(legal) else span(array)


NEURON_CONSTRAINTS = (
    binary_spikes,
    hard_reset,
    reset_to_zero,
    rest_at_zero,
    start_at_zero,
    immediate_reset,
    current_survives_spike,
    no_refractory,
    no_adaptation,
    exponential_leak,
    fires_after_update,
    repeated_spikes,
    constant_parameters,
    folded_gain,
    shared_decays,
    decaying_current,
    remembering_membrane,
    no_lower_bound,
)
