"""Target ``generic``: integers without a chip, and what its definition cannot execute."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from snnc.errors import Violation
from snnc.ir import Affine, Conv, Conventions, Format, Graph, Input, Neuron, Node, Pool, Readout, Scale
from snnc.ir.nodes import Add, Concat, Delay, Flatten, Identity
from snnc.learning import lower_rule
from snnc.passes import AddWeights
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions
from snnc.quantize.direct import joined
from snnc.quantize.shift import ShiftProfile, quantize_shift
from snnc.target import OUTPUT_FIXES, Target, no_lower_bound

EXECUTED = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Delay, Neuron, Readout)
PROFILE = ShiftProfile("generic", Conventions(register_bits=62), exponents=(-6, 0), direct_bits=12)


def known_types(graph: Graph, target: Target) -> Iterator[Violation]:
    """Every node is of a type that the reference executes in integers.

    Time-dependent scales, synaptic filters and winner-take-all groups have no integer step yet. A Scale is what batch
    normalisation becomes when no pass could fuse it: give its weights only one consumer.
    """
    for node in graph.nodes:
        if isinstance(node, Scale):
            fix = "Batch normalisation could not be fused: let the weights before it feed nothing else."
            yield Violation(node.name, "node type", "scale", "none in integers", fix)
        elif not isinstance(node, EXECUTED):
            yield Violation(node.name, "node type", node.kind, f"a type that {target.name} executes")


def sums_only(graph: Graph, _target: Target) -> Iterator[Violation]:
    """Pooling sums or takes the maximum.

    An average divides, and integers would lose the remainder. The pass average-to-sum moves the factor into weights;
    it stays where the average is added to something else or read out.
    """
    for node in graph.nodes:
        if isinstance(node, Pool) and node.pooling == "avg":
            fix = "Run the pass average-to-sum; pool before the addition, or use a strided convolution."
            yield Violation(node.name, "pooling", "avg", "sum or max", fix)


def analog_alone(graph: Graph, _target: Target) -> Iterator[Violation]:
    """Weights see analog values or spikes, not both.

    Analog input values become integers of 12 bits, in steps that fit the largest value of calibration; larger ones
    clip later. A weight counts in steps of one input, so the two may be added behind their weights only.
    """
    yield from joined(graph)


def plain_neurons(graph: Graph, _target: Target) -> Iterator[Violation]:
    """Neurons are leaky integrators with u, v, a reset and a refractory time, and nothing more.

    Adaptation, graded or several spikes per step, linear leak, one-shot and per-step parameters are fields of the
    graph that the integer step does not implement yet.
    """
    plain = {
        "fire_from": "updated", "leak": "exp", "adaptation": (), "output": "binary", "one_shot": False, "schedule": (),
    }  # fmt: skip
    for node in graph.neurons:
        for key, want in plain.items():
            if getattr(node, key) != want:
                fix = OUTPUT_FIXES.get(node.output, "") if key == "output" else ""
                fix = fix or "Not implemented yet."
                yield Violation(node.name, key, str(getattr(node, key)), str(want), fix)
        if node.reset_delay not in (0, 1):
            yield Violation(node.name, "reset_delay", str(node.reset_delay), "0 or 1")


def unit_gains(graph: Graph, _target: Target) -> Iterator[Violation]:
    """Both gains are 1 and v_rest is 0.

    The passes fold-gain and fold-rest bring this about; what they cannot fold is a gain that is zero or negative
    without weights before the neuron, and a resting value under a reset that subtracts the threshold.
    """
    for node in graph.neurons:
        yield from _folded(node, "gain", 1.0, "fold-gain")
        yield from _folded(node, "gain_u", 1.0, "fold-gain")
        yield from _folded(node, "v_rest", 0.0, "fold-rest")


def kept_fractions(graph: Graph, _target: Target) -> Iterator[Violation]:
    """decay_u and decay_v lie between 0 and 1.

    They are the fraction kept per step; more than 1 would grow without bound, less than 0 would alternate.
    """
    for node in graph.neurons:
        for key in ("decay_u", "decay_v"):
            value = np.asarray(getattr(node, key))
            if np.any((value < 0) | (value > 1)):
                found = float(value[(value < 0) | (value > 1)].flat[0]) if value.ndim else float(value)
                yield Violation(node.name, key, f"{found:g}", "0 to 1")


def _folded(node: Node, key: str, want: float, step: str) -> Iterator[Violation]:
    value = np.asarray(getattr(node, key))
    if np.any(value != want):
        found = float(value[value != want].flat[0]) if value.ndim else float(value)
        yield Violation(node.name, key, f"{found:g}", f"{want:g}", f"Run the pass {step}.")


def quantize(graph: Graph, calibration: Calibration, options: QuantizeOptions) -> Quantized:
    """Integers of the generic target; see :func:`snnc.quantize.shift.quantize_shift`."""
    return quantize_shift(graph, calibration, options, PROFILE)


GENERIC = Target(
    name="generic",
    summary="integers of any width, no hop delay, soft and hard reset; the definition itself",
    conventions=PROFILE.conventions,
    formats={
        "weight": Format(8, -6),
        "decay_u": PROFILE.decay,
        "decay_v": PROFILE.decay,
        "threshold": PROFILE.threshold,
        "bias": PROFILE.bias,
        "state": Format(32, 0),
    },
    limits={},
    constraints=(known_types, sums_only, analog_alone, plain_neurons, no_lower_bound, unit_gains, kept_fractions),
    quantize=quantize,
    prepare=(AddWeights(),),
    weight_bits=PROFILE.weight_bits,
    per_channel=PROFILE.per_channel,
    learning=partial(lower_rule, target="generic"),
)
