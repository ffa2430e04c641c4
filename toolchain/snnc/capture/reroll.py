"""Rolls an unrolled run up again: proves that every step does the same, and builds the graph of one step.

The last step is the template. Every other step must match it; steps that are so early that a delayed spike would come
from before the first step must have zeros there, or leave the term out if zeros would give zeros.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from torch import nn

from snnc.capture.lower import Lowering
from snnc.capture.names import node_name
from snnc.capture.values import INPUT, Shape, Term, Terms, addends, describe, is_sum
from snnc.errors import UnsupportedError
from snnc.ir import Add, Edge, Graph, Input, Neuron, Node, Readout


@dataclass(frozen=True)
class Rolled:
    """The graph and, for each population, the path of its neuron module."""

    graph: Graph
    populations: dict[str, str]


class Roller:
    """Turns the calls of every neuron module into one template each."""

    def __init__(self, low: Lowering) -> None:
        self.low = low
        self.last = low.steps - 1
        self.relatives = Terms()
        self._memory: dict[tuple[int, int], Term] = {}

    def templates(self, output: str) -> dict[str, Term]:
        """Path -> input of every population that the output depends on, in the order of their first calls.

        Raises:
            UnsupportedError: a step differs from the others, or a neuron is not called once per step.
        """
        found: dict[str, Term] = {}
        waiting = [output]
        while waiting:
            path = waiting.pop()
            if path in found or path == INPUT:
                continue
            found[path] = self._template(path)
            waiting += sources(found[path])
        return {path: found[path] for path in self.low.calls if path in found}

    def check_counts(self) -> None:
        """Refuses neurons that are not called once per step."""
        leaves = Counter(n.meta["path"] for n in self.low.record.graph.nodes if n.op == "call_module")
        for path, cell in self.low.cells.items():
            if cell.time_axis(self.low.module.get_submodule(path)) is None:
                self._check_count(path, leaves[path])

    def _check_count(self, path: str, count: int) -> None:
        if count != self.low.steps:
            raise UnsupportedError(
                f"{path or 'the neuron'}: it is called {count} times for {self.low.steps} steps of input; a population "
                "takes one step per call. Give every use a module of its own, and let the loop take each step of x once"
            )

    def _template(self, path: str) -> Term:
        name = path or "the neuron"
        self._check_count(path, len(self.low.calls[path]))
        template = self._relative(path, self.last)
        if template.kind == "zero" or not sources(template):
            raise UnsupportedError(f"{name}: nothing that depends on the input or on spikes drives it")
        for step in range(self.low.steps):
            actual = self._relative(path, step)
            if actual is not template and not self._matches(template, actual, step):
                raise UnsupportedError(
                    f"{name}: step {step} computes {describe(actual)}, step {self.last} computes {describe(template)}; "
                    "all steps must do the same"
                )
        return template

    def _relative(self, path: str, step: int) -> Term:
        return self._shift(self.low.calls[path][step], step, path)

    def _shift(self, term: Term, step: int, path: str) -> Term:
        """The same expression with delays instead of steps."""
        key = (id(term), step)
        if key not in self._memory:
            self._memory[key] = self._shifted(term, step, path)
        return self._memory[key]

    def _shifted(self, term: Term, step: int, path: str) -> Term:
        if term.kind == "zero":
            return self.relatives.zero(term.shape)
        if term.kind == "spikes":
            if term.step > step:
                raise UnsupportedError(
                    f"{path or 'the neuron'}: step {step} needs step {term.step} of {term.source or 'the neuron'}: it "
                    "looks into the future (is time reversed?)"
                )
            return self.relatives.spikes(term.source, step - term.step, term.shape, term.binary)
        assert term.op is not None
        return self.relatives.apply(term.op, [self._shift(part, step, path) for part in term.inputs], term.shape)

    def _matches(self, template: Term, actual: Term, step: int) -> bool:
        if template is actual:
            return True
        if template.kind != "op":
            early = template.kind == "spikes" and template.step > step
            return early and actual.kind == "zero"
        if is_sum(template):
            return self._sums_match(template, actual, step)
        if actual.kind == "op" and actual.op is template.op and len(actual.inputs) == len(template.inputs):
            return all(self._matches(t, a, step) for t, a in zip(template.inputs, actual.inputs, strict=True))
        return actual.kind == "zero" and self._vanishes(template, step)

    def _sums_match(self, template: Term, actual: Term, step: int) -> bool:
        waiting = [term for term in addends(actual) if term.kind != "zero"]
        for part in template.inputs:
            if waiting and self._matches(part, waiting[0], step):
                waiting.pop(0)
            elif not self._vanishes(part, step):
                return False
        return not waiting

    def _vanishes(self, term: Term, step: int) -> bool:
        """True if the term is zero because all its spikes would come from before the first step."""
        if term.kind == "spikes":
            return term.step > step
        if term.kind == "zero":
            return True
        assert term.op is not None
        return term.op.homogeneous and all(self._vanishes(part, step) for part in term.inputs)


def sources(term: Term) -> list[str]:
    """Populations whose spikes the expression uses."""
    seen: set[int] = set()
    found: list[str] = []
    waiting = [term]
    while waiting:
        at = waiting.pop()
        if id(at) in seen:
            continue
        seen.add(id(at))
        if at.kind == "spikes":
            found.append(at.source)
        waiting += at.inputs
    return found


@dataclass
class Builder:
    """Makes nodes and edges of templates."""

    module: nn.Module
    low: Lowering
    names: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=lambda: {INPUT, "output"})
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    made: dict[int, str] = field(default_factory=dict)

    def build(self, templates: dict[str, Term], output: str, shape: Shape) -> Rolled:
        """The graph of one step: input, then each population behind the layers that feed it, then the read-out."""
        self.nodes.append(Input(INPUT, shape=shape, encoding="spikes" if self.low.binary else "direct"))
        self.names[INPUT] = INPUT
        for path in templates:
            fallback = type(self.module.get_submodule(path)).__name__.lower()
            self.names[path] = self.unique(node_name(self.module, path) or fallback)
        for path, term in templates.items():
            neuron = self._neuron(path, term.shape)
            for part in addends(term):
                self._connect(part, neuron.name)
            self.nodes.append(neuron)
        graded = self.low.cells[output].graded(self.module.get_submodule(output))
        self.nodes.append(Readout("output", readout="sum" if graded else "count"))
        self.edges.append(Edge(self.names[output], "output"))
        populations = {self.names[path]: path for path in templates}
        return Rolled(Graph(tuple(self.nodes), tuple(self.edges)), populations)

    def unique(self, label: str) -> str:
        """A name that no other node has."""
        label = "_".join(label.replace("/", "_").split())
        name, count = label, 1
        while name in self.used:
            count += 1
            name = f"{label}_{count}"
        self.used.add(name)
        return name

    def _neuron(self, path: str, shape: Shape) -> Neuron:
        return self.low.cells[path].node(self.module.get_submodule(path), self.names[path], shape)

    def _connect(self, term: Term, target: str) -> None:
        """An edge from the term to the target; nodes of the term are made when they are first needed."""
        source, delay = self._source(term)
        self.edges.append(Edge(source, target, delay))

    def _source(self, term: Term) -> tuple[str, int]:
        if term.kind == "spikes":
            return self.names[term.source], term.step
        if id(term) not in self.made:
            self.made[id(term)] = self._place(term)
        return self.made[id(term)], 0

    def _place(self, term: Term) -> str:
        if term.op is None:
            raise UnsupportedError("a layer is driven by zeros in every step; feed it spikes or leave it out")
        given = [self._source(part) for part in term.inputs]
        name = self.unique(term.op.label)
        self.edges += [Edge(source, name, delay) for source, delay in given]
        self.nodes.append(Add(name) if is_sum(term) else replace(term.op.node, name=name))
        return name
