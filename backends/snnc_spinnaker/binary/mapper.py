"""Child process: builds a network with sPyNNaker, maps it on a virtual board and writes down what came out.

Run as ``python -m snnc_spinnaker.binary.mapper FOLDER`` with HOME set to a scratch folder: sPyNNaker reads and writes
its configuration there, and keeps global state that must not leak into the caller's process. Reads ``network.npz`` and
``network.json``, writes ``board.json``; see :mod:`snnc_spinnaker.binary.mapping` for both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CONFIG = """\
[Machine]
virtual_board = True
version = 5
[Mode]
mode = Production
[Reports]
write_network_graph = False
keep_dataspec_database = True
"""
ONE = 32768.0
PARAMETERS = {"c_m": "cm", "tau_m": "tau_m", "i_offset": "i_offset", "v_rest": "v_rest", "v_reset": "v_reset",
              "t_refrac": "tau_refrac"}  # fmt: skip
Arrays = Mapping[str, npt.NDArray[Any]]


def main(folder: Path) -> None:
    """Maps the network of a folder."""
    (folder / ".spynnaker.cfg").write_text(CONFIG, encoding="utf-8")
    from pyNN import spiNNaker as sim  # noqa: N813 - the name that every PyNN script gives it

    wanted = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    with np.load(folder / "network.npz", allow_pickle=False) as data:
        arrays = dict(data)
    sim.setup(timestep=1.0)
    made = {entry["name"]: _source(sim, entry) for entry in wanted["sources"]}
    made |= {entry["name"]: _population(sim, entry, arrays) for entry in wanted["populations"]}
    for entry in wanted["projections"]:
        _project(sim, entry, made, arrays)
    sim.run(wanted["steps"])
    names = {id(population._vertex): name for name, population in made.items()}
    (folder / "board.json").write_text(json.dumps(_board(names)), encoding="utf-8")
    sim.end()


def _source(sim: Any, entry: Mapping[str, Any]) -> Any:
    """A spike source; its real spikes are injected when the board runs, one each keeps the mapper going."""
    cell = sim.SpikeSourceArray(spike_times=[[0.0] for _ in range(entry["size"])])
    more = {"neurons_per_core": entry["per_core"]} if entry["per_core"] < entry["size"] else {}
    return sim.Population(entry["size"], cell, label=entry["name"], additional_parameters=more)


def _population(sim: Any, entry: Mapping[str, Any], arrays: Arrays) -> Any:
    """Neurons whose parameters become the given words: a word / 32768 is exact in a double."""
    words = {key: arrays[f"{entry['id']}.{key}"] / ONE for key in entry["words"]}
    values = {theirs: words[ours] for ours, theirs in PARAMETERS.items()} | {"v_thresh": words["threshold"]}
    kind: Callable[..., Any] = sim.IF_curr_delta
    if entry["kind"] == "exp":
        kind = sim.IF_curr_exp
        values |= {"tau_syn_E": words["tau_exc"], "tau_syn_I": words["tau_inh"]}
    # Between 2**(shift - 1) and 2**shift, where the tools choose exactly this shift.
    summed = 0.75 * 2.0 ** entry["shift"]
    more: dict[str, Any] = {"max_expected_summed_weight": [summed, summed]}
    if entry["per_core"] < entry["size"]:
        more["neurons_per_core"] = entry["per_core"]
    cell = kind(**{key: value.tolist() for key, value in values.items()})
    population = sim.Population(entry["size"], cell, label=entry["name"], additional_parameters=more)
    population.initialize(v=words["v_init"].tolist())
    population.record(["spikes", "v", "gsyn_exc", "gsyn_inh"])
    return population


def _project(sim: Any, entry: Mapping[str, Any], made: Mapping[str, Any], arrays: Arrays) -> None:
    name = entry["id"]
    weight = arrays[f"{name}.weight"] * 2.0 ** (entry["shift"] - 15)
    columns = [arrays[f"{name}.pre"], arrays[f"{name}.post"], weight, np.full(len(weight), float(entry["delay"]))]
    sim.Projection(
        made[entry["source"]],
        made[entry["target"]],
        sim.FromListConnector(np.stack(columns, axis=1)),
        receptor_type=("excitatory", "inhibitory")[entry["receptor"]],
        synapse_type=_synapse(sim, entry["rule"]),
    )


def _synapse(sim: Any, rule: Mapping[str, Any] | None) -> Any:
    if rule is None:
        return sim.StaticSynapse()
    kinds = {"additive": sim.AdditiveWeightDependence, "multiplicative": sim.MultiplicativeWeightDependence}
    timing = sim.SpikePairRule(
        tau_plus=rule["tau_plus"], tau_minus=rule["tau_minus"], A_plus=rule["a_plus"], A_minus=rule["a_minus"]
    )
    bounds = kinds[rule["kind"]](w_min=rule["w_min"], w_max=rule["w_max"])
    return sim.STDPMechanism(timing_dependence=timing, weight_dependence=bounds)


def _board(names: Mapping[int, str]) -> dict[str, Any]:
    """Cores, keys, routes and links."""
    from spynnaker.pyNN.data import SpynnakerDataView as View

    infos = View.get_routing_infos()
    cores = [_core(place, names, infos) for place in View.iterate_placemements() if place.vertex.app_vertex is not None]
    routes = [
        {"x": table.x, "y": table.y, "key": int(entry.key), "mask": int(entry.mask),
         "links": sorted(entry.link_ids), "cores": sorted(entry.processor_ids)}
        for table in View.get_uncompressed().routing_tables for entry in table.multicast_routing_entries
    ]  # fmt: skip
    links = [
        [chip.x, chip.y, link.source_link_id, link.destination_x, link.destination_y]
        for chip in View.get_machine().chips
        for link in chip.router.links
    ]
    return {"cores": cores, "routes": routes, "links": links}


def _core(place: Any, names: Mapping[int, str], infos: Any) -> dict[str, Any]:
    from spynnaker.pyNN.data import SpynnakerDataView as View

    vertex = place.vertex
    key = infos.get_single_key_from(vertex)
    found = {
        "x": place.x, "y": place.y, "p": place.p, "kind": type(vertex).__name__,
        "name": names.get(id(vertex.app_vertex), ""), "label": str(vertex.label),
        "first": int(vertex.vertex_slice.lo_atom), "size": int(vertex.vertex_slice.n_atoms),
        "key": None if key is None else int(key),
        "colour_bits": int(getattr(vertex.app_vertex, "n_colour_bits", 0)),
        "binary": None, "expanders": [], "recording": None,
    }  # fmt: skip
    if hasattr(vertex, "get_binary_file_name"):
        found["binary"] = View.get_executable_path(vertex.get_binary_file_name())
    regions = getattr(type(vertex), "REGIONS", None)
    if regions is not None and hasattr(regions, "RECORDING"):
        found["recording"] = int(regions.RECORDING)
    for made, region, name in (
        ("gen_neurons_on_machine", "neuron_generator_region", "neuron_expander.aplx"),
        ("gen_on_machine", "connection_generator_region", "synapse_expander.aplx"),
    ):
        if hasattr(vertex, made) and getattr(vertex, made)():
            found["expanders"].append([View.get_executable_path(name), int(getattr(vertex, region))])
    return found


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Exception as error:  # whatever the tools raise, the parent shows it in one line
        (Path(sys.argv[1]) / "error.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise
