"""The engine's learner against the definition: every spike, state, weight and random number after each sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.engine import stepped
from snnc.engine.learner import Learner
from snnc.engine.whole import Whole
from snnc.errors import InputError, TraceError, UnsupportedError
from snnc.ir import FixedGraph
from snnc.learning.session import Moment, Values
from snnc.trace import Probes
from snnc_reference.execute import execute
from snnc_reference.learning_run import Learner as Definition
from unit.engine.learner_nets import HOSTS, Lessons, lessons
from unit.formats.onnx_nets import difference
from unit.learning.learning_nets import made, network, rule, spikes

SEEDS = range(64)
ALL = Probes(states="all")
PATHS = ("whole", "steps", "dense")
"""A sample in one call of the kernels; step by step with compiled synapses; step by step in NumPy."""


@contextmanager
def stepping() -> Iterator[None]:
    """Nothing runs in one call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Whole, "of", lambda *_: None)
        yield


def learner(one: Lessons, path: str = "whole") -> Learner:
    """The engine's, by one of its paths."""

    def fresh() -> Learner:
        engine: Any = "dense" if path == "dense" else "auto"
        return Learner(one.graph, one.plastic, scales=one.scales, hosts=HOSTS, engine=engine)

    if path != "steps":
        return fresh()
    with stepping():
        return fresh()


def unequal(one: Lessons, *paths: str) -> str:
    """The first difference from the definition, or an empty text."""
    left = Definition(one.graph, one.plastic, scales=one.scales, hosts=HOSTS)
    others = {path: learner(one, path) for path in paths}
    for n, sample in enumerate(one.samples):
        for _, population, factor in (change for change in one.thresholds if change[0] == n):
            level = factor * float(np.max(one.graph[population].params()["threshold"].raw)) / 254
            for each in (left, *others.values()):
                each.set_thresholds(population, level)
        label = int(one.labels[n])
        want = left.sample(sample, label, one.phases[n], ALL)
        for path, right in others.items():
            if found := difference(want, right.sample(sample, label, one.phases[n], ALL)):
                return f"{path}, sample {n}: {found}"
            for name, raw in left.raw.items():
                if not np.array_equal(raw, right.raw[name]):
                    return f"{path}, sample {n}: weights {name}"
    for path, right in others.items():
        states = left.state(), right.state()
        assert list(states[0]) == list(states[1])
        for key, value in states[0].items():
            if not np.array_equal(value, states[1][key]):
                return f"{path}: {key}"
    return ""


@pytest.mark.parametrize("seed", SEEDS)
def test_learns_what_the_definition_learns(seed: int) -> None:
    assert unequal(lessons(seed), *PATHS) == ""


def learn_late(self: stepped.Projection, step: int) -> Any:
    post = self.post.sent[max(step - 1, 0)]
    return self.synapses.step(self.seen, post, self.third(step, post), self.phase)  # type: ignore[misc, arg-type]


def send_new(self: stepped.Projection, step: int) -> None:
    self.seen, _ = self.inlet.joined(step)
    if self.late and step > 0 and self.phase is not None:
        self._learned(step - 1)
    out = self.synapses.send(self.seen)
    self.sent[step] = out if self.bias is None else out + self.bias


def start_free(self: stepped.Cells, step: int) -> None:
    restart, self.p = self.p.restart, replace(self.p, restart=None)
    ADVANCE(self, step)
    self.p = replace(self.p, restart=restart)


ADVANCE = stepped.Cells.advance
WRONG = [("Projection._learned", learn_late), ("Projection.advance", send_new), ("Cells.advance", start_free)]


