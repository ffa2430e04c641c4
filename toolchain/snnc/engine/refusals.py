"""What no engine executes, by name: the same graphs that the definition refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnc.errors import Violation
from snnc.ir import (
    Add,
    Affine,
    Atrlif,
    Concat,
    Conv,
    Conventions,
    Delay,
    Delta,
    Fixed,
    FixedGraph,
    Flatten,
    Identity,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
    Sigma,
    SigmaDelta,
)

PLAIN = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Delay, Neuron, Readout)
EULER_NODES = (Atrlif, Sigma, Delta, SigmaDelta)
EULER_LIMITS = ("drive_overflow", "membrane_minimum", "membrane_maximum")
NEVER: dict[str, Any] = {"fire_from": "updated", "leak": "exp", "adaptation": (), "one_shot": False, "schedule": ()}
WRITTEN = "This field of the graph has no integer step."


def refusals(graph: FixedGraph) -> tuple[Violation, ...]:
    """Every rule of execution that the graph breaks; empty if it executes."""
    c = graph.conventions
    found = list(_of_conventions(c))
    fed = len(graph.inputs)
    if fed != 1:
        found.append(Violation("graph", "inputs", str(fed), "1"))
    for node in graph.nodes:
        found += _of_node(node, graph)
    return tuple(found)


def _of_conventions(c: Conventions) -> Iterator[Violation]:
    if c.membrane != "euler":
        for key in EULER_LIMITS:
            if getattr(c, key) is not None:
                yield Violation("conventions", key, str(getattr(c, key)), f"None under {c.membrane}")
    elif c.synapse == "split":
        yield Violation("conventions", "synapse", "split", "signed under euler")


def _of_node(node: Node, graph: FixedGraph) -> Iterator[Violation]:
    c = graph.conventions
    if isinstance(node, EULER_NODES):
        if c.membrane != "euler":
            yield Violation(node.name, "node type", node.kind, f"what exists under {c.membrane}")
    elif not isinstance(node, PLAIN):
        yield Violation(node.name, "node type", node.kind, "a type that integers execute", "Fuse it into weights.")
    elif isinstance(node, Pool) and node.pooling == "avg":
        yield Violation(node.name, "pooling", "avg", "sum or max", "Run the pass average-to-sum.")
    elif isinstance(node, Neuron):
        yield from _of_neuron(node, c)
    elif isinstance(node, (Affine, Conv)):
        yield from _of_weights(node, graph)


def _of_neuron(node: Neuron, c: Conventions) -> Iterator[Violation]:
    closed = c.membrane == "closed_form"
    for key, want in NEVER.items():
        if getattr(node, key) != want:
            yield Violation(node.name, key, str(getattr(node, key)), str(want), WRITTEN)
    choices: dict[str, tuple[Any, ...]] = {"output": ("binary", "ternary"), "reset_delay": (0, 1)}
    if closed:
        choices = {"output": ("binary",), "reset_delay": (0,), "reset_u": (False,), "reset_v": ("zero", "value")}
    elif c.membrane == "float32":
        choices = {"output": ("binary",), "reset_delay": (0,), "reset_u": (False,), "refractory": (0,)}
    for key, allowed in choices.items():
        if getattr(node, key) not in allowed:
            want = " or ".join(map(str, allowed))
            yield Violation(node.name, key, str(getattr(node, key)), f"{want} under {c.membrane}", WRITTEN)
    if not closed:
        for key, number in (("gain_u", 1.0), ("gain", 1.0), ("v_rest", 0.0)):
            value = getattr(node, key)
            if isinstance(value, Fixed) and np.any(value.to_float() != number):
                yield Violation(node.name, key, "another number", f"{number:g}", "Fold it before quantization.")


def _of_weights(node: Affine | Conv, graph: FixedGraph) -> Iterator[Violation]:
    c = graph.conventions
    if node.host is None:
        if c.synapse == "split" and node.bias is not None:
            yield Violation(node.name, "bias", "a number", "none beside a split synapse", "Use a constant input.")
        return
    if c.membrane != "euler":
        yield Violation(node.name, "host", "a format", "none but under euler")
    elif isinstance(node.host, Fixed) and node.host.format.frac > c.state_frac:
        yield Violation(node.name, "host", str(node.host.format), "a format of whole state units")
    for edge in graph.outgoing(node.name):
        if not isinstance(graph[edge.target], Neuron):
            yield Violation(node.name, "host", f"sums for {edge.target}", "sums for neurons")
