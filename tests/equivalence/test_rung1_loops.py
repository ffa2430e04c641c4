"""Rung 1 for time: every way to write (or not to write) the loop gives one graph; other loops are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from snnc.capture import capture, probe
from snnc.errors import ModelError, SnncError, UnsupportedError
from snnc.ir import Edge, Graph
from snnc.nn import LIF, Recurrent, Sequence
from snnc_reference.execute import execute

torch.set_num_threads(1)
STEPS = 6
EXAMPLE = (np.random.default_rng(2).random((3, STEPS, 5)) < 0.5).astype(np.int8)


def anonymous(graph: Graph) -> str:
    """Digest with nodes called by their position."""
    names = {node.name: f"n{i}" for i, node in enumerate(graph.nodes)}
    nodes = tuple(replace(node, name=names[node.name]) for node in graph.nodes)
    edges = tuple(Edge(names[e.source], names[e.target], e.delay) for e in graph.edges)
    return Graph(nodes, edges).digest


class Step(nn.Module):
    """One step per call."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.fc1, self.rec, self.fc2 = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.lif1, self.lif2 = LIF(6, reset="subtract"), LIF(3)
        for part in (self.fc1, self.rec, self.fc2):
            part.weight.data *= 3
        self.spikes: torch.Tensor | None = None

    def reset(self) -> None:
        self.spikes = None
        self.lif1.reset()
        self.lif2.reset()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = torch.zeros(x.shape[0], 6) if self.spikes is None else self.spikes
        self.spikes = self.lif1(self.fc1(x) + self.rec(before))
        return self.lif2(self.fc2(self.spikes))


Loop = Callable[[Step, torch.Tensor], object]


class Looped(Step):
    """The same network with a loop around the step."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.loop = loop

    def forward(self, x: torch.Tensor) -> object:
        self.reset()
        return self.loop(lambda x_t: Step.forward(self, x_t), x)


def batch_range(step: Callable, x: torch.Tensor) -> object:
    return torch.stack([step(x[:, t]) for t in range(x.shape[1])], dim=1)


def time_range(step: Callable, x: torch.Tensor) -> object:
    return torch.stack([step(x[t]) for t in range(x.size(0))])


def fixed_range(step: Callable, x: torch.Tensor) -> object:
    return torch.stack([step(x[t]) for t in range(STEPS)])


def iterate(step: Callable, x: torch.Tensor) -> object:
    return [step(x_t) for x_t in x.float()]


def length(step: Callable, x: torch.Tensor) -> object:
    return torch.stack([step(x[t, ...]) for t in range(len(x))], 0).sum(dim=0)


def permuted(step: Callable, x: torch.Tensor) -> object:
    return torch.stack([step(x_t) for x_t in x.permute(1, 0, 2)]).transpose(0, 1)


def unbound(step: Callable, x: torch.Tensor) -> object:
    return torch.stack([step(x_t) for x_t in torch.unbind(x, dim=1)], dim=-2).mean(1)


def preallocated(step: Callable, x: torch.Tensor) -> object:
    out = torch.zeros(x.shape[0], x.shape[1], 3)
    for t in range(x.shape[1]):
        out[:, t] = step(x.select(1, t))
    return out


def counted(step: Callable, x: torch.Tensor) -> object:
    total = 0
    for t in range(x.shape[1]):
        total = total + step(x[:, t, :])
    return total / x.shape[1]


def concatenated(step: Callable, x: torch.Tensor) -> object:
    return {"spikes": torch.cat([step(x[:, t]).unsqueeze(1) for t in range(x.shape[1])], dim=1)}


LOOPS = [batch_range, time_range, fixed_range, iterate, length, permuted, unbound, preallocated, counted, concatenated]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_every_way_to_write_the_loop_is_the_same_graph(loop: Loop) -> None:
    plain, looped = Step(), Looped(loop)
    one, other = capture(plain, EXAMPLE), capture(looped, EXAMPLE)
    assert one.layout == "step"
    assert other.layout == ("time_batch" if loop in (time_range, fixed_range, iterate, length) else "batch_time")
    assert anonymous(one.graph) == anonymous(other.graph)
    assert one.graph.digest == other.graph.digest
    assert probe(looped, other, EXAMPLE, execute).equal


def test_the_step_itself_its_sequence_and_recurrent_agree() -> None:
    plain = Step()
    assert probe(plain, capture(plain, EXAMPLE), EXAMPLE, execute).equal
    wrapped = Sequence(nn.Sequential(plain.fc1, Recurrent(plain.lif1, plain.rec), plain.fc2, plain.lif2))
    found = capture(wrapped, EXAMPLE)
    assert probe(wrapped, found, EXAMPLE, execute).equal
    assert anonymous(found.graph) == anonymous(capture(plain, EXAMPLE).graph)
    assert dict(found.populations) == {"recurrent1_neuron": "step.1.neuron", "lif3": "step.3"}
    plain.rec.bias.data += 0.01
    assert anonymous(capture(plain, EXAMPLE).graph) != anonymous(found.graph)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_short_examples_still_show_the_recurrence(steps: int) -> None:
    looped = Looped(batch_range)
    assert capture(looped, EXAMPLE[:, :steps]).graph.digest == capture(looped, EXAMPLE).graph.digest


def test_a_loop_of_two_fixed_steps_is_captured_with_two() -> None:
    looped = Looped(lambda step, x: torch.stack([step(x[t]) for t in range(2)]))
    assert capture(looped, EXAMPLE[:, :2]).graph.digest == capture(Step(), EXAMPLE).graph.digest


class Layers(nn.Module):
    """Layer by layer: each runs over all steps before the next."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.layers = nn.Sequential(nn.Linear(5, 6), Sequence(LIF(6)), nn.Dropout(), nn.Linear(6, 3), Sequence(LIF(3)))
        self.layers[0].weight.data *= 3
        self.layers[3].weight.data *= 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_layer_by_layer_is_the_same_as_step_by_step() -> None:
    module = Layers()
    parts = module.layers
    steps = nn.Sequential(parts[0], parts[1].step, parts[2], parts[3], parts[4].step)
    captured = capture(module, EXAMPLE)
    assert probe(module, captured, EXAMPLE, execute).equal
    assert anonymous(captured.graph) == anonymous(capture(steps, EXAMPLE).graph)


