"""Runs the network in spynnaker.npz (spynnaker_learning.npz), which lies beside this file, on a SpiNNaker board.

    python run_spynnaker.py INPUT.npz OUTPUT.npz [--states]

Needs sPyNNaker 7.4.1 and NumPy and nothing else, and a configuration that names a board (``~/.spynnaker.cfg``, or
``spynnaker.cfg`` in the folder where it runs). INPUT holds ``spikes`` [B, T, ...] or [T, ...] of 0 and 1. OUTPUT gets
``spikes/<population>`` (and ``states/<population>/v``, ``u_exc`` and ``u_inh`` as raw s16.15 integers) with the same
leading axes, in logical time: step t of every population is step t of the network without the one step that each
connection takes on the chip. Where projections learn (STDP), all samples are one run with silent steps between them,
and OUTPUT also gets ``weights/<projection>`` [post, pre] as they are in the end, in the unit of the network before it
was compiled. On a virtual board (``[Machine] virtual_board = True``) nothing runs; OUTPUT then holds
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
DATA = Path(__file__).with_name(Path(__file__).stem.removeprefix("run_") + ".npz")
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
        # A membrane is recorded before the update of its step, so that the last one needs a step more; a pause has it.
        self.ticks = len(given) + (0 if network["pause"] else int(network["depth"]) + 1)
        self.made: dict[str, Any] = {}
        sim.setup(timestep=1.0)
        for entry in network["sources"]:
            self.made[entry["name"]] = self.source(entry, given)
        for number, entry in enumerate(network["populations"]):
            self.made[entry["name"]] = self.population(entry, number)
        self.projected = [self.project(entry, number) for number, entry in enumerate(network["projections"])]

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

    def project(self, entry: Mapping[str, Any], number: int) -> Any:
        """Synapses of one receptor and one delay; weights are whole multiples of the ring buffer's unit."""
        weight = self.data[f"{number}.weight"] * 2.0 ** (entry["ring_shift"] - 15)
        columns = [
            self.data[f"{number}.pre"],
            self.data[f"{number}.post"],
            weight,
            np.full(len(weight), entry["delay"]),
        ]
        return self.sim.Projection(
            self.made[entry["source"]],
            self.made[entry["target"]],
            self.sim.FromListConnector(np.stack(columns, axis=1).astype(np.float64)),
            receptor_type=("excitatory", "inhibitory")[entry["receptor"]],
            synapse_type=self.synapse(entry["rule"]),
        )

    def synapse(self, rule: Mapping[str, Any] | None) -> Any:
        """Static, or pair STDP. Amplitudes of additive STDP are in nA here, not parts of w_max as elsewhere in PyNN."""
        sim = self.sim
        if rule is None:
            return sim.StaticSynapse()
        kinds = {"additive": sim.AdditiveWeightDependence, "multiplicative": sim.MultiplicativeWeightDependence}
        timing = sim.SpikePairRule(**{key: rule[key] for key in ("tau_plus", "tau_minus", "A_plus", "A_minus")})
        bounds = kinds[rule["kind"]](w_min=rule["w_min"], w_max=rule["w_max"])
        return sim.STDPMechanism(timing_dependence=timing, weight_dependence=bounds)

    def learned(self) -> dict[str, Array]:
        """Weights [post, pre] of projections that learn, as they are now in the board's memory."""
        found = {}
        for entry, made in zip(self.network["projections"], self.projected, strict=True):
            rule = entry["rule"]
            if rule is not None:
                rows = np.array([tuple(row) for row in made.get(["weight"], format="list")])
                words = np.zeros(rule["shape"])
                steps = np.rint(rows[:, 2] * 2.0 ** (15 - entry["ring_shift"]))
                words[rows[:, 1].astype(int), rows[:, 0].astype(int)] = steps
                found[f"weights/{rule['name']}"] = words * rule["unit"]
        return found

    def recorded(self, entry: Mapping[str, Any], begin: int, steps: int) -> dict[str, Array]:
        """Spikes and states [T, n] of a population, in logical time; ``begin`` is the tick of its first step."""
        made, late = self.made[entry["name"]], begin + int(entry["latency"])
        spikes = np.zeros((self.ticks, entry["size"]), np.int8)
        events = np.asarray(made.spinnaker_get_data("spikes")).reshape(-1, 2)
        spikes[np.rint(events[:, 1]).astype(int), events[:, 0].astype(int)] = 1
        found = {"spikes": spikes[late : late + steps]}
        for name, quantity in self.states.items():
            rows = np.asarray(made.spinnaker_get_data(quantity)).reshape(-1, 3)
            raw = np.zeros((self.ticks, entry["size"]), np.int64)
            raw[np.rint(rows[:, 1]).astype(int), rows[:, 0].astype(int)] = np.rint(rows[:, 2] * ONE)
            first = late + (name == "v")
            found[name] = raw[first : first + steps]
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
    with np.load(DATA, allow_pickle=False) as file:
        data = dict(file)
    network = json.loads(str(data["network"]))
    sim = importlib.import_module("pyNN.spiNNaker")
    shapes = {entry["name"]: entry["shape"] for entry in (*network["sources"], *network["populations"])}
    kept: dict[str, list[Array]] = {}
    batch, steps = spikes.shape[:2]
    flat = spikes.reshape(batch, steps, -1)
    pause = int(network["pause"])
    # What learns goes on from sample to sample, so that there is one board for all of them.
    boards = list(flat)
    if pause:
        boards = [np.pad(flat, ((0, 0), (0, pause), (0, 0))).reshape(batch * (steps + pause), -1)]
    weights: dict[str, Array] = {}
    for given in boards:
        sample = Sample(sim, network, data, given, states)
        sim.run(sample.ticks)
        if virtual():
            found = mapping()
            sim.end()
            return {"mapping": np.array(json.dumps(found))}
        for begin in range(0, len(given), steps + pause):
            for entry in network["sources"]:
                sent = given[begin : begin + steps]
                sent = sent if entry["kind"] == "array" else np.ones((steps, entry["size"]))
                kept.setdefault(f"spikes/{entry['name']}", []).append(sent.astype(np.int8))
            for entry in network["populations"]:
                for name, values in sample.recorded(entry, begin, steps).items():
                    key = f"spikes/{entry['name']}" if name == "spikes" else f"states/{entry['name']}/{name}"
                    kept.setdefault(key, []).append(values)
        weights |= sample.learned()
        sim.end()
    traces = {key: np.stack(values).reshape(batch, steps, *shapes[key.split("/")[1]]) for key, values in kept.items()}
    return {**traces, **weights}


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--states", action="store_true", help="record membranes and currents too")
    options = parser.parse_args()
    with np.load(options.input, allow_pickle=False) as file:
        spikes = file["spikes"]
    with np.load(DATA, allow_pickle=False) as file:
        sources = json.loads(str(file["network"]))["sources"]
    (shape,) = (entry["shape"] for entry in sources if entry["kind"] == "array")
    batched = spikes.ndim == len(shape) + 2
    found = simulate(spikes if batched else spikes[np.newaxis], options.states)
    if "mapping" not in found:
        alone = {key: values for key, values in found.items() if key.startswith("weights/")}
        found = {key: values if batched else values[0] for key, values in found.items()} | alone
        found["meta"] = np.array(json.dumps({"backend": "spynnaker", "target": "spinnaker1", "batched": batched}))
    np.savez_compressed(options.output, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
