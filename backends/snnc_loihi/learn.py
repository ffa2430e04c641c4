"""Networks that learn in Lava itself: one input, LearningDense, LIF; samples one after the other in one run.

Lava is started once for all samples, and its generators cannot be put back, so there are no checkpoints here. The
reference executes the same integers sample by sample (``snnc learn run --backend reference``), equal to this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.backend import Teacher, discover
from snnc.errors import InputError, TraceError, UnsupportedError, Violation
from snnc.ir import FixedGraph, FloatArray, Graph, IntArray
from snnc.ir.graph import Network
from snnc.learning import LearningConfig
from snnc.learning.account import Rounding
from snnc.learning.plastic import Plastic, bind_fixed, device_weights, with_weights
from snnc.learning.saturation import Saturation, on_loihi
from snnc.learning.session import Learner, State
from snnc.trace import Probes, Trace
from snnc_loihi import compat
from snnc_loihi.lowering import plan_of
from snnc_loihi.plan import UNIT_BITS, Plan, Source

SEED = 2
"""Lava's, of weight rounding."""
BY = "the reference, whose integers equal Lava's weight for weight"


class LavaLearner:
    """A network that learns in Lava.

    Args:
        fixed: integers of loihi1 or loihi2.
        plastic: what learns, bound to them.
        seed: of the traces' rounding; None takes the rules' own.
        twin: makes the reference's learner of the same integers.

    Attributes:
        samples: how many were learned from.
        history: projection -> device steps after every step of the last course, [samples * (T + depth), post, pre].

    Raises:
        InputError: weights are not rounded with Lava's seed.
        UnsupportedError: a network or rule that needs the host under way.
    """

    def __init__(
        self,
        fixed: FixedGraph,
        plastic: tuple[Plastic, ...],
        seed: int | None = None,
        twin: Callable[[], Learner] | None = None,
    ) -> None:
        self.twin = twin
        self.plastic = {one.projection: one for one in plastic}
        self._fixed, self._plan = fixed, plan_of(fixed)
        found = [*_network_violations(self._plan), *(v for one in plastic for v in _rule_violations(one, self._plan))]
        if found:
            fix = "the reference executes the same integers (--backend reference)"
            raise UnsupportedError(f"this does not learn in one run of Lava; {fix}", violations=tuple(found))
        for one in plastic:
            if one.options.parity != "lava":
                found_text = f"{one.options.weight_seed} for weights"
                fix = 'Write parity = "lava" in [learning]: then both round alike'
                raise InputError.of(
                    Violation(one.projection, "seed", found_text, f"{SEED}, which Lava always uses", fix)
                )
        self._seed = seed
        self.raw = {one.projection: device_weights(fixed, one) for one in plastic}
        self.history: dict[str, IntArray] = {}
        self._full: dict[str, dict[str, int]] = {}
        self.samples = 0

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases of all rules; Lava learns in the first."""
        return tuple(dict.fromkeys(phase for one in self.plastic.values() for phase in one.rule.phases))

    @property
    def weights(self) -> dict[str, FloatArray]:
        """Projection -> [post, pre], in the float network's unit."""
        return {name: np.asarray(raw * self.plastic[name].step, dtype=np.float64) for name, raw in self.raw.items()}

    @property
    def saturations(self) -> tuple[Saturation, ...]:
        """What ran into an end of its range in the last course."""
        return tuple(
            found
            for name, one in self.plastic.items()
            for found in on_loihi(one, self.raw[name], _engine(one).bounds, self._full.get(name, {}))
        )

    @property
    def network(self) -> Network:
        """The integers with the weights of now."""
        found: Network = self._fixed
        for name, one in self.plastic.items():
            found = with_weights(found, one, self.raw[name])
        return found

    def course(self, spikes: npt.NDArray[Any]) -> Trace:
        """Learns from all samples [B, T, *shape], from the start, in one run of Lava.

        Returns:
            Spikes of all populations in logical time.

        Raises:
            SnncError: Lava is missing or one of its processes failed.
        """
        compat.activate()
        from snnc_loihi.sim.learning import Taught, course

        given = np.asarray(spikes)
        shape = self._fixed.inputs[0].shape
        if given.ndim != len(shape) + 2 or given.shape[2:] != shape or not np.all((given == 0) | (given == 1)):
            raise TraceError(f"samples are {given.shape}, allowed are 0 and 1 of [B, T, *{shape}]")
        taught = {}
        for name, one in self.plastic.items():
            rule = _engine(one)
            seeds = rule.seeds if self._seed is None else replace(rule.seeds, traces=self._seed)
            taught[name] = Taught(replace(rule, seeds=seeds), device_weights(self._fixed, one), one.up - UNIT_BITS)
        with compat.quiet():
            self.history, fired, self._full = course(self._plan, taught, given.astype(np.int8))
        self.raw = {name: steps[-1] for name, steps in self.history.items()}
        self.samples = len(given)
        batch, steps = given.shape[:2]
        spikes_of = {self._fixed.inputs[0].name: given.astype(np.int8)}
        for cells in self._plan.populations:
            rows = fired[cells.name].reshape(batch, steps + self._plan.depth, *cells.shape)
            spikes_of[cells.name] = rows[:, cells.latency : cells.latency + steps].astype(np.int8)
        return Trace("loihi", self._fixed.target, spikes_of)

    def evaluate(self, spikes: npt.NDArray[Any], probes: Probes | None = None) -> Trace:
        """Runs samples with the weights of now on the reference; nothing learns."""
        return discover().reference.execute(self.network, spikes, probes or Probes())

    def sample(self, *_: Any, **__: Any) -> Trace:
        """Lava learns from all samples in one run.

        Raises:
            UnsupportedError: always; use :meth:`course`.
        """
        raise UnsupportedError("Lava learns from all samples in one run (course), not from one after the other")

    def end_epoch(self) -> None:
        """Nothing happens between passes."""

    def set_weights(self, projection: str, *_: Any, **__: Any) -> None:
        """Not while Lava runs.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(f"{projection}: the host does not write weights while Lava runs; use the reference")

    def set_thresholds(self, population: str, *_: Any, **__: Any) -> None:
        """Not while Lava runs.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(f"{population}: the host does not write thresholds while Lava runs; use the reference")

    def state(self) -> State:
        """There is none to save.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError("Lava's generators cannot be saved: no checkpoints here; use --backend reference")

    def restore(self, *_: Any, **__: Any) -> None:
        """There is none to restore.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError("Lava's generators cannot be put back: no checkpoints here; use --backend reference")


