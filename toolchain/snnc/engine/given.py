"""What users hand to a run: checked, and analog values made integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.plan import Plan, Population
from snnc.errors import TraceError
from snnc.ir import Format, to_fixed

Numbers = npt.NDArray[Any]


def source(plan: Plan) -> Population:
    """The population that the user feeds."""
    return next(p for p in plan.populations if p.kind == "input")


def check_input(plan: Plan, spikes: Numbers, *, look: bool = True) -> Numbers:
    """The input as integers [B, T, *shape]: int8 for spikes, int64 for numbers.

    Args:
        plan: of the network.
        spikes: what users hand over.
        look: into int8 arrays too, for what is neither 0 nor 1; the kernels do it while they read them.

    Raises:
        TraceError: its shape or its values are not what the network takes.
    """
    p = source(plan)
    if spikes.ndim < 2 or spikes.shape[2:] != p.shape:
        raise TraceError(f"input shape is {spikes.shape}, allowed is [B, T, *{p.shape}]")
    if "unit_bits" in p.options:
        return to_fixed(spikes, _unit(p)).raw
    if p.numbers:
        return spikes.astype(np.int64)
    if spikes.dtype != np.int8:
        if not np.all((spikes == 0) | (spikes == 1)):
            raise TraceError(f"spikes are 0 or 1; found {float(spikes.min()):g} to {float(spikes.max()):g}")
        return spikes.astype(np.int8)
    if look and spikes.size and int(spikes.view(np.uint8).max()) > 1:  # a negative number is large without its sign
        raise TraceError(f"spikes are 0 or 1; found {int(spikes.min())} to {int(spikes.max())}")
    return spikes


def check_forced(plan: Plan, forced: Mapping[str, Numbers] | None, lead: tuple[int, ...]) -> dict[str, Numbers]:
    """What replaces what populations send.

    Raises:
        TraceError: it names no population, or its shape is not the population's.
    """
    shapes = {p.name: p.shape for p in plan.populations}
    found = dict(forced or {})
    for name, values in found.items():
        if name not in shapes:
            raise TraceError(f"forced: {name!r} is no population of the plan")
        if values.dtype.kind not in "iu" or values.shape != (*lead, *shapes[name]):
            want = f"integers {(*lead, *shapes[name])}"
            raise TraceError(f"forced: {name} is {values.dtype} {values.shape}, allowed is {want}")
    return found


def _unit(p: Population) -> Format:
    o = p.options
    return Format(
        int(o["unit_bits"]), int(o["unit_frac"]), bool(o["unit_signed"]),
        o["unit_rounding"], o["unit_overflow"],  # type: ignore[arg-type]
    )  # fmt: skip
