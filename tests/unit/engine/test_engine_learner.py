"""The engine's learner against the definition: every spike, state, weight and random number after each sample."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.engine import stepped
from snnc.engine.learner import Learner
from snnc.trace import Probes
from snnc_reference.learning_run import Learner as Definition
from unit.engine.learner_nets import HOSTS, Lessons, lessons
from unit.formats.onnx_nets import difference

SEEDS = range(64)
ALL = Probes(states="all")


def pair(one: Lessons, **options: Any) -> tuple[Definition, Learner]:
    """Both learners of one network."""
    common: dict[str, Any] = {"scales": one.scales, "hosts": HOSTS}
    return (
        Definition(one.graph, one.plastic, **common),
        Learner(one.graph, one.plastic, **common, **options),
    )


def unequal(one: Lessons, **options: Any) -> str:
    """The first difference between both, or an empty text."""
    left, right = pair(one, **options)
    for n, sample in enumerate(one.samples):
        for at, population, factor in one.thresholds:
            if at == n:
                level = factor * float(np.max(one.graph[population].params()["threshold"].raw)) / 254
                left.set_thresholds(population, level)
                right.set_thresholds(population, level)
        label = int(one.labels[n])
        found = difference(*(who.sample(sample, label, one.phases[n], ALL) for who in (left, right)))
        if found:
            return f"sample {n}: {found}"
        for name, raw in left.raw.items():
            if not np.array_equal(raw, right.raw[name]):
                return f"sample {n}: weights {name}"
    states = left.state(), right.state()
    if list(states[0]) != list(states[1]):
        return "keys of the state"
    return next((key for key, value in states[0].items() if not np.array_equal(value, states[1][key])), "")


@pytest.mark.parametrize("seed", SEEDS)
def test_learns_what_the_definition_learns(seed: int) -> None:
    assert unequal(lessons(seed), engine="dense" if seed % 4 == 3 else "auto") == ""


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
    found = [unequal(lessons(seed)) for seed in range(12)]
    assert sum(text != "" for text in found) >= 3, found
