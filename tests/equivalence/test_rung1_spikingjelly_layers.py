"""Rung 1 for SpikingJelly's layers, norms and containers in both step modes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from snnc.capture import Captured, capture, probe
from snnc.errors import UnsupportedError
from snnc.ir import Conv, Delay, Scale, TimeScale
from snnc_reference.execute import execute

torch.set_num_threads(1)
STEPS = 6
IMAGES = (np.random.default_rng(2).random((3, STEPS, 2, 6, 6)) < 0.4).astype(np.int8)
VECTORS = (np.random.default_rng(3).random((3, STEPS, 6)) < 0.5).astype(np.int8)


def check(module: nn.Module, example: np.ndarray) -> Captured:
    captured = capture(module, example)
    result = probe(module, captured, example, execute)
    assert result.equal, result
    ran = execute(captured.graph, example)
    assert min(ran.spikes[node.name].mean() for node in captured.graph.neurons) > 0.01
    return captured


def trained(norm: nn.Module) -> nn.Module:
    """Statistics and parameters that are not those of the start."""
    norm.running_mean = torch.linspace(-0.5, 0.5, norm.num_features)
    norm.running_var = torch.linspace(0.5, 2.0, norm.num_features)
    norm.weight.data = torch.linspace(0.5, 1.5, norm.num_features)
    norm.bias.data = torch.linspace(0.3, 0.1, norm.num_features)
    return norm


def seeded(module: nn.Module) -> nn.Module:
    torch.manual_seed(4)
    for part in module.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            part.weight.data = torch.randn_like(part.weight) * 1.5 + 0.25
            if part.bias is not None:
                part.bias.data = torch.rand_like(part.bias) * 0.5
    return module


def network(*layers: nn.Module, mode: str) -> nn.Module:
    made = seeded(nn.Sequential(*layers))
    functional.set_step_mode(made, mode)
    return made


@pytest.mark.parametrize("mode", ["s", "m"])
def test_a_convolutional_net(mode: str) -> None:
    module = network(
        layer.Conv2d(2, 4, 3, padding=1), trained(layer.BatchNorm2d(4)), neuron.LIFNode(), layer.MaxPool2d(2),
        layer.WSConv2d(4, 3, 3, padding=1, bias=False), neuron.IFNode(), layer.AvgPool2d(3), layer.Flatten(),
        layer.Dropout(0.5), layer.Linear(3, 4), trained(layer.BatchNorm1d(4)), neuron.LIFNode(), mode=mode,
    )  # fmt: skip
    captured = check(module, IMAGES)
    assert captured.layout == ("time_batch" if mode == "m" else "step")
    conv = next(n for n in captured.graph.nodes if isinstance(n, Conv) and n.bias is None)
    raw = replace(conv, weight=module[4].weight.detach().numpy().astype(np.float64))
    unnormed = replace(captured, graph=captured.graph.replace_node(raw))
    assert not probe(module, unnormed, IMAGES, execute).equal, "weight standardisation makes no difference"


@pytest.mark.parametrize("mode", ["s", "m"])
def test_one_spatial_axis(mode: str) -> None:
    signals = IMAGES.reshape(3, STEPS, 2, 36)
    module = network(
        layer.Conv1d(2, 3, 3, padding=1), trained(layer.BatchNorm1d(3)), neuron.IFNode(0.25), layer.MaxPool1d(2),
        layer.AvgPool1d(3), layer.Flatten(1), layer.WSLinear(18, 3), neuron.IFNode(0.25), mode=mode,
    )  # fmt: skip
    check(module, signals)


CONTAINERS: dict[str, Callable[[], nn.Module]] = {
    "sequence-to-ann": lambda: nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(2, 3, 3), trained(nn.BatchNorm2d(3))), neuron.IFNode(step_mode="m"),
        layer.SeqToANNContainer(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3, 4)), neuron.LIFNode(step_mode="m"),
    ),
    "multi-step": lambda: layer.MultiStepContainer(
        nn.Conv2d(2, 3, 3), neuron.IFNode(), nn.Flatten(), nn.Linear(48, 4), neuron.LIFNode()
    ),
    "step-mode": lambda: nn.Sequential(
        layer.StepModeContainer(False, "m", nn.Conv2d(2, 3, 3), nn.Flatten()),
        layer.StepModeContainer(True, "m", neuron.IFNode(), nn.Linear(48, 4), neuron.IFNode()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers_are_looked_into(kind: str) -> None:
    module = seeded(CONTAINERS[kind]())
    assert check(module, IMAGES).layout == "time_batch"


class Folded(nn.Module):
    """Time and batch put into one axis by hand, [B, T, ...]."""

    def __init__(self, *, wrong: bool = False) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv, self.fc = nn.Conv2d(2, 3, 3), nn.Linear(48, 4)
        self.conv.weight.data *= 3
        self.fc.weight.data *= 3
        self.lif = neuron.IFNode(step_mode="m")
        self.wrong = wrong

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, steps = x.shape[:2]
        flat = self.fc(self.conv(x.flatten(0, 1)).view(batch * steps, -1) * 1.5)
        if self.wrong:
            return self.lif(flat)
        return self.lif(flat.view(batch, steps, -1).transpose(0, 1))


def test_time_folded_into_the_batch_is_unfolded() -> None:
    assert check(Folded(), IMAGES).layout == "batch_time"
    with pytest.raises(UnsupportedError, match="takes all steps in one call"):
        capture(Folded(wrong=True), IMAGES)


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("kind", ["element-wise", "linear"])
def test_recurrent_containers_have_an_edge_of_one_step(kind: str, mode: str) -> None:
    torch.manual_seed(5)
    body = nn.Sequential(nn.Linear(6, 6), neuron.LIFNode())
    body[0].weight.data *= 6
    if kind == "element-wise":
        loop: nn.Module = layer.ElementWiseRecurrentContainer(body, lambda y, x: x - y, step_mode=mode)
    else:
        loop = layer.LinearRecurrentContainer(body, 6, 6, step_mode=mode)
        loop.rc.weight.data *= 3
    captured = check(nn.Sequential(loop), VECTORS)
    assert [edge.source for edge in captured.graph.edges if edge.delay == 1] == [captured.graph.neurons[0].name]
    if kind == "element-wise":
        back = next(node for node in captured.graph.nodes if isinstance(node, Scale))
        cut = replace(captured, graph=captured.graph.replace_node(replace(back, gain=0.0)))
        assert not probe(nn.Sequential(loop), cut, VECTORS, execute).equal


@pytest.mark.parametrize("mode", ["s", "m"])
def test_delays_become_delay_nodes(mode: str) -> None:
    module = network(layer.Linear(6, 5), neuron.IFNode(), layer.Delay(2), layer.Linear(5, 4), neuron.IFNode(),
                     mode=mode)  # fmt: skip
    captured = check(module, VECTORS)
    delay = next(node for node in captured.graph.nodes if isinstance(node, Delay))
    wrong = replace(captured, graph=captured.graph.replace_node(replace(delay, steps=1)))
    assert not probe(module, wrong, VECTORS, execute).equal


def test_a_threshold_dependent_norm_is_an_ordinary_one_after_training() -> None:
    norm = trained(layer.ThresholdDependentBatchNorm2d(1.0, 1.0, 3))
    module = network(layer.Conv2d(2, 3, 3), norm, neuron.IFNode(), mode="m")
    scale = next(node for node in check(module, IMAGES).graph.nodes if isinstance(node, Scale))
    assert np.asarray(scale.gain).shape == (3, 1, 1)


def test_a_temporal_norm_is_recorded_as_one_gain_per_step() -> None:
    """Executed in float64 and compared by the probe, and by hand."""
    norm = trained(layer.TemporalEffectiveBatchNorm1d(STEPS, 5))
    norm.scale.data = torch.linspace(0.4, 1.6, STEPS)
    module = network(layer.Linear(6, 5), norm, neuron.IFNode(v_reset=None), mode="m")
    captured = capture(module, VECTORS)
    graph = captured.graph
    steps = next(node for node in graph.nodes if isinstance(node, TimeScale))
    scale = next(node for node in graph.nodes if isinstance(node, Scale))
    assert [(e.source, e.target) for e in graph.edges][1:4] == [
        (graph.order[1], scale.name), (scale.name, steps.name), (steps.name, captured.graph.neurons[0].name),
    ]  # fmt: skip
    assert probe(module, captured, VECTORS, execute).equal
    even = replace(captured, graph=graph.replace_node(replace(steps, gain=np.ones((STEPS, 1)))))
    assert not probe(module, even, VECTORS, execute).equal
    late = replace(captured, graph=graph.replace_node(replace(steps, gain=np.roll(np.asarray(steps.gain), 1))))
    assert not probe(module, late, VECTORS, execute).equal
    assert (captured.layout, np.asarray(steps.gain).shape) == ("time_batch", (STEPS, 1))
    weight, bias = (module[0].state_dict()[key].double().numpy() for key in ("weight", "bias"))
    current = (VECTORS @ weight.T + bias) * np.asarray(scale.gain).ravel() + np.asarray(scale.shift).ravel()
    expected = run_integrators(current * np.asarray(steps.gain))
    with torch.no_grad():
        functional.reset_net(module)
        spikes = module.double().eval()(torch.from_numpy(VECTORS.astype(np.float64)).transpose(0, 1)).transpose(0, 1)
    assert np.array_equal(spikes.numpy(), expected)
    assert expected.mean() > 0.05
    assert not np.array_equal(spikes.numpy(), run_integrators(current)), "the gain per step makes no difference"


def run_integrators(current: np.ndarray) -> np.ndarray:
    v, sent = np.zeros_like(current[:, 0]), []
    for step in range(STEPS):
        v = v + current[:, step]
        sent.append((v >= 1).astype(np.float64))
        v = v - sent[-1]
    return np.stack(sent, axis=1)


@pytest.mark.parametrize("mode", ["s", "m"])
def test_a_norm_with_statistics_of_each_step_is_refused(mode: str) -> None:
    module = network(layer.Linear(6, 5), layer.BatchNormThroughTime1d(STEPS, 5), neuron.IFNode(), mode=mode)
    with pytest.raises(UnsupportedError, match=r"statistics is own mean and variance in each of 6 steps.*Temporal"):
        capture(module, VECTORS)
