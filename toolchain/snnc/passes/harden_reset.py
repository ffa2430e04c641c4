"""hard-reset: a soft reset becomes a hard one, for chips that subtract nothing. Only where the user allows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Graph
from snnc.passes.base import Preserves
from snnc.passes.fold_rest import FoldRest
from snnc.passes.rewrite import number


@dataclass(frozen=True)
class HardenReset:
    """Replaces ``v = v - threshold`` after a spike by ``v = v_rest`` (which fold-rest then makes zero).

    What the membrane had beyond the threshold is lost, so a neuron that is driven hard fires later or less often.
    The reset's delay stays as it is, and neurons without a reset are left alone.

    Approximate: rung 2 counts the spikes that change on the samples at hand; rung 3 compares the integers with the
    network before this pass. Accuracy may hardly move while many spikes do.
    """

    name: ClassVar[str] = "hard-reset"
    preserves: ClassVar[Preserves] = "approximate"

    def __call__(self, graph: Graph) -> Graph:
        """The graph without soft resets."""
        hard = graph
        for node in graph.neurons:
            if node.reset_v == "subtract" and "v_rest" not in node.schedule:
                rests_at_zero = bool(np.all(number(node.v_rest) == 0))
                to = np.zeros(()) if rests_at_zero else number(node.v_rest)
                hard = hard.replace_node(replace(node, reset_v="zero" if rests_at_zero else "value", v_reset=to))
        return hard if hard is graph else FoldRest()(hard)
