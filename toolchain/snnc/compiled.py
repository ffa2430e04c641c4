"""A compiled folder from Python: load it once, run samples in the engine. Imports no front end and no back end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from snnc.engine import files
from snnc.engine.choice import Engine
from snnc.engine.plan import Plan
from snnc.engine.run import execute
from snnc.errors import InputError, unknown
from snnc.folder import FACTS, GENERIC, PLAN_FILE, Folder, place, read_folder
from snnc.trace import Probes, Trace


@dataclass(frozen=True, eq=False)
class Compiled:
    """What ``snnc compile`` wrote, proven unchanged.

    Attributes:
        folder: its files.
    """

    folder: Folder
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False)

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets that it was compiled for, the generic one first."""
        names = self.folder.manifest["targets"]
        return tuple(sorted(names, key=lambda name: (name != GENERIC, name)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one step of input."""
        return tuple(int(n) for n in self.folder.manifest["input"]["shape"])

    def plan(self, target: str = GENERIC) -> Plan:
        """The engine's plan of a target, read once.

        Raises:
            InputError: the folder was not compiled for it, or the engine does not execute it.
            IntegrityError: the plan is damaged.
        """
        if target not in self.targets:
            raise InputError(unknown("compiled target", target, dict.fromkeys(self.targets)))
        if target not in self._plans:
            name = place(target, PLAN_FILE)
            if name not in self.folder.files:
                text = "the engine does not execute this target; use --engine reference"
                raise InputError(f"{self.folder.path} has no {name}: {text}")
            self._plans[target] = files.read(self.folder[name])
        return self._plans[target]

    def run(
        self, spikes: npt.NDArray[Any], probes: Probes | None = None, *, target: str = GENERIC,
        engine: Engine = "auto", threads: int = 1,
    ) -> Trace:  # fmt: skip
        """Runs samples [B, T, *shape] from the start state; see :func:`snnc.engine.run.execute`."""
        return execute(self.plan(target), spikes, probes, engine=engine, threads=threads)


def load(path: str | Path) -> Compiled:
    """Opens a compiled folder.

    Raises:
        IntegrityError: it is no compiled folder, or something in it changed.
    """
    return Compiled(read_folder(Path(path), FACTS))
