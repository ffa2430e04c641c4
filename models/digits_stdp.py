"""Digits learned without labels by STDP, 128-100, T = 44: the winner takes all, and at night weights decay.

A pixel is two inputs, one for ink and one for paper: the stronger, the earlier its only spike. The first of the 100
neurons to spike wakes a watchman, who two steps later silences all of them for the rest of the sample. STDP then does
two things: inputs before the winner's spike gain, those after it lose. Weights start high, so that a neuron that has
learned nothing answers whatever no other has claimed: no host equalises rates or sums of weights. Labels come in only
at the end, when each neuron gets the class that makes it spike most. Everything here runs as ``snnc compile`` and
``snnc learn run`` run it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from _data import CALIBRATION, Part, Samples, digits
from snnc import trace
from snnc.backend import discover, make_learner
from snnc.capture import capture
from snnc.commands.learn_report import answers, assigned
from snnc.commands.learn_run import LearnChoices, taught
from snnc.config import CompileConfig, Config, load_config
from snnc.engine.learner import Learner as EngineLearner
from snnc.ir import FloatArray
from snnc.learning import LearningConfig
from snnc.learning.plastic import population_of
from snnc.learning.session import Learner
from snnc.nn import LIF, CubaLIF, Sequence, SpikingModule
from snnc.pipeline import compile_source
from snnc.sources import Source

CONFIG = Path(__file__).resolve().with_suffix(".toml")
SHAPE = (64,)
INPUTS = 128
STEPS = 44
LEVELS = 16
NEURONS = 100
THRESHOLD = 295.0
STRONG, WEAK, SHARE = 1.0, 0.56, 0.4
"""Weights at the start, and how many of them are strong."""
INHIBITION = 60.0
"""One spike of the watchman outweighs all that comes after it."""
Arithmetic = Literal["float", "loihi1", "spinnaker1"]
ARITHMETICS: tuple[Arithmetic, ...] = ("float", "loihi1", "spinnaker1")


class Competition(SpikingModule):
    """Neurons of which the first to spike silences all, through one neuron that hears and inhibits every one of them.

    Args:
        size: number of neurons.
    """

    STATES = ("heard", "sent")
    heard: torch.Tensor | None
    sent: torch.Tensor | None

    def __init__(self, size: int) -> None:
        super().__init__()
        self.neurons = CubaLIF(size, decay_u=0.9, decay_v=0.98, threshold=THRESHOLD)
        self.hear = torch.nn.Linear(size, 1, bias=False)
        self.watchman = LIF(1, decay=0.9, threshold=0.5)
        self.silence = torch.nn.Linear(1, size, bias=False)
        with torch.no_grad():
            self.hear.weight.fill_(1.0)
            self.silence.weight.fill_(-INHIBITION)

    def reset(self) -> None:
        """Forgets what is on its way, and the states of all neurons."""
        super().reset()
        for part in self.children() if "_modules" in self.__dict__ else ():
            if isinstance(part, SpikingModule):
                part.reset()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One step, [B, size] -> [B, size]; the watchman's spike takes two steps, one for each way on a chip."""
        if self.heard is None or self.sent is None:
            self.reset()
            self.heard = self.sent = x.new_zeros(len(x), 1)
        spikes = self.neurons(x + self.silence(self.sent))
        assert isinstance(spikes, torch.Tensor)
        self.sent, self.heard = self.heard, self.watchman(self.hear(spikes))
        return spikes


@dataclass(frozen=True)
class Lesson:
    """How the layer learns.

    Attributes:
        arithmetic: the float network, or the integers of a target.
        epochs: passes over the samples.
        seed: of weights, order and stochastic rounding.
        neurons: that compete.
    """

    arithmetic: Arithmetic = "float"
    epochs: int = 2
    seed: int = 0
    neurons: int = NEURONS


def spikes_of(part: Part) -> Samples:
    """``spikes`` [B, 44, 128] and ``labels`` [B]: ink of level 16 at once, of level 0 last; paper the other way round.

    Every second pixel comes a step later: fewer spikes meet in one step, and fewer neurons win together.
    """
    levels = np.concatenate([LEVELS - part.levels.astype(np.int64), part.levels.astype(np.int64)], axis=1)
    times = np.rint(levels * (STEPS - 2) / LEVELS).astype(np.int64) + np.arange(INPUTS) % 2
    spikes = (times[:, np.newaxis] == np.arange(STEPS)[:, np.newaxis]).astype(np.int8)
    return {"spikes": spikes, "labels": part.labels.copy()}


def start(neurons: int = NEURONS, seed: int = 0) -> FloatArray:
    """Weights before learning [neurons, 128]: 1 or 0.56, at random."""
    return np.where(np.random.default_rng(seed).random((neurons, INPUTS)) < SHARE, STRONG, WEAK)


