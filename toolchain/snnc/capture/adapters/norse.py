"""Norse 1.1 cells and layers -> Neuron. Spikes are exact, step by step.

What their sources compute, with ``k = dt * tau_mem_inv`` and ``z = v > v_th`` of the updated v:

=======================  =====================================  ==========================================
activation               u[t] and v before the comparison       node
=======================  =====================================  ==========================================
lif, lif_feed_forward    u = (1 - dt*tau_syn_inv)*u + x         decay_u, decay_v = 1 - k, gain = k, v_rest
                         v = v + k*(v_leak - v + u)
lif_box_feed_forward     v = v + k*(v_leak - v + x)             the same without u
iaf_feed_forward         v = v + x                              decay_v = 1
lif_refrac*              as lif; rho = rho_reset after a spike  refractory = ceil(rho_reset)
li_feed_forward          as lif without a threshold, sends v    output "graded"
li_box_feed_forward      as lif_box without one, sends v
=======================  =====================================  ==========================================

The input reaches v in its own step: the current jumps before the membrane moves. The state's ``i`` is what is left of u
for the next step. Recurrent modules add ``W_rec * z[t-1]`` to the current.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from snnc.capture.adapters.base import Adapter, Cell, Shape, Site, States, array, per_sample
from snnc.errors import UnsupportedError, Violation
from snnc.ir import Affine, Neuron, Node

MODULES = "norse.torch.module."
OPEN = (f"{MODULES}lift.Lift", f"{MODULES}sequential.RecurrentSequential")
_STEP = "norse.torch.functional."
# The functions that advance a state, by what they compute.
_LIF, _BOX, _IAF, _REFRACTORY, _LI, _LI_BOX = "lif", "box", "iaf", "refractory", "li", "li_box"
_INTEGRATORS = (_LI, _LI_BOX)
_ACTIVATIONS = {
    f"{_STEP}lif.lif_feed_forward_step": _LIF,
    f"{_STEP}lif.lif_step": _LIF,
    f"{_STEP}lif_box.lif_box_feed_forward_step": _BOX,
    f"{_STEP}iaf.iaf_feed_forward_step": _IAF,
    f"{_STEP}lif_refrac.lif_refrac_feed_forward_step": _REFRACTORY,
    f"{_STEP}lif_refrac.lif_refrac_step": _REFRACTORY,
    f"{_STEP}leaky_integrator.li_feed_forward_step": _LI,
    f"{_STEP}leaky_integrator_box.li_box_feed_forward_step": _LI_BOX,
}
_RESETS = {f"{_STEP}reset.reset_value": "value", f"{_STEP}reset.reset_subtract": "subtract"}
_STEPS = ("heaviside", "super", "triangle", "tanh", "circ", "heavi_erfc")
Activation = Callable[..., Any]


class _Watched:
    """The function that advances the state, and what it was given and returned since the module was reset."""

    def __init__(self, function: Activation) -> None:
        self.function = function
        self.log: list[tuple[Any, Any]] = []

    def __call__(self, x: torch.Tensor, state: Any, *rest: Any) -> Any:
        out = self.function(x, state, *rest)
        self.log.append(((x, state, *rest), out))
        return out


def _refuse(name: str, quantity: str, found: object, allowed: object, fix: str = "") -> UnsupportedError:
    return UnsupportedError(str(Violation(name, quantity, str(found), str(allowed), fix)))


def _source(function: Any) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"


def _function(module: Any) -> Activation:
    found: Activation = module.activation
    return found.function if isinstance(found, _Watched) else found


def _kind(module: Any, name: str) -> str:
    source = _source(_function(module))
    if source not in _ACTIVATIONS:
        fix = "Use the one that the constructor sets; method='adjoint' only changes gradients: capture with 'super'."
        raise _refuse(name, "activation", source, "the function of its class", fix)
    return _ACTIVATIONS[source]


def _numbers(module: Any) -> Any:
    """Parameters of the membrane; those with a refractory time keep them one level deeper."""
    return getattr(module.p, "lif", module.p)


def _tensor(value: Any) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _node(module: Any, name: str, shape: Shape) -> Neuron:
    kind, p = _kind(module, name), _numbers(module)
    if kind in _INTEGRATORS:
        return _integrator(module, name, shape, kind)
    if p.method not in _STEPS:
        raise _refuse(name, "method", repr(p.method), " or ".join(_STEPS), "Only these compare v with v_th.")
    reset = _RESETS.get(_source(p.reset_method)) if hasattr(p, "reset_method") else "value"
    if reset is None:
        raise _refuse(name, "reset_method", _source(p.reset_method), " or ".join(_RESETS))

    def number(key: str, value: Any) -> np.ndarray:
        return per_sample(name, key, _tensor(value), shape)

    rate = np.ones(()) if kind == _IAF else number("dt * tau_mem_inv", module.dt * _tensor(p.tau_mem_inv))
    rest = p.v_reset if kind == _IAF else p.v_leak
    synapse = kind in (_LIF, _REFRACTORY)
    return Neuron(
        name,
        shape=shape,
        decay_u=1 - number("dt * tau_syn_inv", module.dt * _tensor(p.tau_syn_inv)) if synapse else np.zeros(()),
        decay_v=np.ones(()) if kind == _IAF else 1 - rate,
        gain=rate,
        threshold=number("v_th", p.v_th),
        v_rest=np.zeros(()) if kind == _IAF else number("v_leak", rest),
        v_init=number("v_leak", rest),
        v_reset=number("v_reset", p.v_reset) if reset == "value" else np.zeros(()),
        reset_v="subtract" if reset == "subtract" else "value" if np.any(array(_tensor(p.v_reset))) else "zero",
        fires="gt",
        refractory=_refractory(module, name) if kind == _REFRACTORY else 0,
    )


def _integrator(module: Any, name: str, shape: Shape, kind: str) -> Neuron:
    def number(key: str, value: Any) -> np.ndarray:
        return per_sample(name, key, _tensor(value), shape)

    rate, rest = (
        number("dt * tau_mem_inv", module.dt * _tensor(module.p.tau_mem_inv)),
        number("v_leak", module.p.v_leak),
    )
    kept = 1 - number("dt * tau_syn_inv", module.dt * _tensor(module.p.tau_syn_inv)) if kind == _LI else np.zeros(())
    return Neuron(
        name, shape, decay_u=kept, decay_v=1 - rate, gain=rate, v_rest=rest, v_init=rest, reset_v="none",
        output="graded",
    )  # fmt: skip


def _sends_membrane(module: Any) -> bool:
    return _ACTIVATIONS.get(_source(_function(module))) in _INTEGRATORS


def _refractory(module: Any, name: str) -> int:
    """The refractory trace falls by 1 per step and holds the neuron while it is positive."""
    steps = np.unique(np.ceil(array(_tensor(module.p.rho_reset))))
    if steps.size != 1 or steps[0] < 0:
        raise _refuse(name, "rho_reset", steps.tolist(), "one number >= 0", "Share it in the layer.")
    return int(steps[0])


def _doubled(value: Any) -> Any:
    """Parameters in float64: they are a tuple that ``module.double()`` does not reach."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_doubled(part) for part in value))
    return value.to(torch.float64) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _reset(module: Any) -> None:
    """Forgets what was watched; Norse keeps no state in a module."""
    module.p = _doubled(module.p)
    module.activation = _Watched(_function(module))


