"""Analog input of a chip that takes spikes only: the host computes the first layer and programs it as biases.

Values that stay the same for a whole sample make the drive ``W x + b`` of the first neurons the same in every step,
and that is a bias. The host computes it in integers and rounds it to the bias register, a mantissa times a power of
two that the population shares. Without synaptic current a bias of the membrane and a constant input are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import Affine, Conv, Fixed, Flatten, FloatArray, Format, Graph, Identity, IntArray, Neuron, Pool, to_fixed
from snnc.ir.fixed import shift_right
from snnc.quantize.base import Calibration, Note, note
from snnc.quantize.direct import format_of
from snnc.quantize.forced import passed, weighted
from snnc.quantize.profile import ShiftProfile

WEIGHT_BITS, BIAS_BITS, FINEST = 16, 48, 16
"""Width of the host's weights and biases, and the most fractional bits of both: no chip limits them."""
SPIKES = "Encode the values as spikes"


@dataclass(frozen=True, eq=False)
class Written:
    """One layer that the host computes.

    Attributes:
        weights: integers with a host format.
        neuron: the float population without its bias, which is among the weights.
        notes: of weights, bias and the rounded sums (``drive``).
    """

    weights: Affine | Conv
    neuron: Neuron
    notes: tuple[Note, ...]


def hosted(graph: Graph) -> dict[str, str]:
    """Weights that analog values reach -> the population behind them, of a graph without :func:`violations`."""
    return {name: graph.outgoing(name)[0].target for name in _met(graph) if isinstance(graph[name], (Affine, Conv))}


def violations(graph: Graph) -> Iterator[Violation]:
    """Where analog values cannot be made the bias of a population."""
    behind: dict[str, str] = {}
    for name in _met(graph):
        node, into, out = graph[name], graph.incoming(name), graph.outgoing(name)
        if len(into) != 1 or into[0].delay:
            allowed = "analog values alone and without delay"
            yield Violation(name, "input", f"{len(into)} inputs, delay {into[0].delay}", allowed, SPIKES + ".")
        elif isinstance(node, Pool) and node.pooling == "sum":
            continue
        elif isinstance(node, (Affine, Conv)):
            target = graph[out[0].target] if len(out) == 1 and not out[0].delay else None
            if not isinstance(target, Neuron) or target.name in behind:
                allowed = "one layer of neurons of its own, without delay"
                yield Violation(name, "output", "another", allowed, f"{SPIKES}, or join the weights.")
                continue
            behind[target.name] = name
            if np.any(np.asarray(target.decay_u) != 0):
                found = f"{float(np.max(np.asarray(target.decay_u))):g} behind analog values"
                fix = f"Train this layer without synaptic current. {SPIKES} to keep it."
                yield Violation(target.name, "decay_u", found, "0", fix)
        elif not isinstance(node, (Flatten, Identity)):
            yield Violation(name, "input", "analog values", "spikes", f"{SPIKES}, or give the values weights.")


def demand_held(driven: Mapping[str, str], graph: Graph, calibration: Calibration) -> None:
    """Refuses values that change within a sample, if the host computes anything (``driven``) of them.

    Raises:
        UnsupportedError: they do.
    """
    if not driven:
        return
    moving = np.any(calibration.samples != calibration.samples[:, :1], axis=tuple(range(1, calibration.samples.ndim)))
    if np.any(moving):
        found = f"other values within sample {int(np.argmax(moving))}"
        allowed = "the same values in every step of a sample"
        raise UnsupportedError.of(
            Violation(graph.inputs[0].name, "values", found, allowed, f"{SPIKES}, or hold the values.")
        )


