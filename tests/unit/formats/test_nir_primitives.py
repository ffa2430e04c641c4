"""Every NIR primitive: what its node computes, against arithmetic written out here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from snnc.errors import InputError, UnsupportedError
from snnc.formats.nir_file import Meaning, read
from snnc.ir import Affine, Conv, Graph, Identity, Neuron, Pool, Scale
from snnc.trace import Probes
from snnc_reference.execute import execute
from unit.formats.nir_files import chain, full, line, raw, written

RNG = np.random.default_rng(3)
SPIKES = (RNG.random((2, 60, 4)) < 0.4).astype(np.int8)
WEIGHT = RNG.normal(0.3, 0.4, (3, 4))
BIAS = np.array([0.05, 0.0, -0.05])


def run(graph: Graph, name: str, spikes: np.ndarray = SPIKES) -> tuple[np.ndarray, np.ndarray]:
    trace = execute(graph, spikes, Probes(states="all"))
    return trace.spikes[name], trace.states[name, "v"]


def lif(x: np.ndarray, keep: float, gain: float, leak: float, soft: bool, decay_u: float = 0.0) -> np.ndarray:
    """Spikes of the equation in the module's docstring, threshold 1."""
    v = np.zeros_like(x[:, 0])
    u = np.zeros_like(v)
    found = np.zeros(x.shape, dtype=np.int8)
    for t in range(x.shape[1]):
        u = decay_u * u + x[:, t]
        v = keep * (v - leak) + leak + gain * u
        s = v > 1.0
        found[:, t] = s
        v = v - s if soft else np.where(s, 0.0, v)
    return found


def dense(path: Path, *neurons: nir.NIRNode) -> Path:
    return chain(path / "net.nir", (4,), nir.Affine(WEIGHT, BIAS), *neurons)


CURRENT = SPIKES.astype(float) @ WEIGHT.T + BIAS


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize(("decay", "r"), [("euler", 10.0), ("exact", 10.0), ("euler", 3.0)])
def test_lif(tmp_path: Path, decay: str, r: float, reset: str) -> None:
    path = dense(tmp_path, nir.LIF(**full(3, tau=0.01, r=r, v_leak=0.1, v_threshold=1.0)))
    graph = read(path, Meaning(1e-3, reset, decay))
    assert graph.dt == 1e-3
    keep = 1 - 0.1 if decay == "euler" else np.exp(-0.1)
    want = lif(CURRENT, keep, r * (1 - keep), 0.1, reset == "subtract")
    found, _ = run(graph, "n1")
    assert want.sum() > 10
    np.testing.assert_array_equal(found, want)
    # Negative controls: the other discretisation, the other reset, r ignored, the rest ignored.
    other = np.exp(-0.1) if decay == "euler" else 1 - 0.1
    for wrong in (
        lif(CURRENT, other, r * (1 - other), 0.1, reset == "subtract"), lif(CURRENT, keep, r * (1 - keep), 0.1,
        reset != "subtract"), lif(CURRENT, keep, 1.0 - keep, 0.1, reset == "subtract"),
        lif(CURRENT, keep, r * (1 - keep), 0.0, reset == "subtract"),
    ):  # fmt: skip
        assert np.any(wrong != found)


def test_time_constants_of_ten_milliseconds_are_not_memoryless(tmp_path: Path) -> None:
    """r = 1, tau = 10 ms: dt = tau / r would keep nothing."""
    path = dense(tmp_path, nir.LIF(**full(3, tau=0.01, r=1.0, v_leak=0.0, v_threshold=0.1)))
    node = read(path, Meaning(1e-3, "zero", "euler"))["n1"]
    assert isinstance(node, Neuron)
    assert node.decay_v == pytest.approx(0.9)
    assert node.gain == pytest.approx(0.1)


