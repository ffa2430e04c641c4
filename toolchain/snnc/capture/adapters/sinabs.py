"""sinabs 3.1 layers -> Neuron. Spikes are exact, step by step.

What ``lif_forward_single`` computes, with ``a = exp(-1/tau_mem)`` (1 for IAF) and ``b = exp(-1/tau_syn)``::

    i_syn = b * (i_syn + x)          without tau_syn: i_syn = x     -> decay_u = gain_u = b
    v     = a * v + (1 - a) * i_syn  norm_input=False: + i_syn      -> decay_v = a, gain
    MultiSpike:  s = trunc(v / threshold) where v > 0               -> output "multi"
    SingleSpike: s = v >= threshold                                 -> output "binary"
    MembraneSubtract: v = v - s * threshold; MembraneReset: v = 0 where it spiked
    min_v_mem:   v = max(v, min_v_mem), last                        -> v_min
    ExpLeak:     no spikes, v is what it sends                      -> output "graded"

``MembraneReset(reset_value)`` adds its value to every neuron, spiking or not; no node does that unless it is 0.
Layers take [B, T, ...] in one call. ``Squeeze`` layers take time and batch in one axis; a model of them is run one step
per call, which is the same since everything else in it has no time.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from snnc.capture.adapters import torch as layers
from snnc.capture.adapters.base import Adapter, Cell, Layer, Shape, Site, States, array, per_sample
from snnc.errors import UnsupportedError, Violation
from snnc.ir import Neuron, Node, Pool

MODULES = "sinabs.layers."
OPEN = (f"{MODULES}merge.Merge", f"{MODULES}reshape.Repeat")
_SPIKES = "sinabs.activation.spike_generation."
_RESETS = "sinabs.activation.reset_mechanism."
_SENT: dict[str, Literal["multi", "binary"]] = {f"{_SPIKES}MultiSpike": "multi", f"{_SPIKES}SingleSpike": "binary"}
_SUBTRACT, _RESET = f"{_RESETS}MembraneSubtract", f"{_RESETS}MembraneReset"


class _Watched:
    """The function that resets the membrane, and the states that it returned: v after the reset, and i_syn."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.log: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, spikes: torch.Tensor, state: dict[str, torch.Tensor], threshold: torch.Tensor) -> Any:
        found = self.function(spikes, state, threshold)
        self.log.append((found["v_mem"], found["i_syn"]))
        return found


def _how(module: Any) -> Any:
    return module.reset_fn.function if isinstance(module.reset_fn, _Watched) else module.reset_fn


def _refuse(name: str, quantity: str, found: object, allowed: object, fix: str = "") -> UnsupportedError:
    return UnsupportedError(str(Violation(name, quantity, str(found), str(allowed), fix)))


def _source(kind: Any) -> str:
    kind = kind if isinstance(kind, type) else type(kind)
    return f"{kind.__module__}.{kind.__qualname__}"


def _sent(module: Any, name: str) -> Literal["multi", "binary"]:
    source = _source(module.spike_fn)
    if source not in _SENT:
        fix = "A limit on the number of spikes has no node." if source.endswith("MaxSpike") else ""
        raise _refuse(name, "spike_fn", source, "MultiSpike or SingleSpike", fix)
    return _SENT[source]


def _several(module: nn.Module) -> bool:
    return _source(getattr(module, "spike_fn", None)) == f"{_SPIKES}MultiSpike"


def _sends_membrane(module: Any) -> bool:
    return module.spike_fn is None


def _reset_v(module: Any, name: str, threshold: np.ndarray) -> Literal["subtract", "zero"]:
    how = _how(module)
    source = _source(how)
    if source == _SUBTRACT:
        amount = how.subtract_value
        if amount is not None and np.any(array(torch.as_tensor(amount)) != threshold):
            raise _refuse(name, "reset_fn.subtract_value", amount, "None or the threshold")
        return "subtract"
    if source != _RESET:
        raise _refuse(name, "reset_fn", source, "MembraneSubtract or MembraneReset")
    if how.reset_value != 0:
        fix = "sinabs adds another value to every neuron in every step, also to those that do not spike."
        raise _refuse(name, "reset_fn.reset_value", how.reset_value, 0, fix)
    return "zero"


def _node(module: Any, name: str, shape: Shape) -> Neuron:
    keep = per_sample(name, "alpha_mem", module.alpha_mem_calculated, shape)
    synapse = module.alpha_syn_calculated
    kept = np.zeros(()) if synapse is None else per_sample(name, "alpha_syn", synapse, shape)
    low = module.min_v_mem
    gain = 1 - keep if module.norm_input else np.ones(())
    gain_u = np.ones(()) if synapse is None else kept
    if module.spike_fn is None:
        if low is not None:
            fix = "sinabs sends the membrane as it is before the bound, and keeps it bounded."
            raise _refuse(name, "min_v_mem", float(array(low).min()), "None where the membrane is sent", fix)
        return Neuron(
            name, shape, decay_u=kept, gain_u=gain_u, decay_v=keep, gain=gain, reset_v="none", output="graded"
        )
    threshold = per_sample(name, "spike_threshold", module.spike_threshold, shape)
    return Neuron(
        name,
        shape=shape,
        decay_u=kept,
        gain_u=gain_u,
        decay_v=keep,
        gain=gain,
        threshold=threshold,
        reset_v=_reset_v(module, name, threshold),
        fires="ge",
        output=_sent(module, name),
        v_min=None if low is None else per_sample(name, "min_v_mem", low, shape),
    )


