"""Executes fixed graphs by whatever path is there; every path gives the same bits."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.engine import session as sessions
from snnc.engine.choice import ENGINES, Engine
from snnc.engine.given import check_forced, check_input
from snnc.engine.plan import Plan
from snnc.errors import ConfigError, TraceError, UnsupportedError, unknown
from snnc.trace import Probes, Trace

if TYPE_CHECKING:  # who has kernels starts sooner without what NumPy needs
    from snnc.engine import dense
    from snnc.ir import FixedGraph

Numbers = npt.NDArray[Any]
_plans: weakref.WeakKeyDictionary[FixedGraph, Plan] = weakref.WeakKeyDictionary()


def planned(network: Plan | FixedGraph) -> Plan:
    """The plan of a graph, worked out once; a plan as it is.

    Raises:
        UnsupportedError: integers do not execute the graph.
    """
    if isinstance(network, Plan):
        return network
    if network not in _plans:
        from snnc.engine.planner import plan as work_out  # who runs a stored plan starts sooner without it

        _plans[network] = work_out(network)
    return _plans[network]


def execute(
    network: Plan | FixedGraph,
    spikes: Numbers,
    probes: Probes | None = None,
    *,
    engine: Engine = "auto",
    threads: int = 1,
    forced: Mapping[str, Numbers] | None = None,
    worst: dict[str, list[int]] | None = None,
) -> Trace:
    """Runs samples from the start state.

    States are int64 or int32 arrays; the trace may share memory with the input.

    Args:
        network: a fixed graph, or the plan of one.
        spikes: [B, T, *shape], 0 or 1; analog values for a direct input.
        probes: what to record.
        engine: ``event``: compiled kernels that follow spikes; ``dense``: matrix products in NumPy; ``auto``: the
            first of them that is there. The result does not depend on it.
        threads: samples are shared out among so many threads of the kernels; the result does not depend on it.
        forced: population -> [B, T, *shape] in logical time that its targets see instead of what it sends.
        worst: filled with the largest magnitude of each accumulator: population -> by receptor.

    Raises:
        TraceError: the input does not fit the network.
        UnsupportedError: integers do not execute the graph, or ``event`` was asked for and there are no kernels.
        ConfigError: an unknown engine.
    """
    if engine not in ENGINES:
        raise ConfigError(unknown("engine", engine, ENGINES))
    plan = planned(network)
    given = check_input(plan, spikes, look=False)
    try:
        return _run(plan, spikes, given, probes or Probes(), engine, threads, forced, worst)
    except TraceError:
        check_input(plan, spikes)  # says what the kernels found
        raise


def _run(
    plan: Plan, spikes: Numbers, given: Numbers, probes: Probes, engine: Engine, threads: int,
    forced: Mapping[str, Numbers] | None, worst: dict[str, list[int]] | None,
) -> Trace:  # fmt: skip
    if engine != "dense" and forced is None and worst is None:
        kept = sessions.session(plan, given.shape, probes, threads)
        if kept is not None:
            return kept.run(given)
    chosen = choose(plan, engine)
    replaced = check_forced(plan, forced, given.shape[:2])
    if chosen == "event" and followed(plan, replaced):
        from snnc.engine import mixed

        return mixed.run(plan, executor, given, probes, replaced, threads, worst)
    return executor(plan).run(spikes, probes, forced, worst)


@lru_cache(maxsize=4)
def executor(plan: Plan) -> dense.Executor:
    """The dense executor of a plan; the last ones are kept, for they hold weights in the types that multiply."""
    from snnc.engine import dense

    return dense.Executor(plan)


def choose(plan: Plan, engine: Engine) -> Literal["event", "dense"]:
    """The path that a run takes.

    Raises:
        UnsupportedError: ``event`` was asked for and there are no kernels, or they cannot hold a weight.
    """
    if engine == "dense":
        return "dense"
    from snnc.engine import library, native

    found = library.state()
    if not isinstance(found, library.Kernels):
        if engine == "event":
            raise UnsupportedError(f"there are no compiled kernels: {found.reason}")
        return "dense"
    try:
        native.prepare(plan)
    except UnsupportedError:
        if engine == "event":
            raise
        return "dense"
    return "event"


def followed(plan: Plan, forced: Mapping[str, Numbers]) -> bool:
    """True if the kernels can follow what is forced: spikes of populations that do not send always."""
    for p in plan.populations if forced else ():
        if p.name in forced and (p.numbers or p.kind == "constant" or not _spikes(forced[p.name])):
            return False
    return True


def _spikes(values: Numbers) -> bool:
    return not values.size or (int(np.min(values)) >= -1 and int(np.max(values)) <= 1)
