"""Plasticity as a value: what a chip with Loihi's learning engine does to the weights of a projection.

A rule is three sums of products (weight, tag, delay), the synaptic traces they read, the epoch and the seeds of the
stochastic rounding. What cannot be on the chip cannot be constructed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from snnc.ir.grammar import parse_products
from snnc.ir.products import TRACES, Product, refuse

Sign = Literal["mixed", "excitatory", "inhibitory"]
Payload = Literal["ignored", "overwrite", "add_saturate", "add_overflow"]

EPOCH_MAX = 63
TRACE_MAX = 127
PORT_TAU = 65535.0
LAVA_WEIGHT_SEED = 2
BOUNDS: dict[Sign, tuple[int, int]] = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}
TARGETS = ("dw", "dt", "dd")


@dataclass(frozen=True)
class SynapticTrace:
    """A low-pass filter of one neuron's spikes: ``x <- clip(x * exp(-1/tau) + impulse * spike, 0, 127)``.

    Attributes:
        impulse: added at a spike, 0 to 127; fractions are added stochastically.
        tau: time constant in steps; 0: the trace is the impulse in the step of a spike and 0 in all others.

    Raises:
        InputError: on construction, if the chip has no such trace.
    """

    impulse: float = 0.0
    tau: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.impulse <= TRACE_MAX:
            fix = "Traces have 7 bits: scale impulse and rate together"
            refuse("trace", "impulse", f"{self.impulse:g}", f"0 to {TRACE_MAX}", fix)
        if not 0 <= self.tau < math.inf:
            refuse("trace", "tau", f"{self.tau:g}", "a finite number of steps, 0 or more")

    @property
    def decay(self) -> float:
        """Fraction kept per step."""
        return math.exp(-1.0 / self.tau) if self.tau else 0.0


@dataclass(frozen=True)
class RoundingSeeds:
    """Seeds of the generators (NumPy ``default_rng``) that round traces and weights stochastically.

    Attributes:
        traces: decay of pre-synaptic traces; +1 their impulses, +2 and +3 the same for post-synaptic traces.
        weights: weight, tag and delay. 2 is what Lava always uses, whatever seed it is given: keep it for parity.
    """

    traces: int = 1
    weights: int = LAVA_WEIGHT_SEED

    def __post_init__(self) -> None:
        for name in ("traces", "weights"):
            seed = getattr(self, name)
            if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
                refuse("rounding seeds", name, repr(seed), "an integer, 0 or more")


@dataclass(frozen=True)
class PlasticityRule:
    """``z <- clip(stochastic_round(z + sum of products))`` for weight, tag and delay at the end of every epoch.

    Build it with :meth:`parse`. All three sums read the values from before the epoch's update.

    Attributes:
        dw: products that change the weight.
        dt: products that change the tag t (eligibility).
        dd: products that change the delay variable d.
        x1: first trace of the pre-synaptic spikes.
        x2: second one.
        y1: first trace of the post-synaptic spikes.
        y2: second one.
        y3: third one.
        t_epoch: steps between two updates, 1 to 63; of several spikes in an epoch only the last keeps its time.
        third_factors: y1, y2 and y3 are written from outside in every step (reward) instead of following spikes.
        payload: what the value of a graded spike does to x1: ``overwrite``: x1 = value/2; ``add_saturate``: adds it,
            at most 127; ``add_overflow``: adds it modulo 256, and only spikes that pass 127 count as events.
        sign: which weights are legal; see :attr:`bounds`.
        seeds: of the stochastic rounding.

    Raises:
        InputError: on construction, if the chip cannot do it or the rule can never act.
    """

    dw: tuple[Product, ...] = ()
    dt: tuple[Product, ...] = ()
    dd: tuple[Product, ...] = ()
    x1: SynapticTrace = SynapticTrace()
    x2: SynapticTrace = SynapticTrace()
    y1: SynapticTrace = SynapticTrace()
    y2: SynapticTrace = SynapticTrace()
    y3: SynapticTrace = SynapticTrace()
    t_epoch: int = 1
    third_factors: bool = False
    payload: Payload = "ignored"
    sign: Sign = "mixed"
    seeds: RoundingSeeds = field(default_factory=RoundingSeeds)

    @classmethod
    def parse(cls, *, dw: str = "", dt: str = "", dd: str = "", **options: Any) -> PlasticityRule:
        """A rule from text, such as ``PlasticityRule.parse(dw="y0*x1 - x0*y1", x1=..., y1=...)``.

        Args:
            dw: sum of products that changes the weight; empty for none.
            dt: that changes the tag.
            dd: that changes the delay.
            options: the other fields of the rule.

        Raises:
            InputError: a text is outside the grammar of :mod:`snnc.ir.products`, or the rule cannot exist.
        """
        known = {one.name for one in fields(cls)}
        for name in sorted(set(options) - known):
            refuse("plasticity rule", "field", repr(name), "one of " + ", ".join(sorted(known)))
        texts = {"dw": dw, "dt": dt, "dd": dd}
        found: dict[str, Any] = {key: parse_products(text, key) for key, text in texts.items() if text}
        return cls(**found, **options)

    def __post_init__(self) -> None:
        where = "plasticity rule"
        if not any(self.sums.values()):
            refuse(where, "sums of products", "none", "at least one of dw, dt and dd")
        if isinstance(self.t_epoch, bool) or not isinstance(self.t_epoch, int) or not 1 <= self.t_epoch <= EPOCH_MAX:
            fix = "For slower events use uK, which counts in every 2**K-th epoch" if self.t_epoch else ""
            refuse(where, "t_epoch", repr(self.t_epoch), f"an integer from 1 to {EPOCH_MAX} (6 bits)", fix)
        for name, kind in (("sign", Sign), ("payload", Payload)):
            if getattr(self, name) not in get_args(kind):
                refuse(where, name, repr(getattr(self, name)), "one of " + ", ".join(get_args(kind)))
        periods = sorted({f"u{p.period}" for p in self.products() if p.period is not None})
        if len(periods) > 1:
            refuse(where, "events uK", " and ".join(periods), "one K in all sums", "The chip has one such counter")
        self._check_traces()

    def _check_traces(self) -> None:
        if self.third_factors and any(trace != SynapticTrace() for trace in (self.y1, self.y2, self.y3)):
            fix = "Third factors are written from outside; leave y1, y2 and y3 out"
            refuse("plasticity rule", "impulse or tau of y1, y2, y3", "given", "none with third_factors", fix)
        if self.payload != "ignored" and self.x1.impulse:
            fix = "x1 takes the value of the graded spike instead"
            refuse("trace x1", "impulse", f"{self.x1.impulse:g}", f"0 with payload {self.payload!r}", fix)
        for name in sorted(self.reads):
            trace, fed = self.trace(name), name[0] == "y" and self.third_factors
            carried = name == "x1" and self.payload != "ignored"
            if carried and not trace.tau:
                refuse("trace x1", "tau", "0", "more than 0", "The value would be gone before the rule reads it")
            if not trace.impulse and not fed and not carried:
                fix = f"{name} would always be 0: give it an impulse (and a tau), or take it out of the rule"
                refuse(f"trace {name}", "impulse", "0", f"more than 0 to {TRACE_MAX}", fix)

    @property
    def sums(self) -> dict[str, tuple[Product, ...]]:
        """The sums by what they change: dw, dt, dd."""
        return {name: getattr(self, name) for name in TARGETS}

    def products(self) -> Iterator[Product]:
        """All products of all sums."""
        for products in self.sums.values():
            yield from products

    @property
    def reads(self) -> frozenset[str]:
        """Names of the traces that some product reads."""
        return frozenset(f.variable for p in self.products() for f in p.factors if f.variable in TRACES)

    @property
    def period(self) -> int | None:
        """K of the events uK, or None if there are none."""
        return next((p.period for p in self.products() if p.period is not None), None)

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest weight after learning."""
        return BOUNDS[self.sign]

    def trace(self, name: str) -> SynapticTrace:
        """The trace of this name as the synapse decays it: third factors lose 1 in 65535 steps for each unit."""
        if name[0] == "y" and self.third_factors:
            return SynapticTrace(0.0, PORT_TAU)
        found = getattr(self, name)
        assert isinstance(found, SynapticTrace)
        return found

    @property
    def pre_traces(self) -> tuple[SynapticTrace, ...]:
        """x1 and x2."""
        return self.trace("x1"), self.trace("x2")

    @property
    def post_traces(self) -> tuple[SynapticTrace, ...]:
        """y1, y2 and y3."""
        return self.trace("y1"), self.trace("y2"), self.trace("y3")
