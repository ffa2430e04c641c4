"""Rung 5: Lava's processes give what the reference gives, every spike and every state, for hand-made integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snnc.ir import Affine, Fixed, Neuron
from snnc.trace import Probes, Trace
from snnc_loihi import backend, runner
from snnc_loihi.lowering import plan_of
from snnc_loihi.plan import Plan
from snnc_loihi.runner import run_plan
from snnc_loihi.target import LOIHI1
from snnc_loihi.timeline import Timeline
from snnc_reference.execute import execute
from unit.loihi.loihi_nets import (
    EVERYTHING,
    Net,
    biased,
    convolutional,
    dense,
    differing,
    overflowing,
    pooled,
    recurrent,
    self_sustaining,
    short,
    skipped,
    with_node,
)


def on_lava(net: Net) -> Trace:
    return backend.run(backend.lower(net.graph, LOIHI1), net.spikes, EVERYTHING)


def kinds(net: Net) -> list[str]:
    return [one.kind for one in plan_of(net.graph).synapses]


@pytest.fixture(params=["one after the other", "side by side"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Samples in one copy of the network, or each in its own."""
    if request.param == "one after the other":
        monkeypatch.setattr(runner, "WORK", 0)
    return str(request.param)


@pytest.fixture
def in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WORK", 0)


@pytest.mark.parametrize(
    ("make", "processes"),
    [
        (short, ["dense", "dense"]),
        (convolutional, ["conv", "conv", "dense"]),
        (pooled, ["conv", "dense", "dense"]),
        (biased, ["dense", "dense", "dense", "dense"]),
        (skipped, ["dense", "dense", "delay", "dense", "dense", "delay"]),
        (overflowing, ["dense"]),
    ],
)
@pytest.mark.usefixtures("layout")
def test_lava_equals_the_reference(make: Callable[[], Net], processes: list[str]) -> None:
    net = make()
    assert kinds(net) == processes
    expected = execute(net.graph, net.spikes, EVERYTHING)
    for node in net.graph.neurons:
        assert 0.02 < expected.spikes[node.name].mean() < 0.98, f"{node.name} says nothing about the threshold"
    assert differing(expected, on_lava(net)) == 0


def test_overflow_is_reached() -> None:
    """Guards the net above: without wraps and saturation it would prove nothing about them."""
    net = overflowing()
    trace = execute(net.graph, net.spikes, EVERYTHING)
    weight = net.graph["f"].weight  # type: ignore[attr-defined]
    sums = (net.spikes.astype(np.int64) @ weight.raw.T) << 14
    assert np.abs(sums).max() > 1 << 31
    assert np.abs(trace.states["a", "u"]).max() > 1 << 23
    assert trace.states["a", "v"].min() == -(1 << 23) + 1


def test_plausible_mistakes_are_caught() -> None:
    """Negative controls: a weight, a decay, a comparison and a reset that are off by one each show."""
    net = dense()
    found = on_lava(net)
    assert differing(execute(net.graph, net.spikes, EVERYTHING), found) == 0

    f1, a, b = net.graph["f1"], net.graph["a"], net.graph["b"]
    assert isinstance(f1, Affine)
    assert isinstance(f1.weight, Fixed)
    assert isinstance(a, Neuron)
    assert isinstance(b, Neuron)
    raw = f1.weight.raw.copy()
    raw[3, 5] += 1 if raw[3, 5] < 127 else -1
    assert isinstance(a.decay_u, Fixed)
    for wrong in (
        with_node(net, "f1", weight=Fixed(raw, f1.weight.format)),
        with_node(net, "a", decay_u=Fixed(a.decay_u.raw + 1, a.decay_u.format)),
        with_node(net, "b", decay_v=Fixed(np.asarray(3001), b.decay_v.format)),  # type: ignore[union-attr]
    ):
        assert differing(execute(wrong.graph, net.spikes, EVERYTHING), found) > 0


def test_a_threshold_is_not_reached_but_passed() -> None:
    """gt, not ge: a net whose membranes stand exactly at the threshold now and then."""
    net = dense()
    net = with_node(net, "a", decay_u=Fixed(np.asarray(0), net.graph["a"].decay_u.format))  # type: ignore[attr-defined]
    net = with_node(net, "a", decay_v=Fixed(np.asarray(4096), net.graph["a"].decay_v.format))  # type: ignore[attr-defined]
    found = on_lava(net)
    assert differing(execute(net.graph, net.spikes, EVERYTHING), found) == 0
    wrong = with_node(net, "a", fires="ge")
    assert differing(execute(wrong.graph, net.spikes, EVERYTHING), found) > 0


@pytest.mark.usefixtures("in_a_row")
def test_without_the_reset_offset_samples_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    net = dense()
    monkeypatch.setattr(Timeline, "reset_step", lambda self, latency: 1 % self.period)
    assert differing(execute(net.graph, net.spikes, EVERYTHING), on_lava(net)) > 0


def test_a_du_that_is_off_by_one_in_lava_differs() -> None:
    net = dense()
    plan = plan_of(net.graph)
    wrong = replace(plan, populations=tuple(replace(p, du=p.du + 1 if p.du < 4095 else p.du) for p in plan.populations))
    assert isinstance(wrong, Plan)
    found = run_plan(wrong, net.graph, net.spikes, EVERYTHING)
    assert differing(execute(net.graph, net.spikes, EVERYTHING), found) > 0


@pytest.mark.usefixtures("in_a_row")
def test_an_echo_that_dies_needs_no_second_run() -> None:
    net = recurrent(vth=600)
    found = on_lava(net)
    assert differing(execute(net.graph, net.spikes, EVERYTHING), found) == 0
    assert found.meta["again"] < len(net.spikes) - 1


@pytest.mark.usefixtures("in_a_row")
def test_an_echo_that_lasts_is_found_and_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    net = self_sustaining()
    expected = execute(net.graph, net.spikes, EVERYTHING)
    found = on_lava(net)
    assert differing(expected, found) == 0
    assert found.meta["again"] == len(net.spikes) - 1
    monkeypatch.setattr(Timeline, "clean", lambda self, *_: np.ones((self.samples, 1), dtype=bool))
    assert differing(expected, on_lava(net)) > 0


def test_more_samples_than_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two copies, five samples: three slots, the last one half empty; one of them disturbed and run again."""
    net = self_sustaining()
    spikes = np.concatenate([net.spikes, net.spikes[:1]])
    program = backend.lower(net.graph, LOIHI1)
    size = sum(one.weights.size for one in program.data.synapses)
    monkeypatch.setattr(runner, "WORK", 4 * size)
    monkeypatch.setattr(runner, "MUCH_WORK", 4 * size)
    found = backend.run(program, spikes, EVERYTHING)
    assert found.meta["again"] == 3
    assert differing(execute(net.graph, spikes, EVERYTHING), found) == 0


def test_probes_select_what_is_recorded() -> None:
    net = dense()
    program = backend.lower(net.graph, LOIHI1)
    probes = Probes(("b", "in"), ("b",))
    found = backend.run(replace(program, data=None), net.spikes[:1], probes)
    expected = execute(net.graph, net.spikes[:1], probes)
    assert set(found.spikes) == {"b", "in"}
    assert differing(expected, found) == 0
    assert (found.backend, found.target) == ("loihi", "loihi1")
