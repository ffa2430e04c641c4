"""S2-STDP with competition through the learner, against loops that are written out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.errors import InputError, TraceError
from snnc.ir import Affine, Edge, Fixed, FixedGraph, FloatArray, Graph, Input, Neuron
from snnc.learning import LearningConfig, configure
from snnc.learning.firsts import Firsts, firsts
from snnc.learning.plastic import bind_float
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from snnc_reference.learning_run import Learner
from unit.learning.learning_nets import made

STEPS, INPUTS, CLASSES, GROUP = 16, 24, 3, 3
NEURONS = CLASSES * GROUP
SUM, FLOOR, GAP, RATE, MOVE = 8.0, 2.0, 6.0, 0.05, 0.2
RULE = {
    "rule": "s2-stdp", "A_plus": RATE, "A_minus": 0.03, "gap": GAP, "t_max": STEPS, "group": GROUP, "anneal": 0.9,
    "threshold_rate": MOVE, "sum_weights": SUM, "w_min": 0.0, "w_max": 1.0, "t_epoch": 17,
}  # fmt: skip


def config(**keys: Any) -> LearningConfig:
    return configure("fc", **{**RULE, **keys})


def network(seed: int = 0, leak: float = 1.0) -> Graph:
    """Input -> fc -> out, whose groups inhibit themselves a step later."""
    dice = np.random.default_rng(seed)
    weight = dice.uniform(0.1, 0.6, (NEURONS, INPUTS))
    weight *= SUM / weight.sum(axis=1, keepdims=True)
    loop = -SUM * np.kron(np.eye(CLASSES), np.ones((GROUP, GROUP)))
    out = Neuron("out", (NEURONS,), decay_v=np.array(leak), threshold=np.array(FLOOR))
    nodes = (Input("in", (INPUTS,)), Affine("fc", weight), out, Affine("loop", loop))
    return Graph(nodes, (Edge("in", "fc"), Edge("fc", "out"), Edge("out", "loop", delay=1), Edge("loop", "out")))


def samples(count: int, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """Steps of the only spike of each input [count, INPUTS] (STEPS and more: none), labels, spikes."""
    dice = np.random.default_rng(seed)
    times = dice.integers(0, STEPS + 3, (count, INPUTS))
    spikes = (times[:, np.newaxis] == np.arange(STEPS)[:, np.newaxis]).astype(np.int8)
    return times, dice.integers(0, CLASSES, count), spikes


@dataclass
class Loop:
    """S2-STDP in cumulative sums: no steps, no traces, no eligibilities, and nothing of the product."""

    weights: FloatArray
    training: FloatArray = field(default_factory=lambda: np.full(NEURONS, FLOOR))
    rate: float = 1.0
    sign: float = 1.0
    early: bool = False
    index: bool = False
    still: bool = False

    def sample(self, times: npt.NDArray[np.int64], label: int) -> None:
        """One sample."""
        own = np.arange(NEURONS) // GROUP == label
        limit = np.where(own, self.training, FLOOR)
        potential = self.weights @ (times[:, np.newaxis] <= np.arange(STEPS)).astype(float)
        over = potential >= limit[:, np.newaxis]
        first = np.where(over.any(axis=1), np.argmax(over, axis=1), STEPS)
        height = potential[np.arange(NEURONS), np.minimum(first, STEPS - 1)] - limit
        best = []
        for start in range(0, NEURONS, GROUP):
            order = sorted(range(start, start + GROUP), key=lambda n: (first[n], 0.0 if self.index else -height[n]))
            best.append(order[0])
        mean = first[best].mean()
        if self.early:
            self._normalise(best)
        for group, n in enumerate(best):
            wanted = mean - GAP * (CLASSES - 1) / CLASSES if group == label else mean + GAP / CLASSES
            wrong = self.sign * self.rate * (first[n] - min(max(wanted, 0), STEPS)) / STEPS
            if first[n] == STEPS:
                change = np.full(INPUTS, RATE)
            else:
                change = np.where(times <= first[n], RATE, -0.03)
            self.weights[n] = np.clip(self.weights[n] + wrong * change, 0, 1)
        if not self.early:
            self._normalise(best)
        group = slice(label * GROUP, (label + 1) * GROUP)
        self.training[group] -= self.rate * MOVE / GROUP
        self.training[best[label]] += self.rate * MOVE
        self.training = np.maximum(self.training, FLOOR)

    def _normalise(self, rows: list[int]) -> None:
        self.weights[rows] = np.clip(self.weights[rows] * (SUM / self.weights[rows].sum(axis=1, keepdims=True)), 0, 1)

    def end_epoch(self) -> None:
        """Annealing, and thresholds begin anew."""
        self.rate *= 0.9
        if not self.still:
            self.training[:] = FLOOR


def follow(seed: int, **wrong: Any) -> float:
    """Largest distance of the learner's weights from the loop's over two epochs of random trains."""
    graph = network(seed)
    learner = Learner(graph, bind_float(graph, [config()]))
    loop = Loop(np.array(learner.weights["fc"]), **wrong)
    times, labels, spikes = samples(25, seed + 100)
    worst = 0.0
    for _ in range(2):
        for n in np.arange(25):
            learner.sample(spikes[n], int(labels[n]))
            loop.sample(times[n], int(labels[n]))
            worst = max(worst, float(np.abs(learner.weights["fc"] - loop.weights).max()))
        learner.end_epoch()
        loop.end_epoch()
    return worst


def test_the_learner_follows_the_written_loop() -> None:
    assert max(follow(seed) for seed in range(6)) < 1e-9


@pytest.mark.parametrize("wrong", [{"sign": -1.0}, {"early": True}, {"index": True}, {"still": True}])
def test_wrong_loops_are_told_apart(wrong: dict[str, Any]) -> None:
    """Errors of the other sign, norms before the change, ties by index, thresholds that are not reset."""
    assert max(follow(seed, **wrong) for seed in range(6)) > 1e-3


def charged(graph: Graph | FixedGraph, trace: Trace) -> Firsts:
    """First spikes and membranes by neurons of our own: nothing inhibits before the first spike of a group."""
    node, loop = graph["out"], graph["loop"]
    assert isinstance(node, Neuron)
    assert isinstance(loop, Affine)
    spikes = trace.spikes["out"].astype(np.int64)
    u = np.asarray(trace.states["out", "u"])
    keep, threshold = node.decay_v, node.threshold
    v = np.zeros((len(spikes), NEURONS))
    times, heights = np.full(v.shape, STEPS), np.zeros(v.shape)
    limit = threshold.aligned(graph.conventions.state_frac) if isinstance(threshold, Fixed) else threshold
    for t in range(STEPS):
        v = np.trunc(v * int(keep.raw) / 4096) + u[:, t] if isinstance(keep, Fixed) else v * keep + u[:, t]
        new = (spikes[:, t] != 0) & (times == STEPS)
        times[new], heights[new] = t, (v - limit)[new]
        v = np.where(spikes[:, t] != 0, 0.0, v)
    silent = times == STEPS
    heights[silent] = (v - limit)[silent]
    return Firsts(times, heights)


@pytest.mark.parametrize("target", ["float", "loihi1"])
def test_first_spikes_and_their_membranes(target: str) -> None:
    data = samples(40, 5)[2]
    graph: Graph | FixedGraph = network(2, leak=0.95)
    if target != "float":
        assert isinstance(graph, Graph)
        graph = made(graph, target, data, config()).graph
    trace = execute(graph, data, Probes(states=("out",)))
    found, want = firsts(trace, graph, "out"), charged(graph, trace)
    assert np.array_equal(found.times, want.times)
    np.testing.assert_allclose(found.heights, want.heights, rtol=0, atol=1e-9 if target == "float" else 1.0)
    assert np.array_equal(found.winners(GROUP), want.winners(GROUP))
    assert np.array_equal(found.classes(GROUP), want.classes(GROUP))
    reset = Firsts(found.times, np.asarray(trace.states["out", "v"], dtype=np.float64).max(axis=1))
    assert not np.array_equal(found.winners(GROUP), reset.winners(GROUP)), "negative control: after the reset"


def test_traces_without_membranes_are_judged_by_spikes() -> None:
    graph = network()
    trace = execute(graph, np.zeros((1, STEPS, INPUTS), np.int8))
    sent = np.zeros((3, STEPS, NEURONS), np.int8)
    sent[0, 2, 8] = sent[1, 1, [0, 3]] = sent[1, 3, 3] = 1
    plain = Trace(trace.backend, trace.target, {"out": sent})
    assert firsts(plain, graph, "out").classes(GROUP).tolist() == [2, 1, -1]


def learners() -> dict[str, Callable[[], Learner]]:
    graph = network(3)
    chip = made(graph, "loihi1", samples(8, 1)[2], config())
    return {
        "float": lambda: Learner(graph, bind_float(graph, [config()])),
        "loihi1": lambda: Learner(chip.graph, chip.plastic, scales=chip.scales),
    }


@pytest.mark.parametrize("target", ["float", "loihi1"])
def test_competition_goes_on_where_it_was(target: str) -> None:
    fresh = learners()[target]
    _, labels, spikes = samples(24, 7)
    through, first = fresh(), fresh()
    second, forgetful = fresh(), fresh()

    def teach(learner: Learner, numbers: range) -> None:
        for n in numbers:
            learner.sample(spikes[n], int(labels[n]))

    teach(through, range(24))
    teach(first, range(12))
    state = first.state()
    second.restore(state)
    forgetful.restore({key: value for key, value in state.items() if "training" not in key})
    teach(second, range(12, 24))
    teach(forgetful, range(12, 24))
    assert np.array_equal(through.raw["fc"], second.raw["fc"])
    assert not np.array_equal(through.raw["fc"], forgetful.raw["fc"]), "training thresholds are part of the state"


@pytest.mark.parametrize("target", ["float", "loihi1"])
def test_thresholds_after_a_sample_are_those_of_inference(target: str) -> None:
    learner = learners()[target]()
    node = learner.network["out"]
    before = node.params()["threshold"]
    seen: list[FloatArray] = []
    _, labels, spikes = samples(6, 9)
    for one, label in zip(spikes, labels, strict=True):
        learner.sample(one, int(label))
        seen.append(learner.thresholds("out"))
    after = learner.network["out"].params()["threshold"]
    if isinstance(before, Fixed):
        assert isinstance(after, Fixed)
        assert np.array_equal(before.raw, after.raw)
    else:
        assert np.array_equal(np.asarray(before), np.asarray(after))
    kept = learner.state()["host/fc/training thresholds"]
    assert (kept > seen[0]).any(), "those of training moved"
    learner.end_epoch()
    assert "host/fc/training thresholds" not in learner.state(), "each epoch begins with those of inference"


def test_the_host_leaves_neurons_alone_that_did_not_learn() -> None:
    learner = learners()["loihi1"]()
    _, labels, spikes = samples(6, 11)
    learner.sample(spikes[0], int(labels[0]))
    still = 0
    for one, label in zip(spikes[1:], labels[1:], strict=True):
        before = learner.raw["fc"]
        learner.sample(one, int(label))
        rows = (learner.raw["fc"] != before).any(axis=1)
        assert 1 <= rows.sum() <= CLASSES, "one of each group learns"
        still += int((~rows).sum())
        sums = learner.weights["fc"].sum(axis=1)
        np.testing.assert_allclose(sums, SUM, atol=0.1)
    assert still >= 5 * (NEURONS - CLASSES)


def test_labels_that_the_layer_has_no_neurons_for_are_refused() -> None:
    learner = learners()["float"]()
    spikes = samples(1, 1)[2][0]
    with pytest.raises(TraceError, match=r"label is 3, allowed is 0 to 2: the layer has neurons for 3 classes"):
        learner.sample(spikes, CLASSES)
    with pytest.raises(TraceError, match="learns from labels"):
        learner.sample(spikes)


def test_inhibition_that_a_rule_counts_on_is_demanded() -> None:
    graph = network()
    assert bind_float(graph, [config(inhibition=SUM)])
    with pytest.raises(InputError, match=r"recurrent weights of -8 and below in groups of 3.*-9 and below"):
        bind_float(graph, [config(inhibition=9.0)])
    with pytest.raises(InputError, match="recurrent weights of 0 and below in groups of 9"):
        bind_float(graph, [config(inhibition=SUM, group=9)])


def test_without_inhibition_neurons_fire_again_and_the_loop_is_lost() -> None:
    graph = network()
    node = graph["loop"]
    assert isinstance(node, Affine)
    free = graph.replace_node(replace(node, weight=np.zeros((NEURONS, NEURONS))))
    _, _, spikes = samples(20, 3)
    assert execute(graph, spikes).spikes["out"].sum(axis=1).max() == 1
    assert execute(free, spikes).spikes["out"].sum(axis=1).max() > 1
