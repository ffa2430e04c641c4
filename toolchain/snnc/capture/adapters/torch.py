"""Layers of ``torch.nn``: module -> node. What a node cannot express is refused by the option's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from torch import nn

from snnc.capture.adapters.base import Layer, Site, array
from snnc.ir import Affine, Conv, Flatten, Identity, Node, Pool, Scale

Sizes = int | tuple[int, ...]


def sizes(value: Sizes | None, rank: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    """One number per spatial axis."""
    if value is None:
        return default
    return (int(value),) * rank if isinstance(value, int) else tuple(int(v) for v in value)


def linear(module: nn.Module, site: Site) -> Node:
    """``nn.Linear`` -> Affine."""
    assert isinstance(module, nn.Linear)
    if len(site.given) != 1:
        raise site.refuse("input shape", site.given, f"({module.in_features},)", "Flatten before a dense layer.")
    return Affine(site.path, array(module.weight), None if module.bias is None else array(module.bias))


def conv(module: nn.Module, site: Site) -> Node:
    """``nn.Conv1d``, ``nn.Conv2d`` -> Conv."""
    assert isinstance(module, (nn.Conv1d, nn.Conv2d))
    rank = len(module.kernel_size)
    if len(site.given) != rank + 1:
        raise site.refuse("input shape", site.given, f"(channels, {rank} spatial axes)", "Give it a batch axis.")
    if module.padding_mode != "zeros":
        raise site.refuse("padding_mode", module.padding_mode, "zeros", "Train with zero padding.")
    return Conv(
        site.path,
        array(module.weight),
        None if module.bias is None else array(module.bias),
        stride=module.stride,
        padding=_padding(module, site),
        dilation=module.dilation,
        groups=module.groups,
    )


def _padding(module: nn.Conv1d | nn.Conv2d, site: Site) -> tuple[int, ...]:
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    if module.padding != "same":
        return tuple(int(p) for p in module.padding)
    total = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    if any(t % 2 for t in total):
        fix = "Use an odd kernel; an even one is padded more on one side."
        raise site.refuse("padding", f"'same' with kernel {module.kernel_size}", "equal on both sides", fix)
    return tuple(t // 2 for t in total)


def batch_norm(module: nn.Module, site: Site) -> Node:
    """Batch normalisation with running statistics -> Scale."""
    assert isinstance(module, nn.modules.batchnorm._BatchNorm)
    if module.running_mean is None or module.running_var is None:
        fix = "Train with track_running_stats=True: without it the output depends on the batch."
        raise site.refuse("running statistics", "absent", "present", fix)
    gain = 1 / np.sqrt(array(module.running_var) + module.eps)
    if module.weight is not None:
        gain = gain * array(module.weight)
    shift = -array(module.running_mean) * gain
    if module.bias is not None:
        shift = shift + array(module.bias)
    column = (-1, *(1,) * (len(site.given) - 1))
    return Scale(site.path, gain.reshape(column), shift.reshape(column))


def avg_pool(module: nn.Module, site: Site) -> Node:
    """Average pooling -> Pool."""
    assert isinstance(module, (nn.AvgPool1d, nn.AvgPool2d))
    divisor = getattr(module, "divisor_override", None)
    return average(
        site, module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad, divisor
    )


def average(
    site: Site,
    kernel: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Pool:
    """The node of an average pooling with these options."""
    rank = len(site.given) - 1
    size = sizes(kernel, rank)
    pad = sizes(padding, rank)
    if not count_include_pad and any(pad):
        fix = "Use count_include_pad=True or no padding."
        raise site.refuse("count_include_pad", "False with padding", "True", fix)
    if divisor is not None and divisor != int(np.prod(size)):
        raise site.refuse("divisor_override", divisor, int(np.prod(size)), "Leave it out.")
    return _pool(site, Pool(site.path, "avg", size, sizes(stride, rank, size), pad), ceil_mode)


def max_pool(module: nn.Module, site: Site) -> Node:
    """Maximum pooling -> Pool."""
    assert isinstance(module, (nn.MaxPool1d, nn.MaxPool2d))
    return maximum(
        site,
        cast(Sizes, module.kernel_size),
        cast("Sizes | None", module.stride),
        cast(Sizes, module.padding),
        cast(Sizes, module.dilation),
        module.ceil_mode,
        module.return_indices,
    )


def maximum(
    site: Site,
    kernel: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Pool:
    """The node of a maximum pooling with these options."""
    rank = len(site.given) - 1
    size = sizes(kernel, rank)
    pad = sizes(padding, rank)
    if any(d != 1 for d in sizes(dilation, rank)):
        raise site.refuse("dilation", dilation, 1, "Pool without dilation.")
    if return_indices:
        raise site.refuse("return_indices", True, False)
    if any(pad) and not site.binary:
        fix = "A node pads with 0, which would win over negative inputs: pool spikes, or do not pad."
        raise site.refuse("padding", f"{pad} on inputs that may be negative", 0, fix)
    return _pool(site, Pool(site.path, "max", size, sizes(stride, rank, size), pad), ceil_mode)


def _pool(site: Site, node: Pool, ceil_mode: bool) -> Pool:
    floored = tuple(
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(site.given[1:], node.kernel, node.stride, node.padding, strict=True)
    )
    if floored != site.made[1:]:
        quantity = "ceil_mode" if ceil_mode else "output shape"
        fix = "Choose kernel and stride that divide the input."
        raise site.refuse(quantity, f"{site.made[1:]}", f"{floored} (rounded down)", fix)
    return node


def flatten(module: nn.Module, site: Site) -> Node:
    """``nn.Flatten`` of everything but the batch."""
    assert isinstance(module, nn.Flatten)
    return flat(site)


def flat(site: Site) -> Node:
    """The node of a reshape, which must be row-major to one axis (or to the same shape)."""
    if site.made == site.given:
        return Identity(site.path, origin="flatten")
    if site.made != (int(np.prod(site.given)),):
        fix = "Only flattening has a node; give the data in the shape that the next layer takes."
        raise site.refuse("reshape", f"{site.given} to {site.made}", f"({int(np.prod(site.given))},)", fix)
    return Flatten(site.path)


def _identity(origin: str) -> Callable[[nn.Module, Site], Node]:
    return lambda module, site: Identity(site.path, origin=origin)  # noqa: ARG005 - Layer's signature


_ALL: dict[type[nn.Module], Layer] = {
    nn.Linear: Layer(linear, over_time=True),
    nn.Conv1d: Layer(conv),
    nn.Conv2d: Layer(conv),
    nn.BatchNorm1d: Layer(batch_norm),
    nn.BatchNorm2d: Layer(batch_norm),
    nn.AvgPool1d: Layer(avg_pool),
    nn.AvgPool2d: Layer(avg_pool),
    nn.MaxPool1d: Layer(max_pool, needs_binary=True),
    nn.MaxPool2d: Layer(max_pool, needs_binary=True),
    nn.Flatten: Layer(flatten, over_time=True),
    nn.Identity: Layer(_identity("identity"), over_time=True),
    **{
        cls: Layer(_identity("dropout"), over_time=True)
        for cls in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
    },
}
ADAPTERS = {f"{cls.__module__}.{cls.__qualname__}": layer for cls, layer in _ALL.items()}

_ACTIVATION = "An activation between layers has no spiking form: remove it or put a neuron in its place."
_GATED = "Gated units have no spiking form: use a recurrent population of LIF neurons."
_NORM = "It normalises with statistics of the sample itself: use BatchNorm, which becomes constant after training."
ADVICE = {
    **dict.fromkeys(
        ("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Softmax", "LogSoftmax",
         "Hardtanh", "Softplus"), _ACTIVATION),
    **dict.fromkeys(("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"), _GATED),
    **dict.fromkeys(("LayerNorm", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "RMSNorm"), _NORM),
    "AdaptiveAvgPool2d": "Use AvgPool2d with the kernel that it comes to.",
    "AdaptiveAvgPool1d": "Use AvgPool1d with the kernel that it comes to.",
}  # fmt: skip
