"""A compiled network whose projections learn on the chip: rules in the words of its weights, and what forbids them.

One run of the chip is one run of time: samples follow each other, with silent steps between them, because nothing
resets neurons or traces while the programs run. Weights change when the next spike of their source arrives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from snnc.errors import DoesNotFitError, UnsupportedError, Violation
from snnc.ir import Affine, Fixed, FixedGraph, FloatArray, Graph, IntArray, Network, Neuron
from snnc.learning import LearningAccount, LearningConfig, check_projections
from snnc.learning.rule import Rule as FloatRule
from snnc_spinnaker import arith
from snnc_spinnaker.connect import Connections, identity, of_node, of_path
from snnc_spinnaker.lower import build as build_machine
from snnc_spinnaker.network import Machine, Population
from snnc_spinnaker.paths import Path, all_paths
from snnc_spinnaker.placement_demand import dtcm_bytes, per_core
from snnc_spinnaker.ring import Layout
from snnc_spinnaker.stdp import Rule
from snnc_spinnaker.stdp_config import TABLE_BYTES, Pair, check_delay, device_rule
from snnc_spinnaker.stdp_rule import account, check_program, pair_of

ROW = 254
"""Plastic synapses of one source on one core: each takes one of a row's 256 words, the source's last spike two."""
NARROW = 7
"""Bits of the neurons on a core where rows would be longer."""
DTCM = 65536


@dataclass(frozen=True, eq=False)
class Plastic:
    """A projection that learns.

    Attributes:
        name: of the node that holds the weights.
        number: of the projection in the machine.
        source, target: populations.
        pair: what a PyNN script writes, in ms and nA.
        rule: what the core is loaded with.
        unit: float weight of one step of a weight word.
        account: what the chip makes of the rule.
        shape: (post, pre).
        asked: the rule as written, in the float network's unit.
    """

    name: str
    number: int
    source: str
    target: str
    pair: Pair
    rule: Rule
    unit: float
    account: LearningAccount
    shape: tuple[int, int]
    asked: FloatRule


@dataclass(frozen=True, eq=False)
class Learning:
    """A network that learns as it is loaded.

    Attributes:
        graph: the integers that it starts with.
        machine: its projections that learn hold every synapse, those of weight 0 too, ordered by (pre, post).
        plastic: which of them learn.
        pause: silent steps after each sample: as long as the rules' tables reach, so that no pair spans two samples.
    """

    graph: FixedGraph
    machine: Machine
    plastic: tuple[Plastic, ...]
    pause: int

    def words(self, one: Plastic) -> IntArray:
        """Weight words at the start, [pre, post]."""
        post, pre = one.shape
        return np.asarray(self.machine.projections[one.number].links.weight.reshape(pre, post))

    def learnt(self, words: Mapping[str, IntArray]) -> FixedGraph:
        """The integers with other weights.

        Args:
            words: projection -> [pre, post].
        """
        graph = self.graph
        for name, raw in words.items():
            node = graph[name]
            assert isinstance(node, Affine)
            assert isinstance(node.weight, Fixed)
            graph = graph.replace_node(replace(node, weight=Fixed(np.ascontiguousarray(raw.T), node.weight.format)))
        return graph

    def floats(self, words: Mapping[str, IntArray]) -> dict[str, FloatArray]:
        """Weights [post, pre] in the float network's unit."""
        units = {one.name: one.unit for one in self.plastic}
        return {name: np.asarray(raw.T * units[name], dtype=np.float64) for name, raw in words.items()}