def network(neurons: int = NEURONS, seed: int = 0) -> Sequence:
    """The layer before learning, spikes [B, 44, 128] -> spikes [B, 44, neurons]."""
    forward = torch.nn.Linear(INPUTS, neurons, bias=False)
    with torch.no_grad():
        forward.weight.copy_(torch.from_numpy(start(neurons, seed)))
    return Sequence(torch.nn.Sequential(forward, Competition(neurons)))


def build() -> Sequence:
    """The layer before learning."""
    return network()


def example() -> Samples:
    """256 training samples: ``spikes`` [256, 44, 128], ``labels`` [256]."""
    return {key: values[:CALIBRATION] for key, values in training().items()}


def training() -> Samples:
    """The 1,437 samples to learn from."""
    return spikes_of(digits(SHAPE).train)


def held_out() -> Samples:
    """The 360 samples that training never sees."""
    return spikes_of(digits(SHAPE).held_out)


def silence(steps: int = 128) -> Samples:
    """What sleep is learned from: one sample [1, steps, 128] without a spike."""
    return {"spikes": np.zeros((1, steps, INPUTS), dtype=np.int8)}


def learner(lesson: Lesson, config: LearningConfig | None = None) -> tuple[Learner, str]:
    """The layer before its first sample, compiled as ``snnc compile`` does it, and the population that answers.

    Args:
        lesson: in which arithmetic.
        config: the rule; None takes ``digits_stdp.toml``.
    """
    learning = load_config(CONFIG).learning if config is None else (config,)
    calibration = trace.Samples(example()["spikes"])
    graph = capture(network(lesson.neurons, lesson.seed).double(), calibration.spikes[:1]).graph
    registry, answer = discover(), population_of(graph, learning[0].projection)
    if lesson.arithmetic == "float":
        return make_learner(registry.backend("reference"))(graph, None, {}, learning), answer
    settings = Config(compile=CompileConfig((lesson.arithmetic,)), learning=learning)
    made = compile_source(Source("digits_stdp", "", graph, calibration), settings, registry)
    integers, plastic = made.builds[-1].quantized, made.builds[-1].taught.plastic
    if lesson.arithmetic == "loihi1":
        return EngineLearner(integers.graph, plastic, scales=integers.scales, seed=lesson.seed + 1), answer
    return make_learner(registry.backend("spinnaker"))(made.graph, integers.graph, integers.scales, learning), answer


def accuracy(lesson: Lesson, learn: Samples, judge: Samples, config: LearningConfig | None = None) -> float:
    """Learns from some samples, labels neurons by them, and is judged by others."""
    found, answer = learner(lesson, config)
    samples = trace.Samples(learn["spikes"], learn["labels"])
    taught(found, samples, LearnChoices(Path(), Path(), epochs=lesson.epochs, shuffle=lesson.seed), {}, lambda *_: None)
    sent, judged = (answers(found, one["spikes"], answer) for one in (learn, judge))
    return assigned(sent, learn["labels"], judged, judge["labels"])[0]


def untrained(seed: int, learn: Samples, judge: Samples) -> float:
    """The same without learning."""
    found, answer = learner(Lesson(seed=seed))
    sent, judged = (answers(found, one["spikes"], answer) for one in (learn, judge))
    return assigned(sent, learn["labels"], judged, judge["labels"])[0]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Learns digits without labels, in three arithmetics.")
    parser.add_argument("--epochs", type=int, default=Lesson.epochs)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--only", choices=ARITHMETICS, help="one arithmetic (default: all)")
    parser.add_argument(
        "--validate", type=int, default=0, help="judge by so many of the samples to learn from, instead"
    )
    parser.add_argument("--export", type=Path, help="folder for training, held_out and silence (.npz); learns nothing")
    given = parser.parse_args()
    learn, judge = training(), held_out()
    if given.export:
        given.export.mkdir(parents=True, exist_ok=True)
        for name, samples in {"training": learn, "held_out": judge, "silence": silence()}.items():
            np.savez(given.export / f"{name}.npz", **samples)
        return
    if given.validate:
        learn, judge = ({key: values[part] for key, values in learn.items()} for part in _parts(given.validate))
    part = "validation" if given.validate else "held-out"
    before = [untrained(seed, learn, judge) for seed in range(given.seeds)]
    print(f"digits_stdp: before learning, {part} accuracy {_listed(before)}", flush=True)
    for arithmetic in (given.only,) if given.only else ARITHMETICS:
        lessons = (Lesson(arithmetic, given.epochs, seed) for seed in range(given.seeds))
        found = [accuracy(lesson, learn, judge) for lesson in lessons]
        print(f"digits_stdp: {arithmetic}, {part} accuracy {_listed(found)}", flush=True)


def _parts(count: int) -> tuple[slice, slice]:
    return slice(None, -count), slice(-count, None)


def _listed(found: list[float]) -> str:
    return f"{np.mean(found):.4f} ({', '.join(f'{one:.4f}' for one in found)})"


if __name__ == "__main__":
    main()
