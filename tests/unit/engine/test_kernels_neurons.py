"""Every option of a neuron in every build of the kernels, against Python's integers; spikes and sums from outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kernel_brute import LOIHI, SPINNAKER, Brute, neurons, plan, source
from kernel_checks import difference, field, spikes, weights
from snnc.engine import native
from snnc.engine.plan import Dense, Plan, Way
from snnc.errors import FormatError, TraceError
from snnc.ir import Conventions

POLICIES = ("saturate", "saturate_symmetric", "wrap", "wrap_once")
N_IN, N_OUT, STEPS = 30, 37, 14


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def conventions(rng: np.random.Generator) -> Conventions:
    limited = bool(rng.integers(2))
    return Conventions(
        accumulator_bits=pick(rng, 14, 20, 32), accumulator_overflow=pick(rng, *POLICIES),
        register_bits=pick(rng, 20, 32, 62, 64), state_bits=pick(rng, 16, 18, 24, 32),
        current_overflow=pick(rng, *POLICIES), membrane_overflow=pick(rng, *POLICIES),
        drive_overflow=pick(rng, None, *POLICIES), membrane_minimum=-9000 if limited else None,
        membrane_maximum=30000 if limited else None, decay_rounding=pick(rng, "floor", "toward_zero", "nearest_even"),
    )  # fmt: skip


def options(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "fires": pick(rng, "gt", "ge"), "reset_v": pick(rng, "zero", "value", "subtract", "none"),
        "reset_delay": pick(rng, 0, 1), "reset_u": pick(rng, False, True), "refractory": pick(rng, 0, 1, 3),
        "output": pick(rng, "binary", "ternary"), "decay_u_frac": pick(rng, 0, 7, 12), "decay_v_frac": pick(rng, 3, 12),
    }  # fmt: skip


def parameters(rng: np.random.Generator, o: dict[str, Any]) -> dict[str, Any]:
    each = bool(rng.integers(2))

    def some(low: int, high: int) -> Any:
        return rng.integers(low, high, N_OUT) if each else int(rng.integers(low, high))

    return {
        "decay_u": some(0, (1 << o["decay_u_frac"]) + 1), "decay_v": some(0, (1 << o["decay_v_frac"]) + 1),
        "bias": some(-2000, 2000), "threshold": some(100, 20000), "threshold_low": some(-20000, -100),
        "v_reset": some(-500, 500), "v_init": some(-9000, 9000),
    }  # fmt: skip


def random_layer(seed: int) -> tuple[Plan, Any]:
    rng = np.random.default_rng(seed)
    o = options(rng)
    ways = (Way(0, 0, 0, Dense(weights(rng, "random", (N_OUT, N_IN)))),)
    listener = (Way(1, 1, 0, Dense(weights(rng, "random", (5, N_OUT)))),)
    n = neurons(N_OUT, ways, [N_IN], parameters(rng, o), o, extra=2, latency=2, restart=pick(rng, None, 2), shift=4)
    return plan(conventions(rng), source(N_IN), n, neurons(5, listener, [N_OUT])), spikes(rng, 1, STEPS, N_IN, 0.5)


@pytest.mark.parametrize("seed", range(100))
def test_any_option_and_any_overflow(seed: int) -> None:
    p, sent = random_layer(seed)
    assert not difference(p, {0: sent}, STEPS)


@pytest.mark.parametrize("fault", ["floor", "fires"])
def test_wrong_options_are_noticed(fault: str) -> None:
    noticed = sum(bool(difference(*_given(seed), STEPS, frozenset({fault}))) for seed in range(40))
    assert noticed >= {"floor": 10, "fires": 2}[fault]


def _given(seed: int) -> tuple[Plan, dict[int, Any]]:
    p, sent = random_layer(seed)
    return p, {0: sent}


def closed(rng: np.random.Generator, kind: str, **fields: Any) -> Plan:
    high = {"small": 60, "ring": 65536}[kind]
    ways = tuple(
        Way(0, 1, r, Dense(np.maximum(rng.integers(-high, high, (N_OUT, N_IN)), 0).astype(np.int32))) for r in range(2)
    )
    options = {
        "fires": pick(rng, "gt", "ge"), "reset_v": "value", "refractory": pick(rng, 0, 2), "decay_u_frac": 32,
        "gain_u_frac": 32,
    }  # fmt: skip
    params = {
        "decay_u": rng.integers(0, (1 << 32) + 1, N_OUT), "gain_u": rng.integers(1 << 30, 1 << 32, N_OUT),
        "decay_v": rng.integers(0, 1 << 15, N_OUT), "gain": rng.integers(0, 1 << 17, N_OUT),
        "v_rest": rng.integers(-(1 << 20), 1 << 20, N_OUT), "bias": rng.integers(-(1 << 12), 1 << 12, N_OUT),
        "threshold": rng.integers(0, 1 << 21, N_OUT), "v_reset": -70000, "v_init": -1000,
    }  # fmt: skip
    n = neurons(N_OUT, ways, [N_IN, N_IN], params, options, shift=int(rng.integers(0, 8)), **fields)
    return plan(SPINNAKER, source(N_IN), n)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["small", "ring"])
def test_the_closed_form(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    p = closed(rng, kind, latency=1, extra=1)
    assert not difference(p, {0: spikes(rng, 2, 10, N_IN, 0.6)}, 10)


def test_the_closed_form_with_sums_from_outside() -> None:
    rng = np.random.default_rng(1)
    p = closed(rng, "ring")
    extra = {1: native.Extra(x=rng.integers(0, 70000, (2, 6, 2, N_OUT)))}
    sent = spikes(rng, 2, 6, N_IN, 0.4)
    assert not difference(p, {0: sent}, 6, extra=extra)
    assert (
        Brute(p).run({0: sent}, 6)[1][1, "u_exc"].tolist()
        != Brute(p).run({0: sent}, 6, None, extra)[1][1, "u_exc"].tolist()
    )


def test_sums_and_drives_from_outside() -> None:
    rng = np.random.default_rng(2)
    n = neurons(N_OUT, (Way(0, 0, 0, Dense(weights(rng, "random", (N_OUT, N_IN)))),), [N_IN], extra=3)
    p = plan(LOIHI, source(N_IN), n)
    lead = (2, 9, N_OUT)
    for x, drive in ((True, False), (False, True), (True, True)):
        extra = native.Extra(
            rng.integers(-(1 << 20), 1 << 20, lead) if x else None, rng.integers(-9999, 9999, lead) if drive else None
        )  # fmt: skip
        sent = spikes(rng, 2, 6, N_IN, 0.4)
        assert not difference(p, {0: sent}, 6, extra={1: extra})


@pytest.mark.parametrize("looped", [False, True])
def test_forced_spikes_replace_those_that_are_sent(looped: bool) -> None:
    """Listeners hear what is forced, in logical time, and nothing outside of it; the population itself goes on."""
    rng = np.random.default_rng(3)
    ways: tuple[Way, ...] = (Way(0, 1, 0, Dense(weights(rng, "random", (N_OUT, N_IN)))),)
    if looped:
        ways += (Way(1, 1, 0, Dense(weights(rng, "random", (N_OUT, N_OUT)))),)
    n = neurons(N_OUT, ways, [N_IN, N_OUT][: len(ways)], latency=1, extra=4)
    listener = neurons(20, (Way(1, 1, 0, Dense(weights(rng, "random", (20, N_OUT)))),), [N_OUT], latency=2, extra=3)
    p = plan(LOIHI, source(N_IN), n, listener, loops=((1,),) if looped else ())
    sent = spikes(rng, 2, 8, N_IN, 0.5)
    forced = {1: spikes(rng, 2, 8, N_OUT, 0.3)}
    assert not difference(p, {0: sent}, 8, forced=forced)
    assert Brute(p).run({0: sent}, 8)[0][2].tolist() != Brute(p).run({0: sent}, 8, forced)[0][2].tolist()


def test_part_of_a_plan_runs_on_signals_that_others_made() -> None:
    rng = np.random.default_rng(4)
    first = neurons(N_OUT, (Way(0, 0, 0, Dense(weights(rng, "random", (N_OUT, N_IN)))),), [N_IN], extra=2)
    second = neurons(20, (Way(1, 1, 0, Dense(weights(rng, "random", (20, N_OUT)))),), [N_OUT], extra=1)
    p = plan(LOIHI, source(N_IN), first, second)
    sent = spikes(rng, 3, 8, N_IN, 0.5)
    prepared = native.prepare(p)
    whole = native.execute(prepared, {0: sent}, 8, native.Wishes((1, 2), (2,)))
    part = native.execute(prepared, {1: whole.signals[1]}, 8, native.Wishes((2,), (2,)), groups=range(2, 3))
    assert set(part.signals) == {2}
    assert np.array_equal(part.signals[2], whole.signals[2])
    assert np.array_equal(part.states[2, "u"], whole.states[2, "u"])
    with pytest.raises(TraceError, match="nothing is given for n37"):
        native.execute(prepared, {0: sent}, 8, native.Wishes((2,)), groups=range(2, 3))


def test_numbers_are_multiplied() -> None:
    rng = np.random.default_rng(6)
    for kind in ("random", "int16"):
        ways = (Way(0, 1, 0, Dense(weights(rng, kind, (N_OUT, N_IN)))),)
        n = neurons(N_OUT, ways, [N_IN], bounds=(), extra=1)
        p = plan(Conventions(register_bits=62), source(N_IN, numbers=True), n)
        assert not difference(p, {0: rng.integers(-70000, 70000, (2, 5, N_IN))}, 5)


def test_a_state_that_leaves_its_width_is_refused() -> None:
    c = Conventions(state_bits=16, current_overflow="refuse", register_bits=62)
    for weight, refused in ((30, False), (120, True)):
        ways = (Way(0, 0, 0, Dense(np.full((4, 10), weight, np.int8))),)
        p = plan(c, source(10), neurons(4, ways, [10], {"decay_u": 0, "threshold": 1 << 20, "decay_v": 0}))
        sent = np.ones((1, 3, 10), np.int8)
        assert (field(p, 1, "fused") < 3) == refused
        if refused:
            with pytest.raises(FormatError, match="a state left 16 bits"):
                native.execute(native.prepare(p), {0: sent}, 3, native.Wishes((1,)))
        else:
            assert not difference(p, {0: sent}, 3)


def test_bytes_that_are_no_spikes_are_refused() -> None:
    rng = np.random.default_rng(8)
    p = plan(LOIHI, source(N_IN), neurons(4, (Way(0, 0, 0, Dense(weights(rng, "random", (4, N_IN)))),), [N_IN]))
    for value, dtype in ((2, np.int8), (-2, np.int8), (300, np.int64), (255, np.int32)):
        sent = np.zeros((1, 2, N_IN), dtype)
        sent[0, 1, 29] = value
        with pytest.raises(TraceError, match="none of -1, 0 and 1"):
            native.execute(native.prepare(p), {0: sent}, 2, native.Wishes((1,)))


def test_states_are_wide_where_they_may_be() -> None:
    c = Conventions(state_bits=48, register_bits=62)
    big = {"bias": 1 << 40, "threshold": 1 << 44, "decay_v": 4096}
    p = plan(c, source(N_IN), neurons(4, (Way(0, 0, 0, Dense(np.ones((4, N_IN), np.int8))),), [N_IN], big))
    sent = np.ones((1, 3, N_IN), np.int8)
    got = native.execute(native.prepare(p), {0: sent}, 3, native.Wishes((), (1,)))
    assert got.states[1, "v"].dtype == np.int64
    assert int(got.states[1, "v"].max()) > 1 << 40
    assert not difference(p, {0: sent}, 3)
