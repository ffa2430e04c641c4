"""Host operations that need nothing but the rule's own numbers: errors, competition of S2-STDP, and normalisation."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from snnc.errors import TraceError
from snnc.ir import FloatArray
from snnc.learning.firsts import Firsts, firsts
from snnc.learning.host import competed, normalised, s2_errors
from snnc.learning.session import Hosts, Moment, Values


def error(moment: Moment) -> Values | None:
    """Errors of S2-STDP for the neurons that compete, 0 for the others; silent ones are changed by the host itself.

    Raises:
        TraceError: the sample has no label, or one that the layer has no neurons for.
    """
    settings = dict(moment.operation.settings)
    if moment.stage != "after" or moment.trace is None or "gap" not in settings:
        return None
    t_max, group = int(settings["t_max"]), int(settings["group"])
    found = _firsts(moment)
    times = np.minimum(found.times[0], t_max)
    chosen = found.winners(group)[0]
    errors = np.zeros(times.size)
    errors[chosen] = s2_errors(times[chosen], _label(moment, len(chosen)), t_max, float(settings["gap"]))
    silent = chosen[times[chosen] == t_max]
    if silent.size:
        weights = np.array(moment.learner.weights[moment.projection])
        weights[silent] += moment.factor * errors[silent, np.newaxis] * float(moment.rule["A_plus"])
        moment.learner.set_weights(moment.projection, weights)
    return {"error": np.asarray(np.where(times == t_max, 0.0, errors), dtype=np.float64)}


def threshold(moment: Moment) -> None:
    """Thresholds of competition: in training for the group of the label, those of inference for all others.

    Raises:
        TraceError: the sample has no label, or one that the layer has no neurons for.
    """
    settings = dict(moment.operation.settings)
    if not settings.get("threshold_rate"):
        return
    of_training, of_inference = f"{moment.projection}/training thresholds", f"{moment.projection}/thresholds"
    if moment.stage == "epoch":
        moment.memory.pop(of_training, None)
        return
    group = int(settings["group"])
    size = moment.learner.weights[moment.projection].shape[0]
    label = _label(moment, size // group)
    if moment.stage == "before":
        floor = moment.learner.thresholds(moment.population)
        moment.memory[of_inference] = floor
        flat = np.broadcast_to(floor.reshape(-1) if floor.ndim else floor, (size,))
        own = np.arange(size) // group == label
        asked = np.where(own, moment.memory.setdefault(of_training, flat.copy()), flat)
        moment.learner.set_thresholds(moment.population, asked)
    elif moment.stage == "after":
        floor = moment.memory[of_inference]
        winner = int(_firsts(moment).winners(group)[0, label])
        rate = moment.factor * float(settings["threshold_rate"])
        moment.memory[of_training] = competed(moment.memory[of_training], winner, group, rate, floor.reshape(-1))
        moment.learner.set_thresholds(moment.population, floor)


def normalise(moment: Moment) -> None:
    """Scales the weights into each neuron to the rule's sum, where they are not as the host left them.

    Whoever rounds stochastically would move all others at random.
    """
    if moment.stage != "after":
        return
    key = f"{moment.projection}/normalised"
    total = float(moment.operation["sum"])
    norm = str(dict(moment.operation.settings).get("norm", "L1"))
    weights: FloatArray = np.array(moment.learner.weights[moment.projection])
    left = moment.memory.get(key)
    changed = np.ones(len(weights), dtype=np.bool_) if left is None else (weights != left).any(axis=1)
    if changed.any():
        weights[changed] = normalised(weights[changed], total, norm)
        moment.learner.set_weights(moment.projection, weights)
    moment.memory[key] = np.array(moment.learner.weights[moment.projection])


def _firsts(moment: Moment) -> Firsts:
    assert moment.trace is not None
    return firsts(moment.trace, moment.learner.network, moment.population)


def _label(moment: Moment, classes: int) -> int:
    """The sample's label.

    Raises:
        TraceError: it has none, or one that the layer has no neurons for.
    """
    if moment.label is None:
        raise TraceError(f"{moment.projection}: the rule {moment.rule.name} learns from labels; give each sample one")
    if not 0 <= moment.label < classes:
        allowed = f"0 to {classes - 1}: the layer has neurons for {classes} classes"
        raise TraceError(f"{moment.projection}: a sample's label is {moment.label}, allowed is {allowed}")
    return moment.label


BUILT_IN: Hosts = MappingProxyType({"error": error, "threshold": threshold, "normalise": normalise})
ELSEWHERE = ("clear", "label", "phase", "anneal")
"""Operations that the executor, the command or the caller's choice of phases does."""
