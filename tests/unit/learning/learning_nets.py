"""A small network whose projection learns, float and in integers of any target of the shift family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.backend import discover
from snnc.ir import Affine, Edge, FixedGraph, FloatArray, Graph, Input, Neuron
from snnc.learning import LearningConfig, configure
from snnc.learning.plastic import Plastic, bind_fixed, reach, reserved, returned
from snnc.quantize.base import QuantizeOptions
from snnc.quantize.calibrate import calibrate
from snnc_reference.execute import execute

PAIR = {"rule": "pair-stdp", "A_plus": 0.05, "A_minus": 0.03, "tau_plus": 8.0, "tau_minus": 8.0}


def network(pre: int = 12, post: int = 5, *, lowest: float = 0.0, threshold: float = 1.5, seed: int = 3) -> Graph:
    """Input -> fc -> out."""
    weight = np.random.default_rng(seed).uniform(lowest, 0.4, (post, pre))
    out = Neuron("out", (post,), decay_u=np.array(0.0), decay_v=np.array(0.85), threshold=np.array(threshold))
    nodes = (Input("in", (pre,)), Affine("fc", weight), out)
    return Graph(nodes, (Edge("in", "fc"), Edge("fc", "out")))


def spikes(samples: int, steps: int = 16, pre: int = 12, rate: float = 0.15, seed: int = 8) -> npt.NDArray[np.int8]:
    """[samples, steps, pre]."""
    return (np.random.default_rng(seed).random((samples, steps, pre)) < rate).astype(np.int8)


@dataclass(frozen=True, eq=False)
class Made:
    """Integers with what learns in them."""

    graph: FixedGraph
    scales: dict[str, FloatArray]
    plastic: tuple[Plastic, ...]


def made(graph: Graph, target: str, data: npt.NDArray[np.int8], *learning: LearningConfig) -> Made:
    """The integers of a target with room for learning."""
    found = discover().target(target)[1]
    for step in found.prepare:
        graph = step(graph)
    grows = tuple(
        (one.projection, reach(one, np.asarray(graph[one.projection].params()["weight"]))) for one in learning
    )
    wide = reserved(graph, learning)
    quantized = found.quantize(wide, calibrate(wide, data, execute), QuantizeOptions(grows=grows))
    fixed = returned(quantized.graph, graph, learning, quantized.scales)
    scales = dict(quantized.scales)
    return Made(fixed, scales, bind_fixed(fixed, scales, learning, found.learning))


def rule(**keys: Any) -> LearningConfig:
    """Pair STDP on fc, or what is given."""
    return configure("fc", **(keys if "rule" in keys else {**PAIR, **keys}))
