"""Drift of a network that learned: the rule in floats and in integers on the spikes that its synapses really saw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from snnc.ir import FixedGraph, FloatArray
from snnc.learning.drift import Drift, summary
from snnc_reference.learning_rules_drift import CAUSES, drift
from snnc_reference.learning_run import Learner
from snnc_reference.learning_synapses import ChipSynapses, Heard


def learning_drift(learner: Any, samples: Iterable[tuple[Any, int | None]], phase: str | None = None) -> dict[str, Any]:
    """Lets a learner learn from samples, and then the float rule from the same spikes.

    Args:
        learner: before its first sample; of integers with Loihi's engine.
        samples: (spikes [T, *shape], label).
        phase: that learns.

    Returns:
        Projection -> steps, mean error per synapse after them, its causes, part of the synapses that stalled, and
        histograms; JSON-ready. Empty for learners without that engine.
    """
    chips = {name: one for name, one in getattr(learner, "synapses", {}).items() if isinstance(one, ChipSynapses)}
    if not chips or not isinstance(learner, Learner) or not isinstance(learner.network, FixedGraph):
        return {}
    begin = {name: one.learning.weights.copy() for name, one in chips.items()}
    for one in chips.values():
        one.heard = []
    for spikes, label in samples:
        learner.sample(spikes, label, phase)
    found: dict[str, Any] = {}
    for name, one in chips.items():
        heard, one.heard = one.heard or [], None
        if heard and (phase or one.one.rule.phases[0]) == one.one.rule.phases[0]:
            found[name] = summary(_drift(one, begin[name], heard), CAUSES)
    return found


def _drift(synapses: ChipSynapses, begin: Any, heard: list[Heard]) -> Drift:
    """With the seeds and the way to round of those synapses; what the host writes in between is left out."""
    one = synapses.one
    assert one.account is not None
    account = replace(one.account, engine=synapses.engines)
    pre = np.stack([row[0] for row in heard if not row[3]])
    post = np.stack([row[1] for row in heard if not row[3]])
    thirds: dict[str, FloatArray] = {t.name: np.zeros(post.shape) for t in one.rule.thirds}
    at, ends = -1, []
    for _, _, values, end in heard:
        at += not end
        if end:
            ends.append(at)
        for name, value in values.items():
            thirds[name][at] = value
    special = one.rule.clears or any(t.event == "sample" for t in one.rule.terms)
    sample = ends[0] + 1 if ends and special else 0
    return drift(one.rule, account, begin, pre, post, thirds, sample, synapses.chosen)
