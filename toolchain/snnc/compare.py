"""Compares traces: the first difference, how many values of every layer differ, and how far integers are from floats.

Integers compare exactly. Floats compare by a tolerance relative to the largest magnitude of that state in its
population, so that a membrane that a reset brings back to nearly zero is judged on the scale of the membrane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.comparison import Comparison, FirstDifference, LayerComparison, LayerError, Tally
from snnc.errors import TraceError
from snnc.trace import Trace

__all__ = [
    "Comparison",
    "FirstDifference",
    "LayerComparison",
    "LayerError",
    "Tally",
    "compare",
    "layer_errors",
    "membrane_rms",
]

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]


def compare(
    left: Trace,
    right: Trace,
    *,
    states: bool = True,
    populations: Sequence[str] | None = None,
    rtol: float = 1e-9,
) -> Comparison:
    """Compares every spike, and every recorded state, of two traces.

    The first difference is the one of the smallest step; among those, of the first population, sample and neuron;
    and of one neuron the state before the spike that it causes (currents, membrane, spike).

    Args:
        left: usually the definition.
        right: usually what is tested.
        states: compare states too.
        populations: what to compare, in this order; None takes all, and then both traces must hold the same ones.
        rtol: how far float states may lie apart, relative to the largest magnitude of that state in its population.

    Raises:
        TraceError: populations, states or shapes do not match, an integer state meets a float one, or there is
            nothing to compare.
    """
    names = _names(left, right)
    order = _populations(left, right, names, populations)
    layers: list[LayerComparison] = []
    first: FirstDifference | None = None
    for population in order:
        pairs = _pairs(left, right, names, population, states)
        wrong = {key: _differing(a, b, rtol) for key, (a, b) in pairs.items()}
        tallies = {key: _tally(mask) for key, mask in wrong.items()}
        spikes = tallies.pop("spike")
        layers.append(LayerComparison(population, spikes, tallies))
        found = _first(population, pairs, wrong, names)
        if found is not None and (first is None or found.step < first.step):
            first = found
    return Comparison(*names, first, tuple(layers))


def _names(left: Trace, right: Trace) -> tuple[str, str]:
    """Names that tell the two traces apart."""
    if left.backend != right.backend and left.target == right.target:
        return left.backend, right.backend
    names = (f"{left.backend}/{left.target}", f"{right.backend}/{right.target}")
    return names if names[0] != names[1] else (f"{names[0]} (left)", f"{names[1]} (right)")


def _populations(left: Trace, right: Trace, names: tuple[str, str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    order = tuple(left.spikes) if wanted is None else tuple(wanted)
    every = order if wanted is not None else tuple(dict.fromkeys((*order, *right.spikes)))
    missing = [
        f"{name} has no spikes of {', '.join(absent)}"
        for name, trace in zip(names, (left, right), strict=True)
        if (absent := [p for p in every if p not in trace.spikes])
    ]
    if missing:
        raise TraceError(f"the traces do not hold the same populations: {'; '.join(missing)}")
    if not order:
        raise TraceError(f"there is nothing to compare: {names[0]} and {names[1]} hold no spikes")
    return order


def _pairs(
    left: Trace, right: Trace, names: tuple[str, str], population: str, states: bool
) -> dict[str, tuple[Array, Array]]:
    """Arrays of one population by quantity, causes before effects."""
    pairs = {}
    if states:
        keys = sorted({n for trace in (left, right) for p, n in trace.states if p == population}, key=_rank)
        for key in keys:
            for name, trace in zip(names, (left, right), strict=True):
                if (population, key) not in trace.states:
                    raise TraceError(f"{name} has no state {population}/{key}; record it, or compare spikes only")
            pairs[key] = (left.states[population, key], right.states[population, key])
    pairs["spike"] = (left.spikes[population], right.spikes[population])
    for key, (a, b) in pairs.items():
        if a.shape != b.shape:
            found = f"{a.shape} in {names[0]} and {b.shape} in {names[1]}"
            raise TraceError(f"{population}: shape of {key} is {found}; allowed is one shape [B, T, *population]")
        if (a.dtype.kind == "f") != (b.dtype.kind == "f"):
            found = f"{a.dtype} in {names[0]} and {b.dtype} in {names[1]}"
            raise TraceError(f"{population}: {key} is {found}; integers and floats differ by a scale, compare spikes")
    return pairs


def _rank(state: str) -> tuple[int, str]:
    """Currents, then whatever else, then the membrane."""
    return (0 if state.startswith("u") else 2 if state == "v" else 1, state)


def _differing(left: Array, right: Array, rtol: float) -> Bools:
    if left.dtype.kind != "f":
        return np.asarray(left != right)
    sizes = np.abs(np.concatenate([left.ravel(), right.ravel()]))
    scale = float(np.max(sizes, initial=0.0, where=np.isfinite(sizes)))
    with np.errstate(invalid="ignore"):
        close = np.abs(left - right) <= rtol * scale
    return np.asarray(~(close | (left == right)))


def _tally(wrong: Bools) -> Tally:
    steps = np.flatnonzero(wrong.any(axis=(0, *range(2, wrong.ndim))))
    return Tally(int(wrong.size), int(np.count_nonzero(wrong)), int(steps[0]) if steps.size else None)


def _first(
    population: str,
    pairs: Mapping[str, tuple[Array, Array]],
    wrong: Mapping[str, Bools],
    names: tuple[str, str],
) -> FirstDifference | None:
    """The first difference inside one population: by step, sample, neuron, then quantity."""
    places = []
    for rank, (key, mask) in enumerate(wrong.items()):
        steps = np.flatnonzero(mask.any(axis=(0, *range(2, mask.ndim))))
        if steps.size:
            step = int(steps[0])
            place = tuple(int(i) for i in np.argwhere(mask[:, step])[0])
            places.append((step, place[0], place[1:], rank, key))
    if not places:
        return None
    step, sample, neuron, _, key = min(places)
    index = (sample, step, *neuron)
    left, right = (array[index].item() for array in pairs[key])
    return FirstDifference(sample, step, population, neuron, key, left, right, *names)


def layer_errors(
    float_trace: Trace, cascaded: Trace, forced: Trace, scales: Mapping[str, npt.ArrayLike]
) -> tuple[LayerError, ...]:
    """Measures every layer twice, so that what a layer does wrong is told from what it inherits.

    Args:
        float_trace: the float network's run.
        cascaded: the integers' run on the same samples.
        forced: the integers' run in which every layer was driven by the float network's spikes.
        scales: neuron population -> raw state units per 1.0, broadcastable to the population's shape; only the
            populations named here are measured, in the order of ``float_trace``.

    Raises:
        TraceError: a population is missing, or shapes do not match.
    """
    absent = [p for p in scales if p not in float_trace.spikes]
    if absent:
        raise TraceError(f"the float trace has no spikes of {', '.join(absent)}")
    order = [p for p in float_trace.spikes if p in scales]
    pairs = [compare(float_trace, trace, states=False, populations=order) for trace in (cascaded, forced)]
    found = []
    for population, own, taught in zip(order, pairs[0].layers, pairs[1].layers, strict=True):
        counts = [int(t.spikes[population].sum(dtype=np.int64)) for t in (float_trace, cascaded, forced)]
        rms = [membrane_rms(float_trace, trace, population, scales[population]) for trace in (cascaded, forced)]
        error = LayerError(
            population,
            compared=own.spikes.compared,
            spikes_float=counts[0],
            spikes_cascaded=counts[1],
            spikes_forced=counts[2],
            cascaded_differing=own.spikes.differing,
            forced_differing=taught.spikes.differing,
            v_rms_cascaded=rms[0],
            v_rms_forced=rms[1],
        )
        found.append(error)
    return tuple(found)


def membrane_rms(float_trace: Trace, trace: Trace, population: str, scale: npt.ArrayLike) -> float | None:
    """Root mean square of ``v / scale - v_float``, or None if either trace has no membrane of the population."""
    key = (population, "v")
    if key not in float_trace.states or key not in trace.states:
        return None
    error = trace.states[key] / np.asarray(scale, dtype=np.float64) - float_trace.states[key]
    return float(np.sqrt(np.mean(error**2)))