class Delayed(nn.Module):
    """A skip connection that is three steps old."""

    def __init__(self, delay: int) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.fc1, self.fc2, self.old = nn.Linear(5, 6), nn.Linear(6, 3), nn.Linear(6, 3, bias=False)
        self.lif1, self.lif2, self.delay = LIF(6), LIF(3), delay
        for part in (self.fc1, self.fc2, self.old):
            part.weight.data *= 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.lif1.reset()
        self.lif2.reset()
        hidden, found = [], []
        for t in range(x.shape[1]):
            hidden.append(self.lif1(self.fc1(x[:, t])))
            current = self.fc2(hidden[t])
            if t >= self.delay:
                current = current + self.old(hidden[t - self.delay])
            found.append(self.lif2(current))
        return torch.stack(found, dim=1)


@pytest.mark.parametrize("delay", [1, 3])
def test_older_spikes_are_edges_with_that_delay(delay: int) -> None:
    module = Delayed(delay)
    captured = capture(module, EXAMPLE)
    assert [(e.source, e.target, e.delay) for e in captured.graph.edges if e.delay] == [("lif1", "old", delay)]
    assert probe(module, captured, EXAMPLE, execute).equal
    edges = [replace(e, delay=2) if e.delay else e for e in captured.graph.edges]
    wrong = replace(captured, graph=captured.graph.with_nodes(captured.graph.nodes, edges))
    assert not probe(module, wrong, EXAMPLE, execute).equal


class Tiny(nn.Module):
    """fc -> lif in a loop that a test writes."""

    def __init__(self, body: Callable[[Tiny, torch.Tensor], object]) -> None:
        super().__init__()
        self.fc, self.other, self.lif, self.lif2 = nn.Linear(5, 4), nn.Linear(5, 4), LIF(4), LIF(4)
        self.body = body

    def forward(self, x: torch.Tensor) -> object:
        self.lif.reset()
        self.lif2.reset()
        return self.body(self, x)


def steps_of(x: torch.Tensor) -> range:
    return range(x.shape[1])


def reversed_time(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif(m.fc(x[:, -1 - t])) for t in steps_of(x)], 1)


def other_layer(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif((m.other if t == 2 else m.fc)(x[:, t])) for t in steps_of(x)], 1)


def constant_input(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif(m.fc(x)) for _ in range(7)])


def twice(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif(m.fc(x[:, t]) + 0 * m.lif(m.fc(x[:, t]))) for t in steps_of(x)], 1)


def too_few(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif(m.fc(x[:, t])) for t in range(3)], 1)


def last_step(m: Tiny, x: torch.Tensor) -> object:
    return [m.lif(m.fc(x[:, t])) for t in steps_of(x)][-1]


def linear_output(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.fc(x[:, t]) + 0 * m.lif(m.fc(x[:, t])) for t in steps_of(x)], 1)


def two_outputs(m: Tiny, x: torch.Tensor) -> object:
    pairs = [(m.lif(m.fc(x[:, t])), m.lif2(m.other(x[:, t]))) for t in steps_of(x)]
    return torch.stack([p[0] for p in pairs], 1), torch.stack([p[1] for p in pairs], 1)


def on_data(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif(m.fc(x[:, t]) if x[:, t].sum() > 2 else m.other(x[:, t])) for t in steps_of(x)], 1)


def random_weights(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif(nn.functional.linear(x[:, t], torch.rand(4, 5))) for t in steps_of(x)], 1)


