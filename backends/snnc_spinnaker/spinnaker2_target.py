"""Target spinnaker2: a SpiNNaker2 chip under py-spinnaker2's LIF programs, as data."""

from __future__ import annotations

from snnc.passes import AddWeights, BiasToSource, HardenReset
from snnc.target import Target
from snnc_spinnaker.spinnaker2 import LIMITS
from snnc_spinnaker.spinnaker2_quantize import CONVENTIONS, SINGLE, WEIGHT, WEIGHT_BITS, quantize
from snnc_spinnaker.spinnaker2_rules import RULES

SPINNAKER2 = Target(
    name="spinnaker2",
    summary="SpiNNaker2 chip, lif and lif_curr_exp of py-spinnaker2 in float32 (as published, not run on silicon)",
    conventions=CONVENTIONS,
    formats={
        "weight": WEIGHT, "decay_u": SINGLE, "decay_v": SINGLE, "threshold": SINGLE, "bias": SINGLE, "v_reset": SINGLE,
        "v_init": SINGLE,
    },
    limits=LIMITS,
    constraints=RULES,
    quantize=quantize,
    prepare=(AddWeights(), BiasToSource()),
    allowances={HardenReset.name: HardenReset()},
    weight_bits=WEIGHT_BITS,
)  # fmt: skip
