"""A rule bound to a projection of a network: whose spikes it sees, and what one device step of its weights is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.ir import Affine, Fixed, FixedGraph, FloatArray, Graph, IntArray, Neuron
from snnc.ir.graph import Network
from snnc.ir.nodes import Add, Identity
from snnc.learning.account import LearningAccount, LearningOptions
from snnc.learning.inhibition import demand_inhibition
from snnc.learning.rule import Rule
from snnc.learning.settings import LearningConfig, check_projections

Lower = Callable[[Rule, LearningOptions], LearningAccount]
STEPS = 254
"""Device steps between zero and the largest weight, even so that synapses that store a sign have it."""
ROOM = 2.0
"""How far weights may grow where neither bounds nor a unit say it."""
BITS = 8


@dataclass(frozen=True, eq=False)
class Plastic:
    """A projection that learns.

    Attributes:
        projection: node that holds the weights, [post, pre].
        population: neurons behind them, whose spikes are the post-synaptic ones.
        rule: in the float network's unit (device steps if it was written as products).
        options: how it is brought to a chip; ``unit`` is that of the weights.
        account: what the target makes of it; None in a float network.
        step: float weight of one device step; of a float network: what one would be.
        up: bits from a device step to a state unit of the population.
        widen: bits from the stored weights to device steps.
    """

    projection: str
    population: str
    rule: Rule
    options: LearningOptions
    account: LearningAccount | None
    step: float
    up: int = 0
    widen: int = 0

    @property
    def unit(self) -> float:
        """Float weight of one unit of the rule."""
        return self.step if self.rule.written is not None else 1.0


def reach(one: LearningConfig, weights: FloatArray) -> float:
    """Largest magnitude that a weight may get: from the unit if one is given, from the bounds, or from the weights."""
    if one.options.unit:
        return STEPS * one.options.unit
    rule = one.rule
    largest = max(abs(rule.w_min), abs(rule.w_max))
    if rule.written is None and np.isfinite(largest):
        return float(largest)
    return ROOM * float(np.max(np.abs(weights), initial=0.0)) or 1.0


def bind_float(graph: Graph, learning: Iterable[LearningConfig]) -> tuple[Plastic, ...]:
    """Rules on a float network.

    Raises:
        InputError: no such projection, a signed weight under a rule of unsigned ones, or a rule that counts on
            inhibition that the network does not have.
        UnsupportedError: the projection does not lie between two populations.
    """
    chosen = tuple(learning)
    check_projections(chosen, graph)
    found = []
    for one in chosen:
        weights = np.asarray(_weight(graph, one.projection), dtype=np.float64)
        _check_range(one, weights, "float")
        step = reach(one, weights) / STEPS
        population = population_of(graph, one.projection)
        demand_inhibition(graph, one.rule, one.projection, population)
        found.append(Plastic(one.projection, population, one.rule, one.options, None, step))
    return tuple(found)


def bind_fixed(
    graph: FixedGraph, scales: Mapping[str, FloatArray], learning: Iterable[LearningConfig], lower: Lower | None
) -> tuple[Plastic, ...]:
    """Rules on the integers of a target, in the unit that their weights were given.

    Args:
        graph: the integers.
        scales: population -> raw state units per 1.0.
        learning: the rules.
        lower: the target's ``learning``.

    Raises:
        InputError: as :func:`bind_float`, or the rule has numbers that the target does not.
        UnsupportedError: the target's synapses do not learn, or not by this rule; says why and what to do.
    """
    chosen = tuple(learning)
    check_projections(chosen, graph)
    if chosen and lower is None:
        fix = "Compile for a target whose synapses learn (`snnc learn explain` lists them), or train before compiling"
        raise UnsupportedError.of(Violation(chosen[0].projection, "learning", chosen[0].rule.name, "none", fix))
    assert lower is not None or not chosen
    return tuple(_bound(graph, scales, one, lower) for one in chosen if lower is not None)


def _bound(graph: FixedGraph, scales: Mapping[str, FloatArray], one: LearningConfig, lower: Lower) -> Plastic:
    population = population_of(graph, one.projection)
    if graph.conventions.membrane != "euler" or graph.conventions.synapse != "signed":
        account = _native(one, lower(one.rule, one.options))
        return Plastic(one.projection, population, one.rule, one.options, account, account.unit)
    weight = _weight(graph, one.projection)
    assert isinstance(weight, Fixed)
    fmt = weight.format
    if fmt.bits > BITS:
        fix = "Compile with weight_bits = 8"
        raise UnsupportedError.of(Violation(one.projection, "weight bits", str(fmt.bits), f"at most {BITS}", fix))
    widen = BITS - fmt.bits + int(fmt.signed)
    up = graph.conventions.state_frac - fmt.frac - widen
    scale = np.unique(scales[population])
    if scale.size != 1:
        fix = "Compile without per_channel: a synapse's step is the same for all neurons"
        raise UnsupportedError.of(Violation(one.projection, "gains behind it", "one per channel", "one", fix))
    step = 2.0**up / float(scale[0])
    options = replace(one.options, unit=step)
    account = _native(one, lower(one.rule, options))
    _check_range(one, np.asarray((weight.raw << widen) * step, dtype=np.float64), graph.target)
    return Plastic(one.projection, population, one.rule, options, account, step, up, widen)


def _native(one: LearningConfig, account: LearningAccount) -> LearningAccount:
    """The account, if the target can do the rule.

    Raises:
        UnsupportedError: it cannot.
    """
    if account.native:
        return account
    reasons = "; ".join(account.notes) or "its synapses have no such update"
    left = "; ".join(f"{operation.kind}: {operation.text}" for operation in account.host)
    fix = "Choose another rule (`snnc learn explain` shows what each target makes of it) or another target"
    if left:
        fix += f", or let the host do it ({left})"
    where = f"{one.projection} on {account.target}"
    raise UnsupportedError.of(Violation(where, "rule", f"{one.rule.name} ({reasons})", "one that is native there", fix))


def _check_range(one: LearningConfig, weights: FloatArray, target: str) -> None:
    rule = one.rule
    unsigned = one.options.sign == "excitatory" or rule.w_min >= 0
    if unsigned and np.any(weights < 0):
        found = f"{int(np.sum(weights < 0))} negative ones (least {float(weights.min()):g})"
        fix = "Clamp them in the model, or let the rule have signed weights (w_min below 0)"
        where = f"{one.projection} on {target}"
        raise InputError.of(Violation(where, "weights", found, f"w_min {rule.w_min:g} and above", fix))


def reserved(graph: Graph, learning: Iterable[LearningConfig]) -> Graph:
    """The graph with one weight of each learning projection as large as it may get, so that integers leave room for it.

    What is quantized is this graph; :func:`returned` then puts the weight back.
    """
    for one in learning:
        node = graph[one.projection]
        assert isinstance(node, Affine)
        weights = np.array(node.weight, dtype=np.float64)
        most = reach(one, weights)
        if weights.size and np.max(np.abs(weights)) < most:
            weights.flat[_largest(weights)] = -most if one.rule.w_min < 0 else most
            graph = graph.replace_node(replace(node, weight=weights))
    return graph


def returned(
    fixed: FixedGraph, graph: Graph, learning: Iterable[LearningConfig], scales: Mapping[str, FloatArray]
) -> FixedGraph:
    """The integers of the reserved graph with the network's own weight in its place again."""
    for one in learning:
        node, own = fixed[one.projection], graph[one.projection]
        assert isinstance(node, Affine)
        assert isinstance(own, Affine)
        if not isinstance(node.weight, Fixed):
            continue
        weights = np.asarray(own.weight, dtype=np.float64)
        at = _largest(weights)
        fmt, raw = node.weight.format, np.array(node.weight.raw)
        was = float(np.asarray(reserved(graph, (one,))[one.projection].params()["weight"]).flat[at])
        if raw.shape != weights.shape or was == weights.flat[at]:
            continue
        per = raw.flat[at] / was if raw.flat[at] else 0.0
        population = population_of(fixed, one.projection)
        if population in scales and np.unique(scales[population]).size == 1:
            per = float(np.unique(scales[population])[0]) * 2.0 ** (fmt.frac - fixed.conventions.state_frac)
        raw.flat[at] = int(np.clip(np.rint(weights.flat[at] * per), fmt.minimum, fmt.maximum))
        fixed = fixed.replace_node(replace(node, weight=Fixed(raw, fmt)))
    return fixed


