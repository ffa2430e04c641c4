"""The five networks that the engine is measured on, as integers, made without training and the same in every run.

All neurons are current-based leaky integrators that keep 3/4 of u and 15/16 of v per step and reset to zero; weights
are Gaussian integers of 8 bits, thresholds are tuned so that each layer fires at the workload's rate.

==  ==================================================  ===  ======  =====
..  network                                             T    input   rate
==  ==================================================  ===  ======  =====
A   784-256-256-10                                      32   5 %     7 %
B   34x34x2: conv 8 5x5/2, conv 16 3x3/2, dense 10      64   3 %     7 %
C   700-256 recurrent-20                                100  2 %     7 %
D   4096-4096-4096-10                                   16   1 %     1 %
E   32x32x3: 7 convs 3x3 of 64 to 256 channels, 10      4    20 %    7 %
==  ==================================================  ===  ======  =====
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from snnc.backend import discover
from snnc.ir import Affine, Conv, Edge, Fixed, FixedGraph, Flatten, Format, Input, IntArray, Neuron, Node, Readout
from snnc_reference import neuron_euler
from snnc_reference.targets import GENERIC

Spikes = npt.NDArray[np.int8]

DECAY = Format(13, 12, signed=False)
WEIGHT = Format(8, -7)
THRESHOLD = Format(17, -6, signed=False)
BIAS = Format(13, 0, overflow="saturate_symmetric")
DECAY_U, DECAY_V = 3072, 3840
TARGETS = ("generic", "loihi1")


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights, the neurons behind them, and the weights of the neurons onto themselves (one step later), if any."""

    weight: Affine | Conv
    neuron: Neuron
    loop: Affine | None = None


@dataclass(frozen=True, eq=False)
class Workload:
    """A network and what is asked of it.

    Attributes:
        name, title: A to E, and what it is.
        steps: T.
        shape: of one step of input.
        density: fraction of input spikes.
        rate: fraction of neuron steps that fire, in each hidden layer.
        layers: in order.
        bars: batch -> smallest allowed speed against the plain torch loop.
    """

    name: str
    title: str
    steps: int
    shape: tuple[int, ...]
    density: float
    rate: float
    bars: Mapping[int, float]
    layers: tuple[Layer, ...] = field(default=())

    def inputs(self, batch: int, seed: int = 1) -> Spikes:
        """Random spikes [batch, T, *shape]."""
        drawn = np.random.default_rng(seed).random((batch, self.steps, *self.shape), dtype=np.float32)
        return (drawn < self.density).astype(np.int8)

    def graph(self, target: str = "generic") -> FixedGraph:
        """The integers under a target's conventions."""
        conventions = discover().target(target)[1].conventions
        hop = conventions.hop_delay
        nodes: list[Node] = [Input("input", self.shape)]
        edges: list[Edge] = []
        source, shape, latency = "input", self.shape, {"input": 0}
        for depth, one in enumerate(self.layers, start=1):
            delay, name = hop, one.weight.name
            nodes += [one.weight, one.neuron]
            if isinstance(one.weight, Affine) and len(shape) > 1:
                nodes.append(Flatten(f"flat_{name}"))
                edges.append(Edge(source, f"flat_{name}", hop))
                source, delay = f"flat_{name}", 0
            edges += [Edge(source, name, delay), Edge(name, one.neuron.name)]
            if one.loop is not None:
                nodes.append(one.loop)
                edges += [Edge(one.neuron.name, one.loop.name, 1), Edge(one.loop.name, one.neuron.name)]
            source, shape = one.neuron.name, one.neuron.shape
            latency[source] = depth * hop
        edges.append(Edge(source, "output"))
        return FixedGraph((*nodes, Readout("output")), tuple(edges), target, conventions, latency)

    @property
    def neurons(self) -> int:
        """Neurons of all layers."""
        return sum(math.prod(one.neuron.shape) for one in self.layers)


def _gaussian(rng: np.random.Generator, *shape: int) -> Fixed:
    drawn = np.rint(rng.standard_normal(shape, dtype=np.float32) * np.float32(20))
    return Fixed(np.clip(drawn, -128, 127).astype(np.int64), WEIGHT)


