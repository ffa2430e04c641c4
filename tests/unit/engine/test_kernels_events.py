"""Lists of events and sums that are looked up, in every build of the kernels, against loops over Python's integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kernel_brute import Brute, neurons, plan, source
from kernel_checks import difference, spikes, weights
from snnc.engine import native
from snnc.engine.layout import TABLE16, WAY
from snnc.engine.plan import Convolution, Dense, Plan, Way
from snnc.ir import Conventions

PLAIN = Conventions(register_bits=62)
COUNTS = (0, 1, 4, 5, 8, 9, 16, 17, 32, 33, 48, 49, 63, 64)
"""Events of one word of bits at which a list is written in another way."""


def sums(n_in: int) -> Plan:
    """Three neurons by whose sums each list of events is told from any other with an event more, less or moved."""
    at = np.arange(n_in)
    weight: Any = np.stack([np.ones_like(at), at, at * at]).astype(np.int32)
    return plan(PLAIN, source(n_in), neurons(3, (Way(0, 0, 0, Dense(weight)),), [n_in], {"threshold": 60000}, shift=0))


def rows(n_in: int, signed: bool) -> Any:
    """[1, T, n_in]: each of ``COUNTS`` events in each word, at random places."""
    rng = np.random.default_rng(n_in)
    sent = np.zeros((1, len(COUNTS), n_in), np.int8)
    for t, count in enumerate(COUNTS):
        for word in range(0, n_in, 64):
            size = min(64, n_in - word)
            at = word + rng.permutation(size)[: min(count, size)]
            sent[0, t, at] = rng.choice([-1, 1], len(at)) if signed else 1
    return sent


@pytest.mark.parametrize("n_in", [1, 8, 9, 15, 16, 17, 63, 64, 65, 127, 143, 257])
@pytest.mark.parametrize("signed", [False, True])
def test_lists_of_any_number_of_events(n_in: int, signed: bool) -> None:
    p, sent = sums(n_in), rows(n_in, signed)
    assert not difference(p, {0: sent}, len(COUNTS))
    lost = sent.copy()
    lost[0, -1, n_in - 1] = 0
    assert Brute(p).run({0: sent}, len(COUNTS))[1][1, "u"].tolist() != (
        Brute(p).run({0: lost}, len(COUNTS))[1][1, "u"].tolist()
    )


@pytest.mark.parametrize("batch", [1, 2, 3, 15, 16, 17])
def test_lists_of_single_steps(batch: int) -> None:
    rng = np.random.default_rng(batch)
    assert not difference(sums(70), {0: spikes(rng, batch, 1, 70, 0.3)}, 1)


def lookup(outs: int, delays: tuple[int, ...], kernel: tuple[int, int], side: int = 5) -> Plan:
    """Convolutions of one plane whose windows have a strip for each row, as many ways as there are delays."""
    rng = np.random.default_rng(outs * 10 + kernel[0])
    high, wide = side + 1 - kernel[0], side + 1 - kernel[1]
    ways = tuple(
        Way(
            0, delay, 0,
            Convolution(
                weights(rng, "random", (outs, 1, *kernel)), np.arange(side * side), (1, side, side),
                (outs, high, wide), stride=(1, 1), padding=(0, 0), dilation=(1, 1),
            ),
        )
        for delay in delays
    )  # fmt: skip
    size, given = outs * high * wide, [side * side] * len(delays)
    p = plan(PLAIN, source(side * side), neurons(size, ways, given, {"threshold": 900}, shift=0))
    kinds = native.prepare(p).pack.arrays["ways"][:, WAY.index("kind")]
    assert set(kinds.tolist()) == {TABLE16}
    return p


@pytest.mark.parametrize("delays", [(0,), (1,), (0, 1), (2, 0)])
@pytest.mark.parametrize("outs", [8, 16, 32])
def test_sums_that_are_written_forget_what_was_there(delays: tuple[int, ...], outs: int) -> None:
    """Steps in which the first way writes, only subtracts, both, or says nothing, in turn."""
    rng = np.random.default_rng(7)
    p, side = lookup(outs, delays, (3, 3)), 25
    plus = spikes(rng, 2, 8, side, 0.4)
    signs = np.array([1, 0, -1, 1, -1, 0, 0, 1])[:, None]
    sent = (plus * signs).astype(np.int8)
    sent[1, 3] = spikes(rng, 1, 1, side, 0.8, signed=True)[0, 0]
    assert not difference(p, {0: sent}, 8)
    stale = sent.copy()
    stale[:, 1] = stale[:, 0]
    assert not np.array_equal(Brute(p).run({0: sent}, 8)[1][1, "u"], Brute(p).run({0: stale}, 8)[1][1, "u"])


@pytest.mark.parametrize("height", range(1, 13))
def test_windows_of_any_number_of_strips(height: int) -> None:
    """Sums of a few strips are written, those of the others added."""
    rng = np.random.default_rng(height)
    p = lookup(8, (0,), (height, 1), side=12)
    sent = spikes(rng, 1, 2, 144, 0.5, signed=True)
    assert not difference(p, {0: sent}, 2)
    p = lookup(16, (0,), (min(height, 5), 3), side=6)
    assert not difference(p, {0: spikes(rng, 1, 2, 36, 0.3)}, 2)
