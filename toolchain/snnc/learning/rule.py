"""A plasticity rule as a value in the units of the float network, whatever chip it will run on.

In every time step, in this order: traces decay; spikes of this step make their traces jump; every term whose event
happened is computed from the weights and eligibilities of before; all changes are added; weights are clipped. At the
end of a sample the terms of the event ``sample`` follow in the same way, and then what the rule clears is cleared.
What a chip makes of it is the business of :mod:`snnc.learning.lowering` and of the targets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from snnc.errors import InputError, Violation
from snnc.ir import PlasticityRule

Side = Literal["pre", "post"]
Event = Literal["pre", "post", "step", "sample"]
Change = Literal["w", "e"]
Kind = Literal["normalise", "label", "reward", "error", "threshold", "anneal", "clear", "retry", "phase"]
Value = float | int | str | bool

WORDS = {"pre": "at each pre spike", "post": "at each post spike", "sample": "at the end of each sample"}


@dataclass(frozen=True)
class Trace:
    """A memory of one neuron's spikes: ``x <- x * exp(-1/tau)``, then at a spike ``x <- x + jump`` or ``x <- jump``.

    Attributes:
        name: what terms call it.
        side: whose spikes.
        tau: time constant in steps; infinity never decays.
        jump: at a spike; 1 is the field's custom.
        sets: a spike sets the trace to ``jump`` (only the nearest spike counts) instead of adding to it.

    Raises:
        InputError: on construction, if tau is not more than 0 or the jump is not a number more than 0.
    """

    name: str
    side: Side
    tau: float
    jump: float = 1.0
    sets: bool = False

    def __post_init__(self) -> None:
        if not self.tau > 0:
            refuse(f"trace {self.name}", "tau", f"{self.tau:g} steps", "more than 0", "A trace of 0 steps is a spike")
        if not 0 < self.jump < math.inf:
            refuse(f"trace {self.name}", "jump", f"{self.jump:g}", "more than 0")

    @property
    def decay(self) -> float:
        """Fraction kept per step."""
        return math.exp(-1.0 / self.tau)

    def __str__(self) -> str:
        spikes = "jumps to" if self.sets else "jumps by"
        kept = "never decays" if math.isinf(self.tau) else f"decays with tau {self.tau:g} steps"
        return f"{self.name}: {kept}, {spikes} {self.jump:g} at each {self.side} spike"


@dataclass(frozen=True)
class Third:
    """A third factor: a number for each post-synaptic neuron that comes from outside.

    Attributes:
        name: what terms call it.
        full: largest magnitude that it takes.
        signed: may be negative.
        unit: what it counts, for people.
    """

    name: str
    full: float = 1.0
    signed: bool = True
    unit: str = ""


@dataclass(frozen=True)
class Read:
    """One factor of a term: ``offset + scale * variable``.

    Attributes:
        variable: a trace, a third factor, ``w`` (weight) or ``e`` (eligibility).
        scale: not 0.
        offset: in the unit of the variable.
        before: of a trace: its value without the spikes of this very step.
    """

    variable: str
    scale: float = 1.0
    offset: float = 0.0
    before: bool = False

    def __str__(self) -> str:
        name = f"{self.variable}(before)" if self.before else self.variable
        if not self.offset:
            return name if self.scale == 1 else f"{self.scale:g}*{name}"
        sign, size = ("-" if self.scale < 0 else "+"), abs(self.scale)
        return f"({self.offset:g} {sign} {'' if size == 1 else f'{size:g}*'}{name})"


@dataclass(frozen=True)
class Term:
    """``change += rate * product of reads`` when its event happens.

    Attributes:
        name: what the field calls the rate, such as A_plus.
        change: w or e.
        rate: sign included.
        event: pre and post: at spikes; step: in every ``every``-th step; sample: at its end.
        reads: factors.
        every: steps between two changes, for the event ``step``.
        phases: in which it is active.
    """

    name: str
    change: Change
    rate: float
    event: Event
    reads: tuple[Read, ...] = ()
    every: int = 1
    phases: tuple[str, ...] = ("train",)

    def __post_init__(self) -> None:
        if not math.isfinite(self.rate):
            refuse(f"term {self.name}", "rate", f"{self.rate:g}", "a finite number")
        if self.every < 1:
            refuse(f"term {self.name}", "every", str(self.every), "1 step or more")

    @property
    def when(self) -> str:
        """Its event in words."""
        if self.event == "step":
            return "in every step" if self.every == 1 else f"every {self.every} steps"
        return WORDS[self.event]

    def __str__(self) -> str:
        sign = "-" if self.rate < 0 else "+"
        return f"{self.change} {sign}= " + " * ".join([f"{abs(self.rate):.6g}", *map(str, self.reads)])


@dataclass(frozen=True)
class HostOperation:
    """What the host computes, because no synapse can: not local, or nothing that a chip multiplies.

    Attributes:
        kind: what sort.
        when: step, sample or epoch (one pass over the data).
        text: what is done, as a formula where there is one.
        settings: its numbers.
    """

    kind: Kind
    when: Literal["step", "sample", "epoch"]
    text: str
    settings: tuple[tuple[str, Value], ...] = ()

    def __getitem__(self, key: str) -> Value:
        return dict(self.settings)[key]


@dataclass(frozen=True)
class Rule:
    """Traces, third factors and sums of products that change the weights of a projection.

    Attributes:
        name: in the library, or ``products``.
        terms: of all sums and phases.
        traces: that terms read.
        thirds: third factors that terms read.
        w_min: smallest weight, in the float network's unit; -inf for none.
        w_max: largest one.
        phases: names of phases; the first is the one that runs unless another is asked for.
        host: what stays on the host.
        clears: at the end of a sample traces and eligibilities become 0.
        parameters: as given by the user: (name, value, unit).
        source: where the equation comes from.
        written: for rules written as sums of products: the chip's own form, which is then used as it stands.

    Raises:
        InputError: on construction: a term reads what is not there, or bounds cross.
    """

    name: str
    terms: tuple[Term, ...]
    traces: tuple[Trace, ...] = ()
    thirds: tuple[Third, ...] = ()
    w_min: float = -math.inf
    w_max: float = math.inf
    phases: tuple[str, ...] = ("train", "test")
    host: tuple[HostOperation, ...] = ()
    clears: bool = False
    parameters: tuple[tuple[str, Value, str], ...] = ()
    source: str = ""
    written: PlasticityRule | None = None

    def __post_init__(self) -> None:
        where = f"rule {self.name}"
        if not self.w_min < self.w_max:
            refuse(where, "w_min and w_max", f"{self.w_min:g} and {self.w_max:g}", "w_min < w_max")
        names = [t.name for t in self.traces] + [t.name for t in self.thirds]
        known = {*names, "w", "e"}
        if len(known) != len(names) + 2:
            refuse(where, "names of traces and third factors", ", ".join(names), "different ones, not w or e")
        for term in self.terms:
            if term.event not in get_args(Event) or not set(term.phases) <= set(self.phases):
                found = f"{term.event} in {', '.join(term.phases)}"
                refuse(where, f"event and phases of {term.name}", found, f"known ones ({', '.join(self.phases)})")
            for read in term.reads:
                if read.variable not in known or not read.scale:
                    refuse(
                        where, f"factor of {term.name}", str(read), f"one of {', '.join(sorted(known))}, not times 0"
                    )

    def __getitem__(self, parameter: str) -> Value:
        return {name: value for name, value, _ in self.parameters}[parameter]

    def trace(self, name: str) -> Trace:
        """The trace of this name."""
        return next(trace for trace in self.traces if trace.name == name)

    def active(self, phase: str) -> tuple[Term, ...]:
        """Terms that change something in a phase.

        Raises:
            InputError: the rule has no such phase.
        """
        if phase not in self.phases:
            refuse(f"rule {self.name}", "phase", repr(phase), "one of " + ", ".join(self.phases))
        return tuple(term for term in self.terms if phase in term.phases)

    @property
    def tagged(self) -> bool:
        """Whether synapses carry an eligibility."""
        return any(term.change == "e" for term in self.terms)

    def equation(self) -> Iterator[str]:
        """The rule as lines that people read."""
        for trace in self.traces:
            yield str(trace)
        for third in self.thirds:
            low = -third.full if third.signed else 0.0
            yield f"{third.name}: from outside, {low:g} to {third.full:g}{f' {third.unit}' if third.unit else ''}"
        for term in self.terms:
            yield f"{term.when}: {term}" + (f"   [{', '.join(term.phases)}]" if len(self.phases) > 1 else "")
        if math.isfinite(self.w_min) or math.isfinite(self.w_max):
            yield f"w stays in {self.w_min:g} to {self.w_max:g}"
        if self.clears:
            yield "at the end of each sample traces" + (" and e" if self.tagged else "") + " become 0"


def refuse(where: str, quantity: str, found: str, allowed: str, fix: str = "") -> Any:
    """Raises what is wrong with a rule.

    Raises:
        InputError: always.
    """
    raise InputError.of(Violation(where, quantity, found, allowed, fix))