def _reset(module: Any) -> None:
    """No state, as a layer is made; and from now on the states of every step are kept."""
    for name, _ in list(module.named_buffers(recurse=False)):
        module.register_buffer(name, torch.zeros(0))
    module.reset_fn = _Watched(_how(module))
    if hasattr(module, "squeeze_init"):
        module.batch_size, module.num_timesteps = -1, 1


def _memory(module: Any) -> States:
    found = {name: getattr(module, name, None) for name in ("v_mem", "i_syn")}
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}


def _sequence(module: Any, given: torch.Tensor, spikes: torch.Tensor) -> States:  # noqa: ARG001 - Cell's signature
    """From the log of the reset, not from ``recordings``: recurrent layers record v as it is before the next reset."""
    if module.spike_fn is None:
        return {}
    log = module.reset_fn.log[-spikes.shape[1] :]
    return {"v": torch.stack([_bounded(module, v) for v, _ in log], 1), "u": torch.stack([u for _, u in log], 1)}


def _states(module: Any, given: torch.Tensor, spikes: torch.Tensor) -> States:  # noqa: ARG001 - Cell's signature
    """Of a Squeeze layer, which is given one step and makes an axis of it."""
    if module.spike_fn is None:
        return {}
    v, u = module.reset_fn.log[-1]
    return {"v": _bounded(module, v), "u": u}


def _bounded(module: Any, v: torch.Tensor) -> torch.Tensor:
    return v if module.min_v_mem is None else torch.maximum(v, module.min_v_mem)


def _fed_back(module: Any, site: Site) -> Node:
    """The weights of ``rec_connect``, which first act in the second step."""
    inner = module.rec_connect
    if not isinstance(inner, nn.Linear):
        raise site.refuse("rec_connect", _source(inner), "torch.nn.Linear")
    if inner.bias is not None and bool(inner.bias.any()):
        fix = "sinabs leaves it out in the first step; use Linear(..., bias=False)."
        raise site.refuse("rec_connect.bias", "not zero", "none", fix)
    return layers.linear(inner, site)


def _batch_first(module: nn.Module) -> int | None:  # noqa: ARG001 - a time_axis function
    return 1


def _sum_pool(module: Any, site: Site) -> Node:
    """``SumPool2d`` is an LPPool2d of norm 1: of spikes and their sums, which are not negative, the sum."""
    if float(module.norm_type) != 1:
        raise site.refuse("norm_type", module.norm_type, 1)
    size = layers.sizes(module.kernel_size, 2)
    step = layers.sizes(module.stride, 2, size)
    if any((n - k) // s + 1 != made for n, k, s, made in zip(site.given[1:], size, step, site.made[1:], strict=True)):
        raise site.refuse("ceil_mode", True, False, "Choose kernel and stride that divide the input.")
    return Pool(site.path, "sum", size, step)


# ExpLeak inherits the forward of LIF and differs in what it hands to it: its parameters tell it apart.
_INHERITED = ("forward", "alpha_mem_calculated", "alpha_syn_calculated", "does_spike", "_param_dict")
_layer = partial(Cell, _node, _reset, _memory, _states, sequence=_sequence, several=_several, graded=_sends_membrane,
                 inherits=_INHERITED)  # fmt: skip

ADAPTERS: dict[str, Adapter] = {
    **dict.fromkeys((f"{MODULES}lif.LIF", f"{MODULES}iaf.IAF"), _layer(time_axis=_batch_first)),
    **dict.fromkeys((f"{MODULES}lif.LIFSqueeze", f"{MODULES}iaf.IAFSqueeze"), _layer()),
    **dict.fromkeys(
        (f"{MODULES}lif.LIFRecurrent", f"{MODULES}iaf.IAFRecurrent"),
        _layer(time_axis=_batch_first, recurrent=_fed_back),
    ),
    f"{MODULES}exp_leak.ExpLeak": _layer(time_axis=_batch_first),
    f"{MODULES}exp_leak.ExpLeakSqueeze": _layer(),
    f"{MODULES}pool2d.SumPool2d": Layer(_sum_pool),
}
_MARKS = "Give the model [B, T, ...] and wrap layers in sinabs.layers.Repeat, or use Squeeze layers throughout."
ADVICE = {
    **dict.fromkeys(("ALIF", "ALIFRecurrent", "ALIFSqueeze"), "Its threshold adapts: use LIF."),
    "NeuromorphicReLU": "It belongs to networks without time: convert with sinabs.from_torch.from_model.",
    **dict.fromkeys(("FlattenTime", "UnflattenTime"), _MARKS),
}
