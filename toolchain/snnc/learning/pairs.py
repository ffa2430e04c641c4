"""Rules on pairs and triplets of spikes: additive, multiplicative, soft-bound, nearest-spike and triplet STDP."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.learning.rule import HostOperation, Read, Rule, Term, Trace, refuse
from snnc.learning.spec import Spec, choice, number, positive

X, Y = "x", "y"


@dataclass(frozen=True)
class PairTimes(Spec):
    """Two traces and their amplitudes.

    Attributes:
        A_plus: potentiation of a pair at distance 0, a magnitude.
        A_minus: depression of a pair at distance 0, a magnitude.
        tau_plus: how long a pre spike is remembered.
        tau_minus: how long a post spike is.
        coincident: what a pre and a post spike in the same step do: ``both`` terms count (Loihi), ``depression`` alone
            (SpiNNaker) or ``none``.
        between_samples: what becomes of traces there: ``keep``, as in one long run, or ``clear``, so that no pair spans
            two samples (the host does it; on SpiNNaker the silent steps after each sample do).
    """

    A_plus: float = number(0.01, "weight")
    A_minus: float = number(0.0105, "weight")
    tau_plus: float = positive(20.0, "time")
    tau_minus: float = positive(20.0, "time")
    coincident: str = choice("both", "depression", "none")
    between_samples: str = choice("keep", "clear")

    def traces(self, *, sets: bool = False) -> tuple[Trace, Trace]:
        """X remembers pre spikes, y post spikes."""
        return (
            Trace(X, "pre", self.steps("tau_plus"), sets=sets),
            Trace(Y, "post", self.steps("tau_minus"), sets=sets),
        )

    def made(self, up: tuple[Read, ...], down: tuple[Read, ...], source: str, *, sets: bool = False) -> Rule:
        """The rule with these further factors of potentiation and depression."""
        rise, fall = self.amplitudes_in_weights()
        x = Read(X, before=self.coincident != "both")
        y = Read(Y, before=self.coincident == "none")
        terms = (Term("A_plus", "w", rise, "post", (x, *up)), Term("A_minus", "w", -fall, "pre", (y, *down)))
        kept = tuple(term for term in terms if term.rate)
        if not kept:
            refuse(self.name, "A_plus and A_minus", "0", "at least one of them more than 0", "It would never learn")
        return Rule(
            self.name, kept, self.traces(sets=sets), (), self.w_min, self.w_max, host=self.clearing(),
            clears=bool(self.clearing()), parameters=self.given(), source=source,
        )  # fmt: skip

    def clearing(self) -> tuple[HostOperation, ...]:
        """What happens between samples: nothing, or traces become 0."""
        if self.between_samples == "keep":
            return ()
        return (HostOperation("clear", "sample", "traces and eligibilities become 0"),)

    def amplitudes_in_weights(self) -> tuple[float, float]:
        """A_plus and A_minus as they enter the equation."""
        return self.A_plus, self.A_minus


@dataclass(frozen=True)
class AdditiveTimes(PairTimes):
    """Amplitudes in the unit of the weights.

    Attributes:
        amplitudes: ``absolute``: in the unit of the weights; ``relative``: parts of w_max, as in PyNN and NEST.
    """

    amplitudes: str = choice("absolute", "relative")

    def __post_init__(self) -> None:
        super().__post_init__()
        span = self.w_max - self.w_min
        for key, value in zip(("A_plus", "A_minus"), self.amplitudes_in_weights(), strict=True):
            if value < span:
                continue
            given = getattr(self, key)
            found = f"{given:g} ({self.amplitudes}), {value / span:.3g} times the range of the weights in one pair"
            fix = f"Make it smaller than {span / (value / given):g}"
            if self.amplitudes == "absolute" and given * self.w_max < span:
                fix = (
                    f"If it is meant relative to w_max, as in PyNN and NEST, write amplitudes = 'relative': "
                    f"{given:g} of w_max {self.w_max:g} is {given * self.w_max:g}"
                )
            refuse(self.name, key, found, f"less than w_max - w_min = {span:g}", fix)

    def amplitudes_in_weights(self) -> tuple[float, float]:
        """A_plus and A_minus in the unit of the weights."""
        unit = self.w_max if self.amplitudes == "relative" else 1.0
        return self.A_plus * unit, self.A_minus * unit


@dataclass(frozen=True)
class PairStdp(AdditiveTimes):
    """Additive pair STDP: ``w += A_plus * x`` at post spikes, ``w -= A_minus * y`` at pre spikes, clipped."""

    @property
    def name(self) -> str:
        """Name in the library."""
        return "pair-stdp"

    def rule(self) -> Rule:
        """The rule as a value."""
        return self.made((), (), "Song, Miller, Abbott, Nat. Neurosci. 3:919-926, 2000")


@dataclass(frozen=True)
class NearestStdp(AdditiveTimes):
    """Additive pair STDP in which only the nearest earlier spike of the other side counts: traces are set to 1."""

    @property
    def name(self) -> str:
        """Name in the library."""
        return "nearest-stdp"

    def rule(self) -> Rule:
        """The rule as a value."""
        source = "Morrison, Diesmann, Gerstner, Biol. Cybern. 98:459-478, 2008"
        return self.made((), (), source, sets=True)


@dataclass(frozen=True)
class MultiplicativeStdp(PairTimes):
    """Pair STDP that moves a part of the way: ``A_plus*(w_max - w)*x`` up, ``A_minus*(w - w_min)*y`` down.

    PyNN's MultiplicativeWeightDependence; amplitudes are parts of the way to the bound.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("A_plus", "A_minus"):
            if getattr(self, key) >= 1:
                fix = "It is a part of the way to the bound, not a weight"
                refuse(self.name, key, f"{getattr(self, key):g}", "0 to less than 1", fix)

    @property
    def name(self) -> str:
        """Name in the library."""
        return "multiplicative-stdp"

    def unit(self, key: str) -> str:
        """Amplitudes are parts of the way."""
        return "of the way to the bound" if key.startswith("A_") else super().unit(key)

    def rule(self) -> Rule:
        """The rule as a value."""
        up, down = Read("w", -1.0, self.w_max), Read("w", 1.0, -self.w_min)
        return self.made((up,), (down,), "van Rossum, Bi, Turrigiano, J. Neurosci. 20:8812-8821, 2000; PyNN")


