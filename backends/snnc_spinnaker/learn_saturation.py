"""What saturates on SpiNNaker while a network learns: sums of rings, traces of 16 bits, weights on their bounds."""

from __future__ import annotations

from collections.abc import Iterator

from snnc.learning.saturation import Saturation, bounded
from snnc_spinnaker.learn import Learning, Plastic
from snnc_spinnaker.learn_run import LearningCore, LearningRun
from snnc_spinnaker.ring import LIMIT

ENTRIES = f"ring entries (neuron and step) cut to {LIMIT}"
ADDITIONS = f"ring additions cut to {LIMIT}"
"""What the programs count: each row that comes after the entry is full, so that there are more of them."""
RECEPTORS = ("excitatory", "inhibitory")


def saturations(learning: Learning, run: LearningRun) -> Iterator[Saturation]:
    """Everything that the emulator counts, since it was loaded.

    Args:
        learning: the network.
        run: the machine.
    """
    yield from rings(learning, run)
    for one in learning.plastic:
        wrapped = int(run.blocks[one.name].wrapped[0])
        yield _wrapped(one.name, "pre", wrapped, one)
    targets = {one.target: one for one in learning.plastic}
    for name, one in targets.items():
        core = run.cores[name]
        assert isinstance(core, LearningCore)
        yield _wrapped(name, "post", int(core.posts.wrapped[0]), one)
    yield from weights(learning, run)


def rings(learning: Learning, run: LearningRun) -> Iterator[Saturation]:
    """Ring entries that each projection brought to their end."""
    names = {one.number: one.name for one in learning.plastic}
    for number, projection in enumerate(learning.machine.projections):
        static = f"{projection.source} to {projection.target}, {RECEPTORS[projection.receptor]}"
        yield cut(names.get(number, static), projection.target, ENTRIES, int(run.cut[number]))


def cut(where: str, target: str, what: str, count: int) -> Saturation:
    """Sums of rings that reached their end.

    Args:
        where: projection, or population.
        target: population behind the ring.
        what: was counted.
        count: how often.
    """
    return Saturation(
        where, what, count, None, f"neurons of {target} receive less than the weights say",
        "Compile with --data as busy as what the network learns from, or lower w_max",
    )  # fmt: skip


def weights(learning: Learning, run: LearningRun) -> Iterator[Saturation]:
    """Weights that lie on a bound of their rule."""
    for one in learning.plastic:
        shift = one.rule.shift[0]
        low, high = -(-int(one.rule.bounds[0, 0]) >> shift), int(one.rule.bounds[0, 1]) >> shift
        yield bounded(one.name, run.blocks[one.name].weight, low, high)


def _wrapped(where: str, side: str, count: int, one: Plastic) -> Saturation:
    tau = {"pre": "tau_plus", "post": "tau_minus"}[side]
    (rate,) = (r.rate for r in one.account.registers if r.holds == {"pre": "x", "post": "y"}[side])
    return Saturation(
        where, f"traces of {side} neurons that wrapped beyond 16 bits", count, None,
        "they turn negative, and pairs move weights the wrong way",
        f"Shorten {tau}: no trace wraps below {rate:.3g} regular spikes per step",
    )  # fmt: skip
