"""A program as two files that run without snnc: run_spynnaker.py and spynnaker.npz; and two more where it learns.

The script is the module :mod:`snnc_spinnaker.run_spynnaker` word for word; all that differs between networks is in the
.npz: ``network`` (JSON), parameter words ``<number>.neuron``, ``.threshold`` and ``.synapse`` of each population, and
connection columns ``<number>.pre``, ``.post`` and ``.weight`` of each projection. A projection that learns has its rule
in ``network``, and then ``pause``, the silent steps after each sample, says that all samples are one run.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.backend import Program
from snnc.ir import FixedGraph
from snnc.trace import npz_bytes
from snnc_spinnaker.learn import Learning, Plastic
from snnc_spinnaker.lower import build
from snnc_spinnaker.network import Machine
from snnc_spinnaker.placement_demand import per_core

SCRIPT, DATA = "run_spynnaker.py", "spynnaker.npz"
LEARNING = "run_spynnaker_learning.py", "spynnaker_learning.npz"


def export(program: Program) -> dict[str, bytes]:
    """The script and its data."""
    machine = program.data if isinstance(program.data, Machine) else build(program.graph)
    return _files(program.graph, machine, (), 0, (SCRIPT, DATA))


def export_learning(learning: Learning) -> dict[str, bytes]:
    """The script and its data for a network that learns."""
    return _files(learning.graph, learning.machine, learning.plastic, learning.pause, LEARNING)


def _files(
    graph: FixedGraph, machine: Machine, plastic: tuple[Plastic, ...], pause: int, names: tuple[str, str]
) -> dict[str, bytes]:
    rules = {one.number: _rule(one) for one in plastic}
    shifts = {population.name: population.ring_shift for population in machine.populations}
    sources = [
        {"name": s.name, "shape": graph.shapes[s.name], "size": s.size, "kind": s.kind, "start": s.start,
         "per_core": s.per_core}
        for s in machine.sources
    ]  # fmt: skip
    populations = [
        {"name": p.name, "shape": graph.shapes[p.name], "size": p.words.size, "kind": p.words.kind,
         "latency": graph.latency.get(p.name, 0), "ring_shift": p.ring_shift, "per_core": per_core(p)}
        for p in machine.populations
    ]  # fmt: skip
    projections = [
        {"source": p.source, "target": p.target, "receptor": p.receptor, "delay": p.delay,
         "ring_shift": shifts[p.target], "rule": rules.get(number)}
        for number, p in enumerate(machine.projections)
    ]  # fmt: skip
    network = {"depth": graph.depth, "pause": pause, "sources": sources, "populations": populations}
    network["projections"] = projections
    arrays: dict[str, npt.NDArray[Any]] = {"network": np.array(json.dumps(network, sort_keys=True))}
    for number, population in enumerate(machine.populations):
        for key in ("neuron", "threshold", "synapse"):
            arrays[f"{number}.{key}"] = getattr(population.words, key).astype(np.int32)
    for number, projection in enumerate(machine.projections):
        links = projection.links
        for key, kind in (("pre", np.uint32), ("post", np.uint32), ("weight", np.uint16)):
            arrays[f"{number}.{key}"] = getattr(links, key).astype(kind)
    script, data = names
    return {script: files("snnc_spinnaker").joinpath(SCRIPT).read_bytes(), data: npz_bytes(arrays)}


def _rule(one: Plastic) -> dict[str, Any]:
    """A rule as PyNN has it, but amplitudes as sPyNNaker writes them: in nA where they are additive."""
    pair = one.pair
    plus, minus = pair.written
    return {
        "name": one.name, "shape": one.shape, "kind": pair.kind, "tau_plus": pair.tau_plus, "tau_minus": pair.tau_minus,
        "A_plus": plus, "A_minus": minus, "w_min": pair.w_min, "w_max": pair.w_max, "unit": one.unit,
    }  # fmt: skip