@dataclass(frozen=True)
class SoftBoundStdp(MultiplicativeStdp):
    """Soft bounds: ``A_plus*(w_max - w)*x`` up, ``A_minus*w*y`` down; weights shrink towards 0, not w_min."""

    @property
    def name(self) -> str:
        """Name in the library."""
        return "soft-bound-stdp"

    def rule(self) -> Rule:
        """The rule as a value."""
        source = "Kistler, van Hemmen, Neural Comput. 12:385-405, 2000"
        return self.made((Read("w", -1.0, self.w_max),), (Read("w"),), source)


@dataclass(frozen=True)
class TripletStdp(Spec):
    """Triplet rule: ``w -= nu_pre * y`` at pre spikes, ``w += nu_post * x * y_slow(before)`` at post spikes.

    Traces are set to 1. y_slow counts without the post spike of this very step: counted with it, every post spike would
    potentiate as if another had just come.

    Attributes:
        nu_pre: learning rate of depression.
        nu_post: learning rate of potentiation.
        tau_plus: of x, the memory of pre spikes.
        tau_minus: of y, the fast memory of post spikes.
        tau_y: of y_slow.
        sum_weights: the host scales the weights into each neuron to this sum after each sample; 0 for not.
    """

    nu_pre: float = number(1e-4, "weight")
    nu_post: float = number(1e-2, "weight")
    tau_plus: float = positive(20.0, "time")
    tau_minus: float = positive(20.0, "time")
    tau_y: float = positive(40.0, "time")
    sum_weights: float = number(0.0, "weight")

    @property
    def name(self) -> str:
        """Name in the library."""
        return "triplet-stdp"

    def rule(self) -> Rule:
        """The rule as a value."""
        traces = (
            Trace("x", "pre", self.steps("tau_plus"), sets=True),
            Trace("y", "post", self.steps("tau_minus"), sets=True),
            Trace("y_slow", "post", self.steps("tau_y"), sets=True),
        )
        terms = (
            Term("nu_pre", "w", -self.nu_pre, "pre", (Read("y"),)),
            Term("nu_post", "w", self.nu_post, "post", (Read("x"), Read("y_slow", before=True))),
        )
        host: tuple[HostOperation, ...] = (
            HostOperation("label", "epoch", "each neuron gets the class that made it fire most"),
        )
        if self.sum_weights:
            text = f"scale the weights into each neuron to the sum {self.sum_weights:g}"
            host += (HostOperation("normalise", "sample", text, (("sum", self.sum_weights),)),)
        source = "Diehl, Cook, Front. Comput. Neurosci. 9:99, 2015"
        kept = tuple(term for term in terms if term.rate)
        if not kept:
            refuse(self.name, "nu_pre and nu_post", "0", "at least one of them more than 0", "It would never learn")
        return Rule(
            self.name, kept, traces, (), self.w_min, self.w_max, host=host, parameters=self.given(), source=source
        )
