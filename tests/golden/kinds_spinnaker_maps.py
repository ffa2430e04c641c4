"""Replays PACMAN's answers (partition, keys, cores, routes, regions) and py-spinnaker2's LIF.

Of ``mapping_reference.json`` are compared: every slice with its chip and core, every key and mask, the sizes of the
six regions that follow from the network alone, and the routers: line by line where all is on one chip, else by the
cores to which each key is delivered, because our routes go another way over several chips. Not comparable: SDRAM
totals (they hold recording buffers for the length of a run), the sizes of connection lists (their weights are not in
the file) and the wording of ``routing_summary``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from golden_base import Data, Kind, Tally

from snnc.ir import Affine, Edge, Graph, Input, Neuron
from snnc.trace import Probes
from snnc_reference.execute import execute
from snnc_spinnaker import spinnaker2
from snnc_spinnaker.placement import Link, Slice, Vertex, extension, place
from snnc_spinnaker.placement_board import LINKS, Chip
from snnc_spinnaker.placement_demand import region_bytes
from snnc_spinnaker.placement_routes import route
from snnc_spinnaker.spinnaker2_run import Synapses, run

ONE_TO_ONE = frozenset((k, k) for k in range(4))
Routes = list[tuple[Chip, int, int, int]]


@dataclass(frozen=True)
class Net:
    """A network of the file; tables: population -> (sources, matrices) on each of its cores."""

    vertices: tuple[Vertex, ...]
    links: tuple[Link, ...]
    tables: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def late(source: Vertex, longest: int, reach: int) -> Vertex:
    found = extension(source, longest, reach)
    assert found is not None
    return found


SHORT = Vertex("inp", 4, 4)
NETS = {
    "stdp_small": Net(
        (Vertex("inp", 100, 100), Vertex("hid", 200, 64), Vertex("out", 10, 10)),
        (Link("inp", "hid"), Link("hid", "hid", ONE_TO_ONE), Link("hid", "out")),
        {"hid": (2, 3), "out": (1, 2)},
    ),
    "mlp_784_512_512_10_at_16_per_core": Net(
        (Vertex("in", 784, 64), Vertex("l1", 512, 16), Vertex("l2", 512, 16), Vertex("l3", 10, 10)),
        (Link("in", "l1"), Link("l1", "l2"), Link("l2", "l3")),
        {"l1": (1, 2), "l2": (1, 2), "l3": (1, 2)},
    ),
    "recurrent_300": Net(
        (Vertex("inp", 50, 50), Vertex("a", 300, 256)), (Link("inp", "a"), Link("a", "a")), {"a": (2, 3)}
    ),
    "delay_extension": Net(
        (SHORT, Vertex("a", 256, 256), late(SHORT, 100, 32)),
        (Link("inp", "a"), Link("inp", "inp_delayed"), Link("inp_delayed", "a")),
        {"a": (2, 2)},
    ),
}


def mapping(data: Data, tally: Tally) -> None:
    for name, net in NETS.items():
        want = data[name]
        slices = place(net.vertices, net.links)
        numbers = {vertex.name: number for number, vertex in enumerate(net.vertices)}
        ours = [[numbers[s.vertex], s.first, s.last, *s.chip, s.core] for s in slices]
        theirs = [[numbers.get(row[0], -1), *row[1:]] for row in want["placements"]]
        tally.same(f"{name} placements", ours, theirs)
        keys = [[s.first, s.last, s.key, s.mask] for s in slices if s.key is not None]
        tally.same(f"{name} keys", keys, [row[1:] for row in want["machine_keys"]])
        routers(name, net, slices, want["routing_tables"], tally)
        regions(name, net, slices, want["region_bytes"], tally)


def routers(name: str, net: Net, slices: tuple[Slice, ...], tables: Any, tally: Tally) -> None:
    made = route(net.vertices, net.links, slices)
    ours: Routes = [(e.chip, e.key, e.mask, e.route) for e in made.entries]
    theirs: Routes = [((t["x"], t["y"]), *entry[:3]) for t in tables for entry in t["entries"]]
    if len(tables) == 1:
        tally.same(f"{name} routing table", [row[1:] for row in ours], [row[1:] for row in theirs])
    want = [delivered(theirs, s.chip, s.key) for s in slices if s.key is not None]
    got = [delivered(ours, s.chip, s.key) for s in slices if s.key is not None]
    tally.same(f"{name} deliveries", np.concatenate(got), np.concatenate(want))


def delivered(tables: Routes, chip: Chip, key: int) -> Any:
    """Chip and core of everybody who hears a key that is sent on a chip, sorted, with the key in front."""
    found, waiting = [], [chip]
    while waiting:
        x, y = waiting.pop()
        (line,) = [way for at, base, mask, way in tables if at == (x, y) and key & mask == base]
        found += [(x, y, core) for core in range(18) if line >> (len(LINKS) + core) & 1]
        waiting += [(x + dx, y + dy) for link, (dx, dy) in enumerate(LINKS) if line >> link & 1]
    return np.array([key, *np.array(sorted(found)).ravel()])


def regions(name: str, net: Net, slices: tuple[Slice, ...], rows: Any, tally: Tally) -> None:
    want = {(x, y, core, region): size for x, y, core, _, region, size in rows}
    for part in slices:
        if part.vertex in net.tables:
            for region, size in region_bytes("exp", part.size, *net.tables[part.vertex]).items():
                tally.same(f"{name} {part.label} {region}", [size], [want[(*part.chip, part.core, region)]])


def lif_of_spinnaker2(data: Data, tally: Tally) -> None:
    """The file's v is that of Brian2 in float64 with the chip's integers; the chip's float32 is held to a tolerance."""
    tau, dt, scale = (float(data[key]) for key in ("tau", "dt", "v_scale"))
    cell = spinnaker2.lif(tau, tau / dt, float(data["threshold_scaled"]) / scale, dt=dt, scale=scale,
                          integrator="forward")  # fmt: skip
    tally.same("alpha_decay", [cell.alpha_decay], [float(data["alpha_decay"])], 1e-15)
    tally.same("threshold_scaled", [cell.threshold], [float(data["threshold_scaled"])], 1e-12)
    weight = spinnaker2.integer_weights(np.array([[1.0]]), scale, delays=False)
    tally.same("weight_int", weight.ravel(), [int(data["weight_int"])])
    spikes = np.asarray(data["input_spikes"])[np.newaxis, :, np.newaxis]
    decay = float(np.float32(cell.alpha_decay))
    node = Neuron("n", shape=(1,), decay_v=np.array(decay), threshold=np.array(cell.threshold))
    graph = Graph((Input("in", (1,)), Affine("w", weight.astype(np.float64)), node), (Edge("in", "w"), Edge("w", "n")))
    trace = execute(graph, spikes, Probes("all", "all"))
    tally.same("v", trace.states["n", "v"].ravel() / scale, data["v"], 1e-15)
    tally.same("out_spikes", trace.spikes["n"].ravel(), data["out_spikes"])
    cells = {"n": (spinnaker2.hard(cell, 0.0, scale), 1)}
    fired, v = run(cells, [Synapses("in", "n", weight)], {"in": spikes})["n"]
    allowed = spinnaker2.tolerance(cell, cell.threshold, spikes.shape[1]) / scale
    tally.same("v in float32", v[0, 1:, 0].astype(np.float64) / scale, data["v"][:-1], allowed)
    tally.same("out_spikes in float32", fired[0, 1:, 0], data["out_spikes"][:-1])


KINDS = (
    Kind("spinnaker mapping", frozenset(NETS), mapping),
    Kind("spinnaker2 lif", frozenset({"weight_int", "v_scale", "out_spikes"}), lif_of_spinnaker2),
)
