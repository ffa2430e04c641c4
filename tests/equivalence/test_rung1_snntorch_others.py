"""Rung 1 for snnTorch's recurrent neurons, Lapicque and Alpha: every option exact or refused, wrong mappings caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

from snnc.capture import Captured, capture, probe
from snnc.errors import UnsupportedError
from snnc.ir import Affine, Conv, Delay, Node, Scale
from snnc_reference.execute import execute

torch.set_num_threads(1)
STEPS = 14
EXAMPLE = (np.random.default_rng(5).random((3, STEPS, 6)) < 0.5).astype(np.int8)

RECURRENT: dict[str, Callable[..., nn.Module]] = {
    "rleaky": lambda **o: snntorch.RLeaky(beta=0.8, linear_features=5, **o),
    "rleaky-one-to-one": lambda **o: snntorch.RLeaky(beta=0.8, all_to_all=False, V=torch.linspace(-1, 1, 5), **o),
    "rleaky-scalar": lambda **o: snntorch.RLeaky(beta=0.8, all_to_all=False, V=-0.7, learn_recurrent=False, **o),
    "rsynaptic": lambda **o: snntorch.RSynaptic(alpha=0.6, beta=0.7, linear_features=5, **o),
    "rsynaptic-scalar": lambda **o: snntorch.RSynaptic(alpha=0.6, beta=0.7, all_to_all=False, V=0.5, **o),
}
MAPPED = {
    ("subtract", True): ("subtract", 1), ("zero", True): ("zero", 1), ("none", True): ("none", 0),
    ("zero", False): ("zero", 0), ("none", False): ("none", 0),
}  # fmt: skip


class Loop(nn.Module):
    """The loop of the snnTorch tutorials, [T, B, ...]; spikes and states go back by hand or stay hidden."""

    def __init__(self, lif: nn.Module, *, hidden: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.lif, self.hidden = nn.Linear(6, 5), lif, hidden
        self.fc.weight.data = torch.randn(5, 6) * 0.8
        if isinstance(getattr(lif, "recurrent", None), nn.Linear):
            lif.recurrent.weight.data = torch.randn(5, 5) * 0.6
            lif.recurrent.bias.data = torch.rand(5) * 0.2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = self.lif.reset_mem()
        carried = state if isinstance(state, tuple) else (state,)
        own = isinstance(self.lif, (snntorch.RLeaky, snntorch.RSynaptic))
        found = []
        for x_t in x:
            if self.hidden:
                spikes = self.lif(self.fc(x_t))
            else:
                out = self.lif(self.fc(x_t), *carried)
                spikes, carried = out[0], out if own else out[1:]
            found.append(spikes)
        return torch.stack(found)


def changed(captured: Captured, **values: Any) -> Captured:
    node = captured.graph.neurons[0]
    return replace(captured, graph=captured.graph.replace_node(replace(node, **values)))


def check(module: nn.Module, example: np.ndarray = EXAMPLE) -> Captured:
    captured = capture(module, example)
    result = probe(module, captured, example, execute)
    assert result.equal, result
    assert execute(captured.graph, example).spikes[captured.graph.neurons[0].name].mean() > 0.02
    return captured


CASES = [
    (kind, mechanism, delay)
    for kind, (mechanism, delay) in product(RECURRENT, MAPPED)
    if delay or "rsynaptic" not in kind  # its forward fails on states of its own making, see the test below
]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(("kind", "mechanism", "delay"), CASES)
def test_recurrent_neurons_feed_back_one_step_later(kind: str, mechanism: str, delay: bool, hidden: bool) -> None:
    lif = RECURRENT[kind](reset_mechanism=mechanism, reset_delay=delay, init_hidden=hidden)
    module = Loop(lif, hidden=hidden)
    captured = check(module)
    node = captured.graph.neurons[0]
    assert (node.reset_v, node.reset_delay) == MAPPED[mechanism, delay]
    (edge,) = (e for e in captured.graph.edges if e.delay)
    assert (edge.source, edge.target, edge.delay) == ("lif", "lif_recurrent", 1)
    back = captured.graph["lif_recurrent"]
    assert not probe(module, two_steps(captured), EXAMPLE, execute).equal
    overwritten = isinstance(back, Scale) and kind.startswith("rleaky") and (mechanism, delay) == ("zero", True)
    muted_result = probe(module, muted(captured, back), EXAMPLE, execute)
    assert muted_result.equal == overwritten, "only a late reset to zero takes away what a neuron sends itself"
    if mechanism != "none":
        assert not probe(module, changed(captured, reset_delay=1 - node.reset_delay), EXAMPLE, execute).equal


def two_steps(captured: Captured) -> Captured:
    edges = tuple(replace(e, delay=2) if e.delay else e for e in captured.graph.edges)
    return replace(captured, graph=replace(captured.graph, edges=edges))


def muted(captured: Captured, back: Node) -> Captured:
    assert isinstance(back, (Affine, Scale))
    silent = replace(back, weight=np.zeros((5, 5))) if isinstance(back, Affine) else replace(back, gain=0.0)
    return replace(captured, graph=captured.graph.replace_node(silent))


def test_rsynaptic_throws_its_immediate_reset_away() -> None:
    """With reset_delay=False its forward needs spikes in the shape of the input and then ignores what it computed."""

    class Started(Loop):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.lif.reset_mem()
            carried = [torch.zeros(x.shape[1], 5)] * 3
            found = []
            for x_t in x:
                carried = self.lif(self.fc(x_t), *carried)
                found.append(carried[0])
            return torch.stack(found)

    module = Started(RECURRENT["rsynaptic"](reset_delay=False))
    captured = check(module)
    assert captured.graph.neurons[0].reset_delay == 1
    assert not probe(module, changed(captured, reset_delay=0), EXAMPLE, execute).equal


def test_subtract_without_delay_is_refused_for_rleaky() -> None:
    with pytest.raises(UnsupportedError, match="reset_delay is False with reset_mechanism='subtract'"):
        capture(Loop(RECURRENT["rleaky"](reset_delay=False)), EXAMPLE)


class Images(nn.Module):
    """Convolutional recurrence."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.lif = snntorch.RLeaky(beta=0.7, conv2d_channels=3, kernel_size=(3, 5), init_hidden=True)
        for layer, size in ((self.conv, 1.0), (self.lif.recurrent, 0.3)):
            layer.weight.data = torch.randn_like(layer.weight) * size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.lif.reset_mem()
        return torch.stack([self.lif(self.conv(x[:, t])) for t in range(x.shape[1])], dim=1)


