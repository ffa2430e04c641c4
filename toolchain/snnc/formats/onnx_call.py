"""How a population's step is called in an ONNX file, and how its integers are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import FunctionProto


@dataclass(frozen=True)
class Call:
    """How a population's step is called.

    Attributes:
        function: name of the function.
        attributes: its attributes.
        states: what it carries from step to step, in the order of its inputs after the drive.
        params: fields of the neuron that follow the states.
        outputs: names of its outputs; ``s`` is the spikes.
        carries: state -> output that becomes it.
        probes: recorded state -> output that is it.
        needs: the function and what it calls.
        raw: fields that enter as raw integers with their unit as an attribute; the others in the state's unit.
        single: states and parameters are float32.
    """

    function: str
    attributes: Mapping[str, int]
    states: tuple[str, ...]
    params: tuple[str, ...]
    outputs: tuple[str, ...]
    carries: Mapping[str, str]
    probes: Mapping[str, str]
    needs: tuple[FunctionProto, ...]
    raw: tuple[str, ...] = ("decay_u", "decay_v")
    single: bool = False


def compact(values: npt.NDArray[np.int64]) -> npt.NDArray[np.signedinteger]:
    """The same integers in the narrowest of int8, int16, int32, int64 that holds them."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values
