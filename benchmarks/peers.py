"""What others would run instead, in this process: a plain PyTorch loop, snnTorch, SpikingJelly. All float32."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from snnc.ir import Affine, Conv, Fixed
from workloads import DECAY_U, DECAY_V, WEIGHT, Layer, Spikes, Workload

KEEP_U, KEEP_V = DECAY_U / 4096, DECAY_V / 4096
UNIT = float(1 << -WEIGHT.frac)

Run = Callable[[Any], list[Any]]
"""Input [T, B, *shape] -> spikes of every layer, [T, B, *shape]."""


def prepare() -> Any:
    """Torch, on one thread and without denormals; or None where it is not installed."""
    if find_spec("torch") is None:
        return None
    import torch

    logging.getLogger("torch").setLevel(logging.ERROR)  # it tells that there is no accelerator's compiler
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return torch


def tensor(spikes: Spikes) -> Any:
    """Spikes [B, T, ...] as float32 [T, B, ...]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(spikes.swapaxes(0, 1))).float()


def _weights(layer: Layer) -> tuple[Any, Any, float]:
    """Weight in state units, bias, threshold."""
    import torch

    weight, node = layer.weight.weight, layer.neuron
    assert isinstance(weight, Fixed)
    assert isinstance(node.bias, Fixed)
    assert isinstance(node.threshold, Fixed)
    scaled = torch.from_numpy((weight.raw * UNIT).astype(np.float32))
    return scaled, torch.from_numpy(node.bias.raw.astype(np.float32)), float(node.threshold.to_float())


def _module(layer: Layer, scale: float = 1.0) -> Any:
    """The layer's weights as a torch module that flattens by itself; its bias makes up for the gain of u."""
    from torch import nn

    weight, bias, _ = _weights(layer)
    node = layer.weight
    if isinstance(node, Affine):
        made: Any = nn.Linear(weight.shape[1], weight.shape[0])
    else:
        made = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], node.stride[0], node.padding[0])
    made.weight.data, made.bias.data = weight * scale, bias.flatten() * (1 - KEEP_U) * scale
    return made


def torch_loop(workload: Workload) -> Run:
    """The network as one would write it in plain PyTorch: a loop over steps, in it a loop over layers."""
    import torch
    from torch.nn import functional

    layers = [(one.weight, *_weights(one), one.loop) for one in workload.layers]
    loops: list[Any] = [
        None if loop is None else torch.from_numpy((_raw(loop) * UNIT).astype(np.float32)) for *_, loop in layers
    ]

    def current(node: Affine | Conv, weight: Any, s: Any) -> Any:
        if isinstance(node, Conv):
            return functional.conv2d(s, weight, None, node.stride, node.padding)
        return functional.linear(s.flatten(1), weight)

    def run(x: Any) -> list[Any]:
        sent: list[list[Any]] = [[] for _ in layers]
        u: list[Any] = [0.0] * len(layers)
        v: list[Any] = [0.0] * len(layers)
        with torch.inference_mode():
            for row in x:
                s = row
                for i, (node, weight, bias, threshold, _) in enumerate(layers):
                    a = current(node, weight, s)
                    if loops[i] is not None and sent[i]:
                        a = a + functional.linear(sent[i][-1], loops[i])
                    u[i] = KEEP_U * u[i] + a
                    v[i] = KEEP_V * v[i] + u[i] + bias
                    s = (v[i] > threshold).float()
                    v[i] = v[i] * (1 - s)
                    sent[i].append(s)
            return [torch.stack(one) for one in sent]

    return run


def _raw(node: Affine) -> Any:
    assert isinstance(node.weight, Fixed)
    return node.weight.raw


def snntorch_loop(workload: Workload) -> Run:
    """Synaptic neurons of snnTorch in its usual loop over steps."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import snntorch
    layers: list[Any] = []
    cells: list[Any] = []
    loops: list[Any] = []
    for one in workload.layers:
        threshold = _weights(one)[2]
        layers.append(_module(one))
        cells.append(snntorch.Synaptic(alpha=KEEP_U, beta=KEEP_V, threshold=threshold, reset_mechanism="zero"))
        loops.append(None if one.loop is None else torch.from_numpy((_raw(one.loop) * UNIT).astype(np.float32)))

    def run(x: Any) -> list[Any]:
        sent: list[list[Any]] = [[] for _ in layers]
        state = [cell.reset_mem() for cell in cells]
        with torch.inference_mode():
            for row in x:
                s = row
                for i, (layer, cell) in enumerate(zip(layers, cells, strict=True)):
                    a = layer(s.flatten(1) if isinstance(layer, torch.nn.Linear) else s)
                    if loops[i] is not None and sent[i]:
                        a = a + torch.nn.functional.linear(sent[i][-1], loops[i])
                    s, *state[i] = cell(a, *state[i])
                    sent[i].append(s)
            return [torch.stack(one) for one in sent]

    return run


def spikingjelly(workload: Workload) -> Run:
    """SpikingJelly's multi-step LIFNode, which has no synaptic current: weights are scaled to make up for it.

    Raises:
        NotImplementedError: a recurrent layer, which it has in single-step form only.
    """
    if any(one.loop is not None for one in workload.layers):
        raise NotImplementedError("it has no multi-step recurrent layer")
    import torch
    from spikingjelly.activation_based import functional, layer, neuron

    parts: list[Any] = []
    for one in workload.layers:
        # What one input adds to v over time, relative to a current that decays.
        module = layer.SeqToANNContainer(_module(one, 1 / (1 - KEEP_U)))
        flat = isinstance(one.weight, Affine)
        cell = neuron.LIFNode(
            tau=1 / (1 - KEEP_V), decay_input=False, v_threshold=_weights(one)[2], v_reset=0.0, step_mode="m"
        )  # fmt: skip
        parts.append((flat, module, cell.eval()))

    def run(x: Any) -> list[Any]:
        sent = []
        with torch.inference_mode():
            for flat, module, cell in parts:
                x = cell(module(x.flatten(2) if flat else x))
                sent.append(x)
                functional.reset_net(cell)
        return sent

    return run


PEERS: dict[str, tuple[str, Callable[[Workload], Run]]] = {
    "torch loop": ("torch", torch_loop),
    "snnTorch loop": ("snntorch", snntorch_loop),
    "SpikingJelly multi-step": ("spikingjelly", spikingjelly),
}


def peers(workload: Workload) -> tuple[dict[str, Run], dict[str, str]]:
    """Those that run here, and the others with the reason."""
    found: dict[str, Run] = {}
    missing: dict[str, str] = {}
    for name, (package, make) in PEERS.items():
        if find_spec("torch") is None or find_spec(package) is None:
            missing[name] = "not installed"
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = make(workload)
        except (NotImplementedError, ImportError, TypeError) as error:
            missing[name] = str(error)
    return found, missing
