"""Which node types exist, and which of them are populations (they have a state or a source, and spikes leave them)."""

from __future__ import annotations

from snnc.ir.nodes import (
    Add,
    Affine,
    Concat,
    Conv,
    Delay,
    Flatten,
    Identity,
    Inhibit,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
    SynFilter,
    TimeScale,
)
from snnc.ir.populations import Atrlif, Delta, Sigma, SigmaDelta

NODE_TYPES: dict[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Scale, TimeScale, SynFilter, Delay, Neuron,
        Inhibit, Readout, Atrlif, Sigma, Delta, SigmaDelta,
    )
}  # fmt: skip
POPULATIONS = (Input, Neuron, Atrlif, Sigma, Delta, SigmaDelta)
