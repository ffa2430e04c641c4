"""What is stepped in a network that learns: populations, and projections whose synapses change under way.

Arrays are [device steps, neurons] of int64 in engine order, of one sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from snnc.engine import dense, neurons
from snnc.engine.chains import ChainRun
from snnc.engine.learning_plan import LearningPlan, picked
from snnc.engine.params import Params
from snnc.engine.plan import Population, Way
from snnc.engine.products import Prepared, largest
from snnc.engine.record import shown, states_of
from snnc.ir import FloatArray, IntArray
from snnc.learning.plastic import Plastic
from snnc.learning.saturation import Saturation
from snnc.learning.session import State, Values
from snnc.trace import Probes

Array = npt.NDArray[Any]
Third = Callable[[int, Array], Values]
"""(device step, post spikes [post]) -> third factors of this step."""


class Synapses(Protocol):
    """A projection that learns in integers."""

    one: Plastic

    @property
    def weights(self) -> FloatArray:
        """[post, pre], in the float network's unit."""

    @property
    def kept(self) -> IntArray:
        """[post, pre] device steps."""

    @property
    def saturations(self) -> Iterator[Saturation]:
        """What ran into an end of its range so far."""

    def learns(self, phase: str) -> bool:
        """Whether something changes in a phase."""

    def send(self, pre: Array) -> Array:
        """What the neurons receive, [post] in state units."""

    def step(self, pre: Array, post: Array, third: Values, phase: str) -> Array:
        """One step of learning; what the neurons receive by the weights before it."""

    def end(self, third: Values, phase: str) -> None:
        """The end of a sample."""

    def write(self, weights: FloatArray) -> None:
        """The host sets the weights, in the float network's unit."""

    def state(self) -> State:
        """Everything that the next step depends on."""

    def restore(self, state: State) -> None:
        """Goes on from a state of the same synapses."""


@dataclass(frozen=True, eq=False)
class Run:
    """What units are told at the start of a sample.

    Attributes:
        chunk: what the first part of the plan sent.
        end: device steps.
        probes: what to record.
        phase: of the rules.
        thirds: projection -> third factors.
        of_nodes: (population, first step, last step + 1) -> what it sent, [steps, 1, *shape] in row-major order.
    """

    chunk: dense.Chunk
    end: int
    probes: Probes
    phase: str
    thirds: Mapping[str, Third]
    of_nodes: Callable[[str, int, int], IntArray]


class Feed:
    """A way from somebody who is stepped."""

    def __init__(self, source: Stepped, way: Way, size: int) -> None:
        self.source, self.delay = source, way.delay
        self.where = picked(way, size)
        self.whole = self.where is not None and np.array_equal(self.where, np.arange(source.size))
        self.product = Prepared(way.operator, size)

    def __call__(self, step: int) -> Array:
        """What arrives in a step; it is not before device step 0 of the source."""
        row: Array = self.source.sent[step - self.delay]
        if self.whole:
            return row
        if self.where is not None:
            return np.asarray(row[self.where])
        product = self.product(row[np.newaxis], largest(row) if self.source.numbers else 1)
        return np.asarray(product[0])


class Stepped:
    """What is stepped: a population, or a projection that learns.

    Args:
        size: neurons that send.
        inlet: what arrives.

    Attributes:
        sent: [device steps, neurons] in engine order, filled step by step.
    """

    numbers = True

    def __init__(self, size: int, inlet: Inlet) -> None:
        self.size, self.inlet = size, inlet
        self.sent: Array = np.zeros((0, size), dtype=np.int64)

    def room(self, end: int) -> None:
        """Makes room for all device steps; each is written before it is read."""
        if len(self.sent) != end:
            self.sent = np.zeros((end, self.size), dtype=np.int64)

    def begin(self, run: Run) -> None:
        """The start of a sample; there is room."""

    def advance(self, step: int) -> None:
        """One device step."""


