"""Samples shared out among threads: the same bits, whatever threads do, fork or fail."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from kernel_brute import LOIHI, Brute, neurons, plan, source
from kernel_checks import spikes, weights
from snnc.engine import native, run
from snnc.engine.attach import LARGE_CHUNK
from snnc.engine.plan import Dense, Plan, Way
from snnc.errors import FormatError, TraceError
from snnc.ir import Conventions
from snnc.trace import Probes

N_IN, N_OUT, STEPS = 20, 9, 6
WISHES = native.Wishes((1,), (1,), ranges=True, counts=True)


def layer(seed: int, conventions: Conventions = LOIHI, **fields: Any) -> Plan:
    rng = np.random.default_rng(seed)
    ways = (Way(0, 0, 0, Dense(weights(rng, "random", (N_OUT, N_IN)))),)
    return plan(conventions, source(N_IN), neurons(N_OUT, ways, [N_IN], **fields))


def same(a: native.Result, b: native.Result) -> bool:
    assert a.counts is not None
    assert b.counts is not None
    return (
        all(np.array_equal(a.signals[key], b.signals[key]) for key in a.signals)
        and all(np.array_equal(a.states[key], b.states[key]) for key in a.states)
        and all(np.array_equal(a.ranges[key], b.ranges[key]) for key in a.ranges)
        and np.array_equal(a.counts, b.counts)
    )  # fmt: skip


@pytest.mark.parametrize("batch", [1, 2, 7, 40, 131])
def test_any_number_of_threads_gives_the_same(batch: int) -> None:
    """Spikes, states, ranges and counts; one sample that is another shows in them."""
    prepared = native.prepare(layer(batch))
    sent = spikes(np.random.default_rng(batch), batch, STEPS, N_IN, 0.4)
    want = native.execute(prepared, {0: sent}, STEPS, WISHES)
    for threads in (2, 3, 5, 16, batch + 1):
        assert same(native.execute(prepared, {0: sent}, STEPS, WISHES, threads=threads), want)
    other = sent.copy()
    other[-1] ^= 1
    assert not same(native.execute(prepared, {0: other}, STEPS, WISHES, threads=3), want)


def test_the_bits_are_those_of_the_definition() -> None:
    p = layer(1)
    sent = spikes(np.random.default_rng(5), 37, STEPS, N_IN, 0.4)
    found = native.execute(native.prepare(p), {0: sent}, STEPS, WISHES, threads=4)
    signals, states = Brute(p).run({0: sent}, STEPS)[:2]
    assert np.array_equal(found.signals[1], signals[1])
    assert all(np.array_equal(found.states[1, name], states[1, name]) for name in ("u", "v"))


@pytest.mark.parametrize("batch", [1, 40, 1100])
def test_whole_runs_do_not_depend_on_threads(batch: int) -> None:
    """With what is kept for one shape of input and without, one after the other and with other inputs in between."""
    p = layer(7)
    first, second = (spikes(np.random.default_rng(seed), batch, STEPS, N_IN, 0.4) for seed in (8, 9))
    signals, states = Brute(p).run({0: first}, STEPS)[:2]
    name = p.populations[1].name
    for threads in (0, 1, 2, 3, 7, 2):
        trace = run.execute(p, first, Probes(states="all"), threads=threads)
        other = run.execute(p, second, Probes(states="all"), threads=threads)
        assert np.array_equal(trace.spikes[name], signals[1])
        assert all(np.array_equal(trace.states[name, key], states[1, key]) for key in ("u", "v"))
        assert not np.array_equal(other.states[name, "v"], states[1, "v"])


def test_what_a_thread_takes() -> None:
    small, large = native.prepare(layer(2)), native.prepare(layer(3))
    large.base = LARGE_CHUNK
    assert [native.grain(small, n, 2) for n in (2, 64, 1000)] == [native.GRAIN] * 3
    assert [native.grain(large, n, 2) for n in (2, 31, 64, 1000)] == [1, 16, 32, LARGE_CHUNK]
    sent = spikes(np.random.default_rng(3), 150, STEPS, N_IN, 0.4)
    want = native.execute(large, {0: sent}, STEPS, WISHES)
    assert same(native.execute(large, {0: sent}, STEPS, WISHES, threads=2), want)


def test_several_callers_at_once() -> None:
    """One of them has the helpers, the others work alone; nobody gets what another one asked for."""
    found: dict[tuple[int, int], native.Result] = {}
    plans = [native.prepare(layer(seed)) for seed in range(4)]
    given = [spikes(np.random.default_rng(seed), 33 + seed, STEPS, N_IN, 0.4) for seed in range(4)]

    def call(seed: int) -> None:
        for turn in range(20):
            found[seed, turn] = native.execute(plans[seed], {0: given[seed]}, STEPS, WISHES, threads=3)

    callers = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for seed in range(4):
        want = native.execute(plans[seed], {0: given[seed]}, STEPS, WISHES)
        assert all(same(found[seed, turn], want) for turn in range(20))


def test_an_error_does_not_depend_on_threads() -> None:
    """A byte that is no spike is said before a state that left its width, wherever they are."""
    c = Conventions(state_bits=16, current_overflow="refuse", register_bits=62)
    ways = (Way(0, 0, 0, Dense(np.full((4, N_IN), 120, np.int8))),)
    p = plan(c, source(N_IN), neurons(4, ways, [N_IN], {"decay_u": 0, "threshold": 1 << 20, "decay_v": 0}))
    loud = np.zeros((90, STEPS, N_IN), np.int8)
    loud[3] = 1
    strange = loud.copy()
    strange[77, 5, 19] = 2
    for threads in (1, 2, 5):
        with pytest.raises(FormatError, match="a state left 16 bits"):
            native.execute(native.prepare(p), {0: loud}, STEPS, WISHES, threads=threads)
        with pytest.raises(TraceError, match="none of -1, 0 and 1"):
            native.execute(native.prepare(p), {0: strange}, STEPS, WISHES, threads=threads)
    native.execute(native.prepare(p), {0: loud * 0}, STEPS, WISHES, threads=2)


PROGRAM = """
import os, sys
import numpy as np
from snnc.engine import native, selftest

