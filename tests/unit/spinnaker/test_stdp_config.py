"""STDP settings become the device's words, or an explanation with numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.errors import InputError
from snnc_spinnaker.ring import Layout
from snnc_spinnaker.stdp import PlasticRow, Posts, Ring, Row, Rule
from snnc_spinnaker.stdp_config import Pair, check_delay, device_rule, table

SHIFT = 3
STEP = 2.0 ** (SHIFT - 15)
ADDITIVE = Pair("additive", 20.0, 30.0, 0.0, 4.0, absolute=(0.04, 0.048))
MULTIPLICATIVE = Pair("multiplicative", 20.0, 30.0, 0.0, 4.0, relative=(0.01, 0.012))


def words(value: float) -> int:
    return round(value * 32768)


def refused(pair: Pair, **more: Any) -> str:
    with pytest.raises(InputError) as caught:
        device_rule(pair, more.pop("shift", SHIFT), **more)
    return str(caught.value)


def test_absolute_amplitudes_are_written_as_they_are() -> None:
    rule = device_rule(ADDITIVE, SHIFT)
    assert rule.kind == "additive"
    assert rule.shift == (SHIFT, SHIFT)
    assert rule.bounds.tolist() == [[0, words(4), words(0.04), words(0.048)]] * 2


def test_relative_amplitudes_take_in_the_largest_weight() -> None:
    relative = replace(ADDITIVE, absolute=None, relative=(0.01, 0.012))
    assert relative.written == pytest.approx((0.04, 0.048))
    assert np.array_equal(device_rule(relative, SHIFT).bounds, device_rule(ADDITIVE, SHIFT).bounds)
    as_written = device_rule(replace(ADDITIVE, absolute=(0.01, 0.012)), SHIFT)
    assert as_written.bounds[0, 2] * 4 == pytest.approx(device_rule(relative, SHIFT).bounds[0, 2], abs=4)


def test_multiplicative_amplitudes_are_fractions() -> None:
    assert device_rule(MULTIPLICATIVE, SHIFT).bounds[0].tolist() == [0, words(4), words(0.01), words(0.012)]
    text = refused(replace(MULTIPLICATIVE, relative=None, absolute=(0.01, 0.01)))
    assert "amplitudes is absolute, allowed is relative for multiplicative" in text


@pytest.mark.parametrize("both", [None, (0.01, 0.01)])
def test_one_form_must_be_said(both: tuple[float, float] | None) -> None:
    assert "allowed is absolute or relative" in refused(replace(ADDITIVE, absolute=both, relative=both))


def test_an_amplitude_over_the_whole_range_is_refused() -> None:
    """0.01 as in PyNN, with weights of up to 0.005 nA: the first pair would move a weight over its whole range."""
    pair = replace(ADDITIVE, w_max=0.005, absolute=(0.01, 0.004))
    text = refused(pair, shift=0)
    assert "A_plus is 0.01 nA, allowed is 0 to less than w_max - w_min = 0.005 nA" in text
    assert "A_minus" not in text
    assert "give relative=" in text
    device_rule(replace(pair, absolute=(0.0049, 0.004)), 0)
    device_rule(replace(pair, absolute=None, relative=(0.01, 0.012)), 0)
    text = refused(replace(pair, absolute=None, relative=(0.1, 1.0)), shift=0)
    assert "A_minus is 1, allowed is 0 to less than 1" in text


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_amplitudes_are_numbers(bad: float) -> None:
    assert "A_minus is" in refused(replace(MULTIPLICATIVE, relative=(0.01, bad)))


def weight_after(rule: Rule, weight: int, *, pre_first: bool) -> int:
    """A synapse's weight after one pair of neighbouring steps, on the emulated core."""
    ring, posts = Ring(Layout(0, 2), 1), Posts(1)
    row = PlasticRow(Row(np.zeros(0, np.int64), np.array([0, 0, weight], np.uint32), np.array([1 << 1])), ring)
    if pre_first:
        row.arrive(rule, posts, ring, 10)
    posts.spike(rule, 11, np.array([0]))
    row.arrive(rule, posts, ring, 500 if pre_first else 12)
    return int(row.weight[0])


def smallest(kind: Any) -> float:
    """The smallest A_plus that is accepted, by bisection."""
    low, high = 0.0, 0.5
    for _ in range(40):
        middle = (low + high) / 2
        form = {"absolute": (middle, 0.1)} if kind == "additive" else {"relative": (middle, 0.1)}
        try:
            device_rule(Pair(kind, 20.0, 20.0, 0.0, 4.0, **form), SHIFT)
            high = middle
        except InputError:
            low = middle
    return high


