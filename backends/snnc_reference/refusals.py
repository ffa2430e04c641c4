"""What the reference does not execute, by name."""

from __future__ import annotations

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
    Network,
    Neuron,
    Pool,
    Readout,
    Scale,
    Sigma,
    SigmaDelta,
    TimeScale,
)  # fmt: skip
from snnc_reference import host

LAYERS = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Scale, Delay, Neuron, Readout)
FLOAT_ONLY = (TimeScale,)
INTEGER_ONLY = (Atrlif, Sigma, Delta, SigmaDelta)
EULER_ONLY = {"drive_overflow": None, "membrane_minimum": None, "membrane_maximum": None}


def refusals(network: Network) -> tuple[Violation, ...]:
    """Everything in the network that the reference does not implement, by name."""
    conventions = network.conventions if isinstance(network, FixedGraph) else None
    euler = conventions is not None and conventions.membrane == "euler"
    found: list[Violation] = [] if conventions is None or euler else _convention_refusals(conventions)
    for node in network.nodes:
        if isinstance(node, INTEGER_ONLY):
            if not euler:
                found.append(Violation(node.name, "node type", node.kind, "integers under euler only"))
        elif conventions is None and isinstance(node, FLOAT_ONLY):
            continue
        elif not isinstance(node, LAYERS):
            found.append(Violation(node.name, "node type", node.kind, "a type that the reference executes"))
        elif conventions is not None and isinstance(node, Scale):
            found.append(Violation(node.name, "node type", "scale", "none in integers", "Fuse it into weights."))
        elif conventions is not None and isinstance(node, Pool) and node.pooling == "avg":
            found.append(Violation(node.name, "pooling", "avg", "sum or max", "Run the pass average-to-sum."))
        elif isinstance(node, Neuron):
            found += _neuron_refusals(node, network)
        elif isinstance(node, (Affine, Conv)):
            found += host.refusals(node, network)
    return tuple(found)


def _convention_refusals(conventions: Conventions) -> list[Violation]:
    return [
        Violation("conventions", key, str(getattr(conventions, key)), f"{want} under {conventions.membrane}")
        for key, want in EULER_ONLY.items()
        if getattr(conventions, key) != want
    ]


def _neuron_refusals(node: Neuron, network: Network) -> list[Violation]:
    allowed: dict[str, tuple[Any, ...]] = {
        "fire_from": ("updated",), "leak": ("exp",), "adaptation": ((),), "output": ("binary", "ternary"),
        "one_shot": (False,), "schedule": ((),),
    }  # fmt: skip
    if not isinstance(network, FixedGraph):
        allowed |= _float_only(node)
        if node.output == "graded" and node.v_min is not None:
            return [Violation(node.name, "v_min", "given", "none with graded output")]
        if node.output == "multi" and node.fires != "ge":
            return [Violation(node.name, "fires", node.fires, "ge with multi output")]
    elif node.v_min is not None:
        return [Violation(node.name, "v_min", "given", "none in integers")]
    membrane = network.conventions.membrane if isinstance(network, FixedGraph) else "float"
    if membrane in ("closed_form", "float32"):
        allowed |= {"reset_delay": (0,), "reset_u": (False,), "output": ("binary",)}
        if membrane == "float32":
            allowed |= {"refractory": (0,)}
        elif node.reset_v not in ("zero", "value"):
            return [Violation(node.name, "reset_v", node.reset_v, "zero or value under closed_form")]
    if node.reset_delay not in (0, 1):
        return [Violation(node.name, "reset_delay", str(node.reset_delay), "0 or 1")]
    return _factor_refusals(node, network) + [
        Violation(
            node.name, key, str(getattr(node, key)), " or ".join(map(str, want)),
            "The reference does not execute it yet.",
        )
        for key, want in allowed.items()
        if getattr(node, key) not in want
    ]  # fmt: skip


def _float_only(node: Neuron) -> dict[str, tuple[Any, ...]]:
    """What float64 executes beside the rest; a membrane that is sent has no spike to reset or rest after."""
    outputs = {"output": ("binary", "ternary", "multi", "graded")}
    if node.output != "graded":
        return outputs
    return outputs | {"reset_v": ("none",), "reset_u": (False,), "refractory": (0,)}


def _factor_refusals(node: Neuron, network: Network) -> list[Violation]:
    """Only closed_form has gains and a rest; a graph that says otherwise elsewhere means something else."""
    if not isinstance(network, FixedGraph) or network.conventions.membrane == "closed_form":
        return []
    params = {key: value for key, value in node.params().items() if isinstance(value, Fixed)}
    return [
        Violation(node.name, key, "another number", f"{want:g}", "Fold it before quantization.")
        for key, want in (("gain_u", 1.0), ("gain", 1.0), ("v_rest", 0.0))
        if np.any(params[key].to_float() != want)
    ]
