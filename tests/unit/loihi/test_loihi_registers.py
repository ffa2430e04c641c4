"""Conventions of Loihi by name, nengo-loihi's functions where vectors are silent, and weight widths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.errors import InputError, UnsupportedError
from snnc.ir import Affine, Edge, Fixed, FixedGraph, Format, Input, Neuron
from snnc.trace import Probes
from snnc_loihi import backend
from snnc_loihi.conventions import CHIP, LAVA, conventions, limited
from snnc_loihi.encoding import encode
from snnc_loihi.nengo import bias_to_manexp, decay_magnitude, noise
from snnc_loihi.nengo_block import FloatBlock, discretize_block
from snnc_loihi.target import LOIHI1
from snnc_loihi.weight_bits import optimize_weight_bits
from snnc_reference.execute import execute


def test_overflow_has_two_names() -> None:
    assert conventions() is conventions("lava") is LAVA
    assert conventions("loihi") is CHIP
    assert LOIHI1.conventions == LAVA
    with pytest.raises(InputError, match="overflow is 'chip', allowed is lava or loihi"):
        conventions("chip")


def test_limits_are_powers_of_two() -> None:
    found = limited(CHIP, 12, 3)
    assert (found.membrane_minimum, found.membrane_maximum) == (-4095, 32767)
    assert replace(found, membrane_minimum=None, membrane_maximum=None) == CHIP
    for wrong in ((24, 0), (0, 8), (-1, 0), (0, -1)):
        with pytest.raises(InputError, match="allowed are 0 to 23 and 0 to 7"):
            limited(LAVA, *wrong)


def graph(weight: int) -> FixedGraph:
    fixed = {key: Fixed(np.array(0), Format(24)) for key in ("bias", "v_rest", "v_reset", "v_init")}
    fixed |= {key: Fixed(np.array(1), Format(2)) for key in ("gain", "gain_u")}
    fixed |= {key: Fixed(np.array(4000), Format(13, 12, signed=False)) for key in ("decay_u", "decay_v")}
    cell = Neuron("n", shape=(1,), threshold=Fixed(np.array(131071), Format(17, -6, signed=False)), fires="gt", **fixed)
    dense = Affine("w", weight=Fixed(np.full((1, 200), weight), Format(8, -7)))
    edges = (Edge("in", "w", 1), Edge("w", "n"))
    return FixedGraph((Input("in", shape=(200,)), dense, cell), edges, "loihi1", LAVA, {"in": 0, "n": 1})


@pytest.mark.parametrize(("weight", "agree"), [(10, True), (100, False)])
def test_both_readings_agree_inside_the_range_only(weight: int, agree: bool) -> None:
    """200 weights of 20 stay below 2**21 units in a step; 200 weights of 200 do not."""
    spikes = np.ones((1, 6, 200), dtype=np.int8)
    lava = graph(weight)
    traces = [execute(replace(lava, conventions=c), spikes, Probes(states="all")) for c in (LAVA, CHIP)]
    same = all(np.array_equal(traces[0].states[key], traces[1].states[key]) for key in traces[0].states)
    assert same is agree


def test_lava_does_not_run_what_is_read_otherwise() -> None:
    spikes = np.zeros((1, 2, 200), dtype=np.int8)
    program = backend.lower(replace(graph(100), conventions=CHIP), LOIHI1)
    assert not program.runs
    with pytest.raises(UnsupportedError, match="registers"):
        backend.run(program, spikes, Probes())
    assert backend.lower(replace(graph(1), conventions=CHIP), LOIHI1).runs, "proven the same: Lava may run it"


def test_noise_truncates_and_is_reproducible() -> None:
    drawn = noise(np.random.RandomState(3), 50, 20, 4, 0)
    raw = np.array([np.random.RandomState(3).randint(-127, 128, size=20, dtype=np.int32)])
    assert drawn.shape == (50, 20)
    assert drawn[0].tolist() == np.trunc(raw[0] / 8).astype(int).tolist()
    assert drawn[0].tolist() != np.floor(raw[0] / 8).astype(int).tolist()
    assert abs(drawn).max() == 15
    np.testing.assert_array_equal(drawn, noise(np.random.RandomState(3), 50, 20, 4, 0))
    assert noise(np.random.RandomState(3), 50, 20, 7, 2).min() >= 1
    with pytest.raises(InputError, match="noise exponent is 24, allowed is 1 to 23"):
        noise(np.random.RandomState(3), 1, 1, 24, 0)


def test_a_decay_without_end_has_no_magnitude() -> None:
    with pytest.raises(InputError, match="takes 1 to 4096 of 4096 away, not 0"):
        decay_magnitude([0], offset=0)
    with pytest.raises(InputError, match="not 4097"):
        decay_magnitude([4096], offset=1)
    assert decay_magnitude([4096])[0] == 1.0


def test_a_bias_beyond_its_register_is_refused() -> None:
    mantissa, exponent = bias_to_manexp([4095 * 128, -4095 * 128])
    assert (mantissa.tolist(), exponent.tolist()) == ([4095, -4095], [7, 7])
    with pytest.raises(InputError, match="bias is -525000, allowed is at most 524160"):
        bias_to_manexp([1, -525000])


def float_block(weight: float, threshold: float, bias: float, decay_v: tuple[float, float] = (0.1, 0.1)) -> FloatBlock:
    def two(value: float) -> np.ndarray:
        return np.full(2, value, dtype=np.float32)

    weights = np.full((3, 2), weight, dtype=np.float32)
    lost = np.array(decay_v, dtype=np.float32)
    return FloatBlock(two(0.2), lost, two(threshold), two(bias), -1.0, np.inf, True, True, (weights,))


def test_blocks_without_weights_take_their_scale_elsewhere() -> None:
    biased = discretize_block(float_block(0, 1, 0.5))
    assert biased.weight_exps == (-6,)
    assert 0 < biased.threshold[0] <= 131071 << 6
    assert (biased.bias > 0).all()
    empty = discretize_block(float_block(0, 1, 0))
    assert empty.threshold.tolist() == [1 << 20] * 2
    assert not empty.bias.any()


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (float_block(1e-6, 1e6, 0), "no weight exponent from 0 to -7"),
        (float_block(0, 1e12, 1e-3), "no scale of the bias"),
        (float_block(1, 1, 0, (0.1, 0.2)), "one scale of v"),
    ],
)
def test_blocks_that_fit_no_register_are_refused(block: FloatBlock, text: str) -> None:
    with pytest.raises(InputError, match=text):
        discretize_block(block)


@given(st.lists(st.integers(-256, 254), min_size=1, max_size=12), st.integers(0, 4))
def test_optimized_weights_are_what_the_engine_computes_with(values: list[int], step: int) -> None:
    weights = np.array(values) >> step << step
    if np.abs(weights).max() > 127 and weights.min() < 0 < weights.max():
        weights &= ~1
    if weights.min() < -255 and weights.max() <= 0:
        weights = np.maximum(weights, -255)
    found = optimize_weight_bits(weights)
    if found.num_weight_bits:
        got = encode(found.weights, found.sign_mode, found.num_weight_bits, found.weight_exp)
        assert got.aligned(0).tolist() == (weights << 6).tolist()
    else:
        assert not weights.any()
    if found.num_weight_bits > 1 and weights.any():
        fewer = encode(found.weights, found.sign_mode, found.num_weight_bits - 1, found.weight_exp)
        assert fewer.to_float().tolist() != (weights << 6).tolist()


@pytest.mark.parametrize(
    ("weights", "mode", "text"),
    [
        ([-1, 255], "mixed", r"mixed weights are -1 to 255, allowed are -256 to 254"),
        ([-1, 129], "mixed", "an odd one needs 9"),
        ([-1, 1], "excitatory", "excitatory weights are -1 to 1"),
        ([-256], "inhibitory", "allowed are -255 to 0"),
        ([0.5], "auto", "weights are integers"),
        (np.zeros((0, 3), dtype=int), "auto", "at least one"),
    ],
)
def test_weights_that_8_bits_do_not_hold_are_refused(weights: object, mode: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        optimize_weight_bits(weights, mode)  # type: ignore[arg-type]
