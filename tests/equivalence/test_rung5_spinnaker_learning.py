"""Rung 5 for networks that learn: compiled projections on the release programs, the emulator and the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.config import load_config
from snnc.ir import Add, Affine, Edge, FixedGraph, Graph, Input, Neuron, Node, Readout
from snnc.ladder import EVERYTHING
from snnc.learning import LearningConfig, configure
from snnc.passes.base import run_passes
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc.target import demand
from snnc_reference.execute import execute as referred
from snnc_reference.pair_stdp import PairRule, Source, Target, decay_table
from snnc_spinnaker.binary import learn as binary
from snnc_spinnaker.learn import Learning, Plastic, build, weight_scale
from snnc_spinnaker.learn_run import Learned, emulate
from snnc_spinnaker.learner import Learner, learner
from snnc_spinnaker.stdp import Rule
from snnc_spinnaker.target import SPINNAKER1

TOML = """
[learning.first]
rule = "{rule}"
A_plus = {up}
A_minus = {down}
tau_plus = 5.0
tau_minus = 6.0
w_min = 0.0
w_max = 0.5

[learning.loop]
rule = "pair-stdp"
A_plus = 0.04
A_minus = 0.05
tau_plus = 3.0
tau_minus = 8.0
w_min = 0.02
w_max = 0.6
"""
AMOUNTS = {"pair-stdp": (0.03, 0.02), "multiplicative-stdp": (0.1, 0.08), "soft-bound-stdp": (0.06, 0.1)}


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test; nothing may be written there."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@dataclass(frozen=True, eq=False)
class Net:
    """A compiled network, float and fixed, with the rules of its snnc.toml and samples."""

    graph: Graph
    fixed: FixedGraph
    scales: Any
    configs: tuple[LearningConfig, ...]
    x: Any

    @property
    def units(self) -> dict[str, float]:
        names = [one.projection for one in self.configs]
        return {name: weight_scale(self.graph, self.fixed, self.scales, name) for name in names}

    @property
    def learning(self) -> Learning:
        return build(self.fixed, self.configs, self.units)


def network(**weights: Any) -> Graph:
    """Two populations that learn: the first from the input, the second from itself, three steps late."""
    rng = np.random.default_rng(3)
    drawn = {"first": rng.uniform(0, 0.5, (6, 10)), "second": rng.normal(0.4, 0.5, (5, 6))}
    drawn |= {"loop": rng.uniform(0.02, 0.6, (5, 5))} | weights
    nodes: list[Node] = [
        Input("in", shape=(10,)),
        Affine("first", weight=drawn["first"]),
        Neuron("h", shape=(6,), decay_u=np.array(0.6), decay_v=np.array(0.8), fires="ge"),
        Affine("second", weight=drawn["second"]),
        Add("sum"),
        Neuron("o", shape=(5,), decay_v=np.array(0.9), fires="ge", reset_v="value", v_reset=np.array(-0.2)),
        Readout("out"),
    ]
    edges = [*(Edge(a.name, b.name) for a, b in pairwise(nodes)), Edge("o", "loop", 3), Edge("loop", "sum")]
    return Graph((*nodes, Affine("loop", weight=drawn["loop"])), tuple(edges))


def configured(folder: Path, rule: str) -> tuple[LearningConfig, ...]:
    up, down = AMOUNTS[rule]
    (folder / "snnc.toml").write_text(TOML.format(rule=rule, up=up, down=down))
    return load_config(folder / "snnc.toml").learning


def compiled(graph: Graph, configs: tuple[LearningConfig, ...], x: Any, *, room: bool = True, **options: Any) -> Net:
    graph, _ = run_passes(graph, SPINNAKER1.prepare)
    demand(graph, SPINNAKER1)
    grows = tuple((one.projection, one.rule.w_max) for one in configs) if room else ()
    chosen = QuantizeOptions(grows=grows, **options)
    made = SPINNAKER1.quantize(graph, Calibration(x, referred(graph, x, EVERYTHING)), chosen)
    return Net(graph, made.graph, made.scales, configs, x)


def samples() -> Any:
    return (np.random.default_rng(4).random((3, 25, 10)) < 0.25).astype(np.int8)


@pytest.fixture(scope="module", params=["multiplicative-stdp", "pair-stdp"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Net, Learned]:
    """A network and what the release programs do with it, weights after every step included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        net = compiled(network(), configured(tmp_path_factory.mktemp("net"), request.param), samples())
        return net, binary.execute(net.learning, net.x, every_step=True)


