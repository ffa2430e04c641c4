"""FixedGraph to what py-spinnaker2 is given, and its run in the float32 emulator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.backend import Program
from snnc.errors import DoesNotFitError, UnsupportedError, Violation
from snnc.ir import Fixed, FixedGraph, FloatArray, Input, Neuron
from snnc.target import Target
from snnc.trace import Probes, Trace
from snnc_spinnaker.connect import of_path
from snnc_spinnaker.paths import paths_into
from snnc_spinnaker.record import Recorder, demand_input
from snnc_spinnaker.spinnaker2 import LIMITS, Cell, Reset, tolerance
from snnc_spinnaker.spinnaker2_quantize import CONVENTIONS
from snnc_spinnaker.spinnaker2_run import State, Wires, run

WORD_BYTES = 2
EXACT = 1 << 24


@dataclass(frozen=True, eq=False)
class Chip:
    """A network as it is loaded.

    Attributes:
        cells: population -> parameters and number of neurons.
        wires: connection lists.
    """

    cells: Mapping[str, tuple[Cell, int]]
    wires: tuple[Wires, ...]


def lower(graph: FixedGraph, target: Target) -> Program:
    """Makes the program, with the cores that its neurons and synaptic words take.

    Raises:
        UnsupportedError: the graph is not of this target, or a sum of weights could pass 2**24.
        DoesNotFitError: weights or cores beyond the limits, all of them.
    """
    found = tuple(_refusals(graph))
    if found:
        raise UnsupportedError("spinnaker2 cannot run this graph", violations=found)
    chip = Chip({node.name: (_cell(node), math.prod(node.shape)) for node in graph.neurons}, tuple(_wires(graph)))
    rows = [_row(chip, name, size) for name, (_, size) in chip.cells.items()]
    problems = [*_wide(chip), *_loud(chip), *_large(rows)]
    if problems:
        raise DoesNotFitError.of(*problems)
    used = sum(int(row["cores"]) for row in rows)
    utilization = {"cores": (used, LIMITS["cores"].value)}
    worst = max(_claim(chip, name) for name in chip.cells)
    remark = (
        "float32 as published, not run on silicon, which may fuse operations: "
        f"a step rounds v within {worst:.1g} thresholds"
    )
    tables = {"populations": rows}
    return Program("spinnaker", target.name, graph, _payload(chip), utilization, chip, tables, remark=remark)


def _refusals(graph: FixedGraph) -> Iterator[Violation]:
    if graph.conventions != CONVENTIONS:
        yield Violation("graph", "conventions", f"those of {graph.target}", "those of spinnaker2")
    if len(graph.inputs) != 1:
        yield Violation("graph", "inputs", str(len(graph.inputs)), "1")
    for node in graph.neurons:
        if node.fires != "ge" or node.reset_v == "none" or node.reset_u or node.reset_delay or node.refractory:
            found = f"fires {node.fires}, reset {node.reset_v}, refractory {node.refractory}"
            yield Violation(node.name, "spike", found, "fires ge with an immediate reset, no refractory period")
        for path in paths_into(graph, node.name):
            if len(path.weighted) != 1:
                yield Violation(node.name, f"weight layers from {path.source}", str(len(path.weighted)), "1")


def _cell(node: Neuron) -> Cell:
    def number(key: str) -> FloatArray:
        value = node.params()[key]
        assert isinstance(value, Fixed)
        return np.broadcast_to(value.to_float(), node.shape).ravel()

    reset: Reset = "subtract" if node.reset_v == "subtract" else "value"
    to = number("v_reset") if node.reset_v == "value" else np.zeros(math.prod(node.shape))
    threshold, offset = number("threshold"), number("bias")
    return Cell(threshold, number("decay_v"), offset, number("decay_u"), reset, to, number("v_init"))


def _wires(graph: FixedGraph) -> Iterator[Wires]:
    for node in graph.neurons:
        paths = paths_into(graph, node.name)
        delayed = any(path.delay > 1 for path in paths)
        for path in paths:
            both = tuple(links if len(links.weight) else None for links in (of_path(graph, path, s) for s in (1, -1)))
            if any(both):
                yield Wires(path.source, node.name, (both[0], both[1]), path.delay - 1 if delayed else None)


def _wide(chip: Chip) -> Iterator[Violation]:
    """Magnitudes and delays that a synaptic word does not hold."""
    for wires in chip.wires:
        levels = LIMITS["weight without delay" if wires.delay is None else "weight with delay"].value
        worst = max(int(links.weight.max()) for links in wires.links if links is not None)
        if worst > levels:
            yield Violation(wires.target, f"weight from {wires.source}", str(worst), f"at most {levels}")
        if wires.delay is not None and wires.delay > LIMITS["delay"].value:
            allowed = f"1 to {LIMITS['delay'].value + 1}"
            yield Violation(wires.target, f"delay from {wires.source}", str(wires.delay + 1), allowed)


def _loud(chip: Chip) -> Iterator[Violation]:
    """Populations whose sum of one step could pass what float32 counts exactly."""
    for name, (_, size) in chip.cells.items():
        total = np.zeros((2, size), dtype=np.int64)
        for wires in chip.wires:
            for receptor, links in enumerate(wires.links):
                if wires.target == name and links is not None:
                    np.add.at(total[receptor], links.post, links.weight)
        if total.size and int(total.max()) > EXACT:
            yield Violation(name, "sum of weights of one step", str(int(total.max())), f"at most {EXACT}")


def _row(chip: Chip, name: str, size: int) -> dict[str, Any]:
    """One population's cores: as many as its neurons, and its synaptic words, need."""
    wires = [each for each in chip.wires if each.target == name]
    words = sum(len(links.weight) for each in wires for links in each.links if links is not None)
    memory, neurons = LIMITS["core memory"].value, LIMITS["neurons per core"].value
    cores = max(1, -(-size // neurons), -(-words * WORD_BYTES // memory))
    delays = [each.delay for each in wires if each.delay is not None]
    return {
        "population": name,
        "neurons": size,
        "cores": cores,
        "neurons per core": (-(-size // cores), neurons),
        "synaptic words": words,
        "bytes per core": (-(-words * WORD_BYTES // cores), memory),
        "weight bits": 4 if delays else 7,
        "longest delay": max(delays, default=0) + 1,
    }


def _large(rows: list[dict[str, Any]]) -> Iterator[Violation]:
    used = sum(int(row["cores"]) for row in rows)
    if used > LIMITS["cores"].value:
        largest = max(rows, key=lambda row: int(row["cores"]))
        fix = f"{largest['population']} takes {largest['cores']}; give it fewer neurons or fewer synapses."
        yield Violation("graph", "cores", str(used), f"at most {LIMITS['cores'].value}", fix)


def _claim(chip: Chip, name: str) -> float:
    """What the roundings of one step can move v by, in thresholds, with the largest input that there can be."""
    cell, _ = chip.cells[name]
    peak = float(np.max(np.abs(cell.threshold)))
    for wires in chip.wires:
        if wires.target == name:
            peak = max(peak, *(float(links.weight.sum()) for links in wires.links if links is not None))
    return tolerance(cell, peak, 1) / float(np.min(cell.threshold))


def _payload(chip: Chip) -> dict[str, npt.NDArray[Any]]:
    """The numbers that are loaded: float32 parameters, connections as columns with signed weights."""
    found: dict[str, npt.NDArray[Any]] = {}
    for name, (cell, size) in chip.cells.items():
        for key in ("threshold", "alpha_decay", "i_offset", "syn_decay", "v_reset", "v_init"):
            found[f"{name}.{key}"] = np.broadcast_to(np.asarray(getattr(cell, key)), (size,)).astype(np.float32)
    for number, wires in enumerate(chip.wires):
        for links, sign, receptor in zip(wires.links, (1, -1), ("exc", "inh"), strict=True):
            if links is not None:
                title = f"{wires.target}.from.{wires.source}.{receptor}.{number}"
                found[f"{title}.pre"], found[f"{title}.post"] = (
                    links.pre.astype(np.uint32),
                    links.post.astype(np.uint32),
                )
                found[f"{title}.weight"] = (sign * links.weight).astype(np.int8)
                found[f"{title}.delay"] = np.array(wires.delay or 0, dtype=np.uint8)
    return found


def execute(program: Program, spikes: npt.NDArray[Any], probes: Probes) -> Trace:
    """Runs the emulator from the start state; states are ``v`` (after the step), ``u_exc`` and ``u_inh``.

    Args:
        program: made by :func:`lower`.
        spikes: [B, T, *shape], 0 or 1.
        probes: what to record.

    Raises:
        TraceError: the input has another shape.
    """
    graph, chip = program.graph, program.data
    assert isinstance(chip, Chip)
    batch, steps = demand_input(graph, spikes)
    given = {node.name: _sent(node, graph, spikes) for node in graph.nodes if isinstance(node, Input)}
    record = Recorder(graph, probes, batch, steps, np.float64)

    def seen(time: int, states: Mapping[str, State]) -> None:
        for name, state in states.items():
            values = {"v": state.v, "u_exc": state.current[0], "u_inh": state.current[1]}
            record.states(name, time, {key: value.astype(np.float64) for key, value in values.items()})

    found = run(chip.cells, chip.wires, given, seen if probes.states else None)
    for time in range(steps + graph.depth):
        for name, out in given.items():
            record.spikes(name, time, out[:, time])
        for name, (out, _) in found.items():
            record.spikes(name, time, out[:, time])
    return Trace("spinnaker", program.target, record.sent, record.state, {"device_steps": steps + graph.depth})


def _sent(node: Input, graph: FixedGraph, spikes: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """An input's spikes in device time [B, T + depth, n]."""
    batch, steps = spikes.shape[:2]
    start = graph.latency.get(node.name, 0)
    out = np.zeros((batch, steps + graph.depth, math.prod(node.shape)), dtype=np.int8)
    if node.encoding == "constant":
        out[:, start:] = 1
    else:
        out[:, start : start + steps] = spikes.reshape(batch, steps, -1)
    return out
