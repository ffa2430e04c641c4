"""Integers for targets of the shift family (generic, Loihi)."""

from __future__ import annotations

from snnc.ir import Graph
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions
from snnc.quantize.profile import ShiftProfile

__all__ = ["ShiftProfile", "quantize_shift"]


def quantize_shift(
    graph: Graph, calibration: Calibration, options: QuantizeOptions, profile: ShiftProfile
) -> Quantized:
    """Turns a float graph into the integers of the profile.

    ``Target.quantize`` is ``lambda graph, calibration, options: quantize_shift(graph, calibration, options, P)``.

    Args:
        graph: after the passes: gain = gain_u = 1, v_rest = 0, no Scale, no average pooling.
        calibration: samples and the float run of exactly this graph, with states.
        options: weight width and per-channel gains.
        profile: the target's arithmetic.

    Returns:
        Integers, state units per 1.0 by population, and one note per quantity.

    Raises:
        InputError: the options ask for a width that the target does not have.
        UnsupportedError: a quantity has no integer form on the target.
    """
    raise NotImplementedError
