"""Host operations that need nothing but the rule's own numbers: errors of S2-STDP and normalisation."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from snnc.errors import TraceError
from snnc.ir import FloatArray
from snnc.learning.host import normalised, s2_errors, winners
from snnc.learning.session import Hosts, Moment, Values

SILENT = "silent"


def error(moment: Moment) -> Values | None:
    """Errors of S2-STDP for the neurons that compete, 0 for the others; silent ones are changed by the host itself.

    Raises:
        TraceError: the sample has no label.
    """
    settings = dict(moment.operation.settings)
    if moment.stage != "after" or moment.trace is None or "gap" not in settings:
        return None
    if moment.label is None:
        raise TraceError(f"{moment.projection}: the rule {moment.rule.name} learns from labels; give each sample one")
    spikes = moment.trace.spikes[moment.population][0].reshape(moment.trace.steps, -1)
    t_max, group = int(settings["t_max"]), int(settings["group"])
    times = np.where(spikes.any(axis=0), np.argmax(spikes != 0, axis=0), t_max)
    chosen = winners(times, spikes.sum(axis=0), group) if group > 1 else np.arange(times.size)
    errors = np.zeros(times.size)
    errors[chosen] = s2_errors(times[chosen], moment.label, t_max, float(settings["gap"]))
    silent = chosen[times[chosen] == t_max]
    if silent.size:
        weights = np.array(moment.learner.weights[moment.projection])
        weights[silent] += errors[silent, np.newaxis] * float(moment.rule["A_plus"])
        moment.learner.set_weights(moment.projection, weights)
    return {"error": np.asarray(np.where(times == t_max, 0.0, errors), dtype=np.float64)}


def normalise(moment: Moment) -> None:
    """Scales the weights into each neuron to the rule's sum."""
    if moment.stage == "after":
        total = float(moment.operation["sum"])
        norm = str(dict(moment.operation.settings).get("norm", "L1"))
        weights: FloatArray = moment.learner.weights[moment.projection]
        moment.learner.set_weights(moment.projection, normalised(weights, total, norm))


BUILT_IN: Hosts = MappingProxyType({"error": error, "normalise": normalise})
ELSEWHERE = ("clear", "label", "phase", "anneal")
"""Operations that the executor, the command or the caller's choice of phases does."""