@pytest.mark.parametrize("decay", ["euler", "exact"])
def test_cuba_lif(tmp_path: Path, decay: str) -> None:
    values = full(3, tau_syn=0.004, tau_mem=0.01, r=2.0, v_leak=0.0, v_threshold=1.0)
    graph = read(dense(tmp_path, nir.CubaLIF(**values, w_in=np.full(3, 3.0))), Meaning(1e-3, "zero", decay))
    syn, mem = (1 - 0.25, 1 - 0.1) if decay == "euler" else (np.exp(-0.25), np.exp(-0.1))
    found, _ = run(graph, "n1")
    want = lif(CURRENT * 3.0 * (1 - syn), mem, 2.0 * (1 - mem), 0.0, False, syn)
    assert want.sum() > 10
    np.testing.assert_array_equal(found, want)
    for wrong in (
        lif(CURRENT * (1 - syn), mem, 2.0 * (1 - mem), 0.0, False, syn),
        lif(CURRENT * 3.0 * (1 - mem), syn, 2.0 * (1 - syn), 0.0, False, mem),
    ):
        assert np.any(wrong != found)


def test_integrate_and_fire_needs_no_step_but_a_reset(tmp_path: Path) -> None:
    path = dense(tmp_path, nir.IF(**full(3, r=0.7, v_threshold=1.0)))
    graph = read(path, Meaning(reset="subtract"))
    found, _ = run(graph, "n1")
    np.testing.assert_array_equal(found, lif(CURRENT, 1.0, 0.7, 0.0, True))
    assert np.any(found != lif(CURRENT, 1.0, 1.0, 0.0, True))
    with pytest.raises(InputError, match="--reset") as error:
        read(path, Meaning())
    assert "--dt" not in str(error.value)


def test_reset_words(tmp_path: Path) -> None:
    path = dense(tmp_path, nir.IF(**full(3, r=1.0, v_threshold=1.0)))
    kinds = {
        word: (node.reset_v, node.reset_delay)
        for word in ("zero", "subtract", "zero-delayed", "subtract-delayed")
        if isinstance(node := read(path, Meaning(reset=word))["n1"], Neuron)
    }
    assert kinds == {
        "zero": ("zero", 0), "subtract": ("subtract", 0), "zero-delayed": ("zero", 1),
        "subtract-delayed": ("subtract", 1),
    }  # fmt: skip


def test_a_reset_value_settles_the_reset(tmp_path: Path) -> None:
    path = dense(tmp_path, nir.IF(**full(3, r=1.0, v_threshold=1.0, v_reset=-0.5)))
    node = read(path, Meaning())["n1"]
    assert isinstance(node, Neuron)
    assert (node.reset_v, float(np.asarray(node.v_reset))) == ("value", -0.5)
    with pytest.raises(InputError, match=r"v_reset is 0\.5"):
        read(path, Meaning(reset="subtract"))


def test_fires_above_the_threshold_only(tmp_path: Path) -> None:
    path = chain(tmp_path / "net.nir", (1,), nir.Linear(np.ones((1, 1))), nir.IF(**full(1, r=1.0, v_threshold=1.0)))
    found, _ = run(read(path, Meaning(reset="zero")), "n1", np.ones((1, 4, 1), dtype=np.int8))
    assert found[0, :, 0].tolist() == [0, 1, 0, 1]


def test_threshold_has_no_memory(tmp_path: Path) -> None:
    path = dense(tmp_path, nir.Threshold(np.full(3, 0.5)))
    found, _ = run(read(path, Meaning()), "n1")
    assert 0 < found.sum() < found.size
    np.testing.assert_array_equal(found, CURRENT > 0.5)


def test_threshold_at_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threshold is 0"):
        read(dense(tmp_path, nir.Threshold(np.zeros(3))), Meaning())


