"""Populations as NIR primitives: steps become differential equations again.

Written is what forward Euler with a step of ``dt`` turns back into the population: ``tau = dt / (1 - decay)``,
``r = gain * tau / dt``, ``w_in = gain_u * tau_syn / dt``. Of all pairs of floats near these, those are taken whose
way back (:mod:`snnc.formats.nir_file_neurons`) gives the very same decay and gain, wherever such a pair exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from snnc.errors import Violation
from snnc.ir import FloatArray, Neuron

PLAIN = {
    "fire_from": "updated", "refractory": 0, "leak": "exp", "adaptation": (), "one_shot": False, "schedule": (),
    "reset_u": False, "v_min": None,
}  # fmt: skip
WORDS = {"subtract": "subtract", "zero": "zero", "value": "zero", "none": ""}
NEAR = (0, 1, -1, 2, -2, 3, -3, 4, -4)


def canonical(node: Neuron) -> Neuron:
    """The same population in the one form that reading gives: gains joined, a bias as a resting value.

    A bias is ``(1 - decay_v) * v_rest`` of a population that leaks; that is equal up to rounding.
    """
    keep, gain, gain_u = _full(node, "decay_v"), _full(node, "gain"), _full(node, "gain_u")
    changes: dict[str, Any] = {}
    if not np.any(_full(node, "decay_u")) and (np.all(gain == 1) or np.all(gain_u == 1)):
        changes |= {"gain": gain * gain_u, "gain_u": np.ones(())}
    if np.all(keep == 1):
        changes["v_rest"] = np.zeros(())
    elif np.all(keep < 1) and np.any(_full(node, "bias")):
        changes |= {"v_rest": _full(node, "v_rest") + _full(node, "bias") / (1 - keep), "bias": np.zeros(())}
    if node.reset_v != "value" or not np.any(_full(node, "v_reset")):
        kind: Any = "zero" if node.reset_v == "value" else node.reset_v
        changes |= {"v_reset": np.zeros(()), "reset_v": kind}
    if node.output == "graded":
        changes |= {"threshold": np.ones(()), "reset_v": "none", "reset_delay": 0}
    return replace(node, **changes)


def plain(node: Neuron) -> Neuron:
    """The population without what NIR cannot say of it (see :func:`lost`)."""
    known = {f.name for f in fields(Neuron)}
    changes: dict[str, Any] = {key: value for key, value in PLAIN.items() if key in known}
    output: Any = node.output if node.output == "graded" else "binary"
    return replace(node, **changes, output=output, v_init=np.zeros(()), threshold_low=None)


def word(node: Neuron) -> str:
    """How a reader must be told to reset; empty if it need not be."""
    found = WORDS[node.reset_v]
    return f"{found}-delayed" if found and node.reset_delay else found


def lost(node: Neuron) -> Iterator[Violation]:
    """What NIR cannot say of a population, and what could be left out at a price."""
    for key, want in PLAIN.items():
        found = getattr(node, key, want)
        if isinstance(found, np.ndarray) or found != want:
            yield Violation(node.name, key, str(found), f"{want} in NIR")
    if node.output not in ("binary", "graded"):
        yield Violation(node.name, "output", node.output, "binary or graded in NIR")
    if np.any(_full(node, "v_init")):
        yield Violation(node.name, "v_init", f"up to {np.max(np.abs(_full(node, 'v_init'))):g}", "0 in NIR")


def refused(node: Neuron) -> Iterator[Violation]:
    """What no NIR primitive computes.

    Args:
        node: in canonical form.
    """
    keep, keep_u = _full(node, "decay_v"), _full(node, "decay_u")
    for key, value in (("decay_v", keep), ("decay_u", keep_u)):
        if np.any((value < 0) | (value > 1)):
            yield Violation(node.name, key, f"{np.min(value):g} to {np.max(value):g}", "0 to 1")
    if np.any(keep == 1) and np.any(keep < 1):
        yield Violation(node.name, "decay_v", "1 in some places", "1 everywhere (IF) or nowhere (LIF)")
    if np.any(keep == 1) and is_filtered(node):
        yield Violation(node.name, "decay_v", "1 behind a synaptic current", "less than 1", "NIR's CubaLIF leaks.")
    if np.any(keep_u == 1):
        yield Violation(node.name, "decay_u", "1", "less than 1", "A current that never decays has no tau_syn.")
    if np.any(_full(node, "bias")):
        yield Violation(node.name, "bias", "given", "0 without a leak", "Add it to the weights before the population.")
    if node.reset_v == "none" and node.output != "graded" and not _is_threshold(node):
        yield Violation(node.name, "reset_v", "none", "zero, value or subtract (or no memory and gain 1: Threshold)")
    if node.reset_delay not in (0, 1):
        yield Violation(node.name, "reset_delay", str(node.reset_delay), "0 or 1")


def is_filtered(node: Neuron) -> bool:
    """True if the primitive needs a synaptic current (CubaLIF, CubaLI)."""
    return bool(np.any(_full(node, "decay_u")) or np.any(_full(node, "gain_u") != 1))


def is_leaky(node: Neuron) -> bool:
    """True if the primitive has time constants."""
    return not (np.all(_full(node, "decay_v") == 1) or (node.reset_v == "none" and node.output != "graded"))


def written(node: Neuron, dt: float) -> dict[str, Any]:
    """Type and fields of the primitive.

    Args:
        node: in canonical form, not refused.
        dt: length of a step.
    """
    if node.reset_v == "none" and node.output != "graded":
        return {"type": "Threshold", "threshold": _full(node, "threshold")}
    kind = "I" if node.output == "graded" else "IF"
    found: dict[str, Any] = {}
    if not is_leaky(node):
        found["r"] = _full(node, "gain")
    else:
        kind = f"Cuba{'L' + kind}" if is_filtered(node) else f"L{kind}"
        tau, r = _time(_full(node, "decay_v"), _full(node, "gain"), dt)
        found |= {"r": r, "v_leak": _full(node, "v_rest"), "tau_mem" if is_filtered(node) else "tau": tau}
        if is_filtered(node):
            found["tau_syn"], found["w_in"] = _time(_full(node, "decay_u"), _full(node, "gain_u"), dt)
    if node.output != "graded":
        found["v_threshold"] = _full(node, "threshold")
        if node.reset_v != "subtract":
            found["v_reset"] = _full(node, "v_reset")
    return {"type": kind, **found}


def _time(keep: FloatArray, gain: FloatArray, dt: float) -> tuple[FloatArray, FloatArray]:
    """Time constant and input factor that forward Euler turns back into ``keep`` and ``gain``."""
    start = dt / (1 - keep)
    best, factor = start.copy(), gain / np.minimum(dt / start, 1.0)
    open_ = np.ones(keep.shape, dtype=bool)
    for more in NEAR:
        tau = start * (1 + more * np.finfo(np.float64).eps)
        ratio = np.minimum(dt / tau, 1.0)
        for step in NEAR:
            r = gain / ratio * (1 + step * np.finfo(np.float64).eps)
            hit = open_ & (1 - ratio == keep) & (r * ratio == gain)
            best, factor, open_ = np.where(hit, tau, best), np.where(hit, r, factor), open_ & ~hit
        if not np.any(open_):
            break
    return best, factor


def _full(node: Neuron, key: str) -> FloatArray:
    return np.array(np.broadcast_to(np.asarray(getattr(node, key), dtype=np.float64), node.shape))


def _is_threshold(node: Neuron) -> bool:
    quiet = ("decay_v", "v_rest", "bias")
    return not (any(np.any(getattr(node, key)) for key in quiet) or is_filtered(node) or np.any(node.gain != 1))