def weight_scale(graph: Graph, fixed: FixedGraph, scales: Mapping[str, npt.ArrayLike], projection: str) -> float:
    """Steps of a weight word per 1.0 of a projection's float weights: a power of two.

    Args:
        graph: float network with the gains.
        fixed: its integers.
        scales: population -> raw state units per 1.0, as the quantizer left them.
        projection: node that holds the weights.

    Raises:
        UnsupportedError: channels of the population have different scales, or several populations share the weights.
    """
    path = _path(fixed, projection)
    node, made = graph[path.target], fixed[path.target]
    assert isinstance(node, Neuron)
    assert isinstance(made, Neuron)
    gain, leak, first = (_floats(made, key) for key in ("gain", "decay_v", "gain_u"))
    volts = gain * (1 - leak) * first / (np.asarray(node.gain) * np.asarray(node.gain_u))
    weight = fixed[projection].params()["weight"]
    assert isinstance(weight, Fixed)
    steps = np.asarray(scales[path.target]) / arith.ONE / volts * 2.0**weight.format.frac
    level = np.unique(np.rint(np.log2(steps)))
    if level.size != 1:
        found, fix = f"{level.size} on {path.target}", "A core has one pair of bounds: compile without per_channel."
        raise UnsupportedError.of(Violation(projection, "weight scales", found, "1", fix))
    return float(2.0 ** level[0])


def _floats(node: Neuron, key: str) -> FloatArray:
    value = node.params()[key]
    assert isinstance(value, Fixed)
    return value.to_float()


def build(fixed: FixedGraph, learning: Iterable[LearningConfig], scales: Mapping[str, float]) -> Learning:
    """The machine of a graph whose projections learn.

    Args:
        fixed: integers of spinnaker1, quantized with room for ``w_max`` (``QuantizeOptions.grows``).
        learning: rules; their amplitudes are absolute by now, whichever way they were given.
        scales: projection -> steps of a weight word per 1.0 (:func:`weight_scale`).

    Raises:
        InputError: rules whose numbers cannot be meant or seen in 16 bits, with what would do.
        UnsupportedError: rules or places of synapses that the programs do not have.
        DoesNotFitError: delays, rows or tables beyond a core.
    """
    configs = tuple(learning)
    check_projections(configs, fixed)
    paths = {one.projection: _path(fixed, one.projection) for one in configs}
    full = fixed
    for one in configs:
        full = full.replace_node(_connected(full[one.projection]))
    machine = build_machine(full)
    _one_rule_each(configs, paths)
    numbers = _numbers(full, paths)
    machine = _narrow(machine, {path.target for path in paths.values()})
    populations = {population.name: population for population in machine.populations}
    found, projections = [], list(machine.projections)
    for one in configs:
        number, path = numbers[one.projection], paths[one.projection]
        population = populations[path.target]
        check_delay(path.delay, population.layout)
        made = _plastic(fixed, one, number, path, population, scales[one.projection], _room(machine, population))
        found.append(made)
        links = _links(fixed, one.projection, made.rule)
        projections[number] = replace(projections[number], links=links)
    machine = replace(machine, projections=tuple(projections))
    pause = max((len(table) for one in found for table in (one.rule.plus, one.rule.minus)), default=0)
    return Learning(fixed, machine, tuple(found), max(pause, fixed.depth + 1))


def _path(network: Network, name: str) -> Path:
    """The one way that a projection's weights are on."""
    paths = [path for path in all_paths(network) if name in path.weighted]
    if len(paths) != 1:
        listed = ", ".join(f"{path.source} to {path.target} after {path.delay}" for path in paths) or "none"
        fix = "A synapse learns from one source and one target: give each its own weights."
        raise UnsupportedError.of(Violation(name, "pairs of populations that share its weights", listed, "one", fix))
    (path,) = paths
    for hop, _ in path.hops:
        node = network[hop]
        into = [network.shapes[edge.source] for edge in network.incoming(hop)]
        moves = hop != name and of_node(node, into[0], network.shapes[hop], 1) is not None
        if moves:
            fix = "Weights that learn lie directly between two populations, or many synapses would share one."
            raise UnsupportedError.of(
                Violation(name, f"on the way from {path.source}", f"{hop} ({node.kind})", "nothing", fix)
            )
    return path


def _connected(node: object) -> Affine:
    """The weights as ones: every pair of neurons is a synapse that may grow, whatever it starts with."""
    assert isinstance(node, Affine)
    assert isinstance(node.weight, Fixed)
    return replace(node, weight=Fixed(np.ones_like(node.weight.raw), node.weight.format))


