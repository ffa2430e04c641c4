"""Float graph to the numbers of target spinnaker2: small whole weights, everything else float32.

For a population with weights W and gains c the chip computes ``exc = d*exc + w`` and ``v = a*v + (exc - inh) + i``
with ``w = round(S * W)`` and ``S = levels / max|W|`` over all weights into it; so its membrane is ``unit`` times the
model's with ``unit = S / c``, and thresholds, offsets and resets take the unit in.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.ir import Conventions, Edge, Fixed, FixedGraph, FloatArray, Format, Graph, Neuron, Node
from snnc.ir.fixed import SINGLE_BITS
from snnc.quantize.base import Calibration, Note, Quantized, QuantizeOptions, note, retime
from snnc_spinnaker.paths import paths_into, weights_of
from snnc_spinnaker.spinnaker2 import LIMITS, integer_weights, scale_of

CONVENTIONS = Conventions(
    hop_delay=1, membrane="float32", synapse="split", accumulator_bits=SINGLE_BITS, accumulator_overflow="saturate",
    aligned_start=False,
)  # fmt: skip
WEIGHT = Format(8, 0)
SINGLE = Format(26, 0)
WEIGHT_BITS = (2, 8)
ONE = Fixed(np.ones((), np.int64), SINGLE)
ZERO = Fixed(np.zeros((), np.int64), SINGLE)


def single(values: FloatArray, *, above: bool = False) -> Fixed:
    """Float32 numbers as integers of one format: 24 significant bits of the largest.

    Args:
        values: any shape.
        above: the smallest number above each value instead of the nearest.

    Raises:
        UnsupportedError: a number is too large or too small for a format.
    """
    peak = float(np.max(np.abs(values), initial=0.0))
    frac = SINGLE_BITS - 1 - int(np.floor(np.log2(peak))) if peak else 0
    if not -64 <= frac <= 64:
        raise UnsupportedError(str(Violation("parameter", "magnitude", f"{peak:g}", "2**-40 to 2**87")))
    scaled = np.ldexp(np.asarray(values, dtype=np.float64), frac)
    raw = np.floor(scaled) + 1 if above else np.rint(scaled)
    return Fixed(raw.astype(np.int64), replace(SINGLE, frac=frac))


def quantize(graph: Graph, _calibration: Calibration, options: QuantizeOptions) -> Quantized:
    """Makes the numbers of spinnaker2; weights alone set the scale.

    Args:
        graph: float graph that keeps the target's rules.
        options: ``weight_bits`` bounds the levels of a magnitude to ``2**(bits - 1) - 1``.

    Raises:
        InputError: weight_bits outside 2 to 8.
        UnsupportedError: a quantity has no float32 form.
    """
    bits = WEIGHT_BITS[1] if options.weight_bits is None else options.weight_bits
    if not WEIGHT_BITS[0] <= bits <= WEIGHT_BITS[1]:
        raise InputError(str(Violation("options", "weight_bits", str(bits), "2 to 8")))
    edges, latency = retime(graph, CONVENTIONS.hop_delay)
    made: dict[str, Node] = {}
    notes: list[Note] = []
    scales: dict[str, FloatArray] = {}
    for node in graph.neurons:
        delayed = has_delay(graph, edges, node)
        weights = list(weights_of(graph, node.name))
        largest = max(float(np.abs(np.asarray(w.weight)).max(initial=0.0)) for w in weights)
        word = LIMITS["weight with delay" if delayed else "weight without delay"].value
        scale = scale_of(largest, delays=delayed) * min(word, (1 << (bits - 1)) - 1) / word
        unit = np.asarray(scale / (np.asarray(node.gain) * np.asarray(node.gain_u)), dtype=np.float64)
        scales[node.name] = unit
        made[node.name], found = _neuron(node, unit)
        notes += found
        for weighted in weights:
            raw = integer_weights(np.asarray(weighted.weight), scale, delays=delayed)
            fixed = Fixed(raw, WEIGHT)
            made[weighted.name] = replace(weighted, weight=fixed, bias=None)
            notes.append(note(weighted.name, "weight", np.asarray(weighted.weight), fixed, scale))
    nodes = tuple(made.get(node.name, node) for node in graph.nodes)
    return Quantized(FixedGraph(nodes, edges, "spinnaker2", CONVENTIONS, latency), scales, tuple(notes))


def has_delay(graph: Graph, edges: tuple[Edge, ...], node: Neuron) -> bool:
    """True if a path into the population takes more than the one step of every packet."""
    return any(path.delay > 1 for path in paths_into(replace(graph, edges=edges), node.name))


def _neuron(node: Neuron, unit: FloatArray) -> tuple[Neuron, list[Note]]:
    values = {key: np.asarray(value, dtype=np.float64) for key, value in node.params().items()}
    offset = (values["bias"] + values["v_rest"] * (1 - values["decay_v"])) * unit
    wanted = {
        "threshold": values["threshold"] * unit, "bias": offset, "decay_u": values["decay_u"],
        "decay_v": values["decay_v"], "v_init": values["v_init"] * unit,
        "v_reset": values["v_reset"] * unit if node.reset_v == "value" else np.zeros(()),
    }  # fmt: skip
    fixed = {key: single(value, above=key == "threshold" and node.fires == "gt") for key, value in wanted.items()}
    notes = [note(node.name, key, value, fixed[key], 1.0) for key, value in wanted.items()]
    plain = replace(node, fires="ge", gain=ONE, gain_u=ONE, v_rest=ZERO)
    return replace(plain, **fixed), notes  # type: ignore[arg-type]
