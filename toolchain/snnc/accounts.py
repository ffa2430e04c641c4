"""What a compiled network's account shows beside its integers: registers, tables, weights by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnc.backend import Program
from snnc.ir import Affine, Conv, Fixed, FixedGraph, FloatArray, Graph
from snnc.plain import known
from snnc.quantize.bounds import registers, unproven
from snnc.target import Target


def weights_by_layer(graph: Graph, fixed: Mapping[str, FixedGraph]) -> dict[str, dict[str, FloatArray]]:
    """Float weights of every layer beside each target's integers in the unit that fits them best (for histograms).

    The unit is the least-squares factor between integers and floats, because a target may split its scale over
    several constants (SpiNNaker: R, 1-e and the synapse's init).
    """
    found: dict[str, dict[str, FloatArray]] = {}
    for node in graph.nodes:
        if not isinstance(node, (Affine, Conv)):
            continue
        want = np.asarray(node.weight, dtype=np.float64)
        found[node.name] = {"float": want}
        for name, integers in fixed.items():
            twin = next((n for n in integers.nodes if n.name == node.name), None)
            if isinstance(twin, (Affine, Conv)) and isinstance(twin.weight, Fixed) and twin.weight.shape == want.shape:
                raw = twin.weight.raw.astype(np.float64)
                unit = float((raw * want).sum() / max(float((raw * raw).sum()), 1.0))
                found[node.name][name] = raw * unit
    return found


def registers_json(graph: FixedGraph) -> list[dict[str, Any]]:
    """What every register can hold for any input; null where the weights alone set no bound."""
    return [
        {
            "population": r.population, "quantity": r.quantity, "low": known(r.range.low), "high": known(r.range.high),
            "bits": r.bits, "safe": r.safe,
        }
        for r in registers(graph)
    ]  # fmt: skip


def overflows_json(graph: FixedGraph, target: Target) -> dict[str, dict[str, Any]]:
    """For each reading of the target's registers: is it in use, and which registers keep it from being the same."""
    return {
        word: {"used": other == graph.conventions, "open": list(dict.fromkeys(r.name for r in unproven(graph, other)))}
        for word, other in target.variants.items()
    }


def tables_json(program: Program) -> dict[str, dict[str, Any]]:
    """A program's tables; columns stand apart from rows, because JSON with sorted keys would lose their order."""
    return {
        title: {"columns": list(rows[0]), "rows": [list(row.values()) for row in rows]}
        for title, rows in program.tables.items()
        if rows
    }