def _numbers(graph: FixedGraph, paths: Mapping[str, Path]) -> dict[str, int]:
    """Where the projections that learn stand among those of the machine, which skips empty ones."""
    names = {(path.target, path.hops): name for name, path in paths.items()}
    found, number = {}, 0
    for path in all_paths(graph):
        name = names.get((path.target, path.hops))
        if name is not None:
            found[name] = number
        number += 1 if name is not None else sum(bool(len(of_path(graph, path, sign).weight)) for sign in (1, -1))
    return found


def _one_rule_each(configs: tuple[LearningConfig, ...], paths: Mapping[str, Path]) -> None:
    """A core has one timing and one weight rule, with one pair of bounds for each receptor."""
    first: dict[str, LearningConfig] = {}
    for one in configs:
        other = first.setdefault(paths[one.projection].target, one)
        if other.rule != one.rule:
            where = f"{paths[one.projection].target} on spinnaker1"
            found = f"{other.rule.name} on {other.projection} and {one.rule.name} on {one.projection}"
            fix = "Give both the same parameters, or the projections populations of their own."
            raise UnsupportedError.of(Violation(where, "rules", found, "one", fix))


def _narrow(machine: Machine, learning: set[str]) -> Machine:
    """Fewer neurons a core where a row of synapses that learn would be too long."""
    populations = []
    for population in machine.populations:
        if population.name in learning and per_core(population) > ROW:
            if machine.extensions:
                fix = f"Take at most {ROW} neurons, or no delays beyond a ring."
                found = f"{per_core(population)} beside a delay extension"
                raise DoesNotFitError.of(Violation(population.name, "neurons per core", found, f"at most {ROW}", fix))
            population = replace(population, layout=Layout(NARROW, population.layout.delay_bits))  # noqa: PLW2901
        populations.append(population)
    return replace(machine, populations=tuple(populations))


def _room(machine: Machine, population: Population) -> int:
    """Bytes of a core's memory that tables may take."""
    into = [p for p in machine.projections if p.target == population.name]
    sources = len({p.source for p in into})
    kind = population.words.kind
    taken = dtcm_bytes(population.layout.index_bits, kind, per_core(population), sources, len(into), stdp=True)
    return max(0, min(TABLE_BYTES, DTCM - taken))


def _plastic(
    graph: FixedGraph,
    one: LearningConfig,
    number: int,
    path: Path,
    population: Population,
    scale: float,
    room: int,
) -> Plastic:
    shift = population.ring_shift
    options = replace(one.options, unit=1.0 / scale, gain=math.ldexp(scale, shift - 15))
    pair, _ = pair_of(one.rule, options)
    check_program(one, path.target, population.words.kind, pair.kind)
    made = account(one.rule, options)
    rule = device_rule(pair, shift, room=room)
    weight = _raw(graph, one.projection)
    device_rule(pair, shift, _inside(weight, rule), room)
    post, pre = weight.shape
    return Plastic(
        one.projection, number, path.source, path.target, pair, rule, 1.0 / scale, made, (post, pre), one.rule
    )


def _raw(graph: FixedGraph, name: str) -> IntArray:
    weight = graph[name].params()["weight"]
    assert isinstance(weight, Fixed)
    return np.asarray(weight.raw)


def _inside(weight: IntArray, rule: Rule) -> IntArray:
    """Words that rounding alone took a step out of the bounds, back on them; others stay, to be refused."""
    shift = rule.shift[0]
    low, high = -(-int(rule.bounds[0, 0]) >> shift), int(rule.bounds[0, 1]) >> shift
    near = (weight >= low - 1) & (weight <= high + 1)
    return np.where(near, np.clip(weight, low, high), weight)


def _links(graph: FixedGraph, name: str, rule: Rule) -> Connections:
    weight = _inside(_raw(graph, name), rule)
    post, pre = weight.shape
    every = identity(pre * post).pre
    return Connections(every // post, every % post, weight.T.ravel(), (pre, post))
