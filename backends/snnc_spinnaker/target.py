"""Target spinnaker1: a SpiNNaker 1 board under sPyNNaker 7.4.1, as data."""

from __future__ import annotations

from snnc.passes import AddWeights, BiasToSource, HardenReset
from snnc.target import Limit, Target
from snnc_spinnaker.constraints import CONSTRAINTS
from snnc_spinnaker.quantize import ACCUM, CONVENTIONS, DECAY_U, GAIN_U, WEIGHT_BITS, WEIGHT_FORMAT, quantize
from snnc_spinnaker.stdp_rule import account

TOOLS = "sPyNNaker 7.4.1 as its tools have it (specs/spinnaker.md 1.9)"
EXTENSION = "DelayExtensionVertex of sPyNNaker 7.4.1, and the memory of its delay_extension.aplx (measured)"
RING = "sPyNNaker ring buffers (specs/spinnaker.md 1.6)"

SPINNAKER1 = Target(
    name="spinnaker1",
    summary="SpiNNaker 1 board, IF_curr_exp and IF_curr_delta of sPyNNaker 7.4.1 in s16.15",
    conventions=CONVENTIONS,
    formats={
        "weight": WEIGHT_FORMAT,
        "decay_u": DECAY_U,
        "decay_v": ACCUM,
        "gain_u": GAIN_U,
        "gain": ACCUM,
        "threshold": ACCUM,
        "bias": ACCUM,
        "state": ACCUM,
    },
    limits={
        "cores": Limit(759, "cores of a 48-chip board", TOOLS),
        "neurons per core": Limit(256, "neurons", RING),
        "ring bits": Limit(14, "bits of neuron, receptor and delay", RING),
        "delay steps": Limit(2048, "steps; beyond 128 over delay-extension cores", EXTENSION),
        "row words": Limit(256, "synapses of one source on one core", "population table (specs/spinnaker.md 1.7)"),
        "weight": Limit(65535, "levels of a magnitude", "uint16 (specs/spinnaker.md 1.1)"),
        "router entries": Limit(1023, "entries of a chip", TOOLS),
        "DTCM bytes": Limit(65536, "bytes of a core", TOOLS),
        "SDRAM bytes": Limit(123469792 * 48, "bytes of a board", TOOLS),
    },
    constraints=CONSTRAINTS,
    quantize=quantize,
    prepare=(AddWeights(), BiasToSource()),
    allowances={HardenReset.name: HardenReset()},
    weight_bits=WEIGHT_BITS,
    per_channel=True,
    learning=account,
)
