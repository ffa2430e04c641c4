"""Random integer networks that learn: two to four populations, loops, several projections, every rule that chips take.

Built as integers at once, so that conventions, latencies and delays are as wild as the ir allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import (
    Add,
    Affine,
    Conv,
    Conventions,
    Delay,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Identity,
    Input,
    Neuron,
    Node,
    Pool,
)  # fmt: skip
from snnc.learning import LearningConfig, configure, lower_rule
from snnc.learning.plastic import Plastic, bind_fixed
from snnc.learning.session import Hosts, Moment, Values
from unit.engine.engine_nets import conventions_of
from unit.formats.onnx_nets import fixed, random_conventions

Array = npt.NDArray[Any]
TOP = 254
STEPS = 10
STDP: dict[str, Any] = {"A_plus": 0.08, "A_minus": 0.05, "tau_plus": 5.0, "tau_minus": 4.0}
RULES: dict[str, dict[str, Any]] = {
    "pair-stdp": STDP,
    "nearest-stdp": STDP,
    "multiplicative-stdp": STDP,
    "soft-bound-stdp": STDP,
    "reward-stdp": {**STDP, "rate": 0.5, "tau_e": 6.0},
    "s2-stdp": {"A_plus": 0.2, "A_minus": 0.2, "t_max": STEPS, "gap": 3.0, "w_min": -1.0},
    "triplet-stdp": {"nu_pre": 0.04, "nu_post": 0.08, "sum_weights": 1.5},
    "weight-decay": {"rate": 0.1, "baseline": 0.2},
    "homeostatic-scaling": {"rate": 0.1, "target": 0.05, "tau": 10.0},
    "products": {
        "dw": "2^-1*y0*x1 - 2^-2*x0*y1 + u1*t*2^-4", "dt": "2^-2*y0*x1 - 2^-3*x0*t", "x1_impulse": 40.0, "x1_tau": 5.0,
        "y1_impulse": 50.0, "y1_tau": 6.0, "t_epoch": 3, "sign": "excitatory",
    },
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Lessons:
    """A network, what learns in it, and what it learns from.

    Attributes:
        graph: integers.
        scales: population -> raw state units per 1.0.
        plastic: what learns.
        samples: [samples, T, *shape].
        labels: [samples].
        phases: of each sample.
        thresholds: (sample, population, factor): the host changes them before this sample.
    """

    graph: FixedGraph
    scales: dict[str, Array]
    plastic: tuple[Plastic, ...]
    samples: Array
    labels: Array
    phases: tuple[str | None, ...]
    thresholds: tuple[tuple[int, str, float], ...]


class Builder:
    """Grows one network that learns."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.names = list(RULES)
        self.first = self.names[seed % len(self.names)]
        kind = self.pick("generic", "loihi1", "loihi1 chip", "random")
        self.c = self.random() if kind == "random" else conventions_of(kind, self.rng)
        self.up = self.pick(0, 0, 2, -1)
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.latency: dict[str, int] = {}
        self.learning: list[LearningConfig] = []

    def random(self) -> Conventions:
        wide = {"state_bits": 24, "accumulator_bits": 24, "accumulator_overflow": "wrap"}
        return replace(random_conventions(self.rng), **wide)  # type: ignore[arg-type]

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def add(self, node: Node, *sources: str, delay: int = 0) -> str:
        self.nodes.append(node)
        for source in sources:
            self.join(source, node.name, delay)
        return node.name

    def join(self, source: str, target: str, delay: int = 0) -> None:
        leaves = any(n.name == source and isinstance(n, (Input, Neuron)) for n in self.nodes)
        hop = self.c.hop_delay + self.pick(0, 0, 1) if leaves else 0
        self.edges.append(Edge(source, target, max(delay, hop)))

    def raw(self, low: int, high: int, shape: tuple[int, ...], frac: int | None = None) -> Fixed:
        own = self.c.state_frac - max(self.up, 0) if frac is None else frac
        return fixed(self.rng.integers(low, high, shape), 9, own)

    def neuron(self, name: str, size: int | tuple[int, ...], level: int) -> Neuron:
        shape = size if isinstance(size, tuple) else (size,)
        decays = {key: fixed(self.rng.integers(low, 4097, ()), 13, 12, False) for key, low in (("decay_v", 2500),)}
        decays["decay_u"] = fixed(self.pick(0, 0, 2000), 13, 12, False)
        unit = self.c.state_frac
        threshold = fixed(np.maximum(1, self.rng.integers(level // 2, level, self.pick((), shape))), 24, unit)
        bias = self.rng.integers(0, max(level // 8, 1), shape) * self.pick(0, 1)
        self.latency[name] = self.pick(0, 1, 2, 3)
        return Neuron(
            name, shape, threshold=threshold, bias=fixed(bias, 20, unit),
            v_init=fixed(self.pick(0, level // 3), 20, unit), v_reset=fixed(self.pick(0, 3), 13, unit),
            gain=fixed(1), gain_u=fixed(1), v_rest=fixed(0), fires=self.pick("gt", "ge"),
            reset_v=self.pick("zero", "subtract", "value"), reset_delay=self.pick(0, 0, 1),
            refractory=self.pick(0, 0, 2), **decays,
        )  # fmt: skip

    def level(self, size: int) -> int:
        """A threshold that a few arriving spikes reach."""
        return max(8, int(TOP * 2.0**self.up * max(1, size // 4)))

    def learns(self, name: str, source: str, sizes: tuple[int, int], *, delay: int = 0) -> str:
        """A projection that learns; its rule is the next of the library."""
        rule = self.first if not self.learning else self.pick(*self.names)
        signed = rule == "s2-stdp"
        keys = dict(RULES[rule])
        if rule in ("pair-stdp", "nearest-stdp", "soft-bound-stdp"):
            keys["t_epoch"] = self.pick(1, 2, 3)
            if self.pick(0, 1):
                keys["phases"] = {"sleep": {"rule": "weight-decay", "rate": 0.2, "baseline": 0.3}}
        self.learning.append(configure(name, rule=rule, **keys))
        frac = self.c.state_frac - self.up - 1
        weight = fixed(self.rng.integers(-60 if signed else 0, 100, (sizes[1], sizes[0])), 8, frac)
        bias = self.raw(-5, 9, (sizes[1],), self.c.state_frac) if self.pick(0, 0, 1) else None
        return self.add(Affine(name, weight, bias), source, delay=delay)

    def front(self) -> tuple[str, int]:
        """The input and what nothing learned reaches."""
        image = self.pick(0, 0, 1)
        size = 16 if image else int(self.rng.integers(4, 10))
        source = self.add(Input("in", (1, 4, 4) if image else (size,)))
        self.latency["in"] = self.pick(0, 0, 1)
        if image:
            self.add(Conv("conv", self.raw(-20, 60, (2, 1, 3, 3)), None, (1, 1), (1, 1), (1, 1)), source)
            source = self.add(self.neuron("map", (2, 4, 4), 60), "conv")
            if self.pick(0, 1):
                source = self.add(Pool("pool", self.pick("max", "sum"), (2, 2), (2, 2)), source, delay=self.c.hop_delay)
                size = 8
            else:
                size = 32
            return self.add(Flatten("flat"), source), size
        if self.pick(0, 1):
            self.add(Affine("first", self.raw(-20, 60, (6, size)), None), source)
            source, size = self.add(self.neuron("early", 6, 50), "first"), 6
            if self.pick(0, 1):
                self.add(Affine("own", self.raw(-40, 1, (6, 6)), None), source, delay=1)
                self.join("own", source)
        if self.pick(0, 0, 1):
            source = self.add(Delay("wait", steps=2), source)
        return source, size

    def build(self) -> FixedGraph:
        source, size = self.front()
        hidden = int(self.rng.integers(3, 7))
        fc = self.learns("fc", source, (size, hidden))
        if self.pick(0, 0, 1):
            fc = self.add(Identity("same"), fc)
        joined = [fc]
        if self.pick(0, 1):
            joined.append(self.add(Affine("beside", self.raw(-10, 30, (hidden, size)), None), source))
        shape = self.pick("twice", "stack", "recurrent", "one", "one")
        if shape == "twice":
            joined.append(self.learns("fc2", source, (size, hidden)))
        into = self.add(Add("sum"), *joined) if len(joined) > 1 else joined[0]
        self.add(self.neuron("hid", hidden, self.level(size)), into)
        if self.pick(0, 1):
            self.add(Affine("lateral", self.raw(-60, 1, (hidden, hidden)), None), "hid", delay=1)
            self.join("lateral", "hid")
        if shape == "recurrent":
            self.learns("fc2", "hid", (hidden, hidden), delay=self.pick(1, 2))
            self.join("fc2", "hid", self.pick(0, 0, 1))
        if shape == "stack":
            self.learns("fc2", "hid", (hidden, 4))
            self.add(self.neuron("out", 4, self.level(hidden)), "fc2")
            if self.pick(0, 1):
                self.add(Affine("back", self.raw(-30, 30, (hidden, 4)), None), "out", delay=1)
                self.join("back", "hid")
        elif self.pick(0, 1):
            self.add(Affine("last", self.raw(-10, 60, (3, hidden)), None), "hid")
            self.add(self.neuron("end", 3, 60), "last")
        return FixedGraph(tuple(self.nodes), tuple(self.edges), "loihi1", self.c, self.latency)


def lessons(seed: int) -> Lessons:
    """A network and what it learns from."""
    one = Builder(seed)
    graph, rng = one.build(), one.rng
    scales: dict[str, Array] = {node.name: np.array(TOP * 2.0**one.up) for node in graph.neurons}
    plastic = bind_fixed(graph, scales, one.learning, lower_rule)
    shape = graph.inputs[0].shape
    samples = (rng.random((4, STEPS, *shape)) < 0.3).astype(np.int8)
    known = [phase for each in plastic for phase in each.rule.phases]
    phases = tuple(None if n < 2 else str(rng.choice(known)) for n in range(len(samples)))
    population = str(rng.choice([node.name for node in graph.neurons]))
    changes = ((2, population, float(rng.uniform(0.3, 1.5))),) if one.pick(0, 1) else ()
    return Lessons(graph, scales, plastic, samples, rng.integers(0, 3, len(samples)), phases, changes)


def reward(moment: Moment) -> Values:
    """Pays for spikes, step by step."""
    assert moment.spikes is not None
    return {"reward": np.where(moment.spikes > 0, 1.0, -0.5) * (1 + moment.step % 2)}


HOSTS: Hosts = {"reward": reward}
