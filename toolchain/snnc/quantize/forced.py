"""Teacher-forced estimates: one layer in float64 on the spikes that calibration recorded, with rounded parameters.

It answers how many spikes of a layer a gain gets wrong, a question on which fit.py has only an opinion: a large weight
that is clipped fires the neuron all the same. It ignores that integer states round; the reference decides what is
true, this only chooses between gains.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from snnc.ir import (
    POPULATIONS,
    Affine,
    Concat,
    Conv,
    Delay,
    Edge,
    Flatten,
    FloatArray,
    Graph,
    Input,
    Neuron,
    Node,
    Pool,
)
from snnc.quantize.base import Calibration

Weighted = (Affine, Conv)
BUDGET = 4e7


class Looped(Exception):  # noqa: N818 - a signal between two functions of this file, not an error
    """Nodes without memory feed each other through delays; their values depend on each other over time."""


@dataclass(eq=False)
class Forced:
    """The layers of a graph on recorded spikes.

    Attributes:
        graph: float graph.
        spikes: population -> [B, T, *shape], all recorded samples.
        arrived: weight node -> its input on the samples in use, filled on demand.
    """

    graph: Graph
    spikes: Mapping[str, FloatArray]
    arrived: dict[tuple[str, int], FloatArray] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, calibration: Calibration) -> Forced:
        """Takes the recorded spikes; a population without any makes its layers unknown."""
        return cls(graph, {name: np.asarray(x, dtype=np.float64) for name, x in calibration.trace.spikes.items()})

    def wrong(self, neurons: Iterable[str], changed: Mapping[str, Node]) -> int | None:
        """Spikes of the populations that differ from the recorded ones if nodes are exchanged.

        Args:
            neurons: populations to look at.
            changed: weights and neurons of the layer, as floats that the integers will stand for.

        Returns:
            The number, or None if the layer cannot be run on recorded spikes alone.
        """
        names = tuple(neurons)
        use = self._samples(changed)
        count = 0
        try:
            for name in names:
                node = changed[name]
                assert isinstance(node, Neuron)
                x = self._input(name, use, changed, frozenset())
                count += int(np.sum(fired(node, x) != self.spikes[name][:use]))
        except (KeyError, Looped):
            return None
        return count

    def _samples(self, changed: Mapping[str, Node]) -> int:
        """As many samples as the budget of multiplications allows, at least one."""
        cost = 1.0
        for node in changed.values():
            size = float(np.prod(self.graph.shapes[node.name]))
            cost += size * np.asarray(node.weight)[0].size if isinstance(node, Weighted) else 10 * size
        have = next(iter(self.spikes.values())).shape
        return int(max(1, min(have[0], BUDGET // (cost * have[1]))))

    def _input(self, name: str, use: int, changed: Mapping[str, Node], above: frozenset[str]) -> FloatArray:
        return np.asarray(sum(self._parts(name, use, changed, above)))

    def _parts(self, name: str, use: int, changed: Mapping[str, Node], above: frozenset[str]) -> list[FloatArray]:
        return [self._edge(edge, use, changed, above | {name}) for edge in self.graph.incoming(name)]

    def _edge(self, edge: Edge, use: int, changed: Mapping[str, Node], above: frozenset[str]) -> FloatArray:
        return later(self._output(edge.source, use, changed, above), edge.delay)

    def _output(self, name: str, use: int, changed: Mapping[str, Node], above: frozenset[str]) -> FloatArray:
        node = changed.get(name, self.graph[name])
        if isinstance(node, POPULATIONS):
            if isinstance(node, Input) and node.encoding == "constant":
                return np.ones((use, next(iter(self.spikes.values())).shape[1], *node.shape))
            return self.spikes[name][:use]
        if name in above:
            raise Looped
        if isinstance(node, Concat):
            return np.concatenate(self._parts(name, use, changed, above), axis=node.axis + 2)
        if isinstance(node, Weighted):
            if (name, use) not in self.arrived:
                self.arrived[name, use] = self._input(name, use, changed, above)
            return weighted(node, self.arrived[name, use])
        return passed(node, self._input(name, use, changed, above))


def later(x: FloatArray, steps: int) -> FloatArray:
    """The sequence [B, T, ...] some steps later, zeros before."""
    if steps == 0:
        return x
    out = np.zeros_like(x)
    out[:, steps:] = x[:, : max(x.shape[1] - steps, 0)]
    return out


def passed(node: Node, x: FloatArray) -> FloatArray:
    """A sequence [B, T, *shape] through a node without parameters."""
    if isinstance(node, Flatten):
        return x.reshape(*x.shape[:2], -1)
    if isinstance(node, Delay):
        return later(x, node.steps)
    if not isinstance(node, Pool):
        return x
    windows = list(_windows(x, node.kernel, node.stride, node.padding, (1,) * len(node.kernel)))
    return np.asarray(np.maximum.reduce(windows) if node.pooling == "max" else np.add.reduce(windows))


def weighted(node: Affine | Conv, x: FloatArray) -> FloatArray:
    """A sequence [B, T, *shape] through weights and bias."""
    weight = np.asarray(node.weight, dtype=np.float64)
    bias = np.zeros(weight.shape[0]) if node.bias is None else np.asarray(node.bias, dtype=np.float64)
    if isinstance(node, Affine):
        return np.asarray(x @ weight.T + bias)
    kernel, per_in, per_out = weight.shape[2:], weight.shape[1], weight.shape[0] // node.groups
    parts: list[FloatArray] = []
    for group in range(node.groups):
        rows = weight[group * per_out : (group + 1) * per_out]
        total: FloatArray | None = None
        mine = x[:, :, group * per_in : (group + 1) * per_in]
        places = product(*(range(k) for k in kernel))
        for place, patch in zip(places, _windows(mine, kernel, node.stride, node.padding, node.dilation), strict=True):
            taps = rows.reshape(per_out, per_in, -1)[:, :, np.ravel_multi_index(place, kernel)]
            found = np.matmul(taps, patch.reshape(*patch.shape[:3], -1))
            total = found if total is None else total + found
        assert total is not None
        parts.append(total)
    space = next(_windows(x, kernel, node.stride, node.padding, node.dilation)).shape[3:]
    joined = np.concatenate(parts, axis=2)
    return (joined + bias[:, np.newaxis]).reshape(*joined.shape[:3], *space)


def _windows(
    x: FloatArray, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...]
) -> Iterator[FloatArray]:
    """For each kernel position, what it sees at every output position; x is [B, T, channels, *space]."""
    padded = np.pad(x, [(0, 0), (0, 0), (0, 0), *((p, p) for p in padding)])
    axes = list(zip(x.shape[3:], kernel, stride, padding, dilation, strict=True))
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes]
    for place in product(*(range(k) for k in kernel)):
        spans = zip(place, dilation, stride, out, strict=True)
        window = tuple(slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in spans)
        yield padded[(slice(None),) * 3 + window]


def fired(node: Neuron, x: FloatArray) -> FloatArray:
    """Spikes [B, T, *shape] of a neuron with gains of 1 and rest 0 for the input [B, T, *shape]."""
    keep_u, keep_v, bias, threshold, to = (
        np.asarray(p, dtype=np.float64) for p in (node.decay_u, node.decay_v, node.bias, node.threshold, node.v_reset)
    )
    out = np.zeros(x.shape)
    u, s, hold = np.zeros_like(x[:, 0]), np.zeros_like(x[:, 0]), np.zeros_like(x[:, 0])
    v = u + np.asarray(node.v_init)

    def reset(v: FloatArray, s: FloatArray) -> FloatArray:
        if node.reset_v == "subtract":
            return v - threshold * s
        return v if node.reset_v == "none" else np.where(s > 0, to if node.reset_v == "value" else 0.0, v)

    for t in range(x.shape[1]):
        u = keep_u * u + x[:, t]
        v = np.where(hold > 0, v, keep_v * v + u + bias)
        v = reset(v, s) if node.reset_delay else v
        s = ((v > threshold if node.fires == "gt" else v >= threshold) & (hold <= 0)).astype(np.float64)
        v = v if node.reset_delay else reset(v, s)
        u = np.where(s > 0, 0.0, u) if node.reset_u else u
        hold = np.where(s > 0, node.refractory, np.maximum(hold - 1, 0))
        out[:, t] = s
    return out
