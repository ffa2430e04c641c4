"""Layers of a ``.net`` file -> the float graph that SLAYER trained, and the integers that it stored, unchanged.

One 1.0 of SLAYER is 4096 units of state, and weights, biases and thresholds are stored in steps of 64 units. All of
them are dyadic, so the float graph holds them exactly; what the integers add is the decay that truncates toward zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.formats.slayer_layers import DECAY, Cuba, Flat, Layers, Weights
from snnc.ir import (
    Affine,
    Conv,
    Conventions,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Format,
    Graph,
    Input,
    IntArray,
    Neuron,
    Node,
    Readout,
)  # fmt: skip
from snnc.ir.nodes import Param
from snnc.quantize.base import Note, Quantized, note, retime

Fires = Literal["gt", "ge"]
INPUT = "input"
UNITS = 4096.0
STEP = 64
STEP_BITS = 6
MAX_BIAS = 4095
KEPT = Format(13, 12, signed=False)
ONE = Fixed(np.ones((), dtype=np.int64), Format(2, 0, signed=False))
ZERO = Fixed(np.zeros((), dtype=np.int64), Format(24, 0))


def float_graph(layers: Layers, fires: Fires) -> Graph:
    """The float twin: the same numbers, decays without truncation.

    Args:
        layers: checked layers.
        fires: ``gt`` or ``ge``.
    """
    nodes: list[Node] = [Input(INPUT, layers.shape)]
    edges: list[Edge] = []
    for layer in layers.layers:
        made = [Flatten(layer.name)] if isinstance(layer, Flat) else _float_layer(layer, fires)
        for node in made:
            edges.append(Edge(nodes[-1].name, node.name))
            nodes.append(node)
    last = layers.layers[-1]
    if isinstance(last, Weights) and last.neuron.spikes:
        edges.append(Edge(last.name, "output"))
        nodes.append(Readout("output", "count"))
    return Graph(tuple(nodes), tuple(edges))


def _float_layer(layer: Weights, fires: Fires) -> list[Node]:
    neuron = layer.neuron
    bias = np.zeros(()) if layer.bias is None else _column(layer.bias, layer.shape) / STEP
    return [
        _linear(layer, layer.weight / STEP),
        Neuron(
            layer.name, layer.shape, decay_u=_kept(neuron.i_decay, layer.shape) / DECAY,
            decay_v=_kept(neuron.v_decay, layer.shape) / DECAY, bias=bias,
            threshold=np.array(neuron.threshold / STEP), fires=fires,
        ),
    ]  # fmt: skip


def _linear(layer: Weights, weight: Param) -> Node:
    name = f"{layer.name}_weights"
    if layer.weight.ndim == 2:
        return Affine(name, weight)
    return Conv(name, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def _column(values: IntArray, shape: tuple[int, ...]) -> IntArray:
    """One number per channel, broadcastable to the population."""
    return values.reshape(-1, *(1,) * (len(shape) - 1)) if values.ndim else values


def _kept(lost: IntArray, shape: tuple[int, ...]) -> IntArray:
    return _column(DECAY - lost, shape)


@dataclass(frozen=True)
class Place:
    """Where the integers are to run.

    Attributes:
        target: its name.
        conventions: how it executes integers.
        threshold: its format of thresholds.
    """

    target: str
    conventions: Conventions
    threshold: Format

    @property
    def native(self) -> bool:
        """True if its integers are of SLAYER's kind: steps of one unit, decays that truncate toward zero."""
        c = self.conventions
        return (c.membrane, c.synapse, c.state_frac, c.decay_rounding) == ("euler", "signed", 0, "toward_zero")

    @property
    def chip(self) -> bool:
        """True for registers: a threshold in steps of 64 is that of a compartment, which only knows v > threshold."""
        return self.threshold.frac == -STEP_BITS


def integers(layers: Layers, fires: Fires, place: Place) -> Quantized | None:
    """The integers of the file at a place; None where it computes differently.

    Raises:
        UnsupportedError: a number of the file has no register there.
    """
    return _Writer(layers, fires, place).quantized() if place.native else None


