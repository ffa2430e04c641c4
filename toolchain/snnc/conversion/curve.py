"""Accuracy over the number of steps: what a longer run buys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnc.conversion.convert import Converted
from snnc.conversion.evaluate import answers
from snnc.conversion.scales import Execute
from snnc.errors import InputError
from snnc.ir import FloatArray, Neuron
from snnc.trace import Probes, Samples

CHUNK = 100


@dataclass(frozen=True)
class Point:
    """One number of steps.

    Attributes:
        steps: T.
        counts: share of samples whose most active output neuron (the first among equals) is the label.
        membrane: the same for spikes and what is left on the membrane, which is the whole input of the neuron.
        agree: share of samples for which the counts say what the network without time says.
        spikes: spikes per sample in all populations of neurons.
    """

    steps: int
    counts: float
    membrane: float
    agree: float
    spikes: float


@dataclass(frozen=True)
class Curve:
    """Accuracy of the network without time, and of the spiking one over T.

    Attributes:
        samples: how many were run.
        ann: share of samples that the network without time gets right.
        points: ascending in T.
    """

    samples: int
    ann: float
    points: tuple[Point, ...]

    @property
    def loss(self) -> float:
        """Percentage points that the longest run loses to the network without time."""
        return 100 * (self.ann - self.points[-1].counts)

    def enough(self, loss: float = 1.0) -> int | None:
        """Fewest listed steps from which on at most ``loss`` percentage points are lost; None if there are none."""
        found = None
        for point in reversed(self.points):
            if 100 * (self.ann - point.counts) > loss + 1e-9:
                break
            found = point.steps
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "samples": self.samples, "ann": self.ann, "loss_points": self.loss, "enough": self.enough(),
            "points": [vars(point) for point in self.points],
        }  # fmt: skip


def lengths(steps: int) -> tuple[int, ...]:
    """Numbers of steps that are shown: 1, 2, 3, 4, 6, 8, 12, 16, 24 ... and the last one."""
    powers = (n for k in range(13) for n in (1 << k, 3 << k))
    return tuple(sorted({n for n in powers if n < steps} | {steps}))


def measure(converted: Converted, samples: Samples, execute: Execute) -> Curve:
    """Runs samples [B, *shape] once for all steps and reads the answer after each.

    Raises:
        InputError: the samples have no labels.
    """
    if samples.labels is None:
        raise InputError("the data has no labels, so that there is no accuracy to show; add 'labels' [B]")
    want = answers(converted.ann, samples.spikes).reshape(len(samples.labels), -1).argmax(axis=1)
    shown = np.asarray(lengths(converted.options.steps)) - 1
    parts = [
        _run(converted, Samples(samples.spikes[i : i + CHUNK]), shown, execute)
        for i in range(0, len(want), CHUNK)
    ]  # fmt: skip
    counts, whole, sent = (np.concatenate([part[k] for part in parts], axis=0) for k in range(3))
    labels = samples.labels[:, np.newaxis]
    points = tuple(
        Point(int(t) + 1, *(float(x) for x in (right[0], right[1], right[2], right[3])))
        for t, right in zip(
            shown,
            zip((counts == labels).mean(0), (whole == labels).mean(0), (counts == want[:, np.newaxis]).mean(0),
                sent.mean(0), strict=True),
            strict=True,
        )
    )  # fmt: skip
    return Curve(len(want), float((want == samples.labels).mean()), points)


def _run(
    converted: Converted, samples: Samples, shown: Any, execute: Execute
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Class by counts, class by whole input, and spikes sent, each [B, shown]."""
    output = converted.graph.output
    assert isinstance(output, Neuron)
    steps = converted.encode(samples).spikes
    trace = execute(converted.graph, steps, Probes(states=(output.name,)))
    counts = np.cumsum(trace.spikes[output.name], axis=1, dtype=np.int64)
    whole = counts * np.asarray(output.threshold) + trace.states[output.name, "v"]
    sent = sum(
        np.cumsum(trace.spikes[n.name].reshape(*steps.shape[:2], -1).sum(axis=2, dtype=np.int64), axis=1)
        for n in converted.graph.neurons
    )
    lead = (len(steps), len(shown), -1)
    best = [np.asarray(x[:, shown].reshape(lead).argmax(axis=2)) for x in (counts, whole)]
    return best[0], best[1], np.asarray(sent)[:, shown]
