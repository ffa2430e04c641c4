"""A graph as an executable ONNX graph: every node's equation in one ``Scan`` over device steps."""

from __future__ import annotations

import numpy as np
from onnx import FunctionProto, GraphProto, TensorProto, numpy_helper

from snnc.formats import onnx_host, onnx_layers
from snnc.formats.onnx_call import Call, compact
from snnc.formats.onnx_neurons import neuron_call
from snnc.formats.onnx_ops import HELPERS, overflow
from snnc.formats.onnx_rules import pairs, weights_into
from snnc.formats.onnx_scan import Scan, Series
from snnc.ir import (
    Affine,
    Concat,
    Conv,
    Delay,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Input,
    Network,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
)  # fmt: skip

PARAM = "param/"
FLOAT = int(TensorProto.FLOAT)
Signal = tuple[str, ...]


def input_kind(network: Network) -> int:
    """Element type of the graph's input: int8 spikes, analog values, or integers that a fixed graph takes as such."""
    source = network.inputs[0]
    if source.encoding == "spikes":
        return int(TensorProto.INT8)
    return int(TensorProto.INT64 if isinstance(network, FixedGraph) and source.unit is None else TensorProto.DOUBLE)


def build(network: Network) -> tuple[GraphProto, list[FunctionProto]]:
    """The ONNX graph of a network that :func:`snnc.formats.onnx_rules.refusals` accepts, and its functions."""
    return _Builder(network).finish()


