"""Parameters and choices of one population as its steps need them: integers in state units, engine order."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnc.engine.plan import SINGLES, Kind, Option
from snnc.ir import Atrlif, Conventions, Delta, Fixed, Input, IntArray, Neuron, Node, Sigma, SigmaDelta
from snnc.ir.fixed import to_single

Params = dict[str, IntArray]
Options = dict[str, Option]


def kind_of(node: Node) -> Kind:
    """Which steps a population takes."""
    if isinstance(node, Input):
        return "constant" if node.encoding == "constant" else "input"
    if isinstance(node, Atrlif):
        return "atrlif"
    if isinstance(node, SigmaDelta):
        return "sigmadelta"
    if isinstance(node, Delta):
        return "delta"
    return "sigma" if isinstance(node, Sigma) else "neuron"


def parameters(node: Node, c: Conventions, order: IntArray | None) -> tuple[Params, Options]:
    """What a population is stepped with.

    Raises:
        FormatError: a parameter has no whole number of state units.
    """
    if isinstance(node, Input):
        return {}, _unit(node)
    if isinstance(node, Neuron):
        raw, options = {"closed_form": _closed, "float32": _single}.get(c.membrane, _euler)(node, c)
    elif isinstance(node, Atrlif):
        raw, options = _atrlif(node, c)
    else:
        raw, options = _graded(node, c)
    return {key: _placed(value, _shape(node), order) for key, value in raw.items()}, options


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.shape)


def _placed(value: IntArray, shape: tuple[int, ...], order: IntArray | None) -> IntArray:
    """One number if all neurons share it, else one for each in engine order."""
    if value.size and np.all(value == value.flat[0]):
        return np.array(value.flat[0], dtype=np.int64)
    flat = np.broadcast_to(value, shape).reshape(-1)
    return np.ascontiguousarray(flat if order is None else flat[order], dtype=np.int64)


def _fixed(value: object) -> Fixed:
    assert isinstance(value, Fixed)
    return value


def _unit(node: Input) -> Options:
    if not isinstance(node.unit, Fixed):
        return {}
    f = node.unit.format
    return {
        "unit_bits": f.bits, "unit_frac": f.frac, "unit_signed": f.signed, "unit_rounding": f.rounding,
        "unit_overflow": f.overflow,
    }  # fmt: skip


def _factor(node: Node, key: str, raw: Params, options: Options) -> None:
    """A factor stays as it is; its fractional bits go with the choices."""
    value = _fixed(getattr(node, key))
    raw[key] = value.raw
    options[f"{key}_frac"] = value.format.frac


def _euler(node: Neuron, c: Conventions) -> tuple[Params, Options]:
    options: Options = {
        "fires": node.fires, "reset_v": node.reset_v, "reset_delay": node.reset_delay, "reset_u": node.reset_u,
        "refractory": node.refractory, "output": node.output,
    }  # fmt: skip
    raw = {key: _fixed(getattr(node, key)).aligned(c.state_frac) for key in ("bias", "threshold", "v_init")}
    value = node.reset_v == "value"
    raw["v_reset"] = _fixed(node.v_reset).aligned(c.state_frac) if value else np.zeros((), dtype=np.int64)
    if node.output == "ternary":
        low = node.threshold_low
        raw["threshold_low"] = -raw["threshold"] if low is None else _fixed(low).aligned(c.state_frac)
    for key in ("decay_u", "decay_v"):
        _factor(node, key, raw, options)
    return raw, options


def _closed(node: Neuron, c: Conventions) -> tuple[Params, Options]:
    options: Options = {
        "fires": node.fires, "reset_v": "value", "reset_delay": 0, "reset_u": False, "refractory": node.refractory,
        "output": "binary", "decay_v_frac": c.state_frac,
    }  # fmt: skip
    keys = ("bias", "threshold", "v_init", "v_reset", "v_rest", "gain", "decay_v")
    raw = {key: _fixed(getattr(node, key)).aligned(c.state_frac) for key in keys}
    for key in ("decay_u", "gain_u"):
        _factor(node, key, raw, options)
    return raw, options


def _single(node: Neuron, _c: Conventions) -> tuple[Params, Options]:
    """Numbers of float32 as integers with fractional bits of their own."""
    raw: Params = {}
    options: Options = {
        "fires": node.fires, "reset_v": node.reset_v, "reset_delay": 0, "reset_u": False, "refractory": 0,
        "output": "binary",
    }  # fmt: skip
    for key in SINGLES:
        to_single(_fixed(getattr(node, key)))
        _factor(node, key, raw, options)
    return raw, options


def _atrlif(node: Atrlif, c: Conventions) -> tuple[Params, Options]:
    options: Options = {}
    raw = {key: _fixed(getattr(node, key)).aligned(c.state_frac) for key in ("bias", "threshold", "threshold_step")}
    for key in ("decay_u", "decay_v", "decay_threshold", "decay_refractory"):
        _factor(node, key, raw, options)
    return raw, options


def _graded(node: Node, c: Conventions) -> tuple[Params, Options]:
    if not isinstance(node, Delta):
        return {}, {}
    raw = {"threshold": _fixed(node.threshold).aligned(c.state_frac)}
    options: Options = {"cum_error": node.cum_error, "shift": node.shift}
    if isinstance(node, SigmaDelta):
        raw["bias"] = _fixed(node.bias).aligned(c.state_frac)
        options["activation"] = node.activation
    return raw, options
