"""What a pass is, and the runner that verifies after each one and keeps the history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from snnc.errors import PassError, SnncError
from snnc.ir import Graph

Preserves = Literal["exact", "close", "approximate"]


class Pass(Protocol):
    """A frozen dataclass whose fields are its options.

    Attributes:
        name: what the user types.
        preserves: ``exact``: every spike of every surviving population is equal; ``close``: within a bound that the
            docstring states; ``approximate``: measured and reported.
    """

    @property
    def name(self) -> str:
        """What the user types."""

    @property
    def preserves(self) -> Preserves:
        """The promise that rung 2 checks."""

    def __call__(self, graph: Graph) -> Graph:
        """The rewritten graph, or ``graph`` itself when nothing matched."""


@dataclass(frozen=True)
class Applied:
    """One entry of the history: which pass, its promise, and whether it changed the graph."""

    name: str
    preserves: Preserves
    changed: bool
    before: str
    after: str


def run_passes(
    graph: Graph,
    passes: Sequence[Pass],
    observe: Callable[[Pass, Graph, Graph], None] | None = None,
) -> tuple[Graph, tuple[Applied, ...]]:
    """Runs passes in order; a graph is verified by its own construction.

    Args:
        graph: where to start.
        passes: in order.
        observe: called with (pass, before, after) for every pass that changed the graph; rung 2 hangs here.

    Returns:
        The last graph and the history.

    Raises:
        PassError: a pass failed; the message holds the history.
    """
    history: list[Applied] = []
    for step in passes:
        try:
            after = step(graph)
        except SnncError as error:
            done = ", ".join(entry.name for entry in history) or "no pass"
            raise PassError(f"pass {step.name} failed after [{done}]: {error}") from error
        changed = after is not graph
        history.append(Applied(step.name, step.preserves, changed, graph.digest, after.digest))
        if changed and observe is not None:
            observe(step, graph, after)
        graph = after
    return graph, tuple(history)
