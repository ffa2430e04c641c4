"""Runs a graph step by step: the definition of what a float graph and a fixed graph mean. Slow, obviously right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError, UnsupportedError
from snnc.ir import (
    POPULATIONS,
    Affine,
    Atrlif,
    Concat,
    Conv,
    Conventions,
    Delay,
    Fixed,
    FixedGraph,
    Flatten,
    Graph,
    Input,
    Network,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
    TimeScale,
    to_fixed,
)  # fmt: skip
from snnc.trace import Probes, Trace
from snnc_reference import host, linear, populations
from snnc_reference.refusals import refusals

__all__ = ["Run", "execute", "refusals"]

Array = npt.NDArray[Any]
Added = Mapping[tuple[str, str], Array]
FLOAT = Conventions()


class Run:
    """One run over a batch: node outputs with their history, neuron states, recordings."""

    def __init__(
        self,
        network: Network,
        spikes: Array,
        probes: Probes,
        forced: Mapping[str, Array] | None = None,
        added: Added | None = None,
    ) -> None:
        found = refusals(network)
        if found:
            raise UnsupportedError.of(*found)
        self.network = network
        self.fixed = isinstance(network, FixedGraph)
        self.rules = network.conventions if isinstance(network, FixedGraph) else None
        self.conventions = self.rules or FLOAT
        self.latency = dict(network.latency) if isinstance(network, FixedGraph) else {}
        self.depth = network.depth if isinstance(network, FixedGraph) else 0
        self.dtype: type[Any] = np.int64 if self.fixed else np.float64
        self.kept: type[Any] = np.float64 if self.conventions.membrane == "float32" else self.dtype
        self.batch, self.steps = spikes.shape[:2]
        self.spikes, self.probes = _integers(network, spikes), probes
        self.forced, self.added = dict(forced or {}), _checked(network, added, (self.batch, self.steps + self.depth))
        self.split = self.conventions.synapse == "split"
        self.history: dict[str, dict[int, Array]] = {node.name: {} for node in network.nodes}
        self.memory = {n.name: max((e.delay for e in network.outgoing(n.name)), default=0) for n in network.nodes}
        stateful = [node for node in network.populations if isinstance(node, populations.STATEFUL)]
        self.state: dict[str, Any] = {node.name: populations.start(node, self.rules, self.batch) for node in stateful}
        self.shift = {node.name: self._ring_shift(node) for node in network.neurons} if self.split else {}
        self.recorded: dict[str, Array] = {}
        self.states: dict[tuple[str, str], Array] = {}

    def trace(self, backend: str) -> Trace:
        """Runs all device steps and cuts out logical time."""
        for step in range(self.steps + self.depth):
            for name in self.network.order:
                self._advance(self.network[name], step)
        target = self.network.target if isinstance(self.network, FixedGraph) else "float"
        return Trace(backend, target, self.recorded, self.states)

    def _ring_shift(self, node: Neuron) -> int:
        """Ring unit to state unit; one unit for all weights into a population."""
        fracs = {weight.format.frac for weight in _weights_into(self.network, node.name)}
        if len(fracs) > 1:
            raise UnsupportedError(f"{node.name}: weights into one population have several units: {sorted(fracs)}")
        return self.conventions.state_frac - next(iter(fracs), self.conventions.state_frac)

    def _advance(self, node: Node, step: int) -> None:
        if isinstance(node, Readout):
            return
        out = self._source(node, step) if isinstance(node, Input) else self._compute(node, step)
        kept = self.history[node.name]
        kept[step] = out
        kept.pop(step - self.memory[node.name] - 1, None)
        if isinstance(node, POPULATIONS):
            self._record(node, step, out)

    def _source(self, node: Input, step: int) -> Array:
        t = step - self.latency.get(node.name, 0)
        if node.encoding == "constant":
            return np.full((self.batch, *node.shape), int(t >= 0), dtype=self.dtype)
        if not 0 <= t < self.steps:
            return np.zeros((self.batch, *node.shape), dtype=self.dtype)
        return self.spikes[:, t].astype(self.dtype)

    def _arriving(self, node: Node, step: int) -> list[Array]:
        """Outputs at the far ends of the incoming edges, delayed; nothing arrives before device step 0."""
        found: list[Array] = []
        for edge in self.network.incoming(node.name):
            t = step - edge.delay
            if self._is_host(edge.source):
                continue
            if edge.source in self.forced:
                t -= self.latency.get(edge.source, 0)
                if 0 <= t < self.steps:
                    found.append(self.forced[edge.source][:, t].astype(self.dtype))
            elif t >= 0:
                found.append(self.history[edge.source][t])
        return found

    def _compute(self, node: Node, step: int) -> Array:
        arriving = self._arriving(node, step)
        if isinstance(node, Concat):
            return self._concat(node, step)
        shape = self.network.shapes[self.network.incoming(node.name)[0].source]
        x = sum(arriving[1:], arriving[0]) if arriving else np.zeros((self.batch, *shape), dtype=self.dtype)
        if isinstance(node, populations.STATEFUL):
            return self._population(node, step, x)
        if isinstance(node, (Affine, Conv)):
            return self._weighted(node, x)
        if isinstance(node, Pool):
            y = linear.pool(x, node.pooling, node.kernel, node.stride, node.padding)
            return y / np.prod(node.kernel) if node.pooling == "avg" else y
        if isinstance(node, (Scale, TimeScale)):
            return linear.scale(node, x, step, self.steps)
        if isinstance(node, Delay):
            return self._delay(node, step, x)
        if isinstance(node, Flatten):
            lead = x.ndim - len(shape)
            return x.reshape(*x.shape[:lead], -1)
        return x

    def _is_host(self, name: str) -> bool:
        node = self.network[name]
        return isinstance(node, (Affine, Conv)) and node.host is not None

    def _driven(self, node: Node, step: int) -> Array | int:
        """What the host adds to v: nothing before the population's first step."""
        if step < self.latency.get(node.name, 0):
            return 0
        into = (edge for edge in self.network.incoming(node.name) if self._is_host(edge.source))
        sent = (self.history[edge.source].get(step - edge.delay, 0) for edge in into)
        return sum(sent, 0)

    def _concat(self, node: Concat, step: int) -> Array:
        parts: list[Array] = []
        for edge in self.network.incoming(node.name):
            t = step - edge.delay
            shape = (self.batch, *self.network.shapes[edge.source])
            forced = self.forced.get(edge.source)
            if forced is not None:
                t -= self.latency.get(edge.source, 0)
            known = 0 <= t < self.steps if forced is not None else t >= 0
            source = forced[:, t] if forced is not None and known else self.history[edge.source].get(t)
            parts.append(source.astype(self.dtype) if known and source is not None else np.zeros(shape, self.dtype))
        rank = max(part.ndim for part in parts)
        split = [part if part.ndim == rank else np.broadcast_to(part, (2, *part.shape)) for part in parts]
        return np.concatenate(split, axis=node.axis - len(self.network.shapes[node.name]))

    def _delay(self, node: Delay, step: int, x: Array) -> Array:
        line = self.state.setdefault(node.name, {})
        line[step] = x
        return np.asarray(line.pop(step - node.steps, np.zeros_like(x)))

    def _weighted(self, node: Affine | Conv, x: Array) -> Array:
        weight = node.weight.raw if isinstance(node.weight, Fixed) else node.weight
        if not self.split:
            y = self._product(node, x, weight)
            if node.host is not None:
                return host.drive(node, y, self.conventions.state_frac)
            if isinstance(node.weight, Fixed):
                y = _to_unit(y, node.weight.format.frac, self.conventions.state_frac)
            return y + self._bias(node, y.ndim) if node.bias is not None else y
        if node.bias is not None:
            raise UnsupportedError(f"{node.name}: a split synapse has no bias; carry it through a constant input")
        return np.stack([self._product(node, x, np.maximum(sign * weight, 0)) for sign in (1, -1)])

    def _product(self, node: Affine | Conv, x: Array, weight: Array) -> Array:
        if isinstance(node, Affine):
            return linear.affine(x, weight)
        return linear.conv(x, weight, node.stride, node.padding, node.dilation, node.groups)

    def _bias(self, node: Affine | Conv, ndim: int) -> Array:
        assert node.bias is not None
        bias = node.bias.aligned(self.conventions.state_frac) if isinstance(node.bias, Fixed) else node.bias
        return np.asarray(bias).reshape(1, -1, *(1,) * (ndim - 2))

    def _population(self, node: Node, step: int, x: Array) -> Array:
        if self.fixed and self.conventions.aligned_start and step == self.latency.get(node.name, 0):
            self.state[node.name] = populations.start(node, self.rules, self.batch)
        if (node.name, "x") in self.added:
            x = x + self.added[node.name, "x"][:, step]
        drive = self._driven(node, step)
        if (node.name, "drive") in self.added:
            drive = drive + self.added[node.name, "drive"][:, step]
        before, shift = self.state[node.name], self.shift.get(node.name, 0)
        state = populations.step(node, self.rules, before, x, drive, shift)
        self.state[node.name] = state
        return np.asarray(state.s)

    def _record(self, node: Node, step: int, out: Array) -> None:
        t = step - self.latency.get(node.name, 0)
        if not 0 <= t < self.steps:
            return
        numbers = populations.sends_numbers(node)
        if self.probes.wants_spikes(node.name) and not numbers:
            self._store(self.recorded, node.name, t, out, np.int8)
        if not isinstance(node, Input) and self.probes.wants_states(node.name):
            state = self.state[node.name]
            for name, attribute in populations.recorded(node, self.rules).items():
                self._store(self.states, (node.name, name), t, getattr(state, attribute), self.kept)

    def _store(self, where: dict[Any, Array], key: Any, t: int, out: Array, dtype: Any) -> None:
        if dtype is np.int8 and np.max(out, initial=0) > 127:
            raise TraceError(f"{key}: {int(np.max(out))} spikes in one step; a trace holds at most 127")
        if key not in where:
            where[key] = np.zeros((self.batch, self.steps, *out.shape[1:]), dtype=dtype)
        where[key][:, t] = out


