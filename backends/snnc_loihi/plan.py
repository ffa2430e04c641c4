"""What is built in Lava: processes as frozen data. Populations are flat, in the row-major order of their shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from snnc.ir import IntArray
from snnc_loihi.microcode import Microcode
from snnc_loihi.paths import Path

Kind = Literal["dense", "delay", "conv"]
UNIT_BITS = 6
"""One unit of weight, threshold or accumulator is 2**6 units of u and v."""


@dataclass(frozen=True)
class Source:
    """A RingBuffer of spikes.

    Attributes:
        name: the Input node.
        shape: shape of one step.
        latency: device step of its logical step 0.
        constant: true if it sends ones, not the user's spikes.
    """

    name: str
    shape: tuple[int, ...]
    latency: int
    constant: bool

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Population:
    """A LIFReset process, or on Loihi 2 a process of our own.

    Attributes:
        name, shape: of the Neuron node.
        latency: device step before which u and v are set to 0.
        du, dv, vth: Lava's integers: u keeps (4095 - du)/4096, v keeps (4096 - dv)/4096, threshold is vth * 64.
        bias_mant: [size]; what is added to v in each step is bias_mant * 2**bias_exp.
        bias_exp: 0 to 7.
        code: the program of Loihi 2 with its own constants, in place of du to bias_exp, which are 0; None on Loihi 1.
    """

    name: str
    shape: tuple[int, ...]
    latency: int
    du: int
    dv: int
    vth: int
    bias_mant: IntArray
    bias_exp: int
    code: Microcode | None = None

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution, spatial axes in Lava's order (x, y); one-dimensional ones have y = 1."""

    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


@dataclass(frozen=True, eq=False)
class Synapses:
    """A Dense, DelayDense or Conv process.

    Attributes:
        name: unique.
        source, target: populations or sources.
        kind: which process.
        delay: device steps from spike to neuron, 1 or more.
        lag: logical steps: ``delay`` minus the difference of the latencies; 0 for feed-forward paths.
        weights: Lava's integers on the 8-bit grid: dense (out, in); conv (out channels, x, y, in channels / groups).
        weight_exp: power of two that the sum is multiplied by.
        weight_bits: bits stored per weight.
        mixed: true for both signs (one bit is the sign), false for non-negative weights.
        window: for conv.
    """

    name: str
    source: str
    target: str
    kind: Kind
    delay: int
    lag: int
    weights: IntArray
    weight_exp: int
    weight_bits: int
    mixed: bool
    window: Window | None = None


@dataclass(frozen=True, eq=False)
class Host:
    """A first layer that the host computes: once per sample it programs the sums as the biases of a population.

    The mantissa is ``(sum of raw weights + bias) / 2**down``, ties to even, clipped to ``top``; it counts 2**exponent.

    Attributes:
        name: of the weights.
        path: from the input through the weights to the population.
        bias: (size of the population,).
        down: may be negative.
        top: largest magnitude of a mantissa.
        exponent: bias exponent of the population.
    """

    name: str
    path: Path
    bias: IntArray
    down: int
    top: int
    exponent: int


@dataclass(frozen=True, eq=False)
class Plan:
    """All processes of one network.

    Attributes:
        sources, populations, synapses: the processes.
        depth: device steps beyond the logical ones.
        hosts: what the host computes of analog input; that input is no source.
    """

    sources: tuple[Source, ...]
    populations: tuple[Population, ...]
    synapses: tuple[Synapses, ...]
    depth: int
    hosts: tuple[Host, ...] = ()

    def population(self, name: str) -> Population | Source:
        """The population or source of this name."""
        every: tuple[Population | Source, ...] = (*self.populations, *self.sources)
        return next(p for p in every if p.name == name)

    @property
    def margin(self) -> int:
        """Steps that must lie between two samples so that no path reaches from one into the other by its delay."""
        return max((abs(s.lag) for s in self.synapses), default=0)
