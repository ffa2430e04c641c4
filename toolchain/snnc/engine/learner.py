"""Networks that learn on Loihi's integers, sample after sample, in the fast engine.

The protocol is :class:`snnc.learning.session.Learner`. In a phase in which nothing of a rule is active its synapses
stay as they are, traces and random numbers included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.engine import params
from snnc.engine.choice import Engine
from snnc.engine.learn import LearningSynapses
from snnc.engine.learning_plan import learning_plan
from snnc.engine.lesson import Lesson
from snnc.engine.run import execute
from snnc.engine.stepped import Synapses
from snnc.ir import FixedGraph, FloatArray, IntArray
from snnc.learning.account import Rounding
from snnc.learning.bookkeeping import Bookkeeper, Third
from snnc.learning.plastic import Plastic
from snnc.learning.saturation import Saturation
from snnc.learning.session import Hosts, Values
from snnc.trace import Probes, Trace

Array = npt.NDArray[Any]
Factory = Callable[[FixedGraph, Plastic, int | None, Rounding | None], Synapses]
"""(network, what learns, seed, rounding) -> the synapses of a projection."""


class Learner(Bookkeeper[FixedGraph, Synapses]):
    """A network that learns; see :class:`snnc.learning.session.Learner`.

    Args:
        network: integers.
        plastic: what learns, from :func:`snnc.learning.plastic.bind_fixed` on this network.
        scales: population -> raw state units per 1.0, for thresholds that the host writes.
        seed: of all rounding; None takes the rules' own.
        hosts: what the host does, by kind of operation; the built-in ones may be replaced.
        rounding: of weights; None is the chip's own.
        engine: ``event``: kernels; ``dense``: NumPy; ``auto``: the first of them that is there.
        synapses: makes those of each projection; None takes the engine's own.

    Raises:
        InputError: nothing learns.
        UnsupportedError: integers do not execute the network, or its synapses do not learn by Loihi's engine.
    """

    def __init__(
        self,
        network: FixedGraph,
        plastic: Sequence[Plastic],
        *,
        scales: Mapping[str, FloatArray] | None = None,
        seed: int | None = None,
        hosts: Hosts | None = None,
        rounding: Rounding | None = None,
        engine: Engine = "auto",
        synapses: Factory | None = None,
    ) -> None:
        factory: Factory = synapses or partial(LearningSynapses, variant="none" if engine == "dense" else None)
        super().__init__(network, plastic, lambda one: factory(network, one, seed, rounding), scales, hosts)
        self._engine = engine
        self._lesson = Lesson(learning_plan(network, plastic), self.synapses, engine)
        self._changed: set[str] = set()
        self._judged: tuple[FixedGraph, dict[str, IntArray], FixedGraph] | None = None

    @property
    def path(self) -> Literal["event", "dense"]:
        """What runs: kernels, or NumPy."""
        return "dense" if self._lesson.parts is None else "event"

    @property
    def saturations(self) -> tuple[Saturation, ...]:
        """What ran into an end of its range so far."""
        return tuple(found for one in self.synapses.values() for found in one.saturations)

    @property
    def network(self) -> FixedGraph:
        """The network with the weights and thresholds of now, exactly; the same object until something changes."""
        kept = self._judged
        if kept is not None and kept[0] is self._network and self._same(kept[1]):
            return kept[2]
        raw, found = self.raw, super().network
        self._judged = self._network, raw, found
        return found

    def evaluate(self, spikes: Array, probes: Probes | None = None) -> Trace:
        """Runs samples [B, T, *shape] with the weights of now; nothing learns."""
        return execute(self.network, spikes, probes or Probes(), engine=self._engine)

    def set_thresholds(self, population: str, thresholds: npt.ArrayLike) -> None:
        """The host writes thresholds, scalar or [neurons], in the float network's unit; integers take the nearest."""
        super().set_thresholds(population, thresholds)
        self._changed.add(population)

    def _run(
        self, given: Array, probes: Probes, phase: str, during: Mapping[str, Third], held: Mapping[str, Values]
    ) -> Trace:
        self._take_thresholds()
        return self._lesson.run(given, probes, phase, during, held)

    def _same(self, raw: Mapping[str, IntArray]) -> bool:
        return all(np.array_equal(raw[name], one.kept) for name, one in self.synapses.items())

    def _take_thresholds(self) -> None:
        """Thresholds that were written since the last sample; a host that writes them under way waits for the next."""
        order = self._lesson.plan
        for name in self._changed:
            p = order.plan.populations[order.index[name]]
            values, _ = params.parameters(self._network[name], self._network.conventions, p.order)
            self._lesson.set_params(name, values)
        self._changed.clear()