def reset_between(m: Tiny, x: torch.Tensor) -> object:
    found = []
    for t in steps_of(x):
        m.lif.v = None if t == 3 else m.lif.v
        found.append(m.lif(m.fc(x[:, t])))
    return torch.stack(found, 1)


def hand_written(m: Tiny, x: torch.Tensor) -> object:
    v = torch.zeros(x.shape[0], 4)
    found = []
    for t in steps_of(x):
        v = 0.9 * v + m.fc(x[:, t])
        spikes = (v > 1).float()
        v = v * (1 - spikes)
        found.append(m.lif(spikes))
    return torch.stack(found, 1)


def with_numpy(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif(m.fc(torch.from_numpy(x[:, t].numpy() * 1))) for t in steps_of(x)], 1)


def gated(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif(m.fc(x[:, t]) * m.other(x[:, t])) for t in steps_of(x)], 1)


def driven_by_a_constant(m: Tiny, x: torch.Tensor) -> object:
    return torch.stack([m.lif(m.fc(torch.ones(x.shape[0], 5))) for t in steps_of(x)], 1)


REFUSED: dict[str, tuple[Callable[[Tiny, torch.Tensor], object], type[SnncError], str]] = {
    "reversed": (reversed_time, UnsupportedError, "lif: step 0 needs step 5 of input: it looks into the future"),
    "other-layer": (other_layer, UnsupportedError, r"lif: step 2 computes other\(input\[t\]\), step 5 computes fc\("),
    "constant-input": (constant_input, UnsupportedError, "lif: one call of the model calls it 7 times"),
    "twice": (twice, UnsupportedError, "lif: it is called 12 times for 6 steps"),
    "too-few": (too_few, UnsupportedError, "lif: it is called 3 times for 6 steps"),
    "last-step": (last_step, UnsupportedError, "spikes of lif of step 5 only"),
    "linear-output": (linear_output, UnsupportedError, "which are not spikes. End the model with a neuron"),
    "two-outputs": (two_outputs, UnsupportedError, r"several populations \(lif, lif2\)"),
    "on-data": (on_data, UnsupportedError, r"test_rung1_loops.py:\d+ in .*Tiny.*__bool__.*Control flow"),
    "random": (random_weights, UnsupportedError, r"test_rung1_loops.py:\d+: two runs on different data"),
    "reset-between": (reset_between, UnsupportedError, "lif: its state was changed between two steps"),
    "hand-written": (hand_written, UnsupportedError, r"test_rung1_loops.py:\d+.*'gt' has no node.*hand-written neuron"),
    "numpy": (with_numpy, UnsupportedError, r"value of data that depends on the input \(numpy\)"),
    "gated": (gated, UnsupportedError, "product of two tensors"),
    "constant": (driven_by_a_constant, UnsupportedError, "lif: one call of the model calls it 5 times"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_loop_is_refused_with_the_reason(name: str) -> None:
    body, error, message = REFUSED[name]
    with pytest.raises(error, match=message) as caught:
        capture(Tiny(body), EXAMPLE)
    assert caught.value.exit_code == 3


def test_an_error_in_forward_is_told_with_line_and_shape() -> None:
    with pytest.raises(ModelError, match=r"RuntimeError.*one step of shape \(2, 7\)") as caught:
        capture(Step(), np.ones((2, STEPS, 7)))
    assert "test_rung1_loops.py:" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_membrane_beside_the_spikes_of_an_earlier_layer_is_not_the_output() -> None:
    import snntorch

    class Readout(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(5, 4), nn.Linear(4, 3)
            self.lif1, self.lif2 = snntorch.Leaky(beta=0.9), snntorch.Leaky(beta=0.9, reset_mechanism="none")

        def forward(self, x: torch.Tensor) -> object:
            one, two = self.lif1.init_leaky(), self.lif2.init_leaky()
            spikes, membranes = [], []
            for x_t in x:
                hidden, one = self.lif1(self.fc1(x_t), one)
                _, two = self.lif2(self.fc2(hidden), two)
                spikes.append(hidden)
                membranes.append(two)
            return torch.stack(spikes), torch.stack(membranes)

    with pytest.raises(UnsupportedError, match="the model returns the membrane of lif2 without its spikes"):
        capture(Readout(), EXAMPLE)


def test_the_module_is_left_as_it_was() -> None:
    module = Looped(batch_range).train()
    module(torch.from_numpy(EXAMPLE.astype(np.float32)))
    state, spikes = module.lif1.v, module.spikes
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    captured = capture(module, EXAMPLE)
    probe(module, captured, EXAMPLE, execute)
    assert torch.equal(torch.rand(1), expected), "the random state moved"
    assert module.training
    assert module.lif1.v is state
    assert module.spikes is spikes
    assert all(p.dtype == torch.float32 and p.requires_grad for p in module.parameters())
    assert torch.get_default_dtype() == torch.float32
    assert "forward" not in vars(module.fc1)