def differences(left: Learned, right: Learned) -> dict[Any, int]:
    found = {}
    for part in ("spikes", "states", "weights", "history"):
        ours, theirs = getattr(left, part), getattr(right, part)
        assert set(ours) == set(theirs)
        for key, values in ours.items():
            assert values.shape == theirs[key].shape
            if count := int(np.count_nonzero(values != theirs[key])):
                found[part, key] = count
    return found


def test_release_programs_and_emulator_agree_after_every_step(run: tuple[Net, Learned]) -> None:
    net, theirs = run
    ours = emulate(net.learning, net.x, every_step=True)
    assert differences(ours, theirs) == {}
    assert ours.counts["ring saturations"] == 0
    assert len(theirs.history["first"]) == ours.counts["steps"] == 3 * (25 + net.learning.pause)
    for one in net.learning.plastic:
        assert theirs.spikes[one.target].sum() > 60
        assert np.mean(theirs.weights[one.name] != net.learning.words(one)) > 0.9
        assert np.count_nonzero(np.diff(theirs.history[one.name], axis=0) > 0) > 50
        assert np.count_nonzero(np.diff(theirs.history[one.name], axis=0) < 0) > 50


def from_specification(one: Plastic, pre: Any, post: Any, delay: int, start: Any, **changed: Any) -> Any:
    """Words [steps, pre, post] after every step, by the reference's own rule and conversion of the settings."""
    pair = one.pair
    low, high, plus, minus = (round(value * 32768) for value in (pair.w_min, pair.w_max, *pair.written))
    tables = decay_table(pair.tau_plus), decay_table(pair.tau_minus)
    rule = replace(PairRule(pair.kind, *tables, low, high, plus, minus, one.rule.shift[0]), **changed)
    targets = [Target(rule) for _ in range(post.shape[1])]
    rows = [Source(rule, targets, words, [delay] * len(words)) for words in start.tolist()]
    found = []
    for step in range(len(pre)):
        for neuron in np.flatnonzero(post[step]):
            targets[neuron].spike(step)
        for source in np.flatnonzero(pre[step]):
            rows[source].spike(step)
        found.append([list(row.weights) for row in rows])
    return np.array(found)


def test_the_reference_agrees_with_the_release_programs_after_every_step(run: tuple[Net, Learned]) -> None:
    net, theirs = run
    for one in net.learning.plastic:
        delay = net.learning.machine.projections[one.number].delay
        spikes = theirs.spikes[one.source], theirs.spikes[one.target]
        start, want = net.learning.words(one), theirs.history[one.name]
        assert np.array_equal(from_specification(one, *spikes, delay, start), want)
        assert not np.array_equal(from_specification(one, *spikes[::-1], delay, start.T).swapaxes(1, 2), want)
        assert not np.array_equal(from_specification(one, *spikes, delay - 1, start), want)


def written(one: Plastic, rule: Rule) -> Plastic:
    return replace(one, rule=rule)


def swapped(one: Plastic) -> Plastic:
    """Pre and post exchanged: what comes first is what should come second."""
    low, high, plus, minus = one.rule.bounds.T
    return written(
        one, replace(one.rule, plus=one.rule.minus, minus=one.rule.plus, bounds=np.stack([low, high, minus, plus], 1))
    )


def as_relative(one: Plastic) -> Plastic:
    """A_plus taken as PyNN and NEST mean it."""
    low, high, plus, minus = one.rule.bounds.T
    return written(one, replace(one.rule, bounds=np.stack([low, high, plus * high >> 15, minus], 1)))


