"""What a user has to know of a rule on a chip, in sentences with numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from snnc.learning.account import LearningAccount, LearningOptions, Rate
from snnc.learning.rule import Rule, Term

HALF = 0.5
NOTABLE = 0.02
LARGE_CHANGE = 255.0


def notes(rule: Rule, account: LearningAccount) -> Iterator[str]:
    """How the rule is carried out."""
    for rate in account.rates:
        if rate.shift:
            what = "made up for in the constant" if rate.compensated else "not made up for"
            yield f"{rate.term}: the chip divides {rate.written} by {1 << rate.shift} without saying so; {what}"
    made = next((made for made in account.engine.values() if made is not None), None)
    if made is not None:
        low, high = made.bounds
        span = f"{low} to {high} steps" + (
            f" ({low * account.unit:.4g} to {high * account.unit:.4g})" if account.unit else ""
        )
        yield f"weights are integers, {span}, traces 0 to 127; both are rounded stochastically"
    steps = {term.every for term in (account.device or rule).terms if term.event == "step"}
    asked = {term.every for term in rule.terms if term.event == "step"}
    for period in sorted(steps - asked):
        yield f"what happens in every step of the rule is applied every {period} steps, with rates for {period} steps"
    fed = [register for register in account.registers if register.port]
    if fed:
        held = ", ".join(f"{r.name} = {r.holds}{' (a step late)' if r.late else ''}" for r in fed)
        yield f"written to the synapses' ports in each step: {held}"
    if any(term.event == "sample" for term in rule.terms):
        yield "changes at a sample's end: third factors are 0 in all other steps, and that switches the sum off"
    if any(r.tau >= 2.0**24 for r in account.registers if not r.port):
        yield "a trace that never decays gets the longest tau that the simulator takes; the host clears it"
    learning = [phase for phase, engine in account.engine.items() if engine is not None]
    if len(learning) < len(account.engine):
        still = ", ".join(phase for phase in account.engine if phase not in learning)
        yield f"learns in {', '.join(learning)}; in {still} the host loads no rule"
    elif len(set(account.engine.values())) > 1:
        yield f"the host swaps the rule between the phases {', '.join(account.engine)}"


def warnings(rule: Rule, account: LearningAccount, options: LearningOptions) -> Iterator[str]:
    """What will hurt."""
    for rate in account.rates:
        if abs(rate.error) >= NOTABLE:
            hidden = " (hidden factor included)" if rate.shift and not rate.compensated else ""
            yield f"{rate.term}: {rate.asked:.4g} becomes {rate.got:.4g}, {100 * rate.error:+.1f} %{hidden}"
        if rate.step > LARGE_CHANGE:
            yield f"{rate.term}: one event may move a weight by {rate.step:.3g} steps, over the whole range of 255"
    yield from _bounds(rule, account)
    yield from _coincidences(rule, account)
    if account.t_epoch > 1 and any(term.event in ("pre", "post") for term in rule.terms):
        yield f"of several spikes of a neuron within t_epoch = {account.t_epoch} steps only the last keeps its time"
    if options.rounding != "stochastic":
        yield "the chip rounds weights stochastically; what follows holds where rounding can be chosen (generic)"
        yield from stalls(rule, account, options.rounding)


def _crosses(rule: Rule, key: str) -> bool:
    """Whether a term may push a weight beyond its bound; soft bounds, and decay to a baseline inside, do not."""
    bound, outward = getattr(rule, key), 1.0 if key == "w_max" else -1.0
    positive = {trace.name for trace in rule.traces}
    for term in (one for one in rule.terms if one.change == "w"):
        push, known = term.rate * outward, True
        for read in term.reads:
            if read.variable == "w":
                push *= read.offset + read.scale * bound
            elif read.variable in positive and not read.offset:
                push *= read.scale
            else:
                known = False
        if push > 0 or (push and not known):
            return True
    return False


def _bounds(rule: Rule, account: LearningAccount) -> Iterator[str]:
    device = account.device
    if device is None or rule.written is not None:
        return
    for key in ("w_min", "w_max"):
        wanted, got = getattr(rule, key), getattr(device, key)
        if math.isfinite(wanted) and abs(wanted - got) > 3 * account.unit and _crosses(rule, key):
            yield f"{key} is {wanted:g}, but the chip clips at {got:.4g}: the host has to clip"


def _coincidences(rule: Rule, account: LearningAccount) -> Iterator[str]:
    if account.device is None:
        return
    wanted = {read.variable for term in rule.terms for read in term.reads if read.before}
    got = {read.variable for term in account.device.terms for read in term.reads if read.before}
    if wanted != got:
        names = ", ".join(sorted(wanted ^ got))
        yield f"a pre and a post spike in one step: {names} is read with this step's spikes, against the rule"


def stalls(rule: Rule, account: LearningAccount, rounding: str) -> Iterator[str]:
    """Rates whose changes rounding swallows.

    Nearest rounding loses every change of less than half a device step; floor turns each small rise into nothing and
    each small fall into a whole step, and a decay stops ``1/rate`` steps short of a baseline below.
    """
    terms = {term.name: term for term in rule.terms}
    for rate in account.rates:
        term = terms.get(rate.term)
        if term is None or term.change != "w":
            continue
        if term.event == "step" and any(read.variable == "w" for read in term.reads):
            yield from _decay_stalls(rate, rounding)
        elif rounding == "nearest" and rate.step < HALF:
            yield (
                f"{rate.term}: one pair moves a weight by {rate.step:.3g} steps at most; nearest rounding makes that "
                "0, so that this term never learns. Round stochastically, enlarge the rate, or give a smaller unit"
            )
        elif rounding == "nearest":
            yield from _lost_pairs(rule, term, rate)
        elif rate.got > 0 and rate.step < 1:
            yield f"{rate.term}: one pair raises a weight by {rate.step:.3g} steps at most; floor makes that 0"
        elif rate.got < 0:
            yield f"{rate.term}: floor makes every fall, however small, a whole step"


def _decay_stalls(rate: Rate, rounding: str) -> Iterator[str]:
    part = abs(rate.got)
    short = (HALF if rounding == "nearest" else 1.0) / part if part else math.inf
    yield f"{rate.term}: with {rounding} rounding the weights stall up to {short:.3g} steps away from where they end"


def _lost_pairs(rule: Rule, term: Term, rate: Rate) -> Iterator[str]:
    third = next((third for read in term.reads for third in rule.thirds if third.name == read.variable), None)
    if third is not None:
        if rate.got > 0:
            least = HALF / rate.step * third.full
            yield (
                f"{rate.term}: with nearest rounding values of {third.name} below {least:.3g} change nothing. "
                "Round stochastically, or enlarge the rate"
            )
        return
    taus = [trace.tau for read in term.reads for trace in rule.traces if trace.name == read.variable]
    if taus and math.isfinite(taus[0]) and rate.step < LARGE_CHANGE:
        reach = taus[0] * math.log(rate.step / HALF)
        yield f"{rate.term}: with nearest rounding pairs more than {reach:.3g} steps apart change nothing"
