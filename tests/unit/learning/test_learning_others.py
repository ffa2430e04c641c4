"""Learning without rounding, as brian2-loihi rounds, and PES; each with mistakes that its vector must catch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import kinds_learning
import numpy as np
import pytest
from golden_base import Tally, read

from snnc.errors import InputError, UnsupportedError
from snnc.ir import PlasticityRule, RoundingSeeds, SynapticTrace
from snnc_reference import learning_brian, learning_float, pes
from snnc_reference.learning import IntegerLearning
from snnc_reference.learning_brian import BrianLearning
from snnc_reference.learning_float import FloatLearning
from snnc_reference.pes import Pes, PesRule

VECTORS = Path(__file__).resolve().parents[2] / "golden" / "vectors"
PES = PesRule(tau=20, impulse=9, rate_mantissa=1, rate_exponent=-7)


def differing(name: str, **change: Any) -> set[str]:
    """Quantities of a vector that differ; fields can be replaced."""
    tally = Tally()
    check = next(kind.check for kind in kinds_learning.KINDS if kind.name == name)
    assert check is not None
    check({**read(VECTORS / f"{name}.npz"), **change}, tally)
    assert tally.compared
    return set(tally.mismatches)


@pytest.mark.parametrize("name", ["lava_stdp_float", "b2_stdp", "nl_pes_learning"])
def test_vectors_agree(name: str) -> None:
    """Guards the controls below."""
    assert not differing(name)


@pytest.mark.parametrize("gap", [-30, -7, -1, 1, 4, 25])
def test_the_window_of_pair_stdp(gap: int) -> None:
    """One pair of spikes changes the weight by A * exp(-|gap| / tau), whatever the epoch."""
    rule = PlasticityRule.parse(dw="2*y0*x1 - x0*y1", x1=SynapticTrace(16, 20), y1=SynapticTrace(16, 10), t_epoch=4)
    synapse = FloatLearning(rule, [[0.0]])
    for t in range(80):
        synapse.step(np.array([t == 36]), np.array([t == 36 + gap]))
    expected = 32 * np.exp(-gap / 20) if gap > 0 else -16 * np.exp(gap / 10)
    assert synapse.weights[0, 0] == pytest.approx(expected, rel=1e-12)


def test_rounding_does_not_bias_learning() -> None:
    """The mean over many seeds of the integers is the float twin, where nothing is shifted or saturates."""
    drive = np.random.default_rng(8).random((30, 2)) < 0.12
    rule = PlasticityRule.parse(
        dw="2^-2*y0*x1 - 2^-3*x0*y1", x1=SynapticTrace(20, 15), y1=SynapticTrace(20, 15)
    )  # fmt: skip
    twin = FloatLearning(rule, [[0.0]])
    for pre, post in drive:
        twin.step(np.array([pre]), np.array([post]))
    ends = []
    for seed in range(200):
        synapse = IntegerLearning(replace(rule, seeds=RoundingSeeds(4 * seed, 10_000 + seed)), [[0]])
        for pre, post in drive:
            synapse.step(np.array([int(pre)]), np.array([int(post)]))
        ends.append(int(synapse.weights[0, 0]))
    error = np.std(ends) / np.sqrt(len(ends))
    assert 0 < error < 0.2
    assert abs(twin.weights[0, 0]) > 20 * error, "a rule that does nothing would pass"
    assert np.mean(ends) == pytest.approx(twin.weights[0, 0], abs=5 * error)


def test_float_keeps_signs_and_tags() -> None:
    for sign, rate, end in (("excitatory", -8, 0.0), ("inhibitory", 7, 0.0), ("mixed", -8, -5.5)):
        rule = PlasticityRule.parse(dw=f"{rate}*x0", dt="x0", dd="-x0", sign=sign)
        synapse = FloatLearning(rule, [[2.5 if rate < 0 else -2.5]])
        synapse.step(np.array([1]), np.array([0]))
        assert (synapse.weights[0, 0], synapse.tag_1[0, 0], synapse.tag_2[0, 0]) == (end, 1, 0)


def test_float_refuses() -> None:
    third = PlasticityRule.parse(dw="x0*y1", third_factors=True)
    with pytest.raises(UnsupportedError, match="Run the rule in integers"):
        FloatLearning(third, [[1.0]])
    for weights in ([1.0], [[np.nan]]):
        with pytest.raises(InputError, match="finite numbers"):
            FloatLearning(PlasticityRule.parse(dw="x0"), weights)


def test_float_mistakes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SynapticTrace, "decay", property(lambda self: 1 - 1 / self.tau if self.tau else 0.0))
    assert len(differing("lava_stdp_float")) == 5
    monkeypatch.undo()
    exact = learning_float.history
    monkeypatch.setattr(learning_float, "history", lambda *given: exact(*given) * (1 + 1e-8))
    assert differing("lava_stdp_float"), "the tolerance is 1e-9 of each weight"


def kept_as_lava(traces: tuple[SynapticTrace, ...]) -> Any:
    return np.array([[trace.decay] for trace in traces])


def test_statistics_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lava's decay, the dice thrown after the impulse, changes rounded to the nearest, one LSB, one step."""
    data = read(VECTORS / "b2_stdp.npz")
    assert "w_mean" in differing("b2_stdp", w_mean=data["w_mean"] + 0.5)
    assert "x1_std" in differing("b2_stdp", x1_std=data["x1_std"] * 1.5)
    assert "x1_first" in differing("b2_stdp", x1_first=data["x1_first"] + (np.arange(300) == 30))
    assert differing("b2_stdp", pre=np.roll(data["pre"], 1, axis=1))
    monkeypatch.setattr(learning_brian, "_keep", kept_as_lava)
    assert {"x1_mean", "y1_mean", "w_mean"} <= differing("b2_stdp")


