"""How far integers drift from the float rule while they learn, and which part of it comes from where.

Three float executions lie between the rule and the chip's integers, each with one more of the chip's ways: the rule as
written; with the chip's rates and constants; with its traces clipped as well; and the integers, which round.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from snnc.errors import UnsupportedError, Violation
from snnc.ir import FloatArray, IntArray
from snnc.learning.account import LearningAccount, Rounding
from snnc.learning.drift import Course, Drift
from snnc.learning.ports import Ports
from snnc.learning.rule import Rule
from snnc_reference.learning_chip import ChipLearning
from snnc_reference.learning_rules import RuleLearning

CAUSES = {
    "rates": "the chip's rates, constants and reading of coincidences",
    "saturation": "traces of 7 bits that end at 127",
    "rounding": "traces and weights rounded to integers",
}


def drift(
    rule: Rule,
    account: LearningAccount,
    weights: IntArray,
    pre: npt.NDArray[np.integer],
    post: npt.NDArray[np.integer],
    third: Mapping[str, FloatArray] | None = None,
    sample: int = 0,
    rounding: Rounding = "stochastic",
) -> Drift:
    """Lets all executions learn from the same spikes.

    Args:
        rule: as written.
        account: what a target with Loihi's engine makes of it.
        weights: [post, pre] device steps to start from, even where they are mixed in sign.
        pre: [T, pre] spikes.
        post: [T, post] spikes.
        third: third factors by name, [T, post].
        sample: steps of a sample, for rules with changes at its end (the third factors of its last step count there)
            and for those whose traces are cleared there; 0: the end of a sample is nothing special.
        rounding: of integer weights; chips round stochastically.

    Raises:
        UnsupportedError: the target has no such engine, or nothing learns in the rule's first phase.
    """
    engine = account.engine.get(rule.phases[0])
    if engine is None or account.device is None:
        found = f"{account.target}, phase {rule.phases[0]}"
        raise UnsupportedError.of(Violation(f"drift of {rule.name}", "integers", found, "a target with Loihi's engine"))
    begin: FloatArray = np.asarray(weights, dtype=np.float64) * account.unit
    floats = [RuleLearning(rule, begin), RuleLearning(account.device, begin)]
    floats.append(RuleLearning(account.device, begin, _limits(rule, account)))
    integers = ChipLearning(engine, weights, rounding)
    ports = Ports(account, len(begin)) if engine.third_factors else None
    course = Course(tuple(CAUSES), begin, account.unit)
    late = any(term.event == "sample" for term in rule.active(rule.phases[0]))
    for t in range(len(pre)):
        now = {name: values[t] for name, values in (third or {}).items()}
        ends = sample > 0 and t % sample == sample - 1
        during = {} if sample and late else now
        for one in floats:
            one.step(pre[t], post[t], during)
            if ends:
                one.end_sample(now)
        integers.step(pre[t], post[t], None if ports is None else ports.step(post[t], during))
        if ends:
            _end(integers, ports, now if late else None, clears=rule.clears)
        course.add([*(one.weights for one in floats), integers.weights * account.unit])
    return course.found()


def _limits(rule: Rule, account: LearningAccount) -> dict[str, float]:
    """Largest values of the traces on the chip, in the rule's units."""
    jumps = {trace.name: trace.jump for trace in rule.traces}
    return {r.holds: jumps[r.holds] * r.full / r.impulse for r in account.registers if r.holds in jumps}


def _end(integers: ChipLearning, ports: Ports | None, now: Mapping[str, FloatArray] | None, *, clears: bool) -> None:
    """Silent steps until an epoch is full, in which third factors reach the synapses; then what is cleared."""
    post, pre = integers.weights.shape
    nothing = np.zeros(post, dtype=np.int64)
    while now is not None:
        third = None if ports is None else ports.step(nothing, now)
        integers.step(np.zeros(pre, dtype=np.int64), nothing, third)
        if integers.steps % integers.rule.t_epoch == 0:
            break
    if clears:
        integers.clear()
        if ports is not None:
            ports.clear()
