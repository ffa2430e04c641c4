"""Which population a model's return value is: the one whose spikes it returns, stacked, listed or counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snnc.capture.lower import Lowering
from snnc.capture.values import Const, Many, Opaque, Seq, State, Term, Total, addends
from snnc.errors import SnncError, UnsupportedError
from snnc.ir import Scale

_ADVICE = (
    "End the model with a neuron and return its spikes (all steps, or their count). A read-out of membranes or of a "
    "linear layer has no spikes to count: add a neuron behind it, or return that neuron's spikes beside it"
)


class Outputs:
    """What was found in the return value."""

    def __init__(self, low: Lowering) -> None:
        self.low = low
        self.spiking: list[str] = []
        self.states: list[str] = []
        self.other: list[str] = []
        self.broken: list[SnncError] = []

    def look(self, value: Any) -> None:
        """Sorts one value (or what is in a tuple or list) into the lists."""
        if isinstance(value, dict):
            value = tuple(value.values())
        if isinstance(value, Many):
            value = value.items
        if isinstance(value, (tuple, list)):
            self._look_in(value)
        elif isinstance(value, Opaque):
            self.broken.append(value.error)
        elif isinstance(value, State):
            self.states.append(value.source)
        elif isinstance(value, (Seq, Term, Total)):
            self._look_at(value)

    def _look_in(self, values: Any) -> None:
        if len(values) == self.low.steps and self._every_step(values) is not None:
            self._look_at(Seq(tuple(values), time_first=True))
            return
        if values and all(isinstance(v, State) for v in values):
            values = values[:1]
        for value in values:
            self.look(value)

    def _look_at(self, value: Seq | Term | Total) -> None:
        source = self._count(value) if isinstance(value, Term) else self._every_step(_items(value))
        if source is not None:
            self.spiking.append(source)
        elif isinstance(value, Term):
            self.other.append(self._explain(value))
        else:
            self._look_inside(_items(value))

    def _look_inside(self, items: Any) -> None:
        for item in items[-1:]:
            if isinstance(item, Term):
                self.other.append(self._explain(item))
            else:
                self.look(item)

    def _every_step(self, items: Any) -> str | None:
        """The population if the items are its spikes of step 0, 1, 2, ..."""
        if len(items) != self.low.steps or not all(isinstance(i, Term) and i.kind == "spikes" for i in items):
            return None
        source = items[0].source
        right = all((i.source, i.step) == (source, t) for t, i in enumerate(items))
        return source if right and source in self.low.calls else None

    def _count(self, term: Term) -> str | None:
        """The population if the term is the sum of its spikes over all steps, perhaps scaled."""
        while term.op is not None and isinstance(term.op.node, Scale) and term.op.homogeneous:
            term = term.inputs[0]
        parts = addends(term)
        if not all(part.kind == "spikes" for part in parts):
            return None
        return self._every_step(tuple(sorted(parts, key=lambda part: part.step)))

    def _explain(self, term: Term) -> str:
        if term.kind == "spikes":
            return f"spikes of {term.source or 'the neuron'} of step {term.step} only, not of every step"
        return f"{term.op.label if term.op is not None else 'zeros'}, which are not spikes"


def _items(value: Seq | Total | Term) -> Any:
    return value.of.items if isinstance(value, Total) else value.items if isinstance(value, Seq) else ()


def by_element(results: list[Any]) -> Any:
    """Results of single steps as sequences: one, or one per element if every step returns a tuple."""
    first = results[0]
    items = [r.items if isinstance(r, Many) else r for r in results]
    if isinstance(first, (tuple, list, Many)):
        return tuple(by_element([item[i] for item in items]) for i in range(len(items[0])))
    if any(isinstance(r, Opaque) for r in results):
        return next(r for r in results if isinstance(r, Opaque))
    return Seq(tuple(results), time_first=True) if not isinstance(first, Const) and first is not None else None


def find_output(low: Lowering, returned: Any, depends: Callable[[str], set[str]]) -> str:
    """Path of the population that the model returns.

    Args:
        low: the run.
        returned: the values that forward returned.
        depends: path -> every population that it depends on, itself included.

    Raises:
        UnsupportedError: no population, or it is not clear which.
    """
    outputs = Outputs(low)
    outputs.look(returned)
    found = sorted(set(outputs.spiking))
    integrators = {path for path, cell in low.cells.items() if cell.graded(low.module.get_submodule(path))}
    # What integrates beside spikes that are returned is the host's matter.
    found = [path for path in found if path not in integrators] or found
    if not found:
        if outputs.broken and not outputs.other:
            raise outputs.broken[0]
        what = outputs.other[0] if outputs.other else "membranes only" if outputs.states else "no tensor of every step"
        raise UnsupportedError(f"the model returns {what}. {_ADVICE}")
    sinks = [path for path in found if not any(path in depends(other) for other in found if other != path)]
    if len(sinks) != 1:
        names = ", ".join(sinks or found)
        raise UnsupportedError(f"the model returns spikes of several populations ({names}); return those of the last")
    known = depends(sinks[0])
    beyond = [path for path in outputs.states if path not in known | integrators]
    if outputs.other or beyond:
        what = outputs.other[0] if outputs.other else f"the membrane of {beyond[0]} without its spikes"
        raise UnsupportedError(f"beside the spikes of {sinks[0] or 'the neuron'} the model returns {what}. {_ADVICE}")
    return sinks[0]
