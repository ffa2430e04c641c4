"""Rung 1 for read-outs that never spike: Norse's LI, sinabs' ExpLeak. Their membranes are compared, step by step."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sinabs.layers as sl
import torch
from sinabs.activation import SingleSpike
from torch import nn

from snnc.backend import discover
from snnc.capture import Captured, capture, probe
from snnc.errors import UnsupportedError
from snnc.ir import Neuron
from snnc.target import check
from snnc.trace import Probes
from snnc_reference.execute import execute

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.* is deprecated", category=DeprecationWarning)
    import norse.torch as norse
    from norse.torch.module.leaky_integrator import LI
    from norse.torch.module.leaky_integrator_box import LIBoxParameters

torch.set_num_threads(1)
STEPS = 12
EXAMPLE = (np.random.default_rng(5).random((2, STEPS, 6)) < 0.5).astype(np.int8)


def number(value: float) -> torch.Tensor:
    return torch.tensor(value)


LEAK = norse.LIParameters(tau_syn_inv=number(150.0), tau_mem_inv=number(310.0), v_leak=number(0.3))
SPIKING = norse.LIFParameters(tau_mem_inv=number(310.0), v_th=number(0.3))


class Loop(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, found = None, []
        for x_t in x.unbind(1):
            sent, state = self.inner(x_t, state)
            found.append(sent)
        return torch.stack(found, dim=1)


def loop(last: nn.Module) -> nn.Module:
    return Loop(norse.SequentialState(nn.Linear(6, 7), norse.LIFCell(SPIKING), nn.Linear(7, 4), last))


def layers(last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 7), sl.IAF(spike_fn=SingleSpike), nn.Linear(7, 4), last)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "LICell": lambda: loop(norse.LICell(LEAK)),
    "LICell dt": lambda: loop(norse.LICell(LEAK, dt=0.002)),
    "LIBoxCell": lambda: loop(norse.LIBoxCell(LIBoxParameters(tau_mem_inv=number(310.0), v_leak=number(-0.2)))),
    "LI": lambda: norse.SequentialState(nn.Linear(6, 7), norse.LIF(SPIKING), nn.Linear(7, 4), LI(LEAK)),
    "LI alone": lambda: norse.SequentialState(nn.Linear(6, 4), LI(LEAK)),
    "LI before neurons": lambda: norse.SequentialState(nn.Linear(6, 7), LI(LEAK), nn.Linear(7, 4), norse.LIF(SPIKING)),
    "ExpLeak": lambda: layers(sl.ExpLeak(tau_mem=5.0)),
    "ExpLeak norm_input": lambda: layers(sl.ExpLeak(tau_mem=torch.linspace(2, 9, 4), norm_input=True)),
    "ExpLeakSqueeze": lambda: nn.Sequential(
        nn.Linear(6, 7), sl.IAFSqueeze(batch_size=2), nn.Linear(7, 4), sl.ExpLeakSqueeze(tau_mem=5.0, batch_size=2)
    ),
    "LIF without spikes": lambda: layers(sl.LIF(5.0, tau_syn=3.0, spike_fn=None)),
}  # fmt: skip


def build(name: str) -> nn.Module:
    torch.manual_seed(4)
    module = MODELS[name]()
    for value in module.parameters():
        if value.ndim > 1:  # sinabs shares its default threshold between modules
            value.data *= 2
    return module


def integrator(captured: Captured) -> Neuron:
    (found,) = (node for node in captured.graph.neurons if node.output == "graded")
    return found


def changed(captured: Captured, **fields: Any) -> Captured:
    node = replace(integrator(captured), **fields)
    return replace(captured, graph=captured.graph.replace_node(node))


def own_run(module: nn.Module, name: str) -> np.ndarray:
    """What the module returns as the user runs it, in float32 and not through our hooks."""
    x = torch.from_numpy(EXAMPLE.astype(np.float32))
    if "Squeeze" in name:
        return module(x.flatten(0, 1)).unflatten(0, EXAMPLE.shape[:2]).detach().numpy()
    out = module(x.transpose(0, 1) if name.startswith("LI") and "Cell" not in name and "LIF" not in name else x)
    out = out[0] if isinstance(out, tuple) else out
    return (out.transpose(0, 1) if name in ("LI", "LI alone") else out).detach().numpy()


@pytest.mark.parametrize("name", MODELS)
def test_membranes_that_are_sent_are_exact(name: str) -> None:
    module = build(name)
    captured = capture(module, EXAMPLE)
    result = probe(module, captured, EXAMPLE, execute)
    assert result.equal, result
    node = integrator(captured)
    trace = execute(captured.graph, EXAMPLE, Probes(states="all"))
    assert node.name not in trace.spikes, "numbers are not recorded as spikes"
    assert float(np.ptp(trace.states[node.name, "v"])) > 0.1
    if name != "LI before neurons":
        assert captured.graph.readouts[0].readout == "sum"
        np.testing.assert_allclose(trace.states[node.name, "v"], own_run(module, name), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_another_integrator_is_refused_with_its_explanation(name: str) -> None:
    module = build(name)
    captured = capture(module, EXAMPLE)
    decay = integrator(captured).decay_v
    wrong = probe(module, changed(captured, decay_v=np.asarray(decay) * 0.99), EXAMPLE, execute)
    assert not wrong.equal
    assert wrong.worst_state_error > 1e-4
    if name != "LI before neurons":
        assert wrong.differing == 0, "no spike tells"
        assert integrator(captured).name in wrong.first_difference
    for fields in ({"gain": np.asarray(integrator(captured).gain) * 1.01}, {"v_rest": 0.05, "v_init": 0.0}):
        assert not probe(module, changed(captured, **fields), EXAMPLE, execute).equal


def test_the_explanation_names_what_was_read_wrong() -> None:
    module = build("ExpLeak norm_input")
    captured = capture(module, EXAMPLE)
    found = probe(module, changed(captured, gain=np.ones(())), EXAMPLE, execute)
    assert "matches with the input scaled by 1 - decay" in found.explanation
    alone = build("LI alone")
    start = probe(alone, changed(capture(alone, EXAMPLE), v_init=0.0), EXAMPLE, execute)
    assert "matches with a start at the resting value" in start.explanation


def test_a_bounded_membrane_that_is_sent_unbounded_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"min_v_mem is -1\.0, .*before the bound"):
        capture(layers(sl.ExpLeak(tau_mem=5.0, min_v_mem=-1.0)), EXAMPLE)


def test_every_target_refuses_it_once_and_says_what_to_do() -> None:
    captured = capture(build("ExpLeak"), EXAMPLE)
    targets = {name: target for name, (_, target) in discover().targets.items()}
    assert len(targets) >= 4
    for name, target in targets.items():
        found = [v for v in check(captured.graph, target) if v.node == integrator(captured).name]
        assert [(v.quantity, v.found) for v in found] == [("output", "graded")], name
        assert "on the host" in found[0].fix, name
