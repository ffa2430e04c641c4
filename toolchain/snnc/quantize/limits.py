"""What caps a gain: the widest threshold, bias, accumulator and state; and thresholds that must become one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import FloatArray, Neuron
from snnc.quantize.fit import Cell, Load
from snnc.quantize.groups import Group
from snnc.quantize.profile import ShiftProfile


def by_channel(node: Neuron, value: FloatArray, reduce: Callable[..., FloatArray]) -> FloatArray:
    """A parameter reduced to one value per channel (C,)."""
    spread = np.broadcast_to(value, node.shape).reshape(node.shape[0], -1)
    return np.asarray(reduce(spread, axis=1))


def limits(
    group: Group,
    profile: ShiftProfile,
    loads: Iterable[Load],
    cells: Iterable[Cell],
    driven: Collection[str] = (),
) -> FloatArray:
    """Largest state units per 1.0 that threshold, bias, accumulator and state registers allow, per channel.

    ``driven`` are populations whose weighted input is a bias, too.
    """
    c = profile.conventions
    state = float((1 << (c.state_bits - 1)) - 1)
    room = float(profile.accumulator_peak or (1 << (c.accumulator_bits - 1)) - 1)
    size = max((found.node.shape[0] for found in cells), default=1) if group.channelwise else 1
    limit = np.full(size, math.inf)

    def hold(value: FloatArray, most: float) -> None:
        nonlocal limit
        with np.errstate(divide="ignore"):
            each = np.where(value > 0, most / np.where(value > 0, value, 1.0), math.inf)
        limit = np.minimum(limit, each if group.channelwise else each.min())

    unit = 2.0**c.state_frac
    top_bias = unit * min(profile.bias.maximum, -profile.bias.minimum or profile.bias.maximum) * profile.bias.step
    for found in cells:
        node = found.node
        hold(
            by_channel(node, np.asarray(node.threshold), np.max),
            unit * profile.threshold.maximum * profile.threshold.step,
        )
        bias = by_channel(node, np.abs(np.asarray(node.bias)), np.max)
        hold(bias + found.peak_x if node.name in driven else bias, top_bias * 2.0 ** profile.bias_exponents[1])
        hold(found.peak_x, room)
        hold(found.peak_state, state)
        for key in ("v_init", "v_reset"):
            hold(by_channel(node, np.abs(np.asarray(getattr(node, key))), np.max), state)
    for item in loads:
        if item.bias is not None:
            hold(np.abs(item.bias), top_bias)
    return limit


def pattern(group: Group, profile: ShiftProfile, cells: Iterable[Cell]) -> FloatArray:
    """Relative gain per channel that makes the thresholds of a population one number, where a target needs that.

    Raises:
        UnsupportedError: thresholds differ where the weights cannot follow.
    """
    varied = [c.node for c in cells if np.unique(np.asarray(c.node.threshold)).size > 1]
    if profile.per_channel or not varied:
        return np.ones(())
    node = varied[0]
    threshold = np.broadcast_to(np.asarray(node.threshold), node.shape).reshape(node.shape[0], -1)
    even = bool(np.all(threshold == threshold[:, :1]))
    found = float(threshold.max()) / threshold[:, 0]
    for other in (c.node for c in cells):
        scaled = by_channel(other, np.asarray(other.threshold), np.max) * (found if group.channelwise else 1.0)
        even = even and bool(np.allclose(scaled, scaled[0], rtol=1e-12, atol=0.0))
    if not (even and group.channelwise):
        fix = "Train one threshold per layer (or per channel, with weights that feed no other population)."
        allowed = f"one per population on {profile.target}"
        raise UnsupportedError(str(Violation(node.name, "threshold", "different between neurons", allowed, fix)))
    return np.asarray(found)