class _Builder:
    """Walks the nodes in topological order; a signal is one tensor, or two (excitatory, inhibitory) after a split."""

    def __init__(self, network: Network) -> None:
        self.network = network
        fixed = network if isinstance(network, FixedGraph) else None
        self.conventions = fixed.conventions if fixed else None
        self.latency = dict(fixed.latency) if fixed else {}
        self.dtype: type[np.int64] | type[np.float64] = np.int64 if fixed else np.float64
        self.kind = int(TensorProto.INT64 if fixed else TensorProto.DOUBLE)
        self.pairs = pairs(fixed) if fixed and fixed.conventions.synapse == "split" else frozenset()
        source = network.inputs[0]
        depth = fixed.depth if fixed else 0
        self.scan = Scan(source.shape, input_kind(network), self.latency.get(source.name, 0), depth)
        self.before, self.body = self.scan.before, self.scan.body
        self.zero = self.before.constant(0, self.dtype)
        self.initializers: list[TensorProto] = []
        self.params: dict[tuple[str, str], str] = {}
        self.functions: dict[str, FunctionProto] = {}
        self.signals: dict[str, Signal] = {}
        self.lines: dict[str, Signal] = {}
        self.lengths = {n.name: self._memory(n) for n in network.nodes}

    def finish(self) -> tuple[GraphProto, list[FunctionProto]]:
        nodes = [self.network[name] for name in self.network.order]
        for node in nodes:
            self._load(node)
        executed = [node for node in nodes if not isinstance(node, Readout)]
        for node in executed:
            if self.lengths[node.name]:
                self.lines[node.name] = self._line(f"{node.name}/sent", node, self.lengths[node.name])
        for node in executed:
            self.signals[node.name] = self._signal(node)
        for name, lines in self.lines.items():
            self._push(lines, self.signals[name], self.lengths[name])
        return self.scan.graph("snnc", self.initializers), list(self.functions.values())

    def _memory(self, node: Node) -> int:
        edges = self.network.outgoing(node.name)
        return max((e.delay for e in edges if not isinstance(self.network[e.target], Readout)), default=0)

    def _load(self, node: Node) -> None:
        """Makes every parameter an initializer; integers are stored narrow and widened before the loop."""
        for key, value in node.params().items():
            name = f"{PARAM}{node.name}/{key}"
            array = compact(value.raw) if isinstance(value, Fixed) else value
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(value.shape), name))
            narrow = isinstance(value, Fixed) and array.dtype != np.int64
            self.params[node.name, key] = self.before.cast(name, self.kind) if narrow else name

    def _param(self, node: Node, key: str) -> str:
        """A parameter in the state's unit (floats as they are)."""
        name, value = self.params[node.name, key], node.params()[key]
        if self.conventions is None or not isinstance(value, Fixed):
            return name
        up = self.conventions.state_frac - value.format.frac
        if up > 0:
            return self.before.op("Mul", name, self.before.constant(1 << up))
        return self.before.op("Div", name, self.before.constant(1 << min(-up, 62))) if up else name

    def _use(self, *functions: FunctionProto) -> None:
        for proto in functions:
            self.functions.setdefault(proto.name, proto)

    def _line(self, key: str, node: Node, rows: int) -> Signal:
        parts = 2 if node.name in self.pairs else 1
        shape = self.network.shapes[node.name]
        return tuple(self.scan.carry(f"{key}/{i}", self.zero, shape, self.kind, rows) for i in range(parts))

    def _push(self, lines: Signal, signal: Signal, rows: int) -> None:
        """Puts a signal at the head of its delay line: row d-1 is what was sent d steps ago."""
        e = self.body
        for line, tensor in zip(lines, signal, strict=True):
            head = e.op("Unsqueeze", tensor, e.constant([0]))
            if rows > 1:
                rest = e.op("Slice", line, e.constant([0]), e.constant([rows - 1]), e.constant([0]))
                head = e.op("Concat", head, rest, axis=0)
            self.scan.become(line, head)

    def _arriving(self, edge: Edge) -> Signal:
        if edge.delay == 0:
            return self.signals[edge.source]
        row = self.body.constant(edge.delay - 1)
        return tuple(self.body.op("Gather", line, row, axis=0) for line in self.lines[edge.source])

    def _signal(self, node: Node) -> Signal:
        if isinstance(node, Input):
            return self._input(node)
        into = self.network.incoming(node.name)
        driven = [self._arriving(edge)[0] for edge in into if onnx_host.is_host(self.network[edge.source])]
        arriving = [self._arriving(edge) for edge in into if not onnx_host.is_host(self.network[edge.source])]
        if not arriving:
            arriving = [(self.body.op("Mul", driven[0], self.body.constant(0, self.dtype)),)]
        if isinstance(node, Concat):
            return (self.body.op("Concat", *(part[0] for part in arriving), axis=node.axis + 1),)
        x = arriving[0]
        for other in arriving[1:]:
            x = tuple(self.body.op("Add", a, b) for a, b in zip(x, other, strict=True))
        if isinstance(node, Neuron):
            return self._neuron(node, x, driven)
        if isinstance(node, (Affine, Conv)):
            return self._weighted(node, x[0])
        if isinstance(node, Delay):
            return self._delay(node, x)
        return tuple(self._shaped(node, part) for part in x)

    def _shaped(self, node: Node, x: str) -> str:
        e = self.body
        if isinstance(node, Pool):
            zero = e.constant(0, self.dtype)
            return onnx_layers.pool(e, x, node, self.network.shapes[node.name], zero)
        if isinstance(node, Scale):
            return e.op("Add", e.op("Mul", self._param(node, "gain"), x), self._param(node, "shift"))
        if isinstance(node, Flatten):
            return e.op("Reshape", x, e.constant((-1, *self.network.shapes[node.name])))
        return x

    def _input(self, node: Input) -> Signal:
        latency = self.latency.get(node.name, 0)
        e = self.body
        if node.encoding == "constant":
            ones = self.scan.expanded(self.before.constant(1, self.dtype), node.shape)
            on = e.op("GreaterOrEqual", self.scan.step, e.constant(latency))
            out = e.op("Mul", ones, e.cast(on, self.kind))
        elif isinstance(node.unit, Fixed):
            fmt = node.unit.format
            steps = e.op("Round", e.op("Mul", self.scan.column, e.constant(2.0**fmt.frac, np.float64)))
            ends = (e.constant(end, np.float64) for end in (fmt.minimum, fmt.maximum))
            out = e.cast(e.op("Clip", steps, *ends), self.kind)
        else:
            out = e.cast(self.scan.column, self.kind)
        if node.encoding != "direct":
            self._record(node, "", out)
        return (out,)

    def _delay(self, node: Delay, x: Signal) -> Signal:
        if node.steps == 0:
            return x
        lines = self._line(f"{node.name}/held", node, node.steps)
        self._push(lines, x, node.steps)
        row = self.body.constant(node.steps - 1)
        return tuple(self.body.op("Gather", line, row, axis=0) for line in lines)

    def _weighted(self, node: Affine | Conv, x: str) -> Signal:
        """The product with the weights in the state's unit; split: one product per sign, in the weights' unit."""
        weight = self.params[node.name, "weight"]
        if node.name in self.pairs:
            negative = self.before.op("Neg", weight)
            parts = (self.before.larger(part, self.zero) for part in (weight, negative))
            return tuple(self._product(node, x, part) for part in parts)
        y = self._product(node, x, weight)
        if self.conventions is not None and node.host is not None:
            y = self.body.op("Add", y, self._bias(node)) if node.bias is not None else y
            return (onnx_host.rounded(self.body, y, node, self.conventions.state_frac, self.kind),)
        if self.conventions is not None and isinstance(node.weight, Fixed):
            y = self._to_unit(y, self.conventions.state_frac - node.weight.format.frac)
        return (self.body.op("Add", y, self._bias(node)) if node.bias is not None else y,)

    def _product(self, node: Affine | Conv, x: str, weight: str) -> str:
        if isinstance(node, Affine):
            return self.body.op("MatMul", x, self.before.op("Transpose", weight, perm=[1, 0]))
        matrix = onnx_layers.conv_matrix(self.before, weight, node)
        shapes = (self.network.shapes[self.network.incoming(node.name)[0].source], self.network.shapes[node.name])
        return onnx_layers.conv(self.body, x, matrix, node, shapes, self.body.constant(0, self.dtype))

    def _to_unit(self, y: str, up: int) -> str:
        if up > 0:
            return self.body.op("Mul", y, self.body.constant(1 << up))
        if up == 0:
            return y
        self._use(HELPERS["ShiftFloor"])
        return self.body.call_one("ShiftFloor", (y,), {"unit": 1 << -up})

    def _bias(self, node: Affine | Conv) -> str:
        space = len(self.network.shapes[node.name]) - 1
        bias = self._param(node, "bias") if node.host is None else onnx_host.bias(self.before, node)
        return self.before.op("Reshape", bias, self.before.constant((-1, *(1,) * space)))

    def _driven(self, node: Neuron, bias: str, sums: list[str]) -> str:
        """The bias with what the host adds to it from the population's first step on."""
        e = self.body
        on = e.cast(e.op("GreaterOrEqual", self.scan.step, e.constant(self.latency.get(node.name, 0))), self.kind)
        for one in sums:
            bias = e.op("Add", bias, e.op("Mul", one, on))
        return bias

    def _neuron(self, node: Neuron, x: Signal, driven: list[str]) -> Signal:
        c = self.conventions
        ring = 0
        if c is not None and c.synapse == "split":
            ring = c.state_frac - weights_into(self.network, node.name)[0].format.frac
        elif c is not None and not (c.accumulator_bits >= 64 and c.accumulator_overflow == "wrap"):
            name, low, high = overflow(c.accumulator_bits, c.accumulator_overflow)
            self._use(HELPERS[name])
            x = (self.body.call_one(name, x, {"low": low, "high": high}),)
        call = neuron_call(node, c, ring)
        self._use(*call.needs)
        carried = {state: self._carry(node, state) for state in call.states}
        states = [self._aligned(node, state, name) for state, name in carried.items()]
        params = [self._neuron_param(node, key, call) for key in call.params]
        if driven:
            at = call.params.index("bias")
            params[at] = self._driven(node, params[at], driven)
        out = self.body.call(call.function, [*x, *states, *params], call.outputs, call.attributes)
        results = dict(zip(call.outputs, out, strict=True))
        for state, name in carried.items():
            self.scan.become(name, results[call.carries[state]])
        self._record(node, "", results["s_next"])
        for probe, output in call.probes.items():
            self._record(node, probe, results[output])
        return (results["s_next"],)

    def _neuron_param(self, node: Neuron, key: str, call: Call) -> str:
        """Factors enter raw, with their unit as an attribute of the call; everything else in the state's unit."""
        if call.single:
            return self._single(node, key)
        return self.params[node.name, key] if key in call.raw else self._param(node, key)

    def _single(self, node: Neuron, key: str) -> str:
        """A parameter as float32, exactly: its integer has at most 24 bits, and its unit is a power of two."""
        value = node.params()[key]
        assert isinstance(value, Fixed)
        e = self.before
        return e.op("Mul", e.cast(self.params[node.name, key], FLOAT), e.constant(value.format.step, np.float32))

    def _start(self, node: Neuron, state: str) -> tuple[str, int]:
        if state == "hold":
            return self.before.constant(0), int(TensorProto.INT64)
        if self.conventions is not None and self.conventions.membrane == "float32":
            return (self._single(node, "v_init") if state == "v" else self.before.constant(0, np.float32)), FLOAT
        return (self._param(node, "v_init") if state == "v" else self.zero), self.kind

    def _carry(self, node: Neuron, state: str) -> str:
        start, kind = self._start(node, state)
        return self.scan.carry(f"{node.name}/{state}", start, node.shape, kind)

    def _aligned(self, node: Neuron, state: str, name: str) -> str:
        """The state before this step; set to its start value right before device step = latency if aligned."""
        latency = self.latency.get(node.name, 0)
        if self.conventions is None or not self.conventions.aligned_start or latency == 0:
            return name
        now = self.body.op("Equal", self.scan.step, self.body.constant(latency))
        return self.body.op("Where", now, self._start(node, state)[0], name)

    def _record(self, node: Input | Neuron, state: str, tensor: str) -> None:
        name = f"states/{node.name}/{state}" if state else f"spikes/{node.name}"
        single = self.conventions is not None and self.conventions.membrane == "float32"
        kind = (FLOAT if single else self.kind) if state else int(TensorProto.INT8)
        tensor = tensor if state else self.body.cast(tensor, kind)
        self.scan.record(Series(name, tensor, node.shape, kind, self.latency.get(node.name, 0)))