def _to_unit(y: Array, frac: int, unit: int) -> Array:
    """A weight sum as state units: left shift, or floor where the target shifts the sum right."""
    return np.asarray(y << (unit - frac) if unit >= frac else y >> (frac - unit))


def _weights_into(network: Network, name: str) -> list[Fixed]:
    """Weights of the nearest weighted nodes before a population."""
    found: list[Fixed] = []
    waiting = [edge.source for edge in network.incoming(name)]
    while waiting:
        node = network[waiting.pop()]
        if isinstance(node, (Affine, Conv)) and isinstance(node.weight, Fixed):
            found.append(node.weight)
        elif not isinstance(node, POPULATIONS):
            waiting += [edge.source for edge in network.incoming(node.name)]
    return found


def _checked(network: Network, added: Added | None, lead: tuple[int, int]) -> dict[tuple[str, str], Array]:
    """What is added from outside, if it names populations that take it and has their shape."""
    found = dict(added or {})
    for (name, port), values in found.items():
        node = network[name]
        if not isinstance(network, FixedGraph) or network.conventions.membrane != "euler":
            raise UnsupportedError(f"{name}: something is added to {port}, but only integers under euler take it")
        if port not in ("x", "drive") or not isinstance(node, (Neuron, Atrlif)):
            raise TraceError(f"{name}: nothing can be added to {port!r}, allowed are x and drive of neurons")
        if values.dtype.kind not in "iu" or values.shape != (*lead, *node.shape):
            want = f"integers {(*lead, *node.shape)}"
            raise TraceError(f"{name}: what is added to {port} is {values.dtype} {values.shape}, allowed is {want}")
    return found


