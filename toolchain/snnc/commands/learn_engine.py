"""Who executes the integers of ``snnc learn run``: the engine, or the definition where it is asked for or needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snnc.artifacts import Opened
from snnc.engine.choice import REFERENCE, path
from snnc.engine.learner import Learner as EngineLearner
from snnc.errors import UnsupportedError
from snnc.learnfolder import Learned
from snnc.learning.plastic import bind_fixed
from snnc.learning.session import Learner


def learner_of(
    opened: Opened, learning: Learned, target: str, engine: str, options: dict[str, Any],
    definition: Callable[[], Learner],
) -> tuple[Learner, str]:  # fmt: skip
    """A learner before its first sample, and what executes it: ``event``, ``dense`` or ``reference``.

    Args:
        opened: the folder.
        learning: the rules that it travels with.
        target: whose integers.
        engine: what ``--engine`` says; ``auto`` takes the definition for what the engine does not execute.
        options: seed and rounding, where they are given.
        definition: makes the definition's learner.

    Raises:
        UnsupportedError: ``event`` or ``dense`` was asked for and cannot execute this.
    """
    if engine == REFERENCE:
        return definition(), REFERENCE
    fixed, scales = opened.fixed_graph(target), opened.scales(target)
    try:
        plastic = bind_fixed(fixed, scales, learning, opened.registry.target(target)[1].learning)
        found = EngineLearner(fixed, plastic, scales=scales, engine=path(engine), **options)
    except UnsupportedError:
        if engine != "auto":
            raise
        return definition(), REFERENCE
    return found, found.path
