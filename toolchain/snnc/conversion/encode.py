"""Values without time become steps: held as they are, or as spikes whose rate is the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.config import ConvertConfig
from snnc.errors import InputError, TraceError, Violation
from snnc.trace import Samples


def unit_of(values: npt.NDArray[Any], options: ConvertConfig) -> float:
    """What one input spike stands for: the largest value; 1 for analog input.

    Raises:
        InputError: values below 0 are to be sent as rates.
    """
    if options.input == "direct":
        return 1.0
    low, high = float(np.min(values)), float(np.max(values))
    if low < 0:
        fix = "Take --input direct, or shift the data and the first bias so that no value is negative."
        raise InputError.of(Violation("input", "smallest value", f"{low:g}", ">= 0 for spike rates", fix))
    return high or 1.0


def encode(values: npt.NDArray[Any], options: ConvertConfig, unit: float) -> npt.NDArray[Any]:
    """Values [B, *shape] as steps [B, T, *shape].

    ``direct`` repeats the value; ``rate`` sends ``floor(r*(t+1) + 1/2) - floor(r*t + 1/2)`` spikes in step t with
    ``r = clip(value / unit, 0, 1)``, so that T steps hold round(r*T) evenly spaced spikes; ``poisson`` sends one with
    probability r, from a generator of fixed seed.

    Args:
        values: analog values.
        options: ``steps``, ``input`` and ``seed``.
        unit: what one spike stands for.
    """
    shape = (len(values), options.steps, *values.shape[1:])
    held = np.broadcast_to(np.asarray(values, dtype=np.float64)[:, np.newaxis], shape)
    if options.input == "direct":
        return np.ascontiguousarray(held)
    rates = np.clip(held / unit, 0.0, 1.0)
    if options.input == "poisson":
        return (np.random.default_rng(options.seed).random(shape) < rates).astype(np.int8)
    steps = np.arange(options.steps + 1, dtype=np.float64).reshape(-1, *(1,) * (values.ndim - 1))
    edges = np.floor(rates[:, :1] * steps + 0.5)
    return np.diff(edges, axis=1).astype(np.int8)


def encoded(samples: Samples, options: ConvertConfig, unit: float) -> Samples:
    """Samples without time as samples with time."""
    return Samples(encode(samples.spikes, options, unit), samples.labels)


def timeless(values: npt.NDArray[Any], labels: Any, where: str) -> Samples:
    """Values [B, ...] and labels [B] as samples without time.

    Raises:
        TraceError: labels that are no integers, or too many or too few.
    """
    if labels is None:
        return Samples(values)
    marks = np.atleast_1d(np.asarray(labels))
    if marks.dtype.kind not in "iu" or marks.shape != values.shape[:1]:
        raise TraceError(f"{where}: labels are {marks.dtype} {marks.shape}, allowed are {len(values)} integers")
    return Samples(values, marks.astype(np.int64))
