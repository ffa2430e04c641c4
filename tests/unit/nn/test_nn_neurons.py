"""The neuron modules are their graph nodes: same spikes, same states; learnable values stay in range."""

from __future__ import annotations

import copy
import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from snnc.errors import ModelError
from snnc.ir import Edge, Graph, Input, Neuron
from snnc.nn import LIF, CubaLIF
from snnc.nn.neurons import EulerNeuron
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute

STEPS = 40
SHAPE = (3, 2, 2)
CHANNELS = (3, 1, 1)


def drive(grid: bool, seed: int = 0) -> np.ndarray:
    """[2, T, *SHAPE]; on a grid of quarters sums hit thresholds exactly."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.3, 0.6, (2, STEPS, *SHAPE))
    return np.round(values * 4) / 4 if grid else values


def executed(node: Neuron, x: np.ndarray) -> Trace:
    graph = Graph((Input("x", shape=x.shape[2:], encoding="direct"), node), (Edge("x", node.name),))
    return execute(graph, x, Probes(states="all"))


def stepped(module: EulerNeuron, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spikes, u and v of every step, [B, T, *shape]."""
    module.reset()
    found: list[tuple[torch.Tensor, ...]] = []
    with torch.no_grad():
        for t in range(x.shape[1]):
            s = module(torch.from_numpy(x[:, t]))
            found.append((s, module.u, module.v))
    s, u, v = (np.stack([step[i].numpy() for step in found], axis=1) for i in range(3))
    return s, u, v