prepared = native.prepare(selftest.layer())
sent = (np.random.default_rng(0).random((64, 6, selftest.SOURCES)) < 0.3).astype(np.int8)
wishes = native.Wishes((1,), (1,))

def run(threads):
    found = native.execute(prepared, {0: sent}, 6, wishes, threads=threads)
    return found.signals[1].tobytes() + found.states[1, "v"].tobytes()

want = run(1)
assert run(3) == want
children = [os.fork() for _ in range(3)] if hasattr(os, "fork") and sys.argv[1] == "fork" else [1]
if 0 in children:
    assert run(3) == want and run(2) == want
    if 0 in [os.fork()]:
        os._exit(run(4) != want)
    os._exit(os.wait()[1] != 0)
for _ in children if sys.argv[1] == "fork" and hasattr(os, "fork") else ():
    assert os.wait()[1] == 0
assert run(5) == want
print("same")
"""


@pytest.mark.parametrize("how", ["exit", "fork"])
def test_a_program_ends_and_its_children_run(how: str) -> None:
    """Helpers sleep when the program ends, and are gone in a child."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


@pytest.mark.parametrize("value", [-128, -1, 2, 127])
@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (40, 1), (40, 2)])
def test_what_is_no_spike_is_said_wherever_it_is(batch: int, threads: int, value: int) -> None:
    """The kernels look while they read; -1 is a spike of populations with two signs, none of an input."""
    p = layer(6)
    sent = spikes(np.random.default_rng(6), batch, STEPS, N_IN, 0.4)
    run.execute(p, sent, threads=threads)
    for at in ((0, 0, 0), (batch - 1, STEPS - 1, N_IN - 1), (batch // 2, 2, 16)):
        wrong = sent.copy()
        wrong[at] = value
        low, high = min(value, 0), max(value, 1)
        with pytest.raises(TraceError, match=f"spikes are 0 or 1; found {low} to {high}"):
            run.execute(p, wrong, threads=threads)
    signed = native.execute(native.prepare(p), {0: -sent}, STEPS, native.Wishes((1,)), threads=threads).signals[1]
    assert np.array_equal(signed, Brute(p).run({0: -sent}, STEPS)[0][1])
