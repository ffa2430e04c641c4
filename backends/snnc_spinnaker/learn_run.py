"""The emulator with synapses that learn: one board, one sample after the other, time never starts again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.ir import IntArray
from snnc_spinnaker.core import Core, Step
from snnc_spinnaker.learn import Learning
from snnc_spinnaker.network import Population, Projection, Run, Source, Values
from snnc_spinnaker.stdp import Posts, Rule
from snnc_spinnaker.stdp_block import Block

State = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Learned:
    """What a board does while it learns, in device time.

    Attributes:
        spikes: population or source -> [steps, n].
        states: population and ``v`` (before the step's update), ``u_exc`` or ``u_inh`` -> [steps, n].
        weights: projection -> words [pre, post] after the last step.
        history: projection -> words [steps, pre, post] after every step; empty unless asked for.
        counts: what else was counted.
    """

    spikes: Mapping[str, Values]
    states: Mapping[tuple[str, str], Values]
    weights: Mapping[str, IntArray]
    history: Mapping[str, IntArray]
    counts: Mapping[str, int]


class LearningCore(Core):
    """A population whose synapses learn: it remembers its spikes.

    Attributes:
        posts: of its neurons.
    """

    def __init__(self, population: Population, rule: Rule) -> None:
        super().__init__(population.words, rule.shift, population.layout)
        self.rule = rule
        self.posts = Posts(population.words.size)

    def step(self, time: int) -> Step:
        """As every core; its spikes are known before the packets of the tick arrive."""
        found = super().step(time)
        self.posts.spike(self.rule, time, np.flatnonzero(found.spikes[0]))
        return found


class LearningRun(Run):
    """A machine that learns, for one sample at a time.

    Attributes:
        blocks: projection -> its synapses.
        given: spikes [n] of the array source in the step that comes.
        heard: spikes of every population and source in each step since this was made a list.
    """

    def __init__(self, learning: Learning) -> None:
        (source,) = (s for s in learning.machine.sources if s.kind == "array")
        super().__init__(learning.machine, {source.name: np.zeros((1, 0, source.size), np.int8)})
        self.given: Values = np.zeros(source.size, dtype=bool)
        self.heard: list[dict[str, Values]] | None = None
        self.blocks: dict[str, Block] = {}
        self._of: dict[Projection, tuple[Block, LearningCore]] = {}
        for one in learning.plastic:
            projection = learning.machine.projections[one.number]
            core = self.cores[one.target]
            if not isinstance(core, LearningCore):
                (population,) = (p for p in learning.machine.populations if p.name == one.target)
                core = self.cores[one.target] = LearningCore(population, one.rule)
            self.blocks[one.name] = Block(learning.words(one), projection.delay, projection.receptor)
            self._of[projection] = (self.blocks[one.name], core)

    def step(self, time: int) -> tuple[dict[str, Step], dict[str, Values]]:
        """One tick, as of every machine."""
        found = super().step(time)
        if self.heard is not None:
            self.heard.append({name: values[0].copy() for name, values in found[1].items()})
        return found

    def _deliver(self, projection: Projection, time: int, spikes: Values) -> IntArray:
        if projection not in self._of:
            return super()._deliver(projection, time, spikes)
        block, core = self._of[projection]
        return block.arrive(core.rule, core.posts, time, np.flatnonzero(spikes[0]))[np.newaxis]

    def _emit(self, source: Source, time: int) -> Values:
        if source.kind == "constant":
            return super()._emit(source, time)
        return np.asarray(self.given != 0)[np.newaxis]

    def state(self) -> State:
        """Everything that the next step depends on but the time, as arrays."""
        return {key: np.array(values) for key, values in self._arrays()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Goes on from a state of the same machine.

        Raises:
            InputError: the state belongs to another.
        """
        for key, values in self._arrays():
            if key not in state or np.shape(state[key]) != values.shape:
                found = f"shape {np.shape(state[key])}" if key in state else "missing"
                raise InputError(f"the saved state does not belong to this network: {key} is {found}")
        for key, values in self._arrays():
            values[...] = state[key]

    def _arrays(self) -> list[tuple[str, npt.NDArray[Any]]]:
        found: list[tuple[str, npt.NDArray[Any]]] = []
        for name, core in self.cores.items():
            core.v, core.wait, core.current = (np.array(x) for x in (core.v, core.wait, core.current))
            found += [(f"{name}/v", core.v), (f"{name}/wait", core.wait), (f"{name}/current", core.current)]
            found.append((f"{name}/ring", core.ring.sums))
            if isinstance(core, LearningCore):
                posts = core.posts
                found += [(f"{name}/post_{key}", getattr(posts, key)) for key in ("time", "trace", "count", "wrapped")]
        found += [(f"{name}/late", late.kept) for name, late in self.late.items()]
        for name, block in self.blocks.items():
            found += [(f"{name}/{key}", getattr(block, key)) for key in ("weight", "time", "trace", "wrapped")]
        found.append(("cut", self.cut))
        return found


def train(spikes: Values, pause: int) -> Values:
    """Samples [B, T, *shape] in one run of the chip, [B * (T + pause), n]: silent steps follow each."""
    batch, steps = spikes.shape[:2]
    found = np.zeros((batch, steps + pause, int(np.prod(spikes.shape[2:]))), dtype=bool)
    found[:, :steps] = spikes.reshape(batch, steps, -1) != 0
    return found.reshape(batch * (steps + pause), -1)


def emulate(learning: Learning, spikes: Values, pause: int | None = None, *, every_step: bool = False) -> Learned:
    """Runs samples on the emulator, all in one run.

    Args:
        learning: the network.
        spikes: [B, T, *shape], 0 or 1.
        pause: silent steps after each sample; None takes the network's own.
        every_step: keeps the weights after every step.
    """
    run = LearningRun(learning)
    given = train(spikes, learning.pause if pause is None else pause)
    sent: dict[str, list[Values]] = {}
    states: dict[tuple[str, str], list[Values]] = {}
    history: dict[str, list[IntArray]] = {one.name: [] for one in learning.plastic if every_step}
    for time, now in enumerate(given):
        run.given = now
        cores, spiked = run.step(time)
        for name, values in spiked.items():
            sent.setdefault(name, []).append(values[0])
        for name, step in cores.items():
            for key, kept in (("v", step.v), ("u_exc", step.exc), ("u_inh", step.inh)):
                states.setdefault((name, key), []).append(kept[0])
        for name, rows in history.items():
            rows.append(run.blocks[name].weight.copy())
    return Learned(
        {name: np.array(rows) for name, rows in sent.items()},
        {key: np.array(rows) for key, rows in states.items()},
        {name: block.weight for name, block in run.blocks.items()},
        {name: np.array(rows) for name, rows in history.items()},
        {"ring saturations": sum(run.saturations.values()), "steps": len(given)},
    )
