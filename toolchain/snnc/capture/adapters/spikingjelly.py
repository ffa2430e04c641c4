"""SpikingJelly 2.0 neurons -> Neuron, from ``spikingjelly.activation_based.neuron``. Spikes are exact, step by step.

What their sources compute (r is v_reset, or 0 where v_reset is None; s[t] = v >= v_threshold):

======================  =============================================================  ==============================
module                  v before the comparison                                        node
======================  =============================================================  ==============================
IFNode                  v + x                                                          decay_v 1
HalfThresholdIFNode     v + x, from v_threshold/2 on                                   v_init v_threshold/2
ActivationAwareIFNode   v + x, compared with v_threshold - v_offset                    v moved by v_offset
LIFNode, decay_input    v + (x - (v - r))/tau                                          gain 1/tau, v_rest r
LIFNode, else           v - (v - r)/tau + x                                            gain 1, v_rest r
OTTT- and SLTTLIFNode   as LIFNode, in eval mode                                       as LIFNode
Ternary (L)IFNode       as (L)IFNode, and -1 where v <= -v_threshold                   output ternary
ParametricLIFNode       as LIFNode with 1/tau = sigmoid(w)                             as LIFNode
CUBALIFNode             v*v_decay + c, c = c*c_decay + x: r is no resting value        decay_u c_decay, v_rest 0
======================  =============================================================  ==============================

Then, in the same step, ``v - v_threshold`` where it spiked (v_reset None) or v_reset. A membrane starts at the value
that ``reset()`` gives it, which is v_reset for all but the ``Simple`` ones. In step mode ``m`` a module takes [T, B,
...] and computes the same. detach_reset and the backward pass of a surrogate change gradients only.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from snnc.capture.adapters.base import Cell, Shape, States, array, per_sample
from snnc.errors import UnsupportedError, Violation
from snnc.ir import Neuron

Values = npt.NDArray[np.float64]
_RAMP = (-2.0, -1.0, -1e-3, -1e-9, 0.0, 1e-9, 1e-3, 1.0, 2.0)
_NEURON = "spikingjelly.activation_based.neuron"
_METHODS = (
    "forward", "single_step_forward", "multi_step_forward", "single_step_functional_forward",
    "multi_step_functional_forward", "materialize_states", "neuronal_charge", "neuronal_fire", "neuronal_reset",
    "reset",
)  # fmt: skip


def refuse(name: str, quantity: str, found: object, allowed: object, fix: str = "") -> UnsupportedError:
    """The error for an option that no node can express."""
    return UnsupportedError(str(Violation(name, quantity, str(found), str(allowed), fix)))


def time_axis(module: Any) -> int | None:
    """0 in step mode ``m``, which takes [T, B, ...]; None in step mode ``s``."""
    return 0 if module.step_mode == "m" else None


def _fires(module: Any, name: str) -> Any:
    """``ge`` or ``gt``: what the surrogate's forward does on a ramp through 0.

    Raises:
        UnsupportedError: it is no step, such as a primitive function (``spiking=False``) or a spike count.
    """
    ramp = torch.tensor(_RAMP, dtype=torch.float64)
    try:
        sent = module.surrogate_function(ramp.clone()).detach().to(torch.float64)
    except Exception as error:
        found = f"a function that fails on {_RAMP[0]:g} to {_RAMP[-1]:g}: {error}"
        raise refuse(name, "surrogate_function", found, "forward x >= 0") from error
    for fires, expected in (("ge", ramp >= 0), ("gt", ramp > 0)):
        if torch.equal(sent, expected.to(torch.float64)):
            return fires
    fix = "Its forward sends other values than 0 and 1, or not from 0 on; set spiking=True."
    raise refuse(name, "surrogate_function", type(module.surrogate_function).__name__, "forward x >= 0", fix)


def _number(name: str, quantity: str, value: Any, shape: Shape) -> Values:
    if isinstance(value, torch.Tensor):
        return per_sample(name, quantity, value, shape)
    return np.asarray(float(value), dtype=np.float64)


def _start(module: Any, name: str) -> Values:
    """The membrane to which ``reset()`` returns."""
    start = module.get_reset_value("v")
    if isinstance(start, torch.Tensor) and start.ndim:
        raise refuse(name, "reset value of v", f"a tensor {tuple(start.shape)}", "one number")
    return np.asarray(float(start), dtype=np.float64)


def _neuron(module: Any, name: str, shape: Shape, **params: Any) -> Neuron:
    """What all of them share: threshold, comparison, reset and start."""
    if getattr(module, "_neuron_precision", None) is not None:
        raise refuse(name, "neuron precision", "set", "None", "Capture the float model; snnc quantizes it.")
    value = module.v_reset
    shared: dict[str, Any] = {
        "threshold": _number(name, "v_threshold", module.v_threshold, shape),
        "fires": _fires(module, name),
        "reset_v": "subtract" if value is None else "zero" if value == 0 else "value",
        "v_reset": np.asarray(float(value or 0)),
        "v_init": _start(module, name),
    }
    return Neuron(name, shape=shape, **(shared | params))


def _integrate(module: Any, name: str, shape: Shape) -> Neuron:
    return _neuron(module, name, shape, decay_v=np.ones(()))


def _activation_aware(module: Any, name: str, shape: Shape) -> Neuron:
    """The membrane plus v_offset; nothing leaks, so the offset stays where it is."""
    offset = _channels(module, name, "v_offset", shape)
    value = module.v_reset
    moved = {} if value is None else {"v_reset": float(value) + offset, "reset_v": "value"}
    threshold = _channels(module, name, "v_threshold", shape)
    return _neuron(
        module, name, shape, decay_v=np.ones(()), threshold=threshold, v_init=_start(module, name) + offset, **moved
    )


def _channels(module: Any, name: str, quantity: str, shape: Shape) -> Values:
    value = array(getattr(module, quantity))
    if not value.ndim:
        return value
    axis = module.channel_dim + (len(shape) + 1 if module.channel_dim < 0 else 0) - 1
    if axis < 0:
        raise refuse(name, "channel_dim", module.channel_dim, "an axis behind the batch")
    return value.reshape([-1 if a == axis else 1 for a in range(len(shape))])


def _leaky(module: Any, name: str, shape: Shape) -> Neuron:
    return _with_rate(module, name, shape, 1.0 / _number(name, "tau", module.tau, shape))


def _online(module: Any, name: str, shape: Shape) -> Neuron:
    """In eval mode online learners are LIFNodes that compare with heaviside, whatever their surrogate."""
    return replace(_leaky(module, name, shape), fires="ge")


def _parametric(module: Any, name: str, shape: Shape) -> Neuron:
    return _with_rate(module, name, shape, per_sample(name, "w", module.w.sigmoid(), shape))


def _with_rate(module: Any, name: str, shape: Shape, rate: Values) -> Neuron:
    """``rate``: what is lost of the membrane per step, 1/tau."""
    rest = np.asarray(float(module.v_reset or 0))
    gain = rate if module.decay_input else np.ones(())
    return _neuron(module, name, shape, decay_v=1.0 - rate, gain=gain, v_rest=rest)


def _current_based(module: Any, name: str, shape: Shape) -> Neuron:
    decay_u = _number(name, "c_decay", module.c_decay, shape)
    return _neuron(module, name, shape, decay_u=decay_u, decay_v=_number(name, "v_decay", module.v_decay, shape))


def _ternary(module: Any, name: str, shape: Shape) -> Neuron:
    """Also -1 where v <= -v_threshold, with the same reset; a soft one adds v_threshold there."""
    node = _leaky(module, name, shape) if hasattr(module, "tau") else _integrate(module, name, shape)
    return replace(node, output="ternary")


def _reset(module: Any) -> None:
    module.reset()


def _memory(module: Any) -> States:
    return {key: value for key, value in module._memories.items() if isinstance(value, torch.Tensor)}


def _states(module: Any, given: torch.Tensor, spikes: torch.Tensor) -> States:  # noqa: ARG001 - Cell's signature
    offset = getattr(module, "v_offset", None)
    v = module.v if offset is None else module.v + module._broadcast_parameter(offset, module.v, "v_offset")
    return {"v": v, "u": module._memories.get("c", given)}


def _sequence(module: Any, given: torch.Tensor, spikes: torch.Tensor) -> States:
    """Runs the module's own single step over the sequence once more: step mode ``m`` keeps the last state only."""
    kept = dict(module._memories)
    module.reset()
    rows = []
    for x, sent in zip(given, spikes, strict=True):
        module.single_step_forward(x)
        rows.append(_states(module, x, sent))
    module._memories.update(kept)
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