def other_kind(one: Plastic) -> Plastic:
    kinds: dict[Any, Any] = {"additive": "multiplicative", "multiplicative": "additive"}
    return written(one, replace(one.rule, kind=kinds[one.rule.kind]))


def without_delay(one: Plastic) -> Plastic:
    """Spikes of the target reach a synapse at once."""
    return written(one, replace(one.rule, delayed_posts=False))


@pytest.mark.parametrize("wrong", [swapped, as_relative, other_kind, without_delay])
def test_a_wrong_rule_is_noticed(run: tuple[Net, Learned], wrong: Callable[[Plastic], Plastic]) -> None:
    net, theirs = run
    for number, one in enumerate(net.learning.plastic):
        plastic = list(net.learning.plastic)
        plastic[number] = wrong(one)
        ours = emulate(replace(net.learning, plastic=tuple(plastic)), net.x, every_step=True)
        assert differences(ours, theirs)["history", one.name] > 100


def learner_of(net: Net, pause: int | None = None) -> Learner:
    return learner(net.graph, net.fixed, net.scales, net.configs, pause)


def test_a_learner_takes_samples_one_by_one_and_resumes(run: tuple[Net, Learned]) -> None:
    net, theirs = run
    whole, begun, resumed = (learner_of(net) for _ in range(3))
    span = 25 + net.learning.pause
    for number, one in enumerate(net.x):
        trace = whole.sample(one)
        late = net.fixed.latency["o"]
        assert trace.spikes["o"].shape == (1, 25, 5)
        assert np.array_equal(trace.spikes["o"][0], theirs.spikes["o"][number * span + late :][:25])
    assert whole.samples == 3
    assert all(np.array_equal(raw.T, theirs.weights[name]) for name, raw in whole.raw.items())
    begun.sample(net.x[0])
    kept = begun.state()
    begun.sample(net.x[2])
    resumed.restore(kept)
    for one in net.x[1:]:
        resumed.sample(one)
    assert all(np.array_equal(raw, whole.raw[name]) for name, raw in resumed.raw.items())
    assert any(not np.array_equal(raw, whole.raw[name]) for name, raw in begun.raw.items())
    fresh = whole.evaluate(net.x)
    want = referred(whole.network, net.x, EVERYTHING)
    assert np.array_equal(fresh.spikes["o"], want.spikes["o"])
    assert not np.array_equal(fresh.spikes["o"], referred(net.fixed, net.x, EVERYTHING).spikes["o"])
    assert np.array_equal(whole.sample(net.x[0], phase="test").spikes["h"], want.spikes["h"][:1])
    assert whole.samples == 3


def test_full_rows_on_two_cores() -> None:
    """255 neurons are one more than a core's rows hold, so that they learn on two."""
    rng = np.random.default_rng(9)
    nodes: list[Node] = [
        Input("in", shape=(8,)),
        Affine("w", weight=rng.uniform(0, 0.6, (255, 8))),
        Neuron("h", shape=(255,), decay_v=np.array(0.9), fires="ge"),
        Readout("out"),
    ]
    graph = Graph(tuple(nodes), tuple(Edge(a.name, b.name) for a, b in pairwise(nodes)))
    x = (rng.random((1, 16, 8)) < 0.3).astype(np.int8)
    config = configure("w", rule="pair-stdp", A_plus=0.05, A_minus=0.04, tau_plus=4.0, tau_minus=4.0, w_max=0.6)
    learning = compiled(graph, (config,), x).learning
    theirs = binary.execute(learning, x, pause=4)
    assert theirs.counts["cores"] == 2
    assert differences(emulate(learning, x, pause=4), theirs) == {}
    moved = theirs.weights["w"] != learning.words(learning.plastic[0])
    assert moved[:, :128].mean() > 0.5
    assert moved[:, 128:].mean() > 0.5
