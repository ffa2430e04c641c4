"""Rung 1 for sinabs: neurons, resets, bounds and several spikes a step, exact, and wrong mappings caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sinabs.layers as sl
import torch
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from sinabs.from_torch import from_model
from torch import nn

from equivalence.trained_digits import accuracy, deploy, held_out, train
from snnc.capture import Captured, capture, probe
from snnc.errors import UnsupportedError
from snnc.ir import Neuron
from snnc_reference.execute import execute

torch.set_num_threads(1)
STEPS = 12
EXAMPLE = (np.random.default_rng(5).random((2, STEPS, 6)) < 0.5).astype(np.int8)
IMAGES = (np.random.default_rng(6).random((2, STEPS, 1, 6, 6)) < 0.5).astype(np.int8)
LIF = partial(sl.LIF, tau_mem=8.0)
PLAIN = partial(LIF, norm_input=False)
HARD = {"spike_fn": SingleSpike, "reset_fn": MembraneReset()}


def dense(make: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 7), make(), nn.Linear(7, 4), make())


def loop(width: int) -> nn.Module:
    return nn.Linear(width, width, bias=False)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "LIF": lambda: dense(LIF),
    "LIF norm_input=False": lambda: dense(PLAIN),
    "LIF single": lambda: dense(partial(PLAIN, spike_fn=SingleSpike)),
    "LIF single hard": lambda: dense(partial(PLAIN, **HARD)),
    "LIF multi hard": lambda: dense(partial(PLAIN, reset_fn=MembraneReset())),
    "LIF tau_syn": lambda: dense(partial(PLAIN, tau_syn=4.0)),
    "LIF single tau_syn norm_input": lambda: dense(partial(LIF, tau_syn=4.0, spike_fn=SingleSpike)),
    "LIF train_alphas": lambda: dense(partial(PLAIN, train_alphas=True, tau_syn=3.0)),
    "LIF min_v_mem": lambda: dense(partial(PLAIN, min_v_mem=-0.3)),
    "LIF threshold": lambda: dense(partial(PLAIN, spike_threshold=torch.tensor(0.7), min_v_mem=0.0)),
    "LIF tau per neuron": lambda: nn.Sequential(nn.Linear(6, 7), sl.LIF(torch.linspace(2, 9, 7), norm_input=False)),
    "IAF": lambda: dense(sl.IAF),
    "IAF single min_v_mem": lambda: dense(partial(sl.IAF, spike_fn=SingleSpike, min_v_mem=-1.0)),
    "IAF tau_syn": lambda: dense(partial(sl.IAF, tau_syn=2.0)),
    "LIFRecurrent": lambda: nn.Sequential(nn.Linear(6, 7), sl.LIFRecurrent(8.0, loop(7), norm_input=False, **HARD)),
    "LIFRecurrent multi": lambda: nn.Sequential(
        nn.Linear(6, 7), sl.LIFRecurrent(8.0, loop(7), tau_syn=2.0, min_v_mem=-0.5)
    ),
    "IAFRecurrent": lambda: nn.Sequential(nn.Linear(6, 7), sl.IAFRecurrent(loop(7), spike_fn=SingleSpike)),
    "Repeat": lambda: nn.Sequential(
        sl.Repeat(nn.Conv2d(1, 2, 3)), sl.IAF(), sl.Repeat(sl.SumPool2d(2)), nn.Flatten(2), nn.Linear(8, 4), PLAIN()
    ),
    "Squeeze": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3), sl.IAFSqueeze(batch_size=2), sl.SumPool2d(2), nn.Flatten(), nn.Linear(8, 4),
        sl.LIFSqueeze(tau_mem=8.0, norm_input=False, num_timesteps=STEPS),
    ),
}  # fmt: skip
IMAGE_MODELS = ("Repeat", "Squeeze")


def build(name: str) -> tuple[nn.Module, np.ndarray]:
    torch.manual_seed(7)
    module = MODELS[name]()
    for value in module.parameters():
        if value.ndim > 1:
            value.data *= 2 if "Recurrent" in name else 12 if name == "LIF" or "norm_input" in name[10:] else 4
    return module, IMAGES if name in IMAGE_MODELS else EXAMPLE


def own_run(module: nn.Module, samples: np.ndarray, *, squeezed: bool) -> np.ndarray:
    """Spikes of the module as the user runs it, in float32 and not through our hooks."""
    x = torch.from_numpy(samples.astype(np.float32))
    with torch.no_grad():
        out = module(x.flatten(0, 1)).unflatten(0, samples.shape[:2]) if squeezed else module(x)
    return out.numpy()


def changed(captured: Captured, **fields: Callable[[Neuron], Any]) -> Captured:
    graph = captured.graph
    for node in graph.neurons:
        graph = graph.replace_node(replace(node, **{key: make(node) for key, make in fields.items()}))
    return replace(captured, graph=graph)


@pytest.mark.parametrize("name", MODELS)
def test_layers_are_exact(name: str) -> None:
    module, samples = build(name)
    captured = capture(module, samples)
    result = probe(module, captured, samples, execute)
    assert result.equal, result
    trace = execute(captured.graph, samples)
    assert min(trace.spikes[n.name].mean() for n in captured.graph.neurons) > 0.005
    last = captured.graph.neurons[-1].name
    assert np.array_equal(trace.spikes[last], own_run(module, samples, squeezed=name == "Squeeze"))
    for node in captured.graph.neurons:
        assert (node.output, node.fires) == ("binary" if "single" in name or "IAFRec" in name or name == "LIFRecurrent"
                                             else "multi", "ge")  # fmt: skip
    assert not probe(module, changed(captured, decay_v=lambda n: n.decay_v * 0.9), samples, execute).equal


WRONG: dict[str, tuple[str, dict[str, Callable[[Neuron], Any]]]] = {
    "one spike a step": ("LIF norm_input=False", {"output": lambda n: "binary"}),
    "several spikes a step": ("LIF single", {"output": lambda n: "multi"}),
    "hard instead of soft": ("LIF single", {"reset_v": lambda n: "zero"}),
    "soft instead of hard": ("LIF single hard", {"reset_v": lambda n: "subtract"}),
    "reset one step late": ("LIF single", {"reset_delay": lambda n: 1}),
    "input not normalised": ("LIF", {"gain": lambda n: np.ones(())}),
    "input normalised": ("LIF norm_input=False", {"gain": lambda n: 1 - n.decay_v}),
    "current decays after it acts": ("LIF tau_syn", {"gain_u": lambda n: np.ones(())}),
    "no bound": ("LIF min_v_mem", {"v_min": lambda n: None}),
    "another bound": ("IAF single min_v_mem", {"v_min": lambda n: -0.9}),
    "threshold": ("LIF threshold", {"threshold": lambda n: 0.8}),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_probe_refuses_what_is_not_the_module(name: str) -> None:
    model, fields = WRONG[name]
    module, samples = build(model)
    assert probe(module, changed(capture(module, samples), **fields), samples, execute).differing > 0, name


def test_a_bound_before_the_reset_would_be_another_network() -> None:
    """min_v_mem above zero tells where the bound acts: after the reset, so that v never falls below it."""
    module = nn.Sequential(nn.Linear(6, 7), PLAIN(min_v_mem=0.4, **HARD))
    module[0].weight.data *= 4
    captured = capture(module, EXAMPLE)
    assert probe(module, captured, EXAMPLE, execute).equal
    early = changed(captured, reset_v=lambda n: "value", v_reset=lambda n: 0.0, v_min=lambda n: None)
    assert not probe(module, early, EXAMPLE, execute).equal


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (dense(partial(LIF, spike_fn=MaxSpike(2))), r"lif1: spike_fn is \S*MaxSpike, allowed.*limit on the number"),
        (dense(partial(LIF, reset_fn=MembraneReset(0.1))), r"reset_fn.reset_value is 0\.1.*to every neuron"),
        (dense(partial(LIF, reset_fn=MembraneSubtract(0.5))), r"reset_fn.subtract_value is 0\.5.*or the threshold"),
        (nn.Sequential(nn.Linear(6, 7), sl.ALIF(5.0, 5.0)), "ALIF, allowed.*threshold adapts: use LIF"),
        (nn.Sequential(nn.Linear(6, 7), sl.IAFRecurrent(nn.Linear(7, 7))), r"rec_connect.bias is not zero.*first step"),
        (nn.Sequential(nn.Linear(6, 7), sl.IAFRecurrent(nn.Sequential(loop(7)))), r"rec_connect is \S*Sequential"),
        (nn.Sequential(sl.UnflattenTime(2), nn.Linear(6, 7), sl.IAF()), r"UnflattenTime, allowed.*Repeat"),
    ],
)
def test_what_has_no_node_is_refused_by_name(module: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        capture(module, EXAMPLE)


class ReadOut(nn.Module):
    """A leaky integrator behind spikes, and the spikes beside its answer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.iaf, self.head, self.answer = nn.Linear(6, 7), sl.IAF(), nn.Linear(7, 3), sl.ExpLeak(tau_mem=5.0)
        self.fc.weight.data *= 4

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spikes = self.iaf(self.fc(x))
        return self.answer(self.head(spikes)), spikes


