"""Runs a graph step by step: the definition of what a float graph and a fixed graph mean. Slow, obviously right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError, UnsupportedError, Violation
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
    Graph,
    Identity,
    Input,
    Network,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
)  # fmt: skip
from snnc.trace import Probes, Trace
from snnc_reference import linear, neuron_closed, neuron_euler, neuron_float

Array = npt.NDArray[Any]
FLOAT = Conventions()


def refusals(network: Network) -> tuple[Violation, ...]:
    """Everything in the network that this executor does not implement, by name."""
    found: list[Violation] = []
    known = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Scale, Delay, Neuron, Readout)
    fixed = isinstance(network, FixedGraph)
    for node in network.nodes:
        if not isinstance(node, known):
            found.append(Violation(node.name, "node type", node.kind, "a type that the reference executes"))
        elif fixed and isinstance(node, Scale):
            found.append(Violation(node.name, "node type", "scale", "none in integers", "Fuse it into weights."))
        elif fixed and isinstance(node, Pool) and node.pooling == "avg":
            found.append(Violation(node.name, "pooling", "avg", "sum or max", "Run the pass average-to-sum."))
        elif isinstance(node, Neuron):
            found += _neuron_refusals(node, network)
    return tuple(found)


def _neuron_refusals(node: Neuron, network: Network) -> list[Violation]:
    allowed: dict[str, Any] = {
        "fire_from": "updated", "leak": "exp", "adaptation": (), "output": "binary", "one_shot": False, "schedule": (),
    }  # fmt: skip
    if isinstance(network, FixedGraph) and network.conventions.membrane == "closed_form":
        allowed |= {"reset_delay": 0, "reset_u": False}
        if node.reset_v not in ("zero", "value"):
            return [Violation(node.name, "reset_v", node.reset_v, "zero or value under closed_form")]
    if node.reset_delay not in (0, 1):
        return [Violation(node.name, "reset_delay", str(node.reset_delay), "0 or 1")]
    return _factor_refusals(node, network) + [
        Violation(node.name, key, str(getattr(node, key)), str(want), "The reference does not execute it yet.")
        for key, want in allowed.items()
        if getattr(node, key) != want
    ]


def _factor_refusals(node: Neuron, network: Network) -> list[Violation]:
    """The integer euler step has no gains and rests at zero; a graph that says otherwise means something else."""
    if not isinstance(network, FixedGraph) or network.conventions.membrane != "euler":
        return []
    params = {key: value for key, value in node.params().items() if isinstance(value, Fixed)}
    return [
        Violation(node.name, key, "another number", f"{want:g}", "Fold it before quantization.")
        for key, want in (("gain_u", 1.0), ("gain", 1.0), ("v_rest", 0.0))
        if np.any(params[key].to_float() != want)
    ]


class Run:
    """One run over a batch: node outputs with their history, neuron states, recordings."""

    def __init__(
        self, network: Network, spikes: Array, probes: Probes, forced: Mapping[str, Array] | None = None
    ) -> None:
        found = refusals(network)
        if found:
            raise UnsupportedError.of(*found)
        self.network = network
        self.fixed = isinstance(network, FixedGraph)
        self.conventions = network.conventions if isinstance(network, FixedGraph) else FLOAT
        self.latency = dict(network.latency) if isinstance(network, FixedGraph) else {}
        self.depth = network.depth if isinstance(network, FixedGraph) else 0
        self.dtype: type[Any] = np.int64 if self.fixed else np.float64
        self.batch, self.steps = spikes.shape[:2]
        self.spikes, self.probes, self.forced = spikes, probes, dict(forced or {})
        self.split = self.conventions.synapse == "split"
        self.history: dict[str, dict[int, Array]] = {node.name: {} for node in network.nodes}
        self.memory = {n.name: max((e.delay for e in network.outgoing(n.name)), default=0) for n in network.nodes}
        self.state: dict[str, Any] = {node.name: self._start(node) for node in network.neurons}
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

    def _start(self, node: Neuron) -> Any:
        if not self.fixed:
            return neuron_float.start(node, self.batch)
        if self.conventions.membrane == "closed_form":
            return neuron_closed.start(node, self.conventions, self.batch)
        return neuron_euler.start(node, self.conventions, self.batch)

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
        if isinstance(node, (Input, Neuron)):
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
        if isinstance(node, Neuron):
            return self._neuron(node, step, x)
        if isinstance(node, (Affine, Conv)):
            return self._weighted(node, x)
        if isinstance(node, Pool):
            y = linear.pool(x, node.pooling, node.kernel, node.stride, node.padding)
            return y / np.prod(node.kernel) if node.pooling == "avg" else y
        if isinstance(node, Scale):
            return np.asarray(np.asarray(node.gain) * x + np.asarray(node.shift))
        if isinstance(node, Delay):
            return self._delay(node, step, x)
        if isinstance(node, Flatten):
            lead = x.ndim - len(shape)
            return x.reshape(*x.shape[:lead], -1)
        return x

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

    def _neuron(self, node: Neuron, step: int, x: Array) -> Array:
        if self.fixed and self.conventions.aligned_start and step == self.latency.get(node.name, 0):
            self.state[node.name] = self._start(node)
        state = self.state[node.name]
        if not self.fixed:
            state = neuron_float.step(node, state, x)
        elif self.conventions.membrane == "closed_form":
            if not (self.split and x.ndim == len(node.shape) + 2):
                x = np.zeros((2, self.batch, *node.shape), dtype=np.int64)
            state = neuron_closed.step(node, self.conventions, state, x, self.shift[node.name])
        else:
            state = neuron_euler.step(node, self.conventions, state, x)
        self.state[node.name] = state
        return np.asarray(state.s)

    def _record(self, node: Input | Neuron, step: int, out: Array) -> None:
        t = step - self.latency.get(node.name, 0)
        if not 0 <= t < self.steps:
            return
        analog = isinstance(node, Input) and node.encoding == "direct"
        if self.probes.wants_spikes(node.name) and not analog:
            self._store(self.recorded, node.name, t, out, np.int8)
        if isinstance(node, Neuron) and self.probes.wants_states(node.name):
            state = self.state[node.name]
            split = {"u_exc": "used_exc", "u_inh": "used_inh", "v": "v"}
            names = split if self.conventions.membrane == "closed_form" and self.fixed else {"u": "u", "v": "v"}
            for name, attribute in names.items():
                self._store(self.states, (node.name, name), t, getattr(state, attribute), self.dtype)

    def _store(self, where: dict[Any, Array], key: Any, t: int, out: Array, dtype: Any) -> None:
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
        elif not isinstance(node, (Input, Neuron)):
            waiting += [edge.source for edge in network.incoming(node.name)]
    return found


def execute(
    network: Network,
    spikes: npt.NDArray[Any],
    probes: Probes | None = None,
    forced: Mapping[str, npt.NDArray[np.int8]] | None = None,
) -> Trace:
    """Runs a Graph in float64 or a FixedGraph in int64; see :class:`snnc.backend.Reference`."""
    if not isinstance(network, (Graph, FixedGraph)):
        raise TraceError(f"the reference runs graphs, not {type(network).__name__}")
    sources = network.inputs
    if len(sources) != 1:
        raise UnsupportedError(f"the reference feeds one input, the network has {len(sources)}")
    if spikes.ndim < 2 or spikes.shape[2:] != sources[0].shape:
        raise TraceError(f"input shape is {spikes.shape}, allowed is [B, T, *{sources[0].shape}]")
    return Run(network, spikes, probes or Probes(), forced).trace("reference")
