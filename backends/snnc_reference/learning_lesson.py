"""One sample through a network that learns: the reference's run with synapses that change under way.

On a chip with a hop delay, synapses see a pre spike in the step in which it is sent and a post spike in the step in
which the neuron fires, and what they send arrives a step later (Lava's LearningDense). Without a hop delay all of this
is one step, and learning comes last in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.ir import Affine, Conv
from snnc.ir.graph import Network
from snnc.trace import Probes, Trace
from snnc_reference.execute import Run
from snnc_reference.learning_synapses import Synapses, Values

Array = npt.NDArray[Any]
Third = Callable[[str, int, Array], Values]
"""(projection, device step, post spikes [post]) -> third factors of this step."""


class Lesson(Run):
    """A run of one sample.

    Args:
        network: float or fixed.
        spikes: [1, T, *shape].
        probes: what to record.
        plastic: projection -> (synapses, population behind them); those that do not learn now among them.
        phase: of the rules; None learns nothing.
        third: what comes from outside in each step.
    """

    def __init__(
        self,
        network: Network,
        spikes: Array,
        probes: Probes,
        plastic: Mapping[str, tuple[Synapses, str]],
        phase: str | None,
        third: Third,
    ) -> None:
        super().__init__(network, spikes, probes)
        self.plastic, self.phase, self.third = plastic, phase, third
        self.late = self.conventions.hop_delay > 0
        self.now = 0
        self.fired: dict[str, Array] = {}
        self.seen: dict[str, Array] = {}

    def trace(self, backend: str) -> Trace:
        """Runs all device steps, and one more in which synapses see the last spikes where they see them late."""
        for step in range(self.steps + self.depth + int(self.late)):
            self.now = step
            for name in self.network.order:
                self._advance(self.network[name], step)
            self.fired = {post: self.history[post][step][0] for _, post in self.plastic.values()}
            if not self.late:
                self._learn()
        target = self.network.head().get("target", "float")
        return Trace(backend, target, self.recorded, self.states)

    def _learn(self) -> None:
        for name, (synapses, post) in self.plastic.items():
            if self._learns(synapses):
                self._step(name, synapses, self.seen[name], self.fired[post], self.now)

    def _learns(self, synapses: Synapses) -> bool:
        return self.phase is not None and synapses.learns(self.phase)

    def _step(self, name: str, synapses: Synapses, pre: Array, post: Array, step: int) -> Array:
        assert self.phase is not None
        return synapses.step(pre, post, self.third(name, step, post), self.phase)

    def _weighted(self, node: Affine | Conv, x: Array) -> Array:
        if node.name not in self.plastic:
            return super()._weighted(node, x)
        synapses, post = self.plastic[node.name]
        if self.late and self.now > 0 and self._learns(synapses):
            sent = self._step(node.name, synapses, x[0], self.fired[post], self.now - 1)
        else:
            sent = synapses.send(x[0])
        self.seen[node.name] = x[0]
        y = np.asarray(sent)[np.newaxis]
        return y + self._bias(node, y.ndim) if node.bias is not None else y