def _integers(network: Network, values: Array) -> Array:
    """Analog values as the integers that the fixed graph's input makes of them."""
    unit = network.inputs[0].unit
    return to_fixed(values, unit.format).raw if isinstance(unit, Fixed) else values


def execute(
    network: Network,
    spikes: npt.NDArray[Any],
    probes: Probes | None = None,
    forced: Mapping[str, npt.NDArray[np.int8]] | None = None,
    added: Added | None = None,
) -> Trace:
    """Runs a Graph in float64 or a FixedGraph in int64; see :class:`snnc.backend.Reference`.

    Args:
        network: what runs.
        spikes: [B, T, *shape].
        probes: what to record.
        forced: population -> spikes that replace its own on the way to others.
        added: integers under ``euler``: (population, port) -> [B, T + depth, *shape] in state units and device time,
            added to the sum of weights (port ``x``) or to the bias (port ``drive``). Noise of a chip comes in here.
    """
    if not isinstance(network, (Graph, FixedGraph)):
        raise TraceError(f"the reference runs graphs, not {type(network).__name__}")
    sources = network.inputs
    if len(sources) != 1:
        raise UnsupportedError(f"the reference feeds one input, the network has {len(sources)}")
    if spikes.ndim < 2 or spikes.shape[2:] != sources[0].shape:
        raise TraceError(f"input shape is {spikes.shape}, allowed is [B, T, *{sources[0].shape}]")
    return Run(network, spikes, probes or Probes(), forced, added).trace("reference")