def test_convolutional_recurrence() -> None:
    example = (np.random.default_rng(1).random((2, 6, 2, 5, 5)) < 0.4).astype(np.int8)
    captured = check(Images(), example)
    back = captured.graph["lif_recurrent"]
    assert isinstance(back, Conv)
    assert back.padding == (1, 2)


class Swapped(Loop):
    """Feeds back the input's shape of zeros instead of its own spikes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, mem = self.lif.reset_mem()
        found = []
        for x_t in x:
            spikes, mem = self.lif(self.fc(x_t), torch.zeros(x.shape[1], 5), mem)
            found.append(spikes)
        return torch.stack(found)


def test_other_spikes_than_its_own_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="in step 1 its state 'spk' is a constant"):
        capture(Swapped(RECURRENT["rleaky"]()), EXAMPLE)


LAPICQUE: dict[str, dict[str, Any]] = {
    "beta": {"beta": 0.7},
    "R-C-vector": {"R": torch.tensor([1.5]), "C": torch.tensor([2.0])},
    "beta-R": {"beta": 0.7, "R": 3.0},
    "beta-C": {"beta": 0.7, "C": 2.0},
    "R-C": {"R": 2.0, "C": 1.5},
    "R-C-step": {"R": 5.0, "C": 0.5, "time_step": 0.75},
    "beta-step": {"beta": 0.7, "time_step": 0.25, "learn_beta": True},
}


@pytest.mark.parametrize("mechanism", ["subtract", "zero", "none"])
@pytest.mark.parametrize("kind", LAPICQUE)
def test_lapicque_from_all_that_it_takes(kind: str, mechanism: str) -> None:
    module = Loop(snntorch.Lapicque(reset_mechanism=mechanism, threshold=0.5, **LAPICQUE[kind]))
    module.fc.weight.data *= 2
    captured = check(module)
    node = captured.graph.neurons[0]
    assert (node.reset_v, node.reset_delay) == (mechanism, int(mechanism != "none"))
    if kind == "beta":
        assert float(np.asarray(node.decay_v)) == pytest.approx(1 + np.log(0.7), abs=1e-6)
        assert not probe(module, changed(captured, decay_v=0.7), EXAMPLE, execute).equal, "beta is not what is kept"
    if kind == "R-C-step":
        assert not probe(module, changed(captured, gain=1.0), EXAMPLE, execute).equal


def test_a_lapicque_that_overshoots_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"1 - time_step/\(R\*C\) is -0\.38629\S* to"):
        capture(Loop(snntorch.Lapicque(beta=0.25)), EXAMPLE)


def test_alpha_without_reset_is_a_synaptic_neuron_one_step_late() -> None:
    module = Loop(snntorch.Alpha(alpha=0.8, beta=0.6, threshold=0.5, reset_mechanism="none"))
    captured = check(module)
    delay = next(node for node in captured.graph.nodes if isinstance(node, Delay))
    assert delay.steps == 1
    undelayed = replace(captured, graph=captured.graph.replace_node(replace(delay, steps=2)))
    assert not probe(module, undelayed, EXAMPLE, execute).equal
    assert not probe(module, changed(captured, gain=1.0), EXAMPLE, execute).equal


@pytest.mark.parametrize("mechanism", ["subtract", "zero"])
def test_alpha_with_a_reset_is_refused_with_the_reason(mechanism: str) -> None:
    with pytest.raises(UnsupportedError, match=f"reset_mechanism is '{mechanism}', which writes into two currents"):
        capture(Loop(snntorch.Alpha(alpha=0.8, beta=0.6, reset_mechanism=mechanism)), EXAMPLE)
