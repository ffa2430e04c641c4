"""Random rules of Loihi's engine, spike trains for them, and the reference beside what is tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import library
from snnc.engine.learn_core import RuleSynapses
from snnc.engine.learn_tables import recipe
from snnc.ir import PlasticityRule, RoundingSeeds, SynapticTrace
from snnc.ir.products import WIDTHS, Factor, Product
from snnc_reference.learning_chip import ChipLearning

Array = npt.NDArray[Any]
FOUND = library.kernels()
ONE_BY_ONE = ("weights", "tag_1", "tag_2", "x", "y", "last_pre", "last_post", "steps")


@dataclass(frozen=True, eq=False)
class Train:
    """A rule with weights and what its synapses see: pre [T, pre], post [T, post], third [T, 3, post]."""

    rule: PlasticityRule
    start: Array
    rounding: Any
    pre: Array
    post: Array
    third: Array


def random_product(rng: np.random.Generator, dependency: str, period: int) -> Product:
    """Any product that the chip has."""
    factors = []
    for name in rng.choice(list(WIDTHS), rng.integers(0, 4)).tolist():
        constant = int(rng.integers(-128, 128)) if rng.random() < 0.4 else 0
        constant *= 2 if name in ("w", "t") else 1
        factors.append(Factor(name, constant, bool(name in ("w", "t", "d") and rng.random() < 0.3)))
    mantissa, exponent = int(rng.integers(-8, 8)) or 1, int(rng.integers(-7, 9))
    kind: Any = dependency
    return Product(kind, tuple(factors), mantissa, exponent, period if dependency == "u" else None)


def random_rule(rng: np.random.Generator) -> PlasticityRule:
    """Any rule that the chip has, often one without u and dd, whose synapses are reached by events only."""
    period, events = int(rng.integers(0, 3)), ["x0", "y0"] + ["u"] * bool(rng.random() < 0.4)
    third, graded = bool(rng.random() < 0.3), bool(rng.random() < 0.4)

    def products(chance: float) -> tuple[Product, ...]:
        count = rng.integers(1, 5) if rng.random() < chance else 0
        return tuple(random_product(rng, str(rng.choice(events)), period) for _ in range(count))

    def trace(impulse: bool = True) -> SynapticTrace:
        tau = float(rng.choice([0, 1, 5.5, 20, 200]) if impulse else rng.choice([1, 5.5, 20]))
        return SynapticTrace(float(np.round(rng.uniform(1, 127), 2)) if impulse else 0.0, tau)

    payload: Any = str(rng.choice(["overwrite", "add_saturate", "add_overflow"])) if graded else "ignored"
    sign: Any = str(rng.choice(["mixed", "excitatory", "inhibitory"]))
    sums: Any = {"dw": products(0.9), "dt": products(0.5), "dd": products(0.4 if rng.random() < 0.5 else 0)}
    if not any(sums.values()):
        sums["dw"] = (random_product(rng, "x0", period),)
    ys: Any = {} if third else {name: trace() for name in ("y1", "y2", "y3")}
    return PlasticityRule(
        **sums, x1=trace(not graded), x2=trace(), **ys, t_epoch=int(rng.choice([1, 2, 3, 8, 63])), third_factors=third,
        payload=payload, sign=sign, seeds=RoundingSeeds(int(rng.integers(100)), int(rng.integers(100))),
    )  # fmt: skip


def random_train(seed: int, steps: int = 70, rule: PlasticityRule | None = None) -> Train:
    """A rule on up to 24 neurons on either side; rates from silence to two spikes in five steps."""
    rng = np.random.default_rng(seed)
    made = rule or random_rule(rng)
    n, m = rng.integers(1, 25, 2)
    low, high = made.bounds
    pre = (rng.random((steps, n)) < rng.uniform(0, 0.4)).astype(np.int64)
    if made.payload != "ignored":
        pre *= rng.integers(-300, 300, (steps, n))
    post = (rng.random((steps, m)) < rng.uniform(0, 0.4)).astype(np.int64)
    rounding = str(rng.choice(["stochastic", "stochastic", "nearest", "floor"]))
    third = rng.integers(-128, 128, (steps, 3, m))
    return Train(made, rng.integers(low, high + 1, (m, n)), rounding, pre, post, third)


def difference(train: Train, *tested: RuleSynapses, other: PlasticityRule | None = None) -> str:
    """The first step and quantity in which one of them is not the reference; empty if there is none.

    With another rule, the host exchanges the two every fifth step, in the middle of epochs too.
    """
    rules = [train.rule, other or train.rule]
    recipes = [recipe(one) for one in rules]
    reference = ChipLearning(train.rule, train.start, train.rounding)
    for t, (pre, post, third) in enumerate(zip(train.pre, train.post, train.third, strict=True)):
        now = t // 5 % 2
        given = third if rules[now].third_factors else None
        if other is not None:
            reference.rule = rules[now]
            for one in tested:
                one.take(recipes[now])
        sent = reference.step(pre, post, given)
        homes = {key: getattr(reference, f"_{key}" if key.startswith("last") else key) for key in ONE_BY_ONE}
        last = t == len(train.pre) - 1 or t % 16 == 5
        for one in tested:
            if not np.array_equal(sent, one.step(pre, post, given)):
                return f"step {t}: sums"
            found = one.state() if last else moved(one)
            for key, value in (reference.state() if last else homes).items():
                if not np.array_equal(found[key], value):
                    return f"step {t}: {key}"
    return ""


def moved(one: RuleSynapses) -> dict[str, Any]:
    """All of the state but random numbers."""
    memory = one.memory
    found = {"weights": one.weights, "tag_1": one.tag_1, "tag_2": one.tag_2, "x": one.x, "y": one.y}
    return {**found, "last_pre": memory.last_pre, "last_post": memory.last_post, "steps": one.steps}


def variants() -> list[str]:
    """NumPy and every build of the kernels."""
    return ["none", *(FOUND.variants if FOUND else ())]
