"""Proof that registers cannot overflow, from the weights alone, for float graphs and for integers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Conventions,
    Delay,
    Fixed,
    FixedGraph,
    Flatten,
    FloatArray,
    Format,
    Identity,
    Input,
    Network,
    Neuron,
    Node,
    Pool,
    Readout,
)
from snnc.quantize.signals import sum_of, window_sum

Interval = tuple[FloatArray, FloatArray]
DRIVE = "u + bias"
OVERFLOWS = ("accumulator_bits", "accumulator_overflow", "current_overflow", "drive_overflow")


@dataclass(frozen=True)
class Range:
    """What a quantity of a population can ever be, in the network's unit (state units for integers).

    Attributes:
        low, high: infinite if the weights alone set no bound (a current or membrane that never decays).
    """

    low: float
    high: float

    @property
    def peak(self) -> float:
        """Largest magnitude."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class Register:
    """A register of a population in integers.

    Attributes:
        population: name.
        quantity: ``x`` (sum of weights of one step, shifted), ``u``, ``v``, and ``u + bias`` where it has a register
            of its own. Split synapses have ``x+`` and ``x-``, in weight units.
        range: what it can ever hold, if the registers before it hold what they are given.
        bits: its width, with the sign if it has one.
        safe: True if it is proven never to overflow, and those before it neither.
    """

    population: str
    quantity: str
    range: Range
    bits: int
    safe: bool

    @property
    def name(self) -> str:
        """``lif1.u of 24 bits``."""
        return f"{self.population}.{self.quantity} of {self.bits} bits"


def ranges(network: Network) -> dict[tuple[str, str], Range]:
    """Worst case of x, u and v (before reset) of every neuron population, by interval arithmetic.

    Every source may spike in every step. Parameters are read as floats, or as state units in a fixed graph.
    Recurrent and direct inputs are covered: a neuron's output is 0 or 1 whatever its input; a direct input is bounded
    by its integers' format, or not at all.
    """
    frac = network.conventions.state_frac if isinstance(network, FixedGraph) else None
    outputs: dict[str, Interval] = {}
    for node in network.populations:
        assert isinstance(node, (Input, Neuron))
        low, high = _sent(node)
        outputs[node.name] = np.full(node.shape, low), np.full(node.shape, high)
    found: dict[tuple[str, str], Range] = {}
    for name in network.order:
        node = network[name]
        given = [_known(network, outputs, edge.source) for edge in network.incoming(name)]
        if isinstance(node, Neuron):
            x = _total(given)
            for key, value in _neuron(node, x, frac).items():
                found[name, key] = value
        elif not isinstance(node, (Input, Readout)):
            outputs[name] = _through(node, given, frac, network.shapes[name])
    return found


def _sent(node: Node) -> tuple[float, float]:
    """Smallest and largest number that a population sends."""
    if isinstance(node, Neuron) and node.output != "binary":
        return (-1.0, 1.0) if node.output == "ternary" else (-math.inf, math.inf)
    if not isinstance(node, Input) or node.encoding != "direct":
        return 0.0, 1.0
    if isinstance(node.unit, Fixed):
        return float(node.unit.format.minimum), float(node.unit.format.maximum)
    return -math.inf, math.inf


def registers(graph: FixedGraph) -> tuple[Register, ...]:
    """Every register of every population with its worst case, so that a report can say what is proven.

    Under ``closed_form`` only the sums of weights: u and v there lose bits by ``floor``, which no bound here covers.
    """
    c = graph.conventions
    if c.synapse == "split":
        return tuple(_split(graph))
    widths = {"x": c.accumulator_bits, "u": c.state_bits, DRIVE: c.state_bits, "v": c.state_bits}
    if c.drive_overflow is None:
        del widths[DRIVE]
    found, known = [], ranges(graph)
    for node in graph.neurons:
        safe = True
        for quantity, bits in widths.items():
            span = known[node.name, quantity]
            safe = safe and span.peak <= (1 << (bits - 1)) - 1
            found.append(Register(node.name, quantity, span, bits, safe))
    return tuple(found)


def _split(graph: FixedGraph) -> Iterator[Register]:
    """The excitatory and the inhibitory sum of every population, unsigned, in units of its weights."""
    for sign, name in ((1, "x+"), (-1, "x-")):
        nodes = tuple(_one_sign(node, sign) for node in graph.nodes)
        known = ranges(replace(graph, nodes=nodes, conventions=replace(graph.conventions, state_frac=0)))
        bits = graph.conventions.accumulator_bits
        for node in graph.neurons:
            span = known[node.name, "x"]
            yield Register(node.name, name, span, bits, span.peak <= (1 << bits) - 1)


def _one_sign(node: Node, sign: int) -> Node:
    """Magnitudes of the weights of one sign, as plain integers."""
    if not isinstance(node, (Affine, Conv)) or not isinstance(node.weight, Fixed):
        return node
    raw = np.maximum(sign * node.weight.raw, 0)
    return replace(node, weight=Fixed(raw, Format(40, 0)))


def unproven(graph: FixedGraph, other: Conventions) -> tuple[Register, ...]:
    """Registers that keep a graph's conventions and others from being the same; none is a proof that they are.

    Args:
        graph: integers, with their conventions.
        other: conventions that differ at most in the width and the overflow of x and in the overflow of u and u + bias.

    Returns:
        Every register beyond which the two differ and which some input may overflow under either.
    """
    same = {key: getattr(graph.conventions, key) for key in OVERFLOWS}
    sides = [registers(graph), registers(replace(graph, conventions=other))]
    if replace(other, **same) != graph.conventions:
        return tuple(dict.fromkeys(register for side in sides for register in side))
    # v overflows alike under both, so that it needs no proof.
    return tuple(dict.fromkeys(r for side in sides for r in side if r.quantity != "v" and not r.safe))


