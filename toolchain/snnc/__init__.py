"""snnc: from a trained spiking network to integers on a chip, with evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnc.ir import FixedGraph, Graph

__all__ = ["FixedGraph", "Graph"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """A public name; who runs a compiled folder needs none of them and starts sooner."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from snnc import ir

    return getattr(ir, name)
