"""Runs networks that learn, sample after sample: float networks by the rule itself, integers by Loihi's engine.

Slow, obviously right. In a phase in which nothing of a rule is active its synapses stay as they are, traces and random
numbers included, so that an evaluation in the middle of training leaves no mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import FloatArray
from snnc.ir.graph import Network
from snnc.learning.account import Rounding
from snnc.learning.bookkeeping import Bookkeeper, Third
from snnc.learning.plastic import Plastic
from snnc.learning.saturation import Saturation
from snnc.learning.session import Hosts, Values
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from snnc_reference.learning_lesson import Lesson
from snnc_reference.learning_synapses import ChipSynapses, Synapses, synapses

Array = npt.NDArray[Any]


class Learner(Bookkeeper[Network, Synapses]):
    """A network that learns; see :class:`snnc.learning.session.Learner`.

    Args:
        network: float (rules in float64) or fixed (Loihi's engine, in the unit of the quantized weights).
        plastic: what learns, from :func:`snnc.learning.plastic.bind_float` or ``bind_fixed`` on this network.
        scales: of a fixed network: population -> raw state units per 1.0, for thresholds that the host writes.
        seed: of all rounding; None takes the rules' own.
        hosts: what the host does, by kind of operation; the built-in ones may be replaced.
        rounding: of weights; None is the chip's own.
    """

    def __init__(
        self,
        network: Network,
        plastic: Sequence[Plastic],
        *,
        scales: Mapping[str, FloatArray] | None = None,
        seed: int | None = None,
        hosts: Hosts | None = None,
        rounding: Rounding | None = None,
    ) -> None:
        super().__init__(network, plastic, lambda one: synapses(network, one, seed, rounding), scales, hosts)

    @property
    def saturations(self) -> tuple[Saturation, ...]:
        """What ran into an end of its range so far; floats have none."""
        chips = (one for one in self.synapses.values() if isinstance(one, ChipSynapses))
        return tuple(found for one in chips for found in one.saturations)

    def evaluate(self, spikes: Array, probes: Probes | None = None) -> Trace:
        """Runs samples [B, T, *shape] with the weights of now; nothing learns."""
        return execute(self.network, spikes, probes or Probes())

    def _run(
        self, given: Array, probes: Probes, phase: str, during: Mapping[str, Third], held: Mapping[str, Values]
    ) -> Trace:
        _ = held  # the definition asks in every step

        def third(name: str, step: int, fired: Array) -> Values:
            return during[name](step, fired)

        placed = {name: (one, self.plastic[name].population) for name, one in self.synapses.items()}
        return Lesson(self._network, given[np.newaxis], probes, placed, phase, third).trace("reference")
