"""Rung 5 for analog input: what the host programs as biases gives what the reference gives, every spike and state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.backend import Program
from snnc.errors import UnsupportedError
from snnc.ir import (
    Affine,
    Conv,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Format,
    Graph,
    Input,
    IntArray,
    Neuron,
    Node,
    Readout,
)
from snnc.passes import DEFAULT, run_passes
from snnc.quantize.base import Quantized, QuantizeOptions
from snnc.quantize.calibrate import calibrate
from snnc.target import Target, demand
from snnc.trace import Probes, Trace
from snnc_loihi import backend, host, runner
from snnc_loihi.plan import Host
from snnc_loihi.sim import recording
from snnc_loihi.target import LOIHI1
from snnc_loihi.target2 import LOIHI2
from snnc_reference.execute import execute
from unit.loihi.loihi_nets import differing

EVERYTHING = Probes("all", "all")
SAMPLES, STEPS = 5, 12
Values = npt.NDArray[np.float64]


def chain(*nodes: Node, extra: tuple[Edge, ...] = (), more: tuple[Node, ...] = ()) -> Graph:
    row = (*nodes, Readout("out"))
    return Graph((*row, *more), (*(Edge(a.name, b.name) for a, b in pairwise(row)), *extra))


def dense(extra: tuple[Edge, ...] = (), more: tuple[Node, ...] = ()) -> Graph:
    rng = np.random.default_rng(0)
    return chain(
        Input("in", (12,), "direct"), Affine("fc", rng.normal(0.1, 0.4, (20, 12)), rng.normal(0, 0.1, 20)),
        Neuron("a", (20,), decay_v=0.9, reset_v="zero"), Affine("head", rng.normal(0.2, 0.5, (4, 20))),
        Neuron("b", (4,), decay_v=0.8, reset_v="zero"), extra=extra, more=more,
    )  # fmt: skip


def recurrent() -> Graph:
    back = Affine("back", np.random.default_rng(1).normal(0, 0.3, (20, 20)))
    return dense((Edge("a", "back", 1), Edge("back", "a")), (back,))


def skipped() -> Graph:
    """The values drive the second layer, too, one step later on the chip."""
    side = Affine("side", np.random.default_rng(2).normal(0, 0.4, (4, 12)))
    return dense((Edge("in", "side"), Edge("side", "b")), (side,))


def image() -> Graph:
    rng = np.random.default_rng(3)
    return chain(
        Input("in", (2, 5, 5), "direct"),
        Conv("c", rng.normal(0.1, 0.3, (3, 2, 3, 3)), rng.normal(0, 0.1, 3), (2, 2), (1, 1), (1, 1)),
        Neuron("a", (3, 3, 3), decay_v=0.9, reset_v="zero"), Flatten("flat"),
        Affine("head", rng.normal(0.2, 0.5, (4, 27))), Neuron("b", (4,), decay_v=0.8, reset_v="zero"),
    )  # fmt: skip


def held(shape: tuple[int, ...]) -> Values:
    return np.repeat(np.random.default_rng(4).uniform(0, 1, (SAMPLES, 1, *shape)), STEPS, axis=1)


def made(graph: Graph, target: Target, values: Values | None = None) -> tuple[Quantized, Values]:
    values = held(graph.inputs[0].shape) if values is None else values
    ready, _ = run_passes(graph, (*DEFAULT, *target.prepare))
    demand(ready, target)
    return target.quantize(ready, calibrate(ready, values, execute), QuantizeOptions()), values


def both(graph: Graph, target: Target) -> tuple[Trace, Callable[[], Trace]]:
    quantized, values = made(graph, target)
    program: Program = backend.lower(quantized.graph, target)
    expected = execute(quantized.graph, values, EVERYTHING)
    for name, spikes in expected.spikes.items():
        assert 0.02 < spikes.mean() < 0.98, f"{name} says nothing about the threshold"
    return expected, lambda: backend.run(program, values, EVERYTHING)


@pytest.fixture(params=["in a row", "two copies", "side by side"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples one after the other in one copy of the network, in two copies, or each in its own."""
    copies = {"in a row": 1, "two copies": 2}.get(request.param)
    if copies is not None:
        monkeypatch.setattr(runner, "copies_that_pay", lambda plan, samples, work: min(copies, samples))


@pytest.mark.parametrize("target", [LOIHI1, LOIHI2], ids=lambda t: str(t.name))
@pytest.mark.parametrize("make", [dense, recurrent, skipped, image])
@pytest.mark.usefixtures("layout")
def test_lava_equals_the_reference(make: Callable[[], Graph], target: Target) -> None:
    expected, run = both(make(), target)
    assert "in" not in expected.spikes
    assert differing(expected, run()) == 0


def moved(steps: int) -> Any:
    original = recording.Biases.of

    def of(mantissas: IntArray, population: Any, timeline: Any) -> Any:
        return original(mantissas, replace(population, latency=population.latency + steps), timeline)

    return of


