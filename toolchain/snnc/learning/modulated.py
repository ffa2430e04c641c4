"""Rules that follow more than pairs of spikes: reward, decay in sleep, homeostasis, supervised S2-STDP."""

from __future__ import annotations

import math
from dataclasses import dataclass

from snnc.learning.pairs import PairTimes
from snnc.learning.rule import HostOperation, Read, Rule, Term, Third, Trace, Value, refuse
from snnc.learning.spec import Spec, choice, count, number, positive


@dataclass(frozen=True)
class RewardStdp(PairTimes):
    """Pairs write an eligibility e that fades; a reward from outside turns it into weight: ``w += rate*reward*e``.

    Attributes:
        tau_e: how long a pair is remembered.
        rate: learning rate of the reward.
        reward_max: largest magnitude of the reward.
    """

    tau_e: float = positive(100.0, "time")
    rate: float = positive(0.1, "")
    reward_max: float = positive(1.0, "")

    @property
    def name(self) -> str:
        """Name in the library."""
        return "reward-stdp"

    def rule(self) -> Rule:
        """The rule as a value."""
        if not (self.A_plus or self.A_minus):
            refuse(self.name, "A_plus and A_minus", "0", "at least one of them more than 0", "It would never learn")
        x, y = Read("x", before=self.coincident != "both"), Read("y", before=self.coincident == "none")
        terms = (
            Term("A_plus", "e", self.A_plus, "post", (x,)),
            Term("A_minus", "e", -self.A_minus, "pre", (y,)),
            Term("1 - exp(-1/tau_e)", "e", -(1.0 - math.exp(-1.0 / self.steps("tau_e"))), "step", (Read("e"),)),
            Term("rate", "w", self.rate, "step", (Read("reward"), Read("e"))),
        )
        host = (HostOperation("reward", "step", "reward of each neuron, such as +1 right, -1 wrong, 0 otherwise"),)
        return Rule(
            self.name,
            tuple(term for term in terms if term.rate),
            self.traces(),
            (Third("reward", self.reward_max),),
            self.w_min,
            self.w_max,
            host=(*host, *self.clearing()),
            clears=bool(self.clearing()),
            parameters=self.given(),
            source="Izhikevich, Cereb. Cortex 17:2443-2452, 2007; Fremaux, Gerstner, Front. Neural Circuits 9:85, 2016",
        )


@dataclass(frozen=True)
class WeightDecay(Spec):
    """In the phase ``sleep`` weights contract to a baseline: ``w -= rate * (w - baseline)`` in every ``every``-th step.

    Attributes:
        rate: part of the distance that goes each time.
        baseline: where weights end.
        every: steps between two changes.
        share: part of the time that the host gives to sleep.
    """

    rate: float = positive(0.01, "of the distance")
    baseline: float = number(0.0, "weight", -math.inf)
    every: int = count(1, "steps")
    share: float = number(0.1, "of the time")

    @property
    def name(self) -> str:
        """Name in the library."""
        return "weight-decay"

    def rule(self) -> Rule:
        """The rule as a value."""
        if self.rate >= 1 or self.share >= 1:
            refuse(self.name, "rate and share", f"{self.rate:g} and {self.share:g}", "less than 1 each")
        if not self.w_min <= self.baseline <= self.w_max:
            refuse(self.name, "baseline", f"{self.baseline:g}", f"w_min {self.w_min:g} to w_max {self.w_max:g}")
        reads = (Read("w", 1.0, -self.baseline),)
        terms = (Term("rate", "w", -self.rate, "step", reads, self.every, ("sleep",)),)
        text = f"sleep {self.share:.3g} of the time: inputs off, noise on, rule of this phase in force"
        host = (HostOperation("phase", "epoch", text, (("share", self.share),)),)
        phases = ("wake", "sleep", "test")
        source = "affine contraction to a baseline, after Massey's account of sleep"
        return Rule(
            self.name, terms, (), (), self.w_min, self.w_max, phases, host, parameters=self.given(), source=source
        )


@dataclass(frozen=True)
class Homeostasis(Spec):
    """Synaptic scaling: ``w += rate * w * (target - r)``, r the neuron's own firing rate over ``tau`` steps.

    Attributes:
        rate: learning rate.
        target: firing rate that each neuron seeks.
        tau: over which the firing rate is measured.
        every: steps between two changes.
    """

    rate: float = positive(0.01, "")
    target: float = positive(0.05, "spikes per step")
    tau: float = positive(100.0, "time")
    every: int = count(1, "steps")

    @property
    def name(self) -> str:
        """Name in the library."""
        return "homeostatic-scaling"

    def rule(self) -> Rule:
        """The rule as a value."""
        if self.target >= 1:
            refuse(self.name, "target", f"{self.target:g} spikes per step", "more than 0 to less than 1")
        tau = self.steps("tau")
        trace = Trace("r", "post", tau, jump=1.0 - math.exp(-1.0 / tau))
        reads = (Read("w"), Read("r", -1.0, self.target))
        terms = (Term("rate", "w", self.rate, "step", reads, self.every),)
        source = "Turrigiano, Leslie, Desai, Rutherford, Nelson, Nature 391:892-896, 1998; van Rossum et al. 2000"
        return Rule(self.name, terms, (trace,), (), self.w_min, self.w_max, parameters=self.given(), source=source)