def _known(network: Network, outputs: Mapping[str, Interval], name: str) -> Interval:
    """A node's interval; a linear node inside a delayed loop is not known yet and has no bound."""
    shape = network.shapes[name]
    return outputs.get(name, (np.full(shape, -math.inf), np.full(shape, math.inf)))


def _total(given: list[Interval]) -> Interval:
    return sum_of([low for low, _ in given]), sum_of([high for _, high in given])


def _value(param: object, frac: int | None) -> FloatArray:
    """A parameter in the unit of the state."""
    if isinstance(param, Fixed):
        return np.asarray(np.ldexp(param.raw.astype(np.float64), (frac or 0) - param.format.frac))
    return np.asarray(param, dtype=np.float64)


def _decay(param: object) -> FloatArray:
    return param.to_float() if isinstance(param, Fixed) else np.asarray(param, dtype=np.float64)


def _through(node: Node, given: list[Interval], frac: int | None, shape: tuple[int, ...]) -> Interval:
    if isinstance(node, Concat):
        lows, highs = [low for low, _ in given], [high for _, high in given]
        return np.concatenate(lows, axis=node.axis), np.concatenate(highs, axis=node.axis)
    low, high = _total(given)
    if isinstance(node, (Affine, Conv)):
        return _rounded(node, _weighted(node, low, high, frac, shape), frac)
    if isinstance(node, Flatten):
        return low.reshape(-1), high.reshape(-1)
    if isinstance(node, Pool):
        if node.pooling == "max":
            ones = np.ones(shape)
            return ones * min(float(low.min()), 0.0), ones * max(float(high.max()), 0.0)
        share = 1.0 / math.prod(node.kernel) if node.pooling == "avg" else 1.0
        return window_sum(low, node) * share, window_sum(high, node) * share
    if isinstance(node, (Add, Identity, Delay)):
        return low, high
    return np.full(shape, -math.inf), np.full(shape, math.inf)


def _rounded(node: Affine | Conv, given: Interval, frac: int | None) -> Interval:
    """What the host's rounding leaves of sums; they count as x, although they are added to v."""
    if not isinstance(node.host, Fixed):
        return given
    fmt, step = node.host.format, float(2.0 ** ((frac or 0) - node.host.format.frac))
    low, high = given[0] - step / 2, given[1] + step / 2
    return np.clip(low, fmt.minimum * step, fmt.maximum * step), np.clip(high, fmt.minimum * step, fmt.maximum * step)


def _weighted(
    node: Affine | Conv, low: FloatArray, high: FloatArray, frac: int | None, shape: tuple[int, ...]
) -> Interval:
    """Interval of ``weight @ x + bias``; a convolution takes each channel's extremes and the padding's 0."""
    weight = _value(node.weight, frac)
    bias = np.zeros(shape[0]) if node.bias is None else _value(node.bias, frac)
    if isinstance(node, Conv):
        flat = (shape[0] // node.groups, node.groups)
        low = np.minimum(low.reshape(low.shape[0], -1).min(axis=1), 0)
        high = np.maximum(high.reshape(high.shape[0], -1).max(axis=1), 0)
        columns = np.repeat(np.arange(low.size).reshape(flat[1], -1), flat[0], axis=0)
        space = (1,) * (weight.ndim - 2)
        low, high = (side[columns].reshape(*columns.shape, *space) for side in (low, high))
    with np.errstate(invalid="ignore"):
        up = np.where(weight == 0, 0.0, np.where(weight > 0, weight * high, weight * low))
        down = np.where(weight == 0, 0.0, np.where(weight > 0, weight * low, weight * high))
    axes = tuple(range(1, weight.ndim))
    column = (-1, *(1,) * (len(shape) - 1))
    lows, highs = ((side.sum(axis=axes) + bias).reshape(column) for side in (down, up))
    return np.broadcast_to(lows, shape), np.broadcast_to(highs, shape)


def _neuron(node: Neuron, x: Interval, frac: int | None) -> dict[str, Range]:
    """Fixed points of the step: u of a geometric sum, v of the largest value that a reset leaves."""
    p = {key: _value(value, frac) for key, value in node.params().items()}
    keep_u, keep_v = _decay(node.decay_u), _decay(node.decay_v)
    low, high = np.minimum(x[0], 0.0), np.maximum(x[1], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        u_low, u_high = (np.where(side == 0, 0.0, side / (1 - keep_u)) for side in (low, high))
        push_low, push_high = u_low + p["bias"], u_high + p["bias"]
        down = np.where(push_low < 0, push_low / (1 - keep_v), 0.0)
        free = np.where(push_high > 0, push_high / (1 - keep_v), 0.0)
        after_reset = keep_v * p["threshold"] + push_high
        net = push_high - p["threshold"] if node.reset_delay else push_high - keep_v * p["threshold"]
        subtracted = np.where(net > 0, net / (1 - keep_v), 0.0)
    starts = (p["v_init"], p["v_reset"] if node.reset_v == "value" else np.zeros(()))
    top = {"none": free, "subtract": np.maximum(after_reset, subtracted)}.get(node.reset_v, after_reset)
    top = np.maximum(top, np.maximum(*starts) + np.maximum(push_high, 0))
    bottom = np.minimum(down, np.minimum(*starts)) - (p["threshold"] if node.reset_v == "subtract" else 0.0)
    return {
        "x": Range(float(np.min(x[0])), float(np.max(x[1]))),
        "u": Range(float(np.min(u_low)), float(np.max(u_high))),
        DRIVE: Range(float(np.min(push_low)), float(np.max(push_high))),
        "v": Range(float(np.min(bottom)), float(np.max(top))),
    }
