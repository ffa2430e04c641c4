"""How much of the chip a plan takes: each population on as many cores as its compartments, axons and synapses need.

A core stores the synapses of one input axon in blocks of at most 64 weights: 10 header bits and, per weight, its
bits, its delay and (in a sparse list) the index of its target, rounded up to words of 64 bits. The count is an
estimate: populations do not share cores, and targets are split evenly in order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snnc.errors import DoesNotFitError, Violation
from snnc.ir import IntArray
from snnc_loihi.plan import Plan, Population, Source, Synapses, Window

CORES = 128
COMPARTMENTS = 1024
WORDS = 16384
AXONS = 4096
BLOCK, HEADER, WORD = 64, 10, 64
DELAY_BITS = 6


@dataclass(frozen=True)
class Cores:
    """What a population takes: number of cores, and the fullest core's compartments, words and input axons."""

    count: int
    compartments: int
    words: int
    axons: int

    @property
    def pressure(self) -> float:
        """By how much the fullest core is over its limits; at most 1 if it fits."""
        return max(self.compartments / COMPARTMENTS, self.words / WORDS, self.axons / AXONS)


@dataclass(frozen=True, eq=False)
class _List:
    """Synapses as lists of indices and the bits that each takes."""

    sources: int
    source: IntArray
    target: IntArray
    bits: int


def utilization(plan: Plan) -> dict[str, tuple[int, int]]:
    """Resource -> (used, max).

    Raises:
        DoesNotFitError: with every population that no split over cores makes fit, or the number of cores.
    """
    found: list[Violation] = []
    taken: list[Cores] = []
    for population in plan.populations:
        one = cores_of(population, plan)
        taken.append(one)
        if one.pressure > 1:
            text = f"{one.axons} input axons and {one.words} words of synapses for {one.compartments} neurons"
            allowed = f"{AXONS} axons and {WORDS} words per core"
            found.append(Violation(population.name, "fan-in", text, allowed, "Give its neurons fewer inputs."))
    total = sum(one.count for one in taken)
    if total > CORES:
        found.append(Violation("network", "neuro cores", str(total), str(CORES), "Make layers smaller."))
    if found:
        raise DoesNotFitError("the network is too large for one Loihi chip", violations=tuple(found))
    return {
        "neuro cores": (total, CORES),
        "compartments per core": (max((one.compartments for one in taken), default=0), COMPARTMENTS),
        "synaptic words per core": (max((one.words for one in taken), default=0), WORDS),
        "input axons per core": (max((one.axons for one in taken), default=0), AXONS),
    }


def cores_of(population: Population, plan: Plan) -> Cores:
    """The smallest number of cores found that holds the population; the last one tried if none does."""
    lists = [_listed(s, plan) for s in plan.synapses if s.target == population.name]
    count = -(-population.size // COMPARTMENTS)
    while True:
        found = _split(population.size, count, lists)
        if found.pressure <= 1 or count >= population.size:
            return found
        count = min(population.size, max(count + 1, int(count * min(found.pressure, 2.0))))


def _listed(synapses: Synapses, plan: Plan) -> _List:
    source = plan.population(synapses.source)
    if synapses.window is not None:
        into, out = conv_pairs(synapses.window, synapses.weights)
    else:
        out, into = np.nonzero(synapses.weights)
    delayed = synapses.delay > 1 and not isinstance(source, Source)
    return _List(source.size, into, out, synapses.weight_bits + (DELAY_BITS if delayed else 0))


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


def _split(size: int, count: int, lists: list[_List]) -> Cores:
    """Splits the targets evenly and in order over ``count`` cores; the figures are of the fullest."""
    core = np.arange(size) * count // size
    span = np.bincount(core, minlength=count)
    words: npt.NDArray[np.int64] = np.zeros(count, dtype=np.int64)
    axons: npt.NDArray[np.int64] = np.zeros(count, dtype=np.int64)
    for one in lists:
        where, weights = _per_axon(core, one, count)
        index_bits = max(6, int(span.max() - 1).bit_length())
        dense = words_of(span[where], one.bits)
        sparse = words_of(weights, one.bits + index_bits)
        np.add.at(words, where, np.minimum(dense, sparse))
        axons += np.bincount(where, minlength=count)
    return Cores(count, int(span.max()), int(words.max()), int(axons.max()))


def _per_axon(core: IntArray, one: _List, count: int) -> tuple[IntArray, IntArray]:
    """Core and number of weights of every axon that has any on that core."""
    key = core[one.target] * one.sources + one.source
    if count * one.sources <= 4 * key.size:
        every = np.bincount(key, minlength=count * one.sources)
        used = np.flatnonzero(every)
        return used // one.sources, every[used]
    used, weights = np.unique(key, return_counts=True)
    return used // one.sources, weights


def words_of(weights: IntArray, bits: int) -> IntArray:
    """64-bit words that an axon with so many weights of so many bits takes."""
    full, rest = np.divmod(weights, BLOCK)
    tail = np.where(rest > 0, -(-(HEADER + rest * bits) // WORD), 0)
    return np.asarray(full * -(-(HEADER + BLOCK * bits) // WORD) + tail, dtype=np.int64)
