"""Rung 1 for SpikingJelly: neurons in both step modes, spike for spike and state for state, wrong mappings caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from snnc.capture import Captured, capture, probe, torch_trace
from snnc.ir import Neuron
from snnc_reference.execute import execute

torch.set_num_threads(1)
STEPS = 12
EXAMPLE = (np.random.default_rng(5).random((3, STEPS, 6)) < 0.5).astype(np.int8)
TAU = 1.6

NEURONS: dict[str, Callable[..., nn.Module]] = {
    "if": neuron.IFNode,
    "lif": lambda **o: neuron.LIFNode(tau=TAU, decay_input=True, **o),
    "lif-whole-input": lambda **o: neuron.LIFNode(tau=TAU, decay_input=False, **o),
    "plif": lambda **o: neuron.ParametricLIFNode(init_tau=TAU, decay_input=True, **o),
    "plif-whole-input": lambda **o: neuron.ParametricLIFNode(init_tau=TAU, decay_input=False, **o),
}


def net(first: nn.Module, second: nn.Module, mode: str = "s", weight: float = 6.0) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(layer.Linear(6, 7), first, layer.Linear(7, 4), second)
    made[0].weight.data *= weight
    made[2].weight.data *= weight
    functional.set_step_mode(made, mode)
    return made


def changed(captured: Captured, **values: Any) -> Captured:
    graph = captured.graph
    for node in graph.neurons:
        graph = graph.replace_node(replace(node, **values))
    return replace(captured, graph=graph)


def check(module: nn.Module, example: np.ndarray = EXAMPLE, least: float = 0.01) -> Captured:
    """Captures, probes, and sees that the comparison was not one of silence."""
    captured = capture(module, example)
    result = probe(module, captured, example, execute)
    assert result.equal, result
    ran = execute(captured.graph, example)
    assert min(np.abs(ran.spikes[node.name]).mean() for node in captured.graph.neurons) > least
    return captured


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.25, 0.3])
@pytest.mark.parametrize("kind", NEURONS)
def test_every_neuron_and_reset_is_exact(kind: str, v_reset: float | None, mode: str) -> None:
    options = {"v_reset": v_reset, "v_threshold": 0.75, "detach_reset": mode == "m"}
    module = net(NEURONS[kind](**options), NEURONS[kind](**options), mode)
    captured = check(module)
    assert captured.layout == ("time_batch" if mode == "m" else "step")
    assert {n.reset_v for n in captured.graph.neurons} == {
        "subtract" if v_reset is None else "value" if v_reset else "zero"
    }
    assert not probe(module, changed(captured, reset_delay=1), EXAMPLE, execute).equal, "a late reset is not noticed"
    other = "zero" if v_reset is None else "subtract"
    assert not probe(module, changed(captured, reset_v=other), EXAMPLE, execute).equal, "the other reset is not noticed"
    if kind != "if":
        dropped = 1.0 if "whole" not in kind else 1 / TAU
        assert not probe(module, changed(captured, gain=dropped), EXAMPLE, execute).equal
    if v_reset and kind != "if":
        assert not probe(module, changed(captured, v_rest=0.0), EXAMPLE, execute).equal, "the resting value is lost"


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("v_reset", [None, 0.0, 0.2])
def test_the_current_based_neuron_has_no_resting_value(v_reset: float | None, mode: str) -> None:
    module = net(*(neuron.CUBALIFNode(0.5, 0.75, 0.75, v_reset) for _ in range(2)), mode, 3.0)
    captured = check(module)
    node = captured.graph.neurons[0]
    assert (float(np.asarray(node.decay_u)), float(np.asarray(node.decay_v))) == (0.5, 0.75)
    assert float(np.asarray(node.v_init)) == (v_reset or 0.0)
    assert not probe(module, changed(captured, decay_u=0.75, decay_v=0.5), EXAMPLE, execute).equal, "decays swapped"
    if v_reset:
        assert not probe(module, changed(captured, v_rest=v_reset), EXAMPLE, execute).equal
        assert not probe(module, changed(captured, v_init=0.0), EXAMPLE, execute).equal


OTHERS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "half-threshold": (lambda: neuron.HalfThresholdIFNode(0.75), {"v_init": 0.0}),
    "activation-aware": (
        lambda: neuron.ActivationAwareIFNode(torch.tensor([0.5, 0.75, 1.0, 1.25]), 0.125), {"v_init": 0.0},
    ),
    "activation-aware-hard": (lambda: neuron.ActivationAwareIFNode(0.75, -0.125, v_reset=0.0), {"reset_v": "zero"}),
    "simple-if": (lambda: neuron.SimpleIFNode(0.75, None), {"reset_v": "zero"}),
    "simple-lif": (lambda: neuron.SimpleLIFNode(TAU, True, 0.75, 0.25), {"v_init": 0.25}),
    "simple-lif-whole-input": (lambda: neuron.SimpleLIFNode(TAU, False, 0.75), {"gain": 1 / TAU}),
    "ternary-soft": (lambda: neuron.TernaryIFNode(0.75, None), {"output": "binary"}),
    "ternary-hard": (lambda: neuron.TernaryIFNode(0.75, 0.25), {"threshold_low": np.asarray(-0.5)}),
    "ternary-leaky": (lambda: neuron.TernaryLIFNode(TAU, True, 0.75, None), {"reset_v": "zero"}),
    "online-ottt": (lambda: neuron.OTTTLIFNode(TAU, v_threshold=0.75), {"reset_v": "zero"}),
    "online-sltt": (lambda: neuron.SLTTLIFNode(TAU, v_threshold=0.75), {"gain": 1.0}),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_other_integrators_are_exact(kind: str) -> None:
    make, wrong = OTHERS[kind]
    for mode in ("s",) if kind.startswith("online") else ("s", "m"):
        module = nn.Sequential(layer.Linear(6, 4), make())
        torch.manual_seed(1)
        module[0].weight.data = torch.randn(4, 6) * 1.5
        functional.set_step_mode(module, mode)
        captured = check(module)
        assert not probe(module, changed(captured, **wrong), EXAMPLE, execute).equal


def test_v_seq_of_the_multi_step_mode_is_the_recorded_membrane() -> None:
    """SpikingJelly's own record of every step, from its own float32 kernels, with numbers that float32 holds."""
    module = net(neuron.LIFNode(2.0, False, store_v_seq=True), neuron.LIFNode(2.0, False, v_reset=None), "m")
    for index in (0, 2):
        module[index].weight.data = torch.round(module[index].weight.data * 4) / 4
        module[index].bias.data = torch.round(module[index].bias.data * 4) / 4
    captured = capture(module, EXAMPLE)
    trace = torch_trace(module, captured, EXAMPLE)
    with torch.no_grad():
        spikes = module(torch.from_numpy(EXAMPLE.astype(np.float32)).transpose(0, 1))
    assert np.array_equal(trace.states["lifnode1", "v"], module[1].v_seq.transpose(0, 1).numpy())
    assert np.array_equal(execute(captured.graph, EXAMPLE).spikes["lifnode3"], spikes.transpose(0, 1).numpy())
    assert set(trace.states) == {(n, k) for n in ("lifnode1", "lifnode3") for k in ("u", "v")}
    late = execute(changed(captured, reset_delay=1).graph, EXAMPLE).spikes["lifnode3"]
    assert not np.array_equal(late, spikes.transpose(0, 1).numpy())


