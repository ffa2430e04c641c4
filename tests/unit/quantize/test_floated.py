"""The float network that integers stand for: the same spikes, without the latencies of the target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnc.backend import discover
from snnc.config import Config
from snnc.errors import InputError, UnsupportedError
from snnc.formats import onnx_file
from snnc.ir import Add, Affine, Edge, FixedGraph, Graph, Input, Neuron, Readout
from snnc.passes import run_passes
from snnc.quantize.base import QuantizeOptions
from snnc.quantize.calibrate import calibrate
from snnc.quantize.floated import as_they_are, floated
from snnc.sources import open_source
from snnc.trace import npz_bytes

REGISTRY = discover()
EXECUTE = REGISTRY.reference.execute
SPIKES = (np.random.default_rng(1).random((8, 20, 6)) < 0.4).astype(np.int8)


def network(input_shape: int = 6) -> Graph:
    """Two layers that keep all of their membranes, a recurrent connection, and one past a layer."""
    rng = np.random.default_rng(0)

    def lif(name: str, size: int) -> Neuron:
        return Neuron(name, (size,), decay_v=np.ones(()), reset_v="zero", fires="gt")

    nodes = (
        Input("x", (input_shape,)), Affine("a", rng.normal(size=(10, input_shape))), Add("sum"), lif("one", 10),
        Affine("r", rng.normal(size=(10, 10)) * 0.3), Affine("b", rng.normal(size=(4, 10))),
        Affine("past", rng.normal(size=(4, input_shape))), lif("two", 4), Readout("output"),
    )  # fmt: skip
    edges = (
        Edge("x", "a"), Edge("a", "sum"), Edge("r", "sum"), Edge("sum", "one"), Edge("one", "r", 2), Edge("one", "b"),
        Edge("b", "two"), Edge("x", "past"), Edge("past", "two", 1), Edge("two", "output"),
    )  # fmt: skip
    return Graph(nodes, edges)


def integers(name: str) -> FixedGraph:
    _, target = REGISTRY.target(name)
    graph, _ = run_passes(network(), target.prepare)
    return target.quantize(graph, calibrate(graph, SPIKES, EXECUTE), QuantizeOptions()).graph


@pytest.mark.parametrize("name", ["generic", "loihi1", "loihi2"])
def test_spikes_are_those_of_the_integers(name: str) -> None:
    fixed = integers(name)
    graph = floated(fixed)
    want, found = EXECUTE(fixed, SPIKES), EXECUTE(graph, SPIKES)
    assert want.spikes["two"].any()
    for population in ("one", "two"):
        np.testing.assert_array_equal(found.spikes[population], want.spikes[population])


@pytest.mark.parametrize("name", ["generic", "loihi1"])
def test_delays_are_those_of_the_float_network(name: str) -> None:
    graph = floated(integers(name))
    total = {}
    for edge in graph.edges:
        if edge.target in ("a", "r", "b", "past"):
            (behind,) = graph.outgoing(edge.target)
            after = graph.outgoing(behind.target)[0].delay if behind.target == "sum" else 0
            total[edge.target] = edge.delay + behind.delay + after
    assert total == {"a": 0, "r": 2, "b": 0, "past": 1}


def test_device_delays_taken_for_delays_are_another_network() -> None:
    """Negative control: with hop delays left in, spikes are late."""
    fixed = integers("loihi1")
    graph = floated(fixed)
    late = replace(graph, edges=tuple(replace(e, delay=f.delay) for e, f in zip(graph.edges, fixed.edges, strict=True)))
    assert not np.array_equal(EXECUTE(late, SPIKES).spikes["two"], EXECUTE(fixed, SPIKES).spikes["two"])


def test_integers_are_taken_for_their_own_target_only() -> None:
    fixed = integers("loihi2")
    _, loihi = REGISTRY.target("loihi2")
    own = as_they_are(fixed, "loihi2", (loihi.conventions,))
    assert own is not None
    assert own.graph is fixed
    assert float(own.scales["one"]) == 2.0**fixed.conventions.state_frac
    assert as_they_are(fixed, "generic", (fixed.conventions,)) is None
    with pytest.raises(UnsupportedError, match=r"conventions of the file.*model.float.onnx"):
        as_they_are(fixed, "loihi2", (replace(loihi.conventions, state_bits=20),))


def test_files_of_integers_open_as_they_are(tmp_path: Path) -> None:
    fixed = integers("loihi2")
    path, data = tmp_path / "model.fixed.onnx", tmp_path / "data.npz"
    path.write_bytes(onnx_file.write(fixed))
    data.write_bytes(npz_bytes({"spikes": SPIKES}))
    source = open_source(str(path), data, Config(), REGISTRY.reference)
    assert source.integers is not None
    own = source.integers(REGISTRY.target("loihi2")[1])
    assert own is not None
    assert own.graph.digest == fixed.digest
    assert source.integers(REGISTRY.target("generic")[1]) is None
    with pytest.raises(InputError, match="holds integers already; --weight-bits"):
        open_source(str(path), data, Config().override("compile", weight_bits=4), REGISTRY.reference)


def test_what_has_no_plain_float_network_is_refused() -> None:
    fixed = integers("generic")
    with pytest.raises(UnsupportedError, match=r"membrane is closed_form.*model.float.onnx"):
        floated(replace(fixed, conventions=replace(fixed.conventions, membrane="closed_form")))
    with pytest.raises(UnsupportedError, match="x: encoding is direct, as integers"):
        floated(fixed.replace_node(replace(fixed["x"], encoding="direct")))
