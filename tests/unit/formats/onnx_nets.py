"""Random networks that reach the corners: narrow registers, odd delays, every layer that an ONNX file executes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Conventions,
    Delay,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Format,
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
from snnc.trace import Trace

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
SPLIT = Conventions(
    hop_delay=1, membrane="closed_form", synapse="split", accumulator_bits=16, accumulator_overflow="saturate",
    state_bits=32, state_frac=15, current_overflow="wrap", membrane_overflow="wrap", decay_rounding="floor",
    aligned_start=False,
)  # fmt: skip
SINGLE = Conventions(
    hop_delay=1, membrane="float32", synapse="split", accumulator_bits=24, accumulator_overflow="saturate",
    aligned_start=False,
)  # fmt: skip
LOIHI = Conventions(
    hop_delay=1, accumulator_overflow="wrap", state_bits=24, current_overflow="wrap_once",
    membrane_overflow="saturate_symmetric", decay_rounding="toward_zero",
)  # fmt: skip


def fixed(raw: Any, bits: int = 32, frac: int = 0, signed: bool = True) -> Fixed:
    return Fixed(np.asarray(raw, dtype=np.int64), Format(bits, frac, signed))


def spikes(rng: np.random.Generator, shape: Shape, batch: int = 3, steps: int = 10, rate: float = 0.4) -> Array:
    return (rng.random((batch, steps, *shape)) < rate).astype(np.int8)


def difference(left: Trace, right: Trace, tolerance: float = 0.0) -> str:
    """The first recorded quantity that differs, or an empty text."""
    for kind, a, b in (("spikes", left.spikes, right.spikes), ("states", left.states, right.states)):
        if set(a) != set(b):
            return f"{kind}: {sorted(map(str, set(a) ^ set(b)))}"
        for key in a:
            if a[key].shape != b[key].shape or a[key].dtype != b[key].dtype:
                return f"{kind} {key}: {a[key].dtype}{a[key].shape} and {b[key].dtype}{b[key].shape}"
            close = np.abs(a[key].astype(np.float64) - b[key]) <= tolerance * (1 + np.abs(b[key].astype(np.float64)))
            if not (np.all(close) if tolerance and kind == "states" else np.array_equal(a[key], b[key])):
                return f"{kind} {key}"
    return ""


def random_conventions(rng: np.random.Generator) -> Conventions:
    """Euler conventions in every combination, mostly with registers so narrow that they overflow."""
    policies = ("wrap", "wrap_once", "saturate", "saturate_symmetric")
    accumulator = int(rng.choice([7, 9, 12, 32, 64]))
    return Conventions(
        hop_delay=int(rng.integers(2)),
        accumulator_bits=accumulator,
        accumulator_overflow="wrap" if accumulator == 64 else str(rng.choice(policies)),  # type: ignore[arg-type]
        state_bits=int(rng.choice([8, 10, 12, 24, 32])),
        state_frac=int(rng.choice([0, 0, 3])),
        current_overflow=str(rng.choice(policies)),  # type: ignore[arg-type]
        membrane_overflow=str(rng.choice(policies)),  # type: ignore[arg-type]
        decay_rounding=str(rng.choice(["toward_zero", "floor", "nearest_even"])),  # type: ignore[arg-type]
        aligned_start=bool(rng.integers(2)),
    )


class Maker:
    """Grows one random network; ``conventions`` None makes a float graph."""

    def __init__(self, rng: np.random.Generator, conventions: Conventions | None) -> None:
        self.rng, self.c = rng, conventions
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.split = conventions is not None and conventions.synapse == "split"
        self.single = conventions is not None and conventions.membrane == "float32"

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def add(self, node: Node, *sources: str, delay: int = 0) -> str:
        self.nodes.append(node)
        self.edges += [Edge(source, node.name, delay + self.hop(source)) for source in sources]
        return node.name

    def hop(self, source: str) -> int:
        leaves = any(n.name == source and isinstance(n, (Input, Neuron)) for n in self.nodes)
        return (self.c.hop_delay if self.c else 0) + int(self.rng.integers(3)) if leaves else 0

    def name(self, kind: str) -> str:
        return f"{kind}.{len(self.nodes)}"

    def weight(self, shape: Shape) -> Any:
        if self.c is None:
            return self.rng.normal(0, 1.2 / np.sqrt(np.prod(shape[1:])), shape)
        if self.single:
            return fixed(self.rng.integers(-127, 128, shape), 8)
        if self.split:
            return fixed(self.rng.integers(-3000, 3001, shape), 17, 12)
        return fixed(self.rng.integers(-60, 61, shape), 17, int(self.c.state_frac) - self.pick(0, 0, 1, -1))

    def bias(self, count: int) -> Any:
        if self.c is None:
            return self.rng.normal(0, 0.2, count)
        return None if self.split else fixed(self.rng.integers(-9, 10, count), 13, 0)

    def neuron(self, shape: Shape, source: str) -> str:
        per = shape if self.rng.random() < 0.5 else (shape[0], *(1,) * (len(shape) - 1))
        node = Neuron(
            self.name("lif"),
            shape=shape,
            fires=self.pick("gt", "ge"),
            reset_v=self.pick("zero", "value"),
            refractory=0 if self.single else self.pick(0, 0, 1, 3),
        )
        if self.single:
            node = replace(node, reset_v=self.pick("zero", "value", "subtract", "none"))
        if not self.split:
            modes = ("zero", "value", "subtract", "none")
            node = replace(
                node, reset_v=self.pick(*modes), reset_delay=self.pick(0, 1), reset_u=bool(self.pick(0, 0, 1))
            )
        return self.add(replace(node, **self.values(per)), source)

    def values(self, per: Shape) -> dict[str, Any]:
        rng = self.rng
        if self.c is None:
            return {
                "decay_u": rng.random(per), "decay_v": rng.random(per), "gain_u": rng.uniform(0.5, 1.5, per),
                "gain": rng.uniform(0.5, 1.5, per), "bias": rng.normal(0, 0.1, per),
                "threshold": rng.uniform(0.3, 1, per), "v_rest": rng.normal(0, 0.1, per),
                "v_reset": rng.normal(0, 0.1, per), "v_init": rng.normal(0, 0.3, per),
            }  # fmt: skip
        if self.single:
            odd = {key: rng.integers(1 << 22, 1 << 24, per) for key in ("decay_u", "decay_v", "threshold")}
            return {
                "decay_u": fixed(odd["decay_u"], 25, 24), "decay_v": fixed(odd["decay_v"], 25, 24),
                "gain_u": fixed(1), "gain": fixed(1), "v_rest": fixed(0),
                "threshold": fixed(odd["threshold"], 26, 16),
                **{key: fixed(rng.integers(-(1 << 23), 1 << 23, per), 26, 17) for key in ("bias", "v_reset", "v_init")},
            }  # fmt: skip
        if self.split:
            top = 1 << 15
            return {
                "decay_u": fixed(rng.integers(0, 1 << 32, per), 33, 32, False),
                "decay_v": fixed(rng.integers(0, top, per), 32, 15),
                "gain_u": fixed(rng.integers(1 << 31, (1 << 32) + 1, per), 34, 32, False),
                "gain": fixed(rng.integers(top // 2, self.pick(2, 4, 1 << 15) * top, per), 32, 15),
                "bias": fixed(rng.integers(-top, top, per), 32, 15),
                "threshold": fixed(rng.integers(-40 * top, -10 * top, per), 32, 15),
                "v_rest": fixed(rng.integers(-60 * top, -40 * top, per), 32, 15),
                "v_reset": fixed(rng.integers(-70 * top, -50 * top, per), 32, 15),
                "v_init": fixed(rng.integers(-60 * top, -30 * top, per), 32, 15),
            }  # fmt: skip
        limit = min(1 << (self.c.state_bits - 1), 1 << 10)
        return {
            "decay_u": fixed(rng.integers(0, 4097, per), 13, 12, False),
            "decay_v": fixed(rng.integers(0, 4097, per), 13, 12, False),
            "gain_u": fixed(1), "gain": fixed(4, 8, 2), "v_rest": fixed(0),
            "bias": fixed(rng.integers(-20, 21, per), 13, 0),
            "threshold": fixed(rng.integers(1, max(2, limit // 8), per), 17, 0),
            "v_reset": fixed(rng.integers(-9, 10, per), 17, self.c.state_frac),
            "v_init": fixed(rng.integers(-limit // 2, limit // 2, per), 24, self.c.state_frac),
        }  # fmt: skip

    def conv(self, source: str, shape: Shape, out: Shape | None = None) -> tuple[str, Shape]:
        """A convolution with any groups, stride, padding and dilation; ``out`` asks for exactly that shape."""
        rank = len(shape) - 1
        groups = self.pick(1, *([2] if shape[0] % 2 == 0 and (out is None or out[0] % 2 == 0) else []))
        channels = out[0] if out else 2 * int(self.rng.integers(1, 3))
        if out:
            kernel, stride, padding, dilation = (3,) * rank, (1,) * rank, (1,) * rank, (1,) * rank
        else:
            kernel, stride, padding, dilation = (
                tuple(int(i) for i in self.rng.integers(low, high, rank))
                for low, high in ((1, 4), (1, 3), (0, 3), (1, 3))
            )
            kernel = tuple(
                k if n + 2 * p > d * (k - 1) else 1
                for n, k, p, d in zip(shape[1:], kernel, padding, dilation, strict=True)
            )
        node = Conv(
            self.name("conv"), weight=self.weight((channels, shape[0] // groups, *kernel)),
            bias=self.bias(channels) if self.rng.random() < 0.5 else None,
            stride=stride, padding=padding, dilation=dilation, groups=groups,
        )  # fmt: skip
        space = zip(shape[1:], kernel, stride, padding, dilation, strict=True)
        size = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in space)
        return self.add(node, source), (channels, *size)

    def affine(self, source: str, shape: Shape, out: int) -> tuple[str, Shape]:
        if len(shape) > 1:
            source = self.add(Flatten(self.name("flat")), source)
        into = int(np.prod(shape))
        bias = self.bias(out) if self.rng.random() < 0.5 else None
        return self.add(Affine(self.name("fc"), weight=self.weight((out, into)), bias=bias), source), (out,)

    def pool(self, source: str, shape: Shape) -> tuple[str, Shape]:
        rank = len(shape) - 1
        kernel = tuple(min(int(self.rng.integers(1, 3)), size) for size in shape[1:])
        stride = tuple(int(i) for i in self.rng.integers(1, 3, rank))
        padding = tuple(int(self.rng.integers(0, k)) for k in kernel)
        kinds = ("sum", "max", "avg") if self.c is None else ("sum", "max")
        space = zip(shape[1:], kernel, stride, padding, strict=True)
        size = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in space)
        node = Pool(self.name("pool"), pooling=self.pick(*kinds), kernel=kernel, stride=stride, padding=padding)
        return self.add(node, source), (shape[0], *size)

    def layer(self, source: str, shape: Shape) -> tuple[str, Shape]:
        """Weights of some kind between two populations."""
        kind = self.pick("affine", "conv", "pool", "add", "concat") if len(shape) > 1 else "affine"
        if kind == "pool":
            source, shape = self.pool(source, shape)
            return self.conv(source, shape) if self.rng.random() < 0.5 else self.affine(source, shape, 5)
        if kind == "conv":
            return self.conv(source, shape)
        if kind == "affine":
            return self.affine(source, shape, int(self.rng.integers(2, 7)))
        if kind == "concat" and self.split:
            joined = self.add(Concat(self.name("concat"), axis=0), source, source)
            return self.conv(joined, (2 * shape[0], *shape[1:]))
        same = (2, *shape[1:])
        left, right = self.conv(source, shape, same)[0], self.conv(source, shape, same)[0]
        if kind == "concat":
            return self.add(Concat(self.name("concat"), axis=0), left, right), (4, *shape[1:])
        total = self.add(Add(self.name("sum")), left, right)
        return self.add(Delay(self.name("late"), steps=int(self.rng.integers(0, 3))), total, delay=1), same

    def network(self, source: Shape) -> Network:
        self.add(Input("in", shape=source))
        at, shape = "in", source
        for _ in range(int(self.rng.integers(1, 4))):
            before = at
            at, shape = self.layer(before, shape)
            if self.c is None and self.rng.random() < 0.5:
                tall = (shape[0], *(1,) * (len(shape) - 1))
                gain, shift = self.rng.uniform(0.5, 1.5, tall), self.rng.normal(0, 0.1, tall)
                at = self.add(Scale(self.name("norm"), gain=gain, shift=shift), at)
            at = self.neuron(shape, self.add(Identity(self.name("same")), at))
            self.extras(at, shape)
        self.add(Readout("answer"), at)
        if self.c is None:
            return Graph(tuple(self.nodes), tuple(self.edges), dt=1e-3)
        latency = {n.name: int(self.rng.integers(0, 5)) for n in self.nodes if isinstance(n, (Input, Neuron))}
        return FixedGraph(tuple(self.nodes), tuple(self.edges), "some", self.c, latency)

    def extras(self, at: str, shape: Shape) -> None:
        """Self-recurrence with a long delay, and a constant input that drives the population."""
        if len(shape) == 1 and self.rng.random() < 0.6:
            back = Affine(self.name("back"), weight=self.weight((shape[0], shape[0])))
            self.nodes.append(back)
            self.edges += [Edge(at, back.name, int(self.rng.integers(1, 6))), Edge(back.name, at, self.pick(0, 1))]
        if len(shape) == 1 and self.rng.random() < 0.4:
            one = self.add(Input(self.name("one"), shape=(1,), encoding="constant"))
            drive = self.add(Affine(self.name("drive"), weight=self.weight((shape[0], 1))), one)
            self.edges.append(Edge(drive, at, self.pick(0, 2)))


def random_network(seed: int, conventions: Conventions | str | None) -> tuple[Network, Array]:
    """A network and input [B, T, *shape]; ``conventions`` may be ``random``."""
    rng = np.random.default_rng(seed)
    chosen = random_conventions(rng) if isinstance(conventions, str) else conventions
    shape = [(5,), (2, 7), (2, 5, 4)][int(rng.integers(3))]
    network = Maker(rng, chosen).network(shape)
    return network, spikes(rng, shape, steps=int(rng.integers(1, 12)))
