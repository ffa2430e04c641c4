"""Every build of the kernels that this processor runs, against loops over Python's integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kernel_brute import LOIHI, Brute, links, neurons, plan, source
from kernel_checks import FOUND, difference, field, spikes, weights
from snnc.engine import library, native
from snnc.engine.layout import CLIPPED, CONV8, LAVA, TABLE16, WAY
from snnc.engine.plan import Convolution, Dense, Plan, Sparse, Way
from snnc.ir import Conventions

PLAIN = Conventions(register_bits=62)


def test_the_kernels_are_built() -> None:
    assert isinstance(FOUND, library.Kernels), FOUND
    assert not {k: v for k, v in FOUND.refused.items() if "instructions" not in v}


def layer(rng: np.random.Generator, n_in: int, n_out: int, kind: str, c: Conventions, **fields: Any) -> Plan:
    ways = (Way(0, 0, 0, Dense(weights(rng, kind, (n_out, n_in)))),)
    params = {"bias": rng.integers(-300, 300, n_out)} | fields.pop("params", {})
    return plan(c, source(n_in), neurons(n_out, ways, [n_in], params, fields.pop("options", {}), **fields))


SIZES = [(1, 1), (7, 63), (63, 7), (64, 64), (65, 33), (130, 16), (300, 65), (520, 10), (40, 290)]


@pytest.mark.parametrize(("n_in", "n_out"), SIZES)
@pytest.mark.parametrize("kind", ["random", "-128", "127", "int16", "magnitudes", "int32"])
def test_a_dense_layer(n_in: int, n_out: int, kind: str) -> None:
    rng = np.random.default_rng(n_in * 1000 + n_out)
    p = layer(rng, n_in, n_out, kind, PLAIN, shift=0, params={"threshold": 3000 if kind == "random" else 60000})
    for density in (0.0, 0.1, 1.0):
        assert not difference(p, {0: spikes(rng, 2, 3, n_in, density)}, 3)


def test_negative_spikes_subtract() -> None:
    rng = np.random.default_rng(3)
    for kind in ("random", "-128", "int16", "int32"):
        p = layer(rng, 300, 70, kind, PLAIN, shift=0)
        sent = spikes(rng, 2, 3, 300, 0.9, signed=True)
        assert not difference(p, {0: sent}, 3)
        assert difference(p, {0: np.abs(sent)}, 3) == []
        assert Brute(p).run({0: sent}, 3)[2] != Brute(p).run({0: np.abs(sent)}, 3)[2]


def test_more_than_255_events_of_the_widest_weights() -> None:
    """Sixteen bits hold 256 sums of -128, the kernels flush after 255; the loops lose a flush on purpose."""
    rng = np.random.default_rng(5)
    p = layer(rng, 600, 40, "-128", PLAIN, shift=0)
    assert field(p, 1, "acc") == 32
    for events in (255, 256, 257, 511, 600):
        sent = np.zeros((1, 2, 600), np.int8)
        sent[:, :, :events] = 1
        assert not difference(p, {0: sent}, 2)
        assert bool(difference(p, {0: sent}, 2, frozenset({"flush"}))) == (
            events > 256
        )  # 256 * -128 is the last sum that fits


@pytest.mark.parametrize("reset", ["zero", "value", "subtract", "none"])
@pytest.mark.parametrize("fires", ["gt", "ge"])
@pytest.mark.parametrize(("each", "decay_v"), [(False, 4095), (False, 4096), (True, 0)])
def test_the_fused_step_of_lava(reset: str, fires: str, each: bool, decay_v: int) -> None:
    """24-bit registers that wrap once and saturate, at both ends."""
    rng = np.random.default_rng(7)
    weight = rng.integers(-128, 128, (90, 200)).astype(np.int8)
    weight[:30], weight[30:50] = 127, -128
    weight[50:52] = 0  # u becomes 2**23 and -2**23 at once: where wrapping once and wrapping differ
    weight[50, :129], weight[50, 129], weight[51, :128] = 127, 1, -128
    params = {
        "decay_u": rng.integers(0, 4097, 90) if each else 4095,
        "decay_v": rng.integers(3000, 4097, 90) if each else decay_v,
        "bias": rng.integers(-(1 << 19), 1 << 19, 90), "threshold": rng.integers(0, 1 << 23, 90) if each else 8_000_000,
        "v_reset": -1000,
    }  # fmt: skip
    p = plan(
        LOIHI, source(200),
        neurons(90, (Way(0, 0, 0, Dense(weight)),), [200], params, {"reset_v": reset, "fires": fires}, shift=9),
    )  # fmt: skip
    assert field(p, 1, "fused") > 1 << 60
    assert field(p, 1, "mode") == 1
    sent = spikes(rng, 1, 12, 200, 0.9)
    sent[:, 0] = 1
    assert not difference(p, {0: sent}, 12)
    assert difference(p, {0: sent}, 12, frozenset({"floor"}))
    assert difference(p, {0: sent}, 12, frozenset({"wrap"}))


@pytest.mark.parametrize("reset", ["zero", "value", "subtract", "none"])
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize(("last", "mode"), [(0, CLIPPED), (1, LAVA)])
def test_currents_that_never_wrap(reset: str, each: bool, last: int, mode: int) -> None:
    """Four times 16383 << 7 is the last sum below 2**23, so that only membranes saturate; one more could wrap."""
    weight = np.full((40, 130), 127, np.int8)
    weight[:, 129] = last
    weight[20:] *= -1
    params = {
        "decay_u": np.full(40, 3072) if each else 3072, "decay_v": 4095, "threshold": 8_380_000, "v_reset": -1000,
        "bias": np.arange(40) * 100,
    }  # fmt: skip
    p = plan(
        LOIHI, source(130), neurons(40, (Way(0, 0, 0, Dense(weight)),), [130], params, {"reset_v": reset}, shift=7)
    )
    assert p.populations[1].bounds[0].peak == 16383 + last
    assert field(p, 1, "mode") == mode
    sent = np.ones((1, 40, 130), np.int8)
    sent[:, 30:] = 0
    assert not difference(p, {0: sent}, 40)
    unclipped = replace(p, conventions=replace(LOIHI, membrane_overflow="wrap"))
    assert Brute(p).run({0: sent}, 40)[1][1, "v"].tolist() != Brute(unclipped).run({0: sent}, 40)[1][1, "v"].tolist()


@pytest.mark.parametrize("reset", ["zero", "value", "subtract", "none"])
@pytest.mark.parametrize("rounding", ["toward_zero", "floor"])
@pytest.mark.parametrize("fracs", [(12, 12), (16, 3), (0, 7)])
def test_the_fused_step_without_overflow(reset: str, rounding: Any, fracs: tuple[int, int]) -> None:
    rng = np.random.default_rng(11)
    c = Conventions(register_bits=62, decay_rounding=rounding)
    options = {"reset_v": reset, "decay_u_frac": fracs[0], "decay_v_frac": fracs[1]}
    for each in (False, True):
        decays = [rng.integers(0, (1 << f) + 1, 50) if each else (1 << f) * 3 // 4 for f in fracs]
        params = {
            "decay_u": decays[0],
            "decay_v": decays[1],
            "bias": rng.integers(-90, 90, 50),
            "threshold": 9000,
            "v_init": 77,
        }
        p = plan(
            c, source(80), neurons(50, (Way(0, 0, 0, Dense(weights(rng, "random", (50, 80)))),), [80], params, options)
        )
        assert field(p, 1, "fused") >= 10
        assert not difference(p, {0: spikes(rng, 2, 10, 80, 0.3)}, 10)
    other = frozenset({"floor" if rounding == "toward_zero" else "fires"})
    if rounding == "toward_zero":
        assert difference(p, {0: spikes(rng, 2, 10, 80, 0.3)}, 10, other)


@pytest.mark.parametrize("rounding", ["toward_zero", "floor"])
@pytest.mark.parametrize("frac", [3, 8, 15])
def test_the_fused_step_at_the_ends_of_32_bits(rounding: Any, frac: int) -> None:
    """Decays next to one, membranes next to 2**31 on both sides: where products of halves would overflow first."""
    c = Conventions(register_bits=62, decay_rounding=rounding)
    weight = np.array([[127], [-127], [1], [-1]], np.int8)
    options = {"reset_v": "none", "decay_u_frac": frac, "decay_v_frac": frac}
    params = {"decay_u": 0, "decay_v": (1 << frac) - 1, "threshold": 1 << 29}
    p = plan(c, source(1), neurons(4, (Way(0, 0, 0, Dense(weight)),), [1], params, options, shift=20))
    assert field(p, 1, "fused") >= 16
    sent = np.ones((1, 16, 1), np.int8)
    assert not difference(p, {0: sent}, 16)
    q = replace(p, conventions=replace(c, decay_rounding="floor" if rounding == "toward_zero" else "toward_zero"))
    assert Brute(p).run({0: sent}, 16)[1][1, "v"].tolist() != Brute(q).run({0: sent}, 16)[1][1, "v"].tolist()


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_loops_and_delays(kind: str) -> None:
    """Two populations that wait for each other, delays up to 3, windows that start at different steps, restarts."""
    rng = np.random.default_rng(13)
    first = (Way(0, 1, 0, Dense(weights(rng, "random", (70, 33)))),
             Way(1, 2, 0, Dense(weights(rng, "random", (70, 70)))),
             Way(2, 1, 0, Dense(weights(rng, "random", (70, 20)))))  # fmt: skip
    if kind == "conv":
        op = Convolution(weights(rng, "random", (7, 7, 3, 1)), np.arange(70), (7, 10, 1), (7, 10, 1), padding=(1, 0))
        first = (first[0], Way(1, 2, 0, op), first[2])
    second = (Way(1, 3, 0, Dense(weights(rng, "random", (20, 70)))),)
    p = plan(
        LOIHI, source(33, latency=2, first=2),
        neurons(70, first, [33, 70, 20], latency=3, first=1, extra=4, restart=3),
        neurons(20, second, [70], latency=5, first=4, extra=1, restart=5), loops=((1, 2),),
    )  # fmt: skip
    assert not difference(p, {0: spikes(rng, 2, 12, 33, 0.3)}, 12)
    assert difference(p, {0: spikes(rng, 2, 12, 33, 0.3)}, 12, frozenset({"floor"}))


CONVS = [
    ((2, 9, 8), 8, (5, 5), (2, 2), (2, 2), (1, 1), 1),
    ((3, 7, 7), 16, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((4, 6, 9), 10, (3, 2), (3, 2), (0, 1), (1, 1), 1),
    ((4, 6, 6), 32, (3, 3), (1, 2), (1, 0), (1, 1), 1),
    ((6, 7, 7), 12, (3, 3), (1, 1), (2, 2), (2, 2), 3),
    ((8, 5, 5), 8, (3, 3), (2, 2), (1, 1), (1, 1), 8),
    ((3, 1, 30), 5, (1, 5), (1, 2), (0, 2), (1, 2), 1),
    ((2, 5, 5), 64, (1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((40, 4, 4), 24, (3, 3), (1, 1), (1, 1), (1, 1), 1),
]


def made(given: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, int]:
    found = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(given[1:], kernel, stride, padding, dilation, strict=True)
    ]
    return found[0], found[1]


@pytest.mark.parametrize("case", range(len(CONVS)))
@pytest.mark.parametrize("kind", ["random", "-128", "int16", "int32"])
def test_a_convolution(case: int, kind: str) -> None:
    given, outs, kernel, stride, padding, dilation, groups = CONVS[case]
    rng = np.random.default_rng(case)
    size = made(given, kernel, stride, padding, dilation)
    n_in, n_out = int(np.prod(given)), outs * size[0] * size[1]
    place = rng.permutation(n_in)
    if case % 2:  # some go nowhere, some share a place
        place[::5], place[1::7] = -1, place[2]
    op = Convolution(
        weights(rng, kind, (outs, given[0] // groups, *kernel)), place, given, (outs, *size), stride, padding, dilation,
        groups,
    )  # fmt: skip
    p = plan(PLAIN, source(n_in), neurons(n_out, (Way(0, 0, 0, op),), [n_in], {"threshold": 60000}, shift=4))
    for density in (0.05, 1.0):
        assert not difference(p, {0: spikes(rng, 2, 2, n_in, density, signed=density < 1)}, 2)


GATHERED = [
    ((32, 4, 5), 16, (3, 3), (1, 1), (1, 1), (1, 1)),
    ((33, 3, 4), 10, (3, 2), (2, 1), (1, 0), (1, 1)),
    ((40, 3, 3), 70, (3, 3), (1, 2), (1, 1), (1, 1)),
    ((36, 1, 3), 136, (1, 3), (1, 1), (0, 1), (1, 1)),
    ((300, 1, 2), 24, (2, 2), (1, 1), (1, 1), (1, 1)),
    ((32, 5, 5), 8, (2, 2), (2, 2), (2, 1), (2, 2)),
]


@pytest.mark.parametrize("case", range(len(GATHERED)))
@pytest.mark.parametrize("kind", ["random", "-128", "bytes"])
def test_a_convolution_of_many_channels(case: int, kind: str) -> None:
    """Channel-last input: events of a position are summed in registers, 255 at a time where sums may be large."""
    given, outs, kernel, stride, padding, dilation = GATHERED[case]
    rng = np.random.default_rng(case)
    size = made(given, kernel, stride, padding, dilation)
    n_in, n_out = int(np.prod(given)), outs * size[0] * size[1]
    place = np.arange(n_in).reshape(given[0], -1).T.reshape(-1)
    weight = weights(rng, kind, (outs, given[0], *kernel)) if kind != "bytes" else rng.integers(
        -10, 246, (outs, given[0], *kernel)
    ).astype(np.int16)  # fmt: skip
    op = Convolution(weight, place, given, (outs, *size), stride, padding, dilation)
    p = plan(PLAIN, source(n_in), neurons(n_out, (Way(0, 0, 0, op),), [n_in], {"threshold": 60000}, shift=2))
    assert way_kind(p) == CONV8
    for density in (0.1, 1.0):
        assert not difference(p, {0: spikes(rng, 1, 2, n_in, density, signed=density < 1)}, 2)
    moved = replace(op, place=np.roll(place, 1))
    q = plan(PLAIN, source(n_in), neurons(n_out, (Way(0, 0, 0, moved),), [n_in], {"threshold": 60000}, shift=2))
    assert way_kind(q) != CONV8


TABLED = [
    ((2, 9, 8), 8, (5, 5), (2, 2), (2, 2), (1, 1), "first"),
    ((3, 4, 17), 32, (3, 3), (1, 1), (1, 1), (1, 1), "first"),
    ((2, 4, 9), 16, (2, 5), (2, 3), (0, 4), (1, 2), "first"),
    ((8, 5, 9), 16, (3, 3), (2, 2), (1, 1), (1, 1), "last"),
    ((8, 4, 12), 8, (2, 3), (1, 1), (1, 2), (2, 2), "last"),
    ((3, 6, 21), 8, (3, 3), (1, 2), (0, 1), (1, 1), "last"),
    ((5, 4, 7), 32, (3, 4), (3, 1), (2, 3), (1, 1), "last"),
    ((1, 1, 40), 16, (1, 9), (1, 4), (0, 4), (1, 1), "last"),
]


@pytest.mark.parametrize("case", range(len(TABLED)))
@pytest.mark.parametrize("kind", ["random", "-128"])
def test_a_convolution_of_few_channels(case: int, kind: str) -> None:
    """Strips of the window are looked up; what lies beside the image is none of its neighbours' spikes."""
    given, outs, kernel, stride, padding, dilation, order = TABLED[case]
    rng = np.random.default_rng(case)
    size = made(given, kernel, stride, padding, dilation)
    n_in, n_out = int(np.prod(given)), outs * size[0] * size[1]
    place = np.arange(n_in) if order == "first" else np.arange(n_in).reshape(given[0], -1).T.reshape(-1)
    op = Convolution(
        weights(rng, kind, (outs, given[0], *kernel)), place, given, (outs, *size), stride, padding, dilation
    )  # fmt: skip

    def network(op: Convolution) -> Plan:
        ways = (Way(0, 0, 0, op), Way(0, 1, 0, op))
        return plan(PLAIN, source(n_in), neurons(n_out, ways, [n_in, n_in], {"threshold": 60000}, shift=4))

    p, other = network(op), network(replace(op, place=np.roll(place, 1)))
    assert way_kind(p) == TABLE16 != way_kind(other)
    for density in (1.0, 0.2):
        sent = spikes(rng, 1, 2, n_in, density, signed=density < 1)
        assert not difference(p, {0: sent}, 2)
    turned = network(replace(op, weight=op.weight[..., ::-1]))  # windows the wrong way round
    if kind == "random":
        assert Brute(p).run({0: sent}, 2)[2] != Brute(turned).run({0: sent}, 2)[2]
    event = native.execute(native.prepare(p), {0: sent}, 2, native.Wishes(counts=True)).counts
    assert event is not None
    assert event[0].tolist() == [int(np.abs(sent).sum()), int((np.abs(sent).sum(axis=(0, 1)) * fan(op, n_in)).sum())]