@pytest.mark.parametrize("decay", ["euler", "exact"])
@pytest.mark.parametrize("kind", ["I", "LI", "CubaLI"])
def test_integrators_send_their_membrane(tmp_path: Path, kind: str, decay: str) -> None:
    """The spiking twin without a reset has the same membrane; the primitive needs no --reset."""
    values = {"tau_syn": 0.004, "tau_mem": 0.01, "tau": 0.01, "r": 2.0, "v_leak": 0.1, "w_in": 3.0}
    keys = {"I": ("r",), "LI": ("tau", "r", "v_leak"), "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in")}[kind]
    path = dense(tmp_path, getattr(nir, kind)(**full(3, **{key: values[key] for key in keys})))
    graph = read(path, Meaning(1e-3, decay=decay))
    node = graph["n1"]
    assert isinstance(node, Neuron)
    assert (node.output, node.reset_v) == ("graded", "none")
    assert [r.readout for r in graph.readouts] == ["sum"]
    _, found = run(graph.replace_node(replace(node, output="binary")), "n1")
    mem, syn = (0.9, 0.75) if decay == "euler" else (np.exp(-0.1), np.exp(-0.25))
    want = {
        "I": integrated(CURRENT, 1.0, 2.0, 0.0),
        "LI": integrated(CURRENT, mem, 2.0 * (1 - mem), 0.1),
        "CubaLI": integrated(CURRENT * 3.0 * (1 - syn), mem, 2.0 * (1 - mem), 0.1, syn),
    }
    np.testing.assert_allclose(found, want.pop(kind), rtol=1e-12, atol=1e-14)
    for other in want.values():
        assert np.abs(found - other).max() > 1e-3


def integrated(x: np.ndarray, keep: float, gain: float, leak: float, decay_u: float = 0.0) -> np.ndarray:
    v = np.zeros_like(x[:, 0])
    u = np.zeros_like(v)
    found = np.zeros_like(x)
    for t in range(x.shape[1]):
        u = decay_u * u + x[:, t]
        v = keep * (v - leak) + leak + gain * u
        found[:, t] = v
    return found


def test_every_refused_primitive_is_named(tmp_path: Path) -> None:
    strange = {"type": "Izhikevich", "r": np.ones(3)}
    path = line(tmp_path / "net.nir", (3,), (3,), n1=strange, n2={**strange, "type": "HH"})
    with pytest.raises(UnsupportedError) as error:
        read(path, Meaning())
    assert [v.node for v in error.value.violations] == ["n1", "n2"]


def test_fires_at_the_threshold_if_the_user_says_so(tmp_path: Path) -> None:
    """SpikingJelly and Norse compare with >=, and no file says it."""
    path = chain(tmp_path / "net.nir", (1,), nir.Linear(np.ones((1, 1))), nir.IF(**full(1, r=1.0, v_threshold=1.0)))
    found, _ = run(read(path, Meaning(reset="zero", fires="ge")), "n1", np.ones((1, 4, 1), dtype=np.int8))
    assert found[0, :, 0].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("version", "hint"), [("0.2.0", "soft"), ("1.0.5", "soft"), ("1.0.6", "hard"), ("1.0.8", "hard"), ("x.1", "")]
)
def test_the_version_says_what_the_reset_means(tmp_path: Path, version: str, hint: str) -> None:
    """It settles nothing: of the files of the NIR paper (0.2.0, soft by definition) some reset to zero."""
    path = dense(tmp_path, nir.IF(**full(3, r=1.0, v_threshold=1.0)))
    with h5py.File(path, "r+") as file:
        del file["version"]
        file["version"] = version
    with pytest.raises(InputError, match="--reset") as error:
        read(path, Meaning())
    assert (f"the {hint} reset" in str(error.value)) == bool(hint)
    assert ("of nir" in str(error.value)) == bool(hint)


