"""What arrives at weights: mean and variance of every signal, from the rates that calibration saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from snnc.ir import Concat, Delay, Flatten, FloatArray, Graph, Input, Network, Neuron, Node, Pool
from snnc.ir.nodes import Add, Identity


@dataclass(frozen=True, eq=False)
class Signal:
    """A signal without weights in it, per element of its shape.

    Attributes:
        mean, variance: per step, elements taken as independent.
    """

    mean: FloatArray
    variance: FloatArray


def rates(graph: Network, spikes: Mapping[str, object]) -> dict[str, FloatArray]:
    """Spikes per step of every population, [*shape], averaged over samples and time; unrecorded ones count as 1."""
    found: dict[str, FloatArray] = {}
    for node in graph.populations:
        assert isinstance(node, (Input, Neuron))
        recorded = spikes.get(node.name)
        flat = np.ones(node.shape) if recorded is None else np.asarray(recorded, dtype=np.float32).mean(axis=(0, 1))
        found[node.name] = np.asarray(flat, dtype=np.float64)
    return found


def window_sum(x: FloatArray, node: Pool) -> FloatArray:
    """Sum over the pool's windows of (channels, *space)."""
    padded = np.pad(x, [(0, 0), *((p, p) for p in node.padding)])
    axes = zip(x.shape[1:], node.kernel, node.stride, node.padding, strict=True)
    out = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in axes)
    total = np.zeros((x.shape[0], *out))
    for start in product(*(range(k) for k in node.kernel)):
        places = zip(start, node.stride, out, strict=True)
        window = (slice(None), *(slice(k, k + s * (n - 1) + 1, s) for k, s, n in places))
        total += padded[window]
    return total


def signals(
    graph: Graph, rate: Mapping[str, FloatArray], spikes: Mapping[str, object] | None = None
) -> dict[str, Signal]:
    """The signal of every population and of every node that only passes spikes on.

    Args:
        graph: where.
        rate: mean by population.
        spikes: what was recorded; needed for the variance of an analog input only.
    """
    known: dict[str, Signal] = {}
    for name, value in rate.items():
        node, seen = graph[name], (spikes or {}).get(name)
        analog = isinstance(node, Input) and node.encoding == "direct" and seen is not None
        known[name] = Signal(value, np.asarray(seen).var(axis=(0, 1)) if analog else value * (1 - value))
    for name in graph.order:
        node = graph[name]
        into = [known.get(edge.source) for edge in graph.incoming(name)]
        given = [signal for signal in into if signal is not None]
        passes_on = isinstance(node, (Add, Identity, Delay, Flatten, Concat, Pool))
        if passes_on and len(given) == len(into):
            known[name] = _passed(node, given)
    return known


def arriving(graph: Graph, known: Mapping[str, Signal], name: str) -> Signal:
    """The summed signal at the input of a weight node."""
    return _sum([known[edge.source] for edge in graph.incoming(name)])


def _sum(given: list[Signal]) -> Signal:
    return Signal(sum_of([s.mean for s in given]), sum_of([s.variance for s in given]))


def sum_of(arrays: list[FloatArray]) -> FloatArray:
    """Sum of arrays of one shape."""
    return np.asarray(np.sum(np.stack(arrays), axis=0), dtype=np.float64)


def _passed(node: Node, given: list[Signal]) -> Signal:
    if isinstance(node, Concat):
        means, variances = [s.mean for s in given], [s.variance for s in given]
        return Signal(np.concatenate(means, axis=node.axis), np.concatenate(variances, axis=node.axis))
    x = _sum(given)
    if isinstance(node, Flatten):
        return Signal(x.mean.reshape(-1), x.variance.reshape(-1))
    if not isinstance(node, Pool):
        return x
    summed = Signal(window_sum(x.mean, node), window_sum(x.variance, node))
    if node.pooling != "max":
        return summed
    mean = np.minimum(summed.mean, 1.0)
    return Signal(mean, mean * (1 - mean))