def assert_same(module: EulerNeuron, node: Neuron, x: np.ndarray) -> None:
    trace = executed(node, x)
    s, u, v = stepped(module, x)
    assert 0 < s.mean() < 1
    np.testing.assert_array_equal(s, trace.spikes["n"])
    np.testing.assert_allclose(u, trace.states["n", "u"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(v, trace.states["n", "v"], rtol=1e-9, atol=1e-12)


def channels(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(CHANNELS)


MODULES = {
    "lif": lambda **k: LIF(SHAPE, decay=0.5, threshold=0.75, **k),
    "lif per channel": lambda **k: LIF(SHAPE, decay=channels(0.0, 0.6, 1.0), threshold=channels(0.5, 1.0, 1.5), **k),
    "lif per neuron": lambda **k: LIF(decay=np.linspace(0, 1, 12).reshape(SHAPE), **k),
    "lif learnable": lambda **k: LIF(SHAPE, decay=0.8, learn_decay=True, learn_threshold=True, **k),
    "cuba": lambda **k: CubaLIF(SHAPE, decay_u=0.25, decay_v=0.5, threshold=1.25, **k),
    "cuba per channel": lambda **k: CubaLIF(decay_u=channels(0.1, 0.5, 0.9), decay_v=channels(0.9, 0.5, 0.1), **k),
    "cuba learnable": lambda **k: CubaLIF(
        SHAPE, decay_u=channels(0.3, 0.4, 0.5), decay_v=0.7, learn_decay=True, learn_threshold=True, **k
    ),
}
RESETS = ({"reset": "zero"}, {"reset": "subtract"}, {"reset": "none"}, {"reset": "value", "v_reset": -0.25})


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("reset", RESETS, ids=lambda r: r["reset"])
@pytest.mark.parametrize("fires", ["ge", "gt"])
@pytest.mark.parametrize("grid", [True, False], ids=["grid", "normal"])
def test_module_is_its_node(make, reset, fires, grid):
    module = make(fires=fires, **reset).double()
    assert_same(module, module.node("n", SHAPE), drive(grid))


@pytest.mark.parametrize(
    "wrong",
    [
        {"fires": "gt"},
        {"reset_v": "subtract"},
        {"reset_v": "none"},
        {"reset_delay": 1},
        {"decay_v": 0.5 + 1e-6},
        {"decay_u": 0.25 + 1e-6},
        {"threshold": 0.76},
        {"v_reset": 0.0, "reset_v": "value", "v_init": 0.1},
    ],
    ids=str,
)
def test_a_wrong_node_is_caught(wrong):
    module = CubaLIF(SHAPE, decay_u=0.25, decay_v=0.5, threshold=0.75).double()
    node = module.node("n")
    assert_same(module, node, drive(grid=True))
    with pytest.raises(AssertionError):
        assert_same(module, replace(node, **wrong), drive(grid=True))


def test_fixed_values_keep_double_precision_in_every_module_precision():
    module = LIF(4, decay=0.9, threshold=1.1)
    for moved in (module, module.double(), module.float(), module.half()):
        node = moved.node("n")
        assert float(node.decay_v) == 0.9
        assert float(node.threshold) == 1.1
    assert float(np.float32(0.9)) != 0.9


def test_learnable_node_of_float32_module_is_the_one_of_its_double_copy():
    module = CubaLIF(4, decay_u=0.3, decay_v=0.9, learn_decay=True, learn_threshold=True)
    single, double = module.node("n"), copy.deepcopy(module).double().node("n")
    for key in ("decay_u", "decay_v", "threshold"):
        np.testing.assert_array_equal(getattr(single, key), getattr(double, key))
    assert float(single.decay_v) != float(module.decay_v.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spikes_and_states_have_the_dtype_of_the_input(dtype):
    module = CubaLIF(decay_u=0.5, learn_decay=True, learn_threshold=True)
    out = module(torch.full((2, 3), 2.0, dtype=dtype))
    assert out.dtype == module.u.dtype == module.v.dtype == dtype
    assert bool((out == 1).all())


def test_state_starts_anew_for_another_batch_size_and_after_reset():
    module = LIF(decay=1.0, threshold=10.0)
    x = torch.ones(2, 3)
    module(x)
    module(x)
    assert module.v.tolist() == [[2.0] * 3] * 2
    module(torch.ones(5, 3))
    assert module.v.tolist() == [[1.0] * 3] * 5
    module.reset()
    assert module.v is None
    assert module.u is None
    module(torch.ones(5, 3))
    assert module.v.tolist() == [[1.0] * 3] * 5


def test_copies_and_pickles_start_from_rest_and_leave_the_original_alone():
    module = LIF(learn_decay=True, decay=0.5, threshold=10.0)
    module(torch.ones(1, 2))
    before = module.v
    twin = copy.deepcopy(module)
    assert twin.v is None
    assert module.v is before
    twin(torch.ones(1, 2))
    assert torch.equal(twin.v, before)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=False).v is None


def test_state_dict_holds_values_but_no_state():
    module = LIF(decay=channels(0.1, 0.2, 0.3), threshold=2.0)
    before = set(module.state_dict())
    module(torch.ones(1, *SHAPE))
    assert set(module.state_dict()) == before
    other = LIF(decay=channels(0.5, 0.5, 0.5), threshold=1.0)
    other.load_state_dict(module.state_dict())
    np.testing.assert_array_equal(other.node("n", SHAPE).decay_v, module.node("n", SHAPE).decay_v)


@pytest.mark.parametrize("make", [LIF, CubaLIF])
def test_learnable_values_learn_and_stay_in_range(make):
    torch.manual_seed(0)
    module = make(learn_decay=True, learn_threshold=True)
    bounded = [module.decays_v, module.thresholds, *([module.decays_u] if module.decays_u else [])]
    start = [b().item() for b in bounded]
    optimizer = torch.optim.SGD(module.parameters(), lr=20.0)
    x = torch.rand(8, 4)
    for _ in range(30):
        module.reset()
        loss = -sum(module(x).mean() for _ in range(6))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert (module.threshold > 0).all()
        assert ((module.decay_v >= 0) & (module.decay_v <= 1)).all()
        module.reset()
    assert all(abs(b().item() - s) > 1e-3 for b, s in zip(bounded, start, strict=True))
    assert module.threshold.item() < start[1]


def test_a_learnable_threshold_stays_positive_where_softplus_underflows():
    module = LIF(3, learn_threshold=True)
    with torch.no_grad():
        module.thresholds.raw.fill_(-1e4)
    assert torch.nn.functional.softplus(module.thresholds.raw).item() == 0
    assert module.threshold.item() > 0
    Graph((Input("x", shape=(3,)), module.node("n")), (Edge("x", "n"),))


def test_learnable_values_start_where_they_were_put():
    module = CubaLIF(decay_u=0.123, decay_v=0.987, threshold=3.21, learn_decay=True, learn_threshold=True)
    found = [module.decay_u.item(), module.decay_v.item(), module.threshold.item()]
    np.testing.assert_allclose(found, [0.123, 0.987, 3.21], rtol=1e-6)
    assert LIF(decay=0.5).decay_u.item() == 0
    assert LIF(reset="value", v_reset=0.5).v_reset.item() == 0.5
    assert LIF().v_reset.item() == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decay": 1.1}, "decay_v is 1.1"),
        ({"decay": -0.1}, "decay_v is -0.1"),
        ({"decay": float("nan")}, "decay_v is nan"),
        ({"decay": 1.0, "learn_decay": True}, "0 < x < 1"),
        ({"threshold": 0.0}, "threshold is 0"),
        ({"threshold": [1.0, -2.0]}, "threshold is -2"),
        ({"threshold": float("inf")}, "threshold is inf"),
        ({"reset": "soft"}, "reset is 'soft'"),
        ({"fires": ">"}, "fires is '>'"),
        ({"surrogate": "box"}, "surrogate is 'box'"),
        ({"slope": 0.0}, "slope"),
        ({"reset": "value"}, "v_reset is given exactly when"),
        ({"v_reset": 0.5}, "v_reset is given exactly when"),
    ],
    ids=str,
)
def test_bad_options_are_refused_by_name(options, words):
    with pytest.raises(ModelError) as caught:
        LIF(**options)
    assert words in str(caught.value)


def test_bad_inputs_are_refused():
    with pytest.raises(ModelError, match=r"allowed is \[B, \*\(3,\)\]"):
        LIF(3)(torch.zeros(1, 4))
    with pytest.raises(ModelError, match="allowed is floating point"):
        LIF()(torch.zeros(1, 4, dtype=torch.int64))
    with pytest.raises(ModelError, match="has no shape"):
        LIF().node("n")
    with pytest.raises(ModelError, match="allowed is the module's shape"):
        LIF(3).node("n", (4,))
