"""Rung 5 for learning: Lava's own LearningDense, run here and now, changes its weights as the reference does."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.ir import IntArray, PlasticityRule, RoundingSeeds, SynapticTrace, write_products
from snnc_loihi import compat
from snnc_reference.learning import IntegerLearning

STEPS = 24
RULE = PlasticityRule.parse(
    dw="2^-1*y0*x1 - 2^-2*x0*y1*y2 + u1*(-2^-3)*(w-10)",
    x1=SynapticTrace(40, 8), y1=SynapticTrace(50.25, 6), y2=SynapticTrace(30, 20),
    t_epoch=3, seeds=RoundingSeeds(17),
)  # fmt: skip


def given() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], IntArray]:
    dice = np.random.default_rng(4)
    pre, post = (dice.random((n, STEPS)) < 0.3 for n in (5, 4))
    return pre.astype(np.uint8), post.astype(np.uint8), dice.integers(-90, 90, (4, 5))


def ours(rule: PlasticityRule) -> IntArray:
    """Weights after each step, [STEPS, post, pre]."""
    pre, post, start = given()
    learning = IntegerLearning(rule, start)
    kept = []
    for t in range(STEPS):
        learning.step(pre[:, t], post[:, t])
        kept.append(learning.weights)
    return np.stack(kept)


def on_lava(rule: PlasticityRule, path: Path) -> IntArray:
    """The same from Lava, whose process model is only watched."""
    compat.activate()
    from lava.magma.core.learning.learning_rule import Loihi2FLearningRule
    from lava.magma.core.process.process import ProcessServer
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.dense.models import PyLearningDenseModelBitApproximate
    from lava.proc.dense.process import LearningDense
    from lava.proc.io.source import RingBuffer

    from snnc_loihi.sim.session import Session

    class Watched(PyLearningDenseModelBitApproximate):  # type: ignore[misc]
        """Lava's model; at the start of a step its weights are those after the step before."""

        seen: list[npt.NDArray[Any]] = []

        def run_spk(self) -> None:
            self.seen.append(np.array(self.weights))
            if self.time_step == STEPS + 1:
                np.save(path, np.stack(self.seen[1:]))
            super().run_spk()

    pre, post, start = given()
    server = ProcessServer()
    before = len(server.processes)
    try:
        with compat.quiet():
            traces = {name: getattr(rule, name) for name in ("x1", "x2", "y1", "y2", "y3")}
            options = {f"{name}_impulse": trace.impulse for name, trace in traces.items()}
            options |= {f"{name}_tau": trace.tau for name, trace in traces.items()}
            learning_rule = Loihi2FLearningRule(
                dw=write_products(rule.dw), t_epoch=rule.t_epoch, rng_seed=rule.seeds.traces, **options
            )
            dense = LearningDense(weights=start, learning_rule=learning_rule)
            RingBuffer(data=pre).s_out.connect(dense.s_in)
            RingBuffer(data=post).s_out.connect(dense.s_in_bap)
            config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map={LearningDense: Watched})
            executable = dense.compile(config)
            session = Session(executable)
            executable.assign_runtime_to_all_processes(session)
            session.run_steps(STEPS + 1)
    finally:
        del server.processes[before:]
    return np.load(path, allow_pickle=False).astype(np.int64)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> IntArray:
    return on_lava(RULE, tmp_path_factory.mktemp("lava") / "weights.npy")


def test_lava_learns_what_the_reference_learns(recorded: IntArray) -> None:
    assert recorded.shape == (STEPS, 4, 5)
    assert not multiprocessing.active_children(), "Lava's processes have ended"
    assert len(np.unique(recorded.reshape(STEPS, -1), axis=0)) == STEPS // 3 + 1, "weights change in every epoch"
    assert np.array_equal(ours(RULE), recorded)


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": RoundingSeeds(18)},
        {"seeds": RoundingSeeds(17, 3)},
        {"x1": SynapticTrace(41, 8)},
        {"y1": SynapticTrace(50.25, 7)},
        {"y2": SynapticTrace(31, 20)},
        {"t_epoch": 4},
    ],
)
def test_a_slightly_different_rule_is_noticed(recorded: IntArray, change: dict[str, Any]) -> None:
    assert not np.array_equal(ours(replace(RULE, **change)), recorded)
