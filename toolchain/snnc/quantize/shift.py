"""Integers for targets of the shift family (generic, Loihi): groups -> gains -> integers, with a note for each."""

from __future__ import annotations

import numpy as np

from snnc.ir import FixedGraph, FloatArray, Graph, Neuron, Node
from snnc.quantize import host
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
    writer = Writer(profile, profile.width(options.weight_bits))
    refuse(graph, profile)
    driven = host.hosted(graph) if profile.host else {}
    analog = direct(graph, calibration, profile.direct_bits)
    graph, calibration = analog.graph, analog.calibration
    host.demand_held(driven, graph, calibration)
    found = groups(graph)
    scales = search(graph, found, calibration, options, profile, driven)
    home = {name: group for group in found for name in (*group.weights, *group.neurons)}
    made: dict[str, Node] = {node.name: node for node in analog.nodes}
    weighted = (node for node in graph.nodes if isinstance(node, Weighted) and node.name not in driven)
    weights = {node.name: writer.weights(node, scales[home[node.name]]) for node in weighted}
    for name in driven:
        layer = host.written(graph, name, scales[home[name]].unit, calibration, profile)
        graph, weights[name] = graph.replace_node(layer.neuron), layer.weights
        writer.notes += layer.notes
    units = {node.name: _spread(scales[home[node.name]].unit, node) for node in graph.neurons}
    for node in graph.neurons:
        lattice = lattice_of(weights, home[node.name].weights, profile.conventions.state_frac)
        made[node.name] = writer.neuron(node, units[node.name], lattice=lattice)
    refuse_values(writer.violations, profile.target)
    made.update(weights)
    edges, latency = retime(graph, profile.conventions.hop_delay)
    nodes = tuple(made.get(node.name, node) for node in graph.nodes)
    fixed = FixedGraph(nodes, edges, profile.target, profile.conventions, latency)
    return Quantized(fixed, {name: np.asarray(unit) for name, unit in units.items()}, analog.noted(writer.notes))


def _spread(unit: FloatArray, node: Neuron) -> FloatArray:
    """A scalar, or a value per channel that broadcasts to the population."""
    return unit.reshape(-1, *(1,) * (len(node.shape) - 1)) if unit.ndim else unit
