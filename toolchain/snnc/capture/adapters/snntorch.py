"""snnTorch 1.0 ``Leaky`` and ``Synaptic`` -> Neuron. Spikes are exact, step by step.

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

``subtract`` with ``reset_delay=False`` compares ``beta*mem + x - r*threshold`` with the threshold where mem is still
above the threshold after the last reset ("avoid double reset"), so a strongly driven neuron skips spikes that an
immediate subtraction would send. No node says that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from snnc.capture.adapters.base import Cell, Shape, States, array, per_sample
from snnc.errors import UnsupportedError, Violation
from snnc.ir import Neuron

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
    function = getattr(module.state_function, "__name__", "")
    chosen = _STATE_FUNCTIONS.get(function)
    stored = _VALUES.get(int(module.reset_mechanism_val))
    if chosen is None or chosen != stored:
        fix = "Give reset_mechanism to the constructor; assigning it later changes only half of the module."
        raise _refuse(name, "reset_mechanism", f"{stored} with the update {function or 'unknown'}", "one of both", fix)
    if chosen == "subtract" and not module.reset_delay:
        fix = "Its comparison skips spikes under strong drive; use reset_delay=True or reset_mechanism='zero'."
        raise _refuse(name, "reset_delay", "False with reset_mechanism='subtract'", "True", fix)
    return chosen


def _delay(module: Any, reset: Reset) -> int:
    input_survives = reset == "zero" and not hasattr(module, "alpha")
    return int(bool(module.reset_delay) and reset != "none" and not input_survives)


def _node(module: Any, name: str, shape: Shape) -> Neuron:
    _check(module, name)
    reset = mechanism(module, name)
    alpha = getattr(module, "alpha", None)
    clamped = per_sample(name, "beta", module.beta, shape).clip(0, 1)
    return Neuron(
        name,
        shape=shape,
        decay_u=np.zeros(()) if alpha is None else per_sample(name, "alpha", alpha, shape).clip(0, 1),
        decay_v=clamped,
        threshold=per_sample(name, "threshold", module.threshold, shape),
        fires="gt",
        reset_v=reset,
        reset_delay=_delay(module, reset),
    )


def _reset(module: Any) -> None:
    module.reset_mem()


def _memory(module: Any) -> States:
    return {name: getattr(module, name) for name in ("syn", "mem") if hasattr(module, name)}


def _states(module: Any, given: torch.Tensor, spikes: torch.Tensor) -> States:
    """What snnTorch calls mem is the membrane before a delayed reset; where the node resets at once, v is after it."""
    v = module.mem
    reset = _STATE_FUNCTIONS.get(getattr(module.state_function, "__name__", ""))
    if module.reset_delay and reset == "zero" and not _delay(module, reset):
        v = v * (1 - spikes)
    return {"v": v, "u": getattr(module, "syn", given)}


ADAPTERS = {
    "snntorch._neurons.leaky.Leaky": Cell(_node, _reset, _memory, _states, ("mem",)),
    "snntorch._neurons.synaptic.Synaptic": Cell(_node, _reset, _memory, _states, ("syn", "mem")),
}
_RECURRENT = "Use Leaky or Synaptic and feed the spikes back through a Linear of your own."
ADVICE = {
    "RLeaky": _RECURRENT,
    "RSynaptic": _RECURRENT,
    "Alpha": "Use Synaptic.",
    "Lapicque": "Use Leaky with beta = 1 - dt/(R*C).",
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
