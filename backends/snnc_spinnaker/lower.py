"""FixedGraph to what the board is loaded with: parameter words, connection lists, and what they take up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.backend import Program
from snnc.errors import DoesNotFitError, UnsupportedError, Violation
from snnc.ir import Affine, Conv, Fixed, FixedGraph, Input, IntArray, Neuron
from snnc.target import Target
from snnc_spinnaker import arith, solve
from snnc_spinnaker.connect import Connections, of_path
from snnc_spinnaker.delays import Plan, plan
from snnc_spinnaker.network import Machine, Population, Projection, Source
from snnc_spinnaker.paths import Path, paths_into
from snnc_spinnaker.placement_report import Report
from snnc_spinnaker.quantize import CONVENTIONS, ONE_U
from snnc_spinnaker.ring import LIMIT, Layout
from snnc_spinnaker.words import Words

RECEPTORS: tuple[tuple[Literal[0, 1], str, int], ...] = ((0, "exc", 1), (1, "inh", -1))


def lower(graph: FixedGraph, target: Target) -> Program:
    """Makes the program, with a place for everything.

    Raises:
        UnsupportedError: the graph holds constants or conventions that the chip does not have.
        DoesNotFitError: weights or resources beyond the target's limits, all of them.
    """
    machine = build(graph)
    report = Report(machine, target)
    return Program("spinnaker", target.name, graph, payload(machine), report.utilization, machine, report.tables())


def build(graph: FixedGraph) -> Machine:
    """The machine of a graph.

    Raises:
        UnsupportedError: with every reason.
        DoesNotFitError: with every weight that would wrap.
    """
    found = tuple(_refusals(graph))
    if found:
        raise UnsupportedError("spinnaker1 cannot run this graph", violations=found)
    wrapping: list[Violation] = []
    into = {node.name: paths_into(graph, node.name) for node in graph.neurons}
    slices = _plan(graph, into)
    sources = tuple(_source(node, graph, slices) for node in graph.nodes if isinstance(node, Input))
    populations, projections = [], []
    for node in graph.neurons:
        paths = into[node.name]
        layout = slices.layouts[node.name]
        populations.append(Population(node.name, words_of(node), _ring_shift(graph, paths), layout))
        projections += list(_projections(graph, paths, wrapping))
    if wrapping:
        raise DoesNotFitError.of(*wrapping)
    return Machine(sources, tuple(populations), tuple(projections))


def _refusals(graph: FixedGraph) -> Iterator[Violation]:
    if graph.conventions != CONVENTIONS:
        yield Violation("graph", "conventions", f"those of {graph.target}", "those of spinnaker1")
    if len(graph.inputs) != 1:
        yield Violation("graph", "inputs", str(len(graph.inputs)), "1")
    for node in graph.nodes:
        if isinstance(node, (Affine, Conv)) and node.bias is not None:
            yield Violation(node.name, "bias", "present", "none", "Carry it through a constant input.")
    for node in graph.neurons:
        if node.fires != "ge" or node.reset_v not in ("zero", "value") or node.reset_u or node.reset_delay:
            found = f"fires {node.fires}, reset {node.reset_v}"
            yield Violation(node.name, "spike", found, "fires ge with an immediate hard reset")
        paths = paths_into(graph, node.name)
        for path in paths:
            if len(path.weighted) != 1:
                yield Violation(node.name, f"weight layers from {path.source}", str(len(path.weighted)), "1")
        units = {weight.format.frac for weight in _weights(graph, paths)}
        if len(units) != 1 or not 0 <= 15 - min(units) <= 15:
            yield Violation(node.name, "ring shift", str(sorted(15 - unit for unit in units)), "one of 0 to 15")


def _weights(graph: FixedGraph, paths: tuple[Path, ...]) -> list[Fixed]:
    found = [graph[name].params()["weight"] for path in paths for name in path.weighted]
    return [weight for weight in found if isinstance(weight, Fixed)]


def _ring_shift(graph: FixedGraph, paths: tuple[Path, ...]) -> int:
    return 15 - _weights(graph, paths)[0].format.frac


def _source(node: Input, graph: FixedGraph, slices: Plan) -> Source:
    kind: Literal["array", "constant"] = "constant" if node.encoding == "constant" else "array"
    start = graph.latency.get(node.name, 0)
    return Source(node.name, math.prod(node.shape), kind, start, slices.per_core[node.name])


def _plan(graph: FixedGraph, into: dict[str, tuple[Path, ...]]) -> Plan:
    """Slices and rings; a path without weights of a sign is counted too, so that they do not hang on values."""
    delays: dict[tuple[str, str], int] = {}
    for path in (path for paths in into.values() for path in paths):
        pair = (path.source, path.target)
        delays[pair] = max(path.delay, delays.get(pair, 1))
    sizes = {node.name: math.prod(node.shape) for node in graph.nodes if isinstance(node, (Input, Neuron))}
    return plan({n: sizes[n] for n in into}, {n: size for n, size in sizes.items() if n not in into}, delays)


def _projections(graph: FixedGraph, paths: tuple[Path, ...], wrapping: list[Violation]) -> Iterator[Projection]:
    for path in paths:
        for receptor, name, sign in RECEPTORS:
            links = of_path(graph, path, sign)
            if len(links.weight) and int(links.weight.max()) > LIMIT:
                wrapping.append(_wraps(path, name, links))
            elif len(links.weight):
                yield Projection(path.source, path.target, receptor, path.delay, links)


def _wraps(path: Path, name: str, links: Connections) -> Violation:
    """What the host would make of the largest weight: it keeps the low 16 bits and says nothing."""
    largest = int(links.weight.max())
    less = (largest // (LIMIT + 1)).bit_length()
    found = f"{largest}, which the host would store as {largest & LIMIT}"
    fix = f"Quantize with {less} weight bit{'s' if less > 1 else ''} fewer"
    count = int(np.count_nonzero(links.weight > LIMIT))
    return Violation(
        path.target, f"{name} weight from {path.source}", found, f"at most {LIMIT}",
        f"{fix} ({count} of {len(links.weight)} synapses are beyond).",
    )  # fmt: skip


def words_of(node: Neuron) -> Words:
    """Parameter words from which the core computes exactly the graph's constants.

    Raises:
        UnsupportedError: no words give them.
    """

    def raw(key: str) -> IntArray:
        value = node.params()[key]
        assert isinstance(value, Fixed)
        return np.broadcast_to(value.raw, node.shape).ravel()

    size = math.prod(node.shape)
    tau_m, c_m = solve.each("membrane_words", raw("gain"), raw("decay_v"))
    step = np.full(size, solve.STEP)
    nothing = np.zeros(size, dtype=np.int64)
    reset = nothing if node.reset_v == "zero" else raw("v_reset")
    refractory = np.full(size, node.refractory * arith.ONE)
    neuron = np.stack([raw("v_init"), raw("v_rest"), c_m, tau_m, raw("bias"), reset, refractory, nothing, step], axis=1)
    if np.all(raw("decay_u") == 0) and np.all(raw("gain_u") == ONE_U):
        return Words("delta", neuron, raw("threshold"), np.zeros((size, 2), dtype=np.int64), step)
    (tau,) = solve.each("synapse_words", raw("decay_u"), raw("gain_u"))
    return Words("exp", neuron, raw("threshold"), np.stack([tau, nothing, tau, nothing, step], axis=1))


def payload(machine: Machine) -> dict[str, npt.NDArray[Any]]:
    """The numbers that are loaded, by name: parameter words as int32, connections as columns."""
    found: dict[str, npt.NDArray[Any]] = {}
    for population in machine.populations:
        words = population.words
        found[f"{population.name}.neuron"] = words.neuron.astype(np.int32)
        found[f"{population.name}.threshold"] = words.threshold.astype(np.int32)
        found[f"{population.name}.synapse"] = words.synapse.astype(np.int32)
        found[f"{population.name}.ring"] = np.array([population.ring_shift, *_bits(population.layout)], dtype=np.int32)
    for extension in machine.extensions:
        found[f"{extension.source}.delay_extension"] = np.array([extension.stages, extension.reach], dtype=np.int32)
    for number, projection in enumerate(machine.projections):
        links = projection.links
        name = f"{projection.target}.from.{projection.source}.{RECEPTORS[projection.receptor][1]}.{number}"
        found[f"{name}.pre"] = links.pre.astype(np.uint32)
        found[f"{name}.post"] = links.post.astype(np.uint32)
        found[f"{name}.weight"] = links.weight.astype(np.uint16)
        found[f"{name}.delay"] = np.array(projection.delay, dtype=np.uint16)
    return found


def _bits(layout: Layout) -> tuple[int, int, int]:
    return layout.neuron_bits, layout.type_bits, layout.delay_bits