def test_a_leaky_read_out_stays_on_the_host_if_the_spikes_are_returned_beside_it() -> None:
    module = ReadOut()
    captured = capture(module, EXAMPLE)
    assert [node.name for node in captured.graph.nodes] == ["input", "fc", "iaf", "output"]
    assert probe(module, captured, EXAMPLE, execute).equal
    with torch.no_grad():
        want, _ = module(torch.from_numpy(EXAMPLE).float())
        spikes = torch.tensor(execute(captured.graph, EXAMPLE).spikes["iaf"], dtype=torch.float32)
        module.answer.reset_states()
        assert torch.equal(module.answer(module.head(spikes)), want)


def test_the_same_subtraction_by_another_name_is_accepted() -> None:
    module = dense(partial(PLAIN, reset_fn=MembraneSubtract(1.0)))
    assert {n.reset_v for n in capture(module, EXAMPLE).graph.neurons} == {"subtract"}


def test_counts_are_not_taken_for_spikes() -> None:
    """A padded maximum is an OR of spikes only; behind several spikes a step the graph cannot know the sign."""
    torch.manual_seed(0)
    pool = sl.Repeat(nn.MaxPool2d(2, padding=1))
    one, several = (
        nn.Sequential(
            sl.Repeat(nn.Conv2d(1, 2, 3)), sl.IAF(spike_fn=kind), pool, sl.Repeat(nn.Conv2d(2, 2, 3)), sl.IAF()
        )
        for kind in (SingleSpike, MultiSpike)
    )
    assert probe(one, capture(one, IMAGES), IMAGES, execute).equal
    with pytest.raises(UnsupportedError, match=r"padding is .*inputs that may be negative"):
        capture(several, IMAGES)


