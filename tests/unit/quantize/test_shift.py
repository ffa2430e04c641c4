"""quantize_shift: what must be exact is exact, and what cannot be gets better with more bits and better gains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.ir import Affine, Conv, Edge, Fixed, Flatten, Format, Graph, Input, Neuron, Readout
from snnc.quantize.base import Quantized, QuantizeOptions
from snnc.quantize.fit import Load
from snnc.quantize.shift import ShiftProfile, quantize_shift
from snnc_reference.execute import execute
from unit.quantize import nets

IF_CURRENT = replace(nets.LOIHI, decay_u_raw=(0, 4096))
EXACT: list[tuple[ShiftProfile, dict[str, Any]]] = [
    *[
        (profile, options)
        for profile in (nets.GENERIC, IF_CURRENT)
        for options in (
            {},
            {"fires": "gt"},
            {"threshold": 1.45},
            {"fires": "gt", "threshold": 1.45, "refractory": 2},
            {"reset_v": "value", "v_reset": -0.5, "v_init": 0.25},
            {"reset_v": "subtract", "fires": "gt"},
            {"decay_u": 1.0, "threshold": 40.0},
        )
    ],
    (nets.GENERIC, {"reset_v": "subtract"}),
]


def fixed(value: object) -> Fixed:
    assert isinstance(value, Fixed)
    return value


def neuron(made: Quantized, name: str) -> Neuron:
    node = made.graph[name]
    assert isinstance(node, Neuron)
    return node


def weights(made: Quantized, name: str) -> Fixed:
    node = made.graph[name]
    assert isinstance(node, (Affine, Conv))
    return fixed(node.weight)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zeros_of_either_sign_clip_nothing(zero: float) -> None:
    """Only the largest magnitude limits the gain; a limit divided by -0.0 would be -inf, and everything would clip."""
    weight = np.array([[-15.0, zero], [zero, -15.0]])
    one = Load("loop", weight, None, np.ones(()), np.ones(()), signed=True, grid=15.0)
    fmt = Format(8, 0, signed=True)
    assert one.fit(fmt, np.ones(()), per_channel=False) == pytest.approx(128 / 15)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("profile", "options"), EXACT, ids=lambda x: getattr(x, "target", str(x)))
def test_numbers_that_fit_are_exact(profile: ShiftProfile, options: dict[str, Any], seed: int) -> None:
    graph = nets.whole(seed, **options)
    made = nets.quantized(graph, 8, profile)
    assert set(nets.wrong(graph, made.graph).values()) == {0}
    assert max(entry.worst for entry in made.notes if entry.quantity in {"weight", "bias"}) == 0
    assert "fires" not in {entry.quantity for entry in made.notes}


@pytest.mark.parametrize("profile", [nets.GENERIC, IF_CURRENT], ids=lambda x: x.target)
@pytest.mark.parametrize("steps", [-1, 1])
def test_a_threshold_one_step_off_is_caught(profile: ShiftProfile, steps: int) -> None:
    """Negative control of the exact cases: the smallest wrong threshold that matters changes spikes."""
    graph = nets.whole(0, fires="gt")
    made = nets.quantized(graph, 8, profile)
    m = neuron(made, "m")
    weight = weights(made, "d")
    lattice = int(np.gcd.reduce(np.abs(weight.aligned(0)).reshape(-1)))
    threshold = fixed(m.threshold)
    moved = Fixed(threshold.raw + steps * (lattice >> -threshold.format.frac), threshold.format)
    assert nets.wrong(graph, made.graph.replace_node(replace(m, threshold=moved)))["m"] > 0


def test_leaving_ge_where_only_gt_exists_is_caught() -> None:
    """Negative control: gt with the unmoved threshold is another network."""
    graph = nets.whole(0)
    made = nets.quantized(graph, 8, IF_CURRENT)
    n = neuron(made, "n")
    assert n.fires == "gt"
    unmoved = replace(n, threshold=Fixed(fixed(n.threshold).raw + 1, fixed(n.threshold).format))
    assert nets.wrong(graph, made.graph.replace_node(unmoved))["n"] > 0


def test_ge_is_noted_where_it_cannot_be_exact() -> None:
    made = nets.quantized(nets.mlp(bias=False), 8, nets.LOIHI)
    notes = {entry.node: entry for entry in made.notes if entry.quantity == "fires"}
    assert set(notes) == {"n0", "n1"}
    assert notes["n0"].format == "gt"
    assert notes["n0"].rounded == (0,)
    assert 0 < notes["n0"].worst < 1e-4
    assert neuron(made, "n0").fires == "gt"
    assert "fires" not in {e.quantity for e in nets.quantized(nets.mlp(bias=False, fires="gt"), 8, nets.LOIHI).notes}


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_error_shrinks_with_bits(reset: str) -> None:
    graph = nets.mlp(reset_v=reset)
    counts = [sum(nets.wrong(graph, nets.quantized(graph, bits).graph).values()) for bits in (2, 4, 6, 8, 12, 16)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 10 * counts[3] > 0
    total = sum(int(execute(graph, nets.spikes((32,), 1)).spikes[n].sum()) for n in ("n0", "n1"))
    assert counts[-1] <= total * 0.003


@pytest.mark.parametrize("bits", [3, 4, 6])
def test_the_gain_beats_the_one_at_which_nothing_clips(bits: int) -> None:
    """The search earns its keep on weights with a long tail: compared with 'largest weight = largest integer'."""
    rng = np.random.default_rng(3)
    graph = nets.mlp()
    fc = graph["fc0"]
    assert isinstance(fc, Affine)
    graph = graph.replace_node(replace(fc, weight=rng.standard_t(2, fc.weight.shape) * 0.25))
    made = nets.quantized(graph, bits)
    gain = float(made.scales["n0"])
    naive = ((1 << (bits - 1)) - 1) * 64 / float(np.abs(np.asarray(graph["fc0"].params()["weight"])).max())
    found = made.graph
    for name in ("weight", "bias"):
        value = np.rint(np.asarray(graph["fc0"].params()[name]) * naive / (64 if name == "weight" else 1))
        old = fixed(found["fc0"].params()[name])
        found = found.replace_node(replace(found["fc0"], **{name: Fixed(value.astype(np.int64), old.format)}))
    n0 = neuron(made, "n0")
    found = found.replace_node(replace(n0, threshold=Fixed(np.int64(round(naive)), Format(32, 0))))
    assert gain > naive * 1.05
    assert nets.wrong(graph, made.graph)["n0"] < 0.7 * nets.wrong(graph, found)["n0"]


def test_per_channel_beats_per_layer_when_channels_differ() -> None:
    graph = nets.mlp()
    fc, n0 = graph["fc0"], graph["n0"]
    assert isinstance(fc, Affine)
    assert isinstance(n0, Neuron)
    spread = np.geomspace(0.05, 1.0, 40)
    wide = replace(fc, weight=np.asarray(fc.weight) * spread[:, None], bias=np.asarray(fc.bias) * spread)
    graph = graph.replace_node(wide).replace_node(replace(n0, threshold=spread))
    layer, channel = (nets.quantized(graph, 6, per_channel=each) for each in (False, True))
    assert layer.scales["n0"].shape == ()
    assert channel.scales["n0"].shape == (40,)
    assert nets.wrong(graph, channel.graph)["n0"] * 3 < nets.wrong(graph, layer.graph)["n0"]


def test_per_channel_gains_of_a_convolution() -> None:
    graph = nets.whole(0, decay_v=0.8)
    c = graph["c"]
    assert isinstance(c, Conv)
    graph = graph.replace_node(
        replace(c, weight=np.asarray(c.weight) * np.array([1.0, 0.37, 0.11])[:, None, None, None])
    )
    made = nets.quantized(graph, 8, per_channel=True)
    assert made.scales["n"].shape == (3, 1, 1)
    assert fixed(neuron(made, "n").threshold).shape == (3, 1, 1)
    back = weights(made, "c").to_float() / made.scales["n"][..., None]
    assert np.allclose(back, np.asarray(graph["c"].params()["weight"]), atol=0.01)


def test_weights_that_lie_on_a_grid_stay_on_it() -> None:
    """Quantization-aware training leaves multiples of an odd step in float32; they must come out as those integers."""
    rng = np.random.default_rng(5)
    whole = rng.integers(-90, 100, (40, 32))
    graph = nets.mlp(bias=False)
    fc = graph["fc0"]
    assert isinstance(fc, Affine)
    graph = graph.replace_node(replace(fc, weight=(whole * np.float32(0.00731)).astype(np.float32)))
    for profile in (nets.GENERIC, nets.LOIHI):
        made = nets.quantized(graph, 8, profile)
        assert np.array_equal(weights(made, "fc0").raw, whole)
    fewer = nets.quantized(graph, 7)
    assert not np.array_equal(weights(fewer, "fc0").raw, whole)


def test_thresholds_per_neuron_are_divided_into_the_weights() -> None:
    graph = nets.mlp(bias=False)
    n0 = graph["n0"]
    assert isinstance(n0, Neuron)
    varied = np.random.default_rng(2).uniform(0.5, 1.5, 40)
    graph = graph.replace_node(replace(n0, threshold=varied))
    made = nets.quantized(graph, 8, nets.LOIHI)
    assert fixed(neuron(made, "n0").threshold).shape == ()
    assert np.allclose(made.scales["n0"] * varied, made.scales["n0"][0] * varied[0])
    right = nets.wrong(graph, made.graph)["n0"]
    flat = graph.replace_node(replace(n0, threshold=np.full(40, varied.mean())))
    careless = nets.wrong(graph, nets.quantized(flat, 8, nets.LOIHI).graph)["n0"]
    assert right * 5 < careless


def test_thresholds_per_channel_of_a_convolution_are_divided_into_the_weights() -> None:
    graph = nets.whole(1, decay_v=0.9, threshold=1.5)
    n = graph["n"]
    assert isinstance(n, Neuron)
    graph = graph.replace_node(replace(n, threshold=np.array([1.0, 1.5, 2.5]).reshape(3, 1, 1)))
    made = nets.quantized(graph, 8, nets.LOIHI)
    assert made.scales["n"].shape == (3, 1, 1)
    assert fixed(neuron(made, "n").threshold).shape == ()
    total = int(execute(graph, nets.spikes((2, 6, 6), 1)).spikes["n"].sum())
    assert nets.wrong(graph, made.graph)["n"] < 0.05 * total


def test_weight_formats_of_the_mantissa_grid() -> None:
    rng = np.random.default_rng(0)
    nodes = (
        Input("in", (20,)),
        Affine("mixed", rng.normal(0, 0.3, (10, 20))),
        Neuron("a", (10,), decay_v=0.9),
        Affine("positive", rng.uniform(0, 0.5, (10, 10))),
        Neuron("b", (10,), decay_v=0.9),
        Readout("out"),
    )
    for bits in (4, 8):
        made = nets.quantized(nets.chain(*nodes), bits, nets.LOIHI)
        mixed, positive = weights(made, "mixed").format, weights(made, "positive").format
        assert (mixed.bits, mixed.signed, positive.bits, positive.signed) == (bits, True, bits, False)
        assert 0 <= -mixed.frac - (6 + 9 - bits) <= 7
        assert 0 <= -positive.frac - (6 + 8 - bits) <= 7
        assert weights(made, "positive").raw.max() > (1 << (bits - 1))


def test_two_weight_nodes_of_different_size_share_a_gain_and_not_an_exponent() -> None:
    rng = np.random.default_rng(0)
    big, small = rng.normal(0, 0.6, (10, 20)), rng.normal(0, 0.02, (10, 10))
    nodes = (Input("in", (20,)), Affine("big", big), Neuron("n", (10,), decay_v=0.9), Readout("out"))
    graph = nets.chain(*nodes, more=(Affine("small", small),), extra=(Edge("n", "small", 1), Edge("small", "n")))
    made = nets.quantized(graph, 6, nets.LOIHI)
    assert weights(made, "big").format.frac < weights(made, "small").format.frac
    gain = float(made.scales["n"])
    assert np.abs(weights(made, "small").to_float() / gain - small).max() < np.abs(small).max() / 30


def test_state_stays_inside_24_bits() -> None:
    """A wide layer with long memory: the gain must leave room, or u and v wrap."""
    graph = nets.mlp(1, (200, 30, 8), bias=False, decay_u=0.95, decay_v=0.98, threshold=3.0)
    made = nets.quantized(graph, 8, nets.LOIHI)
    wide = replace(made.graph, conventions=replace(nets.LOIHI.conventions, state_bits=40))
    x = nets.spikes((200,), 1)
    narrow_run, wide_run = execute(made.graph, x), execute(wide, x)
    assert all(np.array_equal(narrow_run.spikes[n], wide_run.spikes[n]) for n in ("n0", "n1"))
    careless = nets.quantized(graph, 8, replace(nets.LOIHI, safety=0.05))
    assert float(careless.scales["n0"]) > float(made.scales["n0"])
    free = replace(careless.graph, conventions=replace(nets.LOIHI.conventions, state_bits=40))
    assert not np.array_equal(execute(careless.graph, x).spikes["n0"], execute(free, x).spikes["n0"])


def test_accumulator_peak_limits_the_gain() -> None:
    graph = nets.mlp(bias=False, threshold=3.0)
    free = nets.quantized(graph, 8, nets.LOIHI)
    tight = nets.quantized(graph, 8, replace(nets.LOIHI, accumulator_peak=1 << 15))
    assert float(tight.scales["n0"]) < float(free.scales["n0"])


@pytest.mark.parametrize("bias", [0.001, 0.04, 0.3])
def test_bias_takes_the_smallest_exponent_that_holds_it(bias: float) -> None:
    graph = nets.mlp(bias=False)
    n0 = graph["n0"]
    assert isinstance(n0, Neuron)
    values = np.linspace(-bias, bias, 40)
    made = nets.quantized(graph.replace_node(replace(n0, bias=values)), 8, nets.LOIHI)
    found = fixed(neuron(made, "n0").bias)
    exponent = -found.format.frac
    assert 0 <= exponent <= 7
    assert np.abs(found.raw).max() <= 4095
    assert exponent == 0 or np.abs(found.raw).max() * 2 >= 4095
    assert np.allclose(
        found.to_float() / float(made.scales["n0"]), values, atol=max(bias / 2000, 1.0 / float(made.scales["n0"]))
    )


def test_uniform_arrays_become_scalars() -> None:
    graph = nets.mlp(bias=False, decay_v=np.full((), 0.9))
    n0 = graph["n0"]
    assert isinstance(n0, Neuron)
    graph = graph.replace_node(replace(n0, decay_v=np.full(40, 0.9), threshold=np.full(40, 1.2)))
    n = neuron(nets.quantized(graph, 8, nets.LOIHI), "n0")
    assert fixed(n.decay_v).shape == fixed(n.threshold).shape == ()


def test_same_inputs_give_the_same_integers() -> None:
    graph = nets.mlp()
    assert nets.quantized(graph, 5).graph.digest == nets.quantized(graph, 5).graph.digest


def test_hop_delays_and_latencies() -> None:
    graph = nets.whole(0)
    made = nets.quantized(graph, 8, IF_CURRENT).graph
    assert dict(made.latency) == {"in": 0, "n": 1, "m": 2}
    assert {e.delay for e in made.edges if e.source == "m" and e.target == "r"} == {1}


def test_readout_of_currents_gets_a_gain_of_its_own() -> None:
    rng = np.random.default_rng(0)
    nodes = (
        Input("in", (20,)),
        Affine("fc", rng.normal(0, 0.5, (10, 20))),
        Neuron("n", (10,), decay_v=0.9),
        Affine("last", rng.normal(0, 0.5, (4, 10))),
        Readout("out", "sum"),
    )
    made = nets.quantized(nets.chain(*nodes), 8)
    assert np.abs(weights(made, "last").raw).max() > 90
    assert set(made.scales) == {"n"}


def test_flattened_channels_keep_one_gain() -> None:
    rng = np.random.default_rng(0)
    nodes = (
        Input("in", (2, 4, 4)),
        Conv("c", rng.normal(0, 0.5, (3, 2, 3, 3)), None, (1, 1), (0, 0), (1, 1)),
        Flatten("f"),
        Neuron("n", (12,), decay_v=0.9),
        Readout("out"),
    )
    graph: Graph = nets.chain(*nodes)
    made = quantize_shift(graph, nets.calibrated(graph), QuantizeOptions(8, True), nets.GENERIC)
    assert made.scales["n"].shape == ()
    assert nets.wrong(graph, made.graph)["n"] < 60
