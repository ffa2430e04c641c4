"""Records of a ``.net`` file -> layers whose integers are checked. What Lava's netx does not run is refused by name."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from snnc.errors import InputError, Violation
from snnc.formats.slayer_tree import Record
from snnc.ir import IntArray

DECAY = 1 << 12
"""Decays are stored as the fraction that is lost, times 4096."""
MAX_SIZE = 1 << 24
MAX_THRESHOLD = 1 << 24
WEIGHTS = (-256, 255)
BIASES = (-(1 << 20), 1 << 20)
NEURONS = ("CUBA", "LOIHI")
NEVER = (1 << 17) - 1
NOT_IN_NETX = "what Lava's netx runs: input, dense, conv, flatten"


@dataclass(frozen=True, eq=False)
class Cuba:
    """A population of current-based neurons, in SLAYER's integers.

    Attributes:
        i_decay, v_decay: 0 to 4096 of 4096 lost per step; () or one per channel (C,).
        threshold: times 64.
        spikes: false for a layer without neurons: it integrates and is read by its membrane.
    """

    i_decay: IntArray
    v_decay: IntArray
    threshold: int
    spikes: bool = True


@dataclass(frozen=True, eq=False)
class Weights:
    """A dense or conv layer.

    Attributes:
        name: ``layer<index>``.
        shape: of its neurons: (n,) or (C, H, W).
        weight: (out, in) or (out, in/groups, kernel rows, kernel columns); one unit is 64 of u.
        bias: one per channel, added to v in each step; one unit is 64 of v; None for none.
        neuron: its neurons.
        stride, padding, dilation, groups: of a convolution.
    """

    name: str
    shape: tuple[int, ...]
    weight: IntArray
    bias: IntArray | None
    neuron: Cuba
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Flat:
    """A flatten layer: rows of (C, H, W)."""

    name: str
    size: int


@dataclass(frozen=True, eq=False)
class Encoder:
    """An input layer with neurons: an analog value x becomes the bias ``2 * weight * x - weight + bias``.

    Attributes:
        neuron: decays and threshold of the input neurons.
        weight, bias: of the equation above.
    """

    neuron: Cuba
    weight: int
    bias: int


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of a file.

    Attributes:
        shape: shape of one step of input spikes.
        encoder: how analog values become those spikes, if the file says it.
        layers: what the spikes run through.
    """

    shape: tuple[int, ...]
    encoder: Encoder | None
    layers: tuple[Weights | Flat, ...]


def unsupported(record: Record) -> list[Violation]:
    """Everything in a layer that has no meaning in netx, or another one than SLAYER gave it."""
    kind = record.text("type")
    if kind not in ("input", "dense", "conv", "flatten"):
        return [Violation(record.name, "layer type", kind, NOT_IN_NETX, "netx refuses it too.")]
    found = []
    if "weight/imag" in record:
        found.append(Violation(record.name, "weight", "complex", "real weights"))
    if "delay" in record and np.any(record.integers("delay", 0, MAX_SIZE)):
        fix = "netx ignores delays in files; train without them."
        found.append(Violation(record.name, "delay", "other than 0", "0", fix))
    if "neuron" in record:
        found += _unsupported_neuron(record)
    return found


def _unsupported_neuron(record: Record) -> list[Violation]:
    kind = record.text("neuron/type")
    if kind not in NEURONS:
        return [Violation(record.name, "neuron/type", kind, " or ".join(NEURONS))]
    wanted = {"refDelay": 1, "wgtExp": 0, "gradedSpike": 0, "messageBits": 0}
    return [
        Violation(record.name, f"neuron/{key}", str(found), str(want), "netx ignores it or means graded spikes.")
        for key, want in wanted.items()
        if f"neuron/{key}" in record and (found := record.integer(f"neuron/{key}", -MAX_SIZE, MAX_SIZE)) != want
    ]


def layers_of(records: tuple[Record, ...]) -> Layers:
    """Checks every layer against the one before it.

    Raises:
        InputError: a field is missing or contradicts another.
    """
    first, rest, encoder = records[0], records, None
    if first.text("type") == "input":
        shape, rest = _shape(first), records[1:]
        encoder = _encoder(first) if "neuron" in first else None
    elif first.text("type") == "dense":
        shape = (first.integer("inFeatures", 1, MAX_SIZE),)
    else:
        raise first.wrong("type", first.text("type"), "input or dense in the first layer", "Its input has no shape.")
    if not any(record.text("type") in ("dense", "conv") for record in rest):
        raise InputError(f"{first.where}: the file has no dense or conv layer")
    made: list[Weights | Flat] = []
    now = shape
    for record in rest:
        layer = _layer(record, now)
        now = (layer.size,) if isinstance(layer, Flat) else layer.shape
        made.append(layer)
    if isinstance(made[-1], Flat):
        raise records[-1].wrong("type", "flatten", "dense or conv in the last layer")
    return Layers(shape, encoder, tuple(made))


