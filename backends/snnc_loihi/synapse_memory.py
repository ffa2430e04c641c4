"""Synapses as lists, and the 64-bit words that a core stores them in.

A core keeps the synapses of one input axon in blocks of at most 64 weights: 10 header bits and, per weight, its bits,
its delay and (in a sparse list) the index of its target, rounded up to words. Every axon takes the shorter of the
two lists. A weight of 0 takes nothing in a sparse list, and an axon without any weight on a core does not go there.
The weights of a convolution are counted once per pair of neurons: Loihi 1 can share them between axons of a
population, but the code that drove the chip does so only for layouts that snnc does not demand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import IntArray
from snnc_loihi.plan import Plan, Source, Synapses, Window

BLOCK, HEADER, WORD = 64, 10, 64
DELAY_BITS = 6
MIN_INDEX_BITS = 6


@dataclass(frozen=True)
class SynapseFormat:
    """What all synapses of one list share; a core has a few of these."""

    weight_bits: int
    mixed: bool
    weight_exp: int
    delay_bits: int

    @property
    def bits(self) -> int:
        """Bits per weight, without an index."""
        return self.weight_bits + self.delay_bits


@dataclass(frozen=True, eq=False)
class SynapseList:
    """The weights of one connection that are not 0.

    Attributes:
        origin, into: names of source and population.
        sources: number of source elements.
        source, target: index of each weight's source element and neuron.
        format: of each weight.
    """

    origin: str
    into: str
    sources: int
    source: IntArray
    target: IntArray
    format: SynapseFormat

    def axons(self, core: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Core, source element and number of weights of every axon that has a weight on that core.

        Args:
            core: [size], the core of every target neuron.
        """
        key = core[self.target] * self.sources + self.source
        size = (int(core[-1]) + 1) * self.sources
        if size <= 4 * key.size:
            every = np.bincount(key, minlength=size)
            used = np.flatnonzero(every)
            return used // self.sources, used % self.sources, every[used]
        used, weights = np.unique(key, return_counts=True)
        return used // self.sources, used % self.sources, weights


def listed(synapses: Synapses, plan: Plan) -> SynapseList:
    """The weights of a connection as lists."""
    source = plan.population(synapses.source)
    if synapses.window is not None:
        into, out = conv_pairs(synapses.window, synapses.weights)
    else:
        out, into = np.nonzero(synapses.weights)
    # A delay from an input is only a later time to send; the core stores those between its neurons.
    delay = DELAY_BITS if synapses.delay > 1 and not isinstance(source, Source) else 0
    kind = SynapseFormat(synapses.weight_bits, synapses.mixed, synapses.weight_exp, delay)
    return SynapseList(synapses.source, synapses.target, source.size, into, out, kind)


def conv_pairs(window: Window, kernel: IntArray) -> tuple[IntArray, IntArray]:
    """Source and target index, row-major over (channels, y, x), of every weight of a convolution that is not 0."""
    width, height, channels = window.in_shape
    pad_x, pad_y = window.padding
    index = np.full((channels, height + 2 * pad_y, width + 2 * pad_x), -1, dtype=np.int64)
    inner = np.arange(channels * height * width).reshape(channels, height, width)
    index[:, pad_y : pad_y + height, pad_x : pad_x + width] = inner
    out_x, out_y, outs = window.out_shape
    target = np.arange(out_x * out_y).reshape(out_y, out_x)
    per_in, per_out = kernel.shape[3], outs // window.groups
    into, out = [], []
    for o, kx, ky, c in zip(*np.nonzero(kernel[:, ::-1, ::-1]), strict=True):
        y, x = ky * window.dilation[1], kx * window.dilation[0]
        plane = index[o // per_out * per_in + c]
        seen = plane[y :: window.stride[1], x :: window.stride[0]][:out_y, :out_x]
        inside = seen >= 0
        into.append(seen[inside])
        out.append(target[inside] + o * out_x * out_y)
    if not into:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate(into), np.concatenate(out)


def words_of(weights: IntArray, bits: int) -> IntArray:
    """64-bit words that an axon with so many weights of so many bits takes."""
    full, rest = np.divmod(weights, BLOCK)
    tail = np.where(rest > 0, -(-(HEADER + rest * bits) // WORD), 0)
    return np.asarray(full * -(-(HEADER + BLOCK * bits) // WORD) + tail, dtype=np.int64)


def stored(span: IntArray, weights: IntArray, kind: SynapseFormat, index_bits: int) -> tuple[IntArray, IntArray]:
    """Words of every axon, and whether its list is sparse.

    Args:
        span: neurons on each axon's core.
        weights: of each axon on that core.
        kind: format of the weights.
        index_bits: of a target in a sparse list.
    """
    dense, sparse = words_of(span, kind.bits), words_of(weights, kind.bits + index_bits)
    return np.minimum(dense, sparse), (sparse < dense).astype(np.int64)


def index_bits_of(span: IntArray) -> int:
    """Bits of the index of a target on the fullest core."""
    return max(MIN_INDEX_BITS, int(span.max() - 1).bit_length())
