"""Target loihi2: what Loihi 2's programmable neurons add to Loihi 1, with the little that is published of its limits.

Its integers run in a process of our own (:mod:`snnc_loihi.microcode`) inside Lava: Lava 0.10.0 has no fixed-point model
with a soft reset or a refractory time. Nothing here was compared with a chip.
"""

from __future__ import annotations

from functools import partial

from snnc.ir import Format, Graph
from snnc.learning import lower_rule
from snnc.passes import AddWeights, BiasToSource, MoveBias
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions
from snnc.quantize.shift import ShiftProfile, quantize_shift
from snnc.target import Limit, Target
from snnc_loihi.constraints2 import CONSTRAINTS
from snnc_loihi.grid import EXPONENTS
from snnc_loihi.lowering import MAX_DELAY
from snnc_loihi.microcode import DECAY_BITS, TOP
from snnc_loihi.target import CONVENTIONS, LAVA

BRIEF = "Intel Labs technology brief 'Taking Neuromorphic Computing to the Next Level with Loihi 2', 2021"
MUSEUM = "open-neuromorphic.org hardware pages (secondary)"

PROFILE = ShiftProfile(
    target="loihi2",
    conventions=CONVENTIONS,
    weight_bits=(1, 8),
    default_weight_bits=8,
    sub_bits=6,
    weight_grid="mantissa",
    exponents=(EXPONENTS.start, EXPONENTS.stop - 1),
    decay_frac=DECAY_BITS,
    threshold=Format(23, 0, signed=False),
    bias=Format(24, 0, overflow="saturate_symmetric"),
    per_channel=True,
    linear_bias=False,
    direct_bits=12,
    host=True,
    # Not published for Loihi 2; what every simulator of Loihi 1 agrees on is kept.
    accumulator_peak=(1 << 21) - 1,
)


def quantize(graph: Graph, calibration: Calibration, options: QuantizeOptions) -> Quantized:
    """Makes Loihi 2's integers; see :func:`snnc.quantize.shift.quantize_shift`."""
    return quantize_shift(graph, calibration, options, PROFILE)


LOIHI2 = Target(
    name="loihi2",
    summary="Intel Loihi 2: programmed neurons with soft reset, refractory time, decays and thresholds per neuron",
    conventions=CONVENTIONS,
    formats={
        "weight": Format(8, -7),
        "decay_u": PROFILE.decay,
        "decay_v": PROFILE.decay,
        "threshold": PROFILE.threshold,
        "bias": PROFILE.bias,
        "state": Format(24, 0, overflow="saturate_symmetric"),
    },
    limits={
        "neuro cores": Limit(128, "per chip (many boards offer 120)", f"{BRIEF}; {MUSEUM}"),
        "compartments": Limit(8192, "per core; fewer if the program needs more state", BRIEF),
        "neurons": Limit(1 << 20, "per chip (published as up to 1 million)", f"{BRIEF}; {MUSEUM}"),
        "synapses": Limit(120_000_000, "per chip", MUSEUM),
        "weight bits": Limit(8, "the sign takes one", BRIEF),
        "weight exponent": Limit(EXPONENTS.stop - 1, "power of two (snnc uses 0 to 7)", LAVA),
        "delay": Limit(MAX_DELAY, "steps", LAVA),
        "state": Limit(TOP, "of u and v, signed", LAVA),
    },
    constraints=CONSTRAINTS,
    quantize=quantize,
    prepare=(MoveBias(), BiasToSource(), AddWeights()),
    weight_bits=PROFILE.weight_bits,
    per_channel=PROFILE.per_channel,
    learning=partial(lower_rule, target="loihi2"),
)