def test_an_amplitude_below_a_weight_step_is_refused() -> None:
    fine = replace(ADDITIVE, absolute=(STEP * 1.2, STEP))
    device_rule(fine, SHIFT)
    text = refused(replace(fine, absolute=(STEP, STEP)))
    assert f"allowed is 0, or enough for a weight step of {STEP:.9g} nA" in text
    assert "potentiation is lost" in text
    text = refused(replace(fine, absolute=(STEP * 1.2, STEP / 2)))
    assert "each depression costs a whole step" in text
    assert "A_plus" not in text
    device_rule(replace(fine, absolute=(0.0, 0.0)), SHIFT)


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_the_smallest_amplitude_is_where_the_core_begins_to_learn(kind: Any) -> None:
    """What is refused leaves the weight as it was on the core; what is just accepted moves it by one step."""
    good = smallest(kind)
    rule = device_rule(Pair(kind, 20.0, 20.0, 0.0, 4.0, **written(kind, good)), SHIFT)
    bounds = rule.bounds - [0, 0, 1, 0]
    assert weight_after(replace(rule, delayed_posts=False), 0, pre_first=True) == 1
    assert weight_after(replace(rule, bounds=bounds, delayed_posts=False), 0, pre_first=True) == 0


def written(kind: str, plus: float) -> dict[str, Any]:
    return {"absolute": (plus, 0.0)} if kind == "additive" else {"relative": (plus, 0.0)}


def test_a_depression_below_a_step_costs_a_whole_one() -> None:
    """Why small A_minus is refused: half a step takes a step away."""
    rule = device_rule(replace(ADDITIVE, absolute=(0.0, STEP)), SHIFT)
    half = replace(rule, bounds=rule.bounds // [1, 1, 1, 2])
    assert weight_after(replace(half, delayed_posts=False), 100, pre_first=False) == 99


@pytest.mark.parametrize(("key", "tau"), [("tau_plus", 0.13), ("tau_minus", 0.13)])
def test_tables_need_more_than_one_entry(key: str, tau: float) -> None:
    assert f"{key} is 0.13 ms" in refused(replace(ADDITIVE, **{key: tau}))
    assert table(0.13)[1] == 0
    assert table(0.14)[1] > 0
    device_rule(replace(ADDITIVE, **{key: tau}, dt=0.1), SHIFT)


def test_tables_must_fit_a_core() -> None:
    device_rule(replace(ADDITIVE, tau_plus=400.0, tau_minus=400.0), SHIFT)
    text = refused(replace(ADDITIVE, tau_plus=400.0, tau_minus=410.0))
    assert "allowed is at most 12288 bytes" in text
    assert "806 steps" in text
    assert "look-up tables" in refused(replace(ADDITIVE, dt=0.05))
    device_rule(replace(ADDITIVE, dt=0.05), SHIFT, room=20000)


@pytest.mark.parametrize("change", [{"tau_plus": 0.0}, {"tau_minus": float("nan")}, {"dt": -1.0}, {"w_min": -1.0},
                                    {"w_min": 4.0}, {"w_max": float("inf")}])  # fmt: skip
def test_impossible_numbers(change: dict[str, float]) -> None:
    assert next(iter(change)) in refused(replace(ADDITIVE, **change))


def test_weights_stay_within_their_bounds() -> None:
    pair = replace(ADDITIVE, w_min=1.0)
    low, high = round(1.0 / STEP), round(4.0 / STEP)
    device_rule(pair, SHIFT, np.array([low, high]))
    text = refused(pair, weights=np.array([low, high + 1, high]))
    assert f"weight is {4 + STEP:.9g} nA, allowed is w_min 1 nA to w_max 4 nA. 1 of 3 weights" in text
    assert "2 of 2 weights" in refused(pair, weights=np.array([low - 1, 0]))


def test_bounds_fit_16_bits() -> None:
    most = 65535 * STEP
    device_rule(replace(ADDITIVE, w_max=most), SHIFT)
    assert f"at most {most:.9g} nA with ring shift 3" in refused(replace(ADDITIVE, w_max=most + STEP))


def test_delays_that_are_heard() -> None:
    check_delay(7, Layout(4, 3))
    with pytest.raises(InputError, match="delay is 8 steps, allowed is 1 to 7"):
        check_delay(8, Layout(4, 3))


@pytest.mark.parametrize(("name", "taus"), [("pair_additive", (16.7, 33.7)), ("curve_multiplicative", (20.0, 20.0))])
def test_tables_are_those_that_the_host_writes(shared_data: Path, name: str, taus: tuple[float, float]) -> None:
    """Recorded tables, and the controls: neither rounded values nor a time constant next to it give them."""
    with np.load(shared_data.parent / "golden" / "spinnaker" / f"stdp_{name}.npz") as data:
        luts = [data[key].astype(np.int64) for key in ("lut_plus", "lut_minus")]
    for lut, tau in zip(luts, taus, strict=True):
        assert np.array_equal(table(tau), lut)
        assert np.array_equal(table(tau / 10, 0.1), lut)
        assert not np.array_equal(table(tau + 0.1), lut)
        assert not np.array_equal(np.rint(2048 * np.exp(-np.arange(len(lut)) / tau)), lut)
