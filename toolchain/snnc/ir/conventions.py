"""Conventions: the choices in which chips differ although they compute "the same" neuron.

They travel with a :class:`~snnc.ir.graph.FixedGraph`, because the same integers mean different spikes under
different conventions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from snnc.errors import GraphError
from snnc.ir.fixed import Overflow, Rounding

Membrane = Literal["euler", "closed_form", "float32"]
Synapse = Literal["signed", "split"]


@dataclass(frozen=True)
class Conventions:
    """How a target executes integers.

    Attributes:
        hop_delay: steps from a spike to the membrane it drives; every edge that leaves a population has at least
            this delay in a fixed graph.
        membrane: ``euler``: ``v = decay_v*v + u + bias``; ``closed_form`` (SpiNNaker): ``a = R*(u + bias) + v_rest;
            v = a - decay_v*(a - v)``; ``float32`` (SpiNNaker2): states are IEEE single precision, and every operation
            rounds once, in this order: ``exc = decay_u*exc + x_exc; inh = decay_u*inh + x_inh;
            v = (decay_v*v + (exc - inh)) + bias``. There a parameter is the float32 that its integer and format say
            exactly (see :func:`~snnc.ir.fixed.to_single`), sums of weights are whole numbers below 2**24, and gains
            and ``v_rest`` have been folded away.
        synapse: ``signed``: one accumulator; ``split``: an excitatory and an inhibitory one, unsigned,
            saturating at ``accumulator_bits``.
        accumulator_bits: width of the sum of weights of one step: in state units under ``euler``, in ring units before
            the shift under ``closed_form``.
        accumulator_overflow: what happens beyond it.
        register_bits: width of the adder under ``euler``: a sum wraps there before the overflow policy of the state
            sees it (Lava adds in int32).
        state_bits: width of u and v.
        state_frac: fractional bits of u and v as integers; every parameter is aligned to it.
        current_overflow: what happens to u beyond its width.
        membrane_overflow: what happens to v beyond its width.
        drive_overflow: what happens under ``euler`` to ``u + bias`` beyond the state's width before it is added to v;
            None leaves it to the register.
        membrane_minimum, membrane_maximum: limits of v under ``euler`` in state units, within its width (Loihi's vmin
            and vmax); None means that the width alone limits it.
        decay_rounding: how ``state * decay`` loses its low bits.
        aligned_start: true if u and v of a population are set to their start values right before the first step
            that carries its input (device step = latency); false if the population runs freely from step 0.
    """

    hop_delay: int = 0
    membrane: Membrane = "euler"
    synapse: Synapse = "signed"
    accumulator_bits: int = 32
    accumulator_overflow: Overflow = "wrap"
    register_bits: int = 32
    state_bits: int = 32
    state_frac: int = 0
    current_overflow: Overflow = "saturate"
    membrane_overflow: Overflow = "saturate"
    drive_overflow: Overflow | None = None
    membrane_minimum: int | None = None
    membrane_maximum: int | None = None
    decay_rounding: Rounding = "toward_zero"
    aligned_start: bool = True

    def __post_init__(self) -> None:
        allowed = {
            "membrane": Membrane, "synapse": Synapse, "decay_rounding": Rounding, "accumulator_overflow": Overflow,
            "current_overflow": Overflow, "membrane_overflow": Overflow,
        }  # fmt: skip
        for key, kind in allowed.items():
            if getattr(self, key) not in get_args(kind):
                raise GraphError(f"the convention {key} is {getattr(self, key)!r}, allowed is one of {get_args(kind)}")
        if self.drive_overflow not in (None, *get_args(Overflow)):
            allowed_drive = (None, *get_args(Overflow))
            raise GraphError(f"the convention drive_overflow is {self.drive_overflow!r}, allowed is {allowed_drive}")
        low, high = self.membrane_minimum, self.membrane_maximum
        if low is not None and high is not None and low > high:
            raise GraphError(f"the convention membrane_minimum is {low}, allowed is at most membrane_maximum, {high}")