@pytest.mark.parametrize(("name", "wrong"), WRONG, ids=["post a step late", "weights after", "no aligned start"])
def test_slightly_different_learning_is_noticed(name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, _, method = name.partition(".")
    monkeypatch.setattr(getattr(stepped, kind), method, wrong)
    found = [unequal(lessons(seed), "steps") for seed in range(12)]
    assert sum(text != "" for text in found) >= 3, found


def start_free_at_once(self: Whole, name: str) -> None:
    unit = self.units[name]
    assert isinstance(unit, stepped.Cells)
    unit.p = replace(unit.p, restart=None)
    LOAD(self, name)


def send_without_bias(self: Whole, name: str, fields: dict[str, int]) -> None:
    PUT(self, name, {key: 0 if key == "bias" else value for key, value in fields.items()})


def copy_elsewhere(feed: stepped.Feed) -> Any:
    where, weights = WEIGHTS(feed)
    return (None if where is None else np.roll(where, 1)), weights


LOAD, PUT, WEIGHTS = Whole.load, Whole._put, Whole._weights


@pytest.mark.parametrize(
    ("method", "wrong"),
    [("load", start_free_at_once), ("_put", send_without_bias), ("_weights", staticmethod(copy_elsewhere))],
)
def test_slightly_different_tables_are_noticed(method: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Whole, method, wrong)
    found = [unequal(lessons(seed), "whole") for seed in range(12)]
    assert sum(text != "" for text in found) >= 2, found


def test_both_ways_to_run_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call where nobody is asked under way; step by step for rewards, traces that neurons keep, and chains."""
    taken: dict[bool, set[str]] = {True: set(), False: set()}
    run = Whole.run

    def watched(self: Whole, *given: Any) -> bool:
        found = run(self, *given)
        taken[found] |= {one.rule.name for one in current.plastic}
        return found

    monkeypatch.setattr(Whole, "run", watched)
    for seed in range(20):
        current = lessons(seed)
        learner(current).sample(current.samples[0], 0)
    assert {"pair-stdp + weight-decay in sleep", "nearest-stdp", "s2-stdp", "products", "weight-decay"} <= taken[True]
    assert {"reward-stdp", "triplet-stdp"} <= taken[False]
    assert not {"reward-stdp", "triplet-stdp"} & taken[True]


def test_states_go_on_in_another_engine() -> None:
    """Definition, one call, steps and NumPy take turns after every sample; thresholds travel along."""
    one = lessons(10)
    through = Definition(one.graph, one.plastic, scales=one.scales, hosts=HOSTS)
    makers = [lambda: Definition(one.graph, one.plastic, scales=one.scales, hosts=HOSTS)]
    makers += [lambda path=path: learner(one, path) for path in PATHS]  # type: ignore[misc]
    state = through.state()
    for n, sample in enumerate(np.concatenate([one.samples, one.samples])):
        turn: Any = makers[n % len(makers)]()
        turn.restore(state)
        for each in (turn, through):
            each.set_thresholds("hid", 1.0 + n / 8)
            each.sample(sample, 1)
        state = turn.state()
        want = through.state()
        assert list(state) == list(want)
        assert all(np.array_equal(state[key], want[key]) for key in want)
    with pytest.raises(InputError, match="does not belong"):
        learner(one).restore({"samples": np.array(3)})


@pytest.mark.parametrize("path", PATHS)
def test_evaluation_leaves_no_mark_and_runs_what_learned(path: str) -> None:
    data = spikes(6)
    net = made(network(), "loihi1", data, rule())
    one = Lessons(net.graph, net.scales, net.plastic, data, np.zeros(6), (), ())
    plain, watched = learner(one, path), learner(one, path)
    for sample in data:
        plain.sample(sample)
        watched.sample(sample)
        watched.evaluate(data[:2])
        watched.sample(sample, phase="test")
    state, other = plain.state(), watched.state()
    assert all(np.array_equal(state[key], other[key]) for key in state)
    together = plain.evaluate(data)
    assert isinstance(plain.network, FixedGraph)
    assert difference(execute(plain.network, data), together) == ""
    assert plain.network is plain.network, "kept until something changes"
    alone = np.concatenate([watched.sample(s, phase="test").spikes["out"] for s in data])
    assert np.array_equal(alone, together.spikes["out"])
    assert not np.array_equal(alone, execute(net.graph, data).spikes["out"]), "it learned"
    plain.set_weights("fc", np.zeros((5, 12)))
    assert plain.evaluate(data).spikes["out"].sum() == 0
    plain.restore(state)
    plain.set_thresholds("out", 1e6)
    assert plain.evaluate(data).spikes["out"].sum() == 0


def test_thresholds_reach_what_ran_before_anything_that_learns() -> None:
    one = next(found for found in map(lessons, range(40)) if "early" in found.graph)
    for path in PATHS:
        who = learner(one, path)
        before = who.sample(one.samples[0], 0).spikes["early"].sum()
        who.set_thresholds("early", 1e4)
        assert who.sample(one.samples[0], 0).spikes["early"].sum() < before


def meddle(moment: Moment) -> Values:
    """Writes in the middle of a sample: weights hold at once, thresholds from the next sample on."""
    if moment.step == 4:
        moment.learner.set_thresholds(moment.population, 0.9)
        weights = np.array(moment.learner.weights[moment.projection])
        moment.learner.set_weights(moment.projection, 0.7 * weights)
    return {"reward": 0.5}


@pytest.mark.parametrize("seed", [4, 24, 54])
def test_hosts_that_write_under_way(seed: int) -> None:
    one, hosts = lessons(seed), {"reward": meddle}
    left = Definition(one.graph, one.plastic, scales=one.scales, hosts=hosts)
    right = Learner(one.graph, one.plastic, scales=one.scales, hosts=hosts)
    quiet = learner(one)
    for sample in one.samples:
        want = left.sample(sample, 0, probes=ALL)
        assert difference(want, right.sample(sample, 0, probes=ALL)) == ""
        calm = quiet.sample(sample, 0, probes=ALL)
    assert all(np.array_equal(raw, right.raw[name]) for name, raw in left.raw.items())
    assert difference(want, calm) != ""


def test_what_cannot_learn_is_refused() -> None:
    data = spikes(2)
    net = made(network(), "loihi1", data, rule())
    with pytest.raises(InputError, match="nothing learns"):
        Learner(net.graph, ())
    own = Learner(net.graph, net.plastic, scales=net.scales)
    with pytest.raises(InputError, match="the nearest is 'train'"):
        own.sample(data[0], phase="trian")
    with pytest.raises(InputError, match="the nearest is 'fc'"):
        own.set_weights("fcc", np.zeros((5, 12)))
    with pytest.raises(InputError, match=r"\(5, 11\), allowed is \(5, 12\)"):
        own.set_weights("fc", np.zeros((5, 11)))
    with pytest.raises(TraceError, match=r"allowed is \[T, \*\(12,\)\]"):
        own.sample(data[0, :, :3])
    split = replace(net.graph.conventions, membrane="closed_form", synapse="split")
    with pytest.raises(UnsupportedError, match="closed_form with split synapses"):
        Learner(replace(net.graph, conventions=split), net.plastic)