def fan(op: Convolution, n_in: int) -> Any:
    return np.array([len(found) for found in links(op, n_in)])


def way_kind(p: Plan) -> int:
    return int(native.prepare(p).pack.arrays["ways"][0, WAY.index("kind")])


def test_several_ways_into_one_population() -> None:
    """Dense, sparse and convolutional ways, with and without delay, and a constant input."""
    rng = np.random.default_rng(17)
    start = np.concatenate([[0], np.cumsum(rng.integers(0, 9, 45))])
    sparse = Sparse(start, rng.integers(0, 48, start[-1]), rng.integers(-99, 99, start[-1]).astype(np.int8))
    conv = Convolution(
        weights(rng, "random", (3, 5, 3, 3)), np.arange(45), (5, 3, 3), (3, 4, 4), padding=(1, 1), stride=(1, 1)
    )
    conv = Convolution(weights(rng, "random", (3, 5, 2, 2)), np.arange(45), (5, 3, 3), (3, 4, 4), padding=(1, 1))
    ways = (
        Way(0, 0, 0, Dense(weights(rng, "random", (48, 45)))), Way(0, 2, 0, sparse), Way(0, 1, 0, conv),
        Way(1, 1, 0, Dense(weights(rng, "random", (48, 2)))),
    )  # fmt: skip
    held = source(2, name="held", kind="constant", latency=1)
    p = plan(LOIHI, source(45), held, neurons(48, ways, [45, 45, 45, 2], first=0, extra=3, latency=2, restart=2))
    assert not difference(p, {0: spikes(rng, 2, 7, 45, 0.3)}, 7)
    tiled = (ways[0], Way(0, 1, 0, Dense(weights(rng, "random", (48, 45)))), ways[3])
    p = plan(LOIHI, source(45), held, neurons(48, tiled, [45, 45, 2]))
    assert field(p, 2, "tiled") == 1
    assert not difference(p, {0: spikes(rng, 2, 7, 45, 0.3)}, 7)


