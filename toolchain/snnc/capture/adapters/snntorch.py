"""snnTorch 1.0 neurons -> Neuron. Spikes are exact, step by step.

What their sources compute (r[t] = 1 where mem[t-1] > threshold; from rest this is s[t-1]):

=========  =========  ===========  ===========================================  ==============================
module     mechanism  reset_delay  mem[t] before the comparison                 node
=========  =========  ===========  ===========================================  ==============================
Leaky      subtract   True         beta*mem + x - r*threshold                   subtract, reset_delay 1
Leaky      zero       True         beta*(1 - r)*mem + x: the input survives     zero, reset_delay 0
Synaptic   subtract   True         beta*mem + syn - r*threshold                 subtract, reset_delay 1
Synaptic   zero       True         (1 - r)*(beta*mem + syn): the input is lost  zero, reset_delay 1
both       zero       False        beta*mem + x|syn, then 0 where it spiked     zero, reset_delay 0
both       subtract   False        no node, see below                           refused
both       none       any          beta*mem + x|syn                             none
=========  =========  ===========  ===========================================  ==============================

Recurrent ones add to x what their recurrent layer makes of the spikes of the step before; that layer becomes a node
behind an edge of one step. They and ``Lapicque`` lose the input under ``zero`` (zero, reset_delay 1). ``RSynaptic``
computes the reset of ``reset_delay=False`` and throws it away: it always resets one step late.

``Lapicque`` computes ``(1 - dt/(R*C))*mem + dt/C*x``. Given beta, it sets C (or R) from ``exp(-dt/(R*C)) = beta``, so
that what it keeps per step is ``1 + log(beta)``, not beta.

``Alpha`` keeps ``E = alpha*E + x`` and ``I = beta*I - x`` and has no membrane of its own: ``mem = k*(E + I)``. Summed,
``mem[t] = beta*mem[t-1] + k*(alpha - beta)*u[t]`` with ``u[t] = alpha*u[t-1] + x[t-1]``: a Synaptic neuron whose input
comes one step late. A reset writes into E and I, which that form no longer has apart: only ``none`` has a node.

``subtract`` with ``reset_delay=False`` compares ``beta*mem + x - r*threshold`` with the threshold where mem is still
above the threshold after the last reset ("avoid double reset"), so a strongly driven neuron skips spikes that an
immediate subtraction would send. No node says that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from snnc.capture.adapters.base import Cell, Shape, Site, States, array, per_sample
from snnc.capture.adapters.torch import conv, linear
from snnc.errors import UnsupportedError, Violation
from snnc.ir import Delay, Neuron, Node, Scale

Reset = Literal["zero", "subtract", "none"]
_STATE_FUNCTIONS: dict[str, Reset] = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
_VALUES: dict[int, Reset] = {0: "subtract", 1: "zero", 2: "none"}


def _refuse(name: str, quantity: str, found: object, allowed: object, fix: str = "") -> UnsupportedError:
    return UnsupportedError(str(Violation(name, quantity, str(found), str(allowed), fix)))


def _check(module: Any, name: str) -> None:
    if module.inhibition:
        raise _refuse(name, "inhibition", True, False, "Winner-take-all inside a population is not captured.")
    if module.state_quant:
        raise _refuse(name, "state_quant", "set", False, "Capture the float model; snnc quantizes it.")
    factor = array(module.graded_spikes_factor)
    if (factor != 1).any():
        fix = "Move the factor into the weights of the next layer."
        raise _refuse(name, "graded_spikes_factor", factor.tolist(), 1, fix)
    ramp = torch.tensor([-1.0, -1e-3, 0.0, 1e-3, 1.0], dtype=torch.float64)
    if not torch.equal(module.spike_grad(ramp).detach().to(torch.float64), (ramp > 0).to(torch.float64)):
        raise _refuse(name, "spike_grad", "no step at the threshold", "forward x > 0")


def mechanism(module: Any, name: str) -> Reset:
    """The reset mechanism that the module's forward uses; two places keep it and must agree.

    Raises:
        UnsupportedError: they disagree, for instance after ``reset_mechanism`` was assigned.
    """
    function = _function(module)
    chosen = _STATE_FUNCTIONS.get(function)
    stored = _VALUES.get(int(module.reset_mechanism_val))
    if chosen is None or chosen != stored:
        fix = "Give reset_mechanism to the constructor; assigning it later changes only half of the module."
        raise _refuse(name, "reset_mechanism", f"{stored} with the update {function or 'unknown'}", "one of both", fix)
    if chosen == "subtract" and not _late(module):
        fix = "Its comparison skips spikes under strong drive; use reset_delay=True or reset_mechanism='zero'."
        raise _refuse(name, "reset_delay", "False with reset_mechanism='subtract'", "True", fix)
    return chosen


def _late(module: Any) -> bool:
    """True if the reset acts one step late; Lapicque and Alpha have no option, RSynaptic ignores it."""
    return bool(getattr(module, "reset_delay", True)) or type(module).__name__ == "RSynaptic"


def _delay(module: Any, reset: Reset) -> int:
    input_survives = reset == "zero" and _function(module, "__qualname__").startswith("Leaky.")
    return int(_late(module) and reset != "none" and not input_survives)


def _function(module: Any, attribute: str = "__name__") -> str:
    """The update that the module chose when it was made."""
    return str(getattr(module.state_function, attribute, ""))


def _node(module: Any, name: str, shape: Shape) -> Neuron:
    alpha = getattr(module, "alpha", None)
    decay_u = np.zeros(()) if alpha is None else per_sample(name, "alpha", alpha, shape).clip(0, 1)
    return _neuron(
        module, name, shape, decay_u=decay_u, decay_v=per_sample(name, "beta", module.beta, shape).clip(0, 1)
    )


def _lapicque(module: Any, name: str, shape: Shape) -> Neuron:
    step, r, c = (per_sample(name, key, getattr(module, key), shape) for key in ("time_step", "R", "C"))
    kept = 1.0 - step / (r * c)
    if np.any(kept < 0) or np.any(kept > 1):
        found = f"{float(kept.min()):g} to {float(kept.max()):g}"
        raise _refuse(name, "1 - time_step/(R*C)", found, "0 to 1", "Take a smaller time_step, or a beta above 1/e.")
    return _neuron(module, name, shape, decay_v=kept, gain=step / c)


def _alpha(module: Any, name: str, shape: Shape) -> Neuron:
    reset = mechanism(module, name)
    if reset != "none":
        fix = "Use Synaptic, which has one membrane to reset."
        raise _refuse(name, "reset_mechanism", f"{reset!r}, which writes into two currents", "'none'", fix)
    a, b = (per_sample(name, key, getattr(module, key), shape).clip(0, 1) for key in ("alpha", "beta"))
    with np.errstate(divide="ignore"):
        scale = np.log(a) / (np.log(b) - np.log(a)) + 1.0
    return _neuron(module, name, shape, decay_u=a, decay_v=b, gain=scale * (a - b))


def _neuron(module: Any, name: str, shape: Shape, **params: Any) -> Neuron:
    """What all of them share: threshold, comparison and reset."""
    _check(module, name)
    reset = mechanism(module, name)
    threshold = per_sample(name, "threshold", module.threshold, shape)
    delay = _delay(module, reset)
    return Neuron(name, shape=shape, threshold=threshold, fires="gt", reset_v=reset, reset_delay=delay, **params)


def _feedback(module: Any, site: Site) -> Node:
    """The recurrent layer: dense or convolutional, or one weight V per neuron."""
    layer = module.recurrent
    if isinstance(layer, nn.Linear):
        return linear(layer, site)
    if isinstance(layer, nn.Conv2d):
        return conv(layer, site)
    if type(layer).__name__ != "RecurrentOneToOne":
        raise site.refuse("recurrent", type(layer).__name__, "the Linear, Conv2d or V of the constructor")
    return Scale(site.path, per_sample(site.path, "V", layer.V, site.given))


def _one_step(module: Any, site: Site) -> Node:  # noqa: ARG001 - Cell's signature
    return Delay(site.path, 1)


def _reset(module: Any) -> None:
    module.reset_mem()


def _memory(module: Any) -> States:
    return {name: getattr(module, name) for name in _MEMORY if hasattr(module, name)}


def _states(module: Any, given: torch.Tensor, spikes: torch.Tensor) -> States:
    """What snnTorch calls mem is the membrane before a delayed reset; where the node resets at once, v is after it."""
    v = module.mem
    reset = _STATE_FUNCTIONS.get(_function(module))
    if _late(module) and reset == "zero" and not _delay(module, reset):
        v = v * (1 - spikes)
    return {"v": v, "u": getattr(module, "syn", given)}


def _membrane(module: Any, given: torch.Tensor, spikes: torch.Tensor) -> States:
    """Where the module has no state that is the node's u: the recurrent sum, or the current of a step before."""
    return {"v": _states(module, given, spikes)["v"]}


