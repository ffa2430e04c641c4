"""What an ONNX file can execute. Everything else is refused by name; nothing is approximated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnc.errors import FormatError, Violation
from snnc.formats import onnx_host
from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Conventions,
    Delay,
    Fixed,
    FixedGraph,
    Flatten,
    Graph,
    Identity,
    Input,
    Network,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
)  # fmt: skip
from snnc.ir.fixed import SINGLE_BITS

NODES = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Scale, Delay, Neuron, Readout)
MAX_BITS = 62
MAX_STEPS = 1 << 16
MAX_INDEX = 1 << 22
NEURON = {
    "fire_from": "updated", "leak": "exp", "adaptation": (), "output": "binary", "one_shot": False, "schedule": (),
}  # fmt: skip
EULER_FIXED = {"gain_u": 1.0, "gain": 1.0, "v_rest": 0.0}
DECAYS = {"euler": ("decay_u", "decay_v"), "closed_form": ("gain_u", "decay_u")}
ALIGNED = {
    "euler": ("bias", "threshold", "v_reset", "v_init"),
    "closed_form": ("bias", "threshold", "v_reset", "v_init", "gain", "v_rest", "decay_v"),
}


def refusals(network: Network) -> tuple[Violation, ...]:
    """Everything in the network that an ONNX file cannot execute, by name."""
    if not isinstance(network, (Graph, FixedGraph)):
        return (Violation("network", "type", type(network).__name__, "Graph or FixedGraph"),)
    found = list(_network(network))
    for node in network.nodes:
        if not isinstance(node, NODES):
            found.append(Violation(node.name, "node type", node.kind, "a type that ONNX files execute"))
        elif isinstance(node, Neuron):
            found += _neuron(node)
        else:
            found += _layer(node, network.shapes[node.name])
        if isinstance(node, (Affine, Conv)):
            found += onnx_host.refusals(node, network)
    if isinstance(network, FixedGraph):
        found += _conventions(network.conventions)
        found = found or list(_fixed(network))
    return tuple(found)


def pairs(network: FixedGraph) -> frozenset[str]:
    """Nodes whose output is an excitatory and an inhibitory sum: weighted nodes and what they flow through."""
    found: set[str] = set()
    while True:
        more = {
            n.name
            for n in network.nodes
            if not isinstance(n, (Input, Neuron))
            and (isinstance(n, (Affine, Conv)) or any(e.source in found for e in network.incoming(n.name)))
        }
        if more <= found:
            return frozenset(found)
        found |= more


def weights_into(network: Network, name: str) -> list[Fixed]:
    """Weights of the nearest weighted nodes before a population; they share a unit under a split synapse."""
    found: dict[str, Fixed] = {}
    waiting, seen = [name], {name}
    while waiting:
        for edge in network.incoming(waiting.pop()):
            node = network[edge.source]
            if isinstance(node, (Affine, Conv)) and isinstance(node.weight, Fixed):
                found[node.name] = node.weight
            elif not isinstance(node, (Input, Neuron)) and node.name not in seen:
                seen.add(node.name)
                waiting.append(node.name)
    return list(found.values())


def _network(network: Network) -> Iterator[Violation]:
    if len(network.inputs) != 1:
        yield Violation("graph", "number of inputs", str(len(network.inputs)), "1")
    for name, shape in network.shapes.items():
        if 0 in shape:
            yield Violation(name, "shape", str(shape), "axes of length 1 or more")
    for edge in network.edges:
        if edge.delay > MAX_STEPS:
            yield Violation(f"{edge.source} -> {edge.target}", "delay", str(edge.delay), f"at most {MAX_STEPS}")
    depth = network.depth if isinstance(network, FixedGraph) else 0
    if depth > MAX_STEPS:
        yield Violation("graph", "latency", str(depth), f"at most {MAX_STEPS}")


def _neuron(node: Neuron) -> Iterator[Violation]:
    for key, want in NEURON.items():
        if getattr(node, key) != want:
            yield Violation(node.name, key, str(getattr(node, key)), str(want), "ONNX files do not execute it yet.")
    if node.v_min is not None:
        yield Violation(node.name, "v_min", "given", "none", "ONNX files do not execute it yet.")
    if node.reset_delay not in (0, 1):
        yield Violation(node.name, "reset_delay", str(node.reset_delay), "0 or 1")
    if node.refractory < 0:
        yield Violation(node.name, "refractory", str(node.refractory), "0 or more")


def _layer(node: Node, shape: tuple[int, ...]) -> Iterator[Violation]:
    kernel = node.weight.shape[2:] if isinstance(node, Conv) else node.kernel if isinstance(node, Pool) else ()
    for size, out in zip(kernel, shape[1:], strict=False):
        if size * out > MAX_INDEX:
            yield Violation(node.name, "kernel times output size", str(size * out), f"at most {MAX_INDEX} per axis")
    if isinstance(node, Concat) and node.axis < 0:
        yield Violation(node.name, "axis", str(node.axis), "0 or more, counted without batch and time")
    if isinstance(node, Delay) and not 0 <= node.steps <= MAX_STEPS:
        yield Violation(node.name, "steps", str(node.steps), f"0 to {MAX_STEPS}")


def _conventions(c: Conventions) -> Iterator[Violation]:
    if (c.membrane == "euler") != (c.synapse == "signed"):
        yield Violation("conventions", "synapse", c.synapse, "signed under euler, else split")
    if not 0 <= c.state_frac <= MAX_BITS:
        yield Violation("conventions", "state_frac", str(c.state_frac), f"0 to {MAX_BITS}")
    if c.decay_rounding not in ("toward_zero", "floor", "nearest_even"):
        yield Violation("conventions", "decay_rounding", c.decay_rounding, "toward_zero, floor or nearest_even")
    for key in ("membrane_minimum", "membrane_maximum"):
        if getattr(c, key) is not None:
            yield Violation("conventions", key, str(getattr(c, key)), "none in ONNX files")
    for register in ("accumulator", "current", "membrane", *(("drive",) if c.drive_overflow else ())):
        policy = getattr(c, f"{register}_overflow")
        bits = c.accumulator_bits if register == "accumulator" else c.state_bits
        if policy not in ("wrap", "wrap_once", "saturate", "saturate_symmetric"):
            fix = "An ONNX file cannot stop with an error."
            yield Violation("conventions", f"{register}_overflow", policy, "a policy that gives a number", fix)
        elif not (1 <= bits <= MAX_BITS or (bits == 64 and policy == "wrap")):
            yield Violation("conventions", f"{register} bits", str(bits), f"1 to {MAX_BITS} (or 64 that wrap)")


def _fixed(network: FixedGraph) -> Iterator[Violation]:
    c = network.conventions
    both = pairs(network) if c.synapse == "split" else frozenset()
    for node in network.nodes:
        if isinstance(node, Scale):
            yield Violation(node.name, "node type", "scale", "none in integers", "Fuse it into weights.")
        elif isinstance(node, Pool) and node.pooling == "avg":
            yield Violation(node.name, "pooling", "avg", "sum or max", "Run the pass average-to-sum.")
        elif isinstance(node, (Affine, Conv)):
            yield from _weighted(node, c)
        elif isinstance(node, Neuron):
            yield from _fixed_neuron(node, c)
        if c.synapse == "split" and not isinstance(node, (Input, Readout)):
            yield from _split(network, node, both)


def _weighted(node: Affine | Conv, c: Conventions) -> Iterator[Violation]:
    weight = node.weight
    if isinstance(weight, Fixed) and abs(c.state_frac - weight.format.frac) > MAX_BITS:
        yield Violation(node.name, "weight format", str(weight.format), f"within {MAX_BITS} bits of the state's unit")
    if node.bias is not None and c.synapse == "split":
        yield Violation(node.name, "bias", "present", "none under a split synapse", "Carry it by a constant input.")
    elif isinstance(node.bias, Fixed):
        unit = weight.format.frac if node.host is not None and isinstance(weight, Fixed) else c.state_frac
        yield from _alignment(node, "bias", node.bias, unit)


def _fixed_neuron(node: Neuron, c: Conventions) -> Iterator[Violation]:
    params: dict[str, Any] = node.params()
    if c.membrane == "float32":
        yield from _single(node, params)
        return
    for key in DECAYS[c.membrane]:
        if not 0 <= params[key].format.frac <= MAX_BITS:
            yield Violation(node.name, f"{key} format", str(params[key].format), f"0 to {MAX_BITS} fractional bits")
    for key in ALIGNED[c.membrane]:
        yield from _alignment(node, key, params[key], c.state_frac)
    if c.membrane == "closed_form":
        if node.reset_v not in ("zero", "value"):
            yield Violation(node.name, "reset_v", node.reset_v, "zero or value under closed_form")
        for flag in ("reset_delay", "reset_u"):
            if getattr(node, flag):
                yield Violation(node.name, flag, str(getattr(node, flag)), "off under closed_form")
        return
    yield from _factors(node, params)


def _factors(node: Neuron, params: dict[str, Any]) -> Iterator[Violation]:
    for key, want in EULER_FIXED.items():
        if np.any(params[key].to_float() != want):
            fix = "Only neurons under closed_form have such a factor; fold it first."
            yield Violation(node.name, key, "another number", f"{want:g}", fix)


def _single(node: Neuron, params: dict[str, Any]) -> Iterator[Violation]:
    for key, want in {"reset_delay": 0, "reset_u": False, "refractory": 0}.items():
        if getattr(node, key) != want:
            yield Violation(node.name, key, str(getattr(node, key)), f"{want} under float32")
    for key, value in params.items():
        if value.raw.size and int(np.abs(value.raw).max()) > 1 << SINGLE_BITS:
            yield Violation(node.name, key, f"in {value.format}", f"at most {SINGLE_BITS} significant bits")
    yield from _factors(node, params)


def _alignment(node: Node, key: str, value: Fixed, frac: int) -> Iterator[Violation]:
    try:
        if frac - value.format.frac <= MAX_BITS:
            value.aligned(frac)
            return
    except FormatError:
        pass
    yield Violation(node.name, key, f"in {value.format}", f"what {frac} fractional bits hold exactly")


def _split(network: FixedGraph, node: Node, both: frozenset[str]) -> Iterator[Violation]:
    """Signed sums and pairs do not mix: weights take spikes, populations take pairs in one unit."""
    kinds = {edge.source in both for edge in network.incoming(node.name)}
    if isinstance(node, (Affine, Conv, Pool, Concat)):
        if kinds != {False}:
            yield Violation(node.name, "input", "a weighted sum", "spikes under a split synapse")
    elif len(kinds) > 1 or (isinstance(node, Neuron) and kinds != {True}):
        yield Violation(node.name, "input", "spikes without weights", "weighted sums under a split synapse")
    if isinstance(node, Neuron):
        fracs = sorted({weight.format.frac for weight in weights_into(network, node.name)})
        top = network.conventions.state_frac
        if len(fracs) != 1 or not 0 <= top - fracs[0] <= MAX_BITS:
            yield Violation(node.name, "units of the weights into it", str(fracs), f"one unit of at most {top} bits")
