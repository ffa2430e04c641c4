"""Independent pairs in the engine against the reference, which draws the same random numbers from the same seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.engine import learn_pairs
from snnc.engine.learn_pairs import PairSynapses
from snnc.errors import InputError, UnsupportedError
from snnc.ir import PlasticityRule, SynapticTrace
from snnc_reference.learning_brian import BrianLearning
from unit.engine.learn_nets import random_product

PAIR = PlasticityRule.parse(
    dw="2^-2*y0*x1 - 3*2^-3*x0*y1", x1=SynapticTrace(20.7, 10), y1=SynapticTrace(33, 7), sign="excitatory"
)


def random_rule(rng: np.random.Generator) -> PlasticityRule:
    products = []
    while len(products) < rng.integers(1, 4):
        product = random_product(rng, str(rng.choice(["x0", "y0"])), 0)
        # Three factors beside 2**8 leave the 53 bits in which the reference's floats are exact.
        if not {f.variable for f in product.factors} & {"t", "d"} and product.exponent < 2:
            products.append(product)
    traces = {
        name: SynapticTrace(float(rng.uniform(1, 127)), float(rng.choice([0, 1, 4, 10.5])))
        for name in ("x1", "x2", "y1", "y2", "y3")
    }
    sign: Any = str(rng.choice(["mixed", "excitatory", "inhibitory"]))
    return PlasticityRule(tuple(products), **traces, sign=sign)


def difference(rule: PlasticityRule, seed: int, other: int | None = None) -> str:
    """The first step and quantity that differs."""
    rng = np.random.default_rng(seed)
    low, high = rule.bounds
    start = rng.integers(low, high, 40)
    reference, engine = BrianLearning(rule, start, seed=seed), PairSynapses(rule, start, seed=other or seed)
    for t, (pre, post) in enumerate((rng.random((60, 2)) < 0.3).tolist()):
        want, got = reference.step(pre, post), engine.step(pre, post)
        for key in ("x1", "y1", "weights"):
            if not np.array_equal(getattr(want, key), getattr(got, key)):
                return f"step {t}: {key}"
    return ""


def test_random_rules_agree() -> None:
    for seed in range(1, 60):
        rule = random_rule(np.random.default_rng(seed))
        assert difference(rule, seed) == "", f"seed {seed}: {rule}"


def test_mistakes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert difference(PAIR, 5) == ""
    assert "step" in difference(PAIR, 5, 6)
    change = PairSynapses._change
    with monkeypatch.context() as patch:
        patch.setattr(PairSynapses, "_change", lambda self, pre, post: change(self, post, pre))
        assert "weights" in difference(PAIR, 5)
    with monkeypatch.context() as patch:
        patch.setattr(PairSynapses, "_change", lambda self, pre, post: (change(self, pre, post) >> 7) << 7)
        assert "weights" in difference(PAIR, 5)
    monkeypatch.setitem(learn_pairs.RANGES, "excitatory", (0, 254))
    rising = PlasticityRule.parse(dw="x0", sign="excitatory")
    assert "weights" in difference(rising, 2)


def test_what_the_emulator_has_not_is_refused() -> None:
    for rule in (
        replace(PAIR, t_epoch=2),
        PlasticityRule.parse(dw="u0*w"),
        PlasticityRule.parse(dt="x0"),
        PlasticityRule.parse(dw="x0*t"),
        replace(PAIR, x1=SynapticTrace(20, 0.5)),
    ):
        with pytest.raises(UnsupportedError, match="independent pairs"):
            PairSynapses(rule, [1], seed=0)
    for weights in ([[1]], [0.5]):
        with pytest.raises(InputError, match="integers"):
            PairSynapses(PAIR, weights, seed=0)