def written(graph: Graph, name: str, unit: FloatArray, calibration: Calibration, profile: ShiftProfile) -> Written:
    """The host's integers for one layer.

    Args:
        graph: the weights count in steps of the integer values.
        name: of the weights.
        unit: state units per 1.0 of the population, () or per channel (C,).
        calibration: samples as integers, each the same in every step.
        profile: the target's arithmetic.

    Raises:
        UnsupportedError: the bias differs between neurons of one channel.
    """
    node, cell = graph[name], graph[graph.outgoing(name)[0].target]
    assert isinstance(node, (Affine, Conv))
    assert isinstance(cell, Neuron)
    value = unit * 2.0**-profile.conventions.state_frac
    given = np.asarray(node.weight, dtype=np.float64)
    column = value.reshape(-1, *(1,) * (given.ndim - 1)) if value.ndim else value
    found = format_of(given * column, WEIGHT_BITS)
    weight = to_fixed(given * column, replace(found, frac=min(found.frac, FINEST)))
    wanted = _by_channel(cell) + (0.0 if node.bias is None else np.asarray(node.bias, dtype=np.float64))
    bias = to_fixed(wanted * value, Format(BIAS_BITS, weight.format.frac))
    exact = weighted(
        replace(node, weight=weight.raw.astype(np.float64), bias=bias.raw.astype(np.float64)),
        _arriving(graph, name, np.asarray(calibration.samples[:, :1], dtype=np.float64)),
    ).astype(np.int64)
    fmt = _format(exact, weight, profile)
    drive = rounded(exact, weight.format.frac, fmt)
    space = value.reshape(-1, *(1,) * (exact.ndim - 3)) if value.ndim else value
    sums = exact * weight.format.step / space
    notes = (
        note(name, "weight", given, weight, column), note(name, "bias", wanted, bias, value),
        note(name, "drive", sums, drive, space),
    )  # fmt: skip
    host = Fixed(np.ones((), dtype=np.int64), fmt)
    return Written(replace(node, weight=weight, bias=bias, host=host), replace(cell, bias=np.zeros(())), notes)


def rounded(sums: IntArray, frac: int, fmt: Format) -> Fixed:
    """Sums with ``frac`` fractional bits as numbers of a format: ties to even, then clipped."""
    down = frac - fmt.frac
    raw = shift_right(sums, down, "nearest_even") if down >= 0 else sums << -down
    return Fixed(np.clip(raw, fmt.minimum, fmt.maximum), fmt)


def _format(sums: IntArray, weight: Fixed, profile: ShiftProfile) -> Format:
    """The bias register with the smallest exponent that holds what calibration saw, times the safety factor."""
    fmt = replace(profile.bias, overflow="saturate_symmetric")
    peak = profile.safety * float(np.max(np.abs(sums), initial=0)) * weight.format.step
    low, high = profile.bias_exponents
    fits = (e for e in range(low, high) if np.rint(np.ldexp(peak, fmt.frac - e)) <= fmt.maximum)
    return replace(fmt, frac=fmt.frac - next(fits, high))


def _by_channel(node: Neuron) -> FloatArray:
    spread = np.broadcast_to(np.asarray(node.bias, dtype=np.float64), node.shape).reshape(node.shape[0], -1)
    if np.any(spread != spread[:, :1]):
        fix = "Use one bias per channel."
        raise UnsupportedError.of(Violation(node.name, "bias", "different in one channel", "one per channel", fix))
    return np.asarray(spread[:, 0])


def _met(graph: Graph) -> tuple[str, ...]:
    """What analog values reach up to the first nodes that do not only reshape or add them."""
    seen: dict[str, None] = {}
    waiting = [source.name for source in graph.inputs if source.encoding == "direct"]
    while waiting:
        for edge in graph.outgoing(waiting.pop()):
            if edge.target not in seen:
                seen[edge.target] = None
                waiting += [edge.target] if isinstance(graph[edge.target], (Flatten, Identity, Pool)) else []
    return tuple(seen)


def _arriving(graph: Graph, name: str, values: FloatArray) -> FloatArray:
    """Values [B, 1, *shape] at the input of a node."""
    source = graph[graph.incoming(name)[0].source]
    if source.name in {one.name for one in graph.inputs}:
        return values
    return passed(source, _arriving(graph, source.name, values))
