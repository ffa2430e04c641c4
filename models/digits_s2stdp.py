"""Digits learned with labels by S2-STDP, 128-50, T = 16: five neurons of each class compete, the first spike wins.

A pixel is two inputs, one for ink and one for paper: the stronger, the earlier its only spike. A neuron that spikes
inhibits its group and itself, so that each spikes once. The class is that of the neuron that spikes first, ties go to
the highest membrane. Errors, thresholds of training and normalisation are the host's; everything here runs as
``snnc learn run`` runs it on the compiled folder.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from _data import CALIBRATION, STEPS, Part, Samples, digits
from snnc import trace
from snnc.backend import discover
from snnc.capture import capture
from snnc.commands.learn_report import first_accuracy
from snnc.commands.learn_run import LearnChoices, taught
from snnc.config import CompileConfig, Config, load_config
from snnc.engine.learner import Learner as EngineLearner
from snnc.ir import FloatArray
from snnc.learning import LearningConfig, configure, lower_rule
from snnc.learning.account import Rounding
from snnc.learning.host import normalised
from snnc.learning.session import Learner
from snnc.nn import LIF, Recurrent, Sequence
from snnc.pipeline import compile_source
from snnc.sources import Source

CONFIG = Path(__file__).resolve().with_suffix(".toml")
SINGLE = CONFIG.with_stem("digits_s2stdp_single")
SHAPE = (64,)
INPUTS = 128
CLASSES = 10
TOTAL = 40.0
"""Sum of a neuron's weights at the start, and ever after if the host keeps it."""
THRESHOLD = 0.3
"""Of that sum."""
LEAK = 0.9999
"""SpiNNaker's neurons leak; over 16 steps this is as good as none."""
TARGET = "loihi1"


@dataclass(frozen=True)
class Lesson:
    """How a layer learns.

    Attributes:
        config: the rule and the host's numbers.
        rounding: of Loihi's integers; None learns in float64.
        epochs: passes over the training part.
        seed: of weights, order of samples and stochastic rounding.
    """

    config: LearningConfig
    rounding: Rounding | None = None
    epochs: int = 12
    seed: int = 0


def configured(path: Path = CONFIG, **keys: float) -> LearningConfig:
    """The rule of a file, some of its numbers replaced."""
    (found,) = load_config(path).learning
    return configure(found.projection, **{**found.as_dict(), **keys})


def encode(part: Part) -> npt.NDArray[np.int64]:
    """Step of the only spike of each input [B, 128]: level 16 in step 0, level 1 in step 15, level 0 never (16)."""
    return np.concatenate([STEPS - part.levels.astype(np.int64), part.levels.astype(np.int64)], axis=1)


def spikes_of(part: Part) -> Samples:
    """``spikes`` [B, 16, 128] and ``labels`` [B]."""
    spikes = (encode(part)[:, np.newaxis] == np.arange(STEPS)[:, np.newaxis]).astype(np.int8)
    return {"spikes": spikes, "labels": part.labels.copy()}


def start(group: int, seed: int = 0) -> FloatArray:
    """Random weights [neurons, 128]."""
    weights = np.random.default_rng(seed).normal(0.5, 0.1, (CLASSES * group, INPUTS))
    return np.clip(normalised(np.clip(weights, 0.0, 1.0), TOTAL), 0.0, 1.0)


def layer(config: LearningConfig, seed: int = 0) -> Sequence:
    """The layer before learning, spikes [B, 16, 128] -> spikes [B, 16, neurons]."""
    group, inhibition = int(config.rule["group"]), float(config.rule["inhibition"])
    size = CLASSES * group
    forward, loop = torch.nn.Linear(INPUTS, size, bias=False), torch.nn.Linear(size, size, bias=False)
    with torch.no_grad():
        forward.weight.copy_(torch.from_numpy(start(group, seed)))
        loop.weight.copy_(torch.from_numpy(-inhibition * np.kron(np.eye(CLASSES), np.ones((group, group)))))
    neurons = LIF(size, decay=LEAK, threshold=THRESHOLD * TOTAL)
    return Sequence(torch.nn.Sequential(forward, Recurrent(neurons, loop)))