def _layer(record: Record, now: tuple[int, ...]) -> Weights | Flat:
    kind = record.text("type")
    if kind == "dense":
        return _dense(record, now)
    if kind == "conv":
        return _conv(record, now)
    if kind == "flatten":
        return Flat(record.name, math.prod(now))
    raise record.wrong("type", "input", "input in the first layer only")


def _shape(record: Record) -> tuple[int, ...]:
    sizes = record.integers("shape", 1, MAX_SIZE).reshape(-1)
    shape = tuple(int(n) for n in sizes)
    if len(shape) not in (1, 3) or math.prod(shape) > MAX_SIZE:
        raise record.wrong("shape", str(shape), f"(n,) or (channels, rows, columns), {MAX_SIZE} elements at most")
    return shape


def _encoder(record: Record) -> Encoder:
    weight = record.integer("weight", *BIASES) if "weight" in record else 64
    bias = record.integer("bias", *BIASES) if "bias" in record else 0
    return Encoder(_neuron(record, 1), weight, bias)


def _neuron(record: Record, channels: int) -> Cuba:
    """The neurons; a layer without any is what netx makes of it: an integrator without leak that never fires."""
    if "neuron" not in record:
        return Cuba(np.array(DECAY), np.array(0), NEVER, spikes=False)

    def decay(key: str) -> IntArray:
        found = record.integers(f"neuron/{key}", 0, DECAY).reshape(-1)
        if found.size not in (1, channels):
            raise record.wrong(f"neuron/{key}", f"{found.size} numbers", f"1 or {channels} (one per channel)")
        return found.reshape(()) if found.size == 1 else found

    return Cuba(decay("iDecay"), decay("vDecay"), record.integer("neuron/vThMant", 1, MAX_THRESHOLD))


def _bias(record: Record, channels: int) -> IntArray | None:
    if "bias" not in record:
        return None
    found = record.integers("bias", *BIASES).reshape(-1)
    if found.size not in (1, channels):
        raise record.wrong("bias", f"{found.size} numbers", f"1 or {channels} (one per channel)")
    return np.asarray(np.broadcast_to(found, (channels,)), dtype=np.int64)


def _dense(record: Record, now: tuple[int, ...]) -> Weights:
    if len(now) != 1:
        raise record.wrong("input", f"of shape {now}", "flat", "Put a flatten layer before it.")
    size = math.prod(_shape(record))
    weight = record.integers("weight", *WEIGHTS)
    if weight.size != size * now[0] or weight.ndim > 2:
        raise record.wrong("weight", f"of shape {weight.shape}", f"({size}, {now[0]})")
    return Weights(
        record.name, (size,), weight.reshape(size, now[0]), _bias(record, size), _neuron(record, size)
    )  # fmt: skip


def _conv(record: Record, now: tuple[int, ...]) -> Weights:
    if len(now) != 3:
        raise record.wrong("input", f"of shape {now}", "(channels, rows, columns)")
    shape = _shape(record)
    weight = record.integers("weight", *WEIGHTS)
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    groups = record.integer("groups", 1, MAX_SIZE) if "groups" in record else 1
    stride, dilation = record.pair("stride", 1, MAX_SIZE), record.pair("dilation", 1, MAX_SIZE)
    padding = record.pair("padding", 0, MAX_SIZE)
    if weight.ndim != 4 or weight.shape[1] * groups != now[0] or weight.shape[0] % groups:
        raise record.wrong("weight", f"of shape {weight.shape}", f"(out, {now[0]} / groups, rows, columns)")
    space = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(now[1:], weight.shape[2:], stride, padding, dilation, strict=True)
    )
    if shape != (weight.shape[0], *space):
        raise record.wrong("shape", str(shape), f"{(weight.shape[0], *space)}, as its kernel, stride and padding give")
    channels = shape[0]
    return Weights(
        record.name, shape, weight, _bias(record, channels), _neuron(record, channels), stride, padding, dilation,
        groups,
    )  # fmt: skip
