"""Target: what a chip is, as data. A back end is the code that serves one or more targets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import Conventions, Format, Graph
from snnc.learning.account import LearningAccount, LearningOptions
from snnc.learning.rule import Rule
from snnc.passes.base import Pass
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions

Constraint = Callable[[Graph, "Target"], Iterator[Violation]]
Learning = Callable[[Rule, LearningOptions], LearningAccount]
Quantizer = Callable[[Graph, Calibration, QuantizeOptions], Quantized]


@dataclass(frozen=True)
class Limit:
    """A number that the hardware sets, with where it is written."""

    value: int
    unit: str
    source: str


OUTPUT_FIXES: Mapping[str, str] = MappingProxyType(
    {
        "multi": "Train with one spike a step (sinabs: spike_fn=SingleSpike).",
        "graded": "Compute the integrator on the host, from the spikes of the layer before (return them beside its "
        "membrane, and capture takes them), or end with a spiking neuron.",
    }
)
"""What to do about an output of neurons that a target does not have."""


@dataclass(frozen=True, eq=False)
class Target:
    """A chip (or a simulator) as data.

    Attributes:
        name: what the user types.
        summary: one line.
        conventions: how its integers execute.
        formats: formats by quantity (weight, decay_u, decay_v, threshold, bias, state).
        limits: resources by name.
        constraints: functions over the float graph after passes; a constraint's docstring is its rule, its message
            and its manual entry (first line: the rule; rest: why and what to do).
        quantize: makes the integers of this target.
        prepare: passes that this target needs after the common ones (such as moving biases), run before its
            constraints are checked.
        allowances: approximations by name (such as ``hard-reset``) that a user may allow where a rule refuses.
        weight_bits: smallest and largest weight width.
        per_channel: true if neurons of one layer may have different gains.
        variants: conventions by the word that ``--overflow`` takes, where sources disagree on what a register does
            beyond its width; the target's own among them.
        learning: what the target makes of a plasticity rule; None if its synapses do not learn.
        energy: picojoules by event, with the source in the key's text; empty if none is known.
    """

    name: str
    summary: str
    conventions: Conventions
    formats: Mapping[str, Format]
    limits: Mapping[str, Limit]
    constraints: tuple[Constraint, ...]
    quantize: Quantizer
    prepare: tuple[Pass, ...] = ()
    allowances: Mapping[str, Pass] = field(default_factory=dict)
    weight_bits: tuple[int, int] = (2, 16)
    per_channel: bool = False
    variants: Mapping[str, Conventions] = field(default_factory=dict)
    energy: Mapping[str, float] = field(default_factory=dict)
    learning: Learning | None = None


def rule(constraint: Constraint) -> str:
    """First line of the constraint's docstring."""
    return str(inspect.getdoc(constraint) or "").splitlines()[0]


def check(graph: Graph, target: Target) -> tuple[Violation, ...]:
    """All constraints of the target that the graph breaks, none left out."""
    return tuple(violation for constraint in target.constraints for violation in constraint(graph, target))


def no_lower_bound(graph: Graph, target: Target) -> Iterator[Violation]:
    """The membrane has no lower bound of its own.

    A v_min (sinabs: min_v_mem) has no integer step here: without it a membrane falls as far as inhibition takes it.
    Train without one.
    """
    for node in graph.neurons:
        if node.v_min is not None:
            found = f"{float(np.max(np.asarray(node.v_min))):g}"
            fix = "Train without a lower bound (sinabs: min_v_mem=None)."
            yield Violation(node.name, "v_min", found, f"none on {target.name}", fix)


def demand(graph: Graph, target: Target) -> None:
    """Raises if the graph breaks a constraint of the target.

    Raises:
        UnsupportedError: with every violation.
    """
    violations = check(graph, target)
    if violations:
        raise UnsupportedError(f"{target.name} cannot run this network natively", violations=violations)
