"""Learning synapses in integers: traces, epochs, bounds, and the ways in which an executor could be wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kinds_learning
import numpy as np
import pytest
from golden_base import Tally, read

from snnc.errors import InputError
from snnc.ir import IntArray, PlasticityRule, Product, RoundingSeeds, SynapticTrace
from snnc_reference import learning, learning_rounding
from snnc_reference.learning import IntegerLearning
from snnc_reference.learning_epoch import Epoch
from snnc_reference.learning_rounding import TraceDice, accumulated, decayed, kicked, rounded

VECTORS = Path(__file__).resolve().parents[2] / "golden" / "vectors"
PAIR = {"dw": "y0*x1 - x0*y1", "x1": SynapticTrace(16, 10), "y1": SynapticTrace(16, 10)}


def one(rule: PlasticityRule, pre: Sequence[int], post: Sequence[int], weight: int = 0) -> IntegerLearning:
    """A single synapse after the given steps."""
    synapse = IntegerLearning(rule, [[weight]])
    for a, b in zip(pre, post, strict=True):
        synapse.step(np.array([a]), np.array([b]))
    return synapse


def test_traces_saturate() -> None:
    rule = PlasticityRule.parse(dw="x0*x1", x1=SynapticTrace(100, 1000), x2=SynapticTrace(127, 0))
    synapse = one(rule, [1, 1, 1], [0, 0, 0])
    assert synapse.x[:, 0].tolist() == [127, 127]


def test_an_impulse_counts_whole_and_by_chance() -> None:
    """16.25 adds 17 when the dice of 128 faces is below 64, else 16; from 0.5 on it always adds one more."""
    start = np.array([0, 100, 120])
    assert kicked(start, 16.25, 63).tolist() == [17, 117, 127]
    assert kicked(start, 16.25, 64).tolist() == [16, 116, 127]
    assert kicked(start, 16.5, 127).tolist() == [17, 117, 127]


def test_decay_is_right_on_average_and_never_off_by_one() -> None:
    values = np.arange(128)
    dice = np.random.default_rng(0).random(4000)
    found = np.stack([decayed(values, 10.0, d) for d in dice])
    exact = values * np.exp(-0.1)
    assert np.all(found - np.floor(exact) <= 1)
    assert np.all(found >= np.floor(exact))
    assert np.abs(found.mean(axis=0) - exact).max() < 5 * 0.5 / np.sqrt(len(dice))
    assert not decayed(values, 0.0, 0.0).any()


def test_pair_by_hand() -> None:
    """Pre at step 1, post at step 1: both branches see both impulses and cancel; a step later only y0 acts."""
    rule = PlasticityRule.parse(**PAIR)
    assert one(rule, [1], [1], 10).weights[0, 0] == 10
    later = one(rule, [1, 0], [0, 1], 10)
    assert later.weights[0, 0] - 10 in (14, 15), "16 * exp(-0.1) = 14.48"
    before = one(rule, [0, 1], [1, 0], 10)
    assert before.weights[0, 0] - 10 in (-15, -14)


def test_only_the_last_spike_of_an_epoch_keeps_its_time() -> None:
    rule = PlasticityRule.parse(dw="u0*x1", x1=SynapticTrace(16, 1e9), t_epoch=4)
    assert one(rule, [1, 1, 0], [0, 0, 0]).weights[0, 0] == 0, "nothing happens inside an epoch"
    assert one(rule, [1, 1, 0, 0], [0, 0, 0, 0]).weights[0, 0] in (31, 32)


def test_what_is_sent_is_from_before_the_update() -> None:
    rule = PlasticityRule.parse(dw="7*2^3*x0")
    synapse = IntegerLearning(rule, [[10, 20], [30, 40]])
    assert synapse.step(np.array([1, 0]), np.array([0, 0])).tolist() == [10, 30]
    assert synapse.weights.tolist() == [[66, 20], [86, 40]]
    assert synapse.step(np.array([1, 1]), np.array([0, 0])).tolist() == [86, 126]


@pytest.mark.parametrize(
    ("sign", "start", "rate", "end"),
    [("mixed", 0, 7, 255), ("mixed", 0, -7, -256), ("excitatory", 9, -7, 0), ("inhibitory", -9, 7, 0),
     ("excitatory", 9, 7, 255), ("inhibitory", -9, -7, -255)],
)  # fmt: skip
def test_weights_stay_inside_their_bounds(sign: Any, start: int, rate: int, end: int) -> None:
    rule = PlasticityRule.parse(dw=f"{rate}*2^3*x0", sign=sign)
    assert one(rule, [1] * 9, [0] * 9, start).weights[0, 0] == end
    assert end in rule.bounds or end == 0


def test_weights_start_truncated_and_unclipped() -> None:
    rule = PlasticityRule.parse(dw="x0")
    start = [[-1, 255, 3, 400]]
    assert IntegerLearning(rule, start).weights.tolist() == [[-2, 254, 2, 400]]
    assert IntegerLearning(rule, start, weight_bits=5).weights.tolist() == [[-16, 240, 0, 400]]
    inhibitory = PlasticityRule.parse(dw="x0", sign="inhibitory")
    assert IntegerLearning(inhibitory, [[-7]], weight_bits=6).weights.tolist() == [[-4]]


def test_tags_and_delays_have_bounds_of_their_own() -> None:
    rule = PlasticityRule.parse(dt="-7*2^6*x0", dd="-7*2^6*x0")
    synapse = one(rule, [1, 1], [0, 0])
    assert synapse.tag_1[0, 0] in (-257, -256), "the accumulator ends at -2**15 - 1, a little below -256"
    assert synapse.tag_2[0, 0] == 0
    synapse = one(PlasticityRule.parse(dt="7*2^6*x0", dd="7*2^6*x0"), [1, 1], [0, 0])
    assert (synapse.tag_1[0, 0], synapse.tag_2[0, 0]) == (255, 255)


def test_third_factors_gate_the_tag() -> None:
    rule = PlasticityRule.parse(dt="x0*y1", dw="u0*t*y2", third_factors=True)
    synapse = IntegerLearning(rule, [[0]])
    for reward in (0, 0, 8):
        synapse.step(np.array([1]), np.array([0]), np.array([[4], [reward], [0]]))
    assert synapse.weights[0, 0] == 8 * 8 >> 5, "the tag of two steps times the reward, shifted down by 5"
    with pytest.raises(InputError, match="shape of third factors is none"):
        synapse.step(np.array([1]), np.array([0]))
    with pytest.raises(InputError, match=r"\(3, 1\)"):
        synapse.step(np.array([1]), np.array([0]), np.zeros((2, 1), dtype=np.int64))


@pytest.mark.parametrize(
    ("payload", "values", "events"),
    [
        ("overwrite", [5, 10, 100, 2], [True, True, False, True]),
        ("add_saturate", [125, 110, 100, 127], [True, True, False, True]),
        ("add_overflow", [125, 110, 100, 127 + 2 - 127], [True, True, False, True]),
    ],
)
def test_payloads_load_the_trace(payload: str, values: list[int], events: list[bool]) -> None:
    """Half of 10, 20, nothing and 5 (2.5 rounds to 2) onto 120, 100, 100 and 127."""
    found, event = learning.loaded(np.array([120, 100, 100, 127]), np.array([10, 20, 0, 5]), payload)
    assert found.tolist() == values
    assert event.tolist() == (events if payload != "add_overflow" else [False, False, False, True])


@pytest.mark.parametrize("weights", [[1, 2], [[1.5]], [[True]]])
def test_refuses_weights(weights: Any) -> None:
    with pytest.raises(InputError, match=r"integers \[post, pre\]"):
        IntegerLearning(PlasticityRule.parse(dw="x0"), weights)


@pytest.mark.parametrize("bits", [0, 9])
def test_refuses_widths(bits: int) -> None:
    with pytest.raises(InputError, match="weight bits"):
        IntegerLearning(PlasticityRule.parse(dw="x0"), [[1]], weight_bits=bits)


def differing(name: str = "lava_stdp") -> int:
    """Quantities of a vector that differ."""
    tally = Tally()
    check = next(kind.check for kind in kinds_learning.KINDS if kind.name == name)
    assert check is not None
    check(read(VECTORS / f"{name}.npz"), tally)
    assert tally.compared > 100_000 or name != "lava_stdp"
    return len(tally.mismatches)


def test_vectors_agree() -> None:
    """Guards the controls below."""
    assert differing() == 0
    assert differing("lava_learning_closed_loop") == 0


def swapped(rule_of: Callable[..., PlasticityRule]) -> Callable[..., PlasticityRule]:
    exchange = str.maketrans("xy", "yx")

    def build(p: dict[str, Any], **more: Any) -> PlasticityRule:
        return rule_of(p | {key: p[key].translate(exchange) for key in ("dw", "dt", "dd") if p.get(key)}, **more)

    return build


def impulse_before_decay(
    start: IntArray, last: IntArray, traces: Sequence[SynapticTrace], dice: TraceDice, steps: int
) -> IntArray:
    rows = [start]
    for k in range(1, steps + 1):
        parts = []
        for j, trace in enumerate(traces):
            hit = np.where(last == k, kicked(rows[-1][j], trace.impulse, dice.impulse), rows[-1][j])
            parts.append(decayed(hit, trace.tau, dice.decay))
        rows.append(np.stack(parts))
    return np.stack(rows)


def without_own_impulse(self: Epoch, variable: str, dependency: str) -> Any:
    if variable[0] in "xy" and variable[1] != "0" and dependency != "u":
        earlier = np.concatenate([self.x[:1], self.x[:-1]]), np.concatenate([self.y[:1], self.y[:-1]])
        return READ(Epoch(self.last_pre, self.last_post, *earlier, self.counts, self.synaptic), variable, dependency)
    return READ(self, variable, dependency)


def one_draw_per_step(self: IntegerLearning) -> None:
    if self.steps % 2:
        ROLL(self)


def sequential(value: IntArray, products: Sequence[Product], epoch: Epoch) -> IntArray:
    total = accumulated(value, products, epoch)
    for name, old in epoch.synaptic.items():
        if old is value:
            epoch.synaptic[name] = total >> 7
    return total


def truncated_and_clipped(weights: IntArray, sign: str, bits: int) -> IntArray:
    return np.clip(TRUNCATED(weights, sign, bits), -256, 255)


READ, ROLL, TRUNCATED = Epoch.read, IntegerLearning._roll, learning.truncated
MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "weights lose their fraction": (learning, "rounded", lambda total, _dice: total >> 7),
    "weights round to the nearest": (learning, "rounded", lambda total, _dice: (total + 64) >> 7),
    "traces lose their fraction": (learning_rounding, "decayed", lambda x, tau, _dice: decayed(x, tau, 2.0)),
    "traces keep 1 - 1/tau": (
        learning_rounding,
        "decayed",
        lambda x, tau, dice: decayed(x, -1 / np.log1p(-1 / tau) if tau > 1 else tau, dice),
    ),
    "no hidden shift": (Product, "shift", property(lambda _self: 0)),
    "hidden shift without the mantissa": (
        Product,
        "shift",
        property(lambda self: max(0, sum(f.width for f in self.factors) - 15)),
    ),
    "impulse before decay": (learning, "history", impulse_before_decay),
    "own impulse not seen": (Epoch, "read", without_own_impulse),
    "one draw per step": (IntegerLearning, "_roll", one_draw_per_step),
    "sums read new values": (learning, "accumulated", sequential),
    "weights clipped at the start": (learning, "truncated", truncated_and_clipped),
    "events uK in every epoch": (learning, "counts", lambda *_: 1),
    "epochs start at 0": (learning, "place", lambda step, t: step % t + 1),
    "another weight seed": (
        kinds_learning,
        "RoundingSeeds",
        lambda traces: RoundingSeeds(traces, traces),
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_plausible_mistakes_are_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, wrong = MUTANTS[name]
    monkeypatch.setattr(kinds_learning, "EXECUTORS", {"": IntegerLearning})
    monkeypatch.setattr(place, attribute, wrong)
    assert differing() > 0


def test_swapped_sides_are_caught() -> None:
    """Pre for post in the rule: potentiation becomes depression."""
    data = read(VECTORS / "lava_learning_closed_loop.npz")
    p = kinds_learning.meta(data)
    for rule_of, equal in ((kinds_learning.rule_of, True), (swapped(kinds_learning.rule_of), False)):
        rule = rule_of(p["stdp"], seeds=RoundingSeeds(p["stdp"]["rng_seed"]))
        out = kinds_learning.looped(IntegerLearning(rule, data["w0"]), data["pre"], p["lif"])
        assert np.array_equal(out["weights"], data["weights"]) is equal


def test_rounding_is_right_on_average() -> None:
    total = np.arange(-400, 400)
    dice = np.random.default_rng(1).random(2000)
    found = np.stack([rounded(total, d) for d in dice])
    assert np.abs(found.mean(axis=0) - total / 128).max() < 5 * 0.5 / np.sqrt(len(dice))


def test_another_weight_seed_gives_other_weights() -> None:
    drive = np.random.default_rng(3).random((2, 60, 1)) < 0.3
    ends = []
    for seeds in (RoundingSeeds(1), RoundingSeeds(1), RoundingSeeds(1, 3)):
        rule = PlasticityRule.parse(dw="2^-3*y0*x1-2^-3*x0*y1", x1=PAIR["x1"], y1=PAIR["y1"], seeds=seeds)
        synapse = IntegerLearning(rule, [[0]])
        ends.append([])
        for pre, post in zip(*drive, strict=True):
            synapse.step(pre.astype(int), post.astype(int))
            ends[-1].append(int(synapse.weights[0, 0]))
    assert ends[0] == ends[1] != ends[2]
