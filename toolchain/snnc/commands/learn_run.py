"""The verb ``snnc learn run``: a compiled folder learns from data, sample after sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.artifacts import Opened, open_folder
from snnc.backend import EMULATOR, Backend, Drifting, Registry, Teacher, discover, make_learner
from snnc.commands.learn_engine import learner_of
from snnc.commands.learn_report import contractions, show, summary
from snnc.commands.learn_state import Position, read_checkpoint, write_checkpoint, write_weights
from snnc.commands.screen import Screen, check_outputs
from snnc.engine.choice import REFERENCE, check_choice
from snnc.errors import InputError, UnsupportedError, unknown
from snnc.folder import json_bytes, sha256
from snnc.ir import Graph
from snnc.learnfolder import Learned, learning_of
from snnc.learning.saturation import listed
from snnc.learning.session import Course, Learner
from snnc.trace import Samples, read_samples

FLOAT = "float"
DRIFT = 16
"""Samples on which the drift between float and integers is measured."""


@dataclass(frozen=True)
class LearnChoices:
    """Options of ``snnc learn run``.

    Attributes:
        data: samples to learn from.
        output: .npz for the weights.
        backend: who runs it; ``float`` is the reference in float64.
        target: whose integers; None takes the back end's first in the folder.
        epochs: passes over the data.
        samples: of the data; None takes all.
        phase: of the rules; None takes their first.
        test: samples to judge by; None takes those that were learned from.
        shuffle: seed of another order in each epoch; None keeps the order.
        seed: of all rounding; None takes the rules' own.
        rounding: of weights; None takes the chip's own.
        checkpoint: file to go on from; None writes none.
        every: samples between two checkpoints.
        resume: go on from the checkpoint if it is there.
        executor: the back end's way to run it.
        engine: what executes integers under ``reference``: auto, event, dense or reference.
    """

    data: Path
    output: Path
    backend: str = "reference"
    target: str | None = None
    epochs: int = 1
    samples: int | None = None
    phase: str | None = None
    test: Path | None = None
    shuffle: int | None = None
    seed: int | None = None
    rounding: str | None = None
    checkpoint: Path | None = None
    every: int = 100
    resume: bool = False
    executor: str = EMULATOR
    engine: str = "auto"

    def __post_init__(self) -> None:
        for key, least in (("epochs", 1), ("every", 1), ("samples", 1), ("shuffle", 0), ("seed", 0)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise InputError(f"--{key} is {value}, allowed is {least} or more")
        if self.rounding not in (None, "stochastic", "nearest", "floor"):
            raise InputError(unknown("rounding", str(self.rounding), ("stochastic", "nearest", "floor")))
        if self.resume and self.checkpoint is None:
            raise InputError("--resume needs --checkpoint FILE: that is what it goes on from")
        if self.executor != EMULATOR and self.backend == FLOAT:
            raise InputError(
                f"--executor {self.executor} belongs to a back end; --backend {FLOAT} runs the float network"
            )
        check_choice(self.engine)
        if self.engine != "auto" and self.backend != REFERENCE:
            raise InputError(f"--engine {self.engine} chooses who executes the reference's integers; leave it out")


def teach(screen: Screen, folder: Path, what: LearnChoices, as_json: bool) -> int:
    """Lets a compiled folder learn and writes the weights."""
    check_outputs({"--output": what.output, "--checkpoint": what.checkpoint}, (what.data, what.test), folder)
    opened = open_folder(folder, discover())
    learning = learning_of(opened.folder)
    if not learning:
        raise InputError(f"{folder}: nothing learns here. Put [learning.PROJECTION] into snnc.toml and compile again")
    samples = read_samples(what.data, opened.shape, opened.encoding).head(what.samples)
    test = samples if what.test is None else read_samples(what.test, opened.shape, opened.encoding)
    target = target_of(opened, what.backend, what.target)
    fresh = maker(opened, learning, what, target)
    learner, engine = started(opened, learning, what, target, fresh)
    for operation in getattr(learner, "idle", ()):
        screen.note(f"nothing does this host operation here: {operation.kind}, each {operation.when}: {operation.text}")
    for line in losses(opened, learner, target, what.rounding):
        screen.note(f"warning: {line}")
    before = dict(learner.weights)
    identity = {
        "folder": sha256(json_bytes(dict(opened.folder.manifest))), "backend": what.backend, "target": target,
        "data": digest(samples), "phase": what.phase, "shuffle": what.shuffle, "seed": what.seed,
        "rounding": what.rounding, "executor": what.executor,
    }  # fmt: skip
    with screen.progress() as progress:
        taught(learner, samples, what, identity, progress)
        facts = {**identity, "epochs": what.epochs, "samples": int(learner.samples)}
        write_weights(what.output, learner, facts)
        progress("judge", 0, 1)
        contracted = contractions(learner, before, what.phase)
        found = summary(opened, learner, before, samples, test, grouped(learning))
        head = [(one, label) for one, label in _labelled(samples.head(DRIFT))]
        chosen = opened.registry.reference if target == FLOAT else opened.registry.backend(what.backend)
        drift = {} if not isinstance(chosen, Drifting) else chosen.learning_drift(fresh(), head, what.phase)
        progress("judge", 1, 1)
    result = {
        **facts, "engine": engine, **found, "contraction": contracted, "drift": dict(drift),
        "saturations": listed(learner), "weights": str(what.output),
    }  # fmt: skip
    if as_json:
        screen.json(result)
    else:
        show(screen, result)
    return 0


def target_of(opened: Opened, backend: str, target: str | None) -> str:
    """Whose integers learn; ``float`` for the float network.

    Raises:
        InputError: no such back end or compiled target, or they do not belong together.
    """
    if backend == FLOAT:
        if target is not None:
            raise InputError(f"--backend {FLOAT} runs the float network; --target {target} is of integers")
        return FLOAT
    chosen = opened.registry.backend(backend)
    served = {one.name for one in chosen.targets}
    compiled = opened.targets
    if target is None:
        mine = [name for name in compiled if name in served]
        if not mine:
            raise InputError(f"the folder holds nothing for the back end {backend!r}: it is for {', '.join(compiled)}")
        return mine[0]
    if target not in compiled:
        raise InputError(unknown("compiled target", target, compiled))
    if target not in served and chosen.name != "reference":
        raise InputError(f"the back end {backend!r} serves {', '.join(sorted(served))}, not {target}")
    return target


def maker(opened: Opened, learning: Learned, what: LearnChoices, target: str) -> Callable[[], Learner]:
    """A function that makes the learner before its first sample. Every back end comes through :class:`Teacher`.

    Raises:
        UnsupportedError: the back end does not let networks learn.
    """
    registry: Registry = opened.registry
    chosen: Backend = registry.reference if what.backend == FLOAT else registry.backend(what.backend)
    if not isinstance(chosen, Teacher):
        able = ", ".join(name for name, one in registry.backends.items() if isinstance(one, Teacher))
        raise UnsupportedError(f"networks do not learn on the back end {what.backend!r}; on these they do: {able}")
    graph: Graph = opened.float_graph()
    fixed = None if target == FLOAT else opened.fixed_graph(target)
    scales = {} if target == FLOAT else opened.scales(target)
    options = options_of(what)
    if options and chosen.name not in ("reference", "loihi"):
        raise InputError(f"--{next(iter(options))} is for Loihi's stochastic rounding; {what.backend} has none")
    make = make_learner(chosen, what.executor)
    return lambda: make(graph, fixed, scales, learning, **options)


def options_of(what: LearnChoices) -> dict[str, Any]:
    """Seed and rounding, where they are given."""
    given = {"seed": what.seed, "rounding": what.rounding}
    return {key: value for key, value in given.items() if value is not None}


def started(
    opened: Opened, learning: Learned, what: LearnChoices, target: str, fresh: Callable[[], Learner]
) -> tuple[Learner, str | None]:
    """The learner of a run, and what executes it; None where that is the back end's own affair."""
    if what.backend == REFERENCE:
        return learner_of(opened, learning, target, what.engine, options_of(what), fresh)
    return fresh(), REFERENCE if what.backend == FLOAT else None