_OWN = ("forward", "fire", "mem_reset", "_base_state_function", "_base_sub", "_base_zero", "_base_int", "reset_mem")
_MEMORY = ("spk", "syn", "syn_exc", "syn_inh", "mem")
_plain = partial(Cell, reset=_reset, memory=_memory, states=_states, inherits=_OWN)
_recurrent = partial(_plain, _node, recurrent=_feedback, spikes_arg="spk")
ADAPTERS = {
    "snntorch._neurons.leaky.Leaky": _plain(_node, state_args=("mem",)),
    "snntorch._neurons.synaptic.Synaptic": _plain(_node, state_args=("syn", "mem")),
    "snntorch._neurons.lapicque.Lapicque": _plain(_lapicque, state_args=("mem",)),
    "snntorch._neurons.alpha.Alpha": _plain(
        _alpha, states=_membrane, state_args=("syn_exc", "syn_inh", "mem"), before=_one_step
    ),
    "snntorch._neurons.rleaky.RLeaky": _recurrent(states=_membrane, state_args=("spk", "mem"), returns=("mem",)),
    "snntorch._neurons.rsynaptic.RSynaptic": _recurrent(state_args=("spk", "syn", "mem"), returns=("syn", "mem")),
}
ADVICE = {
    **dict.fromkeys(("SLSTM", "SConv2dLSTM"), "Gated units have no spiking form."),
}


@contextmanager
def own_instances(module: nn.Module) -> Iterator[None]:
    """Makes ``snntorch.utils.reset`` act on this copy's neurons.

    snnTorch keeps every neuron ever made in one class-level list and resets all of it, the user's own included; a
    deep copy is not even in it.
    """
    package = sys.modules.get("snntorch._neurons.neurons")
    if package is None:
        yield
        return
    base = package.SpikingNeuron
    kept = base.instances
    base.instances = [part for part in module.modules() if isinstance(part, base)]
    try:
        yield
    finally:
        base.instances = kept
