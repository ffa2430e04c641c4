"""What one spike of each population stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.config import ConvertConfig
from snnc.conversion.ann import Ann
from snnc.conversion.evaluate import observe
from snnc.ir import FloatArray, Graph, Neuron
from snnc.passes.rewrite import unique
from snnc.trace import Probes, Trace

Execute = Callable[[Graph, npt.NDArray[Any], Probes], Trace]
ANSWER = "answer"


@dataclass(frozen=True, eq=False)
class Scales:
    """What spikes stand for.

    Attributes:
        of: population -> scale > 0, one number or one per channel (C, 1, ...).
        last: the population that is counted.
        shift: what is added to every answer before it is counted.
    """

    of: Mapping[str, FloatArray]
    last: str
    shift: float = 0.0


def measured(ann: Ann, values: npt.NDArray[Any], options: ConvertConfig) -> Scales:
    """Scales from the activations on samples; 1 for a layer (or channel) that is silent.

    Answers that are no rectifier's get neurons of their own. Those count no negative number, so the answers are
    shifted until every sample's largest one is at least a tenth of the largest of all; an equal shift moves no argmax.
    The last layer's scale is the largest answer, so that none is cut.
    """
    seen: dict[str, list[FloatArray]] = {node.name: [] for node in ann.relus}
    logits: list[FloatArray] = []

    def keep(name: str, value: FloatArray) -> None:
        if name in seen:
            seen[name].append(value)
        elif name == ann.output:
            logits.append(value)

    observe(ann, values, keep)
    found = {name: _scale(np.concatenate(parts), options) for name, parts in seen.items()}
    if not logits:
        found[ann.output] = _positive(np.asarray(np.max(np.concatenate(seen[ann.output]))))
        return Scales(found, ann.output)
    best = np.concatenate(logits)
    best = best.reshape(len(best), -1).max(axis=1)
    low, high = float(best.min()), float(best.max())
    shift = max(0.0, (0.1 * high - low) / 0.9 if high > low else -low)
    last = unique(ann.graph.nodes, ANSWER)
    top = np.ones(()) if options.norm == "none" else _positive(np.asarray(high + shift))
    return Scales({**found, last: top}, last, shift)


def balanced(start: Scales, steps: npt.NDArray[Any], build: Callable[[Scales], Graph], execute: Execute) -> Scales:
    """Thresholds from the largest weighted input that each spiking layer sees, first layer first (Sengupta 2018).

    The layer that is counted keeps its scale: it has to resolve the answers, not to pass rates on.

    Args:
        start: scales to begin with.
        steps: calibration input [B, T, *shape].
        build: the spiking network with given scales; its thresholds are the scales.
        execute: runs it.
    """
    scales = start
    for name in [node.name for node in build(start).neurons if node.name != start.last]:
        graph = build(scales)
        node = graph[name]
        assert isinstance(node, Neuron)
        # The membrane's unit may be another than the activation's; threshold and scale are the same number in both.
        unit = np.max(np.asarray(scales.of[name]) / np.asarray(node.threshold))
        trace = execute(graph, steps, Probes(spikes=(), states=(name,)))
        top = np.max(trace.states[name, "u"] + np.asarray(node.bias)) * unit
        scales = replace(scales, of={**scales.of, name: _positive(np.asarray(top))})
    return scales


def _scale(activations: FloatArray, options: ConvertConfig) -> FloatArray:
    if options.norm == "none":
        return np.ones(())
    share = 100.0 if options.norm == "data" else options.percentile
    whole = _positive(np.asarray(np.percentile(activations, share)), float(np.max(activations)))
    if not options.per_channel:
        return whole
    axes = (0, *range(2, activations.ndim))
    each = np.percentile(activations, share, axis=axes, keepdims=True)[0]
    return np.where(each > 0, each, whole)


def _positive(scale: FloatArray, instead: float = 0.0) -> FloatArray:
    """The scale; the largest activation if most of them are 0; 1 if all are."""
    return scale if float(scale) > 0 else np.asarray(instead if instead > 0 else 1.0)