@pytest.mark.parametrize("wrong", ["nearest", "late dice", "no dice"])
def test_brian_mistakes_are_caught(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if wrong == "nearest":
        monkeypatch.setattr(np, "ceil", np.rint)
        assert "w_mean" in differing("b2_stdp")
    elif wrong == "no dice":
        monkeypatch.setattr(learning_brian, "rounds_up", lambda values, *_: np.zeros_like(values))
        assert {"x1_mean", "x1_std"} <= differing("b2_stdp")
    else:
        up, fall = learning_brian.rounds_up, learning_brian.decayed
        dice = np.random.default_rng(5)
        monkeypatch.setattr(learning_brian, "rounds_up", lambda values, *_: np.zeros_like(values))
        monkeypatch.setattr(learning_brian, "decayed", lambda v, traces: fall(v, traces) + up(v, traces, dice))
        assert {"x1_mean", "y1_mean"} <= differing("b2_stdp")


@pytest.mark.parametrize("options", [{"t_epoch": 2}, {"dt": "x0*x1"}, {"dw": "u0*x1"}, {"dw": "x0*t*x1"}])
def test_brian_refuses(options: dict[str, Any]) -> None:
    rule = PlasticityRule.parse(**({"dw": "y0*x1", "x1": SynapticTrace(9, 9)} | options))
    with pytest.raises(UnsupportedError, match="dw alone"):
        BrianLearning(rule, [1], seed=0)


def test_brian_reads_weights_and_events() -> None:
    rule = PlasticityRule.parse(dw="x0*sgn(w-2) + x0*y0*(y1+1)", y1=SynapticTrace(9, 9))
    synapse = BrianLearning(rule, [5, 0], seed=0)
    assert synapse.step(True, False).weights.tolist() == [6, -1]
    assert synapse.step(True, True).weights.tolist() == [6 + 1 + 10, -1 - 1 + 10]
    with pytest.raises(InputError, match="synapses"):
        BrianLearning(rule, [[5]], seed=0)


@pytest.mark.parametrize(
    ("attribute", "wrong"),
    [
        ("rounded", lambda values, _dice: np.trunc(values).astype(np.int64)),
        ("rounded", lambda values, dice: np.floor(values + dice).astype(np.int64)),
        ("PRODUCT_SHIFT", 1),
        ("TRACE_MAX", 20),
        ("FRACTION_BITS", 6),
    ],
)
def test_pes_mistakes_are_caught(attribute: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pes, attribute, wrong)
    assert differing("nl_pes_learning")


def test_pes_learns_against_the_error() -> None:
    """Compartments of the first half get minus the error: positive error lowers them and raises the others."""
    synapses = Pes(PesRule(20, 100, 1, 0, error_scale=1.0), 2, 4, np.random.default_rng(0).random)
    for _ in range(8):
        synapses.step(np.array([1, 0]), np.array([50.0, 0.0]))
    assert synapses.weights[0, 0] < 0 < synapses.weights[0, 2]
    assert not synapses.weights[1].any(), "an axon without spikes learns nothing"
    assert not synapses.weights[:, [1, 3]].any(), "no error, no change"
    assert synapses.trace.tolist() == [127, 0]


@pytest.mark.parametrize(
    "field", [{"tau": 0}, {"impulse": 0}, {"impulse": 128}, {"trace_epoch": 0}, {"learn_epoch": 64}, {"shift_bits": 8}]
)
def test_pes_refuses(field: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(field))):
        PesRule(**({"tau": 20, "impulse": 9, "rate_mantissa": 1, "rate_exponent": -7} | field))


def test_pes_needs_pairs() -> None:
    with pytest.raises(InputError, match="an even number"):
        Pes(PES, 2, 3, np.random.default_rng(0).random)
