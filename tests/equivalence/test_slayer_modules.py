"""SLAYER's live blocks are refused with the way that is exact: the ``.net`` file holds the integers that they compute.

lava-dl cannot be installed beside what the tests need. ``Neuron`` and ``Dense`` restate what its modules compute on a
CPU (lava-dl 0.6, ``neuron/cuba.py``, ``neuron/dynamics/leaky_integrator.py``, ``block/cuba.py``), under their names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from snnc.capture import capture
from snnc.errors import UnsupportedError
from snnc.formats.slayer_file import Place, SlayerNet, open_net
from snnc_reference.execute import execute
from snnc_reference.targets import GENERIC
from unit.formats.slayer_recordings import mnist, rate_coded

torch.set_num_threads(1)
UNIT, ONE = 64, 64 * 64
"""A weight of 1 in a file is 1/64 in the module; a state of 1 is 4096 in the module's integers."""


class Neuron(nn.Module):
    """x [B, N, T] -> spikes [B, N, T]."""

    def __init__(self, i_decay: int, v_decay: int, threshold: float) -> None:
        super().__init__()
        self.i_decay, self.v_decay, self.threshold = i_decay, v_decay, threshold + 0.01 / ONE

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u = torch.zeros(x.shape[:-1], dtype=torch.int64)
        v, found = torch.zeros_like(u), []
        for t in range(x.shape[-1]):
            u = torch.div(u * (4096 - self.i_decay), 4096, rounding_mode="trunc") + (ONE * x[..., t]).to(torch.int64)
            v = torch.div(v * (4096 - self.v_decay), 4096, rounding_mode="trunc") + u
            fired = v >= self.threshold * ONE
            found.append(fired.to(x.dtype))
            v = torch.where(fired, 0, v)
        return torch.stack(found, dim=-1)


class Dense(nn.Module):
    """Weights in steps of 2/64 between -256/64 and 254/64, then neurons, then one step of delay."""

    def __init__(self, weight: torch.Tensor, neuron: Neuron) -> None:
        super().__init__()
        self.weight, self.neuron = nn.Parameter(weight), neuron

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = (torch.round(self.weight * UNIT / 2) * 2).clamp(-256, 254) / UNIT
        spikes = self.neuron(torch.einsum("oi,bit->bot", weight, x))
        return nn.functional.pad(spikes, (1, 0))[..., :-1]


Dense.__module__ = "lava.lib.dl.slayer.block.cuba"
Neuron.__module__ = "lava.lib.dl.slayer.neuron.cuba"


def blocks(net: SlayerNet) -> nn.ModuleList:
    made = nn.ModuleList()
    for layer in net.layers.layers:
        cell: Any = layer.neuron
        neuron = Neuron(int(cell.i_decay), int(cell.v_decay), cell.threshold / UNIT)
        made.append(Dense(torch.from_numpy(layer.weight / UNIT).double(), neuron))
    return made


class Network(nn.Module):
    """As in lava-dl's tutorials: the blocks in a list, time last."""

    def __init__(self, made: nn.ModuleList) -> None:
        super().__init__()
        self.blocks = made

    def forward(self, spike: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            spike = block(spike)
        return spike


def small() -> Network:
    weight = torch.randn((5, 6), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Network(nn.ModuleList([Dense(weight, Neuron(1024, 128, 1.0))]))


EXAMPLE = (np.random.default_rng(0).random((2, 8, 6)) < 0.5).astype(np.int8)


class TimeLast(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spikes: torch.Tensor = self.inner(x.permute(0, 2, 1))
        return spikes.permute(0, 2, 1)


@pytest.mark.parametrize(
    "module",
    [small(), TimeLast(small()), nn.Sequential(nn.Linear(6, 5), Neuron(1024, 128, 1.0)), small().blocks[0]],
    ids=["network", "time last", "neuron", "block"],
)
def test_blocks_and_neurons_are_refused_with_the_file_to_export(module: nn.Module) -> None:
    with pytest.raises(UnsupportedError, match=r"lava.lib.dl.slayer\S*, allowed.*export_hdf5.*\.net file") as refused:
        capture(module, EXAMPLE)
    assert "truncated in every step" in str(refused.value)


def test_the_file_holds_what_the_module_computes_and_a_float_graph_does_not(shared_data: Path) -> None:
    """784-128-64-10 as trained: every spike of the modules is in the file's integers, not in the float equation."""
    net = open_net(shared_data / "lava" / "mnist_128_64_10.net")
    pixels, _ = mnist(shared_data)
    spikes = rate_coded(pixels[:60], 32)
    made = net.integers(Place(GENERIC.name, GENERIC.conventions, GENERIC.formats["threshold"]))
    assert made is not None
    integers, floats = execute(made.graph, spikes), execute(net.graph(), spikes)
    x, wrong = torch.from_numpy(spikes).double().transpose(1, 2), 0
    for behind, (layer, block) in enumerate(zip(net.layers.layers, blocks(net), strict=True), start=1):
        x = block(x)
        found = x.transpose(1, 2).numpy()[:, behind:]
        assert found.any()
        assert np.array_equal(integers.spikes[layer.name][:, :-behind], found)
        wrong += int((floats.spikes[layer.name][:, :-behind] != found).sum())
    assert wrong > 0, "then a float graph would do, and the refusal would be wrong"
