"""Replays recordings of sPyNNaker's release binaries and primitives with the emulator of ``snnc_spinnaker``.

``recognise`` looks at a file's arrays (and, for STDP, at its name) and returns what checks it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc_spinnaker import arith
from snnc_spinnaker.core import Core, Step
from snnc_spinnaker.ring import Layout
from snnc_spinnaker.rows import Row, parse
from snnc_spinnaker.stdp import PlasticRow, Posts, Rule
from snnc_spinnaker.words import Words

Arrays = Mapping[str, npt.NDArray[Any]]
Result = tuple[int, dict[str, int]]
Checker = Callable[[Arrays], Result]

PRIMITIVES: dict[str, Callable[[Any, Any], Any]] = {
    "add": arith.add,
    "sub": arith.sub,
    "mul": arith.mul,
    "kdivk": arith.kdivk,
    "kdivui": arith.kdivui,
    "expk": lambda a, _: arith.expk(a),
    "expulr": lambda a, _: arith.w32(arith.expulr(a)),
    "decay": lambda a, b: arith.decay(a, arith.u32(b)),
    "decay_to_u032": lambda a, b: arith.w32(arith.scale_fraction(a, arith.u32(b))),
    "one_minus_u032": lambda a, _: arith.w32(arith.one_minus(a)),
    "weight_to_input": arith.weight_to_input,
    "mul_accum_fixed": arith.mul_stdp,
    "stdp_mul16": arith.stdp_mul,
}
KINDS_OF_STDP: tuple[Literal["additive", "multiplicative"], ...] = ("additive", "multiplicative")
RECORDED = ("v", "gsyn_exc", "gsyn_inh", "spikes")


class Differing(int):
    """How many values of a quantity differ; as text with the first of them."""

    first = ""

    def __str__(self) -> str:
        return f"{int(self)} differ, {self.first}"


@dataclass
class Tally:
    """Values compared, and how many differ by quantity."""

    compared: int = 0

    def __post_init__(self) -> None:
        self.differing: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def compare(self, quantity: str, got: Any, want: Any) -> None:
        left, right = np.asarray(got), np.asarray(want)
        self.compared += right.size
        if left.shape != right.shape:
            self.differing[quantity] += max(right.size, 1)
            self.first.setdefault(quantity, f"the vector has shape {right.shape}, the emulator {left.shape}")
            return
        places = np.argwhere(left != right)
        self.differing[quantity] += len(places)
        if len(places):
            at = tuple(places[0].tolist())
            self.first.setdefault(quantity, f"first at {list(at)}: vector {right[at]}, emulator {left[at]}")

    def result(self) -> Result:
        found: dict[str, int] = {}
        for quantity, count in self.differing.items():
            found[quantity] = Differing(count)
            found[quantity].first = self.first.get(quantity, "")  # type: ignore[attr-defined]
        return self.compared, found


def check_primitives(data: Arrays) -> Result:
    tally = Tally()
    for key in sorted(name.removesuffix("_r") for name in data if name.endswith("_r")):
        got = PRIMITIVES[key](data[f"{key}_a"], data[f"{key}_b"])
        tally.compare(key, arith.w32(got), data[f"{key}_r"])
    return tally.result()


def words_of(data: Arrays) -> Words:
    delta = "delta_time_step" in data
    step = data["delta_time_step"] if delta else np.zeros(0)
    return Words(
        "delta" if delta else "exp", data["neuron_params"], data["threshold"], data["synapse_params"], step,
        int(data["sub_steps"]),
    )  # fmt: skip


def core_of(data: Arrays) -> Core:
    layout = Layout(int(data["log2_neurons"]), int(data["log2_delays"]), int(data["log2_types"]))
    exc, inh = (int(shift) for shift in data["ring_shift"])
    return Core(words_of(data), (exc, inh), layout)


def rows_of(data: Arrays) -> list[Row]:
    offsets = data["row_offset"].tolist()
    return [parse(data["row_words"][first:last]) for first, last in pairwise(offsets)]


def recorded(step: Step) -> dict[str, npt.NDArray[Any]]:
    return dict(zip(RECORDED, (step.v[0], step.exc[0], step.inh[0], step.spikes[0]), strict=True))


def events_of(data: Arrays) -> dict[int, list[tuple[int, int]]]:
    """Step -> (row, lag) in the order in which the core processed them."""
    lags = data["event_lag"] if "event_lag" in data else np.zeros(len(data["event_step"]), dtype=int)
    events: dict[int, list[tuple[int, int]]] = {}
    for step, row, lag in zip(data["event_step"].tolist(), data["event_row"].tolist(), lags.tolist(), strict=True):
        events.setdefault(step, []).append((row, lag))
    return events


def check_core(data: Arrays) -> Result:
    """One core with static synapses, driven by the recorded order of its packets."""
    core, rows, events, tally = core_of(data), rows_of(data), events_of(data), Tally()
    history: dict[str, list[Any]] = {key: [] for key in RECORDED if key in data}
    for time in range(int(data["n_steps"])):
        step = recorded(core.step(time))
        for key, kept in history.items():
            kept.append(step[key])
        for row, lag in events.get(time, []):
            core.ring.row(time, rows[row].fixed, lag)
    for key, kept in history.items():
        tally.compare(key, np.array(kept), data[key])
    check_host(data, words_of(data), "a", 0, tally)
    if "final_row_words" in data:
        tally.compare("final_row_words", data["row_words"], data["final_row_words"])
    return tally.result()


def check_host(data: Arrays, words: Words, label: str, first: int, tally: Tally) -> None:
    """The host's conversion of PyNN's floats to words."""
    names = {"cm": "c_m", "v_rest": "v_rest", "tau_m": "tau_m", "i_offset": "i_offset", "v_reset": "v_reset",
             "tau_refrac": "t_refrac"}  # fmt: skip
    wanted = {name: words.column(column) for name, column in names.items()}
    wanted["v_thresh"] = words.threshold
    if words.kind == "exp":
        wanted |= {"tau_syn_E": words.synapse[:, 0], "tau_syn_I": words.synapse[:, 2]}
    for name, column in wanted.items():
        values = data.get(f"float|{label}|{name}")
        if values is not None:
            tally.compare(f"host {name}", arith.to_accum(values[first : first + words.size]), column)


def check_plastic(kind: Literal["additive", "multiplicative"], data: Arrays) -> Result:
    """One core with pair STDP; weights and row headers after every step."""
    core, rows, events, tally = core_of(data), rows_of(data), events_of(data), Tally()
    luts = (data["lut_plus"].astype(np.int64), data["lut_minus"].astype(np.int64))
    rule = Rule(kind, *luts, data["stdp_cfg"].astype(np.int64), core.shift, bool(data["stdp_backprop_delay"]))
    posts = Posts(core.words.size)
    plastic = {row: PlasticRow(rows[row], core.ring) for row in data["plastic_row"].tolist()}
    history: dict[str, list[Any]] = {key: [] for key in (*RECORDED, "weights", "pre_time", "pre_trace") if key in data}
    for time in range(int(data["n_steps"])):
        step = recorded(core.step(time))
        posts.spike(rule, time, np.flatnonzero(step["spikes"]))
        for row, lag in events.get(time, []):
            if row in plastic:
                plastic[row].arrive(rule, posts, core.ring, time)
            core.ring.row(time, rows[row].fixed, lag)
        step["weights"] = np.array([padded(row.weight, data["weights"].shape[2]) for row in plastic.values()])
        step["pre_time"] = np.array([row.time for row in plastic.values()])
        step["pre_trace"] = np.array([row.trace for row in plastic.values()])
        for key, kept in history.items():
            kept.append(step[key])
    for key, kept in history.items():
        tally.compare(key, np.array(kept), data[key])
    check_host(data, core.words, "a", 0, tally)
    if "final_row_words" in data:
        tally.compare("final_row_words", rows_after(data, plastic), data["final_row_words"])
    return tally.result()


def rows_after(data: Arrays, plastic: Mapping[int, PlasticRow]) -> npt.NDArray[Any]:
    """Row words with the header and the weights that plastic rows have at the end."""
    words = data["row_words"].astype("<u4")
    for number, row in plastic.items():
        start = int(data["row_offset"][number]) + 1
        words[start : start + 2] = row.time, row.trace & 0xFFFF
        halves = words[start + 2 :].view("<u2")
        halves[: len(row.weight)] = row.weight
    return words


def padded(weights: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    return np.concatenate([weights, np.zeros(size - len(weights), dtype=weights.dtype)])


def check_either(data: Arrays) -> Result:
    """A file whose name does not tell the rule: the one that fits better."""
    return min((check_plastic(kind, data) for kind in KINDS_OF_STDP), key=lambda result: sum(result[1].values()))


def part(data: Arrays, prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}


def check_network(data: Arrays) -> Result:
    """Several cores in lock step, driven by the spikes of the sources alone; packets and float spikes too."""
    cores = [part(data, f"core{k}|") for k in range(int(data["n_cores"]))]
    machine = [core_of(core) for core in cores]
    tables = [by_key(core) for core in cores]
    colour = int(data["colour_bits"])
    steps = int(cores[0]["n_steps"])
    source = source_packets(data, colour)
    tally = Tally()
    history: list[dict[str, list[Any]]] = [{key: [] for key in RECORDED if key in core} for core in cores]
    for time in range(steps):
        packets = list(source.get(time, []))
        for core, emulated, kept in zip(cores, machine, history, strict=True):
            step = recorded(emulated.step(time))
            for key, values in kept.items():
                values.append(step[key])
            if int(core["key"]) >= 0:
                packets += (int(core["key"]) | (np.flatnonzero(step["spikes"]) << colour)).tolist()
        for emulated, table in zip(machine, tables, strict=True):
            for key in packets:
                for row in table.get(key, []):
                    emulated.ring.row(time, row.fixed)
        sent = data["packets"][time]
        tally.compare("packets", sorted(key | (time & 15) for key in packets), np.sort(sent[sent >= 0]))
    for core, kept in zip(cores, history, strict=True):
        for key, values in kept.items():
            tally.compare(key, np.array(values), core[key])
        check_host(data, words_of(core), str(core["label"]), int(core["first_neuron"]), tally)
    if "torch_input" in data:
        compare_with_float(data, cores, [np.array(kept["spikes"]) for kept in history], tally)
    return tally.result()


def by_key(core: Arrays) -> dict[int, list[Row]]:
    table: dict[int, list[Row]] = {}
    for key, row in zip(core["row_key"].tolist(), rows_of(core), strict=True):
        table.setdefault(key, []).append(row)
    return table


def source_packets(data: Arrays, colour: int) -> dict[int, list[int]]:
    packets: dict[int, list[int]] = {}
    for name in {key.split("|")[1] for key in data if key.startswith("source|")}:
        key = int(data[f"source|{name}|key"])
        for time, neuron in data[f"source|{name}|spikes"].tolist():
            packets.setdefault(time, []).append(key | (neuron << colour))
    return packets


def compare_with_float(data: Arrays, cores: list[dict[str, Any]], emulated: list[Any], tally: Tally) -> None:
    """The float net's spikes, L + 1 steps later; slots in which the chip itself differs are left out."""
    steps = len(data["torch_input"])
    for layer, core in enumerate(cores):
        want = data[f"torch_spikes_{core['label']}"]
        window = slice(layer + 1, layer + 1 + steps)
        same = core["spikes"][window] == want
        tally.compare("float_spikes", emulated[layer][window][same], want[same])


def recognise(name: str, data: Arrays) -> Checker | None:
    """What checks this file, or None if it is no recording of a SpiNNaker core."""
    if "lut_plus" in data and "neuron_params" in data:
        named = [kind for kind in KINDS_OF_STDP if kind in name]
        return partial(check_plastic, named[0]) if len(named) == 1 else check_either
    if {"expulr_r", "kdivk_r"} <= set(data):
        return check_primitives
    if "n_cores" in data and "core0|neuron_params" in data:
        return check_network
    if {"neuron_params", "row_words", "event_step"} <= set(data):
        return check_core
    return None
