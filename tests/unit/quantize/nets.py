"""Float networks for quantization tests, and how many spikes their integers get wrong."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from snnc.ir import Affine, Conv, Conventions, Edge, Flatten, Format, Graph, Input, Neuron, Node, Pool, Readout
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions
from snnc.quantize.calibrate import calibrate
from snnc.quantize.shift import ShiftProfile, quantize_shift
from snnc_reference.execute import execute
from snnc_reference.targets import PROFILE as GENERIC

LOIHI = ShiftProfile(
    "chip",
    Conventions(
        hop_delay=1,
        state_bits=24,
        current_overflow="wrap_once",
        membrane_overflow="saturate_symmetric",
    ),
    weight_bits=(2, 8),
    weight_grid="mantissa",
    exponents=(0, 7),
    decay_u_raw=(0, 4095),
    decay_v_raw=(1, 4096),
    threshold=Format(17, -6, signed=False),
    bias=Format(13, 0),
    bias_exponents=(0, 7),
    per_channel=False,
    fires=("gt",),
    linear_bias=False,
)


def spikes(shape: tuple[int, ...], seed: int = 0, samples: int = 20, steps: int = 16, rate: float = 0.25) -> np.ndarray:
    return (np.random.default_rng(seed).random((samples, steps, *shape)) < rate).astype(np.int8)


def chain(*nodes: Node, extra: tuple[Edge, ...] = (), more: tuple[Node, ...] = ()) -> Graph:
    """Nodes one behind the other."""
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return Graph((*nodes, *more), (*edges, *extra))


def mlp(seed: int = 0, sizes: tuple[int, ...] = (32, 40, 8), bias: bool = True, **neuron: Any) -> Graph:
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input("in", (sizes[0],))]
    for index, (into, out) in enumerate(pairwise(sizes)):
        weight = rng.normal(0.02, 2.0 / np.sqrt(into), (out, into))
        given: dict[str, Any] = {"decay_v": 0.9} | neuron
        nodes.append(Affine(f"fc{index}", weight, rng.normal(0, 0.05, out) if bias else None))
        nodes.append(Neuron(f"n{index}", (out,), **given))
    return chain(*nodes, Readout("out"))


def whole(seed: int, **neuron: Any) -> Graph:
    """Conv, pooling, recurrence and dense weights that are multiples of 1/8; thresholds and biases too: IF neurons."""
    rng = np.random.default_rng(seed)
    given: dict[str, Any] = {"decay_v": 1.0, "threshold": 1.5} | neuron
    conv = rng.integers(-9, 13, (3, 2, 3, 3)) / 8
    dense = rng.integers(-13, 15, (6, 12)) / 8
    back = rng.integers(-8, 8, (6, 6)) / 8
    nodes = (
        Input("in", (2, 6, 6)),
        Conv("c", conv, None, (1, 1), (0, 0), (1, 1)),
        Neuron("n", (3, 4, 4), bias=np.array([[[0.25]], [[0.0]], [[0.125]]]), **given),
        Pool("p", "sum", (2, 2), (2, 2), (0, 0)),
        Flatten("f"),
        Affine("d", dense),
        Neuron("m", (6,), **given),
        Readout("out"),
    )
    return chain(*nodes, more=(Affine("r", back),), extra=(Edge("m", "r", 1), Edge("r", "m")))


def calibrated(graph: Graph, seed: int = 0) -> Calibration:
    return calibrate(graph, spikes(graph.inputs[0].shape, seed), execute)


def quantized(graph: Graph, bits: int = 8, profile: ShiftProfile = GENERIC, per_channel: bool = False) -> Quantized:
    return quantize_shift(graph, calibrated(graph), QuantizeOptions(bits, per_channel), profile)


def wrong(graph: Graph, made: Any, seed: int = 1) -> dict[str, int]:
    """Teacher-forced: spikes that differ, by population, on samples that calibration did not see."""
    x = spikes(graph.inputs[0].shape, seed)
    left = execute(graph, x)
    right = execute(made, x, forced=dict(left.spikes))
    for node in graph.neurons:
        assert 0.01 < left.spikes[node.name].mean() < 0.95, "a silent or saturated population proves nothing"
    return {n.name: int(np.sum(left.spikes[n.name] != right.spikes[n.name])) for n in graph.neurons}
