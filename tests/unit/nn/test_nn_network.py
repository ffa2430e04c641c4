"""Recurrence and time around the neurons, against the graph they stand for."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import snnc.nn
from snnc.errors import ModelError
from snnc.ir import Affine, Edge, Graph, Input
from snnc.nn import LIF, CubaLIF, Recurrent, Sequence, SpikingModule, reset_states
from snnc.trace import Probes
from snnc_reference.execute import execute

B, T, N_IN, N = 3, 25, 5, 7


def network() -> Sequence:
    torch.manual_seed(3)
    linear, loop = torch.nn.Linear(N_IN, N), torch.nn.Linear(N, N)
    with torch.no_grad():
        linear.weight.mul_(3.0)
        loop.weight.mul_(2.0)
        loop.bias.fill_(0.1)
    return Sequence(torch.nn.Sequential(linear, Recurrent(CubaLIF(N, decay_u=0.4, decay_v=0.8), loop))).double()


def graph_of(net: Sequence, loop_delay: tuple[int, int] = (1, 0)) -> Graph:
    linear, recurrent = net.step[0], net.step[1]
    loop = recurrent.linear
    numbers = {k: p.detach().numpy() for k, p in (("w", linear.weight), ("b", linear.bias))}
    nodes = (
        Input("x", shape=(N_IN,)),
        Affine("a", weight=numbers["w"], bias=numbers["b"]),
        recurrent.node("n"),
        Affine("r", weight=loop.weight.detach().numpy(), bias=loop.bias.detach().numpy()),
    )
    out, back = loop_delay
    return Graph(nodes, (Edge("x", "a"), Edge("a", "n"), Edge("n", "r", out), Edge("r", "n", back)))


def spikes() -> np.ndarray:
    return (np.random.default_rng(0).random((B, T, N_IN)) < 0.4).astype(np.int8)


def test_recurrent_is_the_loop_with_delay_one():
    net, x = network(), spikes()
    out = net(torch.from_numpy(x).double()).detach().numpy()
    trace = execute(graph_of(net), x, Probes(states="all"))
    assert 0.05 < out.mean() < 0.95
    np.testing.assert_array_equal(out, trace.spikes["n"])
    neuron = net.step[1].neuron
    np.testing.assert_allclose(neuron.v.detach().numpy(), trace.states["n", "v"][:, -1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(neuron.u.detach().numpy(), trace.states["n", "u"][:, -1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("delays", [(2, 0), (1, 1), (0, 1)])
def test_another_loop_delay_is_caught(delays):
    net, x = network(), spikes()
    out = net(torch.from_numpy(x).double()).detach().numpy()
    trace = execute(graph_of(net, delays), x, Probes(states="all"))
    last = net.step[1].neuron.v.detach().numpy()
    same = np.array_equal(out, trace.spikes["n"]) and np.allclose(last, trace.states["n", "v"][:, -1], rtol=1e-9)
    assert not same


def test_sequence_starts_from_rest_at_every_call_and_takes_any_batch():
    net = network()
    x = torch.from_numpy(spikes()).double()
    first = net(x)
    assert torch.equal(net(x), first)
    assert torch.equal(net(x[:1]), first[:1])
    assert torch.equal(net(x[:, :9]), first[:, :9])
    assert torch.equal(copy.deepcopy(net)(x), first)
    stepwise = torch.stack([net.step(x[:, t]) for t in range(T)], dim=1)
    assert not torch.equal(stepwise, first)


def test_reset_reaches_the_loop_and_the_neuron():
    net = network()
    recurrent = net.step[1]
    net(torch.from_numpy(spikes()).double())
    assert recurrent.s is not None
    reset_states(net)
    assert recurrent.s is None
    assert recurrent.neuron.v is None
    recurrent(torch.ones(2, N, dtype=torch.float64))
    recurrent.reset()
    assert recurrent.neuron.u is None


def test_state_dict_round_trip_gives_the_same_spikes():
    net = network()
    x = torch.from_numpy(spikes()).double()
    expected = net(x)
    other = Sequence(
        torch.nn.Sequential(torch.nn.Linear(N_IN, N), Recurrent(CubaLIF(N), torch.nn.Linear(N, N)))
    ).double()
    assert not torch.equal(other(x), expected)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), expected)


def test_gradients_pass_through_time_and_the_loop():
    net = network()
    x = torch.from_numpy(spikes()).double().requires_grad_()
    net(x)[:, -1].sum().backward()
    assert x.grad is not None
    assert (x.grad[:, -5] != 0).any()
    assert (net.step[1].linear.weight.grad != 0).any()


def test_a_tiny_network_learns():
    torch.manual_seed(0)
    net = Sequence(torch.nn.Sequential(torch.nn.Linear(4, 8), LIF(8), torch.nn.Linear(8, 2), LIF(2)))
    x = (torch.rand(32, 8, 4) < torch.tensor([0.2, 0.8, 0.5, 0.5])).float()
    x[16:] = x[16:].flip(-1)[..., [2, 3, 0, 1]][..., [3, 2, 1, 0]].roll(1, -1)
    labels = torch.tensor([0] * 16 + [1] * 16)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(net.train()(x).mean(1) * 5, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert (net.eval()(x).sum(1).argmax(1) == labels).float().mean() > 0.85


def test_bad_use_is_refused():
    with pytest.raises(ModelError, match=r"\[B, T, \.\.\.\]"):
        Sequence(LIF())(torch.zeros(3))
    with pytest.raises(ModelError, match="T >= 1"):
        Sequence(LIF())(torch.zeros(3, 0, 2))
    with pytest.raises(ModelError, match="Recurrent takes a spiking module, not Linear"):
        Recurrent(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))


def test_public_names():
    assert snnc.nn.__all__ == sorted(snnc.nn.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert all(issubclass(c, SpikingModule) for c in (LIF, CubaLIF, Recurrent))