def test_convolutions_pools_and_flatten(tmp_path: Path) -> None:
    """Written member by member: nir 1.0.8 refuses grouped convolutions and miscounts kernels that are not square."""
    weight = RNG.normal(size=(4, 1, 3, 3))
    one = {"r": 1.0, "v_threshold": 1.0}
    path = line(
        tmp_path / "net.nir", (2, 9, 9), (2,),
        n0={"type": "Conv2d", "input_shape": (9, 9), "weight": weight, "stride": (2, 1), "padding": (1, 0),
            "dilation": (1, 1), "groups": 2, "bias": np.array([0.1, 0, 0, 0])},
        n1={"type": "IF", **full((4, 5, 7), **one)},
        n2={"type": "SumPool2d", "kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)},
        n3={"type": "AvgPool2d", "kernel_size": (1, 3), "stride": 1, "padding": 0},
        n4={"type": "Flatten", "input_type": (4, 2, 1), "start_dim": 0, "end_dim": -1},
        n5={"type": "Linear", "weight": np.ones((2, 8))},
        n6={"type": "IF", **full(2, **one)},
    )  # fmt: skip
    graph = read(path, Meaning(reset="zero"))
    assert [graph.shapes[f"n{i}"] for i in range(7)] == [
        (4, 5, 7), (4, 5, 7), (4, 2, 3), (4, 2, 1), (8,), (2,), (2,),
    ]  # fmt: skip
    conv, pool, mean = graph["n0"], graph["n2"], graph["n3"]
    assert isinstance(conv, Conv)
    assert (conv.stride, conv.padding, conv.dilation, conv.groups) == ((2, 1), (1, 0), (1, 1), 2)
    np.testing.assert_array_equal(conv.weight, weight)
    assert isinstance(pool, Pool)
    assert isinstance(mean, Pool)
    assert (pool.pooling, mean.pooling, mean.kernel) == ("sum", "avg", (1, 3))


@pytest.mark.parametrize(("padding", "want"), [("same", (2,)), ("valid", (0,)), (1, (1,))])
def test_conv1d_and_its_padding(tmp_path: Path, padding: str | int, want: tuple[int, ...]) -> None:
    weight = RNG.normal(size=(3, 2, 5))
    size = 10 + 2 * want[0] - 4
    neuron = nir.IF(**full((3, size), r=1.0, v_threshold=1.0))
    path = chain(tmp_path / "net.nir", (2, 10), nir.Conv1d(10, weight, 1, padding, 1, 1, np.zeros(3)), neuron)
    conv = read(path, Meaning(reset="zero"))["n0"]
    assert isinstance(conv, Conv)
    assert conv.padding == want
    assert conv.bias is None, "a bias of zeros would cost a chip something"


def test_same_padding_of_an_even_kernel_is_refused(tmp_path: Path) -> None:
    conv = nir.Conv1d(10, np.ones((3, 2, 4)), 1, "same", 1, 1, np.zeros(3))
    path = chain(tmp_path / "net.nir", (2, 10), conv, nir.IF(**full((3, 10), r=1.0, v_threshold=1.0)))
    with pytest.raises(UnsupportedError, match="padding is 'same'"):
        read(path, Meaning(reset="zero"))


def test_affine_linear_and_scale(tmp_path: Path) -> None:
    gain = np.array([2.0, -1.0, 0.5])
    nodes = (nir.Affine(WEIGHT, BIAS), nir.Scale(gain), nir.IF(**full(3, r=1.0, v_threshold=1.0)))
    graph = read(chain(tmp_path / "net.nir", (4,), *nodes), Meaning(reset="zero"))
    weights, scale = graph["n0"], graph["n1"]
    assert isinstance(weights, Affine)
    assert isinstance(scale, Scale)
    np.testing.assert_array_equal(weights.weight, WEIGHT)
    np.testing.assert_array_equal(weights.bias, BIAS)
    np.testing.assert_array_equal(scale.gain, gain)
    found, _ = run(graph, "n2")
    np.testing.assert_array_equal(found, lif(CURRENT * gain, 1.0, 1.0, 0.0, False))


def test_delay_counts_steps(tmp_path: Path) -> None:
    delayed = dense(tmp_path, nir.Delay(np.full(3, 0.003)), nir.Threshold(np.full(3, 0.5)))
    graph = read(delayed, Meaning(1e-3))
    assert isinstance(graph["n1"], Identity)
    found, _ = run(graph, "n2")
    want = np.zeros_like(found)
    want[:, 3:] = (CURRENT > 0.5)[:, :-3]
    np.testing.assert_array_equal(found, want)
    assert np.any(found != np.roll(want, 1, axis=1))
    with pytest.raises(InputError, match="--dt"):
        read(delayed, Meaning())
    with pytest.raises(InputError, match=r"delay is 1\.5 steps"):
        read(delayed, Meaning(2e-3))


def test_delays_that_differ_are_refused(tmp_path: Path) -> None:
    path = dense(tmp_path, nir.Delay(np.array([0.001, 0.002, 0.001])), nir.Threshold(np.ones(3)))
    with pytest.raises(InputError, match="1 to 2 steps"):
        read(path, Meaning(1e-3))


def loop(path: Path, *, delay: float | None) -> Path:
    recurrent = nir.Affine(np.full((3, 3), -0.4), np.full(3, 0.2))
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": np.array([4])}), "fc": nir.Affine(WEIGHT, BIAS), "rec": recurrent,
        "lif": nir.IF(**full(3, r=1.0, v_threshold=1.0)), "output": nir.Output({"output": np.array([3])}),
    }  # fmt: skip
    edges = [("input", "fc"), ("fc", "lif"), ("rec", "lif"), ("lif", "output")]
    if delay is None:
        edges.append(("lif", "rec"))
    else:
        nodes["wait"] = nir.Delay(np.full(3, delay))
        edges += [("lif", "wait"), ("wait", "rec")]
    return written(path / "net.nir", nodes, edges)


