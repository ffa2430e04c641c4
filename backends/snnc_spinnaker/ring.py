"""Ring buffers: the saturating 16-bit sums in which weights wait for their step, and the synaptic rows that fill them.

Source: specs/spinnaker.md sections 1.6 and 1.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import IntArray

LIMIT = 0xFFFF


@dataclass(frozen=True)
class Layout:
    """Bit widths of a ring index and of the low half of a synaptic word.

    Attributes:
        neuron_bits: N.
        delay_bits: D; delays are 1 to 2**D steps.
        type_bits: T; 1 for an excitatory and an inhibitory receptor.
    """

    neuron_bits: int
    delay_bits: int
    type_bits: int = 1

    @property
    def index_bits(self) -> int:
        """N + T + D."""
        return self.neuron_bits + self.type_bits + self.delay_bits

    def unpack(self, words: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Delay, receptor and neuron of synaptic words."""
        neuron = words & ((1 << self.neuron_bits) - 1)
        receptor = (words >> self.neuron_bits) & ((1 << self.type_bits) - 1)
        delay = (words >> (self.neuron_bits + self.type_bits)) & ((1 << self.delay_bits) - 1)
        return delay, receptor, neuron


class Ring:
    """``uint16 ring[2**D][2**T][batch][neurons]`` with saturating adds.

    Attributes:
        saturations: entries that were cut to 65535, counted per add.
        dropped: synapses whose packet came too late for their delay.
    """

    def __init__(self, layout: Layout, size: int, batch: int = 1) -> None:
        self.layout = layout
        self.slots = 1 << layout.delay_bits
        self.sums = np.zeros((self.slots, 1 << layout.type_bits, batch, size), dtype=np.uint16)
        self.saturations = 0
        self.dropped = 0

    def take(self, step: int) -> IntArray:
        """The sums of this step, [types, batch, neurons]; their slot is emptied."""
        slot = self.sums[step % self.slots]
        taken: IntArray = slot.astype(np.int64)
        slot[...] = 0
        return taken

    def add(self, step: int, delay: int, receptor: int, amounts: IntArray) -> int:
        """Adds non-negative sums [batch, neurons] to the slot ``delay`` steps ahead.

        Saturating adds of non-negative numbers give the same sum in any order, so many synapses may come as one.
        An entry that saturates counts once per call.

        Returns:
            How many entries saturated.
        """
        slot = self.sums[(step + delay) % self.slots, receptor]
        total = slot.astype(np.int64) + amounts
        cut = int(np.count_nonzero(total > LIMIT))
        self.saturations += cut
        slot[...] = np.minimum(total, LIMIT)
        return cut

    def row(self, step: int, words: IntArray, lag: int = 0) -> None:
        """Processes the fixed words of one synaptic row for the first sample, counting as the core does.

        Args:
            step: time at which the packet is processed.
            words: ``weight << 16 | delay << (N + T) | type << N | neuron`` each.
            lag: steps that the packet was late; it eats delay, and drops what has too little of it.
        """
        delay, receptor, neuron = self.layout.unpack(words)
        late = (delay != 0) & (delay <= lag)
        self.dropped += int(np.count_nonzero(late))
        slot = (step - lag + delay) % self.slots
        self.put(slot[~late], receptor[~late], neuron[~late], (words >> 16)[~late])

    def put(self, slot: IntArray, receptor: IntArray, neuron: IntArray, weight: IntArray) -> None:
        """Adds single weights to entries of the first sample, one after the other where entries repeat."""
        entry = (slot * self.sums.shape[1] + receptor) * self.sums.shape[3] + neuron
        waiting = np.arange(len(entry))
        while waiting.size:
            _, first = np.unique(entry[waiting], return_index=True)
            now = waiting[first]
            total = self.sums[slot[now], receptor[now], 0, neuron[now]] + weight[now]
            self.saturations += int(np.count_nonzero(total & (LIMIT + 1)))
            self.sums[slot[now], receptor[now], 0, neuron[now]] = np.minimum(total, LIMIT)
            waiting = np.delete(waiting, first)
