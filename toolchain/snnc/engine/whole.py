"""The steps of a sample in one call of the kernels, where nobody has to be asked under way.

Populations of plain neurons, copies and dense weights between them, and projections whose third factors hold during the
sample; everything else goes step by step in Python.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import library, native
from snnc.engine.layout import LEFT_WIDTH, LESSON, UNIT
from snnc.engine.learn import LearningSynapses
from snnc.engine.learning_plan import LearningPlan
from snnc.engine.plan import Convolution, Dense, Group, Plan
from snnc.engine.products import MATRIX, matrix
from snnc.engine.stepped import Cells, Feed, Inlet, Projection, Run, Stepped
from snnc.errors import FormatError
from snnc.learning.session import Values

Array = npt.NDArray[Any]
AT = {name: column for column, name in enumerate(UNIT)}
SLACK = 64
"""Numbers behind an end that vectors may touch."""


class Whole:
    """Everything that is stepped, as tables of the kernels.

    Args:
        plan: of the network.
        units: in the order of one step.
        kernels: that execute it.
    """

    def __init__(self, plan: LearningPlan, units: Mapping[str, Stepped], kernels: library.Kernels) -> None:
        self.plan, self.units = plan, units
        self._kernels, self._number = kernels, kernels.number(None)
        self._place = {name: n for n, name in enumerate(units)}
        self._table: array[int] = array("q", bytes(8 * len(UNIT) * len(units)))
        self._kept: dict[tuple[str, str], Any] = {}
        self._fed = [(feed, *self._weights(feed)) for unit in units.values() for feed in unit.inlet.feeds]
        first = 0
        for name, unit in units.items():
            count = len(unit.inlet.feeds)
            self._put(name, {"n": unit.size, "inputs": unit.inlet.p.size, "shift": unit.inlet.p.shift})
            self._put(name, {"feed": first, "feeds": count, "room": self._room(name, "room", unit.inlet.p.size)})
            first += count
            if isinstance(unit, Projection):
                self._projection(name, unit)
            else:
                self._cells(name, unit)

    @classmethod
    def of(cls, plan: LearningPlan, units: Mapping[str, Stepped]) -> Whole | None:
        """The tables, or None where kernels do not execute this."""
        kernels = library.kernels()
        if kernels is None or not all(_fits(unit) for unit in units.values()):
            return None
        return cls(plan, units, kernels)

    def load(self, name: str) -> None:
        """Takes the parameters that a population has now."""
        unit = self.units[name]
        assert isinstance(unit, Cells)
        alone = replace(unit.p, ways=(), chains=())
        c = self.plan.plan
        plan = Plan(c.target, c.conventions, c.digest, c.depth, (alone,), (Group((0,), loop=False),))
        rows = native.prepare(plan).attached.populations
        self._kept[name, "plan"] = plan
        self._put(name, {"population": _address(rows)})

    def run(self, run: Run, held: Mapping[str, Values]) -> bool:
        """Executes a sample whose units have begun.

        Args:
            run: the sample.
            held: projection that learns -> third factors that hold in all steps.

        Returns:
            False if somebody has to be asked in each step: then nothing has happened.

        Raises:
            FormatError: a state left its width and the conventions refuse that.
        """
        learning = {name: unit for name, unit in self.units.items() if isinstance(unit, Projection)}
        active = [name for name, unit in learning.items() if unit.phase is not None]
        if not all(name in held and _synapses(learning[name]).steady for name in active):
            return False
        steps = run.end - int(self.plan.late)
        rolls: list[Any] = []
        for name, unit in learning.items():
            rolls.append(self._begin(name, unit, steps, held.get(name, {})))
        for name, one in self.units.items():
            found = {"fixed": one.inlet.fixed, "sent": one.sent}
            if isinstance(one, Cells):
                found |= {f"state{k}": one.states[key] for k, key in enumerate(("u", "v")) if key in one.states}
                self._put(name, {"state0": 0, "state1": 0})
            self._put(name, {key: _address(values) for key, values in found.items()})
        for name, unit in learning.items():
            self._put(name, {"post": _address(unit.post.sent)})
        feeds = array("q")
        for feed, where, weights in self._fed:
            feeds.extend((_address(feed.source.sent), feed.delay, feed.source.size, _address(where), _address(weights)))
        fields = {
            "units": len(self.units), "units_at": self._table.buffer_info()[0], "feeds": feeds.buffer_info()[0],
            "steps": run.end, "late": int(self.plan.late),
        }  # fmt: skip
        call = array("q", [fields[key] for key in LESSON])
        end = self._kernels.lesson(self._number, call.buffer_info()[0])
        for unit in learning.values():
            _native(unit).taken()
        if end & LEFT_WIDTH:
            raise FormatError(f"a state left {self.plan.plan.conventions.state_bits} bits")
        return True

    def _begin(self, name: str, unit: Projection, steps: int, third: Values) -> Any:
        """Random numbers and third factors of a projection; what has to stay in memory during the call."""
        synapses = _synapses(unit)
        rolls, written = array("q"), None
        if unit.phase is not None:
            rolls, written = synapses.begin(unit.phase, third, steps)
        table = _native(unit).table(synapses.learning.recipe)
        fields = {"learns": int(unit.phase is not None), "rolls": rolls.buffer_info()[0], "learning": table}
        self._put(name, fields | {"third": _address(written)})
        return rolls, written

    def _projection(self, name: str, unit: Projection) -> None:
        up = unit.synapses.one.up
        bias = None if unit.bias is None else np.ascontiguousarray(unit.bias, dtype=np.int64)
        self._kept[name, "bias"] = bias
        self._put(name, {"up": up, "bias": _address(bias), "spare": self._room(name, "spare", unit.size)})
        tally = _synapses(unit).tally
        self._put(name, {"full": _address(tally.full), "counted": sum(1 << row for row in tally.rows)})

    def _cells(self, name: str, unit: Stepped) -> None:
        self._put(name, {key: self._room(name, key, unit.size) for key in ("u", "v", "hold", "last")})
        self.load(name)

    def _room(self, name: str, key: str, size: int) -> int:
        self._kept[name, key] = np.zeros(size + SLACK, dtype=np.int64)
        return _address(self._kept[name, key])

    def _put(self, name: str, fields: Mapping[str, int]) -> None:
        start = self._place[name] * len(UNIT)
        for key, value in fields.items():
            self._table[start + AT[key]] = value

    @staticmethod
    def _weights(feed: Feed) -> tuple[Array | None, Array | None]:
        """Where a feed copies from, or its weights [source, target]."""
        if feed.where is not None:
            return np.ascontiguousarray(feed.where, dtype=np.int64), None
        operator = feed.product.operator
        assert not isinstance(operator, Convolution)
        weight = operator.weight if isinstance(operator, Dense) else matrix(operator, feed.product.size)
        return None, np.ascontiguousarray(weight.T, dtype=np.int32)


def _fits(unit: Stepped) -> bool:
    """Whether the kernels step it."""
    inlet: Inlet = unit.inlet
    if inlet.p.chains or not all(_plain(feed) for feed in inlet.feeds):
        return False
    if isinstance(unit, Projection):
        return isinstance(unit.synapses, LearningSynapses) and unit.synapses.learning.native is not None
    return inlet.p.kind == "neuron"


def _plain(feed: Feed) -> bool:
    small = feed.source.size * feed.product.size <= MATRIX
    return feed.where is not None or (small and not isinstance(feed.product.operator, Convolution))


def _synapses(unit: Projection) -> LearningSynapses:
    assert isinstance(unit.synapses, LearningSynapses)
    return unit.synapses


def _native(unit: Projection) -> Any:
    return _synapses(unit).learning.native


def _address(values: Array | None) -> int:
    return 0 if values is None else int(values.__array_interface__["data"][0])
