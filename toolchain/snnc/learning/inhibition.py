"""Lateral inhibition that a rule counts on: it is part of the network, as recurrent weights."""

from __future__ import annotations

import numpy as np

from snnc.errors import InputError, Violation
from snnc.ir import Affine, FloatArray, Graph
from snnc.learning.rule import Rule


def demand_inhibition(graph: Graph, rule: Rule, projection: str, population: str) -> None:
    """Checks that a spike takes what the rule says from every neuron of its group, its own neuron included.

    Args:
        graph: float network.
        rule: of the projection; only those with an ``inhibition`` demand something.
        projection: for messages.
        population: neurons behind it.

    Raises:
        InputError: the network has no such weights.
    """
    numbers = {name: value for name, value, _ in rule.parameters}
    wanted = float(numbers.get("inhibition", 0.0))
    if not wanted:
        return
    group = int(numbers["group"])
    loop = _recurrent(graph, population)
    size = len(loop)
    inside = np.arange(size)[:, np.newaxis] // group == np.arange(size) // group
    weakest = float(np.max(loop[inside], initial=-np.inf))
    if weakest > -wanted * (1 - 1e-6):
        found = f"recurrent weights of {weakest:g} and below in groups of {group}"
        fix = "Give the population a recurrent layer with these weights (snnc.nn.Recurrent), or leave inhibition out"
        allowed = f"{-wanted:g} and below, as the rule's inhibition says"
        raise InputError.of(Violation(projection, f"inhibition of {population}", found, allowed, fix))


def _recurrent(graph: Graph, population: str) -> FloatArray:
    """Sum of the weights [neurons, neurons] that a population's spikes come back through."""
    size = int(np.prod(graph.shapes[population]))
    total = np.zeros((size, size))
    for edge in graph.outgoing(population):
        node = graph[edge.target]
        if isinstance(node, Affine) and any(back.target == population for back in graph.outgoing(node.name)):
            total += np.asarray(node.weight, dtype=np.float64)
    return total