def losses(opened: Opened, learner: Learner, target: str, rounding: str | None) -> list[str]:
    """What the rules lose where weights are not rounded as the chip rounds them, one line each."""
    lower = None if rounding is None or target == FLOAT else opened.registry.target(target)[1].learning
    if lower is None:
        return []
    found = []
    for name, one in getattr(learner, "plastic", {}).items():
        asked = lower(one.rule, replace(one.options, rounding=rounding)).warnings
        known = lower(one.rule, one.options).warnings
        found += [f"{name}: {line}" for line in asked if line not in known]
    return found


def taught(
    learner: Learner, samples: Samples, what: LearnChoices, identity: dict[str, Any],
    progress: Callable[[str, int, int], None],
) -> None:  # fmt: skip
    """All epochs, with checkpoints; goes on where an earlier run was killed."""
    start, total = Position(), len(samples.spikes)
    if isinstance(learner, Course):
        _check_course(learner, what)
        orders = [order_of(total, what.shuffle, epoch) for epoch in range(what.epochs)]
        progress(f"learn on {what.backend}", 0, 1)
        learner.course(samples.spikes[np.concatenate(orders)])
        progress(f"learn on {what.backend}", 1, 1)
        return
    if what.resume and what.checkpoint is not None and what.checkpoint.is_file():
        start, state = read_checkpoint(what.checkpoint, identity)
        learner.restore(state)
    for epoch in range(start.epoch, what.epochs):
        task = f"learn, epoch {epoch + 1} of {what.epochs}"
        order = order_of(total, what.shuffle, epoch)
        for index in range(start.index if epoch == start.epoch else 0, total):
            progress(task, index, total)
            at = int(order[index])
            label = None if samples.labels is None else int(samples.labels[at])
            learner.sample(samples.spikes[at], label, what.phase)
            if what.checkpoint is not None and (index + 1) % what.every == 0 and index + 1 < total:
                write_checkpoint(what.checkpoint, learner, identity, Position(epoch, index + 1))
        learner.end_epoch()
        progress(task, total, total)
        if what.checkpoint is not None:
            write_checkpoint(what.checkpoint, learner, identity, Position(epoch + 1, 0))


