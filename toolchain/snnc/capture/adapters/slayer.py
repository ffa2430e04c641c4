"""lava-dl's SLAYER blocks: refused, because their ``.net`` export says exactly what they compute and a graph cannot.

A block quantizes its weights to 8 bits and its neurons compute in integers of 1/4096: with ``tz`` truncating toward
zero, ``u = tz(u * (4096 - iDecay) / 4096) + 4096 * x`` and likewise v, in every step and in training already. A float
graph has no truncation, so that its spikes drift away from the module's. ``export_hdf5`` writes these integers, and
:mod:`snnc.formats.slayer_file` takes them as they are.
"""

from __future__ import annotations

MODULES = "lava.lib.dl.slayer."
_EXPORT = (
    "SLAYER's blocks compute in integers, truncated in every step, which a float graph cannot repeat. Write the "
    "network with its export_hdf5 and give snnc the .net file: its integers are taken as they are."
)
_BLOCKS = (
    "Input", "Dense", "Conv", "ConvT", "Pool", "Unpool", "Flatten", "Average", "Affine", "TimeDecimation", "KWTA",
    "Recurrent", "Output",
)  # fmt: skip
_PARTS = ("Neuron", "Delay", "Delta", "Layer", "Dropout", "MeanOnlyBatchNorm", "WgtScaleBatchNorm")
ADVICE = dict.fromkeys((*_BLOCKS, *_PARTS), _EXPORT)
