"""One sample through a plan that learns: everything that nothing learned reaches at once, the rest step by step.

On a chip with a hop delay, synapses see a pre spike in the step in which it is sent and a post spike in the step in
which the neuron fires, and what they send arrives a step later. Without a hop delay all of this is one step, and
learning comes last in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import dense, mixed
from snnc.engine.choice import Engine
from snnc.engine.given import check_input
from snnc.engine.learning_plan import HEARS, LearningPlan
from snnc.engine.params import Params
from snnc.engine.record import Recorder
from snnc.engine.run import choose
from snnc.engine.stepped import Cells, Inlet, Projection, Run, Stepped, Synapses, Third
from snnc.engine.whole import Whole
from snnc.ir import IntArray
from snnc.learning.session import Values
from snnc.trace import Probes, Trace

Array = npt.NDArray[Any]


class Lesson:
    """A network that takes samples one by one; arrays are kept between them.

    Args:
        plan: of the network.
        synapses: projection -> what learns.
        engine: ``dense`` runs the first part of the plan in NumPy, ``event`` in the kernels, ``auto`` where it can.

    Raises:
        UnsupportedError: ``event`` was asked for and there are no kernels.
    """

    def __init__(self, plan: LearningPlan, synapses: Mapping[str, Synapses], engine: Engine) -> None:
        self.plan, self.engine = plan, engine
        self._prepare()
        self.units: dict[str, Stepped] = {}
        for name in plan.order:
            if name in synapses:
                inlet = Inlet(plan, plan.index[HEARS + name])
                self.units[name] = Projection(synapses[name], inlet, plan.bias.get(name), late=plan.late)
            else:
                self.units[name] = Cells(plan, Inlet(plan, plan.index[name]))
        self._stepped = {plan.place(name): unit for name, unit in self.units.items()}
        self._learning: list[Projection] = []
        for name, one in synapses.items():
            unit = self.units[name]
            assert isinstance(unit, Projection)
            unit.post = self.units[one.one.population]
            self._learning.append(unit)
        for unit in self.units.values():
            unit.inlet.attach(self._stepped)
        self._whole = None if self.parts is None else Whole.of(plan, self.units)

    def _prepare(self) -> None:
        self.executor = dense.Executor(self.plan.plan)
        self.parts = mixed.segments(self.plan.plan) if choose(self.plan.plan, self.engine) == "event" else None

    def set_params(self, name: str, values: Params) -> None:
        """Other parameters of a population, from the next sample on."""
        unit = self.units.get(name)
        if isinstance(unit, Cells):
            unit.set_params(values)
            if self._whole is not None:
                self._whole.load(name)
        else:
            self.plan = self.plan.with_params(name, values)
            self._prepare()

    def run(
        self, spikes: Array, probes: Probes, phase: str, thirds: Mapping[str, Third], held: Mapping[str, Values]
    ) -> Trace:
        """Runs one sample.

        Args:
            spikes: [T, *shape].
            probes: what to record.
            phase: of the rules; synapses that do not learn in it stay as they are.
            thirds: of each projection that learns.
            held: of those whose third factors hold in all steps.

        Raises:
            TraceError: the input does not fit the network.
        """
        plan = self.plan.plan
        given = check_input(plan, spikes[np.newaxis])
        recorder = Recorder(plan, probes, 1, given.shape[1])
        chunk = dense.Chunk(self.executor, given, {}, recorder, 0, None)
        mixed.fill(chunk, self.parts, probes, 1)
        units = list(self.units.values())
        for unit in units:
            unit.room(chunk.end)
        run = Run(chunk, chunk.end, probes, phase, thirds, lambda *where: self._of_nodes(chunk, *where))
        for unit in units:
            unit.begin(run)
        if self._whole is None or not self._whole.run(run, held):
            self._steps(chunk.end)
        self._record(recorder, given.shape[1])
        return recorder.trace("engine")

    def _steps(self, end: int) -> None:
        units = list(self.units.values())
        for step in range(end):
            for unit in units:
                unit.advance(step)
            if not self.plan.late:
                for one in self._learning:
                    one.learn(step)

    def _of_nodes(self, chunk: dense.Chunk, name: str, low: int, high: int) -> IntArray:
        """What a chain reads: what is stepped, or what ran before."""
        index = self.plan.index[name]
        if index not in self._stepped:
            return chunk.of_nodes(name, low, high)
        p = self.plan.plan.populations[index]
        rows = self._stepped[index].sent[low:high]
        if p.order is not None:
            found = np.empty_like(rows)
            found[:, p.order] = rows
            rows = found
        return rows.reshape(high - low, 1, *p.shape)

    def _record(self, recorder: Recorder, steps: int) -> None:
        for unit in self.units.values():
            if isinstance(unit, Cells):
                time = slice(unit.p.latency, unit.p.latency + steps)
                recorder.spikes(unit.p, 0, 0, unit.sent[time, np.newaxis])
                recorder.block(unit.p, 0, {name: rows[np.newaxis, time] for name, rows in unit.states.items()})
