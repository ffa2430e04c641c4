"""SLAYER ``.net`` files: networks that lava-dl's SLAYER trained and Lava's netx would load.

What is computed, per step and neuron, all integers, ``tz`` truncating toward zero::

    u = tz(u * (4096 - iDecay) / 4096) + 64 * sum of weights
    v = tz(v * (4096 - vDecay) / 4096) + u + 64 * bias
    s = v > 64 * vThMant (or >=);  v = 0 where s

A file does not say how it compares. Lava, and lava-dl since it raises the threshold by a hundredth of a step, fire at
``>``; networks that older versions trained fire at ``>=``. Each layer is one step behind the one before it in Lava;
traces are in logical time, where the layers act in the same step. A layer without neurons integrates its input
without leak, as in netx; its answer is its membrane.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, UnsupportedError, Violation
from snnc.formats import slayer_build
from snnc.formats.slayer_build import Fires, Place
from snnc.formats.slayer_layers import DECAY, Layers, layers_of, unsupported
from snnc.formats.slayer_tree import read_content, read_records
from snnc.ir import FloatArray, Graph
from snnc.ir.fixed import Rounding, round_to_int, shift_right
from snnc.quantize.base import Quantized

__all__ = ["Fires", "Place", "SlayerNet", "open_net", "read", "read_content"]

STEP_BITS = 6


@dataclass(frozen=True, eq=False)
class SlayerNet:
    """A network file that was read and checked.

    Attributes:
        layers: its layers.
        fires: how its neurons compare.
    """

    layers: Layers
    fires: Fires = "gt"

    def graph(self) -> Graph:
        """The float graph; 1.0 is 4096 units of the integers' state."""
        return slayer_build.float_graph(self.layers, self.fires)

    def integers(self, place: Place) -> Quantized | None:
        """The file's own integers for a target; None where the target computes differently (quantize the graph).

        On Loihi ``>=`` becomes ``>`` one step lower where no decay leaves a remainder, which is exact; elsewhere the
        threshold stays and a note ``fires`` says that v equal to it does not fire.

        Raises:
            UnsupportedError: a number of the file has no place on the target.
        """
        return slayer_build.integers(self.layers, self.fires, place)

    def encode(self, values: npt.ArrayLike, steps: int, rounding: Rounding = "nearest_even") -> npt.NDArray[np.int8]:
        """Spikes of the file's input layer for analog values, which drive its neurons as a bias.

        Args:
            values: [B, *shape], as the network was trained with, usually 0 to 1.
            steps: T.
            rounding: of the bias ``2 * weight * value - weight + bias``; netx truncates (``toward_zero``).

        Returns:
            int8 [B, T, *shape], what the network takes as input.

        Raises:
            InputError: the file has no input neurons, or the values do not match.
        """
        encoder, shape = self.layers.encoder, self.layers.shape
        if encoder is None:
            raise InputError("the file has no input neurons: it takes spikes")
        given: FloatArray = np.asarray(values, dtype=np.float64)
        if given.ndim != len(shape) + 1 or given.shape[1:] != shape or not np.all(np.isfinite(given)):
            raise InputError(str(Violation("input", "values", f"of shape {given.shape}", f"finite, [B, *{shape}]")))
        if steps < 1:
            raise InputError(str(Violation("input", "steps", str(steps), "1 or more")))
        bias = round_to_int(2 * encoder.weight * given - encoder.weight + encoder.bias, rounding).astype(np.int64)
        kept, threshold = DECAY - encoder.neuron.v_decay, encoder.neuron.threshold << STEP_BITS
        v = np.zeros_like(bias)
        spikes = np.zeros((given.shape[0], steps, *shape), dtype=np.int8)
        for t in range(steps):
            v = shift_right(v * kept, 12, "toward_zero") + (bias << STEP_BITS)
            fired = v > threshold if self.fires == "gt" else v >= threshold
            spikes[:, t] = fired
            v = np.where(fired, 0, v)
        return spikes


def read(content: bytes, where: str, fires: Fires = "gt") -> SlayerNet:
    """Reads the content of a ``.net`` file.

    Args:
        content: the file's bytes, see :func:`read_content`.
        where: what messages call the file.
        fires: ``gt`` (Lava, newer lava-dl) or ``ge`` (networks of older versions).

    Raises:
        InputError: the file is damaged, or a field is missing or contradicts another.
        UnsupportedError: a layer or neuron that netx does not run, with every one of them.
    """
    records = read_records(content, where)
    found: list[Violation] = [violation for record in records for violation in unsupported(record)]
    if found:
        raise UnsupportedError(f"{where} holds what a .net network cannot be here", violations=tuple(found))
    return SlayerNet(layers_of(records), fires)


def open_net(path: Path, fires: Fires = "gt") -> SlayerNet:
    """Reads a file; see :func:`read`."""
    return read(read_content(path), str(path), fires)
