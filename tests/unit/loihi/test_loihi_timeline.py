"""Samples one after the other: where they lie, what sources send, and which a spike of the one before reached."""

from __future__ import annotations

import numpy as np

from snnc_loihi.copies import copies_that_pay, widened
from snnc_loihi.lowering import plan_of
from snnc_loihi.timeline import QUIET, Timeline
from unit.loihi.loihi_nets import biased, convolutional, dense, recurrent, skipped


def test_feed_forward_samples_follow_without_a_gap() -> None:
    line = Timeline.of(plan_of(dense().graph), 4, 11)
    assert (line.period, line.total) == (11, 3 * 11 + 11 + 2)
    assert [line.reset_step(latency) for latency in (0, 1, 10)] == [1, 2, 0]


def test_delayed_paths_get_a_gap() -> None:
    assert Timeline.of(plan_of(recurrent().graph), 2, 10).period == 10 + 1 + QUIET
    assert Timeline.of(plan_of(skipped().graph), 2, 10).period == 10 + 2 + QUIET


def test_sources_send_ahead_of_their_connection() -> None:
    plan = plan_of(dense().graph)
    line = Timeline(2, 3, 5, 9)
    spikes = np.zeros((2, 3, 12), dtype=np.int8)
    spikes[1, 0, 4] = spikes[0, 2, 7] = 1
    sent = line.stimulus(plan.sources[0], 1, 0, spikes)
    assert np.argwhere(sent).tolist() == [[4, 5], [7, 2]]
    assert np.argwhere(line.stimulus(plan.sources[0], 3, 0, spikes)).tolist() == [[4, 7], [7, 4]]


def test_constant_sources_are_silent_before_their_first_step() -> None:
    one = plan_of(biased().graph).sources[1]
    assert (one.constant, one.latency) == (True, 1)
    sent = Timeline(2, 3, 5, 9).stimulus(one, 1, 0, np.zeros((2, 3, 6)))
    assert sent.tolist() == [[0, 1, 1, 1, 0, 0, 1, 1, 1]]


def test_cut_is_logical_time() -> None:
    found = Timeline(2, 3, 5, 10).cut(np.arange(10)[:, np.newaxis], 2, (1,))
    assert found[..., 0].tolist() == [[2, 3, 4], [7, 8, 9]]


def test_only_a_spike_that_reaches_a_window_disturbs_it() -> None:
    plan = plan_of(recurrent().graph)
    line = Timeline(3, 4, 6, 18)
    quiet = {"a": np.zeros((18, 10), dtype=bool), "b": np.zeros((18, 3), dtype=bool)}
    assert line.clean(plan, quiet)[:, 0].tolist() == [True, True, True]
    for step, expected in ((6, [True, False, True]), (12, [True, True, False]), (5, [True] * 3), (7, [True] * 3)):
        spikes = {name: array.copy() for name, array in quiet.items()}
        spikes["a"][step, 3] = spikes["b"][step, 1] = True
        assert line.clean(plan, spikes)[:, 0].tolist() == expected, f"a spike in device step {step}"


def test_what_happens_before_every_sample_disturbs_none() -> None:
    """A bias that fires before the first step of the first sample does so before each."""
    plan = plan_of(recurrent().graph)
    spikes = {"a": np.zeros((18, 10), dtype=bool), "b": np.zeros((18, 3), dtype=bool)}
    spikes["a"][[0, 6, 12], 2] = True
    line = Timeline(3, 4, 6, 18)
    assert line.clean(plan, spikes)[:, 0].tolist() == [True, True, True]
    spikes["a"][12, 2] = False
    assert line.clean(plan, spikes)[:, 0].tolist() == [True, True, False]


def test_copies_are_judged_one_by_one() -> None:
    plan = plan_of(recurrent().graph)
    spikes = {"a": np.zeros((18, 20), dtype=bool), "b": np.zeros((18, 6), dtype=bool)}
    spikes["a"][6, 3] = spikes["a"][12, 10] = True
    found = Timeline(3, 4, 6, 18).clean(plan, spikes, 2)
    assert found.tolist() == [[True, True], [False, True], [True, False]]


def test_copies_do_not_touch() -> None:
    plan = widened(plan_of(convolutional().graph), 3)
    one = plan_of(convolutional().graph)
    matrix = plan.synapses[2].weights
    assert np.array_equal(matrix[5:10, 48:96], one.synapses[2].weights)
    assert np.count_nonzero(matrix) == 3 * np.count_nonzero(one.synapses[2].weights)
    assert plan.synapses[1].window is not None
    assert (plan.synapses[1].window.groups, plan.synapses[1].window.in_shape) == (6, (7, 7, 12))
    assert plan.synapses[1].weights.shape == (18, 3, 3, 2)
    assert plan.populations[0].size == 3 * one.populations[0].size


def test_number_of_copies() -> None:
    plan = plan_of(dense().graph)
    size = 12 * 16 + 16 * 5
    assert [copies_that_pay(plan, 50, work) for work in (0, size, 4 * size, 9 * size - 1, 1 << 30)] == [1, 1, 2, 2, 50]
    assert copies_that_pay(plan_of(convolutional().graph), 1000, 1 << 30) == 63
