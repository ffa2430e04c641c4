"""The library: rules by name, built from the field's parameters, and put together for phases."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from snnc.errors import InputError, unknown
from snnc.learning.modulated import Homeostasis, RewardStdp, S2Stdp, WeightDecay
from snnc.learning.pairs import MultiplicativeStdp, NearestStdp, PairStdp, SoftBoundStdp, TripletStdp
from snnc.learning.rule import Rule, Term, Third, Trace, Value, refuse
from snnc.learning.spec import Spec
from snnc.learning.written import DEFAULTS, unit_of, written_rule
from snnc.learning.written import NAME as WRITTEN

LIBRARY: Mapping[str, type[Spec]] = {
    "homeostatic-scaling": Homeostasis,
    "multiplicative-stdp": MultiplicativeStdp,
    "nearest-stdp": NearestStdp,
    "pair-stdp": PairStdp,
    "reward-stdp": RewardStdp,
    "s2-stdp": S2Stdp,
    "soft-bound-stdp": SoftBoundStdp,
    "triplet-stdp": TripletStdp,
    "weight-decay": WeightDecay,
}
NAMES = (*sorted(LIBRARY), WRITTEN)


def build(name: str, **parameters: Value) -> Rule:
    """A rule of the library.

    Args:
        name: one of :data:`NAMES`; ``products`` takes sums of products (:func:`snnc.learning.written.written_rule`).
        parameters: by the field's names; the others keep their defaults.

    Raises:
        InputError: no such rule or parameter (names the nearest), or a value out of range.
    """
    if name not in NAMES:
        raise InputError(unknown("learning rule", name, NAMES))
    for key in parameters:
        if key not in parameters_of(name):
            raise InputError(unknown(f"parameter of the rule {name!r}", key, parameters_of(name)))
    if name == WRITTEN:
        return written_rule(**parameters)
    return LIBRARY[name](**_numbers(LIBRARY[name], parameters)).rule()


def parameters_of(name: str) -> dict[str, tuple[Value, str]]:
    """Parameter -> (default, unit) of a rule."""
    if name == WRITTEN:
        return {key: (value, unit_of(key)) for key, value in DEFAULTS.items()}
    found = {}
    for one in fields(LIBRARY[name]):
        assert one.default is not MISSING
        unit = str(one.metadata.get("unit", ""))
        found[one.name] = (one.default, "steps or ms" if unit == "time" else unit)
    return found


def meaning(name: str) -> str:
    """First line of what a rule says of itself."""
    if name == WRITTEN:
        return "sums of products as Loihi's engine takes them: dw, dt, x1_impulse, x1_tau, ..."
    return (inspect.getdoc(LIBRARY[name]) or "").splitlines()[0].replace("``", "")


def _numbers(cls: type[Spec], given: Mapping[str, Value]) -> dict[str, Any]:
    """Whole numbers where a float belongs become floats; other types are refused by name."""
    found: dict[str, Any] = {}
    for one in fields(cls):
        if one.name not in given:
            continue
        value, default = given[one.name], one.default
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(default):
            kind = {"float": "number", "int": "whole number", "str": "word"}[type(default).__name__]
            refuse(f"rule {cls.__name__}", one.name, repr(value), f"a {kind}")
        found[one.name] = value
    return found


def combine(first: Rule, second: Rule, phase: str) -> Rule:
    """One rule that follows another in one phase: all of ``second``'s terms happen in ``phase`` only.

    Args:
        first: what happens otherwise; its phases stay.
        second: what happens in the phase as well; its traces get the phase's name in front.
        phase: new or one of the first rule's.

    Raises:
        InputError: bounds differ, or one of them was written as products.
    """
    if first.written is not None or second.written is not None:
        refuse(f"phase {phase}", "rule", WRITTEN, "rules of the library", "Run written rules one after the other")
    if (first.w_min, first.w_max) != (second.w_min, second.w_max):
        found = f"{second.w_min:g} to {second.w_max:g}"
        refuse(f"phase {phase}", "w_min and w_max", found, f"those of {first.name}: {first.w_min:g} to {first.w_max:g}")
    own: tuple[Trace | Third, ...] = (*second.traces, *second.thirds)
    renamed = {one.name: f"{phase}_{one.name}" for one in own}
    terms = tuple(_moved(term, renamed, phase) for term in second.terms)
    return replace(
        first,
        name=f"{first.name} + {second.name} in {phase}",
        terms=(*first.terms, *terms),
        traces=(*first.traces, *(replace(t, name=renamed[t.name]) for t in second.traces)),
        thirds=(*first.thirds, *(replace(t, name=renamed[t.name]) for t in second.thirds)),
        phases=tuple(dict.fromkeys((*first.phases, phase))),
        host=(*first.host, *second.host),
        clears=first.clears or second.clears,
        parameters=(*first.parameters, *((f"{phase}.{key}", value, unit) for key, value, unit in second.parameters)),
        source="; ".join(filter(None, (first.source, second.source))),
    )


def _moved(term: Term, renamed: Mapping[str, str], phase: str) -> Term:
    reads = tuple(replace(read, variable=renamed.get(read.variable, read.variable)) for read in term.reads)
    return replace(term, name=f"{phase}.{term.name}", reads=reads, phases=(phase,))