@pytest.mark.parametrize("steps", [-1, 1])
def test_a_bias_one_step_early_or_late_is_caught(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, run = both(dense(), LOIHI1)
    monkeypatch.setattr(recording.Biases, "of", moved(steps))
    assert differing(expected, run()) > 0


def test_a_bias_that_is_there_before_the_sample_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, run = both(recurrent(), LOIHI1)
    monkeypatch.setattr(runner, "copies_that_pay", lambda plan, samples, work: samples)
    monkeypatch.setattr(recording.Biases, "at", lambda self, step: self.mantissas[0])
    assert differing(expected, run()) > 0


def test_the_bias_of_another_sample_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, run = both(dense(), LOIHI1)
    original = runner.programs
    monkeypatch.setattr(
        runner, "programs", lambda *given: {k: np.roll(x, 1, axis=0) for k, x in original(*given).items()}
    )
    assert differing(expected, run()) > 0


def test_another_rounding_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, run = both(dense(), LOIHI1)

    def floor(one: Host, graph: FixedGraph, x: IntArray) -> IntArray:
        exact = host.through(graph, one.path, x.astype(np.float64)).reshape(len(x), -1).astype(np.int64) + one.bias
        return np.clip(exact >> one.down, -one.top, one.top)

    monkeypatch.setattr(host, "mantissas", floor)
    assert differing(expected, run()) > 0


def test_ties_go_to_the_even_mantissa_and_ends_saturate() -> None:
    """Sums of 1.5, 2.5, -0.5, -1.5 and far outside, in mantissas of 4."""
    weights = Fixed(np.array([[6], [10], [-2], [-6], [100000], [-100000], [7]]), Format(20, 0))
    quantized, _ = made(dense(), LOIHI1)
    one = Fixed(np.ones((), dtype=np.int64), Format(13, -2, overflow="saturate_symmetric"))
    cell = replace(quantized.graph.neurons[0], shape=(7,))
    nodes = (Input("in", (1,), "direct"), Affine("fc", weights, None, one), cell)
    edges = (Edge("in", "fc", 1), Edge("fc", "a"))
    graph = FixedGraph(nodes, edges, "loihi1", LOIHI1.conventions, {"in": 0, "a": 1})
    values = np.ones((1, 1, 1), dtype=np.int64)
    expected = execute(graph, values, EVERYTHING)
    mantissas = [2, 2, 0, -2, 4095, -4095, 2]
    assert expected.states["a", "v"][0, 0].tolist() == [4 * m for m in mantissas]
    assert not expected.states["a", "u"].any(), "a bias goes to v, not through u"
    program = backend.lower(graph, LOIHI1)
    assert host.programs(program.data, graph, values)["a"].tolist() == [mantissas]
    assert differing(expected, backend.run(program, values, EVERYTHING)) == 0


def test_values_that_change_are_refused_where_they_come_in() -> None:
    quantized, values = made(dense(), LOIHI1)
    moving = values.copy()
    moving[3, 5, 2] += 0.1
    with pytest.raises(UnsupportedError, match="in: values is other values within sample 3"):
        made(dense(), LOIHI1, moving)
    program = backend.lower(quantized.graph, LOIHI1)
    with pytest.raises(UnsupportedError, match=r"within sample 3.*same values in every step") as caught:
        backend.run(program, moving, EVERYTHING)
    assert "Encode the values as spikes" in str(caught.value)
    same = values.copy()
    same[3, 5, 2] += 1e-9
    assert differing(backend.run(program, values, EVERYTHING), backend.run(program, same, EVERYTHING)) == 0


def test_the_script_does_not_play_values() -> None:
    quantized, _ = made(dense(), LOIHI1)
    assert backend.export(backend.lower(quantized.graph, LOIHI1)) == {}


def broken(change: Callable[[FixedGraph], FixedGraph]) -> set[tuple[str, str]]:
    graph = change(made(dense(), LOIHI1)[0].graph)
    with pytest.raises(UnsupportedError) as caught:
        backend.lower(graph, LOIHI1)
    return {(v.node, v.quantity) for v in caught.value.violations}


def with_host(fmt: Format | None) -> Callable[[FixedGraph], FixedGraph]:
    def change(graph: FixedGraph) -> FixedGraph:
        fc = graph["fc"]
        assert isinstance(fc, Affine)
        made = None if fmt is None else Fixed(np.ones((), dtype=np.int64), fmt)
        return exchanged(graph, replace(fc, host=made, bias=fc.bias if fmt else None))

    return change


def exchanged(graph: FixedGraph, node: Node) -> FixedGraph:
    return replace(graph, nodes=tuple(node if one.name == node.name else one for one in graph.nodes))


def with_bias(graph: FixedGraph) -> FixedGraph:
    return exchanged(graph, replace(graph.neurons[0], bias=Fixed(np.array(3), Format(13, 0))))


def of_spikes(graph: FixedGraph) -> FixedGraph:
    return exchanged(graph, Input("in", (12,)))


def late(graph: FixedGraph) -> FixedGraph:
    return replace(graph, edges=tuple(Edge("in", "fc", 2) if e.source == "in" else e for e in graph.edges))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (with_host(Format(13, -8, overflow="saturate_symmetric")), {("fc", "bias exponent")}),
        (with_host(Format(13, 1, overflow="saturate_symmetric")), {("fc", "bias exponent")}),
        (with_host(Format(14, -7, overflow="saturate_symmetric")), {("fc", "bias mantissa")}),
        (with_host(Format(13, -7)), {("fc", "bias mantissa")}),
        (with_host(None), {("in", "input")}),
        (with_bias, {("a", "bias")}),
        (of_spikes, {("fc", "host")}),
        (late, {("fc", "delay")}),
    ],
)
def test_integers_that_are_no_biases_are_refused(
    change: Callable[[FixedGraph], FixedGraph], found: set[tuple[str, str]]
) -> None:
    assert broken(change) == found
