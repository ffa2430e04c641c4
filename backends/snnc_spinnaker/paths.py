"""Paths from population to population through linear nodes: what becomes one projection each."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.ir import Affine, Conv, Delay, Input, Network, Neuron


@dataclass(frozen=True)
class Path:
    """One way from a population to a neuron population.

    Attributes:
        source: name of the population where it starts.
        target: name of the neuron population where it ends.
        delay: steps over all its edges and delay nodes.
        hops: (node, position of the edge among the node's incoming edges) for each linear node, in order.
        weighted: names of the Affine and Conv nodes on it.
    """

    source: str
    target: str
    delay: int
    hops: tuple[tuple[str, int], ...]
    weighted: tuple[str, ...]


def paths_into(network: Network, name: str) -> tuple[Path, ...]:
    """Every path that ends in the population, in the order of the edges.

    Args:
        network: float or fixed graph; between populations it has no cycle.
        name: a neuron population.
    """
    found: list[Path] = []

    def walk(at: str, delay: int, hops: tuple[tuple[str, int], ...]) -> None:
        for position, edge in enumerate(network.incoming(at)):
            node = network[edge.source]
            total = delay + edge.delay
            trail = hops if at == name else ((at, position), *hops)
            if isinstance(node, (Input, Neuron)):
                weighted = tuple(hop for hop, _ in trail if isinstance(network[hop], (Affine, Conv)))
                found.append(Path(edge.source, name, total, trail, weighted))
            else:
                walk(edge.source, total + (node.steps if isinstance(node, Delay) else 0), trail)

    walk(name, 0, ())
    return tuple(found)


def weights_of(network: Network, name: str) -> tuple[Affine | Conv, ...]:
    """The weighted nodes on the paths into a population, each once."""
    names = dict.fromkeys(hop for path in paths_into(network, name) for hop in path.weighted)
    found = (network[hop] for hop in names)
    return tuple(node for node in found if isinstance(node, (Affine, Conv)))


def all_paths(network: Network) -> tuple[Path, ...]:
    """Every path into every neuron population."""
    return tuple(path for neuron in network.neurons for path in paths_into(network, neuron.name))