def _check_course(learner: Course, what: LearnChoices) -> None:
    """One run by what the chip is loaded with: no checkpoints, and the first phase of the rules."""
    other = what.executor != EMULATOR
    name = f"--backend {what.backend}" + (f" --executor {what.executor}" if other else "")
    fix = f"use --executor {EMULATOR}" if other else "use --backend reference"
    if what.checkpoint is not None:
        raise UnsupportedError(f"{name} learns in one run, without checkpoints; {fix}")
    if what.phase is not None and what.phase not in learner.phases:
        raise InputError(unknown("phase of the rules", what.phase, learner.phases))
    if what.phase not in (None, learner.phases[0]):
        first = learner.phases[0]
        raise UnsupportedError(f"{name} learns in the first phase of the rules, {first!r}, not {what.phase!r}; {fix}")


def order_of(total: int, shuffle: int | None, epoch: int) -> npt.NDArray[np.int64]:
    """The order of the samples in an epoch."""
    if shuffle is None:
        return np.arange(total)
    return np.random.default_rng([shuffle, epoch]).permutation(total)


def grouped(learning: Learned) -> int:
    """Neurons of each class, where a rule is told the labels; 0 where none is."""
    settings = [
        dict(operation.settings) for one in learning for operation in one.rule.host if operation.kind == "error"
    ]
    return next((int(found["group"]) for found in settings if "group" in found), 0)


def digest(samples: Samples) -> str:
    """Of everything that a run learns from."""
    labels = b"" if samples.labels is None else samples.labels.tobytes()
    return sha256(repr(samples.spikes.shape).encode() + np.ascontiguousarray(samples.spikes).tobytes() + labels)


def _labelled(samples: Samples) -> list[tuple[npt.NDArray[Any], int | None]]:
    labels = [None] * len(samples.spikes) if samples.labels is None else [int(label) for label in samples.labels]
    return list(zip(samples.spikes, labels, strict=True))