@pytest.mark.parametrize(("delay", "steps"), [(None, 1), (0.0, 1), (0.001, 1), (0.002, 2)])
def test_a_loop_takes_a_step(tmp_path: Path, delay: float | None, steps: int) -> None:
    """The bias of the recurrent weights acts from step 0 on, the spikes one step (or the Delay) later."""
    graph = read(loop(tmp_path, delay=delay), Meaning(1e-3, "subtract"))
    found, _ = run(graph, "lif")
    want = looped(steps, bias_from=0)
    assert want.sum() > 10
    np.testing.assert_array_equal(found, want)
    assert np.any(found != looped(steps + 1, bias_from=0))
    assert np.any(found != looped(steps, bias_from=1)), "the delay sits behind the weights"


def looped(steps: int, bias_from: int) -> np.ndarray:
    v = np.zeros((2, 3))
    s = np.zeros((2, 60, 3))
    for t in range(60):
        before = s[:, t - steps] if t >= steps else np.zeros((2, 3))
        v = v + CURRENT[:, t] + before @ np.full((3, 3), -0.4).T + (0.2 if t >= bias_from else 0.0)
        s[:, t] = v > 1
        v = v - s[:, t]
    return s


def test_a_loop_over_two_populations_takes_one_step_in_all(tmp_path: Path) -> None:
    unit = {"type": "Linear", "weight": np.eye(2)}
    spike = {"type": "IF", "r": np.ones(2), "v_threshold": np.ones(2)}
    ends = {"input": {"type": "Input", "shape": (2,)}, "output": {"type": "Output", "shape": (2,)}}
    nodes = {**ends, "fc": unit, "a": spike, "ab": unit, "b": spike, "ba": unit}
    edges = [("input", "fc"), ("fc", "a"), ("a", "ab"), ("ab", "b"), ("b", "ba"), ("ba", "a"), ("b", "output")]
    graph = read(raw(tmp_path / "net.nir", nodes, edges), Meaning(reset="zero"))
    assert [(e.source, e.target) for e in graph.edges if e.delay] == [("b", "ba")]
    with pytest.raises(InputError, match="entered at several places"):
        read(raw(tmp_path / "two.nir", nodes, [*edges, ("fc", "b")]), Meaning(reset="zero"))


def test_a_loop_without_spikes_is_refused(tmp_path: Path) -> None:
    unit = {"type": "Linear", "weight": np.eye(2)}
    spike = {"type": "IF", "r": np.ones(2), "v_threshold": np.ones(2)}
    ends = {"input": {"type": "Input", "shape": (2,)}, "output": {"type": "Output", "shape": (2,)}}
    edges = [("input", "a"), ("a", "b"), ("b", "a"), ("a", "s"), ("s", "output")]
    with pytest.raises(InputError, match="no population"):
        read(raw(tmp_path / "net.nir", {**ends, "a": unit, "b": unit, "s": spike}, edges), Meaning(reset="zero"))
