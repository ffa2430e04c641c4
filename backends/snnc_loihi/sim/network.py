"""Plan -> Lava processes -> recordings."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from lava.magma.core.process.process import ProcessServer
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIFReset
from lava.utils.weightutils import SignMode

from snnc_loihi.plan import Plan, Population, Synapses
from snnc_loihi.sim.recording import Biases, Programmed, Recording, RecordingLif, RecordingProgram
from snnc_loihi.sim.session import Session
from snnc_loihi.timeline import Timeline

Recorded = dict[str, dict[str, npt.NDArray[Any]]]


def simulate(
    plan: Plan,
    timeline: Timeline,
    spikes: npt.NDArray[Any],
    states: frozenset[str],
    model: Any = RecordingLif,
    biases: Mapping[str, npt.NDArray[np.int64]] = MappingProxyType({}),
) -> Recorded:
    """Builds the processes, runs them once and reads what they recorded.

    Args:
        plan: the network.
        timeline: where the samples lie.
        spikes: [samples, T, *shape] of the input.
        states: populations whose u and v are wanted.
        model: process model of LIFReset neurons.
        biases: population -> mantissas that the host programs, [samples, size].

    Returns:
        Population -> ``s`` (and ``u``, ``v``) -> [device steps, size].
    """
    with tempfile.TemporaryDirectory(prefix="snnc-lava-") as folder:
        server = ProcessServer()
        before = len(server.processes)
        try:
            lifs = _build(plan, timeline, spikes, states, Path(folder), biases)
            models = {LIFReset: model, Programmed: RecordingProgram}
            config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)
            for lif in lifs.values():
                # Lava compiles the processes that are connected to the one it is asked for, and no other.
                if lif.runtime is None:
                    executable = lif.compile(config)
                    session = Session(executable)
                    executable.assign_runtime_to_all_processes(session)
                    session.run_steps(timeline.total)
        finally:
            # Lava keeps every process ever made, with its data, in this list.
            del server.processes[before:]
        return {name: _read(lif.proc_params["recording"]) for name, lif in lifs.items()}


def _build(
    plan: Plan,
    timeline: Timeline,
    spikes: npt.NDArray[Any],
    states: frozenset[str],
    folder: Path,
    biases: Mapping[str, npt.NDArray[np.int64]],
) -> dict[str, Any]:
    lifs: dict[str, Any] = {}
    for number, population in enumerate(plan.populations):
        lif = _lif(population, timeline)
        path = folder / f"{number}.npy"
        lif.proc_params["recording"] = Recording(path, timeline.total, population.name in states)
        programmed = biases.get(population.name)
        lif.proc_params["biases"] = None if programmed is None else Biases.of(programmed, population, timeline)
        lifs[population.name] = lif
    buffers: dict[tuple[str, int], Any] = {}
    for one in plan.synapses:
        if one.source in lifs:
            port = lifs[one.source].s_out
        else:
            key = (one.source, one.delay)
            if key not in buffers:
                source = next(s for s in plan.sources if s.name == one.source)
                buffers[key] = RingBuffer(data=timeline.stimulus(source, one.delay, one.lag, spikes))
            port = buffers[key].s_out
        _connect(port, one, lifs[one.target].a_in)
    return lifs


def _lif(population: Population, timeline: Timeline) -> Any:
    reset = {"reset_interval": timeline.period, "reset_offset": timeline.reset_step(population.latency)}
    if population.code is not None:
        return Programmed(shape=(population.size,), code=population.code, **reset)
    return LIFReset(
        shape=(population.size,), du=population.du, dv=population.dv, vth=population.vth,
        bias_mant=population.bias_mant, bias_exp=population.bias_exp, **reset,
    )  # fmt: skip


def _connect(port: Any, one: Synapses, target: Any) -> None:
    if one.window is not None:
        window = one.window
        conv = Conv(
            weight=one.weights << one.weight_exp, input_shape=window.in_shape, stride=window.stride,
            padding=window.padding, dilation=window.dilation, groups=window.groups,
        )  # fmt: skip
        port.reshape(window.in_shape[::-1]).transpose((2, 1, 0)).connect(conv.s_in)
        conv.a_out.transpose((2, 1, 0)).flatten().connect(target)
        return
    options = {
        "weights": one.weights,
        "weight_exp": one.weight_exp,
        "num_weight_bits": one.weight_bits,
        "sign_mode": SignMode.MIXED if one.mixed else SignMode.EXCITATORY,
    }
    dense = DelayDense(**options, delays=one.delay - 1) if one.kind == "delay" else Dense(**options)
    port.connect(dense.s_in)
    dense.a_out.connect(target)


def _read(recording: Recording) -> dict[str, npt.NDArray[Any]]:
    found = {"s": np.load(recording.path, allow_pickle=False)}
    if recording.states:
        found |= {name: np.load(recording.beside(name), allow_pickle=False) for name in ("u", "v")}
    return found
