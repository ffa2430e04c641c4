"""A rule to Loihi's learning engine: registers, impulses, epoch, constants, and what all that costs.

:func:`lower_rule` chooses impulses such that no trace saturates below the asked firing rate and the rates come close to
constants that exist, makes up for the hidden factor ``2**-(sum of widths - 11)`` of products, and reports the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from snnc.errors import InputError, Violation
from snnc.ir import PlasticityRule, Product, SynapticTrace
from snnc.ir.learning import BOUNDS, Sign
from snnc.learning.account import EPOCH_MAX, LearningAccount, LearningOptions, Rate, Register
from snnc.learning.fitting import LARGEST, TAG_STEPS, TINIEST, Fit, Key, Scales, fit_term, per_period, split
from snnc.learning.registers import FULL, assigned, highest, scale
from snnc.learning.remarks import notes, warnings
from snnc.learning.rule import Rule, Term

GOOD = 0.03
"""Relative error with which a period is taken without looking at longer ones."""
GAIN = 0.005
"""What the sum of relative errors must gain before a smaller impulse is worth its coarser trace."""
LEAST = 10
LONGER = 0.05
"""Relative error that a period must gain for each doubling."""
QUARTER = 0.25
KEEP = 0.75
TAG_TRIES = 64
STEPS = 254
PERIODS = 10


@dataclass(frozen=True)
class Plan:
    """Everything that is chosen."""

    registers: Mapping[Key, Register]
    fits: tuple[Fit, ...]
    t_epoch: int
    period: int

    @property
    def worst(self) -> float:
        """Largest relative error of a rate; 1 if one does not exist."""
        return max((fit.misfit for fit in self.fits), default=0.0)

    @property
    def total(self) -> float:
        """Sum of all relative errors."""
        return sum(fit.misfit for fit in self.fits)


def lower_rule(rule: Rule, options: LearningOptions | None = None, target: str = "loihi1") -> LearningAccount:
    """What Loihi's learning engine makes of a rule.

    Args:
        rule: in float units; rules written as products are taken as they stand.
        options: unit of the weights, epoch, seeds and so on.
        target: name for messages.

    Returns:
        The account; ``engine`` has one :class:`snnc.ir.PlasticityRule` for each phase.

    Raises:
        InputError: a rate quantises to zero or is too large, a signed rule meets unsigned weights, or bounds are
            missing; says the numbers.
        UnsupportedError: more traces or third factors than the chip has, or events that it does not know.
    """
    options = options or LearningOptions()
    if rule.written is not None:
        return _as_written(rule, rule.written, options, target)
    sign = _sign(rule, options, target)
    unit = options.unit or _unit(rule, target)
    registers = assigned(rule, options.max_rate, target)
    plan = _planned(rule, registers, unit, options)
    _demand(rule, plan, unit, target)
    device = _device(rule, plan, unit, sign)
    account = LearningAccount(
        target,
        native=True,
        device=device,
        unit=unit,
        t_epoch=plan.t_epoch,
        rates=tuple(fit.rate for fit in plan.fits),
        registers=tuple(plan.registers.values()),
        engine={phase: _engine(plan, phase, sign, options) for phase in rule.phases},
        host=rule.host,
    )
    return replace(account, notes=tuple(notes(rule, account)), warnings=tuple(warnings(rule, account, options)))


def _sign(rule: Rule, options: LearningOptions, target: str) -> Sign:
    found: Sign = "excitatory" if rule.w_min >= 0 else "inhibitory" if rule.w_max <= 0 else "mixed"
    if options.sign not in ("", "mixed", found):
        broken = f"w_min {rule.w_min:g} to w_max {rule.w_max:g}"
        fix = f"The rule moves weights over zero: store {found} weights, or set w_min = 0"
        raise InputError.of(Violation(f"rule {rule.name} on {target}", "sign", broken, f"{options.sign} weights", fix))
    return options.sign or found


def _unit(rule: Rule, target: str) -> float:
    largest = max(abs(rule.w_min), abs(rule.w_max))
    if not math.isfinite(largest):
        fix = "Set both, or say the float weight of one device step (unit)"
        raise InputError.of(Violation(f"rule {rule.name} on {target}", "w_min and w_max", "infinite", "finite", fix))
    return largest / STEPS


def _planned(rule: Rule, registers: dict[Key, Register], unit: float, options: LearningOptions) -> Plan:
    """The first period whose rates are close, or else the one that is best for its length."""
    best: Plan | None = None
    least = math.inf
    for tries, (t_epoch, period) in enumerate(_periods(rule, options.t_epoch)):
        plan = _fitted(rule, registers, unit, options.compensate, t_epoch, period)
        if best is not None and _fades(rule, t_epoch << period):
            break
        cost = plan.worst + LONGER * tries
        if cost < least:
            best, least = plan, cost
        if plan.worst <= GOOD:
            break
    assert best is not None
    return best


def _fades(rule: Rule, period: int) -> bool:
    """Whether a period is so long that more than a quarter of something decays in one jump."""
    own = [t for t in rule.terms if t.event == "step" and len(t.reads) == 1 and t.reads[0].variable == t.change]
    return any(abs(per_period(term, period)) > QUARTER for term in own)


def _periods(rule: Rule, t_epoch: int) -> Iterator[tuple[int, int]]:
    """(t_epoch, K) to try: short epochs keep spike times; the period of step terms comes close to what is asked."""
    every = [term.every for term in rule.terms if term.event == "step"]
    timed = any(term.event != "step" for term in rule.terms)
    if not every or any(term.event == "sample" for term in rule.terms):
        yield t_epoch or 1, 0
        return
    least = min(every)
    first = next(k for k in range(PERIODS + 10) if least >> k <= EPOCH_MAX)
    chosen = t_epoch or (1 if timed else round(least / 2**first))
    start = min(range(PERIODS), key=lambda k: abs(math.log2((chosen << k) / least)))
    for k in range(start, PERIODS):
        yield chosen, k


def _fitted(
    rule: Rule, registers: dict[Key, Register], unit: float, compensate: bool, t_epoch: int, period: int
) -> Plan:
    """Tries smaller impulses, one trace after the other, and keeps one where it brings the rates clearly closer."""

    def made(choice: dict[Key, Register], tag: float) -> Plan:
        scales = Scales(unit, _tag_scale(rule, tag), {key: scale(rule, r) for key, r in choice.items()})
        fits = []
        for term in rule.terms:
            rate = per_period(term, t_epoch << period) if term.event == "step" else term.rate
            every = t_epoch << period if term.event == "step" else 1
            for part, keys in split(rule, replace(term, rate=rate, every=every)):
                fits.append(fit_term(part, keys, choice, scales, period, compensate))
        return Plan(choice, tuple(fits), t_epoch, period)

    decays = {trace.name: trace.decay for trace in rule.traces if not trace.sets}
    most_tag = float(FULL - 31 if rule.clears else TAG_STEPS)
    tag = most_tag
    best = made(dict(registers), tag)
    for part in range(1, TAG_TRIES) if rule.tagged else ():
        tried = most_tag * (1.0 - (1.0 - KEEP) * part / TAG_TRIES)
        plan = made(dict(registers), tried)
        if plan.total < best.total - GAIN:
            best, tag = plan, tried
    for key, register in registers.items():
        if key[0] not in decays:
            continue
        for impulse in range(int(register.impulse) - 1, LEAST - 1, -1):
            smaller = replace(register, impulse=impulse, rate=highest(impulse, decays[key[0]]))
            plan = made({**best.registers, key: smaller}, tag)
            if plan.total < best.total - GAIN:
                best = plan
    return best


def _tag_scale(rule: Rule, steps: float) -> float:
    """Device steps per unit of e: the largest change of one pair takes ``steps``."""
    jumps = {trace.name: trace.jump for trace in rule.traces}
    sizes = [
        abs(term.rate) * math.prod(jumps.get(read.variable, 1.0) for read in term.reads)
        for term in rule.terms
        if term.change == "e" and term.event in ("pre", "post")
    ]
    return steps / max(sizes, default=1.0)


def _demand(rule: Rule, plan: Plan, unit: float, target: str) -> None:
    """Refuses rates that the chip does not have, with the numbers that would be."""
    broken = []
    for fit in plan.fits:
        if fit.product is not None:
            continue
        size = abs(float(fit.rate.written.split("*", 1)[0]))
        small = size < TINIEST
        limit = TINIEST if small else LARGEST
        needed = abs(fit.term.rate or fit.rate.asked) * limit / size
        found = (
            f"{abs(fit.rate.asked):.3g}, on the chip {fit.rate.written}, which {'is zero' if small else 'overflows'}"
        )
        allowed = f"at {'least' if small else 'most'} {needed:.3g} (a constant of {limit:g}) where a step is {unit:.3g}"
        fix = "Raise it, lower w_max, or give a smaller unit" if small else "Lower it, or give a larger unit"
        if fit.term.event == "step" and small:
            fix += "; or apply it less often (every)"
        broken.append(Violation(f"rule {rule.name} on {target}", f"rate {fit.rate.term}", found, allowed, fix))
    if broken:
        raise InputError.of(*broken)


def _device(rule: Rule, plan: Plan, unit: float, sign: Sign) -> Rule:
    """The float rule that the chip follows: both parts of a signed third factor are one again."""
    seen: dict[tuple[str, str], Term] = {}
    for fit in plan.fits:
        reads = tuple(
            read if any(t.name == read.variable and t.side == fit.term.event for t in rule.traces) else
            replace(read, before=False)
            for read in fit.term.reads
        )  # fmt: skip
        seen.setdefault((fit.term.name, fit.term.event), replace(fit.term, reads=reads))
    low, high = BOUNDS[sign]
    return replace(rule, terms=tuple(seen.values()), w_min=low * unit, w_max=high * unit)


def _engine(plan: Plan, phase: str, sign: Sign, options: LearningOptions) -> PlasticityRule | None:
    sums: dict[str, list[Product]] = {"w": [], "e": []}
    for fit in plan.fits:
        if phase in fit.term.phases and fit.product is not None:
            sums[fit.term.change].append(fit.product)
    if not any(sums.values()):
        return None
    traces = {r.name: SynapticTrace(r.impulse, r.tau) for r in plan.registers.values() if not r.port}
    return PlasticityRule(
        dw=tuple(sums["w"]),
        dt=tuple(sums["e"]),
        t_epoch=plan.t_epoch,
        third_factors=any(r.port for r in plan.registers.values()),
        sign=sign,
        seeds=options.seeds,
        **traces,  # type: ignore[arg-type]
    )


def _as_written(rule: Rule, made: PlasticityRule, options: LearningOptions, target: str) -> LearningAccount:
    """Products that a user wrote: nothing is changed, hidden factors are reported."""
    if options.t_epoch not in (0, made.t_epoch):
        found = f"{options.t_epoch} and {made.t_epoch}"
        raise InputError.of(Violation(f"rule {rule.name} on {target}", "t_epoch", found, "one number in both places"))
    made = replace(made, seeds=options.seeds)
    products = [product for key in ("dw", "dt") for product in made.sums[key]]
    rates = tuple(
        Rate(term.name, term.rate, term.rate * 2.0**-product.shift, str(product), product.shift)
        for term, product in zip(rule.terms, products, strict=True)
    )
    registers = tuple(
        Register(name, name, trace.impulse, trace.tau, FULL, highest(trace.impulse, trace.decay))
        for name in sorted(made.reads)
        for trace in (made.trace(name),)
    )
    terms = tuple(replace(term, rate=rate.got) for term, rate in zip(rule.terms, rates, strict=True))
    account = LearningAccount(
        target,
        native=True,
        device=replace(rule, terms=terms),
        unit=1.0,
        t_epoch=made.t_epoch,
        rates=rates,
        registers=registers,
        engine={rule.phases[0]: made, **dict.fromkeys(rule.phases[1:])},
        host=rule.host,
    )
    return replace(account, notes=tuple(notes(rule, account)), warnings=tuple(warnings(rule, account, options)))
