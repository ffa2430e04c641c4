"""Graph -> NIR file, with a report of what the file cannot say.

NIR holds differential equations: neither the step, nor how time becomes steps, nor the reset, nor the comparison at
the threshold is in the file. They stand in the report as the options a reader needs (``outside``). What would make
the file another network is refused, or left out on demand and reported (``lost``). The file is read back and
compared: parameters that are not the same to the last bit are reported, too (``rounded``).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.formats import nir_file, nir_write_layers, nir_write_neurons
from snnc.formats.nir_file import Meaning
from snnc.ir import Edge, Graph, Input, Neuron, Node, Readout

VERSION = "1.0.8"
ENDS = {Input: "input", Readout: "output"}
NOT_SAID = "not said by NIR"


@dataclass(frozen=True)
class Report:
    """What a reader of the file must know.

    Attributes:
        meaning: with it, :func:`snnc.formats.nir_file.read` gives the network back.
        names: node in the file -> node of the graph, where they differ.
        outside: what the file cannot say and a reader must be told.
        lost: what was left out; the file computes another network.
        rounded: node and parameter -> largest difference after reading back.
    """

    meaning: Meaning
    names: Mapping[str, str]
    outside: tuple[Violation, ...]
    lost: tuple[Violation, ...]
    rounded: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "meaning": dict(vars(self.meaning)),
            "names": dict(self.names),
            "outside": [dict(vars(v)) for v in self.outside],
            "lost": [dict(vars(v)) for v in self.lost],
            "rounded": dict(self.rounded),
        }


def write(graph: Graph, dt: float = 0.0, *, lossy: bool = False) -> tuple[bytes, Report]:
    """The network as a NIR file, and what the file does not say.

    Args:
        graph: float network.
        dt: seconds per step; 0 takes the graph's, and counts in steps (dt 1) if it has none.
        lossy: leave out what NIR cannot say instead of refusing.

    Raises:
        InputError: h5py is missing, or dt makes no sense.
        UnsupportedError: NIR cannot say the network; with every node that is why.
    """
    source = nir_write_layers.flat(graph)
    lost = [v for node in source.neurons for v in nir_write_neurons.lost(node)]
    ready = _canonical(source)
    broken = [*nir_write_layers.refused(ready), *(v for n in ready.neurons for v in nir_write_neurons.refused(n))]
    meaning, mixed = _meaning(ready)
    lost += mixed
    if broken or (lost and not lossy):
        raise UnsupportedError("NIR cannot say this network", violations=(*broken, *lost))
    meaning = replace(meaning, dt=_step(ready, dt))
    ready = _settled(ready, meaning)
    names = _names(ready)
    content, again = _fitting(ready, names, meaning)
    old = {new: name for name, new in names.items() if new != name}
    outside = (*_outside(meaning, ready), *(v for node in ready.nodes for v in nir_write_layers.remarks(node)))
    return content, Report(meaning, old, outside, tuple(lost), _rounded(source, ready, again, names))


def _canonical(graph: Graph) -> Graph:
    return graph.with_nodes(
        nir_write_neurons.canonical(nir_write_neurons.plain(n)) if isinstance(n, Neuron) else n for n in graph.nodes
    )


def _meaning(graph: Graph) -> tuple[Meaning, list[Violation]]:
    """What a reader is told for the whole file, and populations for which it is wrong."""
    spiking = [node for node in graph.neurons if node.output != "graded"]
    found: list[Violation] = []
    chosen: dict[str, str] = {}
    for key, of in (("reset", nir_write_neurons.word), ("fires", lambda node: node.fires)):
        words = {node.name: of(node) for node in spiking if of(node)}
        chosen[key] = next((word for word, _ in Counter(words.values()).most_common(1)), "")
        for name, word in words.items():
            if word != chosen[key]:
                found.append(Violation(name, key, word, f"{chosen[key]}, as in the other populations"))
    leaky = any(nir_write_neurons.is_leaky(node) for node in graph.neurons)
    return Meaning(0.0, chosen["reset"], "euler" if leaky else "", chosen["fires"]), found


def _step(graph: Graph, given: float) -> float:
    """The step to write; 0 if nothing in the file needs one."""
    leaky = [node for node in graph.neurons if nir_write_neurons.is_leaky(node)]
    if not leaky and not any(edge.delay for edge in graph.edges):
        return 0.0
    if given < 0 or not np.isfinite(given):
        raise InputError(f"the step is {given:g} seconds, allowed is more than 0")
    dt = given or graph.dt or 1.0
    fields = [nir_write_neurons.written(node, dt) for node in leaky]
    taus = [value for found in fields for key, value in found.items() if key.startswith("tau")]
    if not taus or dt >= 1 or any(np.any(tau < 1) for tau in taus):
        return dt
    if given:
        raise InputError(
            f"with a step of {given:g} seconds all time constants are 1 second or more, which readers take for a "
            "count of steps; give 1 to count steps"
        )
    return 1.0


def _settled(graph: Graph, meaning: Meaning) -> Graph:
    """The graph with one reset and one comparison, which differs only where populations did not agree."""
    kind, _, late = meaning.reset.partition("-")

    def one(node: Node) -> Node:
        if not isinstance(node, Neuron) or node.output == "graded":
            return node
        fires: Any = meaning.fires
        node = replace(node, fires=fires)
        if node.reset_v == "none" or nir_write_neurons.word(node) == meaning.reset:
            return node
        reset: Any = kind
        return nir_write_neurons.canonical(
            replace(node, reset_v=reset, reset_delay=int(bool(late)), v_reset=np.zeros(()))
        )

    return graph.with_nodes(one(node) for node in graph.nodes)


def _names(graph: Graph) -> dict[str, str]:
    """Node -> name in the file: ends are called input and output, which other readers ask for."""
    taken = {node.name for node in graph.nodes if type(node) not in ENDS}
    found: dict[str, str] = {}
    for node in graph.nodes:
        end = ENDS.get(type(node))
        name = node.name
        while end is None and name in ENDS.values():
            name = f"{name}_"
            name = f"{name}_" if name in taken else name
        found[node.name] = end or name
    return found


def _fitting(graph: Graph, names: Mapping[str, str], meaning: Meaning) -> tuple[bytes, Graph]:
    """The file that reads back as the graph: loops without Delay nodes where that is enough, else with them.

    Raises:
        UnsupportedError: neither is the graph.
    """
    encoding = graph.inputs[0].encoding
    want = Counter((names[e.source], names[e.target], e.delay) for e in graph.edges)
    problem = "its edges come back with other delays"
    for loops in (True, False):
        content = _file(graph, names, meaning.dt, loops)
        try:
            again = nir_write_layers.flat(nir_file.read(content, meaning, encoding))
        except InputError as error:
            problem = error.message
            continue
        if Counter((e.source, e.target, e.delay) for e in again.edges) == want:
            return content, again
    raise UnsupportedError(f"NIR cannot say the connections of this network: {problem}")


def _file(graph: Graph, names: Mapping[str, str], dt: float, loops: bool) -> bytes:
    shapes = graph.shapes
    nodes: dict[str, dict[str, Any]] = {}
    for node in graph.nodes:
        into = graph.incoming(node.name)
        shape = shapes[into[0].source] if into else shapes[node.name]
        if isinstance(node, Neuron):
            nodes[names[node.name]] = nir_write_neurons.written(node, dt)
        else:
            nodes[names[node.name]] = nir_write_layers.written(node, shape)
    edges: list[tuple[str, str]] = []
    for edge in graph.edges:
        a, b = names[edge.source], names[edge.target]
        if edge.delay and not (loops and edge.delay == 1 and _returns(graph, edge)):
            wait = f"{a}_{b}_delay"
            while wait in nodes:
                wait += "_"
            nodes[wait] = {"type": "Delay", "delay": np.full(shapes[edge.source], edge.delay * dt)}
            edges += [(a, wait), (wait, b)]
        else:
            edges.append((a, b))
    return _bytes(nodes, edges)


def _returns(graph: Graph, edge: Edge) -> bool:
    """True if the edge closes a loop."""
    seen: set[str] = set()
    waiting = [edge.target]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [e.target for e in graph.outgoing(name)]
    return edge.source in seen


def _bytes(nodes: Mapping[str, Mapping[str, Any]], edges: list[tuple[str, str]]) -> bytes:
    """The members as the package nir writes them."""
    try:
        import h5py
    except ImportError as error:
        raise InputError("NIR files need h5py; pip install 'snnc[nir]'") from error
    text = h5py.string_dtype()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("version", data=VERSION, dtype=text)
        root = file.create_group("node")
        root.create_dataset("type", data="NIRGraph", dtype=text)
        root.create_dataset("edges", data=np.array(edges, dtype=object).reshape(-1, 2), dtype=text)
        members = root.create_group("nodes")
        for name, found in nodes.items():
            group = members.create_group(name)
            for key, value in found.items():
                if isinstance(value, str):
                    group.create_dataset(key, data=value, dtype=text)
                else:
                    big = isinstance(value, np.ndarray) and value.ndim > 0
                    group.create_dataset(key, data=value, compression="gzip" if big else None)
    return buffer.getvalue()


def _outside(meaning: Meaning, graph: Graph) -> list[Violation]:
    """The options of a reader, one remark each."""
    found: list[Violation] = []
    if meaning.dt:
        unit = "a step (time constants count steps)" if meaning.dt == 1 else "seconds"
        found.append(Violation("network", "dt", f"{meaning.dt:g} {unit}", NOT_SAID, f"Read with --dt {meaning.dt}."))
    if meaning.decay:
        found.append(Violation("network", "decay", "forward Euler", NOT_SAID, "Read with --decay euler."))
    if meaning.reset:
        found.append(Violation("network", "reset", meaning.reset, NOT_SAID, f"Read with --reset {meaning.reset}."))
    if meaning.fires == "ge":
        fix = "Read with --fires ge."
        found.append(Violation("network", "comparison", "v >= threshold", "v > threshold in NIR", fix))
    loops = sum(bool(edge.delay) and _returns(graph, edge) for edge in graph.edges)
    if loops:
        fix = "A reader must take one step for a loop without Delay nodes."
        found.append(Violation("network", "recurrent edges", str(loops), "loops without a step", fix))
    return found


def _rounded(source: Graph, ready: Graph, again: Graph, names: Mapping[str, str]) -> dict[str, float]:
    """Parameters that the file does not hold to the last bit."""
    found: dict[str, float] = {}
    for node in ready.nodes:
        twin = again[names[node.name]]
        for key, value in twin.params().items():
            mine = getattr(node, key)
            error = float(np.max(np.abs(np.asarray(value) - np.asarray(0.0 if mine is None else mine)), initial=0.0))
            if error:
                found[f"{node.name}.{key}"] = error
    for node in source.neurons:
        if np.any(np.asarray(node.bias)):
            eps = float(np.finfo(np.float64).eps * np.max(np.abs(np.asarray(node.bias))))
            found[f"{node.name}.bias"] = max(found.get(f"{node.name}.v_rest", 0.0), eps)
    return found
