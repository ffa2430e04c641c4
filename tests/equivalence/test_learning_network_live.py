"""Rung 5 for networks that learn: Lava's LearningDense and LIF, live, against the reference's executor."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np
import pytest

from snnc.engine.learner import Learner as Engine
from snnc.errors import InputError, UnsupportedError
from snnc.ir import IntArray
from snnc.learning import configure
from snnc.trace import Trace
from snnc_loihi.learn import LavaLearner, learning_drift
from snnc_reference.learning_chip import ChipLearning
from snnc_reference.learning_run import Learner
from unit.learning.learning_nets import Made, made, network, rule, spikes

DATA = spikes(8, rate=0.12)
KEYS: dict[str, Any] = {"A_plus": 0.04, "A_minus": 0.03, "parity": "lava", "seed": 11}
NETS = {
    "loihi1": (made(network(threshold=1.0), "loihi1", DATA, rule(**KEYS)), DATA),
    "loihi2": (made(network(threshold=1.0), "loihi2", DATA, rule(**KEYS, t_epoch=3)), DATA),
    "signed": (made(network(lowest=-0.2, threshold=0.5), "loihi1", DATA, rule(**KEYS, w_min=-1.0)), DATA),
}


def ours(one: Made, data: Any, monkeypatch: pytest.MonkeyPatch, **change: Any) -> tuple[IntArray, list[Trace]]:
    """Device steps after every step, [samples * (T + 1), post, pre], and the traces."""
    kept: list[IntArray] = []
    step = ChipLearning.step

    def watched(self: ChipLearning, pre: Any, post: Any, third: Any = None) -> Any:
        if change.get("swapped"):
            pre = np.roll(pre, 1)
        if change.get("early"):
            self.__dict__["late"], post = post, self.__dict__.get("late", np.zeros_like(post))
        sent = step(self, pre, post, third)
        kept.append(self.weights.copy())
        return sent

    with monkeypatch.context() as patch:
        patch.setattr(ChipLearning, "step", watched)
        learner = Learner(one.graph, one.plastic, scales=one.scales, seed=change.get("seed"))
        traces = [learner.sample(sample) for sample in data]
    return np.stack(kept), traces


@pytest.fixture(scope="module")
def live() -> dict[str, tuple[LavaLearner, Trace]]:
    """Every network once through Lava."""
    found = {}
    for name, (one, data) in NETS.items():
        lava = LavaLearner(one.graph, one.plastic)
        found[name] = lava, lava.course(data)
    return found


@pytest.mark.parametrize("name", NETS)
def test_weights_and_spikes_of_every_step(name: str, live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lava, trace = live[name]
    one, data = NETS[name]
    kept, traces = ours(one, data, monkeypatch)
    assert kept.shape == (8 * 17, 5, 12) == lava.history["fc"].shape
    assert np.array_equal(kept, lava.history["fc"])
    assert np.array_equal(np.concatenate([t.spikes["out"] for t in traces]), trace.spikes["out"])
    assert len(np.unique(kept.reshape(len(kept), -1), axis=0)) > 15, "weights move"
    assert trace.spikes["out"].sum() > 15
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("name", NETS)
def test_the_engine_learns_what_lava_learns(name: str, live: Any) -> None:
    """Spikes of all samples and the weights after each of them."""
    lava, trace = live[name]
    one, data = NETS[name]
    engine = Engine(one.graph, one.plastic, scales=one.scales)
    for n, sample in enumerate(data):
        fired = engine.sample(sample).spikes["out"]
        assert np.array_equal(fired[0], trace.spikes["out"][n])
        assert np.array_equal(engine.raw["fc"], lava.history["fc"][17 * (n + 1) - 1])
    other = Engine(one.graph, one.plastic, scales=one.scales, seed=12)
    for sample in data:
        other.sample(sample)
    assert not np.array_equal(other.raw["fc"], engine.raw["fc"])


@pytest.mark.parametrize("change", [{"swapped": True}, {"early": True}, {"seed": 12}])
def test_slightly_different_learning_is_noticed(live: Any, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Inputs exchanged, post spikes a step late, another seed."""
    kept, _ = ours(*NETS["loihi1"], monkeypatch, **change)
    assert not np.array_equal(kept, live["loihi1"][0].history["fc"])


@pytest.mark.parametrize("name", NETS)
def test_lavas_saturations_are_those_of_the_reference(name: str, live: Any) -> None:
    lava, _ = live[name]
    one, data = NETS[name]
    learner = Learner(one.graph, one.plastic, scales=one.scales)
    for sample in data:
        learner.sample(sample)
    assert lava.saturations == learner.saturations
    assert {found.what.split()[0] for found in lava.saturations} == {"weights", "times"}
    if name == "loihi1":
        assert max(found.count for found in lava.saturations if "trace" in found.what) > 0
    learner.sample(data[0])
    assert lava.saturations != learner.saturations or name != "loihi1"


def test_the_drift_of_lava_is_that_of_its_own_integers(live: Any) -> None:
    """Measured on the reference, said so; another seed of the twin is noticed."""
    lava, _ = live["loihi1"]
    one, data = NETS["loihi1"]
    steps = lava.plastic["fc"].step
    ends = []
    for seed in (None, 12):
        twin = LavaLearner(
            one.graph, one.plastic, twin=lambda seed=seed: Learner(one.graph, one.plastic, scales=one.scales, seed=seed)
        )
        found = learning_drift(twin, [(sample, None) for sample in data])["fc"]
        assert "the reference" in found["by"]
        assert found["steps"] == len(lava.history["fc"])
        assert found["error"] > 0
        assert set(found["causes"]) == {"rates", "saturation", "rounding"}
        own = np.histogram(lava.history["fc"][-1] * steps, found["edges"])[0].tolist()
        ends.append(own == found["histograms"]["integers"])
    assert ends == [True, False]
    assert learning_drift(LavaLearner(one.graph, one.plastic), [(data[0], None)]) == {}


def test_what_lava_cannot_do_in_one_run() -> None:
    graph = network(threshold=1.0)
    own = made(graph, "loihi1", DATA, rule())
    with pytest.raises(InputError, match='parity = "lava"'):
        LavaLearner(own.graph, own.plastic)
    hosted = configure("fc", rule="triplet-stdp", nu_pre=0.02, nu_post=0.4, sum_weights=2.0, parity="lava")
    triplet = made(graph, "loihi1", DATA, hosted)
    with pytest.raises(UnsupportedError, match=r"third factors(.|\n)*normalise"):
        LavaLearner(triplet.graph, triplet.plastic)
