"""Plasticity rules as values: what they know about themselves, and what cannot be constructed."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from snnc.errors import InputError
from snnc.ir import PlasticityRule, RoundingSeeds, SynapticTrace

PAIR = "y0*x1 - x0*y1"
TRACE = SynapticTrace(16, 10)


def pair(**more: Any) -> PlasticityRule:
    return PlasticityRule.parse(**({"dw": PAIR, "x1": TRACE, "y1": TRACE} | more))


def test_a_rule_knows_what_it_reads() -> None:
    rule = pair(dt="u2*y2*t", y2=SynapticTrace(3, 4))
    assert rule.reads == {"x1", "y1", "y2"}
    assert rule.period == 2
    assert [len(products) for products in rule.sums.values()] == [2, 1, 0]
    assert rule.bounds == (-256, 255)
    assert pair().period is None
    assert pair(sign="excitatory").bounds == (0, 255)
    assert rule.trace("x1").decay == pytest.approx(math.exp(-0.1))
    assert SynapticTrace(5, 0).decay == 0
    assert RoundingSeeds().weights == 2, "Lava's seed, whatever else is given"


def test_equal_rules_are_equal_and_frozen() -> None:
    assert pair() == pair()
    assert hash(pair()) == hash(pair())
    assert pair() != pair(t_epoch=2)
    with pytest.raises(FrozenInstanceError):
        pair().t_epoch = 3  # type: ignore[misc]


def test_third_factors_keep_what_they_are_given() -> None:
    rule = PlasticityRule.parse(dw="u0*t*y2", third_factors=True)
    assert rule.trace("y2") == SynapticTrace(0, 65535)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dw": ""}, "sums of products is none"),
        ({"t_epoch": 64}, "t_epoch is 64, allowed is an integer from 1 to 63 (6 bits). For slower events use uK"),
        ({"t_epoch": 0}, "t_epoch is 0"),
        ({"t_epoch": 2.0}, "t_epoch is 2.0"),
        ({"t_epoch": True}, "t_epoch is True"),
        ({"sign": "signed"}, "sign is 'signed', allowed is one of mixed, excitatory, inhibitory"),
        ({"payload": "add"}, "payload is 'add'"),
        ({"dt": "u0*t", "dd": "u1*d"}, "events uK is u0 and u1, allowed is one K in all sums"),
        ({"x1": SynapticTrace()}, "trace x1: impulse is 0"),
        ({"y1": SynapticTrace(0, 10)}, "y1 would always be 0: give it an impulse"),
        ({"third_factors": True}, "impulse or tau of y1, y2, y3 is given"),
        ({"payload": "overwrite"}, "trace x1: impulse is 16, allowed is 0 with payload 'overwrite'"),
        ({"payload": "overwrite", "x1": SynapticTrace()}, "The value would be gone"),
        ({"x3": TRACE}, "field is 'x3'"),
        ({"dw": "u10*x1"}, "u0 to u9"),
    ],
)
def test_refuses(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        pair(**options)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("impulse", "tau", "says"),
    [
        (128, 10, "impulse is 128, allowed is 0 to 127. Traces have 7 bits"),
        (-1, 10, "impulse is -1"),
        (math.nan, 10, "impulse is nan"),
        (1, -1, "tau is -1"),
        (1, math.inf, "tau is inf"),
        (1, math.nan, "tau is nan"),
    ],
)
def test_refuses_traces(impulse: float, tau: float, says: str) -> None:
    with pytest.raises(InputError) as caught:
        SynapticTrace(impulse, tau)
    assert says in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 1.0, True, None])
def test_refuses_seeds(seed: Any) -> None:
    with pytest.raises(InputError, match="an integer, 0 or more"):
        RoundingSeeds(seed)
    with pytest.raises(InputError, match="weights is"):
        RoundingSeeds(1, seed)
