"""Whether a plan that was read hangs together: sizes and indices that kernels would follow blindly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnc.engine.plan import SINGLES, Convolution, Dense, Population, Sparse
from snnc.engine.tiled import Tiled
from snnc.errors import IntegrityError
from snnc.ir.conventions import Membrane

EULER = ("decay_u", "decay_v", "bias", "threshold", "v_init", "v_reset")
PARAMS: dict[str, tuple[str, ...]] = {
    "neuron": EULER, "atrlif": ("bias", "threshold", "threshold_step", "decay_u", "decay_v", "decay_threshold",
    "decay_refractory"), "delta": ("threshold",), "sigmadelta": ("threshold", "bias"),
}  # fmt: skip
CLOSED = (*EULER, "v_rest", "gain", "gain_u")
FRACS = ("decay_u", "decay_threshold", "decay_refractory", "gain_u", "decay_v")
OPTIONS: dict[str, tuple[str, ...]] = {
    "neuron": ("fires", "reset_v", "reset_delay", "reset_u", "refractory", "output"),
    "delta": ("cum_error", "shift"), "sigmadelta": ("cum_error", "shift", "activation"),
}  # fmt: skip


def check_steps(populations: Sequence[Population], membrane: Membrane) -> None:
    """Checks that every population has what its steps read, and that chains name populations.

    Raises:
        IntegrityError: something is missing.
    """
    names = {p.name for p in populations}
    for p in populations:
        params = CLOSED if membrane == "closed_form" and p.kind == "neuron" else PARAMS.get(p.kind, ())
        if p.options.get("output") == "ternary":
            params = (*params, "threshold_low")
        own = SINGLES if membrane == "float32" and p.kind == "neuron" else FRACS
        fracs = tuple(f"{key}_frac" for key in own if key in params)
        missing = [key for key in params if key not in p.params]
        missing += [key for key in (*OPTIONS.get(p.kind, ()), *fracs) if key not in p.options]
        if missing:
            raise IntegrityError(f"{p.name} has no {', '.join(missing)}")
        strangers = {name for chain in p.chains for name in chain.sources} - names
        if strangers:
            raise IntegrityError(f"{p.name}: a chain reads {', '.join(sorted(strangers))}, no population of the plan")


def check_ways(populations: Sequence[Population]) -> None:
    """Checks every way against the populations at its ends.

    Raises:
        IntegrityError: a size or an index is outside.
    """
    for target in populations:
        if min(target.first, target.extra, target.latency) < 0:
            raise IntegrityError(f"{target.name}: its window starts before step 0")
        for way in target.ways:
            if not 0 <= way.source < len(populations) or way.delay < 0 or way.receptor not in (0, 1):
                raise IntegrityError(f"{target.name}: a way from population {way.source} with delay {way.delay}")
            if not _fits(way.operator, populations[way.source].size, target.size):
                raise IntegrityError(f"{target.name}: weights from {populations[way.source].name} have another size")


def _fits(operator: Dense | Convolution | Sparse, source: int, target: int) -> bool:
    if isinstance(operator, Dense):
        return operator.shape == (target, source) and (not isinstance(operator, Tiled) or operator.whole)
    if isinstance(operator, Sparse):
        return _sparse(operator, source, target)
    return _convolution(operator, source, target)


def _sparse(operator: Sparse, source: int, target: int) -> bool:
    start, index, value = operator.start, operator.index, operator.value
    if start.shape != (source + 1,) or index.ndim != 1 or value.shape != index.shape or int(start[0]) != 0:
        return False
    rising = bool(np.all(np.diff(start) >= 0)) and int(start[-1]) == index.size
    return rising and (not index.size or bool(index.min() >= 0 and index.max() < target))


def _convolution(operator: Convolution, source: int, target: int) -> bool:
    weight, given, made = operator.weight, operator.given, operator.made
    if weight.ndim != 4 or min(operator.stride) < 1 or min(operator.dilation) < 1 or min(operator.padding) < 0:
        return False
    if operator.groups < 1 or min(*given, *made, *weight.shape) < 1 or len(given) != 3 or len(made) != 3:
        return False
    if given[0] != weight.shape[1] * operator.groups or made[0] != weight.shape[0] or made[0] % operator.groups:
        return False
    space = zip(given[1:], weight.shape[2:], operator.stride, operator.padding, operator.dilation, strict=True)
    if made[1:] != tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in space):
        return False
    place = operator.place
    inside = place.shape == (source,) and bool(place.min() >= -1 and place.max() < int(np.prod(given)))
    return inside and int(np.prod(made)) == target
