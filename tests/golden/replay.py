"""Small fixed graphs and their step-by-step execution, from which all Loihi vectors are replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import (
    POPULATIONS,
    Affine,
    Conv,
    Conventions,
    Edge,
    Fixed,
    FixedGraph,
    Format,
    Input,
    IntArray,
    Neuron,
    Node,
)
from snnc.trace import Probes
from snnc_loihi.target import CONVENTIONS
from snnc_reference import neuron_euler
from snnc_reference.execute import Run, execute

STATE = Format(40, 0)
DECAY = Format(16, 12)  # signed and wide: vectors hold factors that no chip has
HIDDEN = Fixed(np.int64(1 << 38), STATE)  # beyond any 32-bit register: the population never fires

LOIHI = CONVENTIONS  # the target's own, so that a slip in the target shows in the vectors
SYNAPSE = Conventions(
    hop_delay=1, accumulator_bits=32, accumulator_overflow="wrap", state_bits=32, state_frac=-6,
    current_overflow="wrap", membrane_overflow="wrap",
)  # fmt: skip


def fixed(values: Any, fmt: Format = STATE) -> Fixed:
    """Integers of any shape in a format."""
    return Fixed(np.asarray(values, dtype=np.int64), fmt)


def neuron(name: str, shape: tuple[int, ...], **params: Any) -> Neuron:
    """An integer population; what is not given has no effect."""
    given = {
        "decay_u": fixed(0, DECAY), "decay_v": fixed(0, DECAY), "bias": fixed(0), "threshold": HIDDEN,
        "gain_u": fixed(1), "gain": fixed(1), "v_rest": fixed(0), "v_reset": fixed(0), "v_init": fixed(0),
    } | params  # fmt: skip
    return Neuron(name, shape=shape, **({"fires": "gt", "reset_v": "zero"} | given))


def shifted(mantissa: Any, exponent: Any) -> IntArray:
    """``mantissa * 2**exponent``, floored for negative exponents."""
    m, e = np.broadcast_arrays(np.asarray(mantissa, dtype=np.int64), np.asarray(exponent, dtype=np.int64))
    return np.where(e >= 0, m << np.maximum(e, 0), m >> np.maximum(-e, 0))


def lava_lif(name: str, shape: tuple[int, ...], du: int, dv: int, vth: int, bias: Any = 0, v0: Any = 0) -> Neuron:
    """Lava's LIF: u keeps ``4096 - (du + 1)`` of 4096, v keeps ``4096 - dv``; it fires above ``vth << 6``."""
    return neuron(
        name, shape, decay_u=fixed(4095 - int(du), DECAY), decay_v=fixed(4096 - int(dv), DECAY),
        threshold=fixed(int(vth), Format(40, -6)), bias=fixed(bias), v_init=fixed(v0),
    )  # fmt: skip


def run(
    graph: FixedGraph, values: npt.NDArray[Any], added: Mapping[tuple[str, str], IntArray] | None = None
) -> dict[str, IntArray]:
    """Runs one sample in device time (a graph without latencies has no other).

    Args:
        graph: what runs.
        values: [*shape, T], spikes or integers for the graph's input; time is the last axis, as in the vectors.
        added: (population, port) -> [*shape, T], added to the sum of weights or to the bias.

    Returns:
        ``<population>.u``, ``.v``, ``.s`` and what else it has -> [*shape, T].
    """
    ports = {port: _drive(extra) for port, extra in (added or {}).items()}
    trace = execute(graph, _drive(values), Probes(states="all"), added=ports)
    found = {f"{name}.s": array for name, array in trace.spikes.items()}
    found |= {f"{name}.{key}": array for (name, key), array in trace.states.items()}
    return {key: np.moveaxis(array[0], 0, -1) for key, array in found.items()}


def holds(graph: FixedGraph, values: npt.NDArray[Any]) -> dict[str, IntArray]:
    """Remaining refractory steps of every population after each step, [*shape, T]; traces do not record them."""
    drive = _drive(values)
    steps = Run(graph, drive, Probes(spikes=()))
    kept: dict[str, list[IntArray]] = {node.name: [] for node in graph.neurons}
    for step in range(drive.shape[1]):
        for name in graph.order:
            steps._advance(graph[name], step)
        for name, found in kept.items():
            found.append(steps.state[name].hold[0])
    return {name: np.stack(found, axis=-1) for name, found in kept.items()}


def _drive(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.moveaxis(values.astype(np.int64), -1, 0)[np.newaxis]


def driven(node: Neuron, conventions: Conventions, x: IntArray, u0: Any = 0, v0: Any = 0) -> dict[str, IntArray]:
    """Steps a population by itself with input x [*shape, T] in state units, from any start state."""
    state = neuron_euler.start(node, conventions, 1)
    state = neuron_euler.IntState(state.u + u0, np.zeros_like(state.v) + v0, state.s, state.hold)
    kept: list[tuple[IntArray, IntArray, IntArray]] = []
    for t in range(x.shape[-1]):
        state = neuron_euler.step(node, conventions, state, x[np.newaxis, ..., t])
        kept.append((state.u[0], state.v[0], state.s[0]))
    return {key: np.stack([k[i] for k in kept], axis=-1) for i, key in enumerate("uvs")}


def arrivals(
    weights: Sequence[tuple[Affine | Conv, int]],
    values: npt.NDArray[Any],
    shape: tuple[int, ...],
    conventions: Conventions = SYNAPSE,
) -> IntArray:
    """What a population of this shape receives in each step, [*shape, T], in units of 2**-state_frac.

    Args:
        weights: weighted nodes with the delay of the edge that feeds them.
        values: spikes or integers [*input shape, T].
        shape: of the population.
        conventions: the accumulator's.
    """
    into = Input("in", shape=values.shape[:-1], encoding="direct")
    nodes: list[Node] = [into, *(w for w, _ in weights), neuron("a", shape)]
    edges = [Edge("in", w.name, delay) for w, delay in weights] + [Edge(w.name, "a") for w, _ in weights]
    return run(FixedGraph(tuple(nodes), tuple(edges), "probe", conventions), values)["a.u"]


def chain(nodes: Sequence[Node], conventions: Conventions, *, logical: bool = False) -> FixedGraph:
    """Nodes in a row; edges out of populations carry the hop delay.

    Args:
        nodes: an input first.
        conventions: of the target.
        logical: true to give each population its latency, so that traces are in logical time; else device time.
    """
    edges: list[Edge] = []
    latency = {nodes[0].name: 0}
    steps = 0
    for a, b in pairwise(nodes):
        hop = conventions.hop_delay if isinstance(a, POPULATIONS) else 0
        edges.append(Edge(a.name, b.name, hop))
        steps += hop
        if isinstance(b, POPULATIONS):
            latency[b.name] = steps
    return FixedGraph(tuple(nodes), tuple(edges), "vector", conventions, latency if logical else {})


def given(cell: Node, a: IntArray, conventions: Conventions, unit: int = 6) -> dict[str, IntArray]:
    """The population with a_in [n, T] carried to it by a hop and shifted left by ``unit``, in logical time."""
    wire = Affine("w", weight=fixed(np.eye(len(a)), Format(2, -unit)))
    graph = chain([Input("in", shape=(len(a),), encoding="direct"), wire, cell], conventions, logical=True)
    return {name.rpartition(".")[2]: x for name, x in run(graph, a).items() if name.startswith(f"{cell.name}.")}