def learner(
    graph: Graph,
    fixed: FixedGraph | None,
    scales: Mapping[str, FloatArray],
    learning: Iterable[LearningConfig],
    *,
    seed: int | None = None,
    rounding: Rounding | None = None,
) -> LavaLearner:
    """A network that learns in Lava; see :class:`snnc.backend.Teacher`.

    Raises:
        InputError: another rounding than the chip's, or no integers.
    """
    if fixed is None or rounding not in (None, "stochastic"):
        raise InputError("Lava learns in integers and rounds stochastically; the reference has other ways to round")
    registry, configs = discover(), tuple(learning)
    teacher = registry.reference
    assert isinstance(teacher, Teacher)
    plastic = bind_fixed(fixed, scales, configs, registry.target(fixed.target)[1].learning)
    return LavaLearner(fixed, plastic, seed, lambda: teacher.learner(graph, fixed, scales, configs, seed=seed))


def learning_drift(
    learner: LavaLearner, samples: Iterable[tuple[npt.NDArray[Any], int | None]], phase: str | None = None
) -> Mapping[str, Any]:
    """Drift of the reference's run of the same integers, which Lava's equal; see :class:`snnc.backend.Drifting`."""
    if learner.twin is None:
        return {}
    found = discover().reference.learning_drift(learner.twin(), samples, phase)
    return {name: {**one, "by": BY} for name, one in found.items()}


def _engine(one: Plastic) -> Any:
    assert one.account is not None
    return one.account.engine[one.rule.phases[0]]


def _network_violations(plan: Plan) -> Iterator[Violation]:
    """One step from the input to every population, and no bias: nothing of a sample is left when the next begins."""
    sources = {one.name for one in plan.sources if not one.constant}
    for one in plan.synapses:
        source = plan.population(one.source)
        if not isinstance(source, Source) or one.source not in sources or one.delay != 1:
            found = f"{one.source}, {one.delay} steps"
            yield Violation(one.name, "source", found, "the input, one step", "One layer learns in Lava live")
    for cell in plan.populations:
        bias = cell.bias_mant if cell.code is None else cell.code.bias
        start = 0 if cell.code is None else cell.code.v_init
        if np.any(bias) or np.any(start):
            yield Violation(cell.name, "bias or v_init", "not 0", "0", "Between samples the neurons must stay silent")


def _rule_violations(one: Plastic, plan: Plan) -> Iterator[Violation]:
    rule = _engine(one)
    if rule is None:
        yield Violation(one.projection, "rule", "nothing learns in its first phase", "one that learns there")
    elif rule.third_factors:
        yield Violation(one.projection, "third factors", "written by the host in each step", "none")
    if one.projection not in {synapses.name for synapses in plan.synapses}:
        yield Violation(one.projection, "synapses", "shared or none", "one connection of their own")
    for operation in one.rule.host:
        if operation.when != "epoch":
            yield Violation(one.projection, "host operation", f"{operation.kind}, each {operation.when}", "none")
    if one.rule.clears:
        yield Violation(one.projection, "traces", "cleared after each sample", "kept")
