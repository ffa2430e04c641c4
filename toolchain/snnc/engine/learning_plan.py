"""A plan of a network that learns: what runs in one go before anything learns, and what goes step by step.

A projection that learns is taken out of the graph. What arrives at it becomes a population that only adds up, what it
sends becomes a source; the planner does not know the weights, so that they may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snnc.engine import windows
from snnc.engine.params import Params
from snnc.engine.plan import Dense, Group, Plan, Population, Sparse, Way
from snnc.engine.planner import links, plan
from snnc.engine.terms import RELAY
from snnc.errors import UnsupportedError, Violation
from snnc.ir import Affine, Edge, Fixed, FixedGraph, Input, IntArray, Node, Sigma
from snnc.learning.plastic import Plastic

HEARS = "/hears/"
"""Start of the name of what adds up the spikes that arrive at a projection that learns."""
SENDS = "/sends/"
"""Start of the name of the source that stands for what a projection that learns sends."""


@dataclass(frozen=True, eq=False)
class LearningPlan:
    """A plan in two parts.

    Attributes:
        plan: every population is stepped in all device steps; the groups are those of the first part alone.
        projections: names of what learns, in the order of one step.
        order: of one step of the second part: names of projections, and of populations.
        index: population -> its place in the plan.
        front: populations of the first part; they come first.
        late: whether synapses see a step only when it is over, because spikes take a step to arrive.
        bias: projection -> what is added to what it sends, in state units, if it has a bias.
    """

    plan: Plan
    projections: tuple[str, ...]
    order: tuple[str, ...]
    index: dict[str, int]
    front: int
    late: bool
    bias: dict[str, IntArray]

    def place(self, name: str) -> int:
        """The place in the plan of what sends: a population, or the source that stands for a projection."""
        return self.index[SENDS + name if name in self.projections else name]

    def with_params(self, name: str, values: Params) -> LearningPlan:
        """The same with other parameters of a population."""
        at = self.index[name]
        new = replace(self.plan.populations[at], params=values)
        populations = (*self.plan.populations[:at], new, *self.plan.populations[at + 1 :])
        return replace(self, plan=replace(self.plan, populations=populations))


def learning_plan(graph: FixedGraph, plastic: Sequence[Plastic]) -> LearningPlan:
    """Works a network that learns out.

    Raises:
        UnsupportedError: integers do not execute the graph, or not with synapses that learn.
    """
    c = graph.conventions
    if c.membrane != "euler" or c.synapse != "signed":
        found = f"{c.membrane} with {c.synapse} synapses"
        raise UnsupportedError.of(Violation(graph.target, "conventions", found, "euler with signed synapses"))
    names = {one.projection for one in plastic}
    opened, names_in_plan = _opened(graph, names)
    made = plan(opened)
    late = int(c.hop_delay > 0)
    wide = [windows.widened(_renamed(p, names_in_plan), c, graph.depth + late) for p in made.populations]
    after = _after(wide)
    order = [i for i in range(len(wide)) if i not in after] + sorted(after)
    place = {old: new for new, old in enumerate(order)}
    populations = tuple(_moved(wide[i], place) for i in order)
    groups = tuple(
        Group(tuple(place[i] for i in group.members), group.loop)
        for group in made.groups
        if after.isdisjoint(group.members) and not any(_hears(wide[i]) for i in group.members)
    )
    whole = Plan(graph.target, c, made.digest, graph.depth + late, populations, groups)
    stepped = {populations[place[i]].name for i in after if not _special(wide[i])}
    steps = [name if name in stepped | names else RELAY + name for name in graph.order]
    return LearningPlan(
        whole,
        tuple(name for name in graph.order if name in names),
        tuple(name for name in steps if name in stepped | names),
        {p.name: i for i, p in enumerate(populations)},
        len(wide) - len(after),
        bool(late),
        {name: _bias(graph, name) for name in names if isinstance(graph[name].params().get("bias"), Fixed)},
    )


def picked(way: Way, size: int) -> IntArray | None:
    """Where each neuron of the target finds its only source if the way copies, else None.

    Args:
        way: of a population that a projection that learns feeds, or into one.
        size: neurons of the target.
    """
    operator = way.operator
    if isinstance(operator, Dense):
        to, of = np.nonzero(operator.weight)
        value = operator.weight[to, of]
    elif isinstance(operator, Sparse):
        of = np.repeat(np.arange(operator.start.size - 1), np.diff(operator.start))
        to, value = operator.index, operator.value
    else:
        return None
    if to.size != size or not np.array_equal(np.sort(to), np.arange(size)) or np.any(value != 1):
        return None
    found = np.empty(size, dtype=np.int64)
    found[to] = of
    return found


def _opened(graph: FixedGraph, names: set[str]) -> tuple[FixedGraph, dict[str, str]]:
    """The graph without the projections, and what its new nodes are called in a plan.

    Delays stay on the edges, so that hops need no proof here.
    """
    mark = "~"
    while any(node.name.startswith(mark) for node in graph.nodes):
        mark += "~"
    hears, sends = ({name: f"{mark}{kind}.{name}" for name in names} for kind in ("hears", "sends"))
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name not in names:
            nodes.append(node)
            continue
        assert isinstance(node, Affine)
        assert isinstance(node.weight, Fixed)
        post, pre = node.weight.shape
        nodes += [Sigma(hears[node.name], (pre,)), Input(sends[node.name], (post,), encoding="constant")]
    edges = [Edge(sends.get(e.source, e.source), hears.get(e.target, e.target), e.delay) for e in graph.edges]
    free = replace(graph.conventions, hop_delay=0)
    called = {hears[name]: HEARS + name for name in names} | {sends[name]: SENDS + name for name in names}
    return replace(graph, nodes=tuple(nodes), edges=tuple(edges), conventions=free), called


def _renamed(p: Population, called: Mapping[str, str]) -> Population:
    def of(name: str) -> str:
        return called.get(name, name)

    chains = tuple(replace(one, edges=tuple((of(s), of(t), delay) for s, t, delay in one.edges)) for one in p.chains)
    return replace(p, name=of(p.name), chains=chains)


def _after(populations: Sequence[Population]) -> set[int]:
    """Populations that what learns reaches: its sources, and everybody who listens to them in the end."""
    found = {i for i, p in enumerate(populations) if p.name.startswith(SENDS)}
    found |= {i for i, p in enumerate(populations) if _hears(p)}
    reads = [(link.source, link.target) for link in links(populations)]
    size = -1
    while size != len(found):
        size = len(found)
        found |= {target for source, target in reads if source in found and not _hears(populations[source])}
    return found


def _hears(p: Population) -> bool:
    return p.name.startswith(HEARS)


def _special(p: Population) -> bool:
    return p.name.startswith((HEARS, SENDS))


def _moved(p: Population, place: dict[int, int]) -> Population:
    return replace(p, ways=tuple(replace(way, source=place[way.source]) for way in p.ways))


def _bias(graph: FixedGraph, name: str) -> IntArray:
    bias = graph[name].params()["bias"]
    assert isinstance(bias, Fixed)
    return bias.aligned(graph.conventions.state_frac)
