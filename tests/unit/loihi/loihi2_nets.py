"""Hand-made integer networks for target loihi2: one population per neuron program, all on one input."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnc.ir import Affine, Edge, FixedGraph, Format, Input, Neuron, Node
from snnc_loihi.target import CONVENTIONS
from unit.loihi.loihi_nets import DECAY, Net, fixed, mixed, neuron, rain

STATE = Format(24, 0)
SIZE = 9
PROGRAMS: dict[str, dict[str, Any]] = {
    "zero": {},
    "soft": {"reset_v": "subtract"},
    "soft_ge": {"reset_v": "subtract", "fires": "ge"},
    "value": {"reset_v": "value"},
    "free": {"reset_v": "none"},
    "soft_late": {"reset_v": "subtract", "reset_delay": 1},
    "zero_late": {"reset_delay": 1, "fires": "ge"},
    "value_late": {"reset_v": "value", "reset_delay": 1, "refractory": 2},
    "clears": {"reset_u": True},
    "rests": {"refractory": 3},
    "rests_soft": {"refractory": 1, "reset_v": "subtract", "reset_u": True},
}


def program(rng: np.random.Generator, name: str, **fields: Any) -> Neuron:
    """A population in which every neuron has its own registers."""
    given: dict[str, Any] = {
        "decay_u": fixed(rng.integers(0, 4097, SIZE), DECAY),
        "decay_v": fixed(np.append(rng.integers(2500, 4097, SIZE - 2), [0, 4096]), DECAY),
        "threshold": fixed(rng.integers(9_000, 40_000, SIZE), Format(23, 0, signed=False)),
        "bias": fixed(rng.integers(-600, 1500, SIZE), STATE),
        "v_init": fixed(rng.integers(-9000, 9000, SIZE), STATE),
        "v_reset": fixed(rng.integers(-5000, 5000, SIZE) if fields.get("reset_v") == "value" else 0, STATE),
    }
    return neuron(name, SIZE, **{**given, **fields})


def programs() -> Net:
    """Every program of PROGRAMS side by side."""
    rng = np.random.default_rng(21)
    nodes: list[Node] = [Input("in", (12,))]
    edges: list[Edge] = []
    for name, fields in PROGRAMS.items():
        nodes += [Affine(f"f_{name}", mixed(rng, SIZE, 12)), program(rng, name, **fields)]
        edges += [Edge("in", f"f_{name}", 1), Edge(f"f_{name}", name)]
    latency = {"in": 0, **dict.fromkeys(PROGRAMS, 1)}
    return Net(FixedGraph(tuple(nodes), tuple(edges), "loihi2", CONVENTIONS, latency), rain(rng, 0.4, 3, 13, 12))


def looped() -> Net:
    """Two layers, the first recurrent, both with soft reset and refractory time."""
    rng = np.random.default_rng(22)
    nodes = (
        Input("in", (8,)), Affine("f", mixed(rng, SIZE, 8)), Affine("rec", mixed(rng, SIZE, SIZE)),
        program(rng, "a", reset_v="subtract", refractory=1), Affine("g", mixed(rng, SIZE, SIZE)),
        program(rng, "b", reset_v="subtract", reset_delay=1),
    )  # fmt: skip
    edges = (
        Edge("in", "f", 1), Edge("f", "a"), Edge("a", "rec", 1), Edge("rec", "a"), Edge("a", "g", 1), Edge("g", "b"),
    )  # fmt: skip
    return Net(FixedGraph(nodes, edges, "loihi2", CONVENTIONS, {"in": 0, "a": 1, "b": 2}), rain(rng, 0.3, 4, 10, 8))


def at_the_edge() -> Net:
    """Sums beyond 32 bits, u beyond its turn, v at its ceiling and floor, and a soft reset far below zero."""
    rng = np.random.default_rng(23)
    big = np.where(rng.random((SIZE, 1200)) < 0.5 + 0.5 * (np.arange(SIZE)[:, np.newaxis] < 3), 127, -128)
    big[4:8, 6:] = 0
    wide = {"bias": fixed(rng.integers(-(1 << 23) + 1, 1 << 23, SIZE), STATE), "decay_v": fixed(4090, DECAY)}
    high = fixed((1 << 23) - 1 - np.arange(SIZE) * (1 << 17), Format(23, 0, signed=False))
    nodes = (
        Input("in", (1200,)), Affine("f", fixed(big, Format(8, -(6 + 1 + 7)))),
        program(rng, "a", reset_v="subtract", threshold=high, **wide), Affine("g", fixed(big, Format(8, -(6 + 1 + 7)))),
        program(rng, "b", reset_v="subtract", reset_delay=1, threshold=high, **wide),
    )  # fmt: skip
    edges = (Edge("in", "f", 1), Edge("f", "a"), Edge("in", "g", 1), Edge("g", "b"))
    spikes = rain(rng, 0.5, 3, 12, 1200)
    spikes[1, 2:9] = 1
    return Net(FixedGraph(nodes, edges, "loihi2", CONVENTIONS, {"in": 0, "a": 1, "b": 1}), spikes)