def _largest(weights: FloatArray) -> int:
    return int(np.argmax(np.abs(weights)))


def population_of(network: Network, projection: str) -> str:
    """The neurons behind a projection.

    Raises:
        UnsupportedError: none, or several.
    """
    found: list[str] = []
    waiting = [edge.target for edge in network.outgoing(projection)]
    while waiting:
        node = network[waiting.pop()]
        if isinstance(node, (Add, Identity)):
            waiting += [edge.target for edge in network.outgoing(node.name)]
        else:
            found.append(node.name)
    behind = [name for name in dict.fromkeys(found) if isinstance(network[name], Neuron)]
    if len(behind) != 1 or len(set(found)) != 1:
        fix = "A projection that learns lies between two populations"
        listed = ", ".join(found) or "nothing"
        raise UnsupportedError.of(Violation(projection, "what follows", listed, "one population of neurons", fix))
    return behind[0]


def _weight(network: Network, projection: str) -> Fixed | FloatArray:
    node = network[projection]
    assert isinstance(node, Affine)
    weight = node.weight
    return weight if isinstance(weight, Fixed) else np.asarray(weight, dtype=np.float64)


def device_weights(graph: FixedGraph, one: Plastic) -> IntArray:
    """The stored weights of a projection in device steps, [post, pre]."""
    weight = _weight(graph, one.projection)
    assert isinstance(weight, Fixed)
    return np.asarray(weight.raw << one.widen, dtype=np.int64)


def with_weights(network: Network, one: Plastic, weights: FloatArray | IntArray) -> Network:
    """The network with other weights in a projection, exactly.

    Args:
        network: float or fixed.
        one: the projection.
        weights: floats in the network's unit; or device steps, which get a format that holds odd ones and the sign.
    """
    node = network[one.projection]
    assert isinstance(node, Affine)
    if isinstance(network, Graph):
        return network.replace_node(replace(node, weight=np.asarray(weights, dtype=np.float64)))
    assert isinstance(network, FixedGraph)
    assert isinstance(node.weight, Fixed)
    fmt = replace(node.weight.format, bits=BITS + 1, frac=network.conventions.state_frac - one.up, signed=True)
    if fmt.overflow == "saturate_symmetric":
        fmt = replace(fmt, overflow="saturate")
    return network.replace_node(replace(node, weight=Fixed(np.asarray(weights, dtype=np.int64), fmt)))
