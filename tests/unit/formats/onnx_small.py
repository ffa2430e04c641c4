"""The smallest float and fixed network, and ways into the file of one."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto

from snnc.ir import Affine, Conventions, Edge, FixedGraph, Graph, Input, Neuron
from unit.formats.onnx_nets import fixed


def simple(**changes: Any) -> Graph:
    nodes = (Input("in", shape=(3,)), Affine("fc", weight=np.eye(2, 3)), Neuron("lif", shape=(2,), **changes))
    return Graph(nodes, (Edge("in", "fc"), Edge("fc", "lif")), dt=0.001)


def whole(conventions: Conventions | None = None, weight: Any = None, **changes: Any) -> FixedGraph:
    keys = ("decay_u", "decay_v", "bias", "threshold", "v_rest", "v_reset", "v_init")
    values: dict[str, Any] = {key: fixed(0, 32, 0) for key in keys} | {"gain": fixed(1), "gain_u": fixed(1)}
    lif = Neuron("lif", shape=(2,), **(values | changes))
    fc = Affine("fc", weight=fixed([[1, 2, 3], [-4, 5, 6]]) if weight is None else weight)
    edges = (Edge("in", "fc", 1), Edge("fc", "lif"))
    return FixedGraph((Input("in", shape=(3,)), fc, lif), edges, "some", conventions or Conventions(), {"lif": 1})


def model_of(data: bytes) -> ModelProto:
    return ModelProto.FromString(data)


def meta(model: ModelProto) -> Any:
    """The property that holds the description."""
    return next(entry for entry in model.metadata_props if entry.key == "snnc")


def body(model: ModelProto) -> Any:
    loop = next(node for node in model.graph.node if node.op_type == "Scan")
    return next(a.g for a in loop.attribute if a.name == "body")
