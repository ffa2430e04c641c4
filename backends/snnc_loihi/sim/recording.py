"""A LIFReset that writes down what it does. The arithmetic is Lava's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lava.proc.lif.models import PyLifResetModelBitAcc


@dataclass(frozen=True)
class Recording:
    """What a process records, and where.

    Attributes:
        path: file of the spikes, [steps, size]; states go beside it.
        steps: device steps of the run.
        states: record u and v as well.
    """

    path: Path
    steps: int
    states: bool

    def beside(self, name: str) -> Path:
        """File of one state, [steps, size]."""
        return self.path.with_suffix(f".{name}.npy")


class RecordingLif(PyLifResetModelBitAcc):  # type: ignore[misc]
    """Lava's bit-accurate LIFReset that keeps its spikes (and states) and saves them in its last step.

    Reading a Var through Lava costs about 20 microseconds per number and step; a file costs nothing beside the run.
    """

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._recording: Recording = proc_params["recording"]
        self._kept: dict[str, npt.NDArray[Any]] = {}

    def spiking_activation(self) -> Any:
        """Lava's comparison; its result is kept."""
        spikes = super().spiking_activation()
        self._keep("s", spikes, np.bool_)
        return spikes

    def run_spk(self) -> None:
        """Lava's step; then the states are kept, and in the last step all is saved."""
        super().run_spk()
        if self._recording.states:
            self._keep("u", self.u, np.int32)
            self._keep("v", self.v, np.int32)
        if self.time_step == self._recording.steps:
            for name, values in self._kept.items():
                np.save(self._recording.path if name == "s" else self._recording.beside(name), values)

    def _keep(self, name: str, values: Any, dtype: Any) -> None:
        if name not in self._kept:
            self._kept[name] = np.zeros((self._recording.steps, values.size), dtype=dtype)
        self._kept[name][self.time_step - 1] = values
