"""Unsupervised STDP with competition, at a size for every commit: figures that can fail, and what makes them fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc import trace
from snnc.commands.learn_report import answers, assigned
from snnc.commands.learn_run import LearnChoices, taught
from snnc.config import load_config
from snnc.ir import FloatArray
from snnc.learning import LearningConfig, Rule, configure
from unit.models.model_scripts import load

CHANCE = 0.1


STDP = load("digits_stdp")
ALL = STDP.training()
LEARN, JUDGE = ({key: values[part] for key, values in ALL.items()} for part in (slice(200), slice(-237, None)))
FEW = {key: values[:20] for key, values in ALL.items()}
(RULE,) = load_config(STDP.CONFIG).learning


def accuracy(arithmetic: str = "float", config: LearningConfig = RULE, learn: Any = LEARN) -> float:
    return float(STDP.accuracy(STDP.Lesson(arithmetic, 1, 0, 40), learn, JUDGE, config))


@pytest.fixture(scope="module")
def right() -> float:
    """Accuracy in float after one pass over 200 digits."""
    return accuracy()


def test_float_learns_digits_without_labels(right: float) -> None:
    assert right >= 0.6
    assert STDP.untrained(0, LEARN, JUDGE) <= right - 0.3


def test_loihis_integers_learn_digits_without_labels() -> None:
    assert accuracy("loihi1") >= 0.6


def test_labels_of_other_samples_end_at_chance() -> None:
    labels = np.random.default_rng(0).permutation(LEARN["labels"])
    assert accuracy(learn={**LEARN, "labels": labels}) <= CHANCE + 0.15


def swapped(rule: Rule) -> Rule:
    """Post before pre potentiates, pre before post depresses."""
    (up, down), rest = rule.terms[:2], rule.terms[2:]
    risen = replace(up, event="pre", reads=(replace(up.reads[0], variable="y"), up.reads[1]))
    fallen = replace(down, event="post", reads=(replace(down.reads[0], variable="x"), down.reads[1]))
    return replace(rule, terms=(risen, fallen, *rest))


def test_pre_and_post_the_wrong_way_round_is_lost(right: float) -> None:
    assert accuracy(config=replace(RULE, rule=swapped(RULE.rule))) <= right - 0.3


def test_traces_that_reach_into_the_next_sample_ruin_it(right: float) -> None:
    assert accuracy(config=configure(RULE.projection, **{**RULE.as_dict(), "between_samples": "keep"})) <= right - 0.3


def test_without_inhibition_all_neurons_learn_the_same(right: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STDP, "INHIBITION", 0.0)
    assert accuracy() <= right - 0.2


def moved(arithmetic: str, config: LearningConfig = RULE) -> FloatArray:
    """What 20 samples change in the weights of 30 neurons."""
    learner, _ = STDP.learner(STDP.Lesson(arithmetic, 1, 0, 30), config)
    before = np.array(learner.weights["linear0"])
    samples = trace.Samples(FEW["spikes"], FEW["labels"])
    taught(learner, samples, LearnChoices(Path(), Path()), {}, lambda *_: None)
    return np.asarray(learner.weights["linear0"]) - before


def test_spinnakers_programs_learn_what_float_learns() -> None:
    """Neurons that win by a hair in one arithmetic lose in another: weights agree as a whole, not one by one."""
    spinnaker, right, wrong = (
        moved(*given) for given in (("spinnaker1",), ("float",), ("float", replace(RULE, rule=swapped(RULE.rule))))
    )
    assert np.corrcoef(spinnaker.ravel(), right.ravel())[0, 1] >= 0.8
    assert np.corrcoef(spinnaker.ravel(), wrong.ravel())[0, 1] <= 0.5


def test_one_neuron_hears_all_and_silences_all() -> None:
    """Whoever spikes first is followed by two steps in which others may, and by none afterwards."""
    learner, answer = STDP.learner(STDP.Lesson())
    sent = answers(learner, FEW["spikes"], answer)
    first = np.argmax(sent.any(axis=2), axis=1)
    assert sent.any(axis=(1, 2)).all()
    for spikes, at in zip(sent, first, strict=True):
        assert not spikes[at + 2 :].any()


def test_neurons_vote_for_the_class_that_makes_them_spike_most() -> None:
    sent = np.zeros((4, 2, 3), np.int8)
    sent[[0, 1], 0, 0] = sent[[2, 3], :, 1] = 1
    sent[0, 1, 1] = 1
    found, owners = assigned(sent, np.array([5, 5, 7, 7]), sent[:, :, :], np.array([5, 5, 7, 5]))
    assert owners == [5, 7, None]
    assert found == 0.75


def test_inputs_spike_once_the_stronger_the_earlier() -> None:
    part = STDP.Part(np.array([[16, 0, 8, 8]], dtype=np.uint8), np.array([3]))
    shape, STDP.INPUTS = STDP.INPUTS, 8
    try:
        spikes = STDP.spikes_of(part)["spikes"]
    finally:
        STDP.INPUTS = shape
    assert np.argmax(spikes[0], axis=0).tolist() == [0, 43, 21, 22, 42, 1, 21, 22]
    assert (spikes.sum(axis=1) == 1).all()
    assert STDP.held_out()["spikes"].shape == (360, 44, 128)
    assert STDP.silence()["spikes"].sum() == 0
