"""Nets trained for a few epochs on digits in their own framework: every spike on held-out data, then two chips.

What a misread import would have made of the same net is refused by the probe, with the right reading named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import snntorch
import torch
from sklearn.datasets import load_digits
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from snnc.backend import discover
from snnc.capture import Captured, capture, probe, torch_trace
from snnc.config import Config
from snnc.evidence import Budget
from snnc.pipeline import compile_source
from snnc.sources import Source
from snnc.trace import Samples
from snnc.validation import Candidate, validate
from snnc_reference import backend as reference
from snnc_reference.execute import execute

torch.set_num_threads(1)
STEPS, EPOCHS, HELD_OUT = 8, 4, 300


@cache
def digits() -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Spikes [B, T, 64] with the pixel as probability, and labels."""
    data = load_digits()
    rng = np.random.default_rng(0)
    spikes = (rng.random((len(data.data), STEPS, 64)) < data.data[:, None] / 16).astype(np.int8)
    return spikes, data.target.astype(np.int64)


class Jelly(nn.Module):
    """SpikingJelly, all steps at once, input divided by tau."""

    def __init__(self) -> None:
        super().__init__()
        options = {"tau": 2.0, "decay_input": True, "surrogate_function": surrogate.ATan()}
        self.net = nn.Sequential(
            layer.Linear(64, 32), neuron.LIFNode(**options), layer.Linear(32, 10), neuron.LIFNode(**options)
        )
        functional.set_step_mode(self.net, "m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self.net)
        return self.net(x.transpose(0, 1)).transpose(0, 1)


class Recurrent(nn.Module):
    """snnTorch, a loop over steps, a recurrent layer that feeds itself."""

    def __init__(self) -> None:
        super().__init__()
        options = {"beta": 0.75, "reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
        self.fc, self.out = nn.Linear(64, 32), nn.Linear(32, 10)
        self.lif = snntorch.RLeaky(linear_features=32, **options)
        self.last = snntorch.Leaky(**options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.lif.reset_mem()
        self.last.reset_mem()
        found = [self.last(self.out(self.lif(self.fc(x[:, t])))) for t in range(x.shape[1])]
        return torch.stack(found, dim=1)


@dataclass(frozen=True)
class Trained:
    module: nn.Module
    captured: Captured
    samples: Samples
    accuracy: float


@cache
def trained(make: Callable[[], nn.Module]) -> Trained:
    torch.manual_seed(0)
    module, (spikes, labels) = make(), digits()
    x, y = torch.from_numpy(spikes[:-HELD_OUT].astype(np.float32)), torch.from_numpy(labels[:-HELD_OUT])
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[batch]).mean(dim=1) * 5, y[batch]).backward()
            optimizer.step()
    held = Samples(spikes[-HELD_OUT:], labels[-HELD_OUT:])
    with torch.no_grad():
        answer = module(torch.from_numpy(held.spikes.astype(np.float32))).sum(dim=1).argmax(dim=1).numpy()
    return Trained(module, capture(module, held.spikes[:8]), held, float((answer == held.labels).mean()))


MAKES = {"spikingjelly": Jelly, "snntorch": Recurrent}


@pytest.mark.parametrize("framework", MAKES)
def test_every_spike_on_held_out_data(framework: str) -> None:
    net = trained(MAKES[framework])
    assert net.accuracy > 0.8, "an untrained net would prove little"
    left = torch_trace(net.module, net.captured, net.samples.spikes)
    right = execute(net.captured.graph, net.samples.spikes)
    for name in net.captured.populations:
        assert np.array_equal(left.spikes[name], right.spikes[name])
        assert 0.01 < right.spikes[name].mean() < 0.9
    assert probe(net.module, net.captured, net.samples.spikes[:16], execute).equal


@pytest.mark.parametrize("framework", MAKES)
def test_compiled_for_two_chips_and_validated(framework: str) -> None:
    net = trained(MAKES[framework])
    source = Source(framework, "0", net.captured.graph, net.samples.head(64))
    registry = discover()
    config = Config().override("compile", targets=("loihi1", "spinnaker1"))
    made = compile_source(source, config, registry)
    candidates = [Candidate(b.target.name, b.program, b.backend, b.quantized.scales, None) for b in made.builds]
    found = validate(made.graph, candidates, net.samples.head(64), reference, budget=Budget(8.0, 0.05)).evidence
    assert found.passed, found.violations
    exact = {rung.target: rung for rung in found.rungs if rung.rung == 5}
    assert set(exact) >= {"loihi1", "spinnaker1"}
    assert all(rung.passed and rung.compared > 0 and not rung.differing for rung in exact.values())


CONTROLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "reset order, SpikingJelly": ("spikingjelly", {"reset_delay": 1}, "matches with reset in the step of the spike"),
    "reset kind, SpikingJelly": ("spikingjelly", {"reset_v": "subtract"}, "matches with hard reset to 0"),
    "scaled tau, SpikingJelly": ("spikingjelly", {"decay_v": 0.9}, "matches with decay_v 0.5, input times 0.5 in"),
    "dropped decay_input": ("spikingjelly", {"gain": 1.0}, "matches with the input scaled by 1 - decay"),
    "reset order, snnTorch": ("snntorch", {"reset_delay": 1}, "matches with reset in the step of the spike"),
    "reset kind, snnTorch": ("snntorch", {"reset_v": "subtract"}, "matches with hard reset to 0"),
    "scaled tau, snnTorch": ("snntorch", {"decay_v": 0.75**0.001}, "matches with decay_v: tau 1000 times shorter"),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_a_misread_import_is_refused_and_explained(control: str) -> None:
    framework, wrong, explanation = CONTROLS[control]
    net = trained(MAKES[framework])
    graph = net.captured.graph
    for node in graph.neurons:
        graph = graph.replace_node(replace(node, **wrong))
    result = probe(net.module, replace(net.captured, graph=graph), net.samples.spikes[:6], execute)
    assert result.differing > 0
    assert result.explanation.startswith(explanation)
