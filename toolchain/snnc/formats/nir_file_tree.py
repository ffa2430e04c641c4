"""What lies in a NIR file: primitives and edges, sub-graphs already flattened. Nothing is trusted or executed.

A NIR file is HDF5, read with bounds in a process of its own (:mod:`snnc.formats.hdf5_read`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from snnc.errors import InputError
from snnc.formats import hdf5_read
from snnc.formats.hdf5_read import LIMITS, read_content
from snnc.formats.hdf5_tree import Group, Limits, Member, Value

__all__ = ["Item", "Link", "Tree", "read_content", "read_tree"]
MAX_DEPTH = 16
# What a network of this kind never reaches; the steps below need time in proportion to their product.
MAX_NODES = 2048
MAX_EDGES = 8192
HINT = "is this a NIR file?"
Link = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Item:
    """One primitive of a NIR graph.

    Attributes:
        name: path through the sub-graphs, joined by dots.
        kind: its NIR type.
        fields: field -> array or text.
    """

    name: str
    kind: str
    fields: Mapping[str, Value]


@dataclass(frozen=True, eq=False)
class Tree:
    """A flat NIR graph.

    Attributes:
        items: primitives by name.
        edges: pairs of item names.
        version: of the package nir that wrote the file; empty if the file does not say.
    """

    items: Mapping[str, Item]
    edges: tuple[Link, ...]
    version: str = ""

    @cached_property
    def before(self) -> Mapping[str, tuple[str, ...]]:
        """Sources of the edges into each item."""
        return _grouped(self.items, ((b, a) for a, b in self.edges))

    @cached_property
    def after(self) -> Mapping[str, tuple[str, ...]]:
        """Targets of the edges out of each item."""
        return _grouped(self.items, self.edges)

    def into(self, name: str) -> tuple[str, ...]:
        """Sources of the edges into an item."""
        return self.before[name]

    def out_of(self, name: str) -> tuple[str, ...]:
        """Targets of the edges out of an item."""
        return self.after[name]

    def of_kind(self, *kinds: str) -> tuple[Item, ...]:
        """Items of these types."""
        return tuple(item for item in self.items.values() if item.kind in kinds)


def _grouped(names: Iterable[str], pairs: Iterable[Link]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {name: [] for name in names}
    for key, value in pairs:
        found[key].append(value)
    return MappingProxyType({key: tuple(values) for key, values in found.items()})


def read_tree(content: bytes, where: str, limits: Limits = LIMITS) -> Tree:
    """Reads the content of a NIR file.

    Args:
        content: the file's bytes.
        where: what messages call the file.
        limits: bounds.

    Raises:
        InputError: h5py is missing, or the file is damaged, too large, or no NIR graph.
    """
    reader = _Reader(where)
    file = hdf5_read.read_hdf5(content, where, "nir", limits)
    root = reader.group(file, "node")
    kind = reader.kind(root, "the file")
    if kind != "NIRGraph":
        raise InputError(f"{where}: the file holds one {kind}, not a NIRGraph")
    reader.graph(root, "", 0)
    version = file.members.get("version")
    edges = _without_ports(reader.edges, reader.ports, where)
    return Tree(MappingProxyType(reader.items), edges, version if isinstance(version, str) else "")


class _Reader:
    """Collects items and edges."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.items: dict[str, Item] = {}
        self.edges: list[Link] = []
        self.ports: set[str] = set()

    def child(self, group: Member, key: str) -> Value | Group:
        """A member."""
        return hdf5_read.member(group, key, self.where, HINT)

    def value(self, group: Group, key: str) -> Value:
        """A member that is no group."""
        found = self.child(group, key)
        if isinstance(found, Group):
            raise InputError(f"{self.where}: {found.path} is a group where data is expected")
        return found

    def group(self, group: Member, key: str) -> Group:
        """A member that is a group."""
        found = self.child(group, key)
        if not isinstance(found, Group):
            raise InputError(f"{self.where}: {key} is data where a group is expected")
        return found

    def kind(self, group: Group, name: str) -> str:
        """The NIR type of a node."""
        found = self.value(group, "type")
        if not isinstance(found, str):
            raise InputError(f"{self.where}: the type of {name} is no text")
        return found

    def graph(self, group: Group, prefix: str, depth: int) -> tuple[list[str], list[str]]:
        """Reads a graph and everything in it; gives the names of its Input and Output nodes."""
        if depth > MAX_DEPTH:
            raise InputError(f"{self.where}: sub-graphs are nested more than {MAX_DEPTH} deep")
        nodes = self.group(group, "nodes")
        ways: dict[str, tuple[list[str], list[str]]] = {}
        inputs: list[str] = []
        outputs: list[str] = []
        for key in nodes.members:
            node, name = self.group(nodes, key), prefix + key
            kind = self.kind(node, name)
            if kind == "NIRGraph":
                ways[key] = self.graph(node, f"{name}.", depth + 1)
                continue
            if len(self.items) + len(self.ports) >= MAX_NODES:
                raise InputError(f"{self.where}: more than {MAX_NODES} nodes")
            ways[key] = ([name], [name])
            if kind in ("Input", "Output"):
                (inputs if kind == "Input" else outputs).append(name)
                if depth:
                    self.ports.add(name)
                    continue
            self.items[name] = self.item(node, name, kind)
        self.edges += self.links(group, ways, prefix)
        return inputs, outputs

    def item(self, node: Group, name: str, kind: str) -> Item:
        """A primitive with its fields; metadata is free text about it and is not read."""
        keys = [key for key in node.members if key not in ("type", "metadata")]
        return Item(name, kind, MappingProxyType({key: self.value(node, key) for key in keys}))

    def links(self, group: Group, ways: Mapping[str, tuple[list[str], list[str]]], prefix: str) -> list[Link]:
        """Edges of one graph; an edge to a sub-graph goes to its Input, one from it comes from its Output."""
        table = np.asarray(self.value(group, "edges"), dtype=object)
        if table.size == 0:
            return []
        if len(self.edges) + table.size > 2 * MAX_EDGES:
            raise InputError(f"{self.where}: more than {MAX_EDGES} edges")
        if table.ndim != 2 or table.shape[1] != 2:
            raise InputError(f"{self.where}: the edges of {prefix or 'the graph'} have shape {table.shape}, not (n, 2)")
        found: list[Link] = []
        seen: set[Link] = set()
        for source, target in ((str(a), str(b)) for a, b in table):
            edge = f"{self.where}: the edge {prefix}{source} -> {prefix}{target}"
            for end in (source, target):
                if end not in ways:
                    raise InputError(f"{edge} names {end!r}, which is no node; there are {', '.join(ways) or 'none'}")
            if (source, target) in seen:
                raise InputError(f"{edge} occurs twice")
            seen.add((source, target))
            exits, entries = ways[source][1], ways[target][0]
            if len(exits) != 1 or len(entries) != 1:
                raise InputError(f"{edge}: a sub-graph needs exactly one Input and one Output")
            found.append((exits[0], entries[0]))
        return found


def _without_ports(edges: list[Link], ports: set[str], where: str) -> tuple[Link, ...]:
    """Joins the edges on both sides of the Inputs and Outputs of sub-graphs."""
    for port in sorted(ports):
        into = [a for a, b in edges if b == port]
        out = [b for a, b in edges if a == port]
        if port in into or len(edges) + len(into) * len(out) > MAX_EDGES:
            raise InputError(f"{where}: the port {port} of a sub-graph feeds itself or too much")
        joined = [(a, b) for a in into for b in out]
        edges = [*(e for e in edges if port not in e), *joined]
    return tuple(edges)
