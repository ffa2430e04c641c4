"""Runs a plan, or some groups of it, in the compiled kernels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import library
from snnc.engine.attach import CHUNK, Prepared
from snnc.engine.calls import Call, Extra, Result, Wishes, executable
from snnc.engine.plan import Plan, Population
from snnc.errors import UnsupportedError

__all__ = [
    "Extra",
    "Prepared",
    "Result",
    "View",
    "Wishes",
    "executable",
    "execute",
    "flat",
    "prepare",
    "viewer",
    "whole",
]

Array = npt.NDArray[Any]
GRAIN = 2
"""Samples that a thread takes at a time when few are left."""
KEPT = "_prepared"


def prepare(plan: Plan) -> Prepared:
    """The plan made ready, once.

    Raises:
        UnsupportedError: the kernels cannot hold it.
    """
    found = vars(plan).get(KEPT)
    if not isinstance(found, Prepared):
        found = Prepared(plan)
        object.__setattr__(plan, KEPT, found)  # lives as long as the plan, which it refers to
    return found


def whole(plan: Plan) -> bool:
    """True if the kernels run all of the plan in one call."""
    return all(executable(p) and not p.chains for p in plan.populations)


def execute(
    prepared: Prepared,
    given: Mapping[int, Array],
    steps: int,
    wishes: Wishes,
    *,
    groups: range | None = None,
    forced: Mapping[int, Array] | None = None,
    extra: Mapping[int, Extra] | None = None,
    binary: Collection[int] = (),
    threads: int = 1,
    variant: str | None = None,
) -> Result:
    """Runs groups of a plan.

    Args:
        prepared: the plan.
        given: population -> what it sends over its window, [B, window, neurons] in engine order: int8 spikes, or
            int64 numbers. Inputs, and populations outside the groups that somebody inside listens to.
        steps: T.
        wishes: what to return.
        groups: which groups; all of them if None.
        forced: population -> int8 [B, T, neurons] in logical time and engine order, sent instead of its own spikes.
        extra: population -> what is added to it.
        binary: given populations whose spikes are 0 or 1; -1 is none of them.
        threads: parts of the batch that run at the same time; the result does not depend on it.
        variant: name of a build of the kernels.

    Raises:
        UnsupportedError: there are no kernels.
        TraceError: something that is given has the wrong shape, or bytes that are no spikes.
        FormatError: a state left its width and the conventions refuse that.
    """
    found = library.state()
    if not isinstance(found, library.Kernels):
        raise UnsupportedError(f"there are no compiled kernels: {found.reason}")
    run = Call(prepared, steps, groups or range(len(prepared.plan.groups)))
    run.give(given, forced or {}, extra or {}, binary)
    run.ask(wishes)
    number = found.number(variant)
    threads = max(1, min(threads, run.batch))
    parts = [run.part(found, number) for _ in range(threads)]
    run.check(run.go(found, number, parts, grain(prepared, run.batch, threads)))
    return run.result(parts)


def grain(prepared: Prepared, batch: int, threads: int) -> int:
    """Samples that a thread takes at least: few, that nobody waits long; many where their number spares memory."""
    return GRAIN if prepared.base == CHUNK else max(1, min(prepared.base, -(-batch // threads)))


def flat(p: Population, array: Array) -> Array:
    """[B, T, *shape] as [B, T, neurons] in engine order."""
    rows = array.reshape(*array.shape[:2], -1)
    return rows if p.order is None else rows.take(p.order, axis=2)


View = Callable[[int, Array], Array]


def viewer(p: Population) -> View:
    """Shows [B, window, neurons] in engine order as [B, T, *shape]: a view wherever the order is channel-last."""
    low = p.latency - p.first
    if p.order is None:
        return lambda steps, array: array[:, low : low + steps].reshape(len(array), steps, *p.shape)
    channels, *space = p.shape
    last = np.arange(p.size).reshape(p.shape)
    if np.array_equal(np.moveaxis(last, 0, -1).reshape(-1), p.order):
        axes = (0, 1, 2 + len(space), *range(2, 2 + len(space)))
        return lambda steps, array: (
            array[:, low : low + steps].reshape(len(array), steps, *space, channels).transpose(axes)
        )
    back = np.empty(p.size, dtype=np.int64)
    back[p.order] = np.arange(p.size)
    return lambda steps, array: array[:, low : low + steps].take(back, axis=2).reshape(len(array), steps, *p.shape)
