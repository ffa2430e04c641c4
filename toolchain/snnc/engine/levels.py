"""How many weights stand on the ways into populations of a split synapse: exactly one, or the sums have no receptor."""

from __future__ import annotations

from collections.abc import Iterator

from snnc.errors import Violation
from snnc.ir import POPULATIONS, Affine, Conv, FixedGraph, Input

MANY = 2


def check_levels(graph: FixedGraph) -> Iterator[Violation]:
    """What a split synapse cannot say: weights behind weights, or weighted and bare input of one node."""
    if graph.conventions.synapse != "split":
        return
    found: dict[str, set[int]] = {node.name: set() for node in graph.nodes}
    for _ in graph.nodes:
        for node in graph.nodes:
            into = set[int]().union(*(found[edge.source] for edge in graph.incoming(node.name)))
            if isinstance(node, POPULATIONS):
                found[node.name] = {0}
            else:
                more = int(isinstance(node, (Affine, Conv)))
                found[node.name] = {min(n + more, MANY) for n in into}
    for node in graph.nodes:
        if isinstance(node, POPULATIONS) and not isinstance(node, Input):
            into = set[int]().union(*(found[edge.source] for edge in graph.incoming(node.name)))
            if into not in ({0}, {1}):
                counts = " and ".join(str(n) for n in sorted(into))
                yield Violation(node.name, "weights on the ways into it", counts, "1 of a split synapse")
