"""The nearest explanation of a difference: which change of the neurons would make the graph do what the module does.

After a failed probe every change of the list below is made to the neurons, one at a time, and the graph runs again. A
change after which all spikes and states are equal names what the import got wrong, or what the module does differently
from what its framework's table says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from snnc.errors import GraphError, UnsupportedError
from snnc.ir import Graph, Neuron
from snnc.trace import Probes, Trace

Execute = Callable[[Graph, npt.NDArray[Any], Probes], Trace]
Kind = Literal["subtract", "zero", "none"]
TOLERANCE = 1e-9
_RESETS: dict[str, str] = {"subtract": "soft reset", "zero": "hard reset to 0", "none": "no reset"}
_UNIT = 1e3


@dataclass(frozen=True)
class Difference:
    """How far a graph is from its module on one drive."""

    spikes: int
    state: float

    @property
    def none(self) -> bool:
        """True if all spikes are equal and all states agree."""
        return self.spikes == 0 and self.state <= TOLERANCE


def difference(graph: Graph, left: Trace, right: Trace) -> Difference:
    """Spikes that differ, and the largest difference of a state, relative to its size or the threshold if larger.

    Args:
        graph: gives the thresholds.
        left: of the module; a state that it shows and the graph lacks is an error.
        right: of the graph.
    """
    thresholds = {node.name: float(np.min(np.asarray(node.threshold))) for node in graph.neurons}
    worst = 0.0
    for (name, key), values in left.states.items():
        other = right.states[name, key]
        size = np.maximum(np.maximum(np.abs(values), np.abs(other)), thresholds[name])
        worst = max(worst, float(np.max(np.abs(values - other) / size)))
    return Difference(sum(int((left.spikes[n] != right.spikes[n]).sum()) for n in left.spikes), worst)


def explain(
    graph: Graph, recorded: Mapping[str, Trace], drives: Mapping[str, npt.NDArray[Any]], execute: Execute
) -> str:
    """``matches with ...``, the change that comes closest, or that none of them explains it.

    Args:
        graph: what differs from the module.
        recorded: drive -> what the module did, every population with its states.
        drives: drive -> input [B, T, *shape].
        execute: runs a float graph.
    """
    search = _Search(graph, recorded, drives, execute)
    start = search.worst(graph)
    best, nearest = start, ""
    for text, changed in candidates(graph, recorded, search.culprit):
        try:
            found = search.worst(changed)
            if found.none and search.all(changed).none:
                return f"matches with {text}"
        except (GraphError, UnsupportedError):
            continue
        if found.spikes < best.spikes:
            best, nearest = found, text
    if nearest and 2 * best.spikes < start.spikes:
        return f"closest with {nearest}, but not equal"
    return "no single change of reset, comparison, decay, gain or start explains it"


@dataclass
class _Search:
    """Runs changed graphs, first on the one sample that tells most.

    Attributes:
        telling: the drive that differs most.
        sample: where it does.
        culprit: the first population of the graph that differs there; those before it are right.
    """

    graph: Graph
    recorded: Mapping[str, Trace]
    drives: Mapping[str, npt.NDArray[Any]]
    execute: Execute
    telling: str = field(init=False)
    sample: int = field(init=False)
    culprit: str = field(init=False)

    def __post_init__(self) -> None:
        found = {name: self._on(self.graph, name) for name in self.drives}
        self.telling = max(found, key=lambda name: (found[name].spikes, found[name].state))
        left = self.recorded[self.telling]
        right = self.execute(self.graph, self.drives[self.telling], Probes(states="all"))
        one_by_one = [difference(self.graph, one_sample(left, i), one_sample(right, i)) for i in range(left.samples)]
        self.sample = max(range(len(one_by_one)), key=lambda i: (one_by_one[i].spikes, one_by_one[i].state))
        names = [name for name in self.graph.order if name in left.spikes or (name, "v") in left.states]
        parts = {name: difference(self.graph, _only(left, name), right) for name in names}
        self.culprit = next((name for name in names if not parts[name].none), names[-1])

    def all(self, graph: Graph) -> Difference:
        """The sum over all drives."""
        found = [self._on(graph, name) for name in self.drives]
        return Difference(sum(d.spikes for d in found), max(d.state for d in found))

    def worst(self, graph: Graph) -> Difference:
        """On the telling sample only."""
        given = self.drives[self.telling][self.sample : self.sample + 1]
        right = self.execute(graph, given, Probes(states="all"))
        return difference(self.graph, one_sample(self.recorded[self.telling], self.sample), right)

    def _on(self, graph: Graph, name: str) -> Difference:
        right = self.execute(graph, self.drives[name], Probes(states="all"))
        return difference(self.graph, self.recorded[name], right)


def one_sample(trace: Trace, index: int) -> Trace:
    """The trace of one sample of the batch."""
    cut = slice(index, index + 1)
    states = {key: value[cut] for key, value in trace.states.items()}
    return replace(trace, spikes={key: value[cut] for key, value in trace.spikes.items()}, states=states)


def _only(trace: Trace, name: str) -> Trace:
    states = {key: value for key, value in trace.states.items() if key[0] == name}
    return replace(trace, spikes={key: value for key, value in trace.spikes.items() if key == name}, states=states)


def candidates(graph: Graph, recorded: Mapping[str, Trace], culprit: str) -> Iterator[tuple[str, Graph]]:
    """Every change as (text, graph): of all neurons at once, then of the first population that differs."""
    everywhere: dict[str, list[Neuron]] = {}
    alone: list[tuple[str, Neuron]] = []
    for node in graph.neurons:
        for text, changed in _changes(node):
            everywhere.setdefault(text, []).append(changed)
            if node.name == culprit:
                alone.append((f"{text} in {node.name}", changed))
    for text, nodes in everywhere.items():
        where = f" in {', '.join(node.name for node in nodes)}" if len(nodes) < len(graph.neurons) else ""
        yield text + where, _with(graph, nodes)
    fits = {f"{text} in {node.name}": changed for node in graph.neurons for text, changed in _fitted(node, recorded)}
    if fits:
        yield " and ".join(fits), _with(graph, fits.values())
    for text, changed in (*alone, *fits.items()) if len(graph.neurons) > 1 else ():
        yield text, _with(graph, [changed])


def _with(graph: Graph, nodes: Iterable[Neuron]) -> Graph:
    for node in nodes:
        graph = graph.replace_node(node)
    return graph


def _changes(node: Neuron) -> Iterator[tuple[str, Neuron]]:
    """Plausible misreadings of one population."""
    yield from _resets(node)
    other: Literal["gt", "ge"] = "ge" if node.fires == "gt" else "gt"
    yield f"v {'>=' if other == 'ge' else '>'} threshold", replace(node, fires=other)
    yield from _scalings(node)
    yield from _decays(node)
    yield from _starts(node)
    yield f"the current {'kept at' if node.reset_u else 'reset with'} a spike", replace(node, reset_u=not node.reset_u)
    if node.refractory:
        yield "no refractory steps", replace(node, refractory=0)
    yield "one refractory step more", replace(node, refractory=node.refractory + 1)


def _resets(node: Neuron) -> Iterator[tuple[str, Neuron]]:
    if node.reset_v != "none":
        text = "reset in the step of the spike" if node.reset_delay else "reset one step late"
        yield text, replace(node, reset_delay=1 - node.reset_delay)
    for kind, delay in product(get_args(Kind), (node.reset_delay, 1 - node.reset_delay)):
        if kind == node.reset_v or (kind == "none" and delay):
            continue
        yield _RESETS[kind] + (" one step late" if delay else ""), replace(node, reset_v=kind, reset_delay=delay)
    if np.any(_array(node.v_rest) != 0):
        yield "hard reset to the resting value", replace(node, reset_v="value", v_reset=node.v_rest)


def _scalings(node: Neuron) -> Iterator[tuple[str, Neuron]]:
    """How much of the input arrives: LIF equations scale it by 1/tau = 1 - decay, or do not."""
    share = 1.0 - _array(node.decay_v)
    gain = _array(node.gain)
    if np.any(gain != 1):
        yield "the whole input (no decay_input, norm_input or r)", replace(node, gain=np.ones(()))
    if np.any(share != 0):
        if np.any(gain != share):
            yield "the input scaled by 1 - decay (decay_input, norm_input)", replace(node, gain=share)
        yield "the input multiplied by tau", replace(node, gain=gain / np.where(share == 0, 1.0, share))
    if np.any(_array(node.bias) != 0):
        yield "no bias", replace(node, bias=np.zeros(()))


def _decays(node: Neuron) -> Iterator[tuple[str, Neuron]]:
    """Readings of a time constant."""
    u, v = _array(node.decay_u), _array(node.decay_v)
    if np.any(u != v):
        yield "decays of current and membrane exchanged", replace(node, decay_u=v, decay_v=u)
    for key, decay in (("decay_v", v), ("decay_u", u)):
        kept = np.clip(decay, 1e-300, 1.0)
        for text, other in (
            ("exp(-1/tau), not 1 - 1/tau", np.exp(decay - 1.0)),
            ("1 - 1/tau, not exp(-1/tau)", 1.0 + np.log(kept)),
            ("no loss", np.ones(())),
            ("no memory", np.zeros(())),
            ("tau 1000 times longer", kept ** (1 / _UNIT)),
            ("tau 1000 times shorter", kept**_UNIT),
        ):
            if np.any(other != decay) and np.all((other >= 0) & (other <= 1)):
                changed = replace(node, decay_v=other) if key == "decay_v" else replace(node, decay_u=other)
                yield f"{key}: {text}", changed


def _starts(node: Neuron) -> Iterator[tuple[str, Neuron]]:
    rest, start, after = _array(node.v_rest), _array(node.v_init), _array(node.v_reset)
    if np.any(rest != 0):
        yield "a resting value of 0", replace(node, v_rest=np.zeros(()))
    for text, value in (("0", np.zeros(())), ("the resting value", rest), ("the reset value", after),
                        ("half the threshold", _array(node.threshold) / 2)):  # fmt: skip
        if np.any(value != start):
            yield f"a start at {text}", replace(node, v_init=value)
    if node.reset_v == "value" and np.any(rest != after):
        yield "a resting value that is the reset value", replace(node, v_rest=after)


def _fitted(node: Neuron, recorded: Mapping[str, Trace]) -> Iterator[tuple[str, Neuron]]:
    """The decay and gain that the module's own states show between spikes, if one pair of numbers fits all of them."""
    rows, made = [], []
    for trace in recorded.values():
        if (node.name, "v") not in trace.states or (node.name, "u") not in trace.states:
            return
        v, u = trace.states[node.name, "v"], trace.states[node.name, "u"]
        sent = trace.spikes.get(node.name, np.zeros_like(v))
        quiet = (sent[:, 1:] == 0) & (sent[:, :-1] == 0)
        rows.append(np.stack([v[:, :-1][quiet], u[:, 1:][quiet], np.ones(int(quiet.sum()))], axis=1))
        made.append(v[:, 1:][quiet])
    x, y = np.concatenate(rows), np.concatenate(made)
    solution, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    if rank < 3 or not np.allclose(x @ solution, y, rtol=0, atol=1e-9 * max(1.0, float(np.abs(y).max()))):
        return
    decay, gain, shift = (float(value) for value in np.where(np.abs(solution) < 1e-9, 0.0, solution))
    kept, scale = _array(node.decay_v), _array(node.gain)
    known = ((decay, kept), (gain, scale), (shift, _array(node.bias) + (1.0 - kept) * _array(node.v_rest)))
    if all(np.allclose(ours, theirs, rtol=0, atol=1e-9) for ours, theirs in known):
        return
    number = np.asarray
    text = f"decay_v {decay:.6g}, input times {gain:.6g}" + (f", {shift:.6g} added in each step" if shift else "")
    yield text, replace(node, decay_v=number(decay), gain=number(gain), v_rest=number(0.0), bias=number(shift))


def _array(value: Any) -> npt.NDArray[np.float64]:
    return np.asarray(value, dtype=np.float64)
