"""Names of nodes: the module's path, without what only the container adds."""

from __future__ import annotations

from torch import nn

from snnc.nn import Sequence

STEP = "step."


def node_name(root: nn.Module, path: str) -> str:
    """Path of a module as a node's name; empty for the root itself.

    The ``step.`` of a ``Sequence`` goes, dots become ``_``, and a number that a ``Sequential`` gave to its child gets
    the child's type in front: ``step.1`` becomes ``lif1``.
    """
    start = STEP if isinstance(root, Sequence) and path.startswith(STEP) else ""
    head, dot, rest = path.removeprefix(start).partition(".")
    if head.isdigit():
        head = f"{type(root.get_submodule(start + head)).__name__.lower()}{head}"
    return f"{head}{dot}{rest}".replace(".", "_")
