"""The door through which back ends come, ours like anybody's: entry points of group ``snnc.backends``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, unknown
from snnc.ir import FixedGraph, FloatArray, Graph, Network
from snnc.learning.drift import FloatTwin
from snnc.learning.rule import Rule
from snnc.learning.session import Learner
from snnc.learning.settings import LearningConfig
from snnc.target import Target
from snnc.trace import Probes, Trace

GROUP = "snnc.backends"
EMULATOR = "emulator"


@dataclass(frozen=True, eq=False)
class Program:
    """A fixed graph lowered for one back end.

    Attributes:
        backend: who lowered it.
        target: for which target.
        graph: what was lowered.
        payload: the numbers that the chip (or its model) is loaded with.
        utilization: resource -> (used, max).
        data: whatever else the back end needs to run it; not written to files.
        tables: what else there is to know of the program, such as one row per core: title -> rows of texts, numbers
            and pairs (used, max). The rows of a table have the same keys.
        runs: false if the back end makes the program but does not execute it.
        remark: what whoever compares its run with the reference's has to know, such as why it does not run.
    """

    backend: str
    target: str
    graph: FixedGraph
    payload: Mapping[str, npt.NDArray[Any]]
    utilization: Mapping[str, tuple[int, int]]
    data: Any = None
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    runs: bool = True
    remark: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload", MappingProxyType(dict(self.payload)))
        object.__setattr__(self, "utilization", MappingProxyType(dict(self.utilization)))
        tables = {title: tuple(MappingProxyType(dict(row)) for row in rows) for title, rows in self.tables.items()}
        object.__setattr__(self, "tables", MappingProxyType(tables))


@runtime_checkable
class Backend(Protocol):
    """What a back end offers. A module with these four names is one."""

    name: str
    targets: tuple[Target, ...]

    def lower(self, graph: FixedGraph, target: Target) -> Program:
        """Makes the program, or raises UnsupportedError / DoesNotFitError with every violation."""

    def run(self, program: Program, spikes: npt.NDArray[Any], probes: Probes) -> Trace:
        """Runs samples [B, T, *shape] from the start state; the trace is in logical time."""


@runtime_checkable
class Exporter(Backend, Protocol):
    """A back end that also writes files of its own, such as a script that runs without snnc."""

    def export(self, program: Program) -> Mapping[str, bytes]:
        """Files for the target's folder, name -> content; the same program gives the same bytes."""


@runtime_checkable
class LearningExporter(Backend, Protocol):
    """A back end that also writes files from which a network learns without snnc."""

    def export_learning(
        self,
        graph: Graph,
        fixed: FixedGraph,
        scales: Mapping[str, FloatArray],
        learning: Iterable[LearningConfig],
    ) -> Mapping[str, bytes]:
        """Files for the target's folder beside those of ``export``; arguments as of :meth:`Teacher.learner`."""


@runtime_checkable
class Forecaster(Backend, Protocol):
    """A back end that can say how busy a program keeps its chip when populations spike as they did on samples."""

    def forecast(self, program: Program, rates: Mapping[str, FloatArray]) -> Program:
        """The program with measured beside worst-case figures in its tables; nothing that executes changes.

        Args:
            program: made by ``lower``.
            rates: population -> spikes per step of each of its neurons [*shape]; who is missing spikes in every step.
        """


Executor = Callable[[Program, npt.NDArray[Any], Probes], Trace]
Way = TypeVar("Way")


@runtime_checkable
class Witness(Backend, Protocol):
    """A back end that can also run a program in other ways, such as the vendor's machine code on a modelled chip."""

    executors: Mapping[str, Executor]


def executor(backend: Backend, name: str = EMULATOR) -> Executor:
    """A back end's way to run programs: ``emulator`` is its ``run``, others are its ``executors``.

    Raises:
        InputError: it has no executor of this name; names the nearest.
    """
    others = backend.executors if isinstance(backend, Witness) else {}
    return _named(f"executor of the back end {backend.name!r}", name, {EMULATOR: backend.run, **others})


@runtime_checkable
class Teacher(Backend, Protocol):
    """A back end on which networks learn."""

    def learner(
        self,
        graph: Graph,
        fixed: FixedGraph | None,
        scales: Mapping[str, FloatArray],
        learning: Iterable[LearningConfig],
        **options: Any,
    ) -> Learner:
        """A network that learns, before its first sample.

        Args:
            graph: float network.
            fixed: its integers for a target; None is for the reference, which learns in float64 then.
            scales: population -> raw state units per 1.0 of the integers.
            learning: the rules.
            options: the back end's own, such as ``seed``; none is needed.
        """


