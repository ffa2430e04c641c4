"""What ran into an end of its range while a network learned: counted where it happens and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.engine.learner import Learner as EngineLearner
from snnc.learning import configure
from snnc.learning.saturation import FULL, Saturation, bounded, listed
from snnc_reference.learning_chip import ChipLearning
from snnc_reference.learning_run import Learner
from snnc_spinnaker.learn import Learning
from snnc_spinnaker.learner import Learner as BoardLearner
from unit.learning.learning_nets import made, network, rule, spikes
from unit.spinnaker.test_spinnaker_learning import PAIR, learning, small

DATA = spikes(6, rate=0.3)


def taught(**keys: Any) -> Learner:
    one = made(network(threshold=1.0), "loihi1", DATA, rule(A_plus=0.04, A_minus=0.03, **keys))
    return Learner(one.graph, one.plastic, scales=one.scales)


def counts(found: Any) -> dict[tuple[str, str], int]:
    return {(one.where, one.what.split(" (")[0]): one.count for one in found}


def test_traces_at_their_end_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every neuron after every epoch, watched from outside; room for the rate leaves nothing to count."""
    seen = np.zeros(2, dtype=np.int64)
    step = ChipLearning.step

    def watched(self: ChipLearning, *given: Any) -> Any:
        sent = step(self, *given)
        if self.steps % self.rule.t_epoch == 0:
            seen[:] += [np.sum(self.x[0] == 127), np.sum(self.y[0] == 127)]
        return sent

    monkeypatch.setattr(ChipLearning, "step", watched)
    found = {}
    for name, keys in (("narrow", {"max_rate": 0.02}), ("epochs", {"max_rate": 0.02, "t_epoch": 3}),
                       ("room", {"max_rate": 0.9})):  # fmt: skip
        learner = taught(**keys)
        seen[:] = 0
        for one in DATA:
            learner.sample(one)
        (x,) = [one for one in learner.saturations if "x1" in one.what]
        (y,) = [one for one in learner.saturations if "y1" in one.what]
        assert [x.count, y.count] == seen.tolist()
        found[name] = x
    assert found["narrow"].count > 100
    assert 0 < found["epochs"].count < found["narrow"].count
    assert found["room"].count == 0
    assert "Raise max_rate in [learning.fc]" in found["narrow"].warning
    assert str(FULL) in found["narrow"].warning
    assert found["room"].warning == ""


def test_the_engine_counts_the_same() -> None:
    one = made(network(threshold=1.0), "loihi1", DATA, rule(A_plus=0.04, A_minus=0.03, max_rate=0.02))
    ours, theirs = (kind(one.graph, one.plastic, scales=one.scales) for kind in (EngineLearner, Learner))
    for sample in DATA:
        ours.sample(sample)
        theirs.sample(sample)
    assert ours.saturations == theirs.saturations
    assert sum(found.count for found in ours.saturations if "trace" in found.what) > 200
    again = EngineLearner(one.graph, one.plastic, scales=one.scales)
    again.restore(theirs.state())
    assert again.saturations == ours.saturations
    again.sample(DATA[0])
    assert again.saturations != ours.saturations


def test_counts_go_on_from_a_checkpoint() -> None:
    whole, begun, resumed = (taught(max_rate=0.02) for _ in range(3))
    for one in DATA:
        whole.sample(one)
    for one in DATA[:3]:
        begun.sample(one)
    resumed.restore(begun.state())
    for one in DATA[3:]:
        resumed.sample(one)
    assert whole.saturations == resumed.saturations
    assert whole.saturations != begun.saturations


def test_traces_that_a_spike_sets_lose_nothing() -> None:
    """The nearest-spike rule sets its traces to their end: that is no saturation."""
    one = made(network(threshold=1.0), "loihi1", DATA, configure("fc", rule="nearest-stdp", A_plus=0.04, A_minus=0.03))
    learner = Learner(one.graph, one.plastic, scales=one.scales)
    for sample in DATA:
        learner.sample(sample)
    assert [one.what for one in learner.saturations if "trace" in one.what] == []


def test_weights_on_their_bounds() -> None:
    found = bounded("w", np.array([[0, 3, 255], [255, 254, 1]]), 0, 255)
    assert (found.count, found.of) == (3, 6)
    assert "(1 at 0, 2 at 255 device steps)" in found.warning
    assert "widen w_min and w_max" in found.warning
    assert bounded("w", np.array([[1, 254]]), 0, 255).warning == ""


def board(**keys: Any) -> Learning:
    return learning(small(), configure("w", **{**PAIR, **keys}))


def test_rings_that_are_cut_are_counted_by_projection() -> None:
    """All weights at the largest word: one source fills a ring entry, two at once are one too many, for 8 neurons."""
    net = board()
    for sources in (1, 2):
        learner = BoardLearner(net)
        assert set(counts(learner.saturations).values()) == {0}
        learner.run.blocks["w"].weight[...] = 65535
        x = np.zeros((6, 12), np.int8)
        x[1, :sources] = 1
        learner.sample(x)
        found = counts(learner.saturations)
        assert found["w", "ring entries"] == learner.run.saturations["h"] == 8 * (sources - 1)
    assert found["h to o, excitatory", "ring entries"] == 0
    said = {one["where"]: one["warning"] for one in listed(learner) if "ring" in one["what"]}
    assert "neurons of h receive less than the weights say" in said["w"]
    assert "--data" in said["w"]
    assert said["h to o, excitatory"] == ""


def test_traces_that_wrap_are_counted() -> None:
    """17 spikes in a row with hardly any decay are more than 16 full traces, one more than 16 bits hold."""
    found = {}
    for name, steps in (("most", 16), ("wraps", 17)):
        learner = BoardLearner(board(tau_plus=700.0, tau_minus=2.0, A_plus=0.001, A_minus=0.001), pause=3)
        x = np.zeros((20, 12), np.int8)
        x[:steps, :5] = 1
        learner.sample(x)
        found[name] = counts(learner.saturations)
    traces = "traces of pre neurons that wrapped beyond 16 bits"
    assert found["most"]["w", traces] == 0
    assert found["wraps"]["w", traces] == 5
    assert found["wraps"]["h", traces.replace("pre", "post")] == 0


def test_counts_of_a_board_go_on_from_a_checkpoint() -> None:
    net, x = board(tau_plus=60.0, A_plus=0.001, A_minus=0.001), np.ones((18, 12), np.int8)
    whole, begun, resumed = (BoardLearner(net, pause=2) for _ in range(3))
    for one in (whole, whole, begun):
        one.sample(x)
    resumed.restore(begun.state())
    resumed.sample(x)
    assert whole.saturations == resumed.saturations != begun.saturations


def test_who_counts_nothing_lists_nothing() -> None:
    assert listed(object()) == []
    one = Saturation("w", "things", 2, 5, "they are lost", "Find them")
    assert one.warning == "w: 2 of 5 things: they are lost. Find them"
