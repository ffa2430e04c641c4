"""The engine's learning synapses against the reference on any rule, step by step, and mistakes that must show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.engine import learn_check, learn_core, learn_native, learn_numpy
from snnc.engine.learn_core import RuleSynapses
from snnc.engine.learn_dice import Dice
from snnc.engine.learn_tables import DICE_BITS, Recipe, recipe
from snnc.errors import InputError
from snnc.ir import PlasticityRule, RoundingSeeds, SynapticTrace
from snnc.ir.products import Factor, Product
from snnc_reference.learning import IntegerLearning
from snnc_reference.learning_chip import ChipLearning
from snnc_reference.learning_rounding import TraceDice, decayed, rounded
from unit.engine.learn_nets import Train, difference, random_rule, random_train, variants

PAIR = PlasticityRule.parse(
    dw="2^-1*y0*x1 - 2^-2*x0*y1*y2", dt="2^-2*y0*x1 - 2^-3*x0*t", x1=SynapticTrace(40, 8),
    y1=SynapticTrace(50.25, 6), y2=SynapticTrace(30.3, 20), t_epoch=3, seeds=RoundingSeeds(7),
)  # fmt: skip


def made(train: Train, variant: str) -> RuleSynapses:
    return RuleSynapses(train.rule, train.start, rounding=train.rounding, variant=variant)


@pytest.mark.parametrize("decade", range(20))
def test_random_rules_agree_with_the_reference(decade: int) -> None:
    for seed in range(10 * decade, 10 * decade + 10):
        train = random_train(seed)
        tested = [made(train, variant) for variant in variants()]
        assert difference(train, *tested) == "", f"seed {seed}: {train.rule}"


def test_rules_are_exchanged_between_phases() -> None:
    """Any two rules of the same epoch and sign: one finds what the other left, in traces, tags and delays too."""
    for seed in range(300, 360):
        train = random_train(seed)
        other = replace(random_rule(np.random.default_rng(seed + 1000)), t_epoch=train.rule.t_epoch)
        other = replace(other, sign=train.rule.sign)
        tested = [made(train, variant) for variant in variants()]
        assert difference(train, *tested, other=other) == "", f"seed {seed}: {train.rule} and {other}"


factors = st.builds(
    lambda name, constant, sign: Factor(name, constant * (2 if name in "wt" else 1), sign and name in "wdt"),
    st.sampled_from(["x0", "y0", "x1", "x2", "y1", "y2", "y3", "w", "d", "t"]),
    st.one_of(st.just(0), st.integers(-128, 127)),
    st.booleans(),
)
products = st.builds(
    lambda dependency, found, mantissa, exponent: Product(
        dependency, tuple(found), mantissa, exponent, 1 if dependency == "u" else None
    ),
    st.sampled_from(["x0", "y0", "u"]),
    st.lists(factors, max_size=5),
    st.integers(-8, 7).filter(bool),
    st.integers(-7, 8),
)
sums = st.lists(products, min_size=1, max_size=5).map(tuple)
traces = st.builds(SynapticTrace, st.floats(0.01, 127), st.floats(0, 100))


@settings(max_examples=60, deadline=None)
@given(sums, st.one_of(st.just(()), sums), st.lists(traces, min_size=5, max_size=5), st.integers(0, 1 << 20))
def test_any_sum_of_products_agrees(dw: Any, dt: Any, five: list[SynapticTrace], seed: int) -> None:
    named = dict(zip(("x1", "x2", "y1", "y2", "y3"), five, strict=True))
    rule = PlasticityRule(dw, dt, **named, t_epoch=1 + seed % 4, seeds=RoundingSeeds(seed))
    train = random_train(seed, 12, rule)
    assert difference(train, *(made(train, variant) for variant in variants())) == ""


def test_numbers_drawn_ahead_are_those_of_single_draws() -> None:
    dice, sides = Dice(RoundingSeeds(5, 6)), (TraceDice(5), TraceDice(7))
    for step in range(300):
        dice.roll()
        for side in sides:
            side.roll()
        assert step < 3 or dice.early == sides[1].impulse
        for side in sides:
            side.roll()
        want = [face for side in sides for face in (side.decay * 2**DICE_BITS, side.impulse)]
        assert dice.faces == want
    again = Dice(RoundingSeeds(0))
    again.restore(dice.state())
    for _ in range(200):
        assert dice.state() == again.state()
        dice.roll()
        again.roll()
        assert dice.faces == again.faces
        assert dice.threshold() == again.threshold()


def test_comparisons_of_integers_are_those_of_fractions() -> None:
    """At the limits themselves and beside them, and for random numbers."""
    for tau in (0.0, 0.3, 1.0, 7.0, 20.0, 65535.0):
        tables = recipe(PlasticityRule.parse(dw="x0*x1", x1=SynapticTrace(1, tau)))
        at = np.unique(tables.limits[0])
        faces = [0, 1, *np.random.default_rng(1).integers(0, 1 << 53, 50).tolist()]
        faces += [int(face) + d for face in at for d in (-1, 0, 1) if 0 <= face + d < 1 << 53]
        for face in faces:
            want = decayed(np.arange(256), tau, face / 2**53)
            assert np.array_equal(tables.decays((face, 0))[0][:256], want)
    ports = recipe(PlasticityRule.parse(dw="x0*y1", third_factors=True))
    for face in (0, 1, int(ports.limits[4, -7]), int(ports.limits[4, -7]) - 1, (1 << 53) - 1):
        values = np.arange(-128, 256)
        assert np.array_equal(ports.decays((0, face))[4][values], decayed(values, 65535.0, face / 2**53))
    totals = np.arange(-40_000, 40_000)
    for dice in (0.0, 1 / 128, np.nextafter(1 / 128, 0), 0.3, 127 / 128, np.nextafter(1, 0), np.nextafter(0.5, 0)):
        assert np.array_equal((totals + 127 - int(dice * 128)) >> 7, rounded(totals, float(dice)))


def test_a_tag_at_the_end_of_the_accumulator_never_rests() -> None:
    """-257 is left by 127 of 128 learning phases, those without events included, as in Lava."""
    rule = PlasticityRule.parse(dw="x0*t", dt="-7*2^8*y0*x1", x1=SynapticTrace(127, 50), seeds=RoundingSeeds(1, 4))
    quiet = np.zeros((1200, 3), dtype=np.int64)
    pre, post = quiet.copy(), quiet.copy()
    pre[::4, 0] = post[::4, 1] = 1
    train = Train(rule, np.zeros((3, 3), dtype=np.int64), "stochastic", pre, post, np.zeros((1200, 3, 3)))
    seen = set()
    for variant in variants():
        one = made(train, variant)
        for before, after in zip(pre, post, strict=True):
            one.step(before, after)
            seen.add(int(one.tag_1.min()))
        assert difference(train, made(train, variant)) == ""
    assert {-257, -256} <= seen
    whole, blocks = IntegerLearning(rule, train.start), ChipLearning(rule, train.start)
    for before, after in zip(pre, post, strict=True):
        whole.step(before, after)
        blocks.step(before, after)
        assert np.array_equal(whole.tag_1, blocks.tag_1)


def test_a_small_sum_on_large_sides_agrees() -> None:
    """More neurons than the kernels hold at a time; few spikes, many, and in the end none."""
    rng = np.random.default_rng(0)
    for n, m, rates in ((530, 270, (0.05, 0.002)), (300, 3, (0.02, 0.3)), (2, 600, (0.4, 0.3)), (257, 256, (0.9, 0.9))):
        for rule in (PAIR, replace(PAIR, t_epoch=1), replace(PAIR, dw=PAIR.dw[:1], dt=())):
            pre, post = (rng.random((12, size)) < rate for size, rate in zip((n, m), rates, strict=True))
            pre[9:], post[9:] = False, False
            start = 2 * rng.integers(-128, 128, (m, n))
            train = Train(rule, start, "stochastic", pre, post, np.zeros((12, 3, m), dtype=np.int64))
            assert difference(train, *(made(train, variant) for variant in variants())) == ""


def swapped_sides(train: Train, variant: str) -> RuleSynapses:
    class Swapped(RuleSynapses):
        def step(self, pre: Any, post: Any, third: Any = None) -> Any:
            return super().step(post, pre, third)

    return Swapped(train.rule, train.start, variant=variant)


def mutant(name: str, patch: pytest.MonkeyPatch) -> None:
    """Breaks the engine in a plausible way."""
    step, history, summed = learn_numpy.step, learn_numpy._history, learn_numpy._summed

    def y2_at_once(memory: Any, rules: Recipe, now: Any, pre: Any, post: Any) -> Any:
        sent = step(memory, rules, now._replace(ends=False), pre, post)
        memory.y[1, post != 0] = np.minimum(memory.y[1, post != 0] + rules.whole[3], 127)
        if now.ends:
            learn_numpy.learn(memory, rules, now)
        return sent

    def per_weight(block: Any, value: Any, *rest: Any) -> Any:
        now = block.phase.now._replace(threshold=np.random.default_rng(1).integers(0, 128, value.shape))
        return summed(replace(block, phase=replace(block.phase, now=now)), value, *rest)

    def before_decay(start: Any, last: Any, table: Any, rise: Any, steps: int) -> Any:
        rows = history(start, np.zeros_like(last), table, rise, steps)
        for k in range(1, steps + 1):
            hit = np.minimum(rows[k - 1] + np.where(last == k, rise[:, np.newaxis], 0), 127)
            rows[k] = [table[j][hit[j]] for j in range(len(start))]
        return rows

    places: dict[str, tuple[Any, str, Any]] = {
        "y2 in the same step": (learn_numpy, "step", y2_at_once),
        "dice for each weight": (learn_numpy, "_summed", per_weight),
        "impulse before decay": (learn_numpy, "_history", before_decay),
        "floor for stochastic": (Dice, "threshold", lambda _self: 127),
        "events of post only": (Recipe, "depends", frozenset({"y0"})),
        "one draw per step": (Dice, "early", property(lambda self: self.faces[3])),
        "fractions of impulses lost": (Recipe, "kicks", (40, 0, 0, 0, 0)),
    }
    patch.setattr(*places[name])


MUTANTS = [
    *((name, "none") for name in ("y2 in the same step", "dice for each weight", "impulse before decay")),
    *((name, variant) for variant in variants() for name in (
        "floor for stochastic", "events of post only", "one draw per step", "fractions of impulses lost")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "variant"), MUTANTS)
def test_plausible_mistakes_are_caught(name: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    shape = (200, 12)
    rule = replace(PAIR, x1=SynapticTrace(40.3, 8))
    train = Train(
        rule, 2 * rng.integers(-60, 60, (12, 12)), "stochastic", (rng.random(shape) < 0.2).astype(np.int64),
        (rng.random(shape) < 0.08).astype(np.int64), np.zeros((200, 3, 12), dtype=np.int64),
    )  # fmt: skip
    assert difference(train, made(train, variant)) == ""
    assert "step" in difference(train, swapped_sides(train, variant))
    mutant(name, monkeypatch)
    assert "step" in difference(train, made(train, variant))


def test_kernels_that_disagree_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    train = random_train(7, 20, PAIR)
    for variant in variants()[1:]:
        assert made(train, variant)._native is not None
    changed = learn_native.FRACTION + 1
    monkeypatch.setattr(learn_native, "FRACTION", changed)
    learn_check.agrees.cache_clear()
    tested = [made(train, variant) for variant in variants()]
    learn_check.agrees.cache_clear()
    assert all(one._native is None for one in tested)
    assert difference(train, *tested) == ""


@pytest.mark.parametrize("variant", variants())
def test_what_does_not_fit_is_refused(variant: str) -> None:
    one = RuleSynapses(PAIR, np.zeros((3, 5), dtype=np.int64), variant=variant)
    zeros = np.zeros
    for pre, post, what in (
        (zeros(4, int), zeros(3, int), "pre spikes is int64 of shape"),
        (zeros(1, int), zeros(3, int), r"integers of shape \(5,\)"),
        (zeros(5, int), zeros((3, 1), int), "post spikes"),
        (zeros(5), zeros(3, int), "float64"),
    ):
        with pytest.raises(InputError, match=what):
            one.step(pre, post)
        if what.startswith(("pre", "float")):
            with pytest.raises(InputError, match="pre spikes"):
                one.send(pre)
    assert one.steps == 0
    fed = RuleSynapses(PlasticityRule.parse(dw="x0*y1", third_factors=True), [[0]], variant=variant)
    for third in (None, zeros((3, 2), int), np.full((3, 1), 256), np.full((3, 1), -129), zeros((3, 1))):
        with pytest.raises(InputError, match="third factors"):
            fed.step(zeros(1, int), zeros(1, int), third)
    for weights in ([[0.5]], [1, 2], [[1 << 15]]):
        with pytest.raises(InputError, match="weights"):
            RuleSynapses(PAIR, weights, variant=variant)
    with pytest.raises(InputError, match="weight bits"):
        RuleSynapses(PAIR, [[0]], weight_bits=9, variant=variant)
    with pytest.raises(InputError, match="t_epoch"):
        one.take(recipe(replace(PAIR, t_epoch=4)))


@pytest.mark.parametrize("variant", variants())
def test_damaged_states_are_refused_and_change_nothing(variant: str) -> None:
    train = random_train(4, 20, PAIR)
    one = made(train, variant)
    for pre, post in zip(train.pre, train.post, strict=True):
        one.step(pre, post)
    good = one.state()
    bad: list[tuple[str, Any]] = [
        ("x", good["x"] + 256), ("y", good["y"] - 300), ("last_pre", good["last_pre"] + 4), ("tag_1", good["x"]),
        ("weights", good["weights"] + (1 << 16)), ("weights", good["weights"].astype(float)), ("steps", -1),
        ("last_post", -1 - good["last_post"]), ("tag_2", good["tag_2"] - 1),
        ("dice", str(good["dice"]).replace("0.", "0.333333333333333333331", 1)),
        ("dice", str(good["dice"]).replace("0.", "7.", 1)),
    ]  # fmt: skip
    for key, value in bad:
        with pytest.raises(InputError):
            one.restore({**good, key: np.array(value)})
        after = one.state()
        assert all(np.array_equal(good[name], after[name]) for name in good), key
    one.restore(good)
    assert learn_core.WIDTH == 8