class _Writer:
    """Collects nodes, notes and violations for one target."""

    def __init__(self, layers: Layers, fires: Fires, place: Place) -> None:
        self.layers, self.fires, self.place, self.chip = layers, fires, place, place.chip
        self.violations: list[Violation] = []
        self.notes: list[Note] = []

    def quantized(self) -> Quantized:
        graph = float_graph(self.layers, self.fires)
        made: dict[str, Node] = {}
        for layer in self.layers.layers:
            if isinstance(layer, Weights):
                made[f"{layer.name}_weights"] = self._weights(layer)
                made[layer.name] = self._neuron(layer, graph)
        if self.violations:
            found = tuple(self.violations)
            raise UnsupportedError(f"{self.place.target} has no place for numbers of this file", violations=found)
        edges, latency = retime(graph, self.place.conventions.hop_delay)
        nodes = tuple(made.get(node.name, node) for node in graph.nodes)
        fixed = FixedGraph(nodes, edges, self.place.target, self.place.conventions, latency)
        scales = {node.name: np.array(UNITS) for node in graph.neurons}
        return Quantized(fixed, scales, tuple(self.notes))

    def _weights(self, layer: Weights) -> Node:
        raw, fmt = layer.weight, Format(9, -STEP_BITS)
        if self.chip and np.all(raw >= 0):
            fmt = Format(8, -STEP_BITS, signed=False)
        elif self.chip:
            if np.any(raw & 1):
                count = int(np.sum(raw & 1))
                self.violations.append(
                    Violation(
                        layer.name, "weight", f"odd in {count} of {raw.size} places", "even where signs are mixed"
                    )
                )
            raw, fmt = raw >> 1, Format(8, -STEP_BITS - 1)
        weight = Fixed(raw, fmt)
        name = f"{layer.name}_weights"
        if not self.violations:
            self.notes.append(note(name, "weight", layer.weight / STEP, weight, UNITS))
        return _linear(layer, weight)

    def _neuron(self, layer: Weights, graph: Graph) -> Node:
        node = graph[layer.name]
        assert isinstance(node, Neuron)
        threshold, fires = self._compared(layer)
        made = replace(
            node, decay_u=Fixed(_kept(layer.neuron.i_decay, layer.shape), KEPT),
            decay_v=Fixed(_kept(layer.neuron.v_decay, layer.shape), KEPT), bias=self._bias(layer), threshold=threshold,
            fires=fires, gain=ONE, gain_u=ONE, v_rest=ZERO, v_reset=ZERO, v_init=ZERO,
        )  # fmt: skip
        for key, scale in (("decay_u", 1.0), ("decay_v", 1.0), ("bias", UNITS)):
            value = getattr(made, key)
            self.notes.append(note(layer.name, key, getattr(node, key), value, scale))
        return made

    def _bias(self, layer: Weights) -> Fixed:
        if layer.bias is None:
            return Fixed(np.zeros((), dtype=np.int64), Format(13, -STEP_BITS))
        worst = int(np.max(np.abs(layer.bias)))
        if self.chip and worst > MAX_BIAS:
            self.violations.append(Violation(layer.name, "bias", str(worst), f"-{MAX_BIAS} to {MAX_BIAS}"))
        return Fixed(_column(layer.bias, layer.shape), Format(13 if worst <= MAX_BIAS else 32, -STEP_BITS))

    def _compared(self, layer: Weights) -> tuple[Fixed, Fires]:
        """Threshold and comparison on this target; ``>=`` becomes ``>`` one step lower where that is the same."""
        mantissa = layer.neuron.threshold
        if not self.chip:
            fixed = Fixed(np.array(mantissa * STEP), Format(32, 0))
            self.notes.append(note(layer.name, "threshold", mantissa / STEP, fixed, UNITS))
            return fixed, self.fires
        fmt = self.place.threshold
        if mantissa > fmt.maximum:
            self.violations.append(Violation(layer.name, "threshold", f"{mantissa} * 64", f"up to {fmt.maximum} * 64"))
            mantissa = fmt.maximum
        fixed = Fixed(np.array(mantissa), fmt)
        self.notes.append(note(layer.name, "threshold", mantissa / STEP, fixed, UNITS))
        if self.fires == "ge":
            if _in_steps(layer.neuron):
                return Fixed(np.array(mantissa - 1), fmt), "gt"
            self.notes.append(_moved(layer.name, mantissa / STEP))
        return fixed, "gt"


def _in_steps(neuron: Cuba) -> bool:
    """True if u and v are always multiples of 64: no decay ever leaves a remainder."""
    return all(bool(np.all((lost == 0) | (lost == DECAY))) for lost in (neuron.i_decay, neuron.v_decay))


def _moved(name: str, threshold: float) -> Note:
    """A note that v equal to the threshold fires in the file and not on the target."""
    shift = 1 / UNITS
    return Note(name, "fires", "gt", 1, (), (), (0,), shift, 0, {0: threshold}, {0: threshold + shift})