def test_the_users_module_is_left_alone() -> None:
    module, samples = build("LIFRecurrent multi")
    module(torch.from_numpy(samples).float())
    layer = module[1]
    before = (layer.v_mem.clone(), layer.reset_fn, layer.rec_connect.weight.dtype)
    captured = capture(module, samples)
    assert probe(module, captured, samples, execute).equal, "a copy starts at rest, whatever the user's state"
    assert torch.equal(layer.v_mem, before[0])
    assert (layer.reset_fn, layer.rec_connect.weight.dtype) == before[1:]
    assert "forward" not in vars(layer.rec_connect)


def counts(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    for layer in module:
        if isinstance(layer, sl.LIF):
            layer.init_state_with_shape((len(x), layer.shape[1] if layer.shape else 1))
    return module(x).sum(1)


def digits(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    make = partial(sl.LIF, tau_mem=5.0, norm_input=False, **options)
    module = nn.Sequential(nn.Linear(64, 32), make(), nn.Linear(32, 10), make())
    train(module, counts, epochs=6)
    return module


def exact_on(module: nn.Module) -> Captured:
    """Captures a trained module and proves every spike on held-out digits, through the probe and without it."""
    samples = held_out(100)
    with torch.no_grad():
        found = counts(module, torch.from_numpy(samples.spikes).float())
    assert accuracy(found, samples) > 0.8
    captured = capture(module, samples.spikes[:4])
    assert probe(module, captured, samples.spikes, execute).equal
    assert np.array_equal(execute(captured.graph, samples.spikes).counts("lif3"), found.numpy())
    assert not probe(module, changed(captured, decay_v=lambda n: n.decay_v * 0.99), samples.spikes, execute).equal
    return captured


def test_digits_from_training_to_two_chips() -> None:
    captured = exact_on(digits(**HARD))
    _, evidence = deploy(captured.graph, held_out(100), "loihi1", "spinnaker1")
    assert evidence.passed, evidence.violations
    assert {r.target: r.differing for r in evidence.rungs if r.rung == 5} == {"loihi1": 0, "spinnaker1": 0}


def test_a_soft_reset_is_refused_where_there_is_none_or_measured_where_that_is_allowed() -> None:
    captured, samples = exact_on(digits(spike_fn=SingleSpike)), held_out(100)
    with pytest.raises(UnsupportedError, match="--allow hard-reset") as refused:
        deploy(captured.graph, samples, "loihi1", "spinnaker1")
    assert {v.quantity for v in refused.value.violations} == {"reset_v"}
    made, evidence = deploy(captured.graph, samples, "loihi1", "spinnaker1", allow=("hard-reset",))
    assert evidence.passed, evidence.violations
    measured = [rung for rung in made.rungs if rung.rung == 2 and rung.differing]
    assert measured, "what the hard reset changes is counted"
    assert {r.target: r.differing for r in evidence.rungs if r.rung == 5} == {"loihi1": 0, "spinnaker1": 0}


def test_several_spikes_a_step_and_bounds_are_refused_by_every_target() -> None:
    captured = exact_on(digits(min_v_mem=-1.0))
    with pytest.raises(UnsupportedError, match="spike_fn=SingleSpike") as refused:
        deploy(captured.graph, held_out(8), "loihi1", "loihi2", "spinnaker1")
    assert {v.quantity for v in refused.value.violations} == {"output", "v_min", "reset_v"}
    assert "min_v_mem=None" in str(refused.value)


def test_a_published_cnn_converted_by_sinabs(shared_data: Path) -> None:
    """sinabs' own conversion of its MNIST example: IAFSqueeze, several spikes a step, min_v_mem -1."""
    ann = nn.Sequential(
        nn.Conv2d(1, 20, 5, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(20, 32, 5, bias=False), nn.ReLU(),
        nn.AvgPool2d(2), nn.Conv2d(32, 128, 3, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(128, 500, bias=False), nn.ReLU(), nn.Linear(500, 10, bias=False),
    )  # fmt: skip
    ann.load_state_dict(torch.load(shared_data / "sinabs" / "mnist_params.pt", map_location="cpu", weights_only=True))
    with np.load(shared_data / "mnist" / "mnist_full.npz") as data:
        images, labels = data["xte"][:10].reshape(10, 1, 1, 28, 28), data["yte"][:10]
    currents = np.repeat(images * (8.0 / 255.0), 16, axis=1)
    module = from_model(ann, (1, 28, 28), batch_size=10, add_spiking_output=True).spiking_model
    captured = capture(module, currents[:2])
    assert captured.layout == "step"
    assert {(n.output, float(np.asarray(n.v_min))) for n in captured.graph.neurons} == {("multi", -1.0)}
    for layer in module:
        if isinstance(layer, sl.IAFSqueeze):
            layer.reset_states()
    trace = execute(captured.graph, currents)
    assert max(trace.spikes[n.name].max() for n in captured.graph.neurons) > 1
    assert np.array_equal(trace.spikes[captured.graph.neurons[-1].name], own_run(module, currents, squeezed=True))
    assert (trace.counts(captured.graph.neurons[-1].name).argmax(1) == labels).mean() >= 0.9
