"""Random fixed graphs for the engine: everything that the definition executes, under the conventions of every target.

Built upon the makers of the ONNX tests; here are the populations, inputs, loops and ways that an ONNX file lacks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from snnc.engine.library import Kernels, state
from snnc.engine.run import Engine
from snnc.ir import (
    POPULATIONS,
    Add,
    Affine,
    Atrlif,
    Concat,
    Conventions,
    Delta,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Format,
    Identity,
    Input,
    Neuron,
    Node,
    Pool,
    Sigma,
    SigmaDelta,
)
from snnc.trace import Probes, Trace
from snnc_loihi.conventions import CHIP, LAVA, limited
from snnc_reference.targets import PROFILE
from snnc_spinnaker.quantize import CONVENTIONS as SPINNAKER
from unit.formats.onnx_nets import Array, Maker, Shape, fixed, random_conventions, spikes

KINDS = ("generic", "loihi1", "loihi1 chip", "limits", "spinnaker1", "random")
GRADED = (Sigma, Delta, SigmaDelta)
EVERYTHING = Probes(states="all")
ENGINES: tuple[Engine, ...] = ("dense", "event") if isinstance(state(), Kernels) else ("dense",)


@dataclass(frozen=True, eq=False)
class Case:
    """A graph, its input [B, T, *shape], and what replaces what populations send."""

    graph: FixedGraph
    values: Array
    forced: dict[str, Array]


def differing(found: Trace, want: Trace) -> str:
    """The first recorded quantity that differs, or an empty text. The width of integers may differ."""
    for kind in ("spikes", "states"):
        a, b = getattr(found, kind), getattr(want, kind)
        if set(a) != set(b):
            return f"{kind}: {sorted(map(str, set(a) ^ set(b)))}"
        wrong = [key for key in b if a[key].dtype.kind != "i" or not np.array_equal(a[key], b[key])]
        if wrong:
            return f"{kind} of {wrong[0]}"
    return ""


def conventions_of(kind: str, rng: np.random.Generator) -> Conventions:
    """Conventions of a target, or any that the ir can say."""
    known = {"generic": PROFILE.conventions, "loihi1": LAVA, "loihi1 chip": CHIP, "spinnaker1": SPINNAKER}
    if kind in known:
        return known[kind]
    if kind == "limits":
        return limited(LAVA, int(rng.integers(8, 24)), int(rng.integers(0, 8)))
    policies = (None, "wrap", "wrap_once", "saturate", "saturate_symmetric")
    return replace(
        random_conventions(rng),
        register_bits=int(rng.choice([13, 24, 32, 62])),
        drive_overflow=policies[int(rng.integers(len(policies)))],  # type: ignore[arg-type]
        membrane_minimum=None if rng.random() < 0.5 else -int(rng.integers(1, 300)),
        membrane_maximum=None if rng.random() < 0.5 else int(rng.integers(1, 300)),
    )


class Wild(Maker):
    """Grows one network; ``c`` is never None."""

    c: Conventions

    def hop(self, source: str) -> int:
        leaves = any(n.name == source and isinstance(n, POPULATIONS) for n in self.nodes)
        return self.c.hop_delay + self.pick(0, 0, 0, 1, 2) if leaves else 0

    def weight(self, shape: Shape) -> Any:
        if self.split:
            return super().weight(shape)
        top = 1 << (int(self.rng.integers(2, 17)) - 1)
        frac = int(self.c.state_frac) - self.pick(0, 0, 0, 0, 1, 6, -1)
        raw = self.rng.integers(-top, top, shape)
        if self.pick(0, 0, 0, 1):
            raw = raw * 2  # a shift to the right loses nothing
        return fixed(raw * (self.rng.random(shape) < self.pick(1, 0.3, 1)), 18, frac)

    def neuron(self, shape: Shape, source: str) -> str:
        kind = "neuron" if self.split else self.pick(*["neuron"] * 6, "ternary", "ternary", "atrlif", *GRADED)
        if kind == "neuron" or kind == "ternary":
            name = super().neuron(shape, source)
            if kind == "ternary":
                low = fixed(-self.rng.integers(1, 100), 17, 0) if self.pick(0, 1) else None
                self.change(name, output="ternary", threshold_low=low)
            return name
        if kind == "atrlif":
            return self.add(self.adaptive(shape), source)
        return self.add(self.graded(kind, shape), source)

    def change(self, name: str, **fields: Any) -> None:
        self.nodes = [replace(node, **fields) if node.name == name else node for node in self.nodes]

    def adaptive(self, shape: Shape) -> Node:
        per, rng = (shape[0], *(1,) * (len(shape) - 1)), self.rng
        decays = {key: fixed(rng.integers(0, 4097, per), 13, 12, False)
                  for key in ("decay_u", "decay_v", "decay_threshold", "decay_refractory")}  # fmt: skip
        return Atrlif(
            self.name("atrlif"), shape=shape, bias=fixed(rng.integers(-20, 21, per), 13, 0),
            threshold=fixed(rng.integers(1, 60, per), 17, 0), threshold_step=fixed(rng.integers(0, 30, per), 13, 0),
            **decays,
        )  # fmt: skip

    def graded(self, kind: Any, shape: Shape) -> Node:
        if kind is Sigma:
            return Sigma(self.name("sigma"), shape=shape)
        fields: dict[str, Any] = {
            "threshold": fixed(self.rng.integers(1, 60, shape), 17, 0), "cum_error": bool(self.pick(0, 1)),
            "shift": self.pick(0, 0, 2),
        }  # fmt: skip
        if kind is SigmaDelta:
            fields |= {"bias": fixed(self.rng.integers(-9, 10, shape), 13, 0), "activation": self.pick("unit", "relu")}
        return kind(self.name(kind.__name__.lower()), shape=shape, **fields)  # type: ignore[no-any-return]

    def layer(self, source: str, shape: Shape) -> tuple[str, Shape]:
        kind = self.pick(*["plain"] * 6, "twice", "late pool", "doubled", "bare", "ring", "beside")
        if kind == "late pool" and len(shape) > 1:
            at, made = self.conv(source, shape)
            return self.pool(at, made)
        if kind == "doubled":
            joined = self.add(Concat(self.name("concat"), axis=0), source, source)
            return self.affine(joined, (2 * shape[0], *shape[1:]), 4)
        if self.split or kind in ("plain", "late pool"):
            return super().layer(source, shape)
        if kind == "bare":
            return source, shape
        if kind == "twice":
            at, made = self.affine(source, shape, 3)
            return self.affine(self.add(Identity(self.name("same")), at), made, 5)
        if kind == "beside":
            left, right = self.affine(source, shape, 3)[0], self.affine(source, shape, 2)[0]
            return self.add(Concat(self.name("concat"), axis=0), left, right), (5,)
        return self.ring(*self.affine(source, shape, 4))

    def ring(self, source: str, shape: Shape) -> tuple[str, Shape]:
        """A sum that waits for itself without a population in between."""
        total = self.add(Add(self.name("sum")), source)
        slow = Affine(
            self.name("slow"), weight=fixed(self.rng.integers(-2, 2, (shape[0], shape[0])), 5, self.c.state_frac)
        )
        self.nodes.append(slow)
        self.edges += [Edge(total, slow.name, 1), Edge(slow.name, total, self.pick(0, 2))]
        return total, shape

    def extras(self, at: str, shape: Shape) -> None:
        super().extras(at, shape)
        if self.rng.random() < 0.25:
            self.far_loop(at, shape)
        if len(shape) > 1 and self.rng.random() < 0.25:
            self.pooled_loop(at, shape)
        if not self.split and self.inputs_direct() and len(shape) == 1 and self.rng.random() < 0.7:
            self.host(at, shape)

    def far_loop(self, at: str, shape: Shape) -> None:
        """Back to this population through another one."""
        flat = self.add(Flatten(self.name("flat")), at) if len(shape) > 1 else at
        first, _ = self.affine(flat, (int(np.prod(shape)),), 3)
        other = self.neuron((3,), first)
        size = int(np.prod(shape))
        if len(shape) > 1:
            return
        back = Affine(self.name("back"), weight=self.weight((size, 3)))
        self.nodes.append(back)
        self.edges += [Edge(other, back.name, 1 + self.pick(0, 1)), Edge(back.name, at, self.pick(0, 1))]

    def pooled_loop(self, at: str, shape: Shape) -> None:
        """Back to this population through a maximum and a convolution."""
        ones = (1,) * (len(shape) - 1)
        pool = Pool(self.name("pool"), pooling="max", kernel=tuple(3 * n for n in ones), stride=ones, padding=ones)
        self.nodes.append(pool)
        self.edges.append(Edge(at, pool.name, 1 + self.pick(0, 1)))
        back, _ = self.conv(pool.name, shape, shape)
        self.edges.append(Edge(back, at, self.pick(0, 1)))

    def inputs_direct(self) -> bool:
        node = self.nodes[0]
        return isinstance(node, Input) and node.encoding == "direct"

    def host(self, at: str, shape: Shape) -> None:
        """Sums of the input that the host rounds, on their way to a neuron's bias."""
        target = next(node for node in self.nodes if node.name == at)
        if not isinstance(target, Neuron):
            return
        size = int(np.prod(self.nodes[0].shape))  # type: ignore[attr-defined]
        flat = self.add(Flatten(self.name("flat")), "in")
        node = Affine(
            self.name("host"), weight=fixed(self.rng.integers(-60, 61, (shape[0], size)), 9, self.pick(3, 0)),
            bias=fixed(self.rng.integers(-60, 61, shape), 9, 0),
            host=Fixed(np.array(1), Format(9, int(self.c.state_frac) - self.pick(0, 1))),
        )  # fmt: skip
        self.add(node, flat, delay=self.pick(0, 1))
        self.edges.append(Edge(node.name, at, self.pick(0, 0, 1)))

    def grown(self, shape: Shape) -> FixedGraph:
        """A network with its latencies."""
        network = self.network(shape)
        assert isinstance(network, FixedGraph)
        graph = replace(network, target="some")
        populations = [n.name for n in graph.nodes if isinstance(n, POPULATIONS)]
        how = self.pick("paths", "paths", "any", "none")
        if how == "any":
            return replace(graph, latency={name: int(self.rng.integers(0, 5)) for name in populations})
        return replace(graph, latency=path_latency(graph) if how == "paths" else {})

    def network(self, source: Shape) -> Any:
        unit = None if self.pick(0, 1) else Fixed(np.array(1), Format(5, 2))
        fields = {"encoding": "direct", "unit": unit} if not self.split and self.pick(0, 0, 1) else {}
        self.first = fields
        return super().network(source)

    def add(self, node: Node, *sources: str, delay: int = 0) -> str:
        if isinstance(node, Input) and node.name == "in":
            node = replace(node, **self.first)
        return super().add(node, *sources, delay=delay)


