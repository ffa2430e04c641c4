"""fold-rest: the membrane is measured from its resting value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Graph, Neuron
from snnc.passes.base import Preserves
from snnc.passes.rewrite import compact, full, number

MOVED = ("threshold", "v_rest", "v_reset", "v_init")


@dataclass(frozen=True)
class FoldRest:
    """Substitutes ``v' = v - v_rest``: threshold, v_reset and v_init move by v_rest, which becomes 0.

    A reset to zero becomes a reset to ``-v_rest``; a reset to the value 0 becomes a reset to zero, and the v_reset
    of neurons that do not use it becomes 0. A neuron stays as it is if it subtracts its threshold (the amount
    subtracted must not move), if its threshold would not stay above 0, or if its output or leak depends on where
    v is 0.

    Exact: only the order of float64 roundings changes; recorded v moves by v_rest.
    """

    name: ClassVar[str] = "fold-rest"
    preserves: ClassVar[Preserves] = "exact"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with resting values folded."""
        for node in graph.neurons:
            if set(MOVED) & set(node.schedule):
                continue
            changed = _tidy_reset(_moved(node))
            if changed is not node:
                graph = graph.replace_node(changed)
        return graph


def _moved(node: Neuron) -> Neuron:
    rest = number(node.v_rest)
    higher = full(node.threshold, node.shape) - rest
    tied = node.reset_v == "subtract" or node.output != "binary" or node.leak == "linear"
    if np.all(rest == 0) or tied or not np.all(higher > 0):
        return node
    reset = number(node.v_reset) if node.reset_v == "value" else np.zeros(())
    return replace(
        node,
        threshold=compact(higher),
        v_init=compact(full(node.v_init, node.shape) - rest),
        v_reset=compact(full(reset, node.shape) - rest),
        v_rest=np.zeros(()),
        v_min=None if node.v_min is None else compact(full(node.v_min, node.shape) - rest),
        reset_v="value" if node.reset_v == "zero" else node.reset_v,
    )


def _tidy_reset(node: Neuron) -> Neuron:
    """Names a reset to the value 0 what it is, and clears a v_reset that nothing reads."""
    unread = node.reset_v != "value"
    zero = bool(np.all(number(node.v_reset) == 0))
    if unread and not zero:
        return replace(node, v_reset=np.zeros(()))
    if not unread and zero:
        return replace(node, reset_v="zero", v_reset=np.zeros(()))
    return node
