"""How exporters write the same network differently, and what no file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnc.errors import InputError, UnsupportedError
from snnc.formats.nir_file import Meaning, read
from snnc.ir import Graph, Neuron
from snnc_reference.execute import execute
from unit.formats.nir_files import LIF, Fields, full, line, raw

RNG = np.random.default_rng(5)
WEIGHT = RNG.normal(0.4, 0.5, (3, 4))
SPIKES = (RNG.random((2, 80, 4)) < 0.4).astype(np.int8)
SAID = Meaning(1e-3, "zero", "euler")
DENSE: Fields = {"type": "Linear", "weight": WEIGHT}


def lif(shape: tuple[int, ...] | int, **values: float) -> Fields:
    return {"type": "LIF", **full(shape, **{**LIF, **values})}


def spikes(graph: Graph, name: str = "lif") -> np.ndarray:
    return execute(graph, SPIKES).spikes[name]


@pytest.fixture
def plain(tmp_path: Path) -> np.ndarray:
    """Spikes of the net whose file has nothing strange."""
    found = spikes(read(line(tmp_path / "plain.nir", (4,), (3,), fc=DENSE, lif=lif(3)), SAID))
    assert 20 < found.sum() < found.size // 2
    return found


def test_scalar_parameters(tmp_path: Path, plain: np.ndarray) -> None:
    """Norse writes them; nir cannot."""
    for shape in ((), (1,)):
        graph = read(line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=lif(shape)), SAID)
        np.testing.assert_array_equal(spikes(graph), plain)


@pytest.mark.parametrize(
    ("shape", "out"), [((1, 4), (1, 3)), ((5, 4), (5, 3)), ((1, 5, 4), (1, 5, 3)), ((1, 5, 4), (3,))]
)
def test_batch_and_time_axes(tmp_path: Path, plain: np.ndarray, shape: tuple[int, ...], out: tuple[int, ...]) -> None:
    """Sinabs writes [5, 4], rockpool [1, 5, 4] for a step of 4 inputs; parameters may carry the axis of 1, too."""
    for parameters in ((3,), (1, 3)):
        graph = read(line(tmp_path / "net.nir", shape, out, fc=DENSE, lif=lif(parameters)), SAID)
        assert graph.inputs[0].shape == (4,)
        np.testing.assert_array_equal(spikes(graph), plain)


def test_an_output_that_contradicts_the_input_is_refused(tmp_path: Path) -> None:
    path = line(tmp_path / "net.nir", (4,), (1, 1, 3), fc=DENSE, lif=lif(3))
    with pytest.raises(InputError, match=r"output shape is \(1, 1, 3\)"):
        read(path, SAID)


def test_flatten_counts_a_batch_axis(tmp_path: Path) -> None:
    conv = {"type": "Conv2d", "weight": np.ones((2, 1, 3, 3)), "stride": 1, "padding": 0, "dilation": 1, "groups": 1,
            "bias": np.zeros(2)}  # fmt: skip
    for start, declared in ((1, (1, 2, 2, 2)), (0, (2, 2, 2)), (0, None)):
        flat: dict[str, object] = {"type": "Flatten", "start_dim": start, "end_dim": -1}
        if declared is not None:
            flat["input_type"] = declared
        graph = read(line(tmp_path / "net.nir", (1, 1, 4, 4), (8,), conv=conv, flat=flat, lif=lif(8)), SAID)
        assert graph.shapes["flat"] == (8,)
    partly = {"type": "Flatten", "start_dim": 1, "end_dim": -1, "input_type": (2, 2, 2)}
    with pytest.raises(UnsupportedError, match="axes 1 to 2 of 3"):
        read(line(tmp_path / "net.nir", (1, 4, 4), (2, 4), conv=conv, flat=partly, lif=lif((2, 4))), SAID)


def test_an_input_of_any_name(tmp_path: Path, plain: np.ndarray) -> None:
    """SpikingJelly calls it input_1."""
    nodes = {"input_1": {"type": "Input", "shape": (4,)}, "fc": DENSE, "lif": lif(3),
             "end": {"type": "Output", "shape": (3,)}}  # fmt: skip
    graph = read(raw(tmp_path / "net.nir", nodes, [("input_1", "fc"), ("fc", "lif"), ("lif", "end")]), SAID)
    assert graph.inputs[0].name == "input_1"
    np.testing.assert_array_equal(spikes(graph), plain)


def test_names_that_a_graph_does_not_take(tmp_path: Path) -> None:
    graph = read(line(tmp_path / "net.nir", (4,), (3,), **{"fc 1": DENSE, "fc_1": lif(3)}), SAID)
    assert [n for n in graph.order if n.startswith("fc")] == ["fc_1", "fc_1_"]


def test_time_constants_in_steps(tmp_path: Path, plain: np.ndarray) -> None:
    """Sinabs writes tau = 10 for ten steps."""
    path = line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=lif(3, tau=10.0))
    graph = read(path, Meaning(1.0, "zero", "euler"))
    assert graph.dt == 0.0, "a step that was counted has no seconds"
    np.testing.assert_array_equal(spikes(graph), plain)
    with pytest.raises(InputError, match="give --dt 1"):
        read(path, SAID)
    with pytest.raises(InputError, match="--dt 1 if they count steps"):
        read(path, Meaning(0.0, "zero", "euler"))


def test_a_step_longer_than_the_time_constant_is_refused(tmp_path: Path) -> None:
    """Norse writes 1e-5 for 10 ms, and --dt 1 is wrong for seconds; both would forget everything in one step."""
    for tau, dt in ((1e-5, 1e-3), (0.01, 1.0)):
        path = line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=lif(3, tau=tau))
        for decay in ("euler", "exact"):
            with pytest.raises(InputError, match="shorter than the step"):
                read(path, Meaning(dt, "zero", decay))


def test_a_step_as_long_as_the_time_constant_keeps_nothing(tmp_path: Path) -> None:
    """What exporters write for a decay of 0; float32 must not make it negative."""
    path = line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=lif(3, tau=float(np.float32(0.00099999997)), r=1.0))
    node = read(path, SAID)["lif"]
    assert isinstance(node, Neuron)
    assert node.decay_v == 0.0
    assert node.gain == 1.0


def test_gain_of_rockpool(tmp_path: Path, plain: np.ndarray) -> None:
    """r = tau/dt * exp(-dt/tau) stays what it is: a gain."""
    r = 10 * np.exp(-0.1)
    graph = read(line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=lif(3, r=r)), SAID)
    node = graph["lif"]
    assert isinstance(node, Neuron)
    assert float(np.asarray(node.gain)) == pytest.approx(np.exp(-0.1))
    assert np.any(spikes(graph) != plain)


def test_current_neurons_without_w_in(tmp_path: Path) -> None:
    cuba = {"type": "CubaLIF", **full(3, tau_mem=0.01, tau_syn=0.005, r=1.0, v_leak=0.0, v_threshold=1.0)}
    node = read(line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=cuba), SAID)["lif"]
    assert isinstance(node, Neuron)
    assert float(np.asarray(node.gain_u)) == pytest.approx(0.2)


def test_per_neuron_parameters_stay(tmp_path: Path) -> None:
    values = {**lif(3), "tau": np.array([0.01, 0.02, 0.04])}
    node = read(line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=values), SAID)["lif"]
    assert isinstance(node, Neuron)
    np.testing.assert_allclose(np.asarray(node.decay_v), [0.9, 0.95, 0.975])


def test_a_parameter_of_another_shape_is_refused(tmp_path: Path) -> None:
    for shape in ((4,), (3, 3)):
        path = line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif={**lif(3), "r": np.arange(12.0)[: np.prod(shape)]
                    .reshape(shape)})  # fmt: skip
        with pytest.raises(InputError, match="lif: r shape"):
            read(path, SAID)


def test_everything_that_is_open_is_named_at_once(tmp_path: Path) -> None:
    path = line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=lif(3))
    with pytest.raises(InputError) as error:
        read(path, Meaning())
    for option in ("--dt SECONDS", "--decay euler", "exact", "--reset subtract", "zero-delayed"):
        assert option in str(error.value)


def test_unit_gains_settle_the_decay(tmp_path: Path) -> None:
    """r = tau/dt makes an input gain of 1 under forward Euler only; another r leaves it open."""
    path = line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=lif(3))
    assert read(path, Meaning(1e-3, "zero")).digest == read(path, SAID).digest
    assert read(path, Meaning(1e-3, "zero", "exact")).digest != read(path, SAID).digest
    with pytest.raises(InputError, match="--decay"):
        read(line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=lif(3, r=1.0)), Meaning(1e-3, "zero"))


def test_sub_graphs_are_flattened(tmp_path: Path, plain: np.ndarray) -> None:
    """Two levels, ports of any name; the same spikes as the flat file."""
    ports = {"in": {"type": "Input", "shape": (4,)}, "out": {"type": "Output", "shape": (3,)}}
    inner = {"type": "NIRGraph", "nodes": {**ports, "fc": DENSE}, "edges": [("in", "fc"), ("fc", "out")]}
    block = {"type": "NIRGraph", "nodes": {**ports, "deep": inner, "lif": lif(3)},
             "edges": [("in", "deep"), ("deep", "lif"), ("lif", "out")]}  # fmt: skip
    ends = {"input": {"type": "Input", "shape": (4,)}, "output": {"type": "Output", "shape": (3,)}}
    path = raw(tmp_path / "net.nir", {**ends, "block": block}, [("input", "block"), ("block", "output")])
    graph = read(path, SAID)
    assert set(graph.order) == {"input", "block.deep.fc", "block.lif", "output"}
    np.testing.assert_array_equal(spikes(graph, "block.lif"), plain)


def test_a_recurrent_sub_graph(tmp_path: Path) -> None:
    """The loop inside a sub-graph is the loop of the flat file (snnTorch's RSynaptic, Norse's recurrent cells)."""
    ports = {"input": {"type": "Input", "shape": (3,)}, "output": {"type": "Output", "shape": (3,)}}
    weights = {"type": "Linear", "weight": RNG.normal(-0.2, 0.3, (3, 3))}
    ring = [("input", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    block = {"type": "NIRGraph", "nodes": {**ports, "lif": lif(3), "rec": weights}, "edges": ring}
    ends = {"input": {"type": "Input", "shape": (4,)}, "output": {"type": "Output", "shape": (3,)}}
    nested = raw(tmp_path / "a.nir", {**ends, "fc": DENSE, "b": block},
                 [("input", "fc"), ("fc", "b"), ("b", "output")])  # fmt: skip
    edges = [("input", "fc"), ("fc", "b.lif"), ("b.lif", "b.rec"), ("b.rec", "b.lif"), ("b.lif", "output")]
    flat = raw(tmp_path / "b.nir", {**ends, "fc": DENSE, "b.lif": lif(3), "b.rec": weights}, edges)
    first, second = read(nested, SAID), read(flat, SAID)
    assert [(e.source, e.target) for e in first.edges if e.delay] == [("b.lif", "b.rec")]
    np.testing.assert_array_equal(spikes(first, "b.lif"), spikes(second, "b.lif"))


def test_analog_input(tmp_path: Path) -> None:
    graph = read(line(tmp_path / "net.nir", (4,), (3,), fc=DENSE, lif=lif(3)), SAID, "direct")
    assert graph.inputs[0].encoding == "direct"


def test_an_output_that_does_not_spike_is_refused(tmp_path: Path) -> None:
    path = line(
        tmp_path / "net.nir", (4,), (2,), fc=DENSE, lif=lif(3), last={"type": "Linear", "weight": np.ones((2, 3))}
    )
    with pytest.raises(UnsupportedError, match="output of is last"):
        read(path, SAID)
