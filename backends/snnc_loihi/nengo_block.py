"""nengo-loihi 1.1.0's way from a block of float compartments to registers: one scale for all, found by trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError
from snnc.ir import FloatArray, IntArray
from snnc_loihi.nengo import BIAS_EXPONENT, BIAS_MANTISSA, bias_to_manexp, decay_magnitude, discretize_weights

Float32 = npt.NDArray[np.float32]

THRESHOLD_MAX = 131071 << 6
BIAS_MAX = BIAS_MANTISSA << BIAS_EXPONENT
ACCUMULATOR_MAX = (1 << 21) - 1
SMALLEST_EXPONENT = -6


@dataclass(frozen=True, eq=False)
class FloatBlock:
    """A block as nengo-loihi's builder leaves it, n compartments.

    Attributes:
        decay_u, decay_v: fraction lost per step, ``1 - exp(-dt/tau)``, [n].
        threshold, bias: [n].
        minimum, maximum: limits of v; the maximum may be infinite.
        scale_u, scale_v: whether the input is divided by what a decay makes of it (a filter, not an integrator).
        synapses: weights [axons, n] of each synapse.
    """

    decay_u: Float32
    decay_v: Float32
    threshold: Float32
    bias: Float32
    minimum: float
    maximum: float
    scale_u: bool
    scale_v: bool
    synapses: tuple[Float32, ...]


@dataclass(frozen=True)
class Scales:
    """How floats became integers: weights, membrane and bias times these. Arrays where compartments differ."""

    weight: FloatArray
    membrane: FloatArray
    bias: FloatArray
    weight_exp: int
    largest_weight: float


@dataclass(frozen=True, eq=False)
class IntegerBlock:
    """Registers of a block.

    Attributes:
        decay_u, decay_v: [n]; the chip adds 1 to decay_u.
        threshold, bias: [n], expanded.
        minimum, maximum: of v.
        weights: per synapse, [axons, n] in units of the accumulator.
        weight_exps: per synapse.
        scales: what the floats were multiplied by.
    """

    decay_u: IntArray
    decay_v: IntArray
    threshold: IntArray
    bias: IntArray
    minimum: int
    maximum: int
    weights: tuple[IntArray, ...]
    weight_exps: tuple[int, ...]
    scales: Scales


def discretize_block(block: FloatBlock) -> IntegerBlock:
    """Integers of a block.

    1. ``decay_u = clip(round(4095 * d - 1), 0, 4095)``, ``decay_v = round(4095 * d)``, in float32.
    2. One scale for the membrane, as large as weights, threshold and bias allow (:func:`_scales`).
    3. ``threshold`` to the nearest multiple of 64, ``bias`` to mantissa and exponent, the limits of v to the nearest
       power of two that the registers have.
    4. Synapses with smaller weights get a smaller exponent and keep more of their bits.

    Raises:
        InputError: no exponent makes the threshold and the bias fit, or the membrane's scale differs inside a block.
    """
    lost_u = np.clip(block.decay_u * np.float32(4095) - np.float32(1), 0, 4095)
    decay_u = np.rint(lost_u).astype(np.int64)
    decay_v = np.rint(block.decay_v * np.float32(4095)).astype(np.int64)
    scales = _scales(block, decay_u, decay_v)
    one = float(scales.membrane.flat[0])
    if np.any(scales.membrane != one):
        raise InputError("the compartments of a block need one scale of v: give them the same decays")
    mantissa = np.rint(np.rint(block.threshold * scales.membrane) / 64).astype(np.int64)
    bias, exponent = bias_to_manexp(np.rint(block.bias * scales.bias))
    low, high = _limits(block.minimum, block.maximum, one)
    synapses = [_synapse(weights, scales) for weights in block.synapses]
    return IntegerBlock(
        decay_u, decay_v, mantissa << 6, bias << exponent, low, high,
        tuple(weights for weights, _ in synapses), tuple(found for _, found in synapses), scales,
    )  # fmt: skip


def _largest(arrays: Sequence[Float32]) -> float:
    return max((float(np.max(np.abs(array))) for array in arrays if array.size), default=0.0)


def _scales(block: FloatBlock, decay_u: IntArray, decay_v: IntArray) -> Scales:
    """Weights set the scale; without weights the bias does; without either the threshold takes what an input fits."""
    ones = np.ones(len(block.bias))
    per_u = 1 / decay_magnitude(decay_u, offset=1) if block.scale_u else ones
    per_v = 1 / decay_magnitude(decay_v) if block.scale_v else ones
    largest = _largest(block.synapses)
    if largest > 1e-8:
        return _by_weights(block, per_u, per_v, largest)
    if _largest([block.bias]) > 1e-8:
        return _by_bias(block, per_u, per_v, largest)
    membrane = np.array([min(THRESHOLD_MAX, ACCUMULATOR_MAX) / (block.threshold.max() + np.float32(1)).item()])
    bias = membrane * per_v
    return Scales(bias * per_u / 64, membrane, bias, 0, largest)


def _by_weights(block: FloatBlock, per_u: FloatArray, per_v: FloatArray, largest: float) -> Scales:
    """The largest weight becomes 255; the exponent falls until threshold and bias fit."""
    weight = 255.0 / largest
    for exponent in range(0, -8, -1):
        membrane = 1 / (per_u * per_v) * weight * 2.0 ** (6 + exponent)
        bias = membrane * per_v
        fits = np.rint(block.threshold * membrane) <= THRESHOLD_MAX
        if np.all(fits) and np.all(np.abs(np.rint(block.bias * bias)) <= BIAS_MAX):
            return Scales(np.array(weight), membrane, bias, exponent, largest)
    raise InputError("no weight exponent from 0 to -7 lets the threshold and the bias fit their registers")


def _by_bias(block: FloatBlock, per_u: FloatArray, per_v: FloatArray, largest: float) -> Scales:
    """The largest bias fills its register and is halved until the threshold fits."""
    bias_max = _largest([block.bias])
    bias = BIAS_MAX / bias_max
    while bias * bias_max > 1:
        membrane = bias / per_v
        if np.all(np.rint(block.threshold * membrane) <= THRESHOLD_MAX):
            return Scales(bias * per_u / 64, membrane, np.array(bias), 0, largest)
        bias /= 2
    raise InputError("no scale of the bias lets the threshold fit its register")


def _limits(minimum: float, maximum: float, scale: float) -> tuple[int, int]:
    """The limits of v as the registers' exponents give them: ``-2**a + 1`` and ``2**(9 + 2*b) - 1``."""
    a = int(np.clip(np.rint(np.log2(1 - minimum * scale)), 0, 31))
    b = int(np.clip(np.rint((np.log2(maximum * scale + 1) - 9) * 0.5), 0, 7))
    return -(1 << a) + 1, (1 << (9 + 2 * b)) - 1


def _synapse(weights: Float32, scales: Scales) -> tuple[IntArray, int]:
    own = _largest([weights])
    down = scales.weight_exp - SMALLEST_EXPONENT
    exponent = SMALLEST_EXPONENT
    if own > 1e-16:
        down = int(np.floor(np.log2(scales.largest_weight / own)))
        exponent = max(scales.weight_exp - down, SMALLEST_EXPONENT)
    if scales.weight.ndim == 0:  # one number for the block: the original stays in float32
        return discretize_weights(weights * np.float32(scales.weight) * np.float32(2.0**down), exponent), exponent
    return discretize_weights(weights * scales.weight * 2.0**down, exponent), exponent
