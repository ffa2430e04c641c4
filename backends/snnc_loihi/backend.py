"""The back end ``loihi``: lowers to Lava processes and runs them in Lava's bit-accurate simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.backend import Program
from snnc.errors import SnncError, UnsupportedError, Violation
from snnc.ir import FixedGraph
from snnc.quantize.bounds import unproven
from snnc.target import Target
from snnc.trace import Probes, Trace
from snnc_loihi import compat
from snnc_loihi.export import script_files
from snnc_loihi.learn import learner, learning_drift
from snnc_loihi.lowering import plan_of
from snnc_loihi.mapping import CoreLimits, map_cores
from snnc_loihi.plan import Plan, Population
from snnc_loihi.runner import CHUNK, run_plan
from snnc_loihi.target import LOIHI1
from snnc_loihi.target2 import LOIHI2

name = "loihi"
targets: tuple[Target, ...] = (LOIHI1, LOIHI2)
chunk = CHUNK
"""Samples that share one start of Lava; a caller who cuts a batch cuts it here."""


def lower(graph: FixedGraph, target: Target) -> Program:
    """Makes Lava's integers; needs no Lava.

    The payload holds, per population, ``du dv vth bias_mant bias_exp`` (Loihi 2: the fields of
    :class:`snnc_loihi.microcode.Microcode`) and, per connection, ``w weight_exp num_weight_bits mixed delay``; the
    weights are Lava's (a weight of n bits has its low bits cleared). Layers that the host computes have
    ``host_bias host_down host_exponent`` (see :class:`snnc_loihi.plan.Host`); their weights are those of the graph.

    Raises:
        UnsupportedError: with every value that a register, a synapse or Lava's model of them does not take.
        DoesNotFitError: a neuron for which no core is large enough, or more chips than can be addressed.
    """
    if graph.conventions not in (target.conventions, *target.variants.values()):
        found = Violation("network", "conventions", f"those of {graph.target}", f"those of {target.name}")
        raise UnsupportedError(f"the integers were not made for {target.name}", violations=(found,))
    plan = plan_of(graph, target.name)
    table = map_cores(plan, CoreLimits.of(target))
    runs, remark = _executed(graph, target)
    tables = {"cores": table.rows}
    return Program(name, target.name, graph, _payload(plan), table.utilization, plan, tables, runs, remark)


def _executed(graph: FixedGraph, target: Target) -> tuple[bool, str]:
    """Whether Lava computes these integers as their conventions say, and what there is to know about it."""
    if graph.conventions == target.conventions:
        return True, ""
    found = unproven(graph, target.conventions)
    if not found:
        return True, "the chip's registers and Lava's are proven to be the same: no input overflows them"
    names = ", ".join(dict.fromkeys(register.name for register in found))
    return False, f"not executed by Lava: registers of the chip, and some input may overflow {names}"


def run(program: Program, spikes: npt.NDArray[Any], probes: Probes) -> Trace:
    """Runs samples [B, T, *shape] in Lava; see :func:`snnc_loihi.runner.run_plan`.

    Raises:
        UnsupportedError: the program has registers of the chip that Lava's are not proven to equal.
    """
    if not program.runs:
        raise UnsupportedError(f"{program.remark}. The reference executes them (snnc run --backend reference)")
    plan = program.data if isinstance(program.data, Plan) else plan_of(program.graph, program.target)
    return run_plan(plan, program.graph, spikes, probes)


def export(program: Program) -> Mapping[str, bytes]:
    """A script that runs the network with lava-nc and NumPy alone; see :func:`snnc_loihi.export.script_files`."""
    if not program.runs:
        return {}
    plan = program.data if isinstance(program.data, Plan) else plan_of(program.graph)
    return script_files(plan, program.target)


def _payload(plan: Plan) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for one in plan.populations:
        arrays |= {f"{one.name}.{key}": value for key, value in _registers(one).items()}
    for synapses in plan.synapses:
        arrays[f"{synapses.name}.w"] = synapses.weights.astype(np.int16)
        arrays[f"{synapses.name}.weight_exp"] = np.array(synapses.weight_exp, dtype=np.int32)
        arrays[f"{synapses.name}.num_weight_bits"] = np.array(synapses.weight_bits, dtype=np.int32)
        arrays[f"{synapses.name}.mixed"] = np.array(synapses.mixed, dtype=np.int32)
        arrays[f"{synapses.name}.delay"] = np.array(synapses.delay, dtype=np.int32)
    for host in plan.hosts:
        arrays[f"{host.name}.host_bias"] = host.bias
        arrays[f"{host.name}.host_down"] = np.array(host.down, dtype=np.int32)
        arrays[f"{host.name}.host_exponent"] = np.array(host.exponent, dtype=np.int32)
    return arrays


def _registers(one: Population) -> dict[str, npt.NDArray[Any]]:
    if one.code is not None:
        return {
            field.name: np.asarray(value) if isinstance(value, str) else np.asarray(value, dtype=np.int32)
            for field in fields(one.code)
            for value in (getattr(one.code, field.name),)
        }
    found = {key: np.array(getattr(one, key), dtype=np.int32) for key in ("du", "dv", "vth", "bias_exp")}
    return {**found, "bias_mant": one.bias_mant.astype(np.int16)}


def health() -> tuple[tuple[str, str, str], ...]:
    """Rows for ``snnc doctor``: whether Lava can be imported here, and what to do if not."""
    try:
        compat.activate()
    except SnncError as error:
        return (("Lava", "does not import", str(error)),)
    return (("Lava", "imports", "ok"),)


__all__ = ["chunk", "export", "health", "learner", "learning_drift", "lower", "name", "run", "targets"]
