"""On which device steps each population has to be stepped, so that nothing that matters is left out.

A population of latency L is of interest on [L, L + T). What it sends earlier or later matters only if somebody reads
it on a step that matters. Two facts make early steps superfluous: the state is set to its start right before step L
(``aligned_start``), or it does not move before. A population that neither hears nor sends anything before L is quiet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snnc.engine import neurons
from snnc.engine.plan import Population, Way
from snnc.engine.products import applied
from snnc.ir import Conventions

FOREVER = 1 << 40


@dataclass(frozen=True)
class Link:
    """Who reads whom: ``target`` at step k reads what ``source`` sent on steps k - longest to k - shortest."""

    source: int
    target: int
    shortest: int
    longest: int


def placed(populations: Sequence[Population], links: Sequence[Link], c: Conventions, depth: int) -> list[Population]:
    """The populations with the smallest windows that are proven to be enough.

    Args:
        populations: with any windows.
        links: all readers.
        c: of the graph.
        depth: device steps beyond T.
    """
    if "refuse" in (c.current_overflow, c.membrane_overflow, c.accumulator_overflow, c.drive_overflow):
        return [widened(p, c, depth) for p in populations]  # a state that does not fit has to be seen wherever it is
    whole = _past_relays(populations, links)
    quiet = _quiet(populations, whole, c)
    early = _early(populations, whole, c, quiet)
    late = _late(populations, whole)
    found: list[Population] = []
    for i, p in enumerate(populations):
        if p.kind == "constant":
            found.append(replace(p, first=p.latency, extra=depth - p.latency, restart=None))
            continue
        first = 0 if i in early else p.latency
        restart = p.latency if c.aligned_start and first < p.latency else None
        found.append(replace(p, first=first, extra=p.latency - first + late[i], restart=restart))
    return [_relayed(i, p, found, links) if p.kind == "relay" else p for i, p in enumerate(found)]


def _past_relays(populations: Sequence[Population], links: Sequence[Link]) -> list[Link]:
    """Who reads whom through relays: they have no state and no steps of their own."""
    relays = {i for i, p in enumerate(populations) if p.kind == "relay"}
    found = [link for link in links if link.source not in relays and link.target not in relays]
    for a in links:
        for b in links if a.target in relays else ():
            if a.target == b.source:
                found.append(Link(a.source, b.target, a.shortest + b.shortest, a.longest + b.longest))
    return found


def _relayed(i: int, p: Population, populations: Sequence[Population], links: Sequence[Link]) -> Population:
    """A relay on the steps on which somebody reads it."""
    readers = [(populations[link.target], link) for link in links if link.source == i]
    first = max(0, min((q.first - link.longest for q, link in readers), default=0))
    end = max((q.first + q.extra - link.shortest for q, link in readers), default=0)
    return replace(p, first=first, extra=max(0, end - first), restart=None)


def widened(p: Population, c: Conventions, depth: int) -> Population:
    """A population that is stepped on every device step."""
    if p.kind in ("input", "constant"):
        return replace(p, first=p.latency, extra=0 if p.kind == "input" else depth - p.latency, restart=None)
    restart = p.latency if c.aligned_start and p.latency else None
    return replace(p, first=0, extra=depth, restart=restart)


def _early(
    populations: Sequence[Population], links: Sequence[Link], c: Conventions, quiet: Mapping[int, bool]
) -> set[int]:
    """Populations that have to be stepped before their latency."""
    sends = [p.kind not in ("input", "constant", "relay") and p.latency > 0 for p in populations]
    found: set[int] = set()
    if not c.aligned_start:
        found = {i for i, s in enumerate(sends) if s and not quiet.get(i, False)}
    changed = True
    while changed:
        changed = False
        for link in links:
            source = populations[link.source]
            if link.source in found or not sends[link.source] or link.source in quiet:
                continue
            start = 0 if link.target in found else populations[link.target].latency
            if start - link.longest < source.latency:
                found.add(link.source)
                changed = True
    return found


def _late(populations: Sequence[Population], links: Sequence[Link]) -> list[int]:
    """Steps behind the last logical one that somebody still reads."""
    late = [0] * len(populations)
    for _ in range(len(populations) + 1):
        for link in links:
            source, target = populations[link.source], populations[link.target]
            need = target.latency + late[link.target] - link.shortest - source.latency
            if source.kind != "input":
                late[link.source] = max(late[link.source], need)
    return late


def _quiet(populations: Sequence[Population], links: Sequence[Link], c: Conventions) -> dict[int, bool]:
    """Populations that send nothing before their latency -> whether their state does not move either.

    Everybody is taken to be quiet at first. Whoever is reached too soon by others than constants, or sends when it is
    stepped alone, is not, and then others may be reached too soon. What remains is quiet by induction over steps.
    """
    found: dict[int, bool] = {}
    for i, p in enumerate(populations):
        if p.kind in ("input", "constant", "relay"):
            continue
        alone = _alone(p, populations, c)
        if alone is not None:
            found[i] = alone
    changed = True
    while changed:
        changed = False
        for link in links:
            source, target = populations[link.source], populations[link.target]
            if link.target not in found or source.kind == "constant":
                continue
            sends = source.latency if source.kind == "input" or link.source in found else 0
            if sends + link.shortest < target.latency:
                del found[link.target]
                changed = True
    return found


def _alone(p: Population, populations: Sequence[Population], c: Conventions) -> bool | None:
    """Whether a population that hears constants only keeps its state before its latency; None if it sends."""
    constants = [way for way in p.ways if populations[way.source].kind == "constant"]
    relayed = any(populations[way.source].kind == "relay" for way in p.ways)
    if p.latency and (p.chains or (relayed and any(q.kind == "constant" for q in populations))):
        return None  # what chains make of constants and biases is not worked out here
    state = neurons.stepper(p, c, 1)
    start = dict(state.state)
    receptors = 2 if c.synapse == "split" else 1
    for step in range(p.latency):
        x = np.zeros((receptors, 1, p.size), dtype=np.int64)
        for way in constants:
            if step - way.delay >= populations[way.source].latency:
                ones = np.ones((1, populations[way.source].size), dtype=np.int64)
                x[way.receptor] += applied(way.operator, ones, p.size)
        sent = state.step(x if c.membrane != "euler" else x[0] << p.shift)
        if np.any(sent):
            return None
    moved = any(not np.array_equal(start[key], state.state[key]) for key in start)
    return not moved and not _heard(constants, populations, p.latency)


def _heard(constants: Sequence[Way], populations: Sequence[Population], before: int) -> bool:
    return any(populations[way.source].latency + way.delay < before for way in constants)
