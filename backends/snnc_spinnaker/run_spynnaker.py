"""Runs the network in spynnaker.npz, which lies beside this file, on a SpiNNaker board.

    python run_spynnaker.py INPUT.npz OUTPUT.npz [--states]

Needs sPyNNaker 7.4.1 and NumPy and nothing else, and a configuration that names a board (``~/.spynnaker.cfg``, or
``spynnaker.cfg`` in the folder where it runs). INPUT holds ``spikes`` [B, T, ...] or [T, ...] of 0 and 1. OUTPUT gets
``spikes/<population>`` (and ``states/<population>/v``, ``u_exc`` and ``u_inh`` as raw s16.15 integers) with the same
leading axes, in logical time: step t of every population is step t of the network without the one step that each
connection takes on the chip. On a virtual board (``[Machine] virtual_board = True``) nothing runs; OUTPUT then holds
``mapping``, JSON with the cores and keys that the tools chose.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ONE = 32768.0
NEURON = ("v_init", "v_rest", "cm", "tau_m", "i_offset", "v_reset", "tau_refrac")
STATES = {"v": "v", "u_exc": "gsyn_exc", "u_inh": "gsyn_inh"}


class Sample:
    """One sample on one board, set up from nothing so that no state is left of the sample before."""

    def __init__(
        self, sim: Any, network: Mapping[str, Any], data: Mapping[str, Array], given: Array, states: bool
    ) -> None:
        """Args: given: input spikes [T, n]; states: record membranes and currents too."""
        self.sim, self.network, self.data = sim, network, data
        self.states = STATES if states else {}
        self.steps = len(given)
        # A membrane is recorded before the update of its step, so that the last one needs a step more.
        self.ticks = self.steps + int(network["depth"]) + 1
        self.made: dict[str, Any] = {}
        sim.setup(timestep=1.0)
        for entry in network["sources"]:
            self.made[entry["name"]] = self.source(entry, given)
        for number, entry in enumerate(network["populations"]):
            self.made[entry["name"]] = self.population(entry, number)
        for number, entry in enumerate(network["projections"]):
            self.project(entry, number)

    def source(self, entry: Mapping[str, Any], given: Array) -> Any:
        """A spike source; a spike of step t is sent in tick ``t + start``."""
        start = int(entry["start"])
        if entry["kind"] == "constant":
            times = [[float(t) for t in range(start, self.ticks)] for _ in range(entry["size"])]
        else:
            times = [(np.flatnonzero(column) + float(start)).tolist() for column in given.T]
        if not any(times):
            times[0] = [self.ticks + 1.0]  # sPyNNaker cannot map a source without any spike; this one is never sent
        return self.put(entry, self.sim.SpikeSourceArray(spike_times=times), {})

    def population(self, entry: Mapping[str, Any], number: int) -> Any:
        """Neurons whose parameters become exactly the words in the file: a word / 32768 is exact in a double."""
        words = dict(zip(NEURON, self.data[f"{number}.neuron"].T / ONE, strict=False))
        values = {key: words[key] for key in NEURON[1:]} | {"v_thresh": self.data[f"{number}.threshold"] / ONE}
        kind = self.sim.IF_curr_delta
        if entry["kind"] == "exp":
            kind = self.sim.IF_curr_exp
            synapse = self.data[f"{number}.synapse"] / ONE
            values |= {"tau_syn_E": synapse[:, 0], "tau_syn_I": synapse[:, 2]}
        # Between 2**(shift - 1) and 2**shift, where the tools choose exactly this ring-buffer shift.
        summed = 0.75 * 2.0 ** entry["ring_shift"]
        cell = kind(**{key: column.tolist() for key, column in values.items()})
        made = self.put(entry, cell, {"max_expected_summed_weight": [summed, summed]})
        made.initialize(v=words["v_init"].tolist())
        made.record(["spikes", *self.states.values()])
        return made

    def put(self, entry: Mapping[str, Any], cell: Any, more: dict[str, Any]) -> Any:
        """A population, cut into slices as the file says."""
        if entry["per_core"] < entry["size"]:
            more = {**more, "neurons_per_core": entry["per_core"]}
        return self.sim.Population(entry["size"], cell, label=entry["name"], additional_parameters=more)

    def project(self, entry: Mapping[str, Any], number: int) -> None:
        """Synapses of one receptor and one delay; weights are whole multiples of the ring buffer's unit."""
        weight = self.data[f"{number}.weight"] * 2.0 ** (entry["ring_shift"] - 15)
        columns = [
            self.data[f"{number}.pre"],
            self.data[f"{number}.post"],
            weight,
            np.full(len(weight), entry["delay"]),
        ]
        self.sim.Projection(
            self.made[entry["source"]],
            self.made[entry["target"]],
            self.sim.FromListConnector(np.stack(columns, axis=1).astype(np.float64)),
            receptor_type=("excitatory", "inhibitory")[entry["receptor"]],
            synapse_type=self.sim.StaticSynapse(),
        )

    def recorded(self, entry: Mapping[str, Any]) -> dict[str, Array]:
        """Spikes and states [T, n] of a population, in logical time."""
        made, late = self.made[entry["name"]], int(entry["latency"])
        spikes = np.zeros((self.ticks, entry["size"]), np.int8)
        events = np.asarray(made.spinnaker_get_data("spikes")).reshape(-1, 2)
        spikes[np.rint(events[:, 1]).astype(int), events[:, 0].astype(int)] = 1
        found = {"spikes": spikes[late : late + self.steps]}
        for name, quantity in self.states.items():
            rows = np.asarray(made.spinnaker_get_data(quantity)).reshape(-1, 3)
            raw = np.zeros((self.ticks, entry["size"]), np.int64)
            raw[np.rint(rows[:, 1]).astype(int), rows[:, 0].astype(int)] = np.rint(rows[:, 2] * ONE)
            first = late + (name == "v")
            found[name] = raw[first : first + self.steps]
        return found