_cell = partial(
    Cell, reset=_reset, memory=_memory, states=_states, time_axis=time_axis, sequence=_sequence, inherits=_METHODS
)


def _signed(module: Any) -> bool:  # noqa: ARG001 - Cell's signature
    return True


ADAPTERS = {
    f"{_NEURON}.integrate_and_fire.SimpleIFNode": _cell(_integrate),
    f"{_NEURON}.integrate_and_fire.IFNode": _cell(_integrate),
    f"{_NEURON}.integrate_and_fire.HalfThresholdIFNode": _cell(_integrate),
    f"{_NEURON}.integrate_and_fire.ActivationAwareIFNode": _cell(_activation_aware),
    f"{_NEURON}.lif.SimpleLIFNode": _cell(_leaky),
    f"{_NEURON}.lif.LIFNode": _cell(_leaky),
    f"{_NEURON}.online_learning.OTTTLIFNode": _cell(_online),
    f"{_NEURON}.online_learning.SLTTLIFNode": _cell(_online),
    f"{_NEURON}.ternary.TernaryIFNode": _cell(_ternary, several=_signed),
    f"{_NEURON}.ternary.TernaryLIFNode": _cell(_ternary, several=_signed),
    f"{_NEURON}.plif.ParametricLIFNode": _cell(_parametric),
    f"{_NEURON}.lif_variants.CUBALIFNode": _cell(_current_based),
}
_INSTEAD = "Use IFNode, LIFNode, ParametricLIFNode or CUBALIFNode."
_NONLINEAR = f"Its membrane is no leaky integrator, which no target computes. {_INSTEAD}"
_SEVERAL = "It sends counts, not 0 or 1, in a step: use IFNode or LIFNode and more steps."
_PARALLEL = f"It weighs all steps at once instead of integrating them, and has no reset. {_INSTEAD}"
_SILENT = "It sends its membrane, not spikes: end the network with a spiking neuron and count its spikes."
_RANDOM = f"It adds noise, so that no two runs are equal. {_INSTEAD}"
ADVICE = {
    "KLIFNode": f"It rectifies the membrane before the comparison, which no target does. {_INSTEAD}",
    "ComplementaryLIFNode": f"What it subtracts depends on a second state through a sigmoid. {_INSTEAD}",
    "GatedLIFNode": f"It mixes two leaks and two resets with a gain per step. {_INSTEAD}",
    "LIAFNode": "It sends an activation of its membrane, not spikes: use LIFNode.",
    **dict.fromkeys(("QIFNode", "EIFNode", "IzhikevichNode", "RAFNode", "AdaptBaseNode"), _NONLINEAR),
    **dict.fromkeys(("ILIFNode", "STBIFNode", "FewSpikeNode", "HGNode", "OutlierAwareThresholdNode"), _SEVERAL),
    **dict.fromkeys(("PSN", "MaskedPSN", "SlidingPSN", "GatedPSN"), _PARALLEL),
    **dict.fromkeys(("NonSpikingIFNode", "NonSpikingLIFNode", "NoisyNonSpikingIFNode"), _SILENT),
    **dict.fromkeys(("NoisyCUBALIFNode", "NoisyILCCUBALIFNode"), _RANDOM),
    **dict.fromkeys(("MPBNLIFNode", "MPBNBaseNode"), f"It normalises its membrane with the batch. {_INSTEAD}"),
    **dict.fromkeys(("DSRIFNode", "DSRLIFNode"), f"It trains on rates, with spikes scaled per layer. {_INSTEAD}"),
    **dict.fromkeys(
        ("ILCIFNode", "ILCLIFNode", "ILCCUBALIFNode"), f"Its neurons act on each other in a step. {_INSTEAD}"
    ),
}
