"""What lies in a NIR file: primitives and edges, sub-graphs already flattened. Nothing is trusted or executed.

A NIR file is HDF5. It is read with bounded sizes, without following links to other places or other files, and
without object types, so that a damaged or hostile file ends as an InputError.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.formats.hdf5_check import check_hdf5

MAX_FILE = 1 << 30
MAX_UNPACKED = 1 << 30
# Deflate packs at most 1,032 bytes into one; what claims more was never written.
MAX_RATIO = 1100
MAX_OBJECTS = 100_000
MAX_DEPTH = 16
# What h5py and HDF5 raise on damaged files.
DAMAGE = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, MemoryError, OverflowError)
Value = npt.NDArray[Any] | str
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
    """A flat NIR graph; ``edges`` are pairs of item names."""

    items: Mapping[str, Item]
    edges: tuple[Link, ...]

    def into(self, name: str) -> tuple[str, ...]:
        """Sources of the edges into an item."""
        return tuple(a for a, b in self.edges if b == name)

    def out_of(self, name: str) -> tuple[str, ...]:
        """Targets of the edges out of an item."""
        return tuple(b for a, b in self.edges if a == name)

    def of_kind(self, *kinds: str) -> tuple[Item, ...]:
        """Items of these types."""
        return tuple(item for item in self.items.values() if item.kind in kinds)


def read_tree(content: bytes, where: str) -> Tree:
    """Reads the content of a NIR file.

    Args:
        content: the file's bytes.
        where: what messages call the file.

    Raises:
        InputError: h5py is missing, or the file is damaged, too large, or no NIR graph.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{where}: .nir files need h5py; pip install 'snnc[nir]'") from error
    check_hdf5(content, where)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            walk = _Walk(h5py, where, len(content))
            root = walk.child(file, "node")
            if walk.kind(root, "the file") != "NIRGraph":
                raise InputError(f"{where}: the file holds one {walk.kind(root, 'the file')}, not a NIRGraph")
            walk.graph(root, "", 0)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{where} is no NIR file or is damaged: {error}") from error
    return Tree(MappingProxyType(walk.items), _without_ports(walk.edges, walk.ports, where))


def read_content(path: Path) -> bytes:
    """The file's bytes, at most ``MAX_FILE``.

    Raises:
        InputError: it cannot be read or is larger.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise InputError(f"{path} has {path.stat().st_size} bytes, at most {MAX_FILE} are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


class _Walk:
    """Collects items and edges, and counts what it has read."""

    def __init__(self, h5py: Any, where: str, size: int) -> None:
        self.h5py, self.where, self.size = h5py, where, size
        self.items: dict[str, Item] = {}
        self.edges: list[Link] = []
        self.ports: set[str] = set()
        self.objects = self.bytes = 0

    def child(self, group: Any, key: str) -> Any:
        """A member that lies in this file, at this place."""
        self.objects += 1
        if self.objects > MAX_OBJECTS:
            raise InputError(f"{self.where}: more than {MAX_OBJECTS} objects")
        if not isinstance(group, self.h5py.Group) or key not in group:
            raise InputError(f"{self.where}: {_place(group)} has no member {key!r}; is this a NIR file?")
        if not isinstance(group.get(key, getlink=True), self.h5py.HardLink):
            raise InputError(f"{self.where}: {key!r} in {_place(group)} is a link; only data in place is read")
        return group[key]

    def keys(self, group: Any) -> list[str]:
        """Names of the members, sorted."""
        if not isinstance(group, self.h5py.Group):
            raise InputError(f"{self.where}: {_place(group)} is data where a group is expected")
        if len(group) > MAX_OBJECTS:
            raise InputError(f"{self.where}: {_place(group)} has {len(group)} members, at most {MAX_OBJECTS}")
        return sorted(str(key) for key in group)

    def value(self, data: Any) -> Value:
        """A dataset as an array of numbers or of text, or as one text."""
        if not isinstance(data, self.h5py.Dataset) or data.shape is None:
            raise InputError(f"{self.where}: {_place(data)} holds no data")
        if data.is_virtual or data.external:
            raise InputError(f"{self.where}: {_place(data)} lies in another file; only data in place is read")
        text = self.h5py.check_string_dtype(data.dtype) is not None
        if not text and data.dtype.kind not in "biuf":
            raise InputError(f"{self.where}: {_place(data)} is {data.dtype}; only numbers and text are read")
        size = max(data.dtype.itemsize, 1) * int(data.size)
        held = self.size if data.chunks is None else MAX_RATIO * min(int(data.id.get_storage_size()), self.size)
        if size > held:
            raise InputError(f"{self.where}: {_place(data)} claims {size} bytes, which the file does not hold")
        self.bytes += size
        if self.bytes > MAX_UNPACKED:
            raise InputError(f"{self.where}: more than {MAX_UNPACKED} bytes unpacked")
        if not text:
            return np.asarray(data[()])
        found = np.asarray(data.asstr()[()], dtype=object)
        return str(found.item()) if found.ndim == 0 else found

    def kind(self, group: Any, name: str) -> str:
        """The NIR type of a node."""
        found = self.value(self.child(group, "type"))
        if not isinstance(found, str):
            raise InputError(f"{self.where}: the type of {name} is no text")
        return found

    def graph(self, group: Any, prefix: str, depth: int) -> tuple[list[str], list[str]]:
        """Reads a graph and everything in it; gives the names of its Input and Output nodes."""
        if depth > MAX_DEPTH:
            raise InputError(f"{self.where}: sub-graphs are nested more than {MAX_DEPTH} deep")
        nodes = self.child(group, "nodes")
        ways: dict[str, tuple[list[str], list[str]]] = {}
        inputs: list[str] = []
        outputs: list[str] = []
        for key in self.keys(nodes):
            node, name = self.child(nodes, key), prefix + key
            kind = self.kind(node, name)
            if kind == "NIRGraph":
                ways[key] = self.graph(node, f"{name}.", depth + 1)
                continue
            ways[key] = ([name], [name])
            if kind in ("Input", "Output"):
                (inputs if kind == "Input" else outputs).append(name)
                if depth:
                    self.ports.add(name)
                    continue
            self.items[name] = self.item(node, name, kind)
        self.edges += self.links(group, ways, prefix)
        return inputs, outputs

    def item(self, node: Any, name: str, kind: str) -> Item:
        """A primitive with its fields; metadata is free text about it and is not read."""
        keys = [key for key in self.keys(node) if key not in ("type", "metadata")]
        return Item(name, kind, MappingProxyType({key: self.value(self.child(node, key)) for key in keys}))

    def links(self, group: Any, ways: Mapping[str, tuple[list[str], list[str]]], prefix: str) -> list[Link]:
        """Edges of one graph; an edge to a sub-graph goes to its Input, one from it comes from its Output."""
        table = np.asarray(self.value(self.child(group, "edges")), dtype=object)
        if table.size == 0:
            return []
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
        if port in into or len(into) * len(out) > MAX_OBJECTS:
            raise InputError(f"{where}: the port {port} of a sub-graph feeds itself or too much")
        joined = [(a, b) for a in into for b in out]
        edges = [*(e for e in edges if port not in e), *joined]
    return tuple(edges)


def _place(thing: Any) -> str:
    return str(getattr(thing, "name", None) or "the file")