def test_a_learned_tau_and_a_vector_of_thresholds() -> None:
    module = net(neuron.ParametricLIFNode(), neuron.ParametricLIFNode(), "m")
    module[1].w.data = torch.tensor(-0.7)
    module[3].v_threshold = torch.tensor([0.5, 0.75, 1.0, 1.25])
    captured = check(module)
    node = captured.graph["parametriclifnode1"]
    assert isinstance(node, Neuron)
    assert float(np.asarray(node.decay_v)) == pytest.approx(1 - 1 / (1 + np.exp(0.7)), abs=1e-7)
    assert not probe(module, changed(captured, threshold=0.75), EXAMPLE, execute).equal


class Classifier(nn.Module):
    """The forward of the SpikingJelly tutorials: net over all steps, mean over time, reset inside."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net(neuron.LIFNode(TAU), neuron.LIFNode(TAU), "m", 8.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self)
        return self.net(x.transpose(0, 1)).mean(0)


def test_the_users_state_stays_and_a_reset_inside_forward_is_seen() -> None:
    module = Classifier()
    out = module(torch.from_numpy(EXAMPLE.astype(np.float32)))
    before = {name: value.clone() for name, value in module.net[1].named_memories()}
    assert before["v"].grad_fn is not None
    captured = check(module)
    assert captured.layout == "batch_time"
    assert all(torch.equal(value, module.net[1]._memories[name]) for name, value in before.items())
    assert module.net[1].v.grad_fn is not None
    assert not module.net[1].store_v_seq
    counts = execute(captured.graph, EXAMPLE).spikes[list(captured.populations)[-1]].sum(axis=1) / STEPS
    assert np.allclose(counts, out.detach().numpy(), atol=1e-6)


class Loop(nn.Module):
    """Single-step mode with the user's own loop over [B, T, ...]."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net(neuron.IFNode(v_reset=None), neuron.IFNode())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self.net)
        total = 0
        for t in range(x.shape[1]):
            total = total + self.net(x[:, t])
        return total / x.shape[1]


def test_the_loop_of_single_steps() -> None:
    assert check(Loop()).layout == "batch_time"


@pytest.mark.parametrize("kind", [surrogate.Sigmoid, surrogate.ATan, surrogate.Rect, surrogate.PiecewiseLeakyReLU])
def test_surrogates_change_gradients_only(kind: type[nn.Module]) -> None:
    check(net(*(neuron.LIFNode(TAU, surrogate_function=kind()) for _ in range(2)), "m", 8.0))


class Later(nn.Module):
    """A user's surrogate that spikes above the threshold, not on it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x > 0).to(x)


def test_a_surrogate_that_excludes_the_threshold_is_seen() -> None:
    module = nn.Sequential(nn.Linear(6, 1, bias=False), neuron.IFNode(surrogate_function=Later()))
    module[0].weight.data.fill_(0.25)
    captured = check(module)
    assert captured.graph.neurons[0].fires == "gt"
    assert not probe(module, changed(captured, fires="ge"), EXAMPLE, execute).equal
