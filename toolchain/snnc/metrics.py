"""Numbers about spike trains: accuracy, rates, first spikes, distances, synaptic operations.

Spike arrays are [B, T, *shape] of 0 and 1, counts [B, classes]. Times are in steps.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError, UnsupportedError, Violation
from snnc.ir import (
    POPULATIONS,
    Affine,
    Concat,
    Conv,
    Edge,
    Fixed,
    FloatArray,
    IntArray,
    Network,
    Node,
    Pool,
    Readout,
)
from snnc.trace import Trace

Spikes = npt.NDArray[Any]
SILENT = -1


def predictions(counts: npt.ArrayLike) -> IntArray:
    """Class with the most spikes, [B]; of equals the lowest index, on every machine and back end.

    Args:
        counts: [B, ...]; axes behind the first are flattened.
    """
    array = np.asarray(counts)
    return np.asarray(np.argmax(array.reshape(array.shape[0], -1), axis=1), dtype=np.int64)


def accuracy(counts: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Fraction of samples whose prediction is the label; ties go to the lowest index.

    Raises:
        TraceError: there is not one label per sample, or no sample.
    """
    answers, marks = predictions(counts), np.asarray(labels)
    if answers.shape != marks.shape or not answers.size:
        raise TraceError(f"labels have shape {marks.shape}, allowed is one for each of {answers.size} samples (> 0)")
    return float(np.mean(answers == marks))


def mismatch(left: Spikes, right: Spikes) -> float:
    """Fraction of bins in which two spike arrays of one shape differ; 0 if they are empty.

    Raises:
        TraceError: the shapes differ.
    """
    _same_shape(left, right)
    return float(np.mean(left != right)) if left.size else 0.0


def firing_rates(spikes: Spikes, dt: float = 0.0) -> FloatArray:
    """Mean rate of every neuron over samples and steps, [*shape].

    Args:
        spikes: [B, T, *shape].
        dt: seconds per step; the result is in hertz then, else in spikes per step.
    """
    rates = np.asarray(spikes.mean(axis=(0, 1), dtype=np.float64))
    return rates / dt if dt else rates


def first_spike_times(spikes: Spikes) -> IntArray:
    """Step of every neuron's first spike, [B, *shape]; ``SILENT`` (-1) where it never fires."""
    fired = spikes != 0
    return np.asarray(np.where(fired.any(axis=1), fired.argmax(axis=1), SILENT), dtype=np.int64)


def van_rossum(left: Spikes, right: Spikes, tau: float) -> FloatArray:
    """Van Rossum distance of spike trains, [B, *shape].

    Both trains are filtered with ``exp(-t / tau)`` (continuous time, spikes at the step times) and
    ``D**2 = 1/tau * integral of the squared difference``. With d = left - right this is
    ``1/2 * sum_ij d[i] * d[j] * exp(-|i - j| / tau)``, which one pass of an exponential filter adds up. One spike
    against none gives ``sqrt(1/2)``.

    Args:
        left: [B, T, *shape].
        right: the same shape.
        tau: time constant in steps, > 0.

    Raises:
        TraceError: the shapes differ or tau is not positive.
    """
    _same_shape(left, right)
    if not tau > 0:
        raise TraceError(f"tau is {tau}, allowed is > 0 steps")
    difference = left.astype(np.float64) - right
    keep = np.exp(-1.0 / tau)
    past = np.zeros_like(difference[:, 0])
    total = np.zeros_like(past)
    for step in range(difference.shape[1]):
        now = difference[:, step]
        past = past * keep
        total += now * (past + 0.5 * now)
        past += now
    return np.asarray(np.sqrt(np.maximum(total, 0.0)), dtype=np.float64)


def victor_purpura(left: npt.ArrayLike, right: npt.ArrayLike, cost: float) -> float:
    """Victor-Purpura distance: the cheapest way to turn one spike train into the other.

    Adding or removing a spike costs 1, moving one costs ``cost`` per step.

    Args:
        left: spike times, ascending, any unit.
        right: spike times in the same unit.
        cost: per unit of time, >= 0.
    """
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    row = np.arange(b.size + 1, dtype=np.float64)
    for count, time in enumerate(a, start=1):
        moved = row[:-1] + cost * np.abs(b - time)
        best = np.concatenate([[float(count)], np.minimum(row[1:] + 1, moved)])
        for j in range(1, best.size):
            best[j] = min(best[j], best[j - 1] + 1)
        row = best
    return float(row[-1])