@pytest.mark.parametrize("looped", [False, True])
def test_a_large_constant_input_needs_no_events(looped: bool) -> None:
    """Steps without a single spike add a vector that 16 bits do not hold."""
    rng = np.random.default_rng(23)
    held = source(2, name="held", kind="constant", latency=1)
    ways = (Way(0, 0, 0, Dense(weights(rng, "random", (48, 45)))), Way(1, 0, 0, Dense(weights(rng, "int16", (48, 2)))))
    if looped:
        ways += (Way(2, 1, 0, Dense(weights(rng, "random", (48, 48)))),)
    p = plan(
        PLAIN, source(45), held, neurons(48, ways, [45, 2, 48][: len(ways)], {"threshold": 1 << 24}),
        loops=((2,),) if looped else (),
    )  # fmt: skip
    assert field(p, 2, "acc") == 32
    sent = spikes(rng, 2, 6, 45, 0.3)
    sent[:, 2:] = 0
    assert not difference(p, {0: sent}, 6)


def test_results_do_not_depend_on_threads_or_chunks() -> None:
    rng = np.random.default_rng(19)
    p = layer(rng, 100, 40, "random", LOIHI)
    sent = spikes(rng, 41, 5, 100, 0.2)
    wished = native.Wishes((1,), (1,), ranges=True, counts=True)
    runs = [native.execute(native.prepare(p), {0: sent}, 5, wished, threads=k) for k in (1, 2, 3)]
    for run in runs[1:]:
        assert np.array_equal(run.signals[1], runs[0].signals[1])
        assert np.array_equal(run.states[1, "v"], runs[0].states[1, "v"])
        assert np.array_equal(run.ranges[1], runs[0].ranges[1])
        assert np.array_equal(run.counts, runs[0].counts)
    assert runs[0].counts is not None
    assert runs[0].counts.tolist() == [[int(sent.sum()), int(sent.sum()) * 40]]
