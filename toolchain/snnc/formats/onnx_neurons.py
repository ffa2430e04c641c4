"""The functions of the domain ``ai.snnc`` that advance a population by one step, one per convention and variant.

A function's name lists its variant (``EulerInt64_zero_gt_ShiftTowardZero_WrapOnce_Clamp``); ranges, units
and the refractory time are integer attributes; states and parameters are inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from onnx import TensorProto

from snnc.formats.onnx_call import Call
from snnc.formats.onnx_emit import Emitter
from snnc.formats.onnx_ops import HELPERS, SHIFTS, function, overflow
from snnc.formats.onnx_single import single_call
from snnc.ir import Conventions, Fixed, Neuron

Policy = Callable[[str], str]


def neuron_call(node: Neuron, conventions: Conventions | None, ring_shift: int = 0) -> Call:
    """The function that advances a population, and how to call it.

    Args:
        node: the population.
        conventions: of the fixed graph; None means float64.
        ring_shift: under ``closed_form``, left shift from a weight's unit to the state's.
    """
    if conventions is None:
        return _euler_float(node)
    if conventions.membrane == "closed_form":
        return _closed_form(node, conventions, ring_shift)
    return single_call(node) if conventions.membrane == "float32" else _euler_int(node, conventions)


def _unit(value: object) -> int:
    assert isinstance(value, Fixed)
    return 1 << value.format.frac


def _name(base: str, node: Neuron, *more: str) -> str:
    flags = {"delayed": bool(node.reset_delay), "reset_u": node.reset_u, "refractory": node.refractory > 0}
    return "_".join((base, node.reset_v, node.fires, *(key for key, on in flags.items() if on), *more))


def _compare(e: Emitter, node: Neuron, v: str) -> str:
    return e.op("Greater" if node.fires == "gt" else "GreaterOrEqual", v, "threshold")


def _reset(e: Emitter, node: Neuron, v: str, s: str, zero: str, policy: Policy) -> str:
    """The membrane after the reset by the spikes s (numbers)."""
    if node.reset_v == "none":
        return v
    if node.reset_v == "subtract":
        return policy(e.op("Sub", v, e.op("Mul", "threshold", s)))
    return e.op("Where", e.cast(s, TensorProto.BOOL), "v_reset" if node.reset_v == "value" else zero, v)


def _fire(e: Emitter, node: Neuron, u: str, v: str, kind: int, policy: Policy) -> dict[str, str]:
    """What follows the update under ``euler``: refractory hold, reset, comparison; output -> tensor."""
    zero = e.constant(0, np.float64 if kind == TensorProto.DOUBLE else np.int64)
    held = e.op("Greater", "hold", e.constant(0)) if node.refractory else ""
    if held:
        v = e.op("Where", held, "v", v)
    if node.reset_delay:
        v = _reset(e, node, v, "s", zero, policy)
    fired = _compare(e, node, v)
    if held:
        fired = e.op("And", fired, e.op("Not", held))
    s = e.cast(fired, kind)
    if not node.reset_delay:
        v = _reset(e, node, v, s, zero, policy)
    if node.reset_u:
        u = e.op("Where", fired, zero, u)
    after = {"s_next": s, "u_next": u, "v_next": v}
    if held:
        less = e.larger(e.op("Sub", "hold", e.constant(1)), e.constant(0))
        after["hold_next"] = e.op("Where", fired, e.attribute("refractory"), less)
    return after


def _euler_call(
    node: Neuron,
    name: str,
    attributes: dict[str, int],
    params: tuple[str, ...],
    build: Callable[[Emitter], Mapping[str, str]],
    helpers: tuple[str, ...],
) -> Call:
    states = ["u", "v"]
    if node.reset_delay:
        states.append("s")
    if node.refractory:
        states.append("hold")
        attributes["refractory"] = node.refractory
    if node.reset_v == "value":
        params = (*params, "v_reset")
    proto = function(name, ("x", *states, *params), tuple(attributes), build)
    carries = {state: f"{state}_next" for state in states}
    needs = (*(HELPERS[key] for key in dict.fromkeys(helpers)), proto)
    probes = {"u": "u_next", "v": "v_next"}
    return Call(name, attributes, tuple(states), params, tuple(proto.output), carries, probes, needs)


def _euler_float(node: Neuron) -> Call:
    def build(e: Emitter) -> Mapping[str, str]:
        u = e.op("Add", e.op("Mul", "decay_u", "u"), e.op("Mul", "gain_u", "x"))
        rest = e.op("Add", e.op("Mul", "decay_v", e.op("Sub", "v", "v_rest")), "v_rest")
        v = e.op("Add", e.op("Add", rest, e.op("Mul", "gain", u)), "bias")
        return _fire(e, node, u, v, TensorProto.DOUBLE, lambda x: x)

    params = ("decay_u", "decay_v", "gain_u", "gain", "bias", "threshold", "v_rest")
    return _euler_call(node, _name("EulerFloat64", node), {}, params, build, ())


def _euler_int(node: Neuron, c: Conventions) -> Call:
    current, *u_range = overflow(c.state_bits, c.current_overflow)
    membrane, *v_range = overflow(c.state_bits, c.membrane_overflow)
    register, *word = overflow(c.register_bits, "wrap")
    drive, *d_range = overflow(c.state_bits, c.drive_overflow) if c.drive_overflow else ("", 0, 0)
    shift = SHIFTS[c.decay_rounding]

    def build(e: Emitter) -> Mapping[str, str]:
        def policy(x: str) -> str:
            return e.call_one(membrane, (x,), {"low": "low_v", "high": "high_v"})

        def decayed(state: str) -> str:
            return e.call_one(shift, (e.op("Mul", state, f"decay_{state}"),), {"unit": f"unit_{state}"})

        def added(x: str, *more: str) -> str:
            for y in more:
                x = e.op("Add", x, y)
            return e.call_one(register, (x,), {"low": word[0], "high": word[1]})

        u = e.call_one(current, (added(decayed("u"), "x"),), {"low": "low_u", "high": "high_u"})
        if not drive:
            return _fire(e, node, u, policy(added(decayed("v"), u, "bias")), TensorProto.INT64, policy)
        driven = e.call_one(drive, (e.op("Add", u, "bias"),), {"low": "low_d", "high": "high_d"})
        return _fire(e, node, u, policy(added(decayed("v"), driven)), TensorProto.INT64, policy)

    attributes = {
        "unit_u": _unit(node.decay_u), "unit_v": _unit(node.decay_v),
        "low_u": u_range[0], "high_u": u_range[1], "low_v": v_range[0], "high_v": v_range[1],
    }  # fmt: skip
    if drive:
        attributes |= {"low_d": d_range[0], "high_d": d_range[1]}
    used = (shift, current, *((drive,) if drive else ()), membrane)
    name = _name("EulerInt64", node, *used)
    params = ("decay_u", "decay_v", "bias", "threshold")
    return _euler_call(node, name, attributes, params, build, (register, *used))


def _closed_form(node: Neuron, c: Conventions, ring_shift: int) -> Call:
    register, *word = overflow(c.state_bits, "wrap")
    floor = SHIFTS["floor"]

    def build(e: Emitter) -> Mapping[str, str]:
        def wrap(x: str) -> str:
            return e.call_one(register, (x,), {"low": "low", "high": "high"})

        def scaled(a: str, b: str, unit: str) -> str:
            return e.call_one(floor, (e.op("Mul", a, b),), {"unit": unit})

        def driven(sign: str) -> str:
            ring = wrap(e.op("Mul", e.smaller(f"x_{sign}", e.attribute("top")), e.attribute("unit_ring")))
            return wrap(e.op("Add", f"u_{sign}", scaled(ring, "gain_u", "unit_gain_u")))

        exc, inh = driven("exc"), driven("inh")
        current = wrap(e.op("Add", e.op("Sub", exc, inh), "bias"))
        steady = wrap(e.op("Add", scaled(current, "gain", "unit_state"), "v_rest"))
        gap = wrap(e.op("Sub", steady, "v"))
        v = wrap(e.op("Sub", steady, scaled("decay_v", gap, "unit_state")))
        after = {"u_exc_used": exc, "u_inh_used": inh}
        held = e.op("Greater", "hold", e.constant(0)) if node.refractory else ""
        if held:
            v = e.op("Where", held, "v", v)
        fired = _compare(e, node, v)
        if held:
            left = e.op("Where", held, e.op("Sub", "hold", e.constant(1)), "hold")
            after["hold_next"] = e.op("Where", fired, e.attribute("refractory"), left)
        return after | {
            "s_next": e.cast(fired, TensorProto.INT64),
            "v_next": e.op("Where", fired, "v_reset", v),
            "u_exc_next": wrap(scaled(exc, "decay_u", "unit_decay_u")),
            "u_inh_next": wrap(scaled(inh, "decay_u", "unit_decay_u")),
        }

    attributes = {
        "top": (1 << c.accumulator_bits) - 1, "unit_ring": 1 << ring_shift, "unit_state": 1 << c.state_frac,
        "unit_gain_u": _unit(node.gain_u), "unit_decay_u": _unit(node.decay_u), "low": word[0], "high": word[1],
    }  # fmt: skip
    states = ("u_exc", "u_inh", "v", *(("hold",) if node.refractory else ()))
    if node.refractory:
        attributes["refractory"] = node.refractory
    params = ("gain_u", "decay_u", "bias", "gain", "v_rest", "decay_v", "threshold", "v_reset")
    name = _name("ClosedFormSplitInt64", node, register)
    proto = function(name, ("x_exc", "x_inh", *states, *params), tuple(attributes), build)
    carries = {state: f"{state}_next" for state in states}
    probes = {"u_exc": "u_exc_used", "u_inh": "u_inh_used", "v": "v_next"}
    needs = (HELPERS[register], HELPERS[floor], proto)
    raw = ("gain_u", "decay_u")
    return Call(name, attributes, states, params, tuple(proto.output), carries, probes, needs, raw)
