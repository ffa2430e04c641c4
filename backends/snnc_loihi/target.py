"""Target loihi1: Intel's first Loihi as its open simulators and drivers describe it."""

from __future__ import annotations

from functools import partial

from snnc.errors import InputError, Violation
from snnc.ir import Format, Graph
from snnc.learning import lower_rule
from snnc.passes import AddWeights, BiasToSource, HardenReset, MoveBias
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions
from snnc.quantize.shift import ShiftProfile, quantize_shift
from snnc.target import Limit, Target
from snnc_loihi import neurons
from snnc_loihi.constraints import CONSTRAINTS
from snnc_loihi.conventions import LAVA as REGISTERS
from snnc_loihi.conventions import OVERFLOWS
from snnc_loihi.grid import EXPONENTS, WIDTHS
from snnc_loihi.lowering import MAX_DELAY

DAVIES = "Davies et al., IEEE Micro 38(1):82-99, 2018, doi 10.1109/MM.2018.112130359"
NENGO = "nengo-loihi 1.1.0 (Apache-2.0; drove the chip)"
UNSURE = f"{NENGO}, whose authors mark the number as to be checked"
LAVA = "lava-nc 0.10.0 (BSD-3 process models)"
BRIAN = "brian2-loihi 0.5.2 (MIT) and Michaelis et al., Front. Neuroinform. 16:1015624, 2022"

CONVENTIONS = REGISTERS

PROFILE = ShiftProfile(
    target="loihi1",
    conventions=CONVENTIONS,
    weight_bits=(1, 8),
    default_weight_bits=8,
    sub_bits=6,
    weight_grid="mantissa",
    exponents=(EXPONENTS.start, EXPONENTS.stop - 1),
    decay_frac=neurons.DECAY_BITS,
    decay_u_raw=(0, neurons.MAX_DECAY),
    decay_v_raw=(1, 1 << neurons.DECAY_BITS),
    threshold=Format(17, -6, signed=False),
    bias=Format(13, 0, overflow="saturate_symmetric"),
    bias_exponents=neurons.BIAS_EXPONENTS,
    per_channel=False,
    fires=("gt",),
    linear_bias=False,
    direct_bits=12,
    host=True,
    # Every simulator agrees while the sum of one step stays in 21 bits and sign; beyond, nengo-loihi (compared with
    # the chip) wraps and Lava does not.
    accumulator_peak=(1 << 21) - 1,
)


def quantize(graph: Graph, calibration: Calibration, options: QuantizeOptions) -> Quantized:
    """Makes Loihi's integers; see :func:`snnc.quantize.shift.quantize_shift`.

    Raises:
        InputError: 7 weight bits, which Loihi 1 does not store.
    """
    if options.weight_bits is not None and options.weight_bits not in WIDTHS:
        allowed = ", ".join(str(width) for width in sorted(WIDTHS))
        raise InputError(str(Violation("loihi1", "weight_bits", str(options.weight_bits), allowed)))
    return quantize_shift(graph, calibration, options, PROFILE)


LOIHI1 = Target(
    name="loihi1",
    summary="Intel Loihi 1: 8-bit weights, 24-bit states, hard reset; runs in Lava's bit-accurate simulator",
    conventions=CONVENTIONS,
    formats={
        "weight": Format(8, -7),
        "decay_u": Format(13, 12, signed=False),
        "decay_v": Format(13, 12, signed=False),
        "threshold": Format(17, -6, signed=False),
        "bias": Format(13, 0, overflow="saturate_symmetric"),
        "state": Format(24, 0, overflow="saturate_symmetric"),
    },
    limits={
        "chips": Limit(16384, "that can be addressed", DAVIES),
        "neuro cores": Limit(128, "per chip", DAVIES),
        "compartments": Limit(1024, "per core", f"{DAVIES}; {NENGO}"),
        "synaptic memory": Limit(16384, "64-bit words per core", NENGO),
        "input axons": Limit(4096, "per core", NENGO),
        "output axons": Limit(4096, "per core", NENGO),
        "decay profiles": Limit(32, "different decays (u and v) per core", UNSURE),
        "threshold profiles": Limit(8, "different thresholds per core; sources say 8 to 16", UNSURE),
        "synapse formats": Limit(8, "per core; sources say 8 to 16", UNSURE),
        "weight bits": Limit(8, "0 to 6 or 8; the sign takes one", NENGO),
        "weight exponent": Limit(EXPONENTS.stop - 1, "power of two (-8 to 7; snnc uses 0 to 7)", f"{BRIAN}; {NENGO}"),
        "delay": Limit(MAX_DELAY, "steps", f"{BRIAN}; {NENGO}"),
        "decay": Limit(neurons.MAX_DECAY, "of 4096, per population", f"{NENGO}; {LAVA}"),
        "threshold mantissa": Limit(neurons.MAX_THRESHOLD, "times 64", f"{NENGO}; {LAVA}"),
        "bias mantissa": Limit(neurons.MAX_BIAS, "times 2**0 to 2**7, signed", f"{NENGO}; {LAVA}"),
        "state": Limit((1 << 23) - 1, "of u and v, signed", f"{LAVA}; {NENGO}"),
    },
    constraints=CONSTRAINTS,
    quantize=quantize,
    prepare=(MoveBias(), BiasToSource(), AddWeights()),
    allowances={HardenReset.name: HardenReset()},
    weight_bits=PROFILE.weight_bits,
    per_channel=PROFILE.per_channel,
    variants=OVERFLOWS,
    learning=partial(lower_rule, target="loihi1"),
)
