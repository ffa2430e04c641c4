"""A network as plain data: a JSON-ready description plus named arrays. Also the digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from snnc.ir.fixed import Fixed
from snnc.ir.nodes import Node

if TYPE_CHECKING:
    from snnc.ir.graph import Network

Arrays = dict[str, npt.NDArray[Any]]


def describe(network: Network) -> tuple[dict[str, Any], Arrays]:
    """The network as (JSON-ready description, arrays by ``node/field``)."""
    arrays: Arrays = {}
    nodes = [describe_node(node, arrays) for node in network.nodes]
    edges = [[edge.source, edge.target, edge.delay] for edge in network.edges]
    head: dict[str, Any] = {"type": type(network).__name__, "nodes": nodes, "edges": edges, **network.head()}
    return head, arrays


def digest_of(network: Network) -> str:
    """sha256 over the description and every array."""
    head, arrays = describe(network)
    sha = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for key in sorted(arrays):
        sha.update(key.encode() + str(arrays[key].shape).encode())
        sha.update(np.ascontiguousarray(arrays[key]).astype(arrays[key].dtype.newbyteorder("<")).tobytes())
    return sha.hexdigest()


def describe_node(node: Node, arrays: Arrays) -> dict[str, Any]:
    """One node as JSON-ready data; its parameters go to ``arrays`` by ``node/field``."""
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
