"""Rung 1 for models that take one image and repeat it over time themselves, as SpikingJelly's examples do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from equivalence.trained_digits import deploy
from snnc.capture import capture, probe
from snnc.errors import ModelError, UnsupportedError
from snnc.trace import Probes, Samples
from snnc_reference.execute import execute

torch.set_num_threads(1)
STEPS = 5
IMAGES = np.random.default_rng(0).random((3, 1, 1, 6, 6)) * 4
EXAMPLE = np.repeat(IMAGES, STEPS, axis=1)


def body(mode: str) -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(
        layer.Conv2d(1, 3, 3, bias=False), layer.BatchNorm2d(3), neuron.IFNode(), layer.Flatten(),
        layer.Linear(48, 4), neuron.LIFNode(tau=1.5),
    )  # fmt: skip
    module[1].running_mean.fill_(0.1)
    module[4].weight.data *= 3
    functional.set_step_mode(module, mode)
    return module


class Sequences(nn.Module):
    """All steps in one call, repeated in one of the ways that people write."""

    def __init__(self, repeat: Callable[[torch.Tensor], torch.Tensor], dim: int = 0) -> None:
        super().__init__()
        self.body, self.repeat, self.dim = body("m"), repeat, dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.repeat(x)
        return self.body(out.transpose(0, 1) if self.dim else out).mean(0)


class Loop(nn.Module):
    """What has no state is computed once, what has is called for every step."""

    def __init__(self, steps: int = STEPS) -> None:
        super().__init__()
        self.static, self.rest, self.steps = body("s")[:2], body("s")[2:], steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.static(x)
        out = self.rest(x)
        for _ in range(1, self.steps):
            out = out + self.rest(x)
        return out / self.steps


MODELS: dict[str, Callable[[], nn.Module]] = {
    "repeat": lambda: Sequences(lambda x: x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)),
    "repeat adds the axis": lambda: Sequences(lambda x: x.repeat(STEPS, 1, 1, 1, 1)),
    "expand": lambda: Sequences(lambda x: x.unsqueeze(0).expand(STEPS, -1, -1, -1, -1)),
    "batch first": lambda: Sequences(lambda x: x.unsqueeze(1).repeat(1, STEPS, 1, 1, 1), 1),
    "stack": lambda: Sequences(lambda x: torch.stack([x] * STEPS)),
    "loop": Loop,
}  # fmt: skip


def own_counts(module: nn.Module) -> np.ndarray:
    """What the model answers as the user calls it: with images [B, C, H, W]."""
    functional.reset_net(module)
    with torch.no_grad():
        rates = module.eval().double()(torch.from_numpy(IMAGES[:, 0]))
    functional.reset_net(module)
    return np.rint(rates.numpy() * STEPS).astype(int)


@pytest.mark.parametrize("name", MODELS)
def test_a_repeated_image_is_a_constant_input(name: str) -> None:
    module = MODELS[name]()
    captured = capture(module, EXAMPLE)
    assert (captured.layout, captured.graph.inputs[0].encoding) == ("still", "direct")
    assert probe(module, captured, EXAMPLE, execute).equal
    trace = execute(captured.graph, EXAMPLE, Probes())
    last = captured.graph.neurons[-1]
    want = own_counts(module)
    assert len(np.unique(want)) > 2
    assert np.array_equal(trace.counts(last.name), want)
    wrong = replace(captured, graph=captured.graph.replace_node(replace(last, decay_v=last.decay_v * 0.9)))
    assert not probe(module, wrong, EXAMPLE, execute).equal
    late = execute(captured.graph, np.concatenate([0 * EXAMPLE[:, :1], EXAMPLE[:, 1:]], axis=1))
    assert not np.array_equal(late.counts(last.name), want), "the first step counts, too"


def test_every_way_gives_one_network() -> None:
    digests = {capture(make(), EXAMPLE).graph.neurons[-1].params()["decay_v"].tobytes() for make in MODELS.values()}
    counts = {own_counts(make()).tobytes() for make in MODELS.values()}
    assert len(digests) == len(counts) == 1


def test_images_that_move_are_not_taken_for_one() -> None:
    module = MODELS["repeat"]()
    captured = capture(module, EXAMPLE)
    with pytest.raises(ModelError, match=r"takes one value and repeats it.*change from step to step"):
        probe(module, captured, np.random.default_rng(1).random(EXAMPLE.shape), execute)


def test_an_example_of_another_length_is_refused_with_the_right_one() -> None:
    with pytest.raises(UnsupportedError, match=r"itself, 5 times, and the example has 7 steps: give it 5 steps"):
        capture(MODELS["repeat"](), np.repeat(IMAGES, 7, axis=1))
    with pytest.raises(UnsupportedError, match=r"calls it 5 times.*the example should have as many steps"):
        capture(Loop(), np.repeat(IMAGES, 7, axis=1))


class Growing(Loop):
    """Another input in every step is no constant input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.static(x)
        out = self.rest(x)
        for step in range(1, self.steps):
            out = out + self.rest(x * (1 + step))
        return out


class Twice(nn.Module):
    """One neuron module in five places of one step."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(36, 36), neuron.LIFNode()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [self.lif(self.fc(x.flatten(1)))]
        for _ in range(1, STEPS):
            found.append(self.lif(self.fc(found[-1])))
        return torch.stack(found).mean(0)


@pytest.mark.parametrize("make", [Growing, Twice])
def test_what_differs_between_calls_is_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(UnsupportedError, match=r"all steps must do the same"):
        capture(make(), EXAMPLE)


def test_from_a_repeated_image_to_a_chip() -> None:
    captured = capture(MODELS["repeat"](), EXAMPLE)
    _, evidence = deploy(captured.graph, Samples(EXAMPLE), "loihi2")
    assert {r.target: r.differing for r in evidence.rungs if r.rung == 5} == {"loihi2": 0}
