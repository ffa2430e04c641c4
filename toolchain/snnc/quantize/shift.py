"""Integers for targets of the shift family (generic, Loihi): groups -> gains -> integers, with a note for each."""

from __future__ import annotations

import numpy as np

from snnc.ir import FixedGraph, FloatArray, Graph, Neuron, Node
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions, retime
from snnc.quantize.direct import direct
from snnc.quantize.groups import Weighted, groups, refuse
from snnc.quantize.profile import ShiftProfile
from snnc.quantize.rewrite import Writer, lattice_of
from snnc.quantize.rewrite import refuse as refuse_values
from snnc.quantize.scales import search

__all__ = ["ShiftProfile", "quantize_shift"]


def quantize_shift(
    graph: Graph, calibration: Calibration, options: QuantizeOptions, profile: ShiftProfile
) -> Quantized:
    """Turns a float graph into the integers of the profile.

    ``Target.quantize`` is ``lambda graph, calibration, options: quantize_shift(graph, calibration, options, P)``.
    Every neuron parameter comes out as small as its values allow: a scalar if all are equal.

    Args:
        graph: after the passes: gain = gain_u = 1, v_rest = 0, no Scale, no average pooling, weights before every
            neuron (pass add-weights).
        calibration: samples and the float run of exactly this graph, with states; the format of an analog input is
            chosen by the largest value of the samples.
        options: weight width and per-channel gains. Per-channel gains need a target that has them and weights whose
            channels reach the neurons in place (no Flatten or Concat between); other layers keep one gain.
        profile: the target's arithmetic.

    Returns:
        Integers, state units per 1.0 by population, and one note per quantity.

    Raises:
        InputError: the options ask for a width that the target does not have.
        UnsupportedError: a quantity has no integer form on the target.
    """
    bits = profile.width(options.weight_bits)
    refuse(graph, profile)
    analog = direct(graph, calibration, profile.direct_bits)
    graph, calibration = analog.graph, analog.calibration
    found = groups(graph)
    scales = search(graph, found, calibration, options, profile)
    home = {name: group for group in found for name in (*group.weights, *group.neurons)}
    writer = Writer(profile, bits)
    made: dict[str, Node] = {node.name: node for node in analog.nodes}
    weighted = (node for node in graph.nodes if isinstance(node, Weighted))
    weights = {node.name: writer.weights(node, scales[home[node.name]]) for node in weighted}
    units: dict[str, FloatArray] = {}
    for node in graph.nodes:
        if isinstance(node, Neuron):
            group = home[node.name]
            unit = scales[group].unit
            units[node.name] = unit.reshape(-1, *(1,) * (len(node.shape) - 1)) if unit.ndim else unit
            lattice = lattice_of(weights, group.weights, profile.conventions.state_frac)
            made[node.name] = writer.neuron(node, units[node.name], lattice=lattice)
    refuse_values(writer.violations, profile.target)
    made.update(weights)
    edges, latency = retime(graph, profile.conventions.hop_delay)
    nodes = tuple(made.get(node.name, node) for node in graph.nodes)
    fixed = FixedGraph(nodes, edges, profile.target, profile.conventions, latency)
    return Quantized(fixed, {name: np.asarray(unit) for name, unit in units.items()}, analog.noted(writer.notes))