def virtual() -> bool:
    """True if the configuration names no real board."""
    config = importlib.import_module("spinn_utilities.config_holder")
    return bool(config.get_config_bool("Machine", "virtual_board"))


def mapping() -> list[dict[str, Any]]:
    """Cores and keys that the tools chose."""
    view = importlib.import_module("spynnaker.pyNN.data").SpynnakerDataView
    infos = view.get_routing_infos()
    found = []
    for place in view.iterate_placemements():
        vertex = place.vertex
        if vertex.app_vertex is not None:
            key, cut = infos.get_single_key_from(vertex), vertex.vertex_slice
            found.append(
                {"population": vertex.app_vertex.label, "first": int(cut.lo_atom), "last": int(cut.hi_atom),
                 "x": int(place.x), "y": int(place.y), "core": int(place.p), "key": None if key is None else int(key)}
            )  # fmt: skip
    return found


def simulate(spikes: Array, states: bool) -> dict[str, Array]:
    """Runs samples [B, T, *shape] one after the other; the arrays of a trace file."""
    with np.load(Path(__file__).with_name("spynnaker.npz"), allow_pickle=False) as file:
        data = dict(file)
    network = json.loads(str(data["network"]))
    sim = importlib.import_module("pyNN.spiNNaker")
    shapes = {entry["name"]: entry["shape"] for entry in (*network["sources"], *network["populations"])}
    kept: dict[str, list[Array]] = {}
    for given in spikes.reshape(*spikes.shape[:2], -1):
        sample = Sample(sim, network, data, given, states)
        sim.run(sample.ticks)
        if virtual():
            found = mapping()
            sim.end()
            return {"mapping": np.array(json.dumps(found))}
        for entry in network["sources"]:
            sent = given if entry["kind"] == "array" else np.ones((len(given), entry["size"]), np.int8)
            kept.setdefault(f"spikes/{entry['name']}", []).append(sent.astype(np.int8))
        for entry in network["populations"]:
            for name, values in sample.recorded(entry).items():
                key = f"spikes/{entry['name']}" if name == "spikes" else f"states/{entry['name']}/{name}"
                kept.setdefault(key, []).append(values)
        sim.end()
    batch = spikes.shape[:2]
    return {key: np.stack(values).reshape(*batch, *shapes[key.split("/")[1]]) for key, values in kept.items()}


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--states", action="store_true", help="record membranes and currents too")
    options = parser.parse_args()
    with np.load(options.input, allow_pickle=False) as file:
        spikes = file["spikes"]
    with np.load(Path(__file__).with_name("spynnaker.npz"), allow_pickle=False) as file:
        sources = json.loads(str(file["network"]))["sources"]
    (shape,) = (entry["shape"] for entry in sources if entry["kind"] == "array")
    batched = spikes.ndim == len(shape) + 2
    found = simulate(spikes if batched else spikes[np.newaxis], options.states)
    if "mapping" not in found:
        found = {key: values if batched else values[0] for key, values in found.items()}
        found["meta"] = np.array(json.dumps({"backend": "spynnaker", "target": "spinnaker1", "batched": batched}))
    np.savez_compressed(options.output, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
