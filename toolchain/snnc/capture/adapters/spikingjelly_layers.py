"""SpikingJelly 2.0 layers -> nodes, from ``spikingjelly.activation_based.layer``.

They are torch's layers that also take [T, B, ...] (step mode ``m``), norms with their own scale, and containers, which
capture looks into. ``layer.Linear`` needs no entry: it inherits ``nn.Linear.forward``, which takes any leading axes.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from snnc.capture.adapters import torch as plain
from snnc.capture.adapters.base import Layer, Site, array
from snnc.capture.adapters.spikingjelly import time_axis
from snnc.ir import Affine, Delay, Identity, Node, TimeScale

LIBRARY = ("spikingjelly.activation_based.neuron.", "spikingjelly.activation_based.layer.")
"""Modules of these packages are never looked into, but for the containers."""
_LAYER = "spikingjelly.activation_based.layer"
CONTAINERS = (f"{_LAYER}.container.ElementWiseRecurrentContainer", f"{_LAYER}.container.LinearRecurrentContainer")
_METHODS = ("forward", "super_forward", "get_weight", "_check_input_dim")


def _temporal_norm(module: Any, site: Site) -> tuple[Node, ...]:
    """Temporal effective batch norm: one scale per step behind the ordinary one."""
    scale = array(module.scale)
    gain = scale.reshape(-1, *(1,) * len(site.given))
    return plain.batch_norm(module, site), TimeScale(f"{site.path}_steps", gain)


def _norm_through_time(module: nn.Module, site: Site) -> Node:
    fix = "Use TemporalEffectiveBatchNorm, ThresholdDependentBatchNorm or BatchNorm."
    found = f"own mean and variance in each of {getattr(module, 'T', 'all')} steps"
    raise site.refuse("statistics", found, "the same in all steps: a node adds the same bias in each", fix)


def _standard_conv(module: Any, site: Site) -> Node:
    """Weight standardisation is constant after training: an ordinary convolution of ``get_weight()``."""
    twin = nn.Conv2d(
        module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding, module.dilation,
        module.groups, module.bias is not None, module.padding_mode, dtype=module.weight.dtype,
    )  # fmt: skip
    twin.weight.data = module.get_weight().detach()
    if module.bias is not None:
        twin.bias = nn.Parameter(module.bias.detach())
    return plain.conv(twin, site)


def _standard_linear(module: Any, site: Site) -> Node:
    return Affine(site.path, array(module.get_weight()), None if module.bias is None else array(module.bias))


def _delay(module: Any, site: Site) -> Node:
    steps = int(module.delay_steps)
    return Delay(site.path, steps) if steps else Identity(site.path, origin="delay")


def _dropout(module: nn.Module, site: Site) -> Node:  # noqa: ARG001 - Layer's signature
    return Identity(site.path, origin="dropout")


def _layers() -> dict[str, Layer]:
    wrapper, norm = f"{_LAYER}.stateless_wrapper", f"{_LAYER}.bn"
    found = {
        **{f"{wrapper}.Conv{d}d": Layer(plain.conv, time_axis=time_axis, inherits=_METHODS) for d in (1, 2)},
        **{f"{wrapper}.AvgPool{d}d": Layer(plain.avg_pool, time_axis=time_axis) for d in (1, 2)},
        **{f"{wrapper}.MaxPool{d}d": Layer(plain.max_pool, needs_binary=True, time_axis=time_axis) for d in (1, 2)},
        f"{wrapper}.Flatten": Layer(plain.flatten, time_axis=time_axis),
        f"{wrapper}.WSConv2d": Layer(_standard_conv, time_axis=time_axis, inherits=_METHODS),
        f"{wrapper}.WSLinear": Layer(_standard_linear, over_time=True, inherits=_METHODS),
        f"{_LAYER}.misc.Delay": Layer(_delay, time_axis=time_axis),
        **{f"{_LAYER}.dropout.{kind}": Layer(_dropout, over_time=True) for kind in ("Dropout", "Dropout2d")},
    }
    for d in (1, 2):
        found[f"{norm}.BatchNorm{d}d"] = Layer(plain.batch_norm, time_axis=time_axis, inherits=_METHODS)
        for kind, node in (("ThresholdDependent", plain.batch_norm), ("TemporalEffective", _temporal_norm)):
            found[f"{norm}.{kind}BatchNorm{d}d"] = Layer(node, time_axis=time_axis, inherits=_METHODS)
        found[f"{norm}.BatchNormThroughTime{d}d"] = Layer(_norm_through_time, time_axis=time_axis)
    return found


ADAPTERS = _layers()
_SAMPLE = "It normalises with the data of the sample itself: use BatchNorm, which is constant after training."
ADVICE = {
    "NeuNorm": _SAMPLE,
    "GroupNorm": _SAMPLE,
    "SynapseFilter": "Its decay depends on its input: use CUBALIFNode for a synaptic current.",
    "VotingLayer": "Count the spikes of the last neuron instead; votes are summed outside of the network.",
    "DropConnectLinear": "It draws samples even in eval mode: use Linear.",
    **dict.fromkeys(("TLastMultiStepContainer", "TLastSeqToANNContainer"), "Put time first: [T, B, ...]."),
    **dict.fromkeys(("SpikeCountToBinary", "TemporalBinSum"), "It changes the number of steps."),
}
