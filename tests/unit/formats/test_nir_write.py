"""NIR files that snnc writes: they read back as the same network, and the report says what they do not hold."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
import snn_mlir
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.errors import InputError, UnsupportedError
from snnc.formats import nir_file
from snnc.formats.nir_file import Meaning
from snnc.formats.nir_write import Report, write
from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Delay,
    Edge,
    Flatten,
    Graph,
    Identity,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
)
from snnc.trace import Probes
from snnc_reference.execute import execute

RNG = np.random.default_rng(8)
SPIKES = (RNG.random((3, 40, 6)) < 0.4).astype(np.int8)
IMAGES = (RNG.random((2, 12, 2, 9, 8)) < 0.3).astype(np.int8)


def lif(name: str, shape: tuple[int, ...] | int = 4, **values: Any) -> Neuron:
    size = (shape,) if isinstance(shape, int) else shape
    return Neuron(name, size, **{"decay_v": np.array(0.9), "fires": "gt", **values})


def net(*nodes: Node, edges: Iterable[Edge] | None = None, dt: float = 0.0) -> Graph:
    """Input x -> nodes -> Readout y, unless the edges say otherwise."""
    every: tuple[Node, ...] = (Input("x", (6,)), *nodes, Readout("y"))
    names = [node.name for node in every]
    links = [Edge(a, b) for a, b in pairwise(names)] if edges is None else edges
    return Graph(every, tuple(links), dt)


def chain(*every: Node) -> Graph:
    """The nodes one behind the other."""
    return Graph(every, tuple(Edge(a.name, b.name) for a, b in pairwise(every)))


def dense(name: str, out: int = 4, into: int = 6, *, bias: bool = False) -> Affine:
    return Affine(name, RNG.normal(0.25, 0.5, (out, into)), RNG.normal(0, 0.2, out) if bias else None)


def again(graph: Graph, **options: Any) -> tuple[Graph, Report]:
    """The network after one way through a file, with what the report says about reading."""
    content, report = write(graph, **options)
    return nir_file.read(content, report.meaning, graph.inputs[0].encoding), report


def assert_same(graph: Graph, found: Graph, report: Report, spikes: np.ndarray = SPIKES) -> None:
    """Every spike and every membrane of every population, bit for bit."""
    left, right = execute(graph, spikes, Probes(states="all")), execute(found, spikes, Probes(states="all"))
    total = 0
    for node in graph.neurons:
        there = {old: new for new, old in report.names.items()}.get(node.name, node.name)
        np.testing.assert_array_equal(left.spikes[node.name], right.spikes[there])
        np.testing.assert_array_equal(left.states[node.name, "v"], right.states[there, "v"])
        total += int(left.spikes[node.name].sum())
    assert total > 10, "silence would prove nothing"


KINDS = {
    "LIF soft": {"reset_v": "subtract"},
    "LIF hard": {"reset_v": "zero"},
    "LIF to a value": {"reset_v": "value", "v_reset": np.array(-0.3)},
    "LIF late": {"reset_v": "subtract", "reset_delay": 1},
    "LIF zero late": {"reset_v": "zero", "reset_delay": 1},
    "LIF ge": {"fires": "ge", "threshold": np.array(0.75)},
    "LIF gain": {"gain": np.array(0.1), "threshold": np.array(0.08)},
    "LIF rest": {"v_rest": np.array(0.2)},
    "LIF memoryless": {"decay_v": np.array(0.0)},
    "LIF per neuron": {"decay_v": np.array([0.5, 0.8, 0.97, 0.99]), "threshold": np.array([1.0, 0.5, 2.0, 1.5])},
    "IF": {"decay_v": np.array(1.0), "gain": np.array(0.7)},
    "CubaLIF": {"decay_u": np.array(0.75), "gain_u": np.array(0.25), "gain": np.array(1.3)},
    "CubaLIF plain": {"decay_u": np.array(0.6), "reset_v": "subtract"},
    "Threshold": {"decay_v": np.array(0.0), "reset_v": "none"},
}


@pytest.mark.parametrize("dt", [0.0, 1e-3])
@pytest.mark.parametrize("kind", KINDS)
def test_populations_come_back_bit_for_bit(kind: str, dt: float) -> None:
    graph = net(dense("fc", bias=True), lif("lif", **KINDS[kind]), dt=dt)
    found, report = again(graph)
    assert_same(graph, found, report)
    assert report.rounded == {}
    assert report.lost == ()
    wrong = {"subtract": "zero", "zero": "subtract"}.get(report.meaning.reset)
    if wrong and "value" not in kind and "memoryless" not in kind:
        other = nir_file.read(write(graph)[0], replace(report.meaning, reset=wrong))
        assert np.any(execute(other, SPIKES).spikes["lif"] != execute(graph, SPIKES).spikes["lif"])


@pytest.mark.parametrize("kind", KINDS)
def test_nir_itself_reads_the_file(kind: str, tmp_path: Path) -> None:
    content, _ = write(net(dense("fc"), lif("lif", **KINDS[kind]), dt=1e-3))
    (tmp_path / "net.nir").write_bytes(content)
    found = nir.read(tmp_path / "net.nir")
    assert type(found.nodes["lif"]).__name__ == kind.split(maxsplit=1)[0]
    nir.write(tmp_path / "again.nir", found)
    assert nir_file.read(tmp_path / "again.nir", Meaning(1e-3, "zero", "euler")).shapes["lif"] == (4,)


def test_it_is_what_nir_writes(tmp_path: Path) -> None:
    """Names, types and shapes of every member, for the same primitives."""
    nodes = {
        "input": nir.Input({"input": np.array([6])}), "fc": nir.Affine(np.ones((4, 6)), np.ones(4)),
        "lif": nir.LIF(np.ones(4), np.ones(4), np.zeros(4), np.ones(4)),
        "output": nir.Output({"output": np.array([4])}),
    }  # fmt: skip
    nir.write(tmp_path / "theirs.nir", nir.NIRGraph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")]))
    content, _ = write(net(Affine("fc", np.ones((4, 6)), np.ones(4)), lif("lif")))
    with h5py.File(tmp_path / "theirs.nir") as theirs, h5py.File(io.BytesIO(content)) as ours:
        assert members(ours) == members(theirs)


def members(file: h5py.File) -> dict[str, Any]:
    found: dict[str, Any] = {}
    file.visititems(
        lambda name, item: found.update({name: (item.shape, item.dtype) if isinstance(item, h5py.Dataset) else None})
    )
    return found


def pictures() -> Graph:
    conv = Conv("conv", RNG.normal(0.2, 0.3, (4, 2, 3, 3)), RNG.normal(0, 0.1, 4), (1, 1), (1, 1), (1, 1))
    every: tuple[Node, ...] = (
        Input("x", (2, 9, 8)), conv, lif("a", (4, 9, 8)), Pool("pool", "sum"), Flatten("flat"),
        Affine("fc", RNG.normal(0, 0.2, (5, 64))), lif("b", 5, decay_v=np.array(1.0)), Readout("y"),
    )  # fmt: skip
    return chain(*every)


def test_convolutions_and_pools(tmp_path: Path) -> None:
    graph = pictures()
    found, report = again(graph)
    assert_same(graph, found, report, IMAGES)
    (tmp_path / "net.nir").write_bytes(write(graph)[0])
    assert set(nir.read(tmp_path / "net.nir").nodes) == {"input", "conv", "a", "pool", "flat", "fc", "b", "output"}


def test_what_nir_miscounts_is_remarked() -> None:
    weight = RNG.normal(0.3, 0.3, (4, 1, 3, 2))
    conv = Conv("conv", weight, None, (2, 1), (0, 1), (1, 1), 2)
    every: tuple[Node, ...] = (
        Input("x", (2, 9, 8)), conv, Scale("scale", np.array([1.0, 2.0, 0.5, 1.5]).reshape(4, 1, 1)),
        lif("a", (4, 4, 9)), Pool("pool", "avg", (2, 3), (2, 2), (0, 1)), lif("b", (4, 2, 5)), Readout("y"),
    )  # fmt: skip
    graph = chain(*every)
    found, report = again(graph)
    assert_same(graph, found, report, IMAGES)
    assert [v.node for v in report.outside if "type_check" in v.fix] == ["conv"]


def test_one_axis() -> None:
    conv = Conv("conv", RNG.normal(0.3, 0.4, (3, 2, 3)), None, (2,), (1,), (1,), 1)
    every: tuple[Node, ...] = (Input("x", (2, 8)), conv, lif("a", (3, 4)), Readout("y"))
    graph = chain(*every)
    found, report = again(graph)
    assert_same(graph, found, report, IMAGES[:, :, :, 0])


@pytest.mark.parametrize(("where", "steps"), [("lif", 1), ("rec", 1), ("lif", 3), ("rec", 2)])
def test_loops(where: str, steps: int) -> None:
    """A loop of one step behind its neuron needs no Delay node; any other has one, and is the same network."""
    graph = looped(where, steps)
    content, report = write(graph)
    found = nir_file.read(content, report.meaning)
    assert_same(graph, found, report)
    assert ("Delay" in kinds(content)) == ((where, steps) != ("lif", 1))
    other = looped("lif" if where == "rec" else "rec", steps)
    assert np.any(execute(other, SPIKES).spikes["lif"] != execute(graph, SPIKES).spikes["lif"])


def looped(where: str, steps: int) -> Graph:
    rng = np.random.default_rng(0)
    nodes = (
        Affine("fc", rng.normal(0.25, 0.5, (4, 6))), lif("lif", reset_v="subtract"),
        Affine("rec", rng.normal(-0.3, 0.5, (4, 4)), rng.normal(0.2, 0.2, 4)),
    )  # fmt: skip
    edges = [
        Edge("x", "fc"), Edge("fc", "lif"), Edge("lif", "rec", steps * (where == "lif")),
        Edge("rec", "lif", steps * (where == "rec")), Edge("lif", "y"),
    ]  # fmt: skip
    return net(*nodes, edges=edges)


def kinds(content: bytes) -> set[str]:
    with h5py.File(io.BytesIO(content)) as file:
        return {node["type"][()].decode() for node in file["node/nodes"].values()}


def test_additions_identities_and_delays() -> None:
    nodes = (dense("a"), dense("b"), Add("sum"), Identity("same"), Delay("wait", 2), lif("lif"))
    edges = [
        Edge("x", "a"), Edge("x", "b", 1), Edge("a", "sum"), Edge("b", "sum"), Edge("sum", "same"),
        Edge("same", "wait"), Edge("wait", "lif"), Edge("lif", "y"),
    ]  # fmt: skip
    graph = net(*nodes, edges=edges, dt=1e-3)
    found, report = again(graph)
    assert_same(graph, found, report)
    assert report.meaning.dt == 1e-3


def test_names_of_ends_and_their_doubles() -> None:
    every = (Input("output", (6,)), dense("input"), lif("output_"), Readout("end"))
    graph = chain(*every)
    found, report = again(graph)
    assert report.names == {"input": "output", "input_": "input", "output": "end"}
    assert_same(graph, found, report)


def test_the_report_says_what_a_reader_must_be_told() -> None:
    _, report = again(net(dense("fc"), lif("lif", reset_v="subtract", reset_delay=1, fires="ge"), dt=1e-3))
    assert report.meaning == Meaning(1e-3, "subtract-delayed", "euler", "ge")
    text = " ".join(str(v) for v in report.outside)
    for option in ("--dt 0.001", "--decay euler", "--reset subtract-delayed", "--fires ge"):
        assert option in text
    _, report = again(net(dense("fc"), lif("lif", decay_v=np.array(1.0))))
    assert report.meaning == Meaning(0.0, "zero", "", "gt")
    assert [v.quantity for v in report.outside] == ["reset"]


def test_time_constants_of_seconds_are_counted_in_steps() -> None:
    graph = net(dense("fc"), lif("lif", decay_v=np.array(0.9995)), dt=1e-3)
    found, report = again(graph)
    assert report.meaning.dt == 1.0
    assert_same(graph, found, report)
    with pytest.raises(InputError, match="give 1 to count steps"):
        write(graph, 1e-3)
    with pytest.raises(InputError, match="more than 0"):
        write(graph, -1.0)


def test_a_bias_becomes_a_resting_value() -> None:
    graph = net(dense("fc"), lif("lif", bias=np.array([0.1, 0.0, -0.05, 0.2])))
    found, report = again(graph)
    left, right = (execute(g, SPIKES, Probes(states="all")) for g in (graph, found))
    np.testing.assert_allclose(left.states["lif", "v"], right.states["lif", "v"], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(left.spikes["lif"], right.spikes["lif"])
    assert "lif.bias" in report.rounded


LOST = {
    "refractory": {"refractory": 2}, "reset_u": {"reset_u": True}, "v_init": {"v_init": np.array(0.5)},
    "one_shot": {"one_shot": True}, "output": {"output": "ternary"}, "fire_from": {"fire_from": "previous"},
}  # fmt: skip


@pytest.mark.parametrize("key", LOST)
def test_what_would_be_lost_is_refused_or_reported(key: str) -> None:
    graph = net(dense("fc"), lif("lif", **LOST[key]))
    with pytest.raises(UnsupportedError) as error:
        write(graph)
    assert [(v.node, v.quantity) for v in error.value.violations] == [("lif", key)]
    assert error.value.exit_code == 3
    found, report = again(graph, lossy=True)
    assert [v.quantity for v in report.lost] == [key]
    assert_same(net(graph["fc"], lif("lif")), found, report)


def test_populations_that_do_not_agree() -> None:
    graph = net(
        dense("a"), lif("one", reset_v="subtract"), dense("b", 4, 4), lif("two", reset_v="subtract"),
        dense("c", 4, 4), lif("three", fires="ge"),
    )  # fmt: skip
    with pytest.raises(UnsupportedError) as error:
        write(graph)
    assert [(v.node, v.quantity, v.found) for v in error.value.violations] == [
        ("three", "reset", "zero"), ("three", "fires", "ge"),
    ]  # fmt: skip
    found, report = again(graph, lossy=True)
    assert_same(graph.replace_node(lif("three", reset_v="subtract")), found, report)


REFUSED: dict[str, tuple[Node, str]] = {
    "max": (Pool("odd", "max"), "pooling is max"),
    "shift": (Scale("odd", np.ones(6), np.ones(6)), "fuse-batch-norm"),
    "no reset": (lif("odd", 6, reset_v="none"), "reset_v is none"),
    "growth": (lif("odd", 6, decay_v=np.array(1.1)), "decay_v is 1.1"),
    "partly": (lif("odd", 6, decay_v=np.array([1.0, 1, 1, 1, 1, 0.5])), "1 in some places"),
    "current": (lif("odd", 6, decay_v=np.array(1.0), decay_u=np.array(0.5)), "CubaLIF leaks"),
    "held current": (lif("odd", 6, decay_u=np.array(1.0)), "tau_syn"),
    "bias": (lif("odd", 6, decay_v=np.array(1.0), bias=np.array(0.1)), "weights before"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_nir_has_no_word_for(what: str) -> None:
    node, text = REFUSED[what]
    if isinstance(node, Pool):
        graph = chain(Input("x", (2, 9, 8)), node, lif("lif", (2, 4, 4)), Readout("y"))
    else:
        graph = net(node, dense("fc"), lif("lif"))
    for lossy in (False, True):
        with pytest.raises(UnsupportedError, match=text) as error:
            write(graph, lossy=lossy)
        assert [v.node for v in error.value.violations] == ["odd"]


def test_structures_that_nir_has_no_word_for() -> None:
    joined = net(dense("a"), dense("b"), Concat("odd"), lif("lif", 8), edges=[
        Edge("x", "a"), Edge("x", "b"), Edge("a", "odd"), Edge("b", "odd"), Edge("odd", "lif"), Edge("lif", "y"),
    ])  # fmt: skip
    late = net(dense("a"), lif("lif"), edges=[Edge("x", "a"), Edge("a", "lif"), Edge("lif", "y", 1)])
    current = net(dense("a"), lif("lif"), edges=[Edge("x", "a"), Edge("a", "lif"), Edge("a", "y")])
    twice = net(dense("a"), lif("lif"), edges=[Edge("x", "a"), Edge("a", "lif"), Edge("a", "lif", 1), Edge("lif", "y")])
    for graph, text in ((joined, "Concat"), (late, "1 steps before"), (current, "source is a"), (twice, "several")):
        with pytest.raises(UnsupportedError, match=text):
            write(graph)


def test_integrators_are_written() -> None:
    for kind, values in (("I", {"decay_v": np.array(1.0)}), ("LI", {}), ("CubaLI", {"decay_u": np.array(0.5)})):
        graph = net(dense("fc"), Neuron("out", (4,), **{"decay_v": np.array(0.9), **values}, output="graded"))
        found, report = again(graph)
        assert kind in kinds(write(graph)[0])
        twin, back = found["out"], graph["out"]
        assert isinstance(twin, Neuron)
        assert isinstance(back, Neuron)
        assert twin.output == "graded"
        np.testing.assert_array_equal(np.asarray(twin.decay_v), np.asarray(back.decay_v))
        assert report.meaning.reset == ""


def test_analog_input_is_remarked() -> None:
    every = (Input("x", (6,), "direct"), dense("fc"), lif("lif"), Readout("y"))
    graph = chain(*every)
    found, report = again(graph)
    assert_same(graph, found, report, SPIKES * 0.7)
    assert any(v.found == "analog values" for v in report.outside)


@pytest.mark.parametrize("kind", ["LIF hard", "IF plain", "CubaLIF unit", "loop", "pictures"])
def test_the_one_compiler_of_nir_files_accepts_ours(kind: str, tmp_path: Path) -> None:
    """snn-mlir takes unit gains and one value per population, and reads dt as tau / r."""
    graphs = {
        "LIF hard": net(dense("fc", bias=True), lif("lif")),
        "IF plain": net(dense("fc"), lif("lif", decay_v=np.array(1.0))),
        "CubaLIF unit": net(dense("fc"), lif("lif", decay_u=np.array(0.75))), "loop": looped("lif", 1),
        "pictures": pictures(),
    }  # fmt: skip
    (tmp_path / "net.nir").write_bytes(write(graphs[kind])[0])
    report = snn_mlir.check(tmp_path / "net.nir")
    assert report.ok, report.errors
    layers = snn_mlir.parse_graph(nir.read(tmp_path / "net.nir"))
    neuron = next(layer for layer in layers if layer.is_neuron)
    decay = getattr(neuron, "vol_decay", None) or neuron.decay
    assert decay == pytest.approx(1.0 if kind == "IF plain" else 0.9)


def test_it_refuses_what_it_has_no_word_for(tmp_path: Path) -> None:
    """Control: the check is able to fail."""
    (tmp_path / "net.nir").write_bytes(write(net(dense("fc"), lif("lif", v_rest=np.array(0.1))))[0])
    assert not snn_mlir.check(tmp_path / "net.nir").ok


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 0.9999), st.sampled_from([1.0]) | st.floats(1e-3, 1e3), st.sampled_from([1.0, 1e-3, 1e-4, 0.37]))
def test_any_decay_and_gain_come_back_within_rounding(decay: float, gain: float, dt: float) -> None:
    node = lif("lif", 6, decay_v=np.array(decay), gain=np.array(gain), threshold=np.array(gain))
    found, report = again(net(node), dt=dt if dt / (1 - decay) < 0.99 else 1.0)
    twin = found["lif"]
    assert isinstance(twin, Neuron)
    assert abs(float(np.asarray(twin.decay_v)) - decay) <= 2.3e-16
    assert float(np.asarray(twin.gain)) == pytest.approx(gain, rel=1e-15)
    same = float(np.asarray(twin.decay_v)) == decay and float(np.asarray(twin.gain)) == gain
    assert same == (report.rounded == {})
