"""What travels: formats, nodes, graphs. Imports numpy and errors only; a module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnc.ir.catalog import POPULATIONS
    from snnc.ir.conventions import Conventions
    from snnc.ir.fixed import Fixed, FloatArray, Format, IntArray, to_fixed
    from snnc.ir.grammar import parse_products
    from snnc.ir.graph import Edge, FixedGraph, Graph, Network
    from snnc.ir.learning import PlasticityRule, RoundingSeeds, SynapticTrace
    from snnc.ir.nodes import (
        Adaptation,
        Add,
        Affine,
        Concat,
        Conv,
        Delay,
        Flatten,
        Identity,
        Inhibit,
        Input,
        Neuron,
        Node,
        Param,
        Pool,
        Readout,
        Scale,
        SynFilter,
        TimeScale,
    )
    from snnc.ir.populations import Atrlif, Delta, Sigma, SigmaDelta
    from snnc.ir.products import Factor, Product, nearest_scale, write_products
    from snnc.ir.restore import rebuild
    from snnc.ir.serial import describe

_HOME = {
    "catalog": ("POPULATIONS",),
    "conventions": ("Conventions",),
    "fixed": ("Fixed", "FloatArray", "Format", "IntArray", "to_fixed"),
    "grammar": ("parse_products",),
    "graph": ("Edge", "FixedGraph", "Graph", "Network"),
    "learning": ("PlasticityRule", "RoundingSeeds", "SynapticTrace"),
    "nodes": (
        "Adaptation",
        "Add",
        "Affine",
        "Concat",
        "Conv",
        "Delay",
        "Flatten",
        "Identity",
        "Inhibit",
        "Input",
        "Neuron",
        "Node",
        "Param",
        "Pool",
        "Readout",
        "Scale",
        "SynFilter",
        "TimeScale",
    ),
    "populations": ("Atrlif", "Delta", "Sigma", "SigmaDelta"),
    "products": ("Factor", "Product", "nearest_scale", "write_products"),
    "restore": ("rebuild",),
    "serial": ("describe",),
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "POPULATIONS",
    "Adaptation",
    "Add",
    "Affine",
    "Atrlif",
    "Concat",
    "Conv",
    "Conventions",
    "Delay",
    "Delta",
    "Edge",
    "Factor",
    "Fixed",
    "FixedGraph",
    "Flatten",
    "FloatArray",
    "Format",
    "Graph",
    "Identity",
    "Inhibit",
    "Input",
    "IntArray",
    "Network",
    "Neuron",
    "Node",
    "Param",
    "PlasticityRule",
    "Pool",
    "Product",
    "Readout",
    "RoundingSeeds",
    "Scale",
    "Sigma",
    "SigmaDelta",
    "SynFilter",
    "SynapticTrace",
    "TimeScale",
    "describe",
    "nearest_scale",
    "parse_products",
    "rebuild",
    "to_fixed",
    "write_products",
]


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
