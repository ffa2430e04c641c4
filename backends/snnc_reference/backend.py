"""The back end ``reference``: the living definition. It serves the target ``generic`` and executes any other."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from snnc.backend import Program
from snnc.errors import UnsupportedError
from snnc.ir import Fixed, FixedGraph
from snnc.target import Target
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from snnc_reference.refusals import refusals
from snnc_reference.targets import GENERIC

name = "reference"
targets: tuple[Target, ...] = (GENERIC,)


def lower(graph: FixedGraph, target: Target) -> Program:
    """The graph itself; its parameters are the payload.

    Raises:
        UnsupportedError: the graph holds what the reference does not execute.
    """
    found = refusals(graph)
    if found:
        raise UnsupportedError(f"the reference cannot execute this graph for {target.name}", violations=found)
    payload = {
        f"{node.name}.{key}": value.raw
        for node in graph.nodes
        for key, value in node.params().items()
        if isinstance(value, Fixed)
    }
    return Program(name, target.name, graph, payload, {})


def run(program: Program, spikes: npt.NDArray[Any], probes: Probes) -> Trace:
    """Executes the program's graph; see :func:`snnc_reference.execute.execute`."""
    return execute(program.graph, spikes, probes)


__all__ = ["execute", "lower", "name", "run", "targets"]
