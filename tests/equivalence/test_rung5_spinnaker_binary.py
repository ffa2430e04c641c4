"""Rung 5, strongest form: the unmodified release programs of SpiNNaker against our emulator, word for word."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
import torch

from snnc.backend import Program
from snnc.errors import SnncError
from snnc.ir import Add, Affine, Edge, Fixed, Format, Graph, Input, Neuron, Node, Readout
from snnc.ladder import EVERYTHING
from snnc.passes.base import run_passes
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc.target import demand
from snnc.trace import Trace
from snnc_reference.execute import execute
from snnc_spinnaker import backend
from snnc_spinnaker.binary import mapping
from snnc_spinnaker.binary.board import SOURCE, Board, Router
from snnc_spinnaker.binary.core import Core
from snnc_spinnaker.binary.execute import run
from snnc_spinnaker.core import Core as EmulatedCore
from snnc_spinnaker.network import Projection
from snnc_spinnaker.quantize import ACCUM
from snnc_spinnaker.rows import Row
from snnc_spinnaker.stdp import PlasticRow, Posts, Rule
from snnc_spinnaker.stdp_config import Pair, device_rule
from snnc_spinnaker.target import SPINNAKER1

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test; nothing may be written there."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def lowered(graph: Graph, x: Any) -> Program:
    graph, _ = run_passes(graph, SPINNAKER1.prepare)
    demand(graph, SPINNAKER1)
    calibration = Calibration(x, execute(graph, x, EVERYTHING))
    return backend.lower(SPINNAKER1.quantize(graph, calibration, QuantizeOptions()).graph, SPINNAKER1)


def spikes(rng: np.random.Generator, batch: int, steps: int, size: int) -> Any:
    return (rng.random((batch, steps, size)) < 0.3).astype(np.int8)


def lif(name: str, size: int, **changed: Any) -> Neuron:
    return Neuron(name, shape=(size,), **{"decay_v": np.array(0.9), "fires": "ge", **changed})


def weights(rng: np.random.Generator, name: str, out: int, into: int) -> Affine:
    return Affine(name, weight=rng.normal(0.05, 1.5 / np.sqrt(into), (out, into)))


def chain(nodes: list[Node], *more: Edge, beside: tuple[Node, ...] = ()) -> Graph:
    row = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return Graph((*nodes, *beside), (*row, *more))


def differences(left: Trace, right: Trace) -> dict[Any, int]:
    """Spikes and states that differ, by what they are; both traces hold the same, of the same type and shape."""
    assert set(left.spikes) == set(right.spikes)
    assert set(left.states) == set(right.states)
    pairs: dict[Any, Any] = {key: (left.spikes[key], right.spikes[key]) for key in left.spikes}
    pairs |= {key: (left.states[key], right.states[key]) for key in left.states}
    assert all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs.values())
    return {key: n for key, (a, b) in pairs.items() if (n := int(np.count_nonzero(a != b)))}


def emulated(program: Program, x: Any) -> Trace:
    return backend.run(program, x, EVERYTHING)


def executed(program: Program, x: Any) -> Trace:
    return backend.executors["binary"](program, x, EVERYTHING)


@pytest.fixture(scope="module")
def digits() -> tuple[Program, Any]:
    """The digits network of the demo, and five held-out samples."""
    sys.path.insert(0, str(MODELS))
    try:
        script = load("digits_mlp")
        model, calibration, held_out = script.build(), script.example(), script.held_out()
    finally:
        sys.path.remove(str(MODELS))
    matrices = [layer.weight.detach().numpy() for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert [m.shape for m in matrices] == [(64, 64), (10, 64)]
    nodes = [Input("in", shape=(64,)), Affine("w1", weight=matrices[0]), lif("h", 64, fires="gt"),
             Affine("w2", weight=matrices[1]), lif("o", 10, fires="gt"), Readout("out")]  # fmt: skip
    return lowered(chain(nodes), calibration["spikes"]), held_out["spikes"][:5]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, MODELS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def two_cores() -> tuple[Program, Any]:
    """300 recurrent neurons with synaptic filters, refractory time, two delays and a bias: two cores that talk."""
    rng = np.random.default_rng(5)
    cell = lif("h", 300, decay_u=rng.uniform(0.2, 0.9, 300), refractory=1, reset_v="value", v_reset=np.array(-0.1),
               bias=rng.normal(0, 0.02, 300), threshold=np.array(1.5))  # fmt: skip
    nodes = [Input("in", shape=(20,)), weights(rng, "w", 300, 20), Add("sum"), cell, Readout("out")]
    loops = (weights(rng, "r1", 300, 300), weights(rng, "r4", 300, 300))
    more = (Edge("h", "r1", 1), Edge("r1", "sum"), Edge("h", "r4", 4), Edge("r4", "sum"))
    x = spikes(rng, 1, 14, 20)
    return lowered(chain(nodes, *more, beside=loops), x), x


def test_digits_on_the_release_programs(digits: tuple[Program, Any], home: Path) -> None:
    program, x = digits
    trace = executed(program, x)
    assert {shape[:2] for shape in (a.shape for a in trace.spikes.values())} == {(5, 16)}
    assert trace.meta["executor"] == "binary"
    assert trace.meta["cores"] == 2
    assert trace.spikes["h"].sum() > 100
    assert trace.spikes["o"].any()
    assert len(trace.states) == 6
    assert not differences(emulated(program, x), trace)
    assert not list(home.iterdir()), "the tools wrote into the user's home"


def test_every_sample_starts_afresh(digits: tuple[Program, Any]) -> None:
    program, x = digits
    alone, together = executed(program, x[3:4]), executed(program, x[2:4])
    assert np.array_equal(alone.states["h", "v"][0], together.states["h", "v"][1])
    assert not np.array_equal(together.states["h", "v"][0], together.states["h", "v"][1])


def test_one_weight_more_is_noticed(digits: tuple[Program, Any]) -> None:
    """The control: the emulator with one weight one unit larger is not what the release programs do."""
    program, x = digits
    trace = executed(program, x)
    node = program.graph["w1"]
    assert isinstance(node, Affine)
    assert isinstance(node.weight, Fixed)
    into = int(np.argmax(x.sum(axis=(0, 1))))
    raw = np.array(node.weight.raw)
    raw[0, into] += 1
    changed = program.graph.replace_node(replace(node, weight=Fixed(raw, node.weight.format)))
    found = differences(emulated(backend.lower(changed, SPINNAKER1), x), trace)
    assert found["h", "v"] > 10
    assert ("h", "u_exc") in found or ("h", "u_inh") in found


def test_two_cores_that_talk(two_cores: tuple[Program, Any]) -> None:
    program, x = two_cores
    trace = executed(program, x)
    assert trace.meta["cores"] == 2
    fired = trace.spikes["h"].any(axis=(0, 1))
    assert fired[:256].sum() > 50
    assert fired[256:].sum() > 10
    assert not differences(emulated(program, x), trace)


def test_a_lost_route_between_the_cores_is_noticed(two_cores: tuple[Program, Any]) -> None:
    program, x = two_cores
    spec = mapping.mapped(program.data, x.shape[1] + program.graph.depth + 1)
    talk = next(core for core in spec.cores if core.first == 256)
    routes = {chip: tuple(r for r in table if talk.key is None or talk.key & r.mask != r.key)
              for chip, table in spec.routes.items()}  # fmt: skip
    broken = replace(spec, routes=routes)
    emitted = {"in": np.ones((spec.steps, 20), dtype=bool)}
    with pytest.raises(SnncError, match="has no route on chip"):
        Board(broken, Router(broken)).run(emitted)


def test_saturating_rings_and_wrapping_states() -> None:
    """Weights, resets and thresholds from the ends of their ranges, with the smallest and the largest ring shift."""
    rng = np.random.default_rng(0)
    nodes = [Input("in", shape=(9,)), weights(rng, "w0", 16, 9), lif("h", 16, decay_u=rng.uniform(0.1, 0.95, 16)),
             weights(rng, "w15", 16, 16), lif("o", 16, decay_u=rng.uniform(0.1, 0.95, 16)), Readout("out")]  # fmt: skip
    x = spikes(rng, 2, 20, 9)
    graph = lowered(chain(nodes), x).graph
    for name, shift in (("w0", 0), ("w15", 15)):
        layer = graph[name]
        assert isinstance(layer, Affine)
        raw = rng.integers(-65535, 65536, layer.weight.shape)
        graph = graph.replace_node(replace(layer, weight=Fixed(raw, Format(17, 15 - shift))))
    for cell in graph.neurons:
        wild = {key: rng.integers(-(1 << 31), 1 << 31, 16) for key in ("v_init", "v_rest", "v_reset", "bias")}
        wild["threshold"] = rng.integers(1, 1 << 31, 16)
        words = {key: Fixed(raw, ACCUM) for key, raw in wild.items()}
        graph = graph.replace_node(replace(cell, **words, reset_v="value", refractory=3))
    program = backend.lower(graph, SPINNAKER1)
    trace = emulated(program, x)
    assert min(trace.meta["ring_saturations"].values()) > 20
    assert trace.spikes["h"].any()
    assert trace.spikes["o"].any()
    assert not differences(trace, executed(program, x))


def test_a_program_that_does_not_come_to_rest_is_stopped(digits: tuple[Program, Any]) -> None:
    program, x = digits
    with pytest.raises(SnncError, match=r"core 0,0,\d+ \(h from neuron 0\).* stopped at pc 0x.*more than 500 instr"):
        run(program, x, EVERYTHING, limit=500)


def test_a_program_that_traps_is_explained(digits: tuple[Program, Any]) -> None:
    program, x = digits
    spec = mapping.mapped(program.data, x.shape[1] + program.graph.depth + 1)
    core = next(core for core in spec.cores if core.kind != SOURCE)
    without = {number: region for number, region in core.regions.items() if number != 2}
    with pytest.raises(SnncError, match=r"core 0,0,\d+ .*IF_curr_delta\.aplx stopped at pc 0x\w+ \(lr 0x\w+\): "):
        Core(replace(core, regions=without), spec.steps)


def test_missing_tools_are_named(digits: tuple[Program, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = digits
    mapping.mapped.cache_clear()
    monkeypatch.setattr(mapping, "find_spec", lambda name: None if name == "unicorn" else object())
    with pytest.raises(SnncError, match=r"needs the Python package unicorn\. Install .*snnc\[spinnaker\]"):
        executed(program, x)


def test_a_network_that_the_tools_refuse_is_explained(digits: tuple[Program, Any]) -> None:
    program, x = digits
    projection = program.data.projections[0]
    far = replace(projection, delay=1 << 20)
    machine = replace(program.data, projections=(far, *program.data.projections[1:]))
    with pytest.raises(SnncError, match="sPyNNaker cannot map the network on a virtual board: "):
        executed(replace(program, data=machine), x)


def stdp_net(rng: np.random.Generator, delay: int = 3) -> tuple[Program, Any, int]:
    """280 neurons on two cores with sparse recurrent weights; returns the number of the projection that learns."""
    cell = lif("h", 280, decay_u=np.array(0.6), threshold=np.array(1.2))
    loop = weights(rng, "r", 280, 280)
    sparse = Affine("r", weight=np.where(rng.random((280, 280)) < 0.05, np.abs(loop.weight) * 2, 0.0))
    nodes = [Input("in", shape=(20,)), weights(rng, "w", 280, 20), Add("sum"), cell, Readout("out")]
    x = spikes(rng, 1, 14, 20)
    program = lowered(chain(nodes, Edge("h", "r", delay), Edge("r", "sum"), beside=(sparse,)), x)
    return program, x, next(n for n, p in enumerate(program.data.projections) if p.source == "h")


class Half:
    """One core of the learning network in our emulator: its neurons, static rows and plastic rows."""

    def __init__(self, program: Program, learning: int, rule: Rule, first: int, last: int) -> None:
        (population,) = program.data.populations
        self.core = EmulatedCore(population.words.sliced(first, last), rule.shift, population.layout)
        self.first, self.last, self.rule = first, last, rule
        self.posts = Posts(last - first)
        self.static = [p for n, p in enumerate(program.data.projections) if n != learning]
        self.plastic = {pre: self._row(program.data.projections[learning], pre) for pre in range(280)}

    def _row(self, projection: Projection, pre: int) -> PlasticRow:
        links, layout = projection.links, self.core.ring.layout
        mine = (links.pre == pre) & (links.post >= self.first) & (links.post < self.last)
        weight, post = links.weight[mine].astype("<u2"), links.post[mine] - self.first
        delay = projection.delay % (1 << layout.delay_bits)
        controls = delay << (layout.neuron_bits + layout.type_bits) | projection.receptor << layout.neuron_bits | post
        words = np.concatenate([np.zeros(4, "<u2"), weight, np.zeros(len(weight) % 2, "<u2")]).view("<u4")
        return PlasticRow(Row(np.zeros(0, np.int64), words, controls), self.core.ring)

    def step(self, time: int) -> Any:
        step = self.core.step(time)
        self.posts.spike(self.rule, time, np.flatnonzero(step.spikes[0]))
        return step

    def packets(self, time: int, sent: dict[str, Any]) -> None:
        for p in self.static:
            amount = p.links.deliver(sent[p.source])[np.newaxis, self.first : self.last].astype(np.int64)
            self.core.ring.add(time, p.delay, p.receptor, amount)
        for pre in np.flatnonzero(sent["h"]):
            if len(self.plastic[pre].weight):
                self.plastic[pre].arrive(self.rule, self.posts, self.core.ring, time)


def learned(program: Program, x: Any, learning: int, kind: Literal["additive", "multiplicative"]) -> tuple[Any, ...]:
    """What the release programs record with STDP, their board, and the same network in our emulator."""
    (population,) = program.data.populations
    w_max = float(program.data.projections[learning].links.weight.max()) * 2.0 ** (population.ring_shift - 15) * 1.25
    a_plus, a_minus = (w_max / 16, w_max / 20) if kind == "additive" else (0.0625, 0.05)
    settings = mapping.Plasticity(learning, kind, 5.0, 8.0, a_plus, a_minus, w_max)
    emitted = np.concatenate([x[0], np.zeros((2, 20), x.dtype)]) != 0
    spec = mapping.mapped(program.data, len(emitted), (settings,))
    names = {core.binary.name for core in spec.cores if core.kind != SOURCE and core.binary is not None}
    assert names == {f"IF_curr_exp_stdp_mad_pair_{kind}.aplx"}
    board = Board(spec, Router(spec))
    recorded = board.run({"in": emitted})["h"]
    pair = Pair(kind, 5.0, 8.0, 0.0, w_max, **{"absolute" if kind == "additive" else "relative": (a_plus, a_minus)})
    rule = device_rule(pair, population.ring_shift, program.data.projections[learning].links.weight)
    halves = [Half(program, learning, rule, 0, 256), Half(program, learning, rule, 256, 280)]
    return emitted, board, recorded, halves


def unlike(emitted: Any, recorded: Any, halves: list[Half]) -> dict[str, int]:
    """Values that differ between the release programs and the emulator, which runs here."""
    wrong = dict.fromkeys(("v", "exc", "inh", "spikes"), 0)
    for time, given in enumerate(emitted):
        made = [half.step(time) for half in halves]
        for key, theirs in zip(wrong, ("v", "u_exc", "u_inh", "spikes"), strict=True):
            want = np.concatenate([getattr(step, key)[0] for step in made])
            wrong[key] += int(np.count_nonzero(recorded[theirs][time] != want))
        sent = {"h": np.concatenate([step.spikes[0] for step in made]), "in": given}
        for half in halves:
            half.packets(time, sent)
    return {key: count for key, count in wrong.items() if count}


def moved_alike(program: Program, learning: int, board: Board, halves: list[Half]) -> int:
    """How many weights learning moved; demands that every one is the same in the programs' memory."""
    moved = 0
    cores = sorted((core for core in board.cores.values()), key=lambda core: core.spec.first)
    for half, core in zip(halves, cores, strict=True):
        for pre, row in half.plastic.items():
            sender = cores[pre >= 256].spec
            assert sender.key is not None
            rows = core.synapses(sender.key | pre - sender.first << sender.colour_bits)
            found = {int(c) & 0xFF: int(w) for r in rows for c, w in zip(r.controls, r.weights, strict=True)}
            assert found == dict(zip(row.neuron.tolist(), row.weight.tolist(), strict=True))
            moved += int(np.count_nonzero(row.weight != half._row(program.data.projections[learning], pre).weight))
    return moved


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_two_cores_that_learn(kind: Literal["additive", "multiplicative"]) -> None:
    program, x, learning = stdp_net(np.random.default_rng(11))
    emitted, board, recorded, halves = learned(program, x, learning, kind)
    assert not unlike(emitted, recorded, halves)
    assert moved_alike(program, learning, board, halves) > 200


def test_a_learning_synapse_with_the_longest_delay_is_never_heard() -> None:
    """2**D steps are stored as 0: a static synapse means 2**D by it, but a plastic one is dropped by the program."""
    program, x, learning = stdp_net(np.random.default_rng(11), delay=2)
    emitted, board, recorded, halves = learned(program, x, learning, "additive")
    assert recorded["spikes"].any()
    assert not unlike(emitted, recorded, halves)
    assert moved_alike(program, learning, board, halves) > 200


def test_a_learning_synapse_that_is_heard_after_the_longest_delay_is_noticed() -> None:
    """The control: were 0 read as 2**D, as for static synapses, currents would differ."""
    program, x, learning = stdp_net(np.random.default_rng(11), delay=2)
    emitted, _, recorded, halves = learned(program, x, learning, "additive")
    for half in halves:
        for row in half.plastic.values():
            row.delay = row.delay + half.core.ring.slots
    assert unlike(emitted, recorded, halves)["exc"] > 10
