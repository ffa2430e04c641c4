"""fold-gain: gain and gain_u of neurons become 1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from snnc.ir import FloatArray, Graph, Neuron
from snnc.passes.base import Preserves
from snnc.passes.rewrite import compact, full, number, pull, with_rows

MEMBRANE = ("bias", "threshold", "v_rest", "v_reset", "v_init")


@dataclass(frozen=True)
class FoldGain:
    """Moves ``gain * gain_u`` of a neuron into the weights before it, or else into the unit of its membrane.

    u is linear in its input, so both gains are one factor. If every path into the neuron ends in weights that only
    it listens to, they take the factor. Otherwise v is measured in units of a positive gain: threshold, bias,
    v_rest, v_reset and v_init are divided by it. A gain that neither takes (negative, or zero, without weights)
    stays, merged into ``gain``.

    Exact: only the order of float64 roundings changes; recorded u and v change their unit.

    Attributes:
        into: ``weights`` tries weights first; ``threshold`` never touches weights.
    """

    name: ClassVar[str] = "fold-gain"
    preserves: ClassVar[Preserves] = "exact"
    into: Literal["weights", "threshold"] = "weights"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with gains folded."""
        for node in graph.neurons:
            scheduled = {"gain", "gain_u"} & set(node.schedule)
            unit = np.all(number(node.gain) == 1) and np.all(number(node.gain_u) == 1)
            if not scheduled and not unit:
                graph = self._fold(graph, node)
        return graph

    def _fold(self, graph: Graph, node: Neuron) -> Graph:
        total = full(number(node.gain) * number(node.gain_u), node.shape)
        plain = replace(node, gain=np.ones(()), gain_u=np.ones(()))
        if self.into == "weights":
            rows = pull(graph, node.name, total)
            if rows is not None:
                return with_rows(graph, rows).replace_node(plain)
        if np.all(total > 0) and _scalable(node):
            return graph.replace_node(_in_units_of(plain, total))
        if np.all(number(node.gain_u) == 1):
            return graph
        return graph.replace_node(replace(plain, gain=compact(total)))


def _scalable(node: Neuron) -> bool:
    """True if nothing but the listed parameters knows the unit of v."""
    return (
        node.output == "binary"
        and node.leak in ("exp", "none")
        and not node.adaptation
        and not set(MEMBRANE) & set(node.schedule)
    )


def _in_units_of(node: Neuron, gain: FloatArray) -> Neuron:
    keys = (*MEMBRANE, "v_min") if node.v_min is not None else MEMBRANE
    divided = {key: compact(full(getattr(node, key), node.shape) / gain) for key in keys}
    return replace(node, **divided)  # type: ignore[arg-type]
