"""One time step of the neurons of a population, as a SpiNNaker 1 core computes it, over a batch.

Written from specs/spinnaker.md section 1.5 alone: its equality with the reference executor is evidence because neither
was written from the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snnc.ir import IntArray
from snnc_spinnaker import arith
from snnc_spinnaker.ring import Layout, Ring
from snnc_spinnaker.words import Words, constants

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Step:
    """What a core records of one step, [batch, neurons] each.

    Attributes:
        v: membrane before the update, as the device records it.
        exc, inh: synaptic currents that the (first) update used.
        spikes: True where a spike was sent.
    """

    v: IntArray
    exc: IntArray
    inh: IntArray
    spikes: BoolArray


class Core:
    """A population's state and its ring buffer.

    Attributes:
        v: membrane [batch, neurons], s16.15.
        current: excitatory and inhibitory current [2, batch, neurons], s16.15.
        wait: refractory steps left [batch, neurons].
        ring: where arriving weights are added.
    """

    def __init__(self, words: Words, shift: tuple[int, int], layout: Layout, batch: int = 1) -> None:
        self.words = words
        self.constants = constants(words)
        self.shift = shift
        self.ring = Ring(layout, words.size, batch)
        shape = (batch, words.size)
        self.v = np.broadcast_to(words.column("v_init"), shape).copy()
        self.wait = np.broadcast_to(words.column("refract_init"), shape).copy()
        self.current = np.broadcast_to(self.constants.current[:, np.newaxis], (2, *shape)).copy()

    def step(self, time: int) -> Step:
        """Takes the step's input out of the ring and updates every neuron."""
        self._receive(time)
        before, exc, inh = self.v, self.current[0], self.current[1]
        spikes = np.zeros(self.v.shape, dtype=bool)
        for _ in range(self.words.sub_steps):
            self._update()
            spikes |= self._fire()
            self._shape()
        return Step(before, exc, inh, spikes)

    def _receive(self, time: int) -> None:
        taken = self.ring.take(time)
        arrived = np.stack([arith.weight_to_input(taken[k], self.shift[k]) for k in (0, 1)])
        if self.words.kind == "exp":
            arrived = arith.decay(arrived, self.constants.first[:, np.newaxis])
        self.current = arith.add(self.current, arrived)

    def _update(self) -> None:
        """``V = alpha - e * (alpha - V)`` with ``alpha = R * I + V_rest``, except while refractory."""
        made = self.constants
        used = self.current if self.words.kind == "exp" else arith.mul(self.current, made.scale)
        current = arith.w32(used[0] - used[1] + self.words.column("i_offset"))
        alpha = arith.add(arith.mul(current, made.resistance), self.words.column("v_rest"))
        moved = arith.sub(alpha, arith.mul(made.leak, arith.sub(alpha, self.v)))
        free = self.wait <= 0
        self.v = np.where(free, moved, self.v)
        self.wait = np.where(free, self.wait, self.wait - 1)

    def _fire(self) -> BoolArray:
        """Spikes where ``V >= V_thresh``, tested in refractory steps too."""
        fired = self.v >= self.words.threshold
        self.v = np.where(fired, self.words.column("v_reset"), self.v)
        self.wait = np.where(fired, self.constants.refractory, self.wait)
        return np.asarray(fired)

    def _shape(self) -> None:
        """Currents decay after use; a delta input lasts one update."""
        if self.words.kind == "exp":
            self.current = arith.decay(self.current, self.constants.fraction[:, np.newaxis])
        else:
            self.current = np.zeros_like(self.current)