def _memory(module: Any) -> States:  # noqa: ARG001 - Cell's signature
    return {}


def _shown(given: Any, out: Any) -> dict[str, torch.Tensor]:
    """The membrane after the reset and u as the update used it."""
    x, before, *rest = given
    after = getattr(out[1], "lif", out[1])
    before = getattr(before, "lif", before)
    if not hasattr(before, "i"):
        return {"v": after.v, "u": x}
    if not hasattr(before, "z"):
        return {"v": after.v, "u": before.i + x}
    linear = nn.functional.linear
    return {"v": after.v, "u": before.i + linear(x, rest[0]) + linear(before.z, rest[1])}


def _states(module: Any, given: torch.Tensor, spikes: torch.Tensor) -> States:  # noqa: ARG001 - Cell's signature
    return _shown(*module.activation.log[-1])


def _sequence(module: Any, given: torch.Tensor, spikes: torch.Tensor) -> States:  # noqa: ARG001 - Cell's signature
    steps = [_shown(*call) for call in module.activation.log[-spikes.shape[0] :]]
    shape = spikes.shape[1:]
    return {key: torch.stack([torch.broadcast_to(step[key], shape) for step in steps]) for key in steps[0]}


def _linear(which: str, module: Any, site: Site) -> Node:
    return Affine(site.path, array(getattr(module, which)))


def _wide(module: Any, site: Site) -> Node:
    """The weights of the input. Norse's layers take one axis."""
    if len(site.given) != 1:
        raise site.refuse("input shape", site.given, "one axis", "Flatten before it.")
    return _linear("input_weights", module, site)


def _first(module: nn.Module) -> int | None:  # noqa: ARG001 - a time_axis function
    return 0


_cell = partial(
    Cell, _node, _reset, _memory, _states, sequence=_sequence, restarts=True, inherits=("forward", "initial_state")
)
_integrating = partial(_cell, graded=_sends_membrane)
_recurrent = partial(_cell, before=_wide, recurrent=partial(_linear, "recurrent_weights"), spikes_arg="z")
_VI, _ZVI = ("v", "i"), ("z", "v", "i")

ADAPTERS: dict[str, Adapter] = {
    f"{MODULES}lif.LIFCell": _cell(state_args=_VI),
    f"{MODULES}lif.LIF": _cell(state_args=_VI, time_axis=_first),
    f"{MODULES}lif.LIFRecurrentCell": _recurrent(state_args=_ZVI),
    f"{MODULES}lif.LIFRecurrent": _recurrent(state_args=_ZVI, time_axis=_first),
    f"{MODULES}lif_box.LIFBoxCell": _cell(state_args=("v",)),
    f"{MODULES}iaf.IAFCell": _cell(state_args=("v",)),
    f"{MODULES}iaf.IAF": _cell(state_args=("v",), time_axis=_first),
    f"{MODULES}lif_refrac.LIFRefracCell": _cell(state_args=(*_VI, "rho")),
    f"{MODULES}lif_refrac.LIFRefracRecurrentCell": _recurrent(state_args=(*_ZVI, "rho")),
    f"{MODULES}lif_refrac.LIFRefracRecurrent": _recurrent(state_args=(*_ZVI, "rho"), time_axis=_first),
    f"{MODULES}leaky_integrator.LICell": _integrating(state_args=_VI),
    f"{MODULES}leaky_integrator.LI": _integrating(state_args=_VI, time_axis=_first),
    f"{MODULES}leaky_integrator_box.LIBoxCell": _integrating(state_args=("v",)),
}
ADVICE = {
    "LILinearCell": "It is Linear(..., bias=False) and LICell in one: use these.",
    **dict.fromkeys(("LSNN", "LSNNCell", "LSNNRecurrent", "LSNNRecurrentCell"), "Its threshold adapts: use LIF."),
    **dict.fromkeys(("LIFEx", "LIFExCell", "LIFAdEx", "LIFAdExCell", "CobaLIFCell", "Izhikevich", "IzhikevichCell"),
                    "Its membrane equation is not linear: use LIF."),
}  # fmt: skip
