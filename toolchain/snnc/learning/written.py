"""A rule written as sums of products in the language of Loihi's learning engine, with Lava's names for its numbers.

Weights are in device steps here: what is written is what the chip is loaded with. The float rule that comes with it
reads products as written; the chip shifts products of several factors down (:attr:`snnc.ir.Product.shift`).
"""

from __future__ import annotations

from typing import Any

from snnc.ir import Factor, PlasticityRule, Product, SynapticTrace
from snnc.ir.products import TRACES
from snnc.learning.rule import Change, Event, Read, Rule, Term, Third, Trace, Value, refuse

NAME = "products"
GONE = 1e-3
"""Time constant in steps of a trace that is gone in the next one."""
PLAIN: dict[str, Value] = {"t_epoch": 1, "third_factors": False, "sign": "mixed"}
DEFAULTS: dict[str, Value] = {
    "dw": "",
    "dt": "",
    **{f"{trace}_{part}": 0.0 for trace in TRACES for part in ("impulse", "tau")},
    **PLAIN,
}
EVENTS: dict[str, Event] = {"x0": "pre", "y0": "post", "u": "step"}


def written_rule(**parameters: Value) -> Rule:
    """A rule from text.

    Args:
        parameters: ``dw`` and ``dt`` (sums of products), ``x1_impulse``, ``x1_tau`` and so on to ``y3_tau`` (steps),
            ``t_epoch``, ``third_factors`` and ``sign``.

    Raises:
        InputError: outside the grammar or the chip's numbers; or sgn, d and x0 or y0 as factors, which have no float
            rule (:class:`snnc.ir.PlasticityRule` takes them).
    """
    every = {**DEFAULTS, **parameters}
    for key, value in parameters.items():
        _typed(key, value, DEFAULTS[key])
    traces = {
        name: SynapticTrace(float(every[f"{name}_impulse"]), float(every[f"{name}_tau"]))
        for name in TRACES
        if every[f"{name}_impulse"] or every[f"{name}_tau"]
    }
    options: dict[str, Any] = {**{key: every[key] for key in PLAIN}, **traces}
    made = PlasticityRule.parse(dw=str(every["dw"]), dt=str(every["dt"]), **options)
    given = tuple((key, value, unit_of(key)) for key, value in parameters.items())
    return from_engine(made, given)


def unit_of(key: str) -> str:
    """Unit of a parameter."""
    return {"tau": "steps", "impulse": "steps of 127"}.get(key.rpartition("_")[2], "")


def _typed(key: str, value: Value, default: Value) -> None:
    whole = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
    if not whole and not isinstance(value, type(default)):
        refuse(NAME, key, repr(value), f"a {type(default).__name__}")


def from_engine(made: PlasticityRule, given: tuple[tuple[str, Value, str], ...] = ()) -> Rule:
    """The float rule of a plasticity rule, in device steps.

    Raises:
        InputError: it reads sgn, d, or events as factors.
    """
    terms: list[Term] = []
    change: Change
    for key, change in (("dw", "w"), ("dt", "e")):
        terms += [_term(product, change, made.t_epoch, f"{key} {n}") for n, product in enumerate(made.sums[key], 1)]
    if made.dd:
        refuse(NAME, "dd", "given", "none", "No executor sends spikes late by a learned delay")
    fed = made.third_factors
    traces = tuple(
        Trace(name, "pre" if name[0] == "x" else "post", made.trace(name).tau or GONE, made.trace(name).impulse)
        for name in sorted(made.reads)
        if not (fed and name[0] == "y")
    )
    thirds = tuple(Third(name, 127.0, signed=False) for name in sorted(made.reads) if fed and name[0] == "y")
    low, high = made.bounds
    source = "written as sums of products"
    return Rule(
        NAME, tuple(terms), traces, thirds, float(low), float(high), parameters=given, source=source, written=made
    )


def _term(product: Product, change: Change, t_epoch: int, name: str) -> Term:
    every = t_epoch << (product.period or 0) if product.dependency == "u" else 1
    reads = tuple(_read(factor, product) for factor in product.factors)
    return Term(name, change, product.scale, EVENTS[product.dependency], reads, every)


def _read(factor: Factor, product: Product) -> Read:
    if factor.sign or factor.variable in ("x0", "y0", "d"):
        fix = "Build a snnc.ir.PlasticityRule: it has them"
        refuse(f"product {product}", "factor", str(factor), "traces, w and t", fix)
    return Read("e" if factor.variable == "t" else factor.variable, 1.0, float(factor.constant))
