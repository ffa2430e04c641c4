"""SLAYER files: the integers that are made of one compute what SLAYER and Lava compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import InputError, UnsupportedError
from snnc.formats.slayer_file import Fires, Place, SlayerNet, read
from snnc.ir import FixedGraph, Neuron
from snnc.quantize.base import Quantized
from snnc.target import Target
from snnc.trace import Probes
from snnc_loihi import backend as loihi
from snnc_loihi.target import LOIHI1
from snnc_reference.execute import execute
from snnc_reference.targets import GENERIC
from snnc_spinnaker.target import SPINNAKER1
from unit.formats.slayer_nets import Rules, by_hand, conv, dense, differing, net_bytes, neuron

EVERYTHING = Probes("all", "all")
TARGETS = (GENERIC, LOIHI1)


def even(seed: int, *shape: int, top: int = 40) -> Any:
    return 2 * np.random.default_rng(seed).integers(-top // 2, top // 2 + 4, shape)


def spikes_for(shape: tuple[int, ...], seed: int = 0, rate: float = 0.3) -> Any:
    return (np.random.default_rng(seed).random((2, 25, *shape)) < rate).astype(np.int8)


MLP = [
    dense(even(1, 12, 20), bias=np.arange(-6.0, 6.0, dtype=np.float32)),
    dense(even(2, 6, 12), neuron=neuron(iDecay=4096, vDecay=410, vThMant=24, type="LOIHI", wgtExp=0)),
]
CONV = [
    {"type": "input", "shape": [2, 6, 9]},
    conv(even(3, 4, 2, 3, 3), (3, 4), stride=[2, 2], padding=[1, 0], bias=np.array([2.0, -4, 0, 1])),
    conv(even(4, 4, 2, 2, 1)[..., np.newaxis], (1, 4), dilation=[2, 1], groups=2),
    {"type": "flatten", "shape": [16, 1, 1]},
    dense(even(5, 3, 16), shape=[3, 1, 1]),
]
NETS = {"mlp": MLP, "conv": CONV}


def net_of(layers: Any, fires: Fires = "gt") -> SlayerNet:
    return read(net_bytes(layers), "small.net", fires)


def integers(net: SlayerNet, target: Target) -> Quantized:
    made = net.integers(place_of(target))
    assert made is not None
    return made


def place_of(target: Target) -> Place:
    return Place(target.name, target.conventions, target.formats["threshold"])


def neuron_of(graph: FixedGraph, name: str) -> Neuron:
    node = graph[name]
    assert isinstance(node, Neuron)
    return node


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("name", NETS)
def test_integers_compute_what_the_file_says(name: str, target: Target) -> None:
    net = net_of(NETS[name])
    spikes = spikes_for(net.layers.shape)
    trace = execute(integers(net, target).graph, spikes, EVERYTHING)
    found = by_hand(net.layers, spikes)
    for layer, values in found.items():
        assert 0.02 < values["s"].mean() < 0.9, f"{layer} says nothing about the threshold"
    assert differing(found, trace) == 0


@pytest.mark.parametrize(
    "mistake",
    [Rules(decay="floor"), Rules(decay="nearest"), Rules(fires="ge"), Rules(delay=1), Rules(bias_in="u")],
    ids=str,
)
def test_a_mistake_would_be_seen(mistake: Rules) -> None:
    """Negative control: each plausible other reading gives other numbers."""
    net = net_of(MLP)
    spikes = spikes_for(net.layers.shape, rate=0.5)
    assert (
        differing(by_hand(net.layers, spikes), trace := execute(integers(net, GENERIC).graph, spikes, EVERYTHING)) == 0
    )
    assert differing(by_hand(net.layers, spikes, mistake), trace) > 0


def test_rows_and_columns_are_not_exchanged() -> None:
    """A kernel, stride and padding that differ by axis; the transposed weights give other numbers."""
    net = net_of(CONV)
    turned = [dict(layer) for layer in CONV]
    turned[1]["weight"] = CONV[1]["weight"].transpose(0, 1, 3, 2)
    spikes = spikes_for(net.layers.shape)
    trace = execute(integers(net, GENERIC).graph, spikes, EVERYTHING)
    assert differing(by_hand(net_of(turned).layers, spikes), trace) > 0


@pytest.mark.parametrize("fires", ["gt", "ge"])
def test_the_comparison_is_the_one_asked_for(fires: Fires) -> None:
    net = net_of([dense([[4]], neuron=neuron(iDecay=4096, vDecay=0, vThMant=8))], fires)
    spikes = np.ones((1, 6, 1), dtype=np.int8)
    expected = [0, 0, 1, 0, 0, 1] if fires == "gt" else [0, 1, 0, 1, 0, 1]
    for graph in (net.graph(), integers(net, GENERIC).graph, integers(net, LOIHI1).graph):
        assert execute(graph, spikes).spikes["layer0"].reshape(-1).tolist() == expected


def test_at_or_above_on_loihi_is_exact_without_remainders_only() -> None:
    """One step lower is the same where v is a multiple of 64; with a leak it is not, and a note says so."""
    exact = integers(net_of([dense([[4]], neuron=neuron(iDecay=0, vDecay=4096))], "ge"), LOIHI1)
    assert neuron_of(exact.graph, "layer0").threshold.raw == 29  # type: ignore[union-attr]
    assert not [entry for entry in exact.notes if entry.quantity == "fires"]
    leaky = integers(net_of([dense([[4]])], "ge"), LOIHI1)
    assert neuron_of(leaky.graph, "layer0").threshold.raw == 30  # type: ignore[union-attr]
    assert [entry.node for entry in leaky.notes if entry.quantity == "fires"] == ["layer0"]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_no_number_moves(target: Target) -> None:
    made = integers(net_of(MLP), target)
    assert {entry.quantity for entry in made.notes} == {"weight", "threshold", "bias", "decay_u", "decay_v"}
    assert max(entry.worst for entry in made.notes) == 0.0


def test_without_leak_the_float_graph_fires_as_the_integers() -> None:
    """The float graph differs by the truncation of decays alone: where nothing decays, by nothing."""
    flat = neuron(iDecay=4096, vDecay=0)
    net = net_of([dense(even(1, 12, 20), neuron=flat), dense(even(2, 6, 12), neuron=flat)])
    spikes = spikes_for((20,))
    left, right = execute(net.graph(), spikes, EVERYTHING), execute(integers(net, LOIHI1).graph, spikes, EVERYTHING)
    for name in ("layer0", "layer1"):
        assert np.array_equal(left.spikes[name], right.spikes[name])
        assert np.array_equal(left.states[name, "v"] * 4096, right.states[name, "v"])
    leaky = net_of(MLP)
    left, right = (execute(g, spikes, EVERYTHING) for g in (leaky.graph(), integers(leaky, LOIHI1).graph))
    assert not np.array_equal(left.states["layer0", "v"] * 4096, right.states["layer0", "v"])


def test_decays_may_differ_by_channel() -> None:
    several = neuron(vDecay=np.arange(12) * 300, iDecay=np.arange(12) * 100 + 50)
    net = net_of([dense(even(1, 12, 20), neuron=several)])
    spikes = spikes_for((20,))
    made = integers(net, GENERIC).graph
    assert differing(by_hand(net.layers, spikes), execute(made, spikes, EVERYTHING)) == 0
    with pytest.raises(UnsupportedError, match="12 values"):
        loihi.lower(integers(net, LOIHI1).graph, LOIHI1)


def test_a_layer_without_neurons_integrates() -> None:
    last = {key: value for key, value in dense(even(6, 3, 20)).items() if key != "neuron"}
    net = net_of([last])
    spikes = spikes_for((20,))
    trace = execute(integers(net, LOIHI1).graph, spikes, EVERYTHING)
    total = np.cumsum(spikes.astype(np.int64) @ last["weight"].astype(np.int64).T, axis=1)
    assert np.array_equal(trace.states["layer0", "v"], total * 64)
    assert trace.spikes["layer0"].sum() == 0
    assert net.graph().output is None


def test_one_signed_weights_keep_eight_bits() -> None:
    net = net_of([dense([[255, 0, 3]])])
    spikes = spikes_for((3,))
    made = integers(net, LOIHI1)
    assert differing(by_hand(net.layers, spikes), execute(made.graph, spikes, EVERYTHING)) == 0
    assert loihi.lower(made.graph, LOIHI1).payload["layer0_weights.w"].tolist() == [[255, 0, 3]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"weight": np.array([[3.0, -2]], dtype=np.float32)}, "layer0: weight is odd in 1 of 2 places"),
        ({"bias": [4096.0]}, "layer0: bias is 4096, allowed is -4095 to 4095"),
        ({"neuron": neuron(vThMant=131072)}, "layer0: threshold is 131072"),
    ],
)
def test_what_a_chip_does_not_hold_is_refused_there_only(change: dict[str, Any], text: str) -> None:
    net = net_of([{**dense([[4, -2]]), **change}])
    assert net.integers(place_of(GENERIC)) is not None
    with pytest.raises(UnsupportedError, match=text) as caught:
        net.integers(place_of(LOIHI1))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("key", "value", "text"), [("iDecay", 0, "decay_u"), ("vDecay", 4096, "decay_v")])
def test_registers_that_only_simulators_have_are_refused_on_the_chip(key: str, value: int, text: str) -> None:
    """netx would set du = -1 or dv = 4096, which no register holds."""
    net = net_of([dense([[4, -2]], neuron=neuron(**{key: value}))])
    spikes = spikes_for((2,))
    trace = execute(integers(net, GENERIC).graph, spikes, EVERYTHING)
    assert differing(by_hand(net.layers, spikes), trace) == 0
    with pytest.raises(UnsupportedError, match=text):
        loihi.lower(integers(net, LOIHI1).graph, LOIHI1)


def test_a_target_of_another_kind_quantizes_the_float_graph() -> None:
    assert net_of(MLP).integers(place_of(SPINNAKER1)) is None


INPUT = {"type": "input", "shape": [3], "weight": [76.0], "bias": [64.0], "neuron": neuron(iDecay=4096, vDecay=123)}


def test_values_become_spikes_as_the_input_layer_says() -> None:
    net = net_of([INPUT, dense([[2, 4, -2]])])
    values = np.array([[0.0, 0.5, 1.0], [0.25, 0.75, 0.1]])
    bias = np.array([[-12, 64, 140], [26, 102, 3]])
    v = np.zeros_like(bias)
    expected = []
    for _ in range(16):
        v = np.sign(v) * (np.abs(v) * (4096 - 123) // 4096) + bias * 64
        expected.append(v > 30 * 64)
        v = np.where(expected[-1], 0, v)
    found = net.encode(values, 16)
    assert np.array_equal(found, np.stack(expected, axis=1))
    assert found.mean() > 0.2
    assert not np.array_equal(net.encode(values, 16), net.encode(values * 0.9, 16))


def test_the_rounding_of_the_bias_is_a_choice() -> None:
    """2 * 76 * 0.5952 - 12 = 78.47; at a threshold of 78 only a bias of 79 fires in the first step."""
    layer = {**INPUT, "shape": [1], "neuron": neuron(vThMant=78)}
    net = net_of([layer, dense([[2]])])
    value = np.array([[(78.6 + 12) / 152]])
    assert net.encode(value, 1).item() == 1
    assert net.encode(value, 1, rounding="toward_zero").item() == 0


@pytest.mark.parametrize(
    ("values", "steps"), [(np.zeros((1, 2)), 4), (np.full((1, 3), np.nan), 4), (np.zeros((1, 3)), 0)]
)
def test_values_that_do_not_fit_are_refused(values: Any, steps: int) -> None:
    with pytest.raises(InputError, match="input: "):
        net_of([INPUT, dense([[2, 4, -2]])]).encode(values, steps)


def test_a_file_without_input_neurons_encodes_nothing() -> None:
    with pytest.raises(InputError, match="takes spikes"):
        net_of(MLP).encode(np.zeros((1, 20)), 4)
