"""Random float networks that passes are tried on, and the comparison that proves or catches them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Delay,
    Edge,
    Flatten,
    Graph,
    Identity,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
)
from snnc_reference.execute import execute

STEPS, SAMPLES = 14, 6


@dataclass
class Net:
    """A graph under construction; ``add`` names its sources, ``(name, delay)`` or a name."""

    rng: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def add(self, node: Node, *sources: str | tuple[str, int]) -> str:
        self.nodes.append(node)
        for source in sources:
            self.join(source, node.name)
        return node.name

    def join(self, source: str | tuple[str, int], target: str) -> None:
        name, delay = source if isinstance(source, tuple) else (source, 0)
        self.edges.append(Edge(name, target, delay))

    def graph(self) -> Graph:
        return Graph(tuple(self.nodes), tuple(self.edges))

    def input(self, *shape: int) -> str:
        return self.add(Input("in", shape))

    def affine(self, name: str, out: int, into: int, *sources: Any, bias: bool = True) -> str:
        weight = self.rng.normal(0.05, 1.6 / np.sqrt(into), (out, into))
        return self.add(Affine(name, weight, self.rng.normal(0, 0.2, out) if bias else None), *sources)

    def conv(self, name: str, out: int, into: int, *sources: Any, bias: bool = True, **options: Any) -> str:
        groups = options.get("groups", 1)
        weight = self.rng.normal(0.05, 1.6 / np.sqrt(9 * into), (out, into // groups, 3, 3))
        given = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)} | options
        return self.add(Conv(name, weight, self.rng.normal(0, 0.2, out) if bias else None, **given), *sources)

    def param(self, shape: tuple[int, ...], low: float, high: float, kind: str = "") -> Any:
        """A scalar, a value per channel or a value per neuron."""
        kind = kind or str(self.rng.choice(["scalar", "channel", "neuron"]))
        sizes = {"scalar": (), "channel": (shape[0], *(1,) * (len(shape) - 1)), "neuron": shape}
        return self.rng.uniform(low, high, sizes[kind])

    def neuron(self, name: str, shape: tuple[int, ...], *sources: Any, **options: Any) -> str:
        given = {
            "decay_u": self.param(shape, 0.1, 0.7) if self.rng.random() < 0.5 else 0.0,
            "decay_v": self.param(shape, 0.5, 0.95),
            "threshold": self.param(shape, 0.6, 1.2),
            "reset_v": str(self.rng.choice(["zero", "value", "subtract"])),
            "v_reset": 0.1,
            "fires": str(self.rng.choice(["gt", "ge"])),
            "refractory": int(self.rng.integers(0, 3)),
        } | options
        return self.add(Neuron(name, shape, **given), *sources)

    def scale(self, name: str, shape: tuple[int, ...], *sources: Any, shift: bool = True) -> str:
        gain = self.param(shape, 0.5, 1.8, "channel")
        return self.add(Scale(name, gain, self.param(shape, -0.3, 0.3, "channel") if shift else np.zeros(())), *sources)


def spikes(graph: Graph, seed: int = 0, samples: int = SAMPLES, steps: int = STEPS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((samples, steps, *graph.inputs[0].shape)) < 0.3).astype(np.int8)


def differing(before: Graph, after: Graph) -> int:
    """Spikes that differ in populations that both have; the network must be alive for that to mean anything."""
    x = spikes(before)
    left, right = execute(before, x), execute(after, x)
    fired = 0
    count = 0
    for node in before.neurons:
        assert node.name in right.spikes
        share = float(left.spikes[node.name].mean())
        fired += 0.01 < share < 0.99
        count += int(np.sum(left.spikes[node.name] != right.spikes[node.name]))
    assert fired == len(before.neurons), "a silent or saturated population proves nothing"
    return count


Make = Callable[[Net], None]


def build(make: Make, seed: int) -> Graph:
    net = Net(np.random.default_rng(seed))
    make(net)
    return net.graph()


def plain(net: Net) -> None:
    """Nothing that a pass of the default order would change."""
    net.input(6)
    net.affine("fc", 8, 6, "in", bias=False)
    net.neuron("n", (8,), "fc", reset_v="zero", v_reset=0.0)
    net.add(Readout("out"), "n")


def identities(net: Net) -> None:
    net.input(6)
    net.add(Identity("drop", "dropout"), "in")
    net.affine("a", 5, 6, "drop")
    net.affine("b", 5, 6, "drop", "in")
    net.add(Identity("both"), "a", ("b", 1))
    net.add(Delay("zero", 0), "a")
    net.add(Concat("cat"), "both", "zero")
    net.add(Delay("late", 1), "cat")
    net.add(Flatten("flat"), "late")
    net.neuron("n", (10,), "flat")


def dense_norm(net: Net) -> None:
    net.input(6)
    net.affine("fc", 8, 6, "in", bias=bool(net.rng.random() < 0.5))
    net.scale("bn", (8,), "fc")
    net.neuron("n", (8,), "bn")


def conv_norm(net: Net) -> None:
    net.input(2, 6, 6)
    net.conv("c1", 4, 2, "in", groups=2)
    net.scale("bn1", (4, 6, 6), "c1")
    net.neuron("n1", (4, 6, 6), "bn1")
    net.conv("c2", 4, 4, "n1", bias=False, stride=(2, 2))
    net.add(Pool("p", "avg", (2, 2), (1, 1), (0, 0)), "c2")
    net.scale("bn2", (4, 2, 2), "p", shift=False)
    net.add(Flatten("f"), "bn2")
    net.neuron("n2", (16,), "f")


def residual_norm(net: Net) -> None:
    net.input(3, 4, 4)
    net.conv("c1", 3, 3, "in")
    net.conv("c2", 3, 3, "in", bias=False)
    net.add(Add("sum"), "c1", "c2")
    net.scale("bn", (3, 4, 4), "sum")
    net.scale("bn2", (3, 4, 4), "bn")
    net.neuron("n", (3, 4, 4), "bn2")


def norm_first(net: Net) -> None:
    net.input(4)
    net.scale("bn", (4,), "in")
    net.affine("a", 6, 4, "bn")
    net.affine("b", 6, 4, ("bn", 0), bias=False)
    net.neuron("n", (6,), "a")
    net.neuron("m", (6,), "b")


def norm_neuron(net: Net) -> None:
    net.input(4, 3, 3)
    net.scale("bn", (4, 3, 3), "in")
    net.neuron("n", (4, 3, 3), "bn", decay_u=0.0, gain=1.3, gain_u=0.8)
    net.scale("bn2", (4, 3, 3), "n")
    net.neuron("m", (4, 3, 3), "bn2", decay_u=0.4)


def norm_forked(net: Net) -> None:
    """The weights before the scale also feed another population: nothing may move."""
    net.input(6)
    net.affine("fc", 8, 6, "in")
    net.scale("bn", (8,), "fc")
    net.neuron("n", (8,), "bn", decay_u=0.5)
    net.neuron("m", (8,), "fc")


def pool_dense(net: Net) -> None:
    net.input(2, 6, 6)
    net.add(Pool("p1", "avg", (3, 3), (1, 1), (1, 1)), "in")
    net.add(Pool("p2", "avg", (2, 2), (2, 2), (0, 0)), "p1")
    net.add(Flatten("f"), "p2")
    net.affine("fc", 8, 18, "f")
    net.neuron("n", (8,), "fc", threshold=0.5)


def pool_conv(net: Net) -> None:
    net.input(2, 6, 6)
    net.conv("c1", 4, 2, "in")
    net.add(Pool("p1", "avg", (2, 3), (2, 1), (0, 0)), "c1")
    net.neuron("n1", (4, 3, 4), "p1")
    net.add(Pool("p2", "avg", (2, 2), (1, 1), (0, 0)), "n1")
    net.add(Identity("i"), "p2")
    net.conv("c2", 4, 4, "i", groups=2)
    net.neuron("n2", (4, 2, 3), "c2", threshold=0.4)


def pool_concat(net: Net) -> None:
    net.input(2, 4, 4)
    net.conv("c1", 3, 2, "in")
    net.neuron("n1", (3, 4, 4), "c1")
    net.add(Pool("p", "avg", (2, 2), (2, 2), (0, 0)), "n1")
    net.add(Pool("q", "sum", (2, 2), (2, 2), (0, 0)), "in")
    net.add(Concat("cat", 0), "p", "q")
    net.conv("c2", 4, 5, "cat")
    net.neuron("n2", (4, 2, 2), "c2")


def pool_residual(net: Net) -> None:
    net.input(2, 4, 4)
    net.add(Pool("p", "avg", (2, 2), (2, 2), (0, 0)), "in")
    net.conv("c", 2, 2, "in", stride=(2, 2))
    net.neuron("n", (2, 2, 2), "p", "c")


def pool_neuron(net: Net) -> None:
    net.input(2, 6, 6)
    net.add(Pool("p", "avg", (3, 3), (3, 3), (0, 0)), "in")
    net.neuron("n", (2, 2, 2), "p", threshold=0.4)


def gains(net: Net) -> None:
    net.input(6)
    net.affine("fc", 8, 6, "in")
    net.neuron("n", (8,), "fc", gain=net.param((8,), 0.4, 1.6), gain_u=net.param((8,), 0.4, 1.6), v_init=0.2)
    net.affine("rec", 8, 8, ("n", 1))
    net.join("rec", "n")


def gains_conv(net: Net) -> None:
    net.input(2, 5, 5)
    net.conv("c1", 3, 2, "in")
    net.conv("c2", 3, 2, "in")
    net.add(Add("sum"), "c1", "c2")
    net.neuron("n", (3, 5, 5), "sum", gain=net.param((3, 5, 5), 0.4, 1.6, "channel"), gain_u=0.7)
    net.conv("c3", 3, 3, "n")
    net.add(Flatten("f"), "c3")
    net.neuron("m", (75,), "f", gain=net.param((75,), 0.4, 1.6, "neuron"))


def gains_forked(net: Net) -> None:
    """Shared weights, and spikes without weights: thresholds take the gain."""
    net.input(6)
    net.affine("fc", 6, 6, "in")
    net.neuron("n", (6,), "fc", gain=net.param((6,), 0.5, 1.6, "neuron"), v_rest=0.1, bias=0.05)
    net.neuron("m", (6,), "fc")
    net.neuron("k", (6,), "m", gain_u=1.7, threshold=1.1, v_reset=0.2)


def gains_negative(net: Net) -> None:
    net.input(6)
    net.affine("fc", 8, 6, "in")
    net.neuron("n", (8,), "fc", gain=net.param((8,), -1.5, 1.5, "neuron"))


def rests(net: Net) -> None:
    net.input(6)
    net.affine("fc", 8, 6, "in")
    rest = net.param((8,), -0.3, 0.3)
    net.neuron("n", (8,), "fc", v_rest=rest, reset_v="zero", v_init=0.1)
    net.affine("fd", 8, 8, "n")
    net.neuron("m", (8,), "fd", v_rest=-0.2, reset_v="value", v_reset=-0.2)
    net.affine("fe", 8, 8, "m")
    net.neuron("k", (8,), "fe", v_rest=0.1, reset_v="subtract")


def biases(net: Net) -> None:
    net.input(2, 4, 4)
    net.conv("c1", 3, 2, "in")
    net.conv("c2", 3, 2, "in")
    net.add(Add("sum"), "c1", "c2")
    net.neuron("n", (3, 4, 4), "sum", decay_u=0.0, gain=0.7, gain_u=1.2, bias=0.05)
    net.add(Flatten("f"), "n")
    net.affine("a", 4, 48, "f")
    net.affine("b", 4, 48, "f")
    net.add(Concat("cat"), "a", "b", "a")
    net.neuron("m", (12,), "cat", decay_u=0.0)


def biases_filtered(net: Net) -> None:
    """decay_u is not 0, a delay, or a pool: biases must stay where they are."""
    net.input(2, 4, 4)
    net.conv("c", 3, 2, "in")
    net.neuron("n", (3, 4, 4), "c", decay_u=0.5)
    net.conv("d", 3, 3, "n")
    net.neuron("m", (3, 4, 4), ("d", 2), decay_u=0.0)
    net.conv("e", 3, 3, "m")
    net.add(Pool("p", "sum", (2, 2), (2, 2), (0, 0)), "e")
    net.add(Flatten("f"), "p")
    net.affine("g", 6, 12, "f", bias=False)
    net.neuron("k", (6,), "g", decay_u=0.3)


def biases_joined(net: Net) -> None:
    net.input(6)
    net.affine("a", 4, 6, "in")
    net.affine("b", 4, 6, "in")
    net.add(Concat("cat"), "a", ("b", 1))
    net.neuron("n", (8,), "cat", decay_u=0.4)
    net.affine("c", 8, 8, "n")
    net.neuron("m", (8,), ("c", 1), decay_u=0.4)
    net.neuron("k", (8,), "c", decay_u=0.0)


def bare(net: Net) -> None:
    net.input(2, 4, 4)
    net.conv("c", 2, 2, "in")
    net.neuron("n", (2, 4, 4), "c", "in")
    net.add(Pool("p", "max", (2, 2), (2, 2), (0, 0)), "n")
    net.neuron("m", (2, 2, 2), "p")
    net.add(Flatten("f"), "m")
    net.affine("a", 8, 8, "f")
    net.add(Add("sum"), "a", ("f", 1))
    net.neuron("k", (8,), "sum")
    net.neuron("j", (8,), "sum", decay_u=0.3)
