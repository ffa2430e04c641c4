"""The first layer on the host: formats and notes of what is programmed as a bias, and who refuses it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnc.errors import UnsupportedError
from snnc.formats import onnx_file, onnx_run
from snnc.formats.onnx_rules import refusals as onnx_refusals
from snnc.ir import Affine, Conv, Edge, Fixed, FixedGraph, Format, Graph, Input, Neuron, Readout, describe, rebuild
from snnc.quantize.base import Quantized, QuantizeOptions
from snnc.quantize.bounds import ranges
from snnc.quantize.calibrate import calibrate
from snnc.quantize.host import rounded
from snnc.trace import Probes
from snnc_loihi.target import LOIHI1
from snnc_loihi.target2 import LOIHI2
from snnc_reference.execute import execute
from snnc_reference.refusals import refusals

EVERYTHING = Probes("all", "all")


def net(scale: float = 1.0, bias: object = 0.0, shape: tuple[int, ...] = (6,)) -> Graph:
    weights = Affine("fc", scale * np.random.default_rng(0).normal(0.1, 0.4, (6, 5)))
    nodes = (Input("in", (5,), "direct"), weights, Neuron("a", shape, decay_v=0.9, bias=bias), Readout("out"))
    return Graph(nodes, (Edge("in", "fc"), Edge("fc", "a"), Edge("a", "out")))


def values(samples: int = 4, steps: int = 6) -> np.ndarray:  # type: ignore[type-arg]
    return np.repeat(np.random.default_rng(1).uniform(0, 1, (samples, 1, 5)), steps, axis=1)


def quantized(graph: Graph, target: object = LOIHI1) -> Quantized:
    assert target in (LOIHI1, LOIHI2)
    return (LOIHI1 if target is LOIHI1 else LOIHI2).quantize(
        graph, calibrate(graph, values(), execute), QuantizeOptions()
    )


def host_format(found: Quantized) -> Format:
    node = found.graph["fc"]
    assert isinstance(node, Affine)
    assert isinstance(node.host, Fixed)
    return node.host.format


def test_the_drive_is_rounded_to_the_bias_register_and_noted() -> None:
    found = quantized(net())
    fmt = host_format(found)
    assert (fmt.bits, fmt.overflow) == (13, "saturate_symmetric")
    assert 0 <= -fmt.frac <= 7
    (entry,) = (entry for entry in found.notes if entry.quantity == "drive")
    unit = float(found.scales["a"])
    assert 0 < entry.worst <= fmt.step / 2 / unit * (1 + 1e-9)
    assert (entry.node, entry.count, entry.clipped) == ("fc", 4 * 6, ())


def test_the_membrane_gets_the_drive_that_the_float_network_has() -> None:
    found = quantized(net(bias=0.05))
    given = values()
    float_v = execute(net(bias=0.05), given, Probes("all", "all")).states["a", "v"][:, 0]
    fixed = execute(found.graph, given, Probes("all", "all"))
    spiked = fixed.spikes["a"][:, 0] == 1
    error = np.abs(fixed.states["a", "v"][:, 0] / found.scales["a"] - float_v)[~spiked]
    assert error.max() < 2e-3
    without = execute(net(), given, Probes("all", "all")).states["a", "v"][:, 0]
    assert np.abs(without - float_v)[~spiked].min() > 0.04, "a bias left out would show"


def test_loihi2_programs_whole_state_units() -> None:
    assert host_format(quantized(net(), LOIHI2)) == Format(24, 0, overflow="saturate_symmetric")


def test_weak_drives_have_a_small_exponent() -> None:
    strong, weak = host_format(quantized(net())), host_format(quantized(net(0.001)))
    assert -weak.frac < -strong.frac


def test_a_bias_per_neuron_of_one_channel_is_refused() -> None:
    nodes = (
        Input("in", (1, 3, 3), "direct"), Conv("fc", np.ones((1, 1, 2, 2)), None, (1, 1), (0, 0), (1, 1)),
        Neuron("a", (1, 2, 2), decay_v=0.9, bias=np.arange(4.0).reshape(1, 2, 2) / 40), Readout("out"),
    )  # fmt: skip
    graph = Graph(nodes, (Edge("in", "fc"), Edge("fc", "a"), Edge("a", "out")))
    with pytest.raises(UnsupportedError, match="a: bias is different in one channel"):
        LOIHI1.quantize(graph, calibrate(graph, np.ones((1, 4, 1, 3, 3)), execute), QuantizeOptions())


def test_rounding_is_to_the_nearest_with_ties_to_even() -> None:
    fmt = Format(4, -2, overflow="saturate_symmetric")
    sums = np.array([2, 6, 10, -2, -6, 7, 1000, -1000])
    assert rounded(sums, 0, fmt).raw.tolist() == [0, 2, 2, 0, -2, 2, 7, -7]
    assert rounded(np.array([1, -1]), -3, fmt).raw.tolist() == [2, -2]


def test_the_form_survives_a_file() -> None:
    graph = quantized(net()).graph
    again = rebuild(*describe(graph))
    assert isinstance(again, FixedGraph)
    assert again.digest == graph.digest
    assert host_format(replace(quantized(net()), graph=again)) == host_format(quantized(net()))


def test_what_the_host_clips_bounds_the_population() -> None:
    graph = quantized(net()).graph
    fmt = host_format(quantized(net()))
    assert ranges(graph)["a", "x"].peak <= fmt.maximum * fmt.step


def test_an_onnx_file_rounds_like_the_reference() -> None:
    graph, given = quantized(net(bias=0.05)).graph, values()
    expected, ran = execute(graph, given, EVERYTHING), onnx_run.run(onnx_file.write(graph), given)
    for key, state in expected.states.items():
        assert np.array_equal(ran.states[key], state), key
    assert np.array_equal(ran.spikes["a"], expected.spikes["a"])
    fc = graph["fc"]
    assert isinstance(fc, Affine)
    coarse = Fixed(np.ones((), dtype=np.int64), replace(host_format(quantized(net())), frac=-12))
    other = onnx_run.run(onnx_file.write(graph.replace_node(replace(fc, host=coarse))), given)
    assert not np.array_equal(other.states["a", "v"], expected.states["a", "v"]), "control: another rounding shows"


def test_it_belongs_to_integers_under_euler() -> None:
    graph = quantized(net()).graph
    assert refusals(graph) == onnx_refusals(graph) == ()
    other = replace(graph, conventions=replace(graph.conventions, membrane="closed_form"))
    for found in (refusals(other), onnx_refusals(other)):
        assert ("fc", "host") in {(v.node, v.quantity) for v in found}
