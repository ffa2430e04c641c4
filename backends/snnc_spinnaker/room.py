"""Room for weights that learn: what a network could become is planned for, not what it starts as."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from snnc.ir import Affine, Graph, Neuron
from snnc_spinnaker.paths import paths_into


def grown(graph: Graph, grows: Iterable[tuple[str, float]]) -> Graph:
    """The network in which every synapse that learns is as strong as it may get.

    Ring sums, currents and weight words are then planned for all of them at their bound under the calibration's spikes:
    level and shift lose bits to starting weights, but no word wraps and no sum saturates before the factor of safety of
    the plan is used up.

    Args:
        graph: float network.
        grows: projection -> largest magnitude that its weights may reach; others are left out.
    """
    for name, most in grows:
        if not any(node.name == name for node in graph.nodes):
            continue
        node = graph[name]
        if isinstance(node, Affine):
            graph = graph.replace_node(replace(node, weight=np.maximum(np.abs(np.asarray(node.weight)), most)))
    return graph


def learns(graph: Graph, node: Neuron, grows: Iterable[tuple[str, float]]) -> bool:
    """True if some of a population's weights learn: then all have one scale, since a core has one pair of bounds."""
    names = {name for name, _ in grows}
    return any(names.intersection(path.weighted) for path in paths_into(graph, node.name))
