"""The back end ``reference``: the living definition. It serves the target ``generic`` and executes any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt

from snnc.backend import Program, discover
from snnc.errors import UnsupportedError
from snnc.ir import Fixed, FixedGraph, FloatArray, Graph
from snnc.learning import LearningConfig
from snnc.learning.account import Rounding
from snnc.learning.plastic import bind_fixed, bind_float
from snnc.learning.rule import Rule
from snnc.learning.session import Hosts
from snnc.target import Target
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from snnc_reference.learning_rules import RuleLearning
from snnc_reference.learning_run import Learner
from snnc_reference.learning_run_drift import learning_drift
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


def learner(
    graph: Graph,
    fixed: FixedGraph | None,
    scales: Mapping[str, FloatArray],
    learning: Iterable[LearningConfig],
    *,
    seed: int | None = None,
    rounding: Rounding | None = None,
    hosts: Hosts | None = None,
) -> Learner:
    """A network that learns; see :class:`snnc.backend.Teacher`.

    Args:
        graph: float network.
        fixed: integers of any target with Loihi's engine; None learns in float64.
        scales: population -> raw state units per 1.0 of the integers.
        learning: the rules.
        seed: of all rounding; None takes the rules' own.
        rounding: of integer weights; None is the chip's own.
        hosts: what the host does, by kind of operation.
    """
    if fixed is None:
        return Learner(graph, bind_float(graph, learning), seed=seed, hosts=hosts)
    plastic = bind_fixed(fixed, scales, learning, discover().target(fixed.target)[1].learning)
    return Learner(fixed, plastic, scales=scales, seed=seed, hosts=hosts, rounding=rounding)


def float_twin(rule: Rule, weights: FloatArray) -> RuleLearning:
    """Synapses [post, pre] that learn by a rule in float64."""
    return RuleLearning(rule, weights)


__all__ = ["execute", "float_twin", "learner", "learning_drift", "lower", "name", "run", "targets"]
