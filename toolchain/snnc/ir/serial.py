"""A network as plain data: a JSON-ready description plus named arrays, and back. Also the digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from snnc.errors import GraphError
from snnc.ir.conventions import Conventions
from snnc.ir.fixed import Fixed, Format
from snnc.ir.nodes import NODE_TYPES, Adaptation, Node

if TYPE_CHECKING:
    from snnc.ir.graph import Network

Arrays = dict[str, npt.NDArray[Any]]


def describe(network: Network) -> tuple[dict[str, Any], Arrays]:
    """The network as (JSON-ready description, arrays by ``node/field``)."""
    from snnc.ir.graph import FixedGraph, Graph

    arrays: Arrays = {}
    nodes = [_describe_node(node, arrays) for node in network.nodes]
    head: dict[str, Any] = {"nodes": nodes, "edges": [[e.source, e.target, e.delay] for e in network.edges]}
    if isinstance(network, FixedGraph):
        head |= {
            "type": "FixedGraph",
            "target": network.target,
            "conventions": asdict(network.conventions),
            "latency": dict(sorted(network.latency.items())),
        }
    elif isinstance(network, Graph):
        head |= {"type": "Graph", "dt": network.dt}
    return head, arrays


def rebuild(head: dict[str, Any], arrays: Arrays) -> Network:
    """The network of a description; the inverse of :func:`describe`.

    Raises:
        GraphError: the description does not make a valid network.
    """
    from snnc.ir.graph import Edge, FixedGraph, Graph

    try:
        nodes = tuple(_rebuild_node(entry, arrays) for entry in head["nodes"])
        edges = tuple(Edge(str(a), str(b), int(d)) for a, b, d in head["edges"])
        if head["type"] == "Graph":
            return Graph(nodes, edges, dt=float(head["dt"]))
        if head["type"] == "FixedGraph":
            conventions = Conventions(**head["conventions"])
            latency = {str(k): int(v) for k, v in head["latency"].items()}
            return FixedGraph(nodes, edges, str(head["target"]), conventions, latency)
    except (KeyError, TypeError, ValueError) as error:
        raise GraphError(f"the description of the network is damaged: {error!r}") from error
    raise GraphError(f"the description is of unknown type {head['type']!r}")


def digest_of(network: Network) -> str:
    """sha256 over the description and every array."""
    head, arrays = describe(network)
    sha = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for key in sorted(arrays):
        sha.update(key.encode() + str(arrays[key].shape).encode())
        sha.update(np.ascontiguousarray(arrays[key]).astype(arrays[key].dtype.newbyteorder("<")).tobytes())
    return sha.hexdigest()


def _describe_node(node: Node, arrays: Arrays) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": type(node).__name__}
    for f in fields(node):
        value = getattr(node, f.name)
        if f.name in node.PARAMS and value is not None:
            key = f"{node.name}/{f.name}"
            fixed = isinstance(value, Fixed)
            arrays[key] = value.raw if fixed else value
            entry[f.name] = {"array": key, "format": asdict(value.format) if fixed else None}
        elif f.name == "adaptation":
            entry[f.name] = [asdict(trace) for trace in value]
        else:
            entry[f.name] = list(value) if isinstance(value, tuple) else value
    return entry


def _rebuild_node(entry: dict[str, Any], arrays: Arrays) -> Node:
    entry = dict(entry)
    kind = entry.pop("type")
    if kind not in NODE_TYPES:
        raise GraphError(f"unknown node type {kind!r}")
    cls = NODE_TYPES[kind]
    known = {f.name for f in fields(cls)}
    for key, value in entry.items():
        if key not in known:
            raise GraphError(f"{kind} has no field {key!r}")
        if key in cls.PARAMS and value is not None:
            array = arrays[value["array"]]
            entry[key] = Fixed(array, Format(**value["format"])) if value["format"] else array
        elif key == "adaptation":
            entry[key] = tuple(Adaptation(**trace) for trace in value)
        elif isinstance(value, list):
            entry[key] = tuple(value)
    return cls(**entry)
