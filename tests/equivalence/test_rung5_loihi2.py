"""Rung 5 for Loihi 2: our process in Lava gives what the reference gives, for every program and at every edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snnc.ir import Affine, Edge, Fixed, Graph, Input, Neuron, Readout
from snnc.passes import DEFAULT, run_passes
from snnc.quantize.base import QuantizeOptions
from snnc.quantize.calibrate import calibrate
from snnc.target import demand
from snnc.trace import Probes, Trace
from snnc_loihi import backend, runner
from snnc_loihi.target2 import LOIHI2
from snnc_reference.execute import execute
from unit.loihi.loihi2_nets import PROGRAMS, at_the_edge, looped, programs
from unit.loihi.loihi_nets import EVERYTHING, Net, differing, with_node


def on_lava(net: Net) -> Trace:
    return backend.run(backend.lower(net.graph, LOIHI2), net.spikes, EVERYTHING)


def reference(net: Net) -> Trace:
    return execute(net.graph, net.spikes, EVERYTHING)


@pytest.fixture(scope="module")
def recorded() -> Trace:
    """Every program, run once."""
    return on_lava(programs())


def test_every_program_equals_the_reference(recorded: Trace) -> None:
    expected = reference(programs())
    for name in PROGRAMS:
        assert 0.03 < expected.spikes[name].mean() < 0.97, f"{name} says nothing about its reset"
    assert differing(expected, recorded) == 0


@pytest.mark.parametrize("make", [programs, looped])
def test_samples_one_after_the_other(make: Callable[[], Net], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WORK", 0)
    net = make()
    assert differing(reference(net), on_lava(net)) == 0


def test_overflow_is_reached_and_equal() -> None:
    net = at_the_edge()
    expected = reference(net)
    v = expected.states["a", "v"]
    assert np.abs(expected.states["a", "u"]).max() > 1 << 23
    assert (int(v.min()), expected.spikes["a"].any()) == (-(1 << 23) + 1, True)
    assert differing(expected, on_lava(net)) == 0


WRONG: dict[str, dict[str, Any]] = {
    "zero": {"reset_v": "subtract"},
    "soft": {"reset_v": "zero"},
    "soft_ge": {"reset_delay": 1},
    "value": {"reset_v": "zero"},
    "free": {"reset_v": "zero"},
    "soft_late": {"reset_delay": 0},
    "zero_late": {"reset_v": "none"},
    "value_late": {"refractory": 1},
    "clears": {"reset_u": False},
    "rests": {"refractory": 2},
    "rests_soft": {"refractory": 0},
}


@pytest.mark.parametrize("name", list(WRONG))
def test_another_program_shows(name: str, recorded: Trace) -> None:
    """Negative controls: the reference with one field of one population changed differs from what Lava ran."""
    assert differing(reference(with_node(programs(), name, **WRONG[name])), recorded) > 0


@pytest.mark.parametrize("register", ["decay_u", "decay_v", "threshold", "bias", "v_init", "v_reset"])
def test_a_register_that_is_off_by_one_shows(register: str, recorded: Trace) -> None:
    name = "value" if register == "v_reset" else "soft"
    net = programs()
    fixed = getattr(net.graph[name], register)
    raw = np.broadcast_to(fixed.raw, net.graph.shapes[name]) - (fixed.raw > fixed.format.minimum)
    wrong = with_node(net, name, **{register: Fixed(raw, fixed.format)})
    assert differing(reference(wrong), recorded) > 0


def test_the_comparison_shows() -> None:
    """A threshold that a membrane reaches and does not pass: ``gt`` and ``ge`` are not the same program."""
    net = programs()
    node = net.graph["soft"]
    assert isinstance(node, Neuron)
    assert isinstance(node.threshold, Fixed)
    fmt = node.threshold.format
    silent = with_node(net, "soft", threshold=Fixed(np.asarray(fmt.maximum), fmt))
    peak = int(reference(silent).states["soft", "v"][0].max())
    assert peak > 0
    even = with_node(net, "soft", threshold=Fixed(np.asarray(peak), fmt))
    found = on_lava(even)
    assert differing(reference(even), found) == 0
    assert differing(reference(with_node(even, "soft", fires="ge")), found) > 0


def test_neurons_of_a_layer_may_differ_down_the_whole_corridor() -> None:
    """Float decays, thresholds and reset values per neuron through passes, quantizer, lowering and Lava."""
    rng = np.random.default_rng(8)
    each = {
        "decay_u": rng.uniform(0, 0.8, 10),
        "decay_v": rng.uniform(0.5, 1, 10),
        "threshold": rng.uniform(0.6, 1.4, 10),
    }
    lif = Neuron("lif", (10,), **each, reset_v="subtract", refractory=1, bias=rng.normal(0, 0.05, 10), fires="gt")  # type: ignore[arg-type]
    nodes = (
        Input("in", (8,)),
        Affine("fc", rng.normal(0.2, 0.4, (10, 8)), rng.normal(0, 0.1, 10)),
        lif,
        Readout("out"),
    )
    graph = Graph(nodes, (Edge("in", "fc"), Edge("fc", "lif"), Edge("lif", "out")))
    spikes = (rng.random((4, 15, 8)) < 0.4).astype(np.int8)
    ready, _ = run_passes(graph, (*DEFAULT, *LOIHI2.prepare))
    demand(ready, LOIHI2)
    quantized = LOIHI2.quantize(ready, calibrate(ready, spikes, execute), QuantizeOptions())
    net = Net(quantized.graph, spikes)
    found = on_lava(net)
    assert differing(reference(net), found) == 0
    truth = execute(ready, spikes, Probes()).spikes["lif"]
    assert 0.05 < truth.mean() < 0.6
    assert np.mean(truth != found.spikes["lif"]) < 0.02, "the integers still mean the float network"
