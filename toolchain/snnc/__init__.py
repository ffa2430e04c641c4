"""snnc: from a trained spiking network to integers on a chip, with evidence."""

from snnc.ir import FixedGraph, Graph

__all__ = ["FixedGraph", "Graph"]
__version__ = "0.1.0"
