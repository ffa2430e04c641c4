"""Rung 1 for snnTorch: every reset mechanism, spike for spike and state for state, and the wrong mapping caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import snntorch
import torch
from snntorch import surrogate, utils
from torch import nn

from snnc.capture import Captured, capture, probe, torch_trace
from snnc.errors import UnsupportedError
from snnc.ir import Neuron
from snnc_reference.execute import execute

torch.set_num_threads(1)
STEPS = 14
EXAMPLE = (np.random.default_rng(5).random((3, STEPS, 6)) < 0.5).astype(np.int8)

KINDS = {
    "leaky": lambda **options: snntorch.Leaky(beta=0.9, **options),
    "synaptic": lambda **options: snntorch.Synaptic(alpha=0.6, beta=0.8, **options),
}
MAPPED = {
    ("leaky", "subtract", True): ("subtract", 1),
    ("leaky", "zero", True): ("zero", 0),
    ("leaky", "none", True): ("none", 0),
    ("leaky", "zero", False): ("zero", 0),
    ("leaky", "none", False): ("none", 0),
    ("synaptic", "subtract", True): ("subtract", 1),
    ("synaptic", "zero", True): ("zero", 1),
    ("synaptic", "none", True): ("none", 0),
    ("synaptic", "zero", False): ("zero", 0),
    ("synaptic", "none", False): ("none", 0),
}


class Net(nn.Module):
    """The loop of the snnTorch tutorials: state passed by hand, [T, B, ...]."""

    def __init__(self, kind: str, *, weight: float = 0.8, **options: object) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc1, self.fc2 = nn.Linear(6, 7), nn.Linear(7, 4)
        self.lif1, self.lif2 = KINDS[kind](**options), KINDS[kind](**options)
        self.kind = kind
        for layer in (self.fc1, self.fc2):
            layer.weight.data = torch.randn(layer.weight.shape) * weight

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states = [lif.init_leaky() if self.kind == "leaky" else lif.init_synaptic() for lif in (self.lif1, self.lif2)]
        one, two = [s if isinstance(s, tuple) else (s,) for s in states]
        spikes, membranes = [], []
        for step in range(x.size(0)):
            first, *one = self.lif1(self.fc1(x[step]), *one)
            second, *two = self.lif2(self.fc2(first), *two)
            spikes.append(second)
            membranes.append(two[-1])
        return torch.stack(spikes, dim=0), torch.stack(membranes, dim=0)


def rounded(module: Net) -> Net:
    """Numbers with few bits, so that float32 is exact too."""
    for layer in (module.fc1, module.fc2):
        layer.weight.data = torch.round(layer.weight.data * 4) / 4
        layer.bias.data = torch.round(layer.bias.data * 4) / 4
    for lif in (module.lif1, module.lif2):
        lif.beta.fill_(0.5)
        if module.kind == "synaptic":
            lif.alpha.fill_(0.5)
    return module


def flipped(captured: Captured) -> Captured:
    graph = captured.graph
    for node in graph.neurons:
        graph = graph.replace_node(replace(node, reset_delay=1 - node.reset_delay))
    return replace(captured, graph=graph)


@pytest.mark.parametrize(("kind", "mechanism", "delay"), MAPPED)
def test_every_reset_is_exact(kind: str, mechanism: str, delay: bool) -> None:
    module = Net(kind, reset_mechanism=mechanism, reset_delay=delay)
    captured = capture(module, EXAMPLE)
    nodes = captured.graph.neurons
    assert {(n.reset_v, n.reset_delay, n.fires) for n in nodes} == {(*MAPPED[kind, mechanism, delay], "gt")}
    result = probe(module, captured, EXAMPLE, execute)
    assert result.equal, result
    assert captured.layout == "time_batch"
    rates = [execute(captured.graph, EXAMPLE).spikes[n.name].mean() for n in nodes]
    assert min(rates) > 0.02
    if mechanism != "none":
        wrong = probe(module, flipped(captured), EXAMPLE, execute)
        assert wrong.differing > 0, "the other reset delay is not noticed"


@pytest.mark.parametrize("kind", KINDS)
def test_the_step_by_step_source_of_snntorch_agrees(kind: str) -> None:
    """Not through our hooks: snnTorch's own float32 loop with exact numbers against the reference."""
    module = rounded(Net(kind, reset_mechanism="subtract"))
    captured = capture(module, EXAMPLE)
    with torch.no_grad():
        spikes, _ = module(torch.from_numpy(EXAMPLE.astype(np.float32)).transpose(0, 1))
    expected = spikes.transpose(0, 1).numpy().astype(np.int8)
    assert np.array_equal(execute(captured.graph, EXAMPLE).spikes["lif2"], expected)
    assert not np.array_equal(execute(flipped(captured).graph, EXAMPLE).spikes["lif2"], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_subtract_without_delay_is_refused_because_strong_drive_skips_spikes(kind: str) -> None:
    module = Net(kind, weight=3.0, reset_mechanism="subtract", reset_delay=False)
    with pytest.raises(UnsupportedError, match=r"lif1: reset_delay is False with reset_mechanism='subtract'"):
        capture(module, EXAMPLE)
    accepted = capture(Net(kind, weight=3.0, reset_mechanism="subtract"), EXAMPLE)
    immediate = flipped(accepted)
    result = probe(module, immediate, EXAMPLE, execute)
    assert result.differing > 0, "then an immediate subtraction would do, and the refusal would be wrong"


def test_per_neuron_and_learned_parameters() -> None:
    torch.manual_seed(0)
    beta = torch.linspace(-0.2, 1.2, 7)
    threshold = torch.linspace(0.5, 1.5, 7)
    lif = snntorch.Leaky(beta=beta, threshold=threshold, learn_beta=True, learn_threshold=True, init_hidden=True,
                         spike_grad=surrogate.fast_sigmoid(slope=25))  # fmt: skip
    module = nn.Sequential(nn.Linear(6, 7), lif)
    module[0].weight.data *= 3
    captured = capture(module, EXAMPLE)
    node = captured.graph["leaky1"]
    assert isinstance(node, Neuron)
    assert np.asarray(node.decay_v).min() == 0
    assert np.asarray(node.decay_v).max() == 1
    assert probe(module, captured, EXAMPLE, execute).equal
    unclamped = replace(node, decay_v=beta.numpy().astype(np.float64))
    wrong = replace(captured, graph=captured.graph.replace_node(unclamped))
    assert not probe(module, wrong, EXAMPLE, execute).equal


class Hidden(nn.Module):
    """init_hidden, reset by snnTorch's own helper, which resets every neuron ever made."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.lif1 = nn.Conv2d(1, 2, 3), snntorch.Leaky(beta=0.8, init_hidden=True)
        self.fc, self.lif2 = nn.Linear(18, 3), snntorch.Leaky(beta=0.8, init_hidden=True, output=True)
        self.conv.weight.data *= 3
        self.fc.weight.data *= 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        utils.reset(self)
        found = []
        for t in range(x.shape[1]):
            spikes, _ = self.lif2(self.fc(self.lif1(self.conv(x[:, t])).flatten(1)))
            found.append(spikes)
        return torch.stack(found, dim=1)


def test_hidden_states_and_the_global_reset() -> None:
    module = Hidden()
    samples = (np.random.default_rng(1).random((2, 6, 1, 5, 5)) < 0.5).astype(np.int8)
    module(torch.from_numpy(samples.astype(np.float32)))
    before = module.lif1.mem.clone()
    instances = snntorch.SpikingNeuron.instances
    captured = capture(module, samples)
    assert probe(module, captured, samples, execute).equal
    assert torch.equal(module.lif1.mem, before), "the user's state was touched"
    assert module.lif1.mem.grad_fn is not None
    assert snntorch.SpikingNeuron.instances is instances
    assert any(part is module.lif1 for part in instances)


class Feedback(nn.Module):
    """Spikes passed back by hand, two ways to start."""

    def __init__(self, *, start: str, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fc, self.rec = nn.Linear(6, 5), nn.Linear(5, 5, bias=bias)
        self.lif = snntorch.Leaky(beta=0.9)
        self.start = start
        self.fc.weight.data *= 3
        self.rec.weight.data *= 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem = self.lif.reset_mem()
        spikes = None if self.start == "none" else torch.zeros(x.size(0), 5)
        found = []
        for x_t in x.unbind(dim=1):
            current = self.fc(x_t)
            if spikes is not None:
                current = current + self.rec(spikes)
            spikes, mem = self.lif(current, mem)
            found.append(spikes)
        return torch.stack(found, dim=1)


@pytest.mark.parametrize(("start", "bias"), [("zeros", True), ("zeros", False), ("none", False)])
def test_spikes_passed_back_are_a_recurrent_edge(start: str, bias: bool) -> None:
    module = Feedback(start=start, bias=bias)
    captured = capture(module, EXAMPLE)
    assert [(e.source, e.target, e.delay) for e in captured.graph.edges if e.delay] == [("lif", "rec", 1)]
    assert probe(module, captured, EXAMPLE, execute).equal


def test_a_bias_that_is_missing_in_the_first_step_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"lif: step 0 computes fc\(input\[t\]\), step 13 computes"):
        capture(Feedback(start="none", bias=True), EXAMPLE)


def test_states_are_recorded_in_logical_time() -> None:
    module = rounded(Net("synaptic"))
    captured = capture(module, EXAMPLE)
    trace = torch_trace(module, captured, EXAMPLE)
    with torch.no_grad():
        _, membranes = module(torch.from_numpy(EXAMPLE.astype(np.float32)).transpose(0, 1))
    expected = membranes.transpose(0, 1).numpy().astype(np.float64)
    assert np.allclose(trace.states["lif2", "v"], expected, rtol=0, atol=1e-5)
    assert not np.allclose(trace.states["lif2", "v"][:, 1:], expected[:, :-1], rtol=0, atol=1e-5)
    assert set(trace.states) == {(n, k) for n in ("lif1", "lif2") for k in ("u", "v")}
    assert trace.spikes["lif1"].shape == (3, STEPS, 7)
    assert (trace.spikes["lif1"].dtype, trace.target) == (np.int8, "float")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graded_spikes_factor": 2.0}, "graded_spikes_factor is 2.0, allowed is 1"),
        ({"state_quant": lambda mem: mem}, "state_quant"),
        ({"spike_grad": torch.sigmoid}, "spike_grad is no step"),
    ],
)
def test_options_without_a_node_are_refused_by_name(options: dict[str, object], message: str) -> None:
    module = nn.Sequential(nn.Linear(6, 7), snntorch.Leaky(beta=0.9, init_hidden=True, **options))
    with pytest.raises(UnsupportedError, match=message):
        capture(module, EXAMPLE)


def test_inhibition_is_refused_by_name() -> None:
    with pytest.warns(UserWarning, match="Inhibition is an unstable feature"):
        lif = snntorch.Leaky(beta=0.9, init_hidden=True, inhibition=True)
    with pytest.raises(UnsupportedError, match="inhibition is True"):
        capture(nn.Sequential(nn.Linear(6, 7), lif), EXAMPLE)


def test_a_mechanism_assigned_later_changes_only_half_of_the_module() -> None:
    lif = snntorch.Leaky(beta=0.9, init_hidden=True)
    lif.reset_mechanism = "zero"
    with pytest.raises(UnsupportedError, match="reset_mechanism is zero with the update _base_sub"):
        capture(nn.Sequential(nn.Linear(6, 7), lif), EXAMPLE)


class Shifted(snntorch.Leaky):
    """A user's subclass with another update behind the same forward."""

    def _base_state_function(self, input_: torch.Tensor) -> torch.Tensor:
        return super()._base_state_function(input_) + 0.125


def test_other_snntorch_neurons_are_refused_with_the_adapter_to_write() -> None:
    own = "It changes _base_state_function of Leaky"
    for lif, text in ((snntorch.SLSTM(7, 7, init_hidden=True), "Gated units"), (Shifted(0.9, init_hidden=True), own)):
        with pytest.raises(UnsupportedError, match=rf"1: module type is .*{text}.*Or add an adapter: write node"):
            capture(nn.Sequential(nn.Linear(6, 7), lif), EXAMPLE)


class Miswired(nn.Module):
    """A loop that mixes up states."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 4), nn.Linear(4, 4)
        self.lif1, self.lif2 = snntorch.Leaky(beta=0.9), snntorch.Leaky(beta=0.9)
        self.fault = fault

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two = self.lif1.init_leaky(), self.lif2.init_leaky()
        if self.fault == "start":
            one = torch.ones(x.size(1), 4)
        found = []
        for x_t in x:
            if self.fault == "restart":
                one = torch.zeros(x.size(1), 4)
            first, one = self.lif1(self.fc1(x_t), one * 0.5 if self.fault == "scaled" else one)
            second, two = self.lif2(self.fc2(one if self.fault == "membrane" else first), two)
            if self.fault == "swapped":
                one, two = two, one
            found.append(second)
        return torch.stack(found)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("membrane", "fc2 is driven by the state 'mem' of lif1; only spikes travel between layers"),
        ("swapped", "lif1: in step 1 its state 'mem' is another tensor; pass the 'mem' that step 0 returned"),
        ("scaled", "driven by the state 'mem' of lif1|another tensor"),
        ("start", "lif1: in step 0 its state 'mem' is a constant that is not zero; start from zero"),
        ("restart", "lif1: in step 1 its state 'mem' is a constant, so that the state starts anew"),
    ],
)
def test_states_only_go_back_to_their_neuron(fault: str, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        capture(Miswired(fault), EXAMPLE)


def test_the_same_loop_without_a_fault_is_captured() -> None:
    module = Miswired("none")
    assert probe(module, capture(module, EXAMPLE), EXAMPLE, execute).equal
