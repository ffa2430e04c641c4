"""States that are written past the caches are the same states, wherever rows begin and end."""

from __future__ import annotations

import numpy as np
import pytest

from kernel_brute import LOIHI, Brute, neurons, plan, source
from kernel_checks import difference, spikes, weights
from snnc.engine import calls, native
from snnc.engine.plan import Dense, Plan, Way
from snnc.ir import Conventions

N_IN, STEPS = 12, 5
WIDE = Conventions(register_bits=62, state_bits=48)


def layer(size: int, conventions: Conventions) -> Plan:
    rng = np.random.default_rng(size)
    ways = (Way(0, 0, 0, Dense(weights(rng, "random", (size, N_IN)))),)
    return plan(conventions, source(N_IN), neurons(size, ways, [N_IN]))


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "STREAMED", 0)


@pytest.mark.parametrize("conventions", [LOIHI, WIDE], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 10, 16, 17, 63, 64, 130])
def test_states_are_those_of_the_loops(size: int, conventions: Conventions) -> None:
    p, sent = layer(size, conventions), spikes(np.random.default_rng(size), 3, STEPS, N_IN, 0.4)
    for threads in (1, 2):
        assert not difference(p, {0: sent}, STEPS, threads=threads)


def test_a_state_that_differs_shows() -> None:
    p, sent = layer(10, LOIHI), spikes(np.random.default_rng(1), 3, STEPS, N_IN, 0.4)
    other = sent.copy()
    other[-1, -1] ^= 1
    found = native.execute(native.prepare(p), {0: other}, STEPS, native.Wishes((1,), (1,)))
    assert not np.array_equal(found.states[1, "u"], Brute(p).run({0: sent}, STEPS)[1][1, "u"])


def test_many_states_are_streamed_and_few_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    room = calls.Call(native.prepare(layer(64, LOIHI)), STEPS, range(2))
    flags = []
    for batch in (1, calls.STREAMED // (64 * STEPS * 4) + 1):
        room.give({0: np.zeros((batch, STEPS, N_IN), np.int8)}, {}, {})
        room.ask(native.Wishes((1,), (1,)))
        flags.append(room.ports[len(calls.PORT) + calls.AT["stream"]])
    assert flags == [0, 1]
