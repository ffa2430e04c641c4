"""How wrong a layer becomes under a gain: the error that the search in scales.py makes small.

The proxy is the mean square error of the membrane at the moment of the decision, in units of the threshold. An
input element with rate p and weight error d adds noise ``d**2 * p * (1 - p)`` per step and drift ``d * p`` per step;
noise adds up over the membrane's memory as variances, drift as a straight sum. To it come the rounding of the
threshold and of the bias. It needs one pass over the weights per gain, no simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnc.ir import Affine, Conv, FloatArray, Graph, Neuron, to_fixed
from snnc.ir.fixed import Format
from snnc.quantize.base import Calibration
from snnc.quantize.bounds import Range
from snnc.quantize.profile import ShiftProfile
from snnc.quantize.signals import Signal, arriving
from snnc.trace import Trace


@dataclass(frozen=True, eq=False)
class Load:
    """A weight node with what arrives at it.

    Attributes:
        weight: float weights.
        mean, variance: of the input element that each weight multiplies; broadcast against ``weight``.
        signed: True if the node needs signed integers.
        grid: step of which every weight is a multiple, or 0.
    """

    name: str
    weight: FloatArray
    bias: FloatArray | None
    mean: FloatArray
    variance: FloatArray
    signed: bool
    grid: float

    def shaped(self, unit: FloatArray) -> FloatArray:
        """A scalar or a value per output channel, ready to multiply the weights."""
        return unit.reshape(-1, *(1,) * (self.weight.ndim - 1)) if unit.ndim else unit

    def fit(self, fmt: Format, pattern: FloatArray, *, per_channel: bool) -> FloatArray:
        """Largest gain (value in the format per 1.0) at which nothing clips: (), or per output channel (C,)."""
        weight = (self.weight * self.shaped(pattern)).reshape(self.weight.shape[0], -1)
        # The largest of zeros may be -0.0, and a limit divided by it -inf.
        high, low = np.abs(weight.max(axis=1, initial=0.0)), np.abs(weight.min(axis=1, initial=0.0))
        with np.errstate(divide="ignore"):
            each = np.minimum(fmt.maximum * fmt.step / high, (-fmt.minimum or 1) * fmt.step / low)
        return np.asarray(each if per_channel else each.min())

    def error(self, unit: FloatArray, fmt: Format) -> tuple[FloatArray, FloatArray]:
        """(noise, drift) per step and output channel if the weights go to the format with this gain."""
        factor = self.shaped(unit)
        wrong = to_fixed(self.weight * factor, fmt).to_float() / factor - self.weight
        axes = tuple(range(1, self.weight.ndim))
        return (wrong**2 * self.variance).sum(axis=axes), (wrong * self.mean).sum(axis=axes)


def load(node: Affine | Conv, graph: Graph, known: Mapping[str, Signal], profile: ShiftProfile) -> Load:
    """The node with the rates at its input; a convolution takes each channel's mean over space."""
    weight = np.asarray(node.weight, dtype=np.float64)
    signal = arriving(graph, known, node.name)
    mean, variance = signal.mean, signal.variance
    if isinstance(node, Conv):
        mean, variance = (x.reshape(x.shape[0], -1).mean(axis=1) for x in (mean, variance))
        rows = np.arange(weight.shape[0]) // (weight.shape[0] // node.groups)
        columns = rows[:, np.newaxis] * weight.shape[1] + np.arange(weight.shape[1])
        space = (1,) * (weight.ndim - 2)
        mean, variance = (x[columns].reshape(*columns.shape, *space) for x in (mean, variance))
    signed = profile.weight_grid == "plain" or bool(np.any(weight < 0))
    bias = None if node.bias is None else np.asarray(node.bias, dtype=np.float64)
    return Load(node.name, weight, bias, mean, variance, signed, grid_of(weight))


def grid_of(weight: FloatArray) -> float:
    """Step of which all weights are multiples (quantization-aware training leaves such), or 0."""
    sizes = np.unique(np.abs(weight))
    gaps = np.diff(np.concatenate([[0.0], sizes]))
    gaps = gaps[gaps > sizes[-1] * 1e-6] if sizes.size else gaps
    if not gaps.size:
        return 0.0
    step = float(gaps.min())
    multiples = sizes / step
    if multiples[-1] > 1 << 17:
        return 0.0
    step *= float(np.median(multiples[multiples > 0.5] / np.rint(multiples[multiples > 0.5])))
    multiples = sizes / step
    return step if np.all(np.abs(multiples - np.rint(multiples)) < 0.01) else 0.0


@dataclass(frozen=True, eq=False)
class Cell:
    """A population with what its errors weigh.

    Attributes:
        node: float neuron.
        noise, drift: how often a step's noise (as variance) and drift (as sum) stay in v until the decision.
        peak_x: largest sum of weights of one step that must fit, per channel (C,).
        peak_state: largest |u| or |v| that must fit, per channel (C,).
    """

    node: Neuron
    noise: float
    drift: float
    peak_x: FloatArray
    peak_state: FloatArray


def cell(node: Neuron, calibration: Calibration, span: Mapping[tuple[str, str], Range], safety: float) -> Cell:
    """The population as calibration saw it; what the weights prove to be smaller needs no safety factor."""
    trace = calibration.trace
    spikes = trace.spikes.get(node.name)
    rate = 0.0 if spikes is None or not spikes.size else float(spikes.mean(dtype=np.float64))
    steps = max(trace.steps, 1)
    seen_x, seen_state = _observed(node, trace)
    proven_x = span[node.name, "x"].peak
    proven_state = max(span[node.name, "u"].peak, span[node.name, "v"].peak)
    noise, drift = memory(node, steps, rate)
    return Cell(
        node, noise, drift, np.minimum(safety * seen_x, proven_x), np.minimum(safety * seen_state, proven_state)
    )


def _observed(node: Neuron, trace: Trace) -> tuple[FloatArray, FloatArray]:
    """Largest |x| and largest |u| or |v before reset| per channel (C,), recomputed from the recorded states."""
    u, v = (np.asarray(trace.states[node.name, key], dtype=np.float64) for key in ("u", "v"))
    before_u = np.concatenate([np.zeros_like(u[:, :1]), u[:, :-1]], axis=1)
    start = np.broadcast_to(np.asarray(node.v_init), v[:, :1].shape)
    before_v = np.concatenate([start, v[:, :-1]], axis=1)
    x = u - np.asarray(node.decay_u) * before_u
    charged = np.asarray(node.decay_v) * before_v + u + np.asarray(node.bias)

    def peak(array: FloatArray) -> FloatArray:
        return np.asarray(np.abs(array).reshape(*array.shape[:2], node.shape[0], -1).max(axis=(0, 1, 3)))

    return peak(x), np.maximum(peak(u), np.maximum(peak(v), peak(charged)))


def memory(node: Neuron, steps: int, rate: float) -> tuple[float, float]:
    """(noise, drift) of :class:`Cell`: sums over the memory of u and v, not longer than the run or a hard reset."""
    keep_u, keep_v = (float(np.max(np.asarray(x))) for x in (node.decay_u, node.decay_v))
    longest = float(steps) if node.reset_v in {"subtract", "none"} else min(float(steps), 1.0 / max(rate, 1e-9))

    def window(keep: float) -> float:
        return max(1.0, min(longest, 1.0 / (1.0 - keep) if keep < 1 else longest))

    return window(keep_u) ** 2 * window(keep_v), window(keep_u) * window(keep_v)
