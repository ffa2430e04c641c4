"""Neuron processes that write down what they do: Lava's LIFReset, whose arithmetic is Lava's own, and ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import PyLifResetModelBitAcc

from snnc_loihi.microcode import Cells, Microcode, advance
from snnc_loihi.plan import Population
from snnc_loihi.timeline import Timeline


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


@dataclass(frozen=True, eq=False)
class Biases:
    """What the host writes into the bias registers of a population, sample after sample, and zeros in between.

    Attributes:
        mantissas: [samples, size].
        latency, period, steps: where the samples lie in device time.
        exponent: what one counts, as a power of two.
    """

    mantissas: npt.NDArray[np.int64]
    latency: int
    period: int
    steps: int
    exponent: int

    @classmethod
    def of(cls, mantissas: npt.NDArray[np.int64], population: Population, timeline: Timeline) -> Biases:
        """For a population in a run."""
        return cls(mantissas, population.latency, timeline.period, timeline.steps, population.bias_exp)

    def at(self, step: int) -> npt.NDArray[np.int64]:
        """The mantissas in a step, counted from 1; [size]."""
        sample, t = divmod(step - 1 - self.latency, self.period)
        if 0 <= sample < len(self.mantissas) and t < self.steps:
            return np.asarray(self.mantissas[sample])
        return np.zeros_like(self.mantissas[0])


class Recorder:
    """Keeps what a process did in each step and saves it in the last one.

    Reading a Var through Lava costs about 20 microseconds per number and step; a file costs nothing beside the run.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._kept: dict[str, npt.NDArray[Any]] = {}

    def keep(self, step: int, name: str, values: Any, dtype: Any) -> None:
        """Keeps the spikes (``s``) or a state of a step, counted from 1."""
        if name not in self._kept:
            self._kept[name] = np.zeros((self._recording.steps, values.size), dtype=dtype)
        self._kept[name][step - 1] = values

    def end(self, step: int, u: Any, v: Any) -> None:
        """Keeps the states if they are wanted; in the last step all is saved."""
        if self._recording.states:
            self.keep(step, "u", u, np.int32)
            self.keep(step, "v", v, np.int32)
        if step == self._recording.steps:
            for name, values in self._kept.items():
                np.save(self._recording.path if name == "s" else self._recording.beside(name), values)


class RecordingLif(PyLifResetModelBitAcc):  # type: ignore[misc]
    """Lava's bit-accurate LIFReset that keeps its spikes (and states) and saves them in its last step."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._recorder = Recorder(proc_params["recording"])
        self._biases: Biases | None = proc_params["biases"]

    def spiking_activation(self) -> Any:
        """Lava's comparison; its result is kept."""
        spikes = super().spiking_activation()
        self._recorder.keep(self.time_step, "s", spikes, np.bool_)
        return spikes

    def run_spk(self) -> None:
        """Lava's step; then the states are kept, and in the last step all is saved."""
        if self._biases is not None:
            self.bias_mant[:] = self._biases.at(self.time_step)
        super().run_spk()
        self._recorder.end(self.time_step, self.u, self.v)


class Programmed(AbstractProcess):  # type: ignore[misc]
    """Neurons that run :mod:`snnc_loihi.microcode`.

    Args:
        shape: of the population, flat.
        code: what they run.
        reset_interval, reset_offset: steps (counted from 1) before which the state is set to its start, as in LIFReset.
    """

    def __init__(self, *, shape: tuple[int, ...], code: Microcode, reset_interval: int, reset_offset: int) -> None:
        super().__init__(shape=shape, code=code, reset_interval=reset_interval, reset_offset=reset_offset)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)


@implements(proc=Programmed, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class RecordingProgram(PyLoihiProcessModel):  # type: ignore[misc]
    """Runs the program and keeps its spikes (and states); saves them in its last step."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._recorder = Recorder(proc_params["recording"])
        self._code: Microcode = proc_params["code"]
        self._biases: Biases | None = proc_params["biases"]
        self._every = int(proc_params["reset_interval"])
        self._offset = int(proc_params["reset_offset"]) % self._every
        self._cells = Cells.at_rest(self._code)

    def run_spk(self) -> None:
        """One step."""
        arrived = self.a_in.recv()
        if self.time_step % self._every == self._offset:
            self._cells = Cells.at_rest(self._code)
        if self._biases is not None:
            self._code = replace(self._code, bias=self._biases.at(self.time_step) << self._biases.exponent)
        advance(self._code, self._cells, arrived)
        self._recorder.keep(self.time_step, "s", self._cells.fired, np.bool_)
        self._recorder.end(self.time_step, self._cells.u, self._cells.v)
        self.s_out.send(self._cells.fired)
