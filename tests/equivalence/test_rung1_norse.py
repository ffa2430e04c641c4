"""Rung 1 for Norse: cells, layers, recurrent ones; spike for spike, state for state, and wrong mappings caught."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from equivalence.trained_digits import accuracy, deploy, held_out, train
from snnc.capture import Captured, capture, probe
from snnc.errors import UnsupportedError
from snnc.ir import Affine, Edge, Neuron
from snnc_reference.execute import execute

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.* is deprecated", category=DeprecationWarning)
    import norse.torch as norse
    from norse.torch.functional.lif import lif_feed_forward_step
    from norse.torch.functional.reset import reset_subtract

torch.set_num_threads(1)
STEPS = 12
EXAMPLE = (np.random.default_rng(5).random((2, STEPS, 6)) < 0.5).astype(np.int8)


def number(value: float) -> torch.Tensor:
    return torch.tensor(value)


LIF = norse.LIFParameters(tau_syn_inv=number(150.0), tau_mem_inv=number(310.0), v_th=number(0.37))
SHIFTED = LIF._replace(v_leak=number(-0.2), v_reset=number(-0.3), v_th=number(0.25))
BOX = norse.LIFBoxParameters(tau_mem_inv=number(310.0), v_th=number(0.3))
IAF = norse.IAFParameters(v_th=number(1.1), v_reset=number(-0.2))
REST = norse.LIFRefracParameters(lif=LIF, rho_reset=number(2.0))


class Loop(nn.Module):
    """A cell or a sequence of cells, one step per call, state passed by hand."""

    def __init__(self, inner: nn.Module, *, keep: bool = True) -> None:
        super().__init__()
        self.inner, self.keep = inner, keep

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
        state, found = None, []
        for x_t in x.unbind(1):
            spikes, state = self.inner(x_t, state if self.keep else None)
            found.append(spikes)
        return torch.stack(found, dim=1), state


def strong(module: nn.Module) -> nn.Module:
    for value in module.parameters():
        value.data *= 2
    return module


def cells(make: Callable[[], nn.Module]) -> nn.Module:
    return Loop(norse.SequentialState(nn.Linear(6, 7), make(), nn.Linear(7, 4), make()))


def layers(make: Callable[[], nn.Module]) -> nn.Module:
    return norse.SequentialState(nn.Linear(6, 7), make(), nn.Linear(7, 4), make())


MODELS: dict[str, Callable[[], nn.Module]] = {
    "LIFCell": lambda: cells(lambda: norse.LIFCell(LIF)),
    "LIFCell resting and reset elsewhere": lambda: cells(lambda: norse.LIFCell(SHIFTED)),
    "LIFCell dt": lambda: cells(lambda: norse.LIFCell(LIF, dt=0.002)),
    "LIFBoxCell": lambda: cells(lambda: norse.LIFBoxCell(BOX)),
    "LIFBoxCell soft": lambda: cells(lambda: norse.LIFBoxCell(BOX._replace(reset_method=reset_subtract))),
    "IAFCell": lambda: cells(lambda: norse.IAFCell(IAF)),
    "LIFRefracCell": lambda: cells(lambda: norse.LIFRefracCell(REST)),
    "LIFRefracCell uneven": lambda: cells(lambda: norse.LIFRefracCell(REST._replace(rho_reset=number(1.5)))),
    "LIF": lambda: layers(lambda: norse.LIF(LIF)),
    "LIF record_states": lambda: layers(lambda: norse.LIF(LIF, record_states=True)),
    "IAF": lambda: layers(lambda: norse.IAF(IAF)),
    "LIFRecurrentCell": lambda: Loop(
        norse.SequentialState(norse.LIFRecurrentCell(6, 7, LIF), norse.LIFRecurrentCell(7, 4, SHIFTED, autapses=True))
    ),
    "LIFRecurrent": lambda: norse.SequentialState(norse.LIFRecurrent(6, 7, LIF), norse.LIFRecurrent(7, 4, SHIFTED)),
    "LIFRefracRecurrentCell": lambda: Loop(norse.LIFRefracRecurrentCell(6, 7, REST)),
    "LIFRefracRecurrent": lambda: norse.SequentialState(norse.LIFRefracRecurrent(6, 7, REST), norse.LIF(LIF)),
    "Lift": lambda: norse.SequentialState(norse.Lift(nn.Linear(6, 7)), norse.LIF(LIF)),
    "Lift of a cell": lambda: nn.Sequential(norse.Lift(nn.Linear(6, 7)), norse.Lift(norse.LIFBoxCell(BOX))),
}


def build(name: str) -> nn.Module:
    torch.manual_seed(4)
    return strong(MODELS[name]())


def changed(captured: Captured, **fields: Callable[[Neuron], Any]) -> Captured:
    graph = captured.graph
    for node in graph.neurons:
        graph = graph.replace_node(replace(node, **{key: make(node) for key, make in fields.items()}))
    return replace(captured, graph=graph)


@pytest.mark.parametrize("name", MODELS)
def test_cells_and_layers_are_exact(name: str) -> None:
    module = build(name)
    captured = capture(module, EXAMPLE)
    result = probe(module, captured, EXAMPLE, execute)
    assert result.equal, result
    trace = execute(captured.graph, EXAMPLE)
    assert min(trace.spikes[n.name].mean() for n in captured.graph.neurons) > 0.005
    assert np.array_equal(trace.spikes[captured.graph.neurons[-1].name], own_run(module, captured))
    assert not probe(module, changed(captured, decay_v=lambda n: n.decay_v * 0.9), EXAMPLE, execute).equal


def own_run(module: nn.Module, captured: Captured) -> np.ndarray:
    """Spikes of the module as the user runs it, in float32 and not through our hooks."""
    x = torch.from_numpy(EXAMPLE.astype(np.float32))
    time_first = captured.layout == "time_batch"
    with torch.no_grad():
        out = module(x.transpose(0, 1) if time_first else x)
    spikes = out[0] if isinstance(out, tuple) else out
    return (spikes.transpose(0, 1) if time_first else spikes).numpy()


def test_the_table_of_parameters() -> None:
    first, second = (capture(build(name), EXAMPLE).graph.neurons[0] for name in ("LIFCell dt", "LIFRefracCell"))
    values = [float(np.asarray(v)) for v in (first.decay_u, first.decay_v, first.gain, first.threshold)]
    assert values == pytest.approx([0.7, 0.38, 0.62, 0.37])
    assert (first.fires, first.reset_v, first.reset_delay, second.refractory) == ("gt", "zero", 0, 2)
    uneven = capture(build("LIFRefracCell uneven"), EXAMPLE).graph.neurons[0]
    assert uneven.refractory == 2
    resting = capture(build("LIFCell resting and reset elsewhere"), EXAMPLE).graph.neurons[0]
    assert float(np.asarray(resting.v_init)) == float(np.asarray(resting.v_rest)) == pytest.approx(-0.2)
    assert resting.reset_v == "value"


WRONG: dict[str, tuple[str, dict[str, Callable[[Neuron], Any]]]] = {
    "reset one step late": ("LIFCell", {"reset_delay": lambda n: 1}),
    "soft instead of hard": ("LIFCell", {"reset_v": lambda n: "subtract"}),
    "tau of the synapse scaled": ("LIFCell", {"decay_u": lambda n: n.decay_u * 0.9}),
    "current decays before it acts": ("LIFCell", {"gain": lambda n: n.gain * n.decay_u}),
    "threshold": ("LIFRecurrent", {"threshold": lambda n: n.threshold * 1.2}),
    "no current": ("LIFCell", {"decay_u": lambda n: np.zeros(())}),
    "start at zero": ("LIFCell resting and reset elsewhere", {"v_init": lambda n: np.zeros(())}),
    "one refractory step less": ("LIFRefracCell", {"refractory": lambda n: n.refractory - 1}),
    "hard instead of soft": ("LIFBoxCell soft", {"reset_v": lambda n: "zero"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_probe_refuses_what_is_not_the_module(name: str) -> None:
    model, fields = WRONG[name]
    module = build(model)
    result = probe(module, changed(capture(module, EXAMPLE), **fields), EXAMPLE, execute)
    assert result.differing > 0, name


def test_a_current_that_arrives_one_step_late_is_refused() -> None:
    """The order in which other simulators update: the membrane sees the current of the step before."""
    module = build("LIFCell")
    captured = capture(module, EXAMPLE)
    edges = tuple(Edge(e.source, e.target, int(e.target in captured.populations)) if not e.delay else e
                  for e in captured.graph.edges)  # fmt: skip
    late = replace(captured, graph=replace(captured.graph, edges=edges))
    assert probe(module, late, EXAMPLE, execute).differing > 0


def test_recurrent_weights_are_an_edge_of_one_step() -> None:
    module = build("LIFRecurrent")
    captured = capture(module, EXAMPLE)
    back = [e for e in captured.graph.edges if e.delay]
    assert [(e.source, e.delay) for e in back] == [(n.name, 1) for n in captured.graph.neurons]
    weight = captured.graph[back[0].target]
    assert isinstance(weight, Affine)
    assert np.array_equal(np.diag(np.asarray(weight.weight)), np.zeros(7))
    wrong = captured.graph.replace_node(replace(weight, weight=np.asarray(weight.weight).T))
    assert probe(module, replace(captured, graph=wrong), EXAMPLE, execute).differing > 0


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (cells(lambda: norse.LILinearCell(7, 7)), r"LILinearCell, allowed.*and LICell in one"),
        (cells(norse.LIFAdExCell), "LIFAdExCell, allowed.*not linear"),
        (Loop(norse.LSNNRecurrentCell(6, 7)), "LSNNRecurrentCell, allowed.*threshold adapts"),
        (cells(lambda: norse.LIFBoxCell(BOX._replace(reset_method=lambda z, v, r, t: v))), "reset_method is"),
        (Loop(norse.LIFCell(LIF), keep=False), "step 1 is given no state and starts anew"),
    ],
)
def test_what_has_no_node_is_refused_by_name(module: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        capture(module, EXAMPLE)


def test_a_subclass_with_another_start_is_not_taken_for_its_parent() -> None:
    class Started(norse.LIFCell):
        def initial_state(self, input_tensor: torch.Tensor) -> Any:
            return super().initial_state(input_tensor)._replace(v=number(0.3))

    module = Loop(norse.SequentialState(nn.Linear(6, 7), Started(LIF)))
    with pytest.raises(UnsupportedError, match=r"Started, allowed.*changes initial_state of LIFCell"):
        capture(module, EXAMPLE)


def test_the_users_module_is_left_alone() -> None:
    module = build("LIFCell")
    cell = module.inner[1]
    before = (cell.p, cell.activation, cell.p.v_th.dtype)
    capture(module, EXAMPLE)
    assert (cell.p, cell.activation, cell.p.v_th.dtype) == before
    assert cell.activation is lif_feed_forward_step


def counts(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    spikes, _ = module(x.transpose(0, 1))
    return spikes.sum(0)


def test_digits_from_training_to_two_chips() -> None:
    torch.manual_seed(0)
    p = LIF._replace(tau_syn_inv=number(500.0), tau_mem_inv=number(300.0), v_th=number(0.3), alpha=number(5.0))
    module = norse.SequentialState(nn.Linear(64, 32), norse.LIF(p), nn.Linear(32, 10), norse.LIF(p))
    train(module, counts)
    samples = held_out(100)
    with torch.no_grad():
        found = counts(module, torch.from_numpy(samples.spikes).float())
    assert accuracy(found, samples) > 0.8
    captured = capture(module, samples.spikes[:4])
    result = probe(module, captured, samples.spikes, execute)
    assert result.equal, result
    assert np.array_equal(execute(captured.graph, samples.spikes).counts("lif3"), found.numpy())
    wrong = probe(module, changed(captured, decay_u=lambda n: n.decay_u * 0.99), samples.spikes, execute)
    assert wrong.differing > 0
    _, evidence = deploy(captured.graph, samples, "loihi1", "spinnaker1")
    assert evidence.passed, evidence.violations
    exact = {rung.target: rung.differing for rung in evidence.rungs if rung.rung == 5}
    assert exact == {"loihi1": 0, "spinnaker1": 0}
