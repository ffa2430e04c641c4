"""NIR files (Neuromorphic Intermediate Representation, HDF5) -> Graph.

Dialects of the exporters are recognised: time constants in seconds or steps, scalar parameters, batch and time axes
in front of shapes, Inputs of any name, sub-graphs, loops without a delay. What no file says (the reset, the step) is
asked for. h5py is needed, the package nir is not: it refuses some of these dialects and reads files without bounds.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from snnc.errors import GraphError, InputError, UnsupportedError, Violation
from snnc.formats.nir_file_layers import LAYERS, RANKS, Shape, integers, layer, numbers
from snnc.formats.nir_file_loops import recurrent
from snnc.formats.nir_file_neurons import GRADED, SPIKING, Meaning, delay_steps, in_steps, neuron, settle
from snnc.formats.nir_file_tree import Item, Tree, read_content, read_tree
from snnc.ir import Edge, Graph, Identity, Input, Node, Readout
from snnc.ir.nodes import Encoding
from snnc.ir.shapes import output_shape

__all__ = ["Meaning", "read", "read_content"]
NEURONS = (*SPIKING, "Threshold")
POPULATIONS = (*NEURONS, *GRADED)
KNOWN = {*LAYERS, *POPULATIONS, "Input", "Output", "Delay"}


def read(data: bytes | Path, meaning: Meaning, encoding: Encoding = "spikes", name: str = "the NIR file") -> Graph:
    """Reads a NIR file.

    Args:
        data: the file's content or its path.
        meaning: what the user says that the file leaves open.
        encoding: what the Input takes.
        name: what messages call the file if ``data`` is its content.

    Raises:
        InputError: the file is damaged or contradicts itself, or leaves open what ``meaning`` does not settle.
        UnsupportedError: it holds primitives that no graph says, all of them named.
    """
    where = str(data) if isinstance(data, Path) else name
    tree = read_tree(read_content(data) if isinstance(data, Path) else data, where)
    try:
        return _graph(_checked(tree, where), meaning, encoding, where)
    except (GraphError, InputError, UnsupportedError) as error:
        if error.message.startswith(where):
            raise
        raise type(error)(f"{where}: {error.message}", violations=error.violations) from error
    except (ValueError, LookupError, ArithmeticError, TypeError) as error:
        raise InputError(f"{where} is damaged: {error!a}") from error


def _checked(tree: Tree, where: str) -> Tree:
    """Refuses what no graph can say, and looks at the ends."""
    found: list[Violation] = []
    for item in tree.items.values():
        if item.kind not in KNOWN:
            found.append(Violation(item.name, "primitive", repr(item.kind), ", ".join(sorted(KNOWN))))
    if found:
        raise UnsupportedError.of(*found, message="" if len(found) == 1 else f"{where}: {len(found)} primitives")
    for kind in ("Input", "Output"):
        names = [item.name for item in tree.of_kind(kind)]
        if len(names) != 1:
            raise InputError(f"{where}: there are {len(names)} {kind} nodes ({', '.join(names)}); one is needed")
    unfed = [item.name for item in tree.items.values() if item.kind != "Input" and not tree.into(item.name)]
    if unfed:
        raise InputError(f"{where}: nothing feeds {', '.join(unfed)}")
    return tree


def _graph(tree: Tree, given: Meaning, encoding: Encoding, where: str) -> Graph:
    meaning = settle(tree, given, where)
    delays = {item.name: delay_steps(item, meaning.dt) for item in tree.of_kind("Delay")}
    neurons = [item.name for item in tree.of_kind(*NEURONS)]
    loops = recurrent(tree, [name for name, steps in delays.items() if steps], neurons, where)
    steps = {edge: loops.get(edge, 0) + delays.get(edge[0], 0) for edge in tree.edges}
    names = _names(tree)
    nodes = _nodes(tree, names, meaning, encoding, where)
    edges = tuple(Edge(names[a], names[b], steps[a, b]) for a, b in tree.edges)
    return Graph(tuple(nodes), edges, 0.0 if in_steps(tree) else meaning.dt)


def _nodes(tree: Tree, names: dict[str, str], meaning: Meaning, encoding: Encoding, where: str) -> list[Node]:
    """Nodes, from the Input outwards; a node is made when the shape of one of its inputs is known."""
    shapes: dict[str, Shape] = {}
    nodes: list[Node] = []
    start = tree.of_kind("Input")[0].name
    lead, shapes[start] = _input_shape(tree, start)
    nodes.append(Input(names[start], shapes[start], encoding))
    waiting = deque([start])
    while waiting:
        for name in tree.out_of(waiting.popleft()):
            if name in shapes:
                continue
            item = Item(names[name], tree.items[name].kind, tree.items[name].fields)
            shape = next(shapes[a] for a in tree.into(name) if a in shapes)
            node = _node(tree, name, item, shape, lead, meaning)
            shapes[name] = output_shape(node, [shape])
            nodes.append(node)
            waiting.append(name)
    lost = [name for name in tree.items if name not in shapes]
    if lost:
        raise InputError(f"{where}: no path from the Input reaches {', '.join(lost)}")
    return nodes


def _node(tree: Tree, name: str, item: Item, shape: Shape, lead: Shape, meaning: Meaning) -> Node:
    if item.kind in POPULATIONS:
        return neuron(item, shape, meaning)
    if item.kind == "Delay":
        return Identity(item.name, "delay")
    if item.kind != "Output":
        return layer(item, shape)
    declared = tuple(int(size) for size in numbers(item, "shape").reshape(-1))
    if declared not in (shape, lead + shape):
        fix = "The file contradicts itself; export it again."
        raise InputError(str(Violation(item.name, "output shape", str(declared), f"{shape}, which arrives", fix)))
    for source in tree.into(name):
        if tree.items[source].kind not in POPULATIONS:
            fix = "End the network with spiking neurons."
            raise UnsupportedError(str(Violation(item.name, "output of", source, "neurons", fix)))
    graded = any(tree.items[source].kind in GRADED for source in tree.into(name))
    return Readout(item.name, "sum" if graded else "count")


def _input_shape(tree: Tree, name: str) -> tuple[Shape, Shape]:
    """Leading axes that are not part of a step (batch, time), and the shape of a step."""
    item = tree.items[name]
    shape = integers(item, "shape", max(numbers(item, "shape").size, 1), 1)
    rank = _wanted_rank(tree, name)
    if rank is None or len(shape) <= rank:
        return (), shape
    return shape[: len(shape) - rank], shape[len(shape) - rank :]


def _wanted_rank(tree: Tree, name: str) -> int | None:
    """Number of axes that the first layer behind the Input takes; None if no layer says it."""
    seen: set[str] = set()
    waiting = deque([name])
    while waiting:
        for target in tree.out_of(waiting.popleft()):
            kind = tree.items[target].kind
            if kind in RANKS:
                return RANKS[kind]
            if target not in seen and kind != "Flatten":
                seen.add(target)
                waiting.append(target)
    return None


def _names(tree: Tree) -> dict[str, str]:
    """Node names: those of the file, with spaces and slashes replaced and kept apart."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in tree.items:
        plain = "".join("_" if c.isspace() or c == "/" else c for c in name) or "node"
        while plain in taken:
            plain += "_"
        taken.add(plain)
        found[name] = plain
    return found
