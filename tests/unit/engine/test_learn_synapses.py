"""A projection that learns in the engine under the face of the reference's, checkpoints exchanged in mid-epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.engine.learn import LearningSynapses
from snnc.errors import InputError, UnsupportedError
from snnc.learning import configure
from snnc.learning.account import Rounding
from snnc_reference.learning_synapses import ChipSynapses
from unit.engine.learn_nets import variants
from unit.learning.learning_nets import PAIR, Made, made, network, spikes

SLEEP = {"sleep": {"rule": "weight-decay", "rate": 0.1, "baseline": 0.2}}
RULES: dict[str, dict[str, Any]] = {
    "pair, epochs": {**PAIR, "t_epoch": 8},
    "pair, parity": {**PAIR, "parity": "lava", "t_epoch": 1},
    "triplet": {"rule": "triplet-stdp", "nu_pre": 0.03, "nu_post": 0.06},
    "reward": {"rule": "reward-stdp", "A_plus": 0.05, "A_minus": 0.02, "rate": 0.5, "tau_e": 10.0},
    "sleep": {**PAIR, "phases": SLEEP, "t_epoch": 5},
    "s2": {"rule": "s2-stdp", "t_max": 16, "gap": 6.0, "A_plus": 0.2, "A_minus": 0.2, "w_min": -1.0},
    "written": {"rule": "products", "dw": "2^-2*y0*x1-2^-3*x0*y1", "dt": "x0*y1", "x1_impulse": 40.0, "x1_tau": 9.0,
                "y1_impulse": 33.3, "y1_tau": 5.0, "t_epoch": 4},
}  # fmt: skip
DATA = spikes(4, 20)


def projection(name: str, chip: str = "loihi1") -> Made:
    lowest = -0.2 if name in ("s2", "written") else 0.0
    return made(network(lowest=lowest), chip, DATA, configure("fc", **RULES[name]))


def thirds(one: Any, rng: np.random.Generator) -> dict[str, Any]:
    return {third.name: rng.uniform(-third.full, third.full, 5) for third in one.one.rule.thirds}


def lived(both: list[Any], phases: list[str], steps: int = 60, seed: int = 2) -> None:
    """The same life for all of them, which must stay equal: steps, ends of samples, weights that the host writes."""
    rng = np.random.default_rng(seed)
    first = both[0]
    for t in range(steps):
        phase = phases[t // 7 % len(phases)]
        pre, post = (rng.random(12) < 0.25).astype(np.int8), (rng.random(5) < 0.3).astype(np.int8)
        third = thirds(first, rng)
        sums = [one.step(pre, post, third, phase) for one in both]
        sends = [one.send(pre) for one in both]
        if t % 17 == 11:
            for one in both:
                one.end(thirds(first, np.random.default_rng(t)), phase)
        if t % 23 == 13:
            target = first.weights * rng.uniform(0.7, 1.2, (5, 12))
            for one in both:
                one.write(target)
        for k, one in enumerate(both[1:], start=1):
            assert np.array_equal(sums[0], sums[k]), f"step {t}"
            assert np.array_equal(sends[0], sends[k]), f"step {t}"
            equal(first, one)


def equal(first: Any, second: Any) -> None:
    left, right = first.state(), second.state()
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert np.array_equal(value, right[key]), key
        assert value.dtype == right[key].dtype, key
    assert np.array_equal(first.kept, second.kept)
    assert np.array_equal(first.weights, second.weights)


@pytest.mark.parametrize("name", RULES)
def test_agrees_with_the_reference(name: str) -> None:
    one = projection(name)
    (plastic,) = one.plastic
    reference = ChipSynapses(one.graph, plastic)
    engines = [LearningSynapses(one.graph, plastic, variant=variant) for variant in variants()]
    phases = [phase for phase in plastic.rule.phases if reference.learns(phase)]
    assert phases == [phase for phase in plastic.rule.phases if engines[0].learns(phase)]
    assert not engines[0].learns("nowhere")
    before = engines[0].kept
    lived([reference, *engines], phases)
    assert (engines[0].kept != before).sum() > 10


@pytest.mark.parametrize("name", ["pair, epochs", "triplet", "reward"])
@pytest.mark.parametrize("variant", variants())
def test_checkpoints_go_on_elsewhere(name: str, variant: str) -> None:
    """Of the reference in the engine and the other way round, in the middle of an epoch."""
    one = projection(name)
    (plastic,) = one.plastic
    for saves, goes_on in ((ChipSynapses, LearningSynapses), (LearningSynapses, ChipSynapses)):
        options: Any = {"seed": 9}
        first = saves(one.graph, plastic, **options, **({"variant": variant} if saves is LearningSynapses else {}))
        lived([first], ["train"], 27)
        second = goes_on(one.graph, plastic, **({"variant": variant} if goes_on is LearningSynapses else {}))
        second.restore(first.state())
        equal(first, second)
        lived([first, second], ["train"], 40, seed=5)
        fresh = goes_on(one.graph, plastic)
        fresh.restore({**first.state(), "dice": fresh.state()["dice"]})
        with pytest.raises(AssertionError):
            lived([first, fresh], ["train"], 40, seed=5)


@pytest.mark.parametrize("rounding", ["stochastic", "nearest", "floor"])
def test_seeds_and_roundings_are_the_reference_s(rounding: Rounding) -> None:
    one = projection("pair, epochs", "loihi2")
    (plastic,) = one.plastic
    reference = ChipSynapses(one.graph, plastic, 5, rounding)
    engines = [LearningSynapses(one.graph, plastic, 5, rounding, variant=variant) for variant in variants()]
    lived([reference, *engines], ["train"])
    other = LearningSynapses(one.graph, plastic, 6, rounding)
    with pytest.raises(AssertionError):
        lived([ChipSynapses(one.graph, plastic, 5, rounding), other], ["train"])


def test_what_it_cannot_do_is_refused() -> None:
    one = projection("pair, epochs")
    (plastic,) = one.plastic
    with pytest.raises(UnsupportedError, match="learning engine is none"):
        LearningSynapses(one.graph, replace(plastic, account=None))
    assert plastic.account is not None
    with pytest.raises(UnsupportedError, match="elsewhere"):
        LearningSynapses(one.graph, replace(plastic, account=replace(plastic.account, target="elsewhere", engine={})))
    engine = LearningSynapses(one.graph, plastic)
    with pytest.raises(InputError, match="nearest is 'train'"):
        engine.step(np.zeros(12, np.int8), np.zeros(5, np.int8), {}, "trian")
    with pytest.raises(InputError, match="weights"):
        engine.restore({**engine.state(), "weights": np.zeros((5, 11), np.int64)})
    fewer = engine.state()
    del fewer["x"]
    with pytest.raises(KeyError):
        engine.restore(fewer)
    low = replace(plastic, widen=plastic.widen + 3)
    with pytest.raises(InputError, match="0 to 255"):
        LearningSynapses(one.graph, low)
