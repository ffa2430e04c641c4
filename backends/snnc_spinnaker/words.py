"""What a core is loaded with for one population (words), and what it makes of them before the first step (constants).

Source: specs/spinnaker.md section 1.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from snnc.errors import FormatError
from snnc.ir import IntArray
from snnc_spinnaker import arith

Kind = Literal["exp", "delta"]
NEURON_FIELDS = (
    "v_init", "v_rest", "c_m", "tau_m", "i_offset", "v_reset", "t_refrac", "refract_init", "time_step",
)  # fmt: skip
EXP_FIELDS = ("tau_exc", "init_exc", "tau_inh", "init_inh", "time_step")
DELTA_FIELDS = ("init_exc", "init_inh")


@dataclass(frozen=True, eq=False)
class Words:
    """Parameter words of n neurons, s16.15 unless said otherwise.

    Attributes:
        kind: ``exp`` (IF_curr_exp) or ``delta`` (IF_curr_delta).
        neuron: (n, 9) in the order of NEURON_FIELDS; refract_init is a count of steps.
        threshold: (n,).
        synapse: (n, 5) in the order of EXP_FIELDS, or (n, 2) in that of DELTA_FIELDS.
        delta_step: (n,) time step of the input part; empty for ``exp``.
        sub_steps: neuron updates per time step.
    """

    kind: Kind
    neuron: IntArray
    threshold: IntArray
    synapse: IntArray
    delta_step: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    sub_steps: int = 1

    def __post_init__(self) -> None:
        for key in ("neuron", "threshold", "synapse", "delta_step"):
            array = np.array(getattr(self, key), dtype=np.int64, copy=True)
            if np.any(arith.w32(array) != array):
                raise FormatError(f"a parameter word ({key}) does not fit 32 bits")
            array.setflags(write=False)
            object.__setattr__(self, key, array)
        n = len(self.neuron)
        wanted = {
            "neuron": (n, len(NEURON_FIELDS)),
            "threshold": (n,),
            "synapse": (n, len(EXP_FIELDS if self.kind == "exp" else DELTA_FIELDS)),
            "delta_step": (0,) if self.kind == "exp" else (n,),
        }
        for key, shape in wanted.items():
            if getattr(self, key).shape != shape:
                raise FormatError(f"parameter words {key}: shape {getattr(self, key).shape}, allowed is {shape}")

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.neuron)

    def column(self, name: str) -> IntArray:
        """One field of the neuron part, (n,)."""
        return np.asarray(self.neuron[:, NEURON_FIELDS.index(name)])

    def sliced(self, first: int, last: int) -> Words:
        """The words of neurons first to last - 1."""
        cut = slice(first, last)
        return Words(
            self.kind, self.neuron[cut], self.threshold[cut], self.synapse[cut], self.delta_step[cut], self.sub_steps
        )


@dataclass(frozen=True, eq=False)
class Constants:
    """What the core computes from its words at start. (n,) each; s16.15, or u0.32 where said.

    Attributes:
        resistance: ``R = tau_m / c_m``.
        leak: ``e = exp(-step / tau_m)``.
        refractory: steps that are skipped after a spike.
        fraction: (2, n) u0.32, decay of the excitatory and the inhibitory current; zeros for ``delta``.
        first: (2, n) u0.32, scale of new input; zeros for ``delta``.
        scale: ``1 / step`` by which a delta input is multiplied; zeros for ``exp``.
        current: (2, n) start values of the currents.
    """

    resistance: IntArray
    leak: IntArray
    refractory: IntArray
    fraction: IntArray
    first: IntArray
    scale: IntArray
    current: IntArray


def constants(words: Words) -> Constants:
    """Computes a population's constants as the core does."""
    step = arith.kdivui(words.column("time_step"), words.sub_steps)
    tau = words.column("tau_m")
    nothing = np.zeros((2, words.size), dtype=np.int64)
    fraction, first, scale = nothing, nothing, nothing[0]
    if words.kind == "exp":
        synapse_step = arith.kdivui(words.synapse[:, 4], words.sub_steps)
        pairs = [arith.decay_init(words.synapse[:, column], synapse_step) for column in (0, 2)]
        fraction, first = (np.stack([pair[k] for pair in pairs]) for k in (0, 1))
        current = np.stack([words.synapse[:, 1], words.synapse[:, 3]])
    else:
        scale = arith.kdivk(arith.ONE, arith.kdivui(words.delta_step, words.sub_steps))
        current = np.stack([words.synapse[:, 0], words.synapse[:, 1]])
    return Constants(
        resistance=arith.kdivk(tau, words.column("c_m")),
        leak=arith.expk(arith.w32(-arith.kdivk(step, tau))),
        refractory=arith.ceil(arith.kdivk(words.column("t_refrac"), step)),
        fraction=fraction,
        first=first,
        scale=scale,
        current=current,
    )