@dataclass(frozen=True)
class S2Stdp(Spec):
    """Supervised: at a sample's end ``w += error * e``, ``e = A_plus`` if the input came first, else ``-A_minus``.

    Each neuron fires at most once a sample. Its error is its distance in time from where it should fire, and comes from
    the host (:func:`snnc.learning.host.s2_errors`).

    Attributes:
        A_plus: learning rate for inputs that fired at or before the neuron.
        A_minus: that for later and silent inputs, a magnitude.
        gap: distance in time that the host asks for between the neuron of the label and the others.
        t_max: steps of a sample.
        group: neurons of each class that compete; 1 for no competition.
        inhibition: what one spike takes from each neuron of its group, itself included, one step later. It is part of
            the network (recurrent weights), which is refused without it; 0 demands nothing.
        threshold_rate: how fast the training thresholds of a group move apart (see ``competition``).
        anneal: factor of all rates after each epoch.
        sum_weights: the host scales the absolute weights into each neuron to this sum; 0 for not.
    """

    w_min: float = number(-1.0, "weight", -math.inf)
    A_plus: float = number(0.1, "weight")
    A_minus: float = number(0.1, "weight")
    gap: float = number(4.0, "steps")
    t_max: int = count(16, "steps")
    group: int = count(1, "neurons")
    inhibition: float = number(0.0, "weight")
    threshold_rate: float = number(0.0, "threshold")
    anneal: float = positive(1.0, "")
    sum_weights: float = number(0.0, "weight")
    sum_rule: str = choice("L1", "L2")

    @property
    def name(self) -> str:
        """Name in the library."""
        return "s2-stdp"

    def rule(self) -> Rule:
        """The rule as a value."""
        if not self.A_plus + self.A_minus:
            refuse(self.name, "A_plus and A_minus", "0", "at least one of them more than 0", "It would never learn")
        terms = (
            Term("A_plus + A_minus", "e", self.A_plus + self.A_minus, "post", (Read("x"),)),
            Term("A_minus", "e", -self.A_minus, "post"),
            Term("error", "w", 1.0, "sample", (Read("error"), Read("e"))),
        )
        return Rule(
            self.name,
            tuple(term for term in terms if term.rate),
            (Trace("x", "pre", math.inf, sets=True),),
            (Third("error", unit="samples late"),),
            self.w_min,
            self.w_max,
            host=tuple(self._host()),
            clears=True,
            parameters=self.given(),
            source="Goupy, Tirilly, Bilasco, S2-STDP and neuronal competition groups, 2024",
        )

    def _host(self) -> list[HostOperation]:
        error = "error = (t - t_wanted)/t_max, t_wanted = T_mean - gap*(n-1)/n for the label, T_mean + gap/n for others"
        settings: tuple[tuple[str, Value], ...] = (("gap", self.gap), ("t_max", self.t_max), ("group", self.group))
        found = [
            HostOperation("error", "sample", error, settings),
            HostOperation(
                "error", "sample", "silent neurons write no e: the host adds error * A_plus to all of theirs"
            ),
            HostOperation("clear", "sample", "traces and eligibilities become 0"),
        ]
        if self.group > 1:
            m, rate = self.group, self.threshold_rate
            text = (
                f"groups of {m}: first spike wins; before a sample the training thresholds go to the group of its "
                f"label; after it the winner's rises by {rate:g}*({m}-1)/{m}, losers' fall by {rate:g}/{m}, not below "
                "the threshold of inference"
            )
            settings = (("group", m), ("threshold_rate", rate))
            found.append(HostOperation("threshold", "sample", text, settings))
            text = "the training thresholds become the threshold of inference again"
            found.append(HostOperation("threshold", "epoch", text, settings))
        if self.sum_weights:
            text = f"scale the weights into each neuron to the {self.sum_rule} norm {self.sum_weights:g}"
            found.append(
                HostOperation("normalise", "sample", text, (("sum", self.sum_weights), ("norm", self.sum_rule)))
            )
        if self.anneal != 1:
            found.append(HostOperation("anneal", "epoch", f"rates times {self.anneal:g}", (("factor", self.anneal),)))
        return found