def synops(trace: Trace, network: Network) -> dict[str, int]:
    """Synaptic operations that every population's spikes cause: spikes times fan-out, all samples together.

    Args:
        trace: recorded spikes; populations that it does not hold are left out.
        network: float or fixed graph of those populations.
    """
    fan = fan_out(network)
    return {
        name: int(np.sum(trace.spikes[name].sum(axis=(0, 1), dtype=np.int64) * fan[name]))
        for name in fan
        if name in trace.spikes
    }


def fan_out(network: Network) -> dict[str, IntArray]:
    """Synapses that one spike of each neuron reaches, [*shape] by population.

    A synapse is a way from a neuron to a neuron on which every weight is not zero; pooling counts one way per window
    that holds the neuron (for max pooling this is an upper bound). Readouts have no synapses.

    Raises:
        UnsupportedError: a cycle goes through no neuron.
    """
    reach: dict[str, IntArray | None] = {}
    return {node.name: _behind(network, node.name, reach) for node in network.populations}


def _behind(network: Network, name: str, reach: dict[str, IntArray | None]) -> IntArray:
    """Synapses behind every element of a node's output; ``reach`` remembers nodes (None: under way)."""
    total = np.zeros(network.shapes[name], dtype=np.int64)
    for edge in network.outgoing(name):
        node = network[edge.target]
        if isinstance(node, POPULATIONS):
            total += 1
            continue
        if node.name not in reach:
            reach[node.name] = None
            reach[node.name] = _into(node, network, _behind(network, node.name, reach))
        behind = reach[node.name]
        if behind is None:
            broken = Violation(node.name, "cycle", "one through no neuron", "cycles through neurons")
            raise UnsupportedError.of(broken)
        total += _share(network, edge, behind)
    return total


def _share(network: Network, edge: Edge, behind: IntArray) -> IntArray:
    """The part of a target's input that comes through this edge: all of it but for Concat."""
    node = network[edge.target]
    if not isinstance(node, Concat):
        return behind
    start = 0
    for other in network.incoming(node.name):
        if other is edge:
            break
        start += network.shapes[other.source][node.axis]
    size = network.shapes[edge.source][node.axis]
    return np.asarray(np.take(behind, np.arange(start, start + size), axis=node.axis))


def _into(node: Node, network: Network, behind: IntArray) -> IntArray:
    """Synapses behind every element of a node's input, from those behind its output."""
    if isinstance(node, Readout):
        return np.zeros_like(behind)
    if isinstance(node, Concat):
        return behind
    shape = network.shapes[network.incoming(node.name)[0].source]
    if isinstance(node, Affine):
        return np.asarray(behind @ _present(node.weight))
    if isinstance(node, Conv):
        return _conv_into(node, shape, behind)
    if isinstance(node, Pool):
        windows = (node.kernel, node.stride, node.padding, (1,) * len(node.kernel))
        return _scatter(shape, behind.shape[1:], *windows, lambda _: behind)
    return behind.reshape(shape)


def _conv_into(node: Conv, shape: tuple[int, ...], behind: IntArray) -> IntArray:
    mask = _present(node.weight)
    per_group = mask.shape[0] // node.groups

    def tap(position: tuple[int, ...]) -> IntArray:
        parts = []
        for g in range(node.groups):
            rows = slice(g * per_group, (g + 1) * per_group)
            index: tuple[int | slice, ...] = (rows, slice(None), *position)
            parts.append(np.tensordot(mask[index], behind[rows], axes=(0, 0)))
        return np.concatenate(parts)

    windows = (mask.shape[2:], node.stride, node.padding, node.dilation)
    return _scatter(shape, behind.shape[1:], *windows, tap)


def _scatter(
    shape: tuple[int, ...],
    space: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    tap: Callable[[tuple[int, ...]], IntArray],
) -> IntArray:
    """Adds, for every kernel position, what lies behind the outputs to the inputs that the position reads."""
    padded = np.zeros((shape[0], *(n + 2 * p for n, p in zip(shape[1:], padding, strict=True))), dtype=np.int64)
    for position in product(*(range(k) for k in kernel)):
        axes = zip(position, dilation, stride, space, strict=True)
        window = tuple(slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in axes)
        index = (slice(None), *window)
        padded[index] += tap(position)
    inner = tuple(slice(p, p + n) for n, p in zip(shape[1:], padding, strict=True))
    index = (slice(None), *inner)
    return padded[index]


def _present(weight: Any) -> IntArray:
    values = weight.raw if isinstance(weight, Fixed) else np.asarray(weight)
    return np.asarray(values != 0, dtype=np.int64)


def _same_shape(left: Spikes, right: Spikes) -> None:
    if left.shape != right.shape:
        raise TraceError(f"the spike arrays have shapes {left.shape} and {right.shape}, allowed is one shape")