def build() -> Sequence:
    """Five neurons of each class."""
    return layer(configured())


def single() -> Sequence:
    """One neuron for each class."""
    return layer(configured(SINGLE))


def example() -> Samples:
    """256 training samples: ``spikes`` [256, 16, 128], ``labels`` [256]."""
    found = spikes_of(digits(SHAPE).train)
    return {key: values[:CALIBRATION] for key, values in found.items()}


def training() -> Samples:
    """The 1,437 samples to learn from."""
    return spikes_of(digits(SHAPE).train)


def held_out() -> Samples:
    """The 360 samples that training never sees."""
    return spikes_of(digits(SHAPE).held_out)


def learner(lesson: Lesson) -> Learner:
    """The layer before its first sample, compiled as ``snnc compile`` does it."""
    calibration = trace.Samples(example()["spikes"])
    graph = capture(layer(lesson.config, lesson.seed).double(), calibration.spikes[:1]).graph
    registry = discover()
    if lesson.rounding is None:
        return registry.reference.learner(graph, None, {}, (lesson.config,))
    settings = Config(compile=CompileConfig(targets=(TARGET,)), learning=(lesson.config,))
    made = compile_source(Source("digits_s2stdp", "", graph, calibration), settings, registry).builds[-1]
    integers = made.quantized
    return EngineLearner(
        integers.graph, made.taught.plastic, scales=integers.scales, seed=lesson.seed + 1, rounding=lesson.rounding
    )


def accuracy(lesson: Lesson, learn: Samples, judge: Samples) -> float:
    """Learns from some samples and is judged by others."""
    found = learner(lesson)
    samples, test = (trace.Samples(one["spikes"], one["labels"]) for one in (learn, judge))
    what = LearnChoices(Path(), Path(), epochs=lesson.epochs, shuffle=lesson.seed)
    taught(found, samples, what, {}, lambda *_: None)
    (population,) = (node.name for node in found.network.neurons)
    return first_accuracy(found, test, population, int(lesson.config.rule["group"]))


def lessons() -> dict[str, Lesson]:
    """What is compared."""
    groups, alone = configured(), configured(SINGLE)
    free, slow = configured(sum_weights=0.0), configured(A_plus=0.01, A_minus=0.01)
    return {
        "float, groups of 5": Lesson(groups),
        "float, one neuron for each class, rates chosen for it": Lesson(alone),
        "float, groups of 5, no normalisation": Lesson(free),
        "Loihi, stochastic rounding": Lesson(groups, "stochastic", 6),
        "Loihi, stochastic rounding, a tenth of the rates": Lesson(slow, "stochastic", 6),
        "Loihi, nearest rounding, a tenth of the rates": Lesson(slow, "nearest", 6),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Learns digits by S2-STDP, with groups that compete and without.")
    parser.add_argument("--epochs", type=int, help="passes over the data (default: 12 in float, 6 in integers)")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--export", type=Path, help="folder for training.npz and held_out.npz; learns nothing")
    given = parser.parse_args()
    if given.export:
        given.export.mkdir(parents=True, exist_ok=True)
        np.savez(given.export / "training.npz", **training())
        np.savez(given.export / "held_out.npz", **held_out())
        return
    learn, judge = training(), held_out()
    for text, lesson in lessons().items():
        each = [
            accuracy(replace(lesson, epochs=given.epochs or lesson.epochs, seed=seed), learn, judge)
            for seed in range(given.seeds)
        ]
        listed = ", ".join(f"{one:.4f}" for one in each)
        print(f"digits_s2stdp: {text}: held-out accuracy {np.mean(each):.4f} ({listed})", flush=True)
    config = configured(A_plus=0.01, A_minus=0.01)
    for line in lower_rule(config.rule, replace(config.options, rounding="nearest")).warnings:
        print(f"digits_s2stdp: warning: {line}")


if __name__ == "__main__":
    main()
