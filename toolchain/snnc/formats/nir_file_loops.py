"""Which edges of a NIR graph are recurrent. The file does not say: time is continuous there, a loop has no step."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from snnc.errors import InputError
from snnc.formats.nir_file_tree import Link, Tree


def recurrent(tree: Tree, delayed: Collection[str], neurons: Collection[str], where: str) -> dict[Link, int]:
    """Edges that get a delay of one step, so that every loop takes time.

    A loop without a Delay node is cut where it returns to the population at which it is entered. The step is put
    right behind the neuron that closes the loop, so that a bias of recurrent weights acts from the first step on.

    Args:
        tree: the graph; its items are reachable from the one Input.
        delayed: names of Delay items of at least one step, which loops may pass freely.
        neurons: names of spiking items.
        where: what messages call the file.

    Raises:
        InputError: a loop is entered at several places, or holds no neuron.
    """
    after = {name: [] if name in delayed else list(tree.out_of(name)) for name in tree.items}
    before = {name: [a for a in tree.into(name) if a not in delayed] for name in tree.items}
    starts = [item.name for item in tree.of_kind("Input")] + [b for a, b in tree.edges if a in delayed]
    found: dict[Link, int] = {}
    for source, target in _back_edges(after, starts):
        if source != target and source in _reached(after, starts, without=target):
            raise InputError(
                f"{where}: the loop through {source} and {target} is entered at several places; which of its edges "
                "takes a step is open. Put a Delay into the loop"
            )
        found[_behind_neuron(after, before, neurons, (source, target), where)] = 1
    return found


def _back_edges(after: Mapping[str, list[str]], starts: list[str]) -> list[Link]:
    """Edges that return to a node on the path of a depth-first walk."""
    found: list[Link] = []
    done: set[str] = set()
    for start in starts:
        path: list[tuple[str, list[str]]] = []
        on_path: set[str] = set()
        if start not in done:
            path.append((start, list(after[start])))
            on_path.add(start)
        while path:
            name, left = path[-1]
            if not left:
                path.pop()
                on_path.discard(name)
                done.add(name)
                continue
            target = left.pop()
            if target in on_path:
                found.append((name, target))
            elif target not in done:
                path.append((target, list(after[target])))
                on_path.add(target)
    return found


def _reached(after: Mapping[str, list[str]], starts: list[str], without: str) -> set[str]:
    seen: set[str] = set()
    waiting = [name for name in starts if name != without]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [target for target in after[name] if target != without]
    return seen


def _behind_neuron(
    after: Mapping[str, list[str]], before: Mapping[str, list[str]], neurons: Collection[str], edge: Link, where: str
) -> Link:
    """Moves a cut upstream through items that serve only this loop, to the output of a neuron."""
    source, target = edge
    seen = {source}
    while source not in neurons:
        if len(before[source]) != 1 or len(after[source]) != 1 or before[source][0] in seen:
            raise InputError(
                f"{where}: the loop through {edge[0]} and {edge[1]} has no population whose spikes alone close it; "
                "put a Delay into the loop"
            )
        source, target = before[source][0], source
        seen.add(source)
    return source, target