def _neuron(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Neuron:
    one, zero = Fixed(np.array(1), Format(2)), Fixed(np.array(0), Format(2))
    bias = Fixed(rng.integers(-200, 200, (shape[0], *(1 for _ in shape[1:]))), BIAS)
    return Neuron(
        name, shape, decay_u=Fixed(np.array(DECAY_U), DECAY), decay_v=Fixed(np.array(DECAY_V), DECAY), gain_u=one,
        gain=one, bias=bias, threshold=Fixed(np.array(1), THRESHOLD), v_rest=zero, v_reset=zero, v_init=zero,
        fires="gt", reset_v="zero",
    )  # fmt: skip


def _dense(rng: np.random.Generator, number: int, given: int, made: int) -> Layer:
    return Layer(Affine(f"fc{number}", _gaussian(rng, made, given)), _neuron(rng, f"lif{number}", (made,)))


def _conv(
    rng: np.random.Generator, number: int, given: tuple[int, ...], made: int, kernel: int, stride: int
) -> tuple[Layer, tuple[int, ...]]:
    pad = kernel // 2
    weight = _gaussian(rng, made, given[0], kernel, kernel)
    shape = (made, *((n + 2 * pad - kernel) // stride + 1 for n in given[1:]))
    node = Conv(f"conv{number}", weight, None, (stride, stride), (pad, pad), (1, 1))
    return Layer(node, _neuron(rng, f"lif{number}", shape)), shape


def _convs(
    rng: np.random.Generator, shape: tuple[int, ...], plan: tuple[tuple[int, int, int], ...]
) -> tuple[Layer, ...]:
    """Convolutions (channels, kernel, stride), then 10 dense neurons."""
    layers = []
    for number, (made, kernel, stride) in enumerate(plan, start=1):
        layer, shape = _conv(rng, number, shape, made, kernel, stride)
        layers.append(layer)
    return (*layers, _dense(rng, len(plan) + 1, math.prod(shape), 10))


def _recurrent(rng: np.random.Generator) -> tuple[Layer, ...]:
    first = replace(_dense(rng, 1, 700, 256), loop=Affine("loop1", _gaussian(rng, 256, 256)))
    return first, _dense(rng, 2, 256, 20)


def _mlp(rng: np.random.Generator, *sizes: int) -> tuple[Layer, ...]:
    return tuple(_dense(rng, i + 1, sizes[i], sizes[i + 1]) for i in range(len(sizes) - 1))


VGG = ((64, 3, 1), (64, 3, 2), (128, 3, 1), (128, 3, 2), (256, 3, 1), (256, 3, 2), (256, 3, 1))
MADE: dict[str, tuple[Workload, Callable[[np.random.Generator], tuple[Layer, ...]]]] = {
    "A": (
        Workload("A", "784-256-256-10", 32, (784,), 0.05, 0.07, {1: 90, 64: 10, 1024: 11}),
        lambda rng: _mlp(rng, 784, 256, 256, 10),
    ),
    "B": (
        Workload("B", "conv 34x34x2", 64, (2, 34, 34), 0.03, 0.07, {1: 40, 32: 8}),
        lambda rng: _convs(rng, (2, 34, 34), ((8, 5, 2), (16, 3, 2))),
    ),
    "C": (Workload("C", "recurrent 700-256-20", 100, (700,), 0.02, 0.07, {1: 130, 64: 10}), _recurrent),
    "D": (
        Workload("D", "4096-4096-4096-10", 16, (4096,), 0.01, 0.01, {1: 130, 16: 36}),
        lambda rng: _mlp(rng, 4096, 4096, 4096, 10),
    ),
    "E": (
        Workload("E", "VGG-like 32x32x3", 4, (3, 32, 32), 0.2, 0.07, {16: 6}),
        lambda rng: _convs(rng, (3, 32, 32), VGG),
    ),
}


@cache
def make(name: str) -> Workload:
    """The workload of this name, its thresholds tuned."""
    empty, layers = MADE[name]
    return tuned(replace(empty, layers=layers(np.random.default_rng(0))))


def tuned(workload: Workload) -> Workload:
    """The same with thresholds by which each layer fires at the workload's rate on a few samples of its own."""
    sent = workload.inputs(1 if workload.name == "D" else 2, seed=7)
    layers = []
    for one in workload.layers:
        layer, sent = _tuned_layer(one, sent, workload.rate)
        layers.append(layer)
    return replace(workload, layers=tuple(layers))


def _tuned_layer(layer: Layer, sent: Spikes, rate: float) -> tuple[Layer, Spikes]:
    """Bisects the threshold; each try runs the neurons as the reference does, with their resets."""
    drive = currents(layer.weight, sent)
    low, high = 1, THRESHOLD.maximum
    while low < high:
        middle = (low + high) // 2
        layer = _with_threshold(layer, middle)
        if _fired(layer, drive).mean(dtype=np.float64) > rate:
            low = middle + 1
        else:
            high = middle
    layer = _with_threshold(layer, low)
    return layer, _fired(layer, drive)


def _with_threshold(layer: Layer, raw: int) -> Layer:
    return replace(layer, neuron=replace(layer.neuron, threshold=Fixed(np.array(raw), THRESHOLD)))


def _raw(node: Affine | Conv) -> npt.NDArray[np.float32]:
    """Weights as float32: every sum of a few thousand of them is below 2**24 and exact in any order."""
    assert isinstance(node.weight, Fixed)
    return node.weight.raw.astype(np.float32)


def currents(node: Affine | Conv, sent: Spikes) -> IntArray:
    """Sums of weights in state units, [B, T, *shape]."""
    lead, up = sent.shape[:2], -WEIGHT.frac
    weight, x = _raw(node), sent.reshape(-1, *sent.shape[2:]).astype(np.float32)
    if isinstance(node, Affine):
        y = x.reshape(len(x), -1) @ weight.T
        return np.asarray(y.reshape(*lead, -1).astype(np.int64) << up)
    kernel, stride, pad = weight.shape[2], node.stride[0], node.padding[0]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows: npt.NDArray[np.float32]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    y = np.tensordot(windows, weight, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
    return np.asarray(y.reshape(*lead, *y.shape[1:]).astype(np.int64) << up)


def _fired(layer: Layer, drive: IntArray) -> Spikes:
    conventions = GENERIC.conventions
    state = neuron_euler.start(layer.neuron, conventions, drive.shape[0])
    spikes = np.zeros(drive.shape, dtype=np.int8)
    loop = None if layer.loop is None else _raw(layer.loop).T
    for t in range(drive.shape[1]):
        x = drive[:, t]
        if loop is not None:
            x = x + ((state.s.astype(np.float32) @ loop).astype(np.int64) << -WEIGHT.frac)
        state = neuron_euler.step(layer.neuron, conventions, state, x)
        spikes[:, t] = state.s
    return spikes
