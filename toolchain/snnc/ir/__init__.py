"""What travels: formats, nodes, graphs. Imports numpy and errors only."""

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
