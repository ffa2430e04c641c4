"""Groups of populations that wait for each other, and the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from snnc.engine.plan import Group, Population
from snnc.engine.windows import Link


def grouped(
    populations: Sequence[Population], links: Sequence[Link]
) -> tuple[tuple[Population, ...], tuple[Group, ...]]:
    """Populations sorted so that groups run one after the other, sources numbered anew, and the groups.

    Args:
        populations: in an order in which edges without delay point forward.
        links: who reads whom.
    """
    components = _components(len(populations), links)
    order = [i for component in components for i in component]
    place = {old: new for new, old in enumerate(order)}
    own = {link.source for link in links if link.source == link.target}
    found = [
        replace(populations[i], ways=tuple(replace(way, source=place[way.source]) for way in populations[i].ways))
        for i in order
    ]
    groups = [
        Group(tuple(place[i] for i in component), len(component) > 1 or component[0] in own) for component in components
    ]
    return tuple(found), tuple(groups)


def _components(count: int, links: Sequence[Link]) -> list[list[int]]:
    """Strongly connected components, sources first; within one, in ascending order.

    Two walks (Kosaraju): the second takes the nodes in the reverse order in which the first left them.
    """
    readers: list[list[int]] = [[] for _ in range(count)]
    sources: list[list[int]] = [[] for _ in range(count)]
    for link in links:
        readers[link.source].append(link.target)
        sources[link.target].append(link.source)
    left: list[int] = []
    seen: set[int] = set()
    for start in reversed(range(count)):
        _walk(start, readers, seen, left)
    seen = set()
    found: list[list[int]] = []
    for start in reversed(left):
        component: list[int] = []
        _walk(start, sources, seen, component)
        if component:
            found.append(sorted(component))
    return found


def _walk(start: int, neighbours: Sequence[Sequence[int]], seen: set[int], left: list[int]) -> None:
    """Depth first without recursion; appends what it leaves."""
    if start in seen:
        return
    seen.add(start)
    stack = [(start, iter(neighbours[start]))]
    while stack:
        node, rest = stack[-1]
        for other in rest:
            if other not in seen:
                seen.add(other)
                stack.append((other, iter(neighbours[other])))
                break
        else:
            left.append(node)
            stack.pop()
