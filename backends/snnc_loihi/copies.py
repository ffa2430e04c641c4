"""Copies of a network side by side in one Lava run, so that several samples start at once.

A step of Lava costs a round trip through every process, whatever their size, so a few wide processes are faster than
many steps. The copies do not touch: dense matrices become block-diagonal, convolutions get more groups.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snnc.ir import IntArray
from snnc_loihi.plan import Plan, Population, Source, Synapses, Window

MAX_GROUPS = 127
"""Lava's Conv keeps the number of groups in int8."""


def copies_that_pay(plan: Plan, samples: int, work: int) -> int:
    """How many copies to run: as many as samples, as long as the matrices of all copies stay below ``work`` numbers.

    Args:
        plan: one network.
        samples: that wait.
        work: numbers that a step may touch.
    """
    size = sum(_numbers(one) for one in plan.synapses)
    groups = max((one.window.groups for one in plan.synapses if one.window is not None), default=1)
    return max(1, min(samples, math.isqrt(work // max(1, size)), MAX_GROUPS // groups))


def _numbers(one: Synapses) -> int:
    """Numbers that a step may touch; DelayDense rebuilds its matrix for every delay in every step."""
    if one.window is not None:
        return 0
    return one.weights.size * (4 * one.delay if one.kind == "delay" else 1)


def widened(plan: Plan, copies: int) -> Plan:
    """The plan of ``copies`` networks; copy r of neuron i has the index ``r * size + i``."""
    if copies == 1:
        return plan
    return replace(
        plan,
        sources=tuple(_source(one, copies) for one in plan.sources),
        populations=tuple(_population(one, copies) for one in plan.populations),
        synapses=tuple(_synapses(one, copies) for one in plan.synapses),
    )


def _source(one: Source, copies: int) -> Source:
    return replace(one, shape=(copies, *one.shape))


def _population(one: Population, copies: int) -> Population:
    code = None if one.code is None else one.code.tiled(copies)
    return replace(one, shape=(copies, *one.shape), bias_mant=np.tile(one.bias_mant, copies), code=code)


def _synapses(one: Synapses, copies: int) -> Synapses:
    if one.window is not None:
        return replace(one, weights=np.tile(one.weights, (copies, 1, 1, 1)), window=_window(one.window, copies))
    return replace(one, weights=_block_diagonal(one.weights, copies))


def _window(one: Window, copies: int) -> Window:
    def more(shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return (shape[0], shape[1], shape[2] * copies)

    return replace(one, in_shape=more(one.in_shape), out_shape=more(one.out_shape), groups=one.groups * copies)


def _block_diagonal(matrix: IntArray, copies: int) -> IntArray:
    rows, columns = matrix.shape
    wide = np.zeros((copies, rows, copies, columns), dtype=np.int32)
    for r in range(copies):
        wide[r, :, r] = matrix
    return wide.reshape(copies * rows, copies * columns).astype(np.int64, copy=False)
