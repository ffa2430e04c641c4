"""Synapses that learn in Lava: LearningDense between an input and LIFReset, watched step by step."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lava.magma.core.learning.learning_rule import Loihi2FLearningRule
from lava.magma.core.process.process import ProcessServer
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.models import PyLearningDenseModelBitApproximate
from lava.proc.dense.process import LearningDense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIFReset
from lava.utils.weightutils import SignMode

from snnc.ir import IntArray, PlasticityRule, write_products
from snnc.learning.saturation import FULL, TRACES
from snnc_loihi.plan import Plan
from snnc_loihi.sim.network import _connect
from snnc_loihi.sim.recording import Programmed, Recording, RecordingLif, RecordingProgram
from snnc_loihi.sim.session import Session

SIGNS = {"mixed": SignMode.MIXED, "excitatory": SignMode.EXCITATORY, "inhibitory": SignMode.INHIBITORY}


@dataclass(frozen=True, eq=False)
class Taught:
    """Synapses of the plan that learn.

    Attributes:
        rule: what LearningDense is given.
        weights: [post, pre] device steps to start from.
        exponent: of the weights.
    """

    rule: PlasticityRule
    weights: IntArray
    exponent: int


class WatchedDense(PyLearningDenseModelBitApproximate):  # type: ignore[misc]
    """Lava's model; at the start of a step its weights and traces are those after the step before."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._path, self._total, self._epoch = proc_params["watch"]
        self._seen: list[npt.NDArray[Any]] = []
        self._full = np.zeros(len(TRACES), dtype=np.int64)

    def run_spk(self) -> None:
        """Lava's step."""
        self._seen.append(np.array(self.weights))
        if self.time_step > 1 and (self.time_step - 1) % self._epoch == 0:
            self._full += [np.count_nonzero(np.asarray(getattr(self, name)) >= FULL) for name in TRACES]
        if self.time_step == self._total:
            np.savez(self._path, weights=np.stack(self._seen[1:]), full=self._full)
        super().run_spk()


def course(
    plan: Plan, taught: Mapping[str, Taught], spikes: npt.NDArray[np.int8]
) -> tuple[dict[str, IntArray], dict[str, npt.NDArray[Any]], dict[str, dict[str, int]]]:
    """Runs samples one after the other in one Lava network; neurons are reset before each of them, synapses go on.

    Args:
        plan: processes; every connection comes from an input and takes one step.
        taught: synapses of the plan -> what they learn by.
        spikes: [samples, T, *shape].

    Returns:
        Synapses -> weights after every device step [samples * (T + depth), post, pre]; population -> spikes
        [samples * (T + depth), size]; and synapses -> trace -> how often it was at its end, over neurons and epochs.
    """
    samples, steps = spikes.shape[:2]
    period = steps + plan.depth
    total = samples * period + 1
    given = np.zeros((samples, period, int(np.prod(spikes.shape[2:]))), dtype=np.int8)
    given[:, :steps] = spikes.reshape(samples, steps, -1)
    data = np.concatenate([given.reshape(samples * period, -1), np.zeros((1, given.shape[2]), np.int8)]).T
    with tempfile.TemporaryDirectory(prefix="snnc-lava-") as folder:
        server = ProcessServer()
        before = len(server.processes)
        try:
            lifs, denses = _build(plan, taught, data, period, total, Path(folder))
            models = {LIFReset: RecordingLif, Programmed: RecordingProgram, LearningDense: WatchedDense}
            config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)
            for lif in lifs.values():
                if lif.runtime is None:
                    executable = lif.compile(config)
                    session = Session(executable)
                    executable.assign_runtime_to_all_processes(session)
                    session.run_steps(total)
        finally:
            del server.processes[before:]
        weights, full = {}, {}
        for name, one in denses.items():
            with np.load(one.proc_params["watch"][0], allow_pickle=False) as seen:
                weights[name] = seen["weights"].astype(np.int64)
                full[name] = dict(zip(TRACES, map(int, seen["full"]), strict=True))
        fired = {
            name: np.load(lif.proc_params["recording"].path, allow_pickle=False)[:-1] for name, lif in lifs.items()
        }
    return weights, fired, full


def _build(
    plan: Plan, taught: Mapping[str, Taught], data: npt.NDArray[np.int8], period: int, total: int, folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    lifs: dict[str, Any] = {}
    denses: dict[str, Any] = {}
    for number, one in enumerate(plan.populations):
        reset = {"reset_interval": period, "reset_offset": 1 % period}
        if one.code is not None:
            lif = Programmed(shape=(one.size,), code=one.code, **reset)
        else:
            lif = LIFReset(
                shape=(one.size,), du=one.du, dv=one.dv, vth=one.vth, bias_mant=one.bias_mant, bias_exp=one.bias_exp,
                **reset,
            )  # fmt: skip
        lif.proc_params["recording"] = Recording(folder / f"{number}.npy", total, states=False)
        lif.proc_params["biases"] = None
        lifs[one.name] = lif
    source = RingBuffer(data=data)
    for number, synapses in enumerate(plan.synapses):
        target = lifs[synapses.target]
        learns = taught.get(synapses.name)
        if learns is None:
            _connect(source.s_out, synapses, target.a_in)
            continue
        dense = _learning_dense(learns)
        dense.proc_params["watch"] = (str(folder / f"weights{number}.npz"), total, learns.rule.t_epoch)
        source.s_out.connect(dense.s_in)
        dense.a_out.connect(target.a_in)
        target.s_out.connect(dense.s_in_bap)
        denses[synapses.name] = dense
    return lifs, denses


def _learning_dense(one: Taught) -> Any:
    rule = one.rule
    traces = {name: getattr(rule, name) for name in TRACES}
    options = {f"{name}_impulse": trace.impulse for name, trace in traces.items()}
    options |= {f"{name}_tau": trace.tau for name, trace in traces.items()}
    options |= {key: write_products(products) for key, products in rule.sums.items() if products}
    made = Loihi2FLearningRule(t_epoch=rule.t_epoch, rng_seed=rule.seeds.traces, **options)
    return LearningDense(
        weights=one.weights, weight_exp=one.exponent, num_weight_bits=8, sign_mode=SIGNS[rule.sign], learning_rule=made
    )