class Inlet:
    """A population's input: what comes from the first part for all steps at once, the rest as it comes."""

    def __init__(self, plan: LearningPlan, index: int) -> None:
        self.p, self.index = plan.plan.populations[index], index
        self.feeds: list[Feed] = []
        self.fixed: Array = np.zeros((0, self.p.size), dtype=np.int64)
        self.outer: list[int] = []
        self.copies: list[tuple[Way, Array]] = []
        for number, way in enumerate(self.p.ways):
            where = picked(way, self.p.size) if way.source < plan.front else None
            if where is not None:
                self.copies.append((way, where))
            elif way.source < plan.front:
                self.outer.append(number)
        self.chains: list[tuple[ChainRun, bool]] = []
        self.of_nodes: Callable[[str, int, int], IntArray] | None = None

    def attach(self, stepped: Mapping[int, Stepped]) -> None:
        """Finds those who are stepped."""
        ways = [way for way in self.p.ways if way.source in stepped]
        self.feeds = [Feed(stepped[way.source], way, self.p.size) for way in ways]

    def begin(self, run: Run) -> None:
        """Sums of what is known before the first step."""
        chunk = run.chunk
        if self.outer:
            self.fixed = chunk.sums(self.index, 0, run.end, self.outer)[:, 0]
        elif len(self.fixed) != run.end:
            self.fixed = np.zeros((run.end, self.p.size), dtype=np.int64)
        elif self.copies:
            self.fixed.fill(0)
        for way, where in self.copies:
            sent = chunk.sent[way.source]
            low, high = sent.span(-way.delay, run.end - way.delay)
            if low < high:
                self.fixed[low + way.delay : high + way.delay] += sent.between(low, high)[:, 0, where]
        self.chains = [(chunk.chain(chain, self.p), chain.drive) for chain in self.p.chains]
        self.of_nodes = run.of_nodes

    def sums(self, step: int) -> Array:
        """Input in state units, without a host's."""
        found: Array = self.fixed[step]
        for feed in self.feeds:
            if step >= feed.delay:
                found = found + feed(step)
        return found << self.p.shift if self.p.shift else found

    def joined(self, step: int) -> tuple[Array, Array | int]:
        """Input in state units with that of chains, and what a host adds to the bias."""
        x, drive = self.sums(step), 0
        for chain, drives in self.chains:
            assert self.of_nodes is not None
            value = chain.fill(step, step + 1, self.of_nodes)[0, 0]
            if not drives:
                x = x + value
            elif step >= self.p.latency:
                drive = drive + value
        return x, drive


class Cells(Stepped):
    """A population that is stepped."""

    def __init__(self, plan: LearningPlan, inlet: Inlet) -> None:
        super().__init__(inlet.p.size, inlet)
        self.p: Population = inlet.p
        self.numbers = inlet.p.numbers
        self.stepper = neurons.stepper(inlet.p, plan.plan.conventions, 1)
        self.names = states_of(inlet.p, False) if shown(inlet.p) else ()
        self.states: dict[str, Array] = {}

    def set_params(self, values: Params) -> None:
        """Other parameters, from the next sample on."""
        self.p = replace(self.p, params=values)
        self.stepper.p = dict(values)

    def begin(self, run: Run) -> None:
        """State at its start, and room for what is recorded."""
        self.inlet.begin(run)
        self.stepper.restart()
        wanted = self.names if run.probes.wants_states(self.p.name) else ()
        self.states = {name: np.zeros((run.end, self.size), dtype=np.int64) for name in wanted}

    def advance(self, step: int) -> None:
        """One step of the neurons."""
        if step == self.p.restart:
            self.stepper.restart()
        x, drive = self.inlet.joined(step)
        self.sent[step] = self.stepper.step(x[np.newaxis], drive)[0]
        for name, rows in self.states.items():
            rows[step] = self.stepper.state[name][0]


class Projection(Stepped):
    """A projection that learns.

    Args:
        synapses: what learns.
        inlet: of what arrives.
        bias: added to what it sends, in state units, or None.
        late: whether synapses see a step only when it is over.
    """

    def __init__(self, synapses: Synapses, inlet: Inlet, bias: IntArray | None, *, late: bool) -> None:
        super().__init__(synapses.kept.shape[0], inlet)
        self.synapses, self.bias, self.late = synapses, bias, late
        self.post: Stepped = self
        self.seen: Array = np.zeros(0, dtype=np.int64)
        self.phase: str | None = None
        self.third: Third | None = None

    def begin(self, run: Run) -> None:
        """What arrives from outside is known before the first step."""
        self.inlet.begin(run)
        self.third = run.thirds.get(self.synapses.one.projection)
        self.phase = run.phase if self.synapses.learns(run.phase) else None

    def advance(self, step: int) -> None:
        """What the synapses send; where they are late, they learn from the step before."""
        self.seen, _ = self.inlet.joined(step)
        learns = self.late and step > 0 and self.phase is not None
        out = self._learned(step - 1) if learns else self.synapses.send(self.seen)
        self.sent[step] = out if self.bias is None else out + self.bias

    def learn(self, step: int) -> None:
        """The end of a step, where nothing is late."""
        if self.phase is not None:
            self._learned(step)

    def _learned(self, step: int) -> Array:
        assert self.third is not None
        assert self.phase is not None
        post = self.post.sent[step]
        return self.synapses.step(self.seen, post, self.third(step, post), self.phase)
