"""Float graph to the integers of target spinnaker1.

For a population with weights W, decays a_u and a_v and gains c (``v = a_v v + c u``) the chip computes

    I = d * I + init * w,   V = alpha - e * (alpha - V),   alpha = R * I + V_rest

with d, init, e and R from :mod:`snnc_spinnaker.solve`. Weights become ``w16 = round(2**level * W)``, read by the chip
as ``w16 * 2**(shift - 15)`` nA; so a spike that moves v by c W moves V by ``R * (1 - e) * init * s * W`` with
``s = 2**(level + shift - 15)``, and the membrane's unit is ``S = s * R * (1 - e) * init / c`` per 1.0. Everything that
is not a power of two sits in S, which each neuron may have for itself: thresholds, resets and offsets take it in,
weights stay as they are (those with few binary digits stay exact).

``level`` is the largest with which no ring sum saturates, ``shift`` the largest with which nothing wraps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.ir import (
    Affine,
    Conv,
    Conventions,
    Fixed,
    FixedGraph,
    FloatArray,
    Format,
    Graph,
    IntArray,
    Neuron,
    Node,
    to_fixed,
)  # fmt: skip
from snnc.quantize.base import Calibration, Note, Quantized, QuantizeOptions, note, retime
from snnc_spinnaker import arith, solve
from snnc_spinnaker.levels import Levels, measure
from snnc_spinnaker.paths import weights_of
from snnc_spinnaker.room import grown, learns
from snnc_spinnaker.start import Idle, start_word

CONVENTIONS = Conventions(
    hop_delay=1, membrane="closed_form", synapse="split", accumulator_bits=16, accumulator_overflow="saturate",
    state_bits=32, state_frac=15, current_overflow="wrap", membrane_overflow="wrap", decay_rounding="floor",
    aligned_start=False,
)  # fmt: skip
ACCUM = Format(32, 15, overflow="refuse")
DECAY_U = Format(33, 32, signed=False)
GAIN_U = Format(34, 32, signed=False)
WEIGHT_FORMAT = Format(17, 15)
ONE_U = 1 << 32
WEIGHT_BITS = (2, 16)
RING_LIMIT = 64000
"""Ring sums are planned up to here, 2.3 % below 65535: room for the rounding of composed weights."""
STATE_LIMIT = 60000.0
"""Currents and membranes are planned up to here, of 65536."""
SAFETY = 2.0
"""Factor between what calibration saw and what is planned for, unless the weights prove less."""
FINE = float(1 << 13)
"""Raw membrane units that the leak of a membrane at threshold should have at least."""


@dataclass(frozen=True, eq=False)
class Chip:
    """Constants of one population as the chip will have them, broadcastable to its shape."""

    resistance: IntArray
    leak: IntArray
    fraction: IntArray
    first: IntArray

    @property
    def unit(self) -> FloatArray:
        """V that one nA of new input adds in one step: ``R * (1 - e) * init``."""
        return np.asarray(self.resistance * (arith.ONE - self.leak) / 2.0**30 * self.reach)

    @property
    def reach(self) -> FloatArray:
        """First-step scale as a float."""
        return np.asarray(self.first / float(ONE_U))


@dataclass(frozen=True, eq=False)
class Plan:
    """The choices for one population.

    Attributes:
        chip: its constants.
        level: log2 of weight16 per 1.0, one for the population or (C, 1, ...) one per channel.
        shift: of the ring buffer.
        scale: V per 1.0 of the float membrane.
    """

    chip: Chip
    level: IntArray
    shift: int
    scale: FloatArray

    @property
    def weight_scale(self) -> FloatArray:
        """Current in nA per 1.0 of the float weights."""
        return np.asarray(np.ldexp(1.0, self.level + self.shift - 15))


def quantize(graph: Graph, calibration: Calibration, options: QuantizeOptions) -> Quantized:
    """Makes the integers of spinnaker1.

    Args:
        graph: float graph that keeps the target's constraints.
        calibration: samples and the float run of exactly this graph.
        options: ``weight_bits`` bounds the levels of a weight's magnitude to ``2**bits - 1``; ``per_channel`` gives
            each channel its own weight scale where weights reach the neurons in place, but not where weights learn;
            ``grows`` leaves room for weights that learn.

    Raises:
        InputError: weight_bits outside 2 to 16, or a calibration without spikes of a source.
        UnsupportedError: a quantity has no integer form.
    """
    bits = WEIGHT_BITS[1] if options.weight_bits is None else options.weight_bits
    if not WEIGHT_BITS[0] <= bits <= WEIGHT_BITS[1]:
        raise InputError(str(Violation("options", "weight_bits", str(bits), "2 to 16")))
    edges, latency = retime(graph, CONVENTIONS.hop_delay)
    made: dict[str, Node] = {}
    notes: list[Note] = []
    scales: dict[str, FloatArray] = {}
    units: dict[str, tuple[float, float]] = {}
    room = grown(graph, options.grows)
    for node in graph.neurons:
        channels = options.per_channel and not learns(graph, node, options.grows)
        plan = _plan(room, node, measure(room, node, calibration), bits, channels)
        scales[node.name] = plan.scale * arith.ONE
        made[node.name], found = _neuron(node, plan, latency[node.name])
        notes += found
        for weighted in weights_of(graph, node.name):
            if weighted.name in made:
                raise UnsupportedError(f"{weighted.name}: one weight node feeds several populations")
            made[weighted.name], weight_note = _weight(weighted, plan)
            notes.append(weight_note)
            if plan.level.size == 1:
                units[weighted.name] = float(np.ldexp(1.0, -int(plan.level.item()))), float(plan.weight_scale.item())
    nodes = tuple(made.get(node.name, node) for node in graph.nodes)
    return Quantized(FixedGraph(nodes, edges, "spinnaker1", CONVENTIONS, latency), scales, tuple(notes), units)


def _chip(node: Neuron) -> Chip:
    decay_u, decay_v = np.asarray(node.decay_u), np.asarray(node.decay_v)
    resistance, leak = solve.each("membrane", decay_v)
    if not np.any(decay_u):
        return Chip(resistance, leak, np.zeros((), np.int64), np.full((), ONE_U))
    fraction, first = solve.each("synapse", decay_u)
    return Chip(resistance, leak, fraction, first)


def _floats(node: Neuron) -> dict[str, FloatArray]:
    found = {key: np.asarray(value, dtype=np.float64) for key, value in node.params().items()}
    if node.reset_v == "zero":
        found["v_reset"] = np.zeros(())
    return found


def _plan(graph: Graph, node: Neuron, levels: Levels, bits: int, per_channel: bool) -> Plan:
    chip, values = _chip(node), _floats(node)
    gain = values["gain"] * values["gain_u"]
    weights = list(weights_of(graph, node.name))
    channels = per_channel and all(_in_place(graph, weight, node) for weight in weights)
    level = _level(node, levels, weights, bits, channels)
    unit = np.asarray(chip.unit / gain)
    sure, seen = (_largest_scale(node, chip, values, peak) for peak in _peaks(chip, levels, level, node))
    shifts = [_shift(limit, level) for limit in (sure, seen)]
    fine = np.min(np.ldexp(1.0, level + shifts[0] - 15) * unit * values["threshold"] * (1 - chip.leak / arith.ONE))
    shift = shifts[0] if fine * arith.ONE >= FINE else max(shifts)
    if shift < 0:
        level, shift = level + shift, 0
    scale = np.asarray(np.ldexp(1.0, level + shift - 15) * unit)
    return Plan(chip, level, shift, scale)


def _level(node: Neuron, levels: Levels, weights: list[Affine | Conv], bits: int, channels: bool) -> IntArray:
    """Largest power of two by which weights fit their bits and ring sums their 16."""
    need = np.maximum(levels.single, np.minimum(levels.bound, SAFETY * levels.ring)).reshape(node.shape)
    axes = tuple(range(1, len(node.shape))) if channels else None
    peak = np.max(need, axis=axes, keepdims=channels)
    largest = np.zeros(())
    for weight in weights:
        values = np.abs(np.asarray(weight.weight))
        kept = np.max(values.reshape(len(values), -1), axis=1).reshape(-1, *(1,) * (len(node.shape) - 1))
        largest = np.maximum(largest, kept if channels else values.max())
    room = np.minimum(RING_LIMIT / np.maximum(peak, 2.0**-40), ((1 << bits) - 1) / np.maximum(largest, 2.0**-40))
    return np.asarray(np.floor(np.log2(room)), dtype=np.int64)


def _in_place(graph: Graph, weight: Affine | Conv, node: Neuron) -> bool:
    """True if output channels of the weights are channels of the population."""
    same = graph.shapes[weight.name] == node.shape
    targets = [edge.target for edge in graph.outgoing(weight.name)]
    return same and all(name == node.name or graph[name].kind in ("add", "identity") for name in targets)


def _peaks(chip: Chip, levels: Levels, level: IntArray, node: Neuron) -> Iterator[FloatArray]:
    """Largest current in units of the float weights: what the ring can hold at all, and what calibration suggests."""
    bound = levels.bound.reshape(node.shape)
    kept = chip.fraction / float(ONE_U)
    yield np.asarray(np.minimum(bound, 65535 / np.ldexp(1.0, level)) / (1 - kept))
    yield np.asarray(np.minimum(SAFETY * levels.current.reshape(node.shape), bound / (1 - kept)))


def _largest_scale(node: Neuron, chip: Chip, values: dict[str, FloatArray], peak: FloatArray) -> FloatArray:
    """Largest s (nA per 1.0 of weight) with which currents and membranes stay below STATE_LIMIT."""
    gain = values["gain"] * values["gain_u"]
    unit = chip.unit / gain
    resistance = chip.resistance / arith.ONE
    offset = np.abs(values["bias"]) / values["gain"] / values["gain_u"] * chip.reach
    alpha = resistance * (chip.reach * peak + offset) + np.abs(values["v_rest"]) * unit
    others = np.maximum(np.abs(values["v_reset"]), np.abs(values["v_init"])) * unit
    worst = np.maximum.reduce(
        np.broadcast_arrays(alpha + np.maximum(alpha, others), chip.reach * peak, offset, values["threshold"] * unit)
    )
    return np.asarray(np.broadcast_to(STATE_LIMIT / worst, node.shape))


def _shift(limit: FloatArray, level: IntArray) -> int:
    """Largest ring shift with ``2**(level + shift - 15) <= limit``; at most 15, may be negative."""
    return int(min(15, np.min(np.floor(np.log2(limit)) - level) + 15))


def _neuron(node: Neuron, plan: Plan, latency: int) -> tuple[Neuron, list[Note]]:
    chip = plan.chip
    amps = plan.scale * float(1 << 30) / (chip.resistance * (arith.ONE - chip.leak))
    values = {
        key: np.broadcast_to(value, np.broadcast_shapes(value.shape, amps.shape))
        for key, value in _floats(node).items()
    }
    volts = {key: _volts(node, key, values[key] * plan.scale) for key in ("threshold", "v_rest", "v_reset", "v_init")}
    if node.fires == "gt":
        above = np.floor(values["threshold"] * plan.scale * arith.ONE).astype(np.int64) + 1
        volts["threshold"] = Fixed(above, ACCUM)
    if np.any(volts["threshold"].raw < 1):
        found = f"{float(np.min(values['threshold'])):g}, less than one unit of the membrane"
        raise UnsupportedError(str(Violation(node.name, "threshold", found, "at least one unit")))
    bias = _volts(node, "bias", values["bias"] * amps)
    decay_u, decay_v = Fixed(chip.fraction, DECAY_U), Fixed(chip.leak, ACCUM)
    notes = [note(node.name, key, values[key], volts[key], plan.scale) for key in volts] + [
        note(node.name, "bias", values["bias"], bias, amps),
        note(node.name, "decay_u", values["decay_u"], decay_u, 1.0),
        note(node.name, "decay_v", values["decay_v"], decay_v, 1.0),
    ]
    idle = Idle(bias.raw, volts["v_rest"].raw, chip.resistance, chip.leak, volts["threshold"].raw)
    start = start_word(node.name, volts["v_init"].raw, idle, latency)
    fixed = replace(
        node, decay_u=decay_u, decay_v=decay_v, gain_u=Fixed(chip.first, GAIN_U), gain=Fixed(chip.resistance, ACCUM),
        bias=bias, threshold=volts["threshold"], v_rest=volts["v_rest"], v_reset=volts["v_reset"],
        v_init=Fixed(start, ACCUM), fires="ge",
    )  # fmt: skip
    return fixed, notes


def _volts(node: Neuron, key: str, values: FloatArray) -> Fixed:
    if np.any(np.abs(values) >= 65535):
        found = f"{float(np.max(np.abs(values))):g} on the chip's scale"
        raise UnsupportedError(str(Violation(node.name, key, found, "-65535 to 65535")))
    return to_fixed(values, ACCUM)


def _weight(node: Affine | Conv, plan: Plan) -> tuple[Node, Note]:
    scale = plan.weight_scale
    per_row = scale.reshape(-1, *(1,) * (len(node.weight.shape) - 1)) if scale.size > 1 else scale.reshape(())
    fixed = to_fixed(np.asarray(node.weight) * per_row, replace(WEIGHT_FORMAT, frac=15 - plan.shift))
    made = replace(node, weight=fixed, bias=None)
    return made, note(node.name, "weight", np.asarray(node.weight), fixed, per_row)
