"""The function that advances a population in float32 (SpiNNaker2), operation by operation as the convention says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from snnc.formats.onnx_call import Call
from snnc.formats.onnx_emit import Emitter
from snnc.formats.onnx_ops import function
from snnc.ir import Neuron

STATES = ("u_exc", "u_inh", "v")


def single_call(node: Neuron) -> Call:
    """The function of a population under ``float32``; sums of weights arrive as int64, all else is float32."""

    def build(e: Emitter) -> Mapping[str, str]:
        def current(sign: str) -> str:
            kept = e.op("Mul", "decay_u", f"u_{sign}")
            return e.op("Add", kept, e.cast(f"x_{sign}", TensorProto.FLOAT))

        exc, inh = current("exc"), current("inh")
        v = e.op("Add", e.op("Mul", "decay_v", "v"), e.op("Sub", exc, inh))
        v = e.op("Add", v, "bias")
        fired = e.op("Greater" if node.fires == "gt" else "GreaterOrEqual", v, "threshold")
        after = _reset(e, node, v)
        s = e.cast(fired, TensorProto.INT64)
        return {"s_next": s, "u_exc_next": exc, "u_inh_next": inh, "v_next": e.op("Where", fired, after, v)}

    params = ("decay_u", "decay_v", "bias", "threshold", *(("v_reset",) if node.reset_v == "value" else ()))
    name = f"SingleSplit_{node.reset_v}_{node.fires}"
    proto = function(name, ("x_exc", "x_inh", *STATES, *params), (), build)
    carries = {state: f"{state}_next" for state in STATES}
    return Call(name, {}, STATES, params, tuple(proto.output), carries, carries, (proto,), (), True)


def _reset(e: Emitter, node: Neuron, v: str) -> str:
    """The membrane after a spike."""
    if node.reset_v == "subtract":
        return e.op("Sub", v, "threshold")
    if node.reset_v == "value":
        return "v_reset"
    return v if node.reset_v == "none" else e.constant(0, np.float32)