def path_latency(graph: FixedGraph) -> dict[str, int]:
    """What the longest way without loops takes to each population, as quantizers set it."""
    depth: dict[str, int] = {}
    for name in graph.order:
        known = [depth[e.source] + e.delay for e in graph.incoming(name) if e.source in depth]
        depth[name] = max(known, default=0)
    return {name: steps for name, steps in depth.items() if isinstance(graph[name], POPULATIONS)}


def random_case(seed: int, kind: str) -> Case:
    """A network with input; every fourth one with a population that is forced."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    shape: Shape = [(5,), (2, 7), (2, 5, 4)][int(rng.integers(3))]
    maker = Wild(rng, conventions_of(kind, rng))
    graph = maker.grown(shape)
    steps, batch = int(rng.integers(1, 10)), int(rng.integers(1, 4))
    source = graph.inputs[0]
    values = spikes(rng, shape, batch, steps)
    if source.encoding == "direct":
        values = rng.normal(0, 3, values.shape) if source.unit is not None else rng.integers(-9, 10, values.shape)
    forced: dict[str, Array] = {}
    if rng.integers(4) == 0:
        names = [n for n in graph.populations if not isinstance(n, GRADED)]
        chosen = names[int(rng.integers(len(names)))]
        forced = {chosen.name: spikes(rng, graph.shapes[chosen.name], batch, steps)}
    return Case(graph, values, forced)


def cases() -> st.SearchStrategy[Case]:
    """Any case."""
    return st.builds(random_case, seed=st.integers(0, 1 << 30), kind=st.sampled_from(KINDS))


def pooled(graph: FixedGraph) -> bool:
    """True if a maximum is taken somewhere."""
    return any(isinstance(node, Pool) and node.pooling == "max" for node in graph.nodes)
