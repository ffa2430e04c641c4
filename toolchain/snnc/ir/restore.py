"""The inverse of :func:`snnc.ir.serial.describe`: plain data back to a network, every rule checked again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from snnc.errors import GraphError
from snnc.ir.catalog import NODE_TYPES
from snnc.ir.conventions import Conventions
from snnc.ir.fixed import Fixed, Format
from snnc.ir.graph import Edge, FixedGraph, Graph, Network
from snnc.ir.nodes import Adaptation, Node
from snnc.ir.serial import Arrays


def rebuild(head: dict[str, Any], arrays: Arrays) -> Network:
    """The network of a description; the inverse of :func:`describe`.

    Raises:
        GraphError: the description does not make a valid network.
    """
    try:
        nodes = tuple(rebuild_node(entry, arrays) for entry in head["nodes"])
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


def rebuild_node(entry: dict[str, Any], arrays: Arrays) -> Node:
    """The node of :func:`snnc.ir.serial.describe_node`.

    Raises:
        GraphError: the description names no node type or no field; others as :func:`rebuild` catches them.
    """
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
