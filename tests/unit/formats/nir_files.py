"""Small NIR files: written by the package nir, or member by member for dialects that nir itself refuses."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

Fields = Mapping[str, Any]
LIF = {"tau": 0.01, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0}


def written(path: Path, nodes: Mapping[str, nir.NIRNode], edges: list[tuple[str, str]]) -> Path:
    """A file as nir 1.0.8 writes it."""
    nir.write(path, nir.NIRGraph(dict(nodes), edges))
    return path


def chain(path: Path, shape: tuple[int, ...], *nodes: nir.NIRNode) -> Path:
    """Input -> nodes n0, n1, ... -> Output, as nir writes it."""
    names = [f"n{i}" for i in range(len(nodes))]
    walk = ["input", *names, "output"]
    inner = dict(zip(names, nodes, strict=True))
    last = nodes[-1].output_type["output"]
    ends = {"input": nir.Input({"input": np.array(shape)}), "output": nir.Output({"output": np.array(last)})}
    return written(path, {**ends, **inner}, list(pairwise(walk)))


def full(shape: tuple[int, ...] | int, **values: float) -> dict[str, np.ndarray]:
    """Parameters of one value each."""
    return {key: np.full(shape, value) for key, value in values.items()}


def raw(path: Path, nodes: Mapping[str, Fields], edges: list[tuple[str, str]]) -> Path:
    """A file of the given members; a node of type NIRGraph holds ``nodes`` and ``edges``."""
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="0.2.0")
        _graph(file.create_group("node"), nodes, edges)
    return path


def line(path: Path, shape: tuple[int, ...], out: tuple[int, ...], **nodes: Fields) -> Path:
    """Input -> nodes -> Output, written member by member."""
    walk = ["input", *nodes, "output"]
    ends = {"input": {"type": "Input", "shape": shape}, "output": {"type": "Output", "shape": out}}
    return raw(path, {**ends, **nodes}, list(pairwise(walk)))


def _graph(group: h5py.Group, nodes: Mapping[str, Fields], edges: list[tuple[str, str]]) -> None:
    group.create_dataset("type", data="NIRGraph")
    table = np.array(edges, dtype=object).reshape(-1, 2)
    group.create_dataset("edges", data=table, dtype=h5py.string_dtype())
    members = group.create_group("nodes")
    for name, fields in nodes.items():
        node = members.create_group(name)
        if fields["type"] == "NIRGraph":
            _graph(node, fields["nodes"], fields["edges"])
            continue
        for key, value in fields.items():
            node.create_dataset(key, data=value)
