"""Analog input: which integers it becomes, that the reference and onnxruntime agree, and who refuses it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.backend import discover
from snnc.errors import UnsupportedError
from snnc.formats import onnx_file, onnx_run
from snnc.ir import (
    Add,
    Affine,
    Conv,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Format,
    Graph,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
    describe,
    rebuild,
)
from snnc.passes import DEFAULT, run_passes
from snnc.quantize.base import Quantized, QuantizeOptions
from snnc.quantize.bounds import registers
from snnc.quantize.calibrate import calibrate
from snnc.quantize.direct import format_of
from snnc.target import check
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from snnc_reference.targets import GENERIC

EVERYTHING = Probes("all", "all")
Values = npt.NDArray[np.float64]


def chain(*nodes: Node) -> Graph:
    row = (*nodes, Readout("out"))
    return Graph(row, tuple(Edge(a.name, b.name) for a, b in pairwise(row)))


def two_layers(seed: int = 0) -> Graph:
    rng = np.random.default_rng(seed)
    return chain(
        Input("in", (12,), "direct"), Affine("fc", rng.normal(0.1, 0.4, (20, 12)), rng.normal(0, 0.1, 20)),
        Neuron("a", (20,), decay_v=0.9), Affine("head", rng.normal(0.2, 0.5, (4, 20))),
        Neuron("b", (4,), decay_u=0.5, decay_v=0.8, reset_v="subtract"),
    )  # fmt: skip


def image() -> Graph:
    rng = np.random.default_rng(1)
    return chain(
        Input("in", (1, 6, 6), "direct"), Pool("pool", "avg"),
        Conv("c", rng.normal(0.3, 0.6, (3, 1, 2, 2)), None, (1, 1), (0, 0), (1, 1)),
        Neuron("a", (3, 2, 2), decay_v=0.9), Flatten("flat"), Affine("head", rng.normal(0.2, 0.5, (4, 12))),
        Neuron("b", (4,), decay_v=0.8),
    )  # fmt: skip


def held(rng: np.random.Generator, *shape: int) -> Values:
    """The same values in every step of a sample."""
    return np.repeat(rng.uniform(0, 1, (shape[0], 1, *shape[2:])), shape[1], axis=1)


def moving(rng: np.random.Generator, *shape: int) -> Values:
    """Other values in every step, of both signs."""
    return np.asarray(rng.normal(0.3, 0.8, shape))


def quantized(graph: Graph, values: Values) -> tuple[Graph, Quantized]:
    ready, _ = run_passes(graph, (*DEFAULT, *GENERIC.prepare))
    assert check(ready, GENERIC) == ()
    return ready, GENERIC.quantize(ready, calibrate(ready, values, execute), QuantizeOptions())


def unlike(left: Trace, right: Trace) -> float:
    return max(float(np.mean(left.spikes[name] != right.spikes[name])) for name in right.spikes)


@pytest.mark.parametrize("values", [[0.0, 1.0], [-3.0, 0.5], [0.0, 255.0], [1e-9, 2e-9], [-1e6]])
def test_the_format_is_the_finest_that_holds_every_value(values: list[float]) -> None:
    array = np.array(values)
    fmt = format_of(array, 12)
    assert (fmt.bits, fmt.signed) == (12, bool(np.any(array < 0)))
    assert np.abs(array).max() <= fmt.maximum * fmt.step
    assert np.abs(array).max() > fmt.maximum * fmt.step / 2


def test_silence_has_a_format() -> None:
    assert format_of(np.zeros(3), 12) == Format(12, 0, signed=False)


@pytest.mark.parametrize("make", [two_layers, image])
@pytest.mark.parametrize("drive", [held, moving])
def test_integers_do_what_the_float_network_does(make: Any, drive: Any) -> None:
    graph = make()
    values = drive(np.random.default_rng(2), 5, 14, *graph.inputs[0].shape)
    ready, found = quantized(graph, values)
    truth, fixed = execute(ready, values, EVERYTHING), execute(found.graph, values, EVERYTHING)
    assert all(0.03 < spikes.mean() < 0.9 for spikes in truth.spikes.values())
    assert unlike(truth, fixed) < 0.02
    unit = found.graph.inputs[0].unit
    assert isinstance(unit, Fixed)
    coarse = Fixed(unit.raw, replace(unit.format, frac=unit.format.frac + 1))
    wrong = found.graph.replace_node(replace(found.graph.inputs[0], unit=coarse))
    assert unlike(truth, execute(wrong, values, EVERYTHING)) > 0.1, "control: values that count twice show"


def test_values_become_integers_by_rounding_and_clipping() -> None:
    """Every sum by hand: one neuron per input, no leak, no spike."""
    unit = Fixed(np.ones((), dtype=np.int64), Format(4, 1))
    graph = chain(Input("in", (5,), "direct"), Affine("fc", np.eye(5)), Neuron("n", (5,), decay_v=1.0, threshold=1e3))
    _, found = quantized(graph, np.full((1, 2, 5), 3.0))
    fixed = found.graph.replace_node(replace(found.graph.inputs[0], unit=unit))
    v = execute(fixed, np.array([[[0.25, 0.75, -0.5, 9.0, -9.0]]]), EVERYTHING).states["n", "v"].reshape(-1)
    assert (v / v[2]).tolist() == [0.0, -2.0, 1.0, -7.0, 8.0], "half to even; 4 bits hold -8 to 7"


def test_weights_on_the_grid_and_values_on_the_grid_are_exact() -> None:
    """Nothing rounds: integers and floats agree in every spike."""
    rng = np.random.default_rng(3)
    weight = rng.integers(-60, 128, (10, 8)) / 64
    graph = chain(Input("in", (8,), "direct"), Affine("fc", weight), Neuron("n", (10,), decay_v=1.0, threshold=3.0))
    values = rng.integers(0, 33, (4, 12, 8)) / 64
    ready, found = quantized(graph, values)
    truth = execute(ready, values)
    assert 0.05 < truth.spikes["n"].mean() < 0.95
    assert unlike(truth, execute(found.graph, values)) == 0


@pytest.mark.parametrize("make", [two_layers, image])
def test_onnxruntime_agrees(make: Any) -> None:
    graph = make()
    values = moving(np.random.default_rng(4), 3, 9, *graph.inputs[0].shape)
    _, found = quantized(graph, values)
    far = values * 1.7
    assert np.abs(far).max() > np.abs(values).max(), "some values clip"
    expected = execute(found.graph, far, EVERYTHING)
    ran = onnx_run.run(onnx_file.write(found.graph), far)
    same = [np.array_equal(expected.states[key], ran.states[key]) for key in expected.states]
    assert all(same)
    assert unlike(expected, ran) == 0
    assert not np.array_equal(execute(found.graph, values, EVERYTHING).states["a", "v"], ran.states["a", "v"])


def test_the_integers_travel() -> None:
    _, found = quantized(two_layers(), held(np.random.default_rng(5), 2, 5, 12))
    again = rebuild(*describe(found.graph))
    assert again.digest == found.graph.digest
    assert isinstance(again, FixedGraph)
    assert isinstance(again.inputs[0].unit, Fixed)
    read = onnx_file.read(onnx_file.write(found.graph))
    assert read.digest == found.graph.digest


def test_notes_speak_of_the_users_weights_and_of_the_values() -> None:
    graph = two_layers()
    values = held(np.random.default_rng(6), 3, 5, 12)
    _, found = quantized(graph, values)
    notes = {(entry.node, entry.quantity): entry for entry in found.notes}
    assert notes["in", "values"].count == np.unique(values).size
    assert 0 < notes["in", "values"].worst <= 2.0**-12
    weight = np.asarray(graph["fc"].weight)  # type: ignore[attr-defined]
    assert 1e-6 < notes["fc", "weight"].worst / np.abs(weight).max() < 0.02


def test_registers_are_bounded_by_the_format() -> None:
    _, found = quantized(two_layers(), held(np.random.default_rng(7), 3, 5, 12))
    sums = {entry.population: entry for entry in registers(found.graph) if entry.quantity == "x"}
    assert np.isfinite(sums["a"].range.peak)
    assert sums["a"].safe


def mixed_up() -> Graph:
    """Values and the spikes that they cause meet before the weights."""
    nodes = (
        Input("in", (4,), "direct"), Affine("fc", np.eye(4)), Neuron("a", (4,)), Add("sum"), Affine("g", np.eye(4)),
        Neuron("b", (4,)), Readout("out"),
    )  # fmt: skip
    edges = (
        Edge("in", "fc"), Edge("fc", "a"), Edge("a", "sum"), Edge("in", "sum"), Edge("sum", "g"), Edge("g", "b"),
        Edge("b", "out"),
    )  # fmt: skip
    return Graph(nodes, edges)


def test_values_and_spikes_on_one_weight_are_refused() -> None:
    graph = mixed_up()
    (found,) = check(graph, GENERIC)
    assert str(found).startswith("g: input is analog values of in with a, allowed is analog values alone")
    with pytest.raises(UnsupportedError, match="analog values of in with a"):
        GENERIC.quantize(graph, calibrate(graph, np.ones((1, 3, 4)), execute), QuantizeOptions())


def test_spinnaker_refuses_analog_values_and_says_what_to_do() -> None:
    _, target = discover().target("spinnaker1")
    found = [v for v in check(chain(*two_layers().nodes[:3]), target) if v.node == "in"]
    assert len(found) == 1
    assert "spikes" in found[0].fix
