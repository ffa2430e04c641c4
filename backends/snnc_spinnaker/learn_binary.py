"""Networks that learn on the release programs, behind the same face as on the emulator: all samples in one run.

Needs the extra ``spinnaker``. The programs hold what the emulator holds, weight for weight after every step; judging
the weights that came out is left to the emulator, which is faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError, UnsupportedError
from snnc.ir import FixedGraph, Graph
from snnc.learning import LearningConfig
from snnc.learning.saturation import Saturation
from snnc.trace import Trace
from snnc_spinnaker.learn import Learning
from snnc_spinnaker.learn_saturation import ADDITIONS, cut, weights
from snnc_spinnaker.learner import Learner, bound

Array = npt.NDArray[Any]


class BinaryLearner(Learner):
    """A network that learns on the unmodified programs of the sPyNNaker release, on a modelled board.

    Args:
        learning: the network.
        pause: silent steps after each sample; None takes as many as a pair of spikes is remembered for.
    """

    def __init__(self, learning: Learning, pause: int | None = None) -> None:
        super().__init__(learning, pause)
        self._cut: dict[str, int] = {}

    @property
    def saturations(self) -> tuple[Saturation, ...]:
        """What the programs of the last course count, by population, and weights on their bounds."""
        return (*(cut(name, name, ADDITIONS, count) for name, count in self._cut.items()),
                *weights(self.learning, self.run))  # fmt: skip

    def course(self, spikes: Array) -> Trace:
        """Learns from all samples [B, T, *shape], from the start, in one run of the programs.

        Returns:
            Spikes of all populations in logical time.

        Raises:
            TraceError: samples of another shape.
            SnncError: the tools are missing or refuse the network, or a program trapped.
        """
        given = np.asarray(spikes)
        if given.ndim != len(self._shape) + 2 or given.shape[2:] != self._shape:
            raise TraceError(f"samples are {given.shape}, allowed is [B, T, *{self._shape}]")
        from snnc_spinnaker.binary import learn

        found = learn.execute(self.learning, given, self.pause)
        for name, words in found.weights.items():
            self._run.blocks[name].weight[...] = words
        head = f"{learn.CUT}/"
        self._cut = {k.removeprefix(head): count for k, count in found.counts.items() if k.startswith(head)}
        batch, steps = given.shape[:2]
        self.samples, self.steps = batch, found.counts["steps"]
        graph, seen = self.learning.graph, {}
        for name, rows in found.spikes.items():
            late = graph.latency.get(name, 0)
            seen[name] = rows.reshape(batch, steps + self.pause, -1)[:, late : late + steps].astype(np.int8)
        shaped = {name: rows.reshape(batch, steps, *graph.shapes[name]) for name, rows in seen.items()}
        return Trace("spinnaker", graph.target, shaped, {}, {**found.counts, "pause": self.pause})

    def sample(self, *_: Any, **__: Any) -> Trace:
        """The programs learn from all samples in one run.

        Raises:
            UnsupportedError: always; use :meth:`course`.
        """
        raise UnsupportedError("the release programs learn from all samples in one run (course); the emulator by one")

    def set_weights(self, projection: str, *_: Any, **__: Any) -> None:
        """Not while the programs run.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(f"{projection}: nothing writes weights while the programs run; use the emulator")

    def state(self) -> dict[str, Array]:
        """There is none to save.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError("the release programs run from the start: no checkpoints here; use the emulator")

    def restore(self, state: Mapping[str, Array]) -> None:  # noqa: ARG002
        """There is none to restore.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError("the release programs run from the start: no checkpoints here; use the emulator")


def binary_learner(
    graph: Graph,
    fixed: FixedGraph | None,
    scales: Mapping[str, npt.ArrayLike],
    learning: Iterable[LearningConfig],
    pause: int | None = None,
) -> BinaryLearner:
    """The learner of a compiled network; arguments and errors as of :func:`snnc_spinnaker.learner.learner`."""
    return BinaryLearner(bound(graph, fixed, scales, learning), pause)