@runtime_checkable
class Drifting(Teacher, Protocol):
    """A back end that can say how far its integers drift from the float rules while they learn, and why."""

    def learning_drift(
        self, learner: Any, samples: Iterable[tuple[npt.NDArray[Any], int | None]], phase: str | None = None
    ) -> Mapping[str, Any]:
        """Drift of integers from their float rules, on the spikes that synapses see while they learn.

        Args:
            learner: one of the back end's own, before its first sample.
            samples: (spikes [T, *shape], label).
            phase: that learns; None takes the first.

        Returns:
            Projection -> :func:`snnc.learning.drift.summary`; empty where nothing learns in integers.
        """


MakeLearner = Callable[..., Learner]
"""Makes a learner; arguments as of :meth:`Teacher.learner`."""


@runtime_checkable
class TeachingWitness(Teacher, Protocol):
    """A back end on which networks also learn in other ways, by the same names as its other ways to run."""

    learners: Mapping[str, MakeLearner]


def make_learner(backend: Teacher, name: str = EMULATOR) -> MakeLearner:
    """A back end's way to let networks learn: ``emulator`` is its ``learner``, others are its ``learners``.

    Raises:
        InputError: it has no executor of this name; names the nearest.
    """
    others = backend.learners if isinstance(backend, TeachingWitness) else {}
    what = f"executor of the back end {backend.name!r} that lets networks learn"
    return _named(what, name, {EMULATOR: backend.learner, **others})


def _named(what: str, name: str, offered: Mapping[str, Way]) -> Way:
    if name not in offered:
        raise InputError(unknown(what, name, offered))
    return offered[name]


@runtime_checkable
class Reference(Backend, Protocol):
    """The back end that is the definition: it also executes float graphs and forced layers."""

    def execute(
        self,
        network: Network,
        spikes: npt.NDArray[Any],
        probes: Probes = ...,
        forced: Mapping[str, npt.NDArray[np.int8]] | None = None,
    ) -> Trace:
        """Runs a float or fixed graph.

        Args:
            network: Graph (float64) or FixedGraph (int64).
            spikes: [B, T, *shape], or analog values for direct encoding.
            probes: what to record.
            forced: population -> spikes [B, T, *shape] in logical time that its targets see instead of its own
                (teacher forcing).
        """

    def float_twin(self, rule: Rule, weights: FloatArray) -> FloatTwin:
        """Synapses [post, pre] that learn by a rule as it is meant: what a back end measures its drift from."""

    def learning_drift(
        self, learner: Any, samples: Iterable[tuple[npt.NDArray[Any], int | None]], phase: str | None = None
    ) -> Mapping[str, Any]:
        """As of :meth:`Drifting.learning_drift`."""


@dataclass(frozen=True, eq=False)
class Registry:
    """The back ends that are installed."""

    backends: Mapping[str, Backend] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> dict[str, tuple[Backend, Target]]:
        """Target name -> (back end, target)."""
        return {t.name: (b, t) for b in self.backends.values() for t in b.targets}

    def target(self, name: str) -> tuple[Backend, Target]:
        """The target of this name and its back end.

        Raises:
            InputError: no such target; names the nearest.
        """
        known = self.targets
        if name not in known:
            raise InputError(unknown("target", name, known))
        return known[name]

    def backend(self, name: str) -> Backend:
        """The back end of this name.

        Raises:
            InputError: no such back end; names the nearest.
        """
        if name not in self.backends:
            if name in self.broken:
                raise InputError(f"the back end {name!r} does not load: {self.broken[name]}")
            raise InputError(unknown("back end", name, self.backends))
        return self.backends[name]

    @property
    def reference(self) -> Reference:
        """The definition."""
        return cast(Reference, self.backend("reference"))


@cache
def discover() -> Registry:
    """Loads every installed back end; one that fails to load is kept with its reason, not hidden."""
    backends: dict[str, Backend] = {}
    broken: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        try:
            backends[point.name] = point.load()
        except Exception as error:  # a stranger's package may fail in any way; doctor shows the reason
            broken[point.name] = f"{type(error).__name__}: {error}"
    return Registry(MappingProxyType(backends), MappingProxyType(broken))
