"""Random small nets through the emulator and through the release programs of SpiNNaker: not one word may differ.

A few nets in every run; ``SNNC_NIGHTLY=1`` (``make nightly``) draws many, other ones each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from snnc.backend import Program
from snnc.ir import Add, Affine, Conv, Edge, Fixed, FixedGraph, Flatten, Format, Graph, Input, Neuron, Node, Readout
from snnc.ladder import EVERYTHING
from snnc.passes.base import run_passes
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc.target import demand
from snnc.trace import Trace
from snnc_reference.execute import execute
from snnc_spinnaker import arith, backend, ring
from snnc_spinnaker.binary.execute import run
from snnc_spinnaker.core import Core
from snnc_spinnaker.quantize import ACCUM
from snnc_spinnaker.target import SPINNAKER1

NIGHTLY = os.environ.get("SNNC_NIGHTLY") == "1"
EXAMPLES = 60 if NIGHTLY else 2


@dataclass(frozen=True)
class Net:
    """What a random net is made from; everything else follows from the seed.

    Attributes:
        seed: of every number.
        conv: the first layer is a convolution.
        hidden: neurons of the first population unless it is a convolution; 0: there is none.
        out: neurons of the last population.
        exp: synapses of the (first, last) population have a filter.
        refractory: of both.
        loops: delays of recurrent layers on the last population.
        density: how many of the weights are not zero.
        saturating: weights are replaced by random words of the full range at this ring shift; None: as lowered.
        wild: start values, rests, resets, offsets and thresholds are random words of the full range.
    """

    seed: int
    conv: bool
    hidden: int
    out: int
    exp: tuple[bool, bool]
    refractory: int
    loops: tuple[int, ...]
    density: float
    saturating: int | None
    wild: bool


NETS = st.builds(
    Net,
    seed=st.integers(0, 2**32 - 1),
    conv=st.booleans(),
    hidden=st.sampled_from((0, 1, 5, 32, 40)),
    out=st.sampled_from((1, 2, 9, 33, 64, 260)),
    exp=st.tuples(st.booleans(), st.booleans()),
    refractory=st.integers(0, 4),
    loops=st.lists(st.integers(1, 17), max_size=3, unique=True).map(tuple),
    density=st.sampled_from((1.0, 0.5, 0.1)),
    saturating=st.none() | st.integers(0, 15),
    wild=st.booleans(),
)
FILTERED = Net(1, False, 12, 20, (True, True), 2, (1, 4, 8), 1.0, 15, False)
PLAIN = Net(2, True, 0, 10, (False, False), 0, (3,), 0.5, None, True)


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home of its own; nothing may be written there."""
    folder: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        yield
    assert not list(folder.iterdir()), "the tools wrote into the user's home"


def cell(rng: np.random.Generator, name: str, shape: tuple[int, ...], net: Net, *, exp: bool) -> Neuron:
    return Neuron(
        name, shape=shape, fires="ge", refractory=net.refractory, reset_v="value",
        decay_v=rng.uniform(0.3, 0.95, shape), decay_u=rng.uniform(0.1, 0.95, shape) if exp else np.array(0.0),
        threshold=rng.uniform(0.7, 1.5, shape), v_reset=rng.uniform(-0.3, 0.3, shape),
        bias=rng.uniform(-0.02, 0.02, shape),
    )  # fmt: skip


def graph_of(net: Net, rng: np.random.Generator) -> Graph:
    def some(*shape: int) -> Any:
        numbers = rng.normal(0.1, 1.5 / np.sqrt(np.prod(shape[1:])), shape)
        found = np.where(rng.random(shape) < net.density, numbers, 0.0)
        found.flat[0] = 1.0
        return found

    nodes: list[Node] = [Input("in", shape=(2, 5, 5) if net.conv else (11,))]
    into = 11
    if net.conv:
        kernel = Conv("k", weight=some(3, 2, 3, 3), stride=(2, 2), padding=(1, 1), dilation=(1, 1))
        nodes += [kernel, cell(rng, "h", (3, 3, 3), net, exp=net.exp[0]), Flatten("flat")]
        into = 27
    elif net.hidden:
        nodes += [Affine("w1", weight=some(net.hidden, 11)), cell(rng, "h", (net.hidden,), net, exp=net.exp[0])]
        into = net.hidden
    nodes += [Affine("w2", weight=some(net.out, into)), Add("sum"), cell(rng, "o", (net.out,), net, exp=net.exp[1])]
    nodes.append(Readout("out"))
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    for delay in net.loops:
        nodes.append(Affine(f"r{delay}", weight=some(net.out, net.out)))
        edges += [Edge("o", f"r{delay}", delay), Edge(f"r{delay}", "sum")]
    return Graph(tuple(nodes), tuple(edges))


def widened(graph: FixedGraph, net: Net, rng: np.random.Generator) -> FixedGraph:
    """The graph with words from the whole range of what the chip can be loaded with."""
    for node in graph.nodes:
        if net.saturating is not None and isinstance(node, (Affine, Conv)):
            assert isinstance(node.weight, Fixed)
            kept = node.weight.raw != 0
            raw = np.where(kept, rng.integers(-65535, 65536, node.weight.shape), 0)
            graph = graph.replace_node(replace(node, weight=Fixed(raw, Format(17, 15 - net.saturating))))
        if net.wild and isinstance(node, Neuron):
            keys = ("v_init", "v_rest", "v_reset", "bias")
            words = {key: Fixed(rng.integers(-(1 << 31), 1 << 31, node.shape), ACCUM) for key in keys}
            words["threshold"] = Fixed(rng.integers(1, 1 << 31, node.shape), ACCUM)
            graph = graph.replace_node(replace(node, **words))
    return graph


@lru_cache(maxsize=4)
def made(net: Net) -> tuple[Program, Any, Trace]:
    """The lowered net, its input, and what the release programs do with it."""
    rng = np.random.default_rng(net.seed)
    graph, _ = run_passes(graph_of(net, rng), SPINNAKER1.prepare)
    demand(graph, SPINNAKER1)
    x = (rng.random((1, int(rng.integers(8, 21)), *graph.inputs[0].shape)) < rng.uniform(0.1, 0.6)).astype(np.int8)
    x[0, 0] = 1
    integers = SPINNAKER1.quantize(graph, Calibration(x, execute(graph, x, EVERYTHING)), QuantizeOptions()).graph
    program = backend.lower(widened(integers, net, rng), SPINNAKER1)
    return program, x, run(program, x, EVERYTHING)


def differences(left: Trace, right: Trace) -> int:
    """How many spikes and state words differ."""
    assert set(left.spikes) == set(right.spikes)
    assert set(left.states) == set(right.states)
    assert left.states
    pairs = [(left.spikes[key], right.spikes[key]) for key in left.spikes]
    pairs += [(left.states[key], right.states[key]) for key in left.states]
    assert all(a.shape == b.shape for a, b in pairs)
    return sum(int(np.count_nonzero(a != b)) for a, b in pairs)


@settings(
    max_examples=EXAMPLES, derandomize=not NIGHTLY, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(net=NETS)
@example(net=FILTERED)
@example(net=PLAIN)
def test_random_nets_on_the_release_programs(net: Net) -> None:
    program, x, theirs = made(net)
    assert differences(backend.run(program, x, EVERYTHING), theirs) == 0


def test_the_fixed_examples_show_something() -> None:
    """Rings saturate in one, every population fires in both."""
    for net in (FILTERED, PLAIN):
        program, x, theirs = made(net)
        assert all(theirs.spikes[node.name].any() for node in program.graph.neurons)
        assert (sum(backend.run(program, x, EVERYTHING).meta["ring_saturations"].values()) > 20) == (net is FILTERED)


def rounded_decay(x: Any, fraction: Any) -> Any:
    return arith.w32((np.asarray(x, np.int64) * np.asarray(fraction, np.int64) + (1 << 31)) >> 32)


def wrapping_add(self: ring.Ring, step: int, delay: int, receptor: int, amounts: Any) -> int:
    self.sums[(step + delay) % self.slots, receptor] += amounts.astype(np.uint16)
    return 0


def late_add(self: ring.Ring, step: int, delay: int, receptor: int, amounts: Any) -> int:
    return ADD(self, step, min(delay + (delay == self.slots - 4), self.slots), receptor, amounts)


def never_refractory(self: Core) -> Any:
    fired = FIRE(self)
    self.wait = np.zeros_like(self.wait)
    return fired


ADD, FIRE = ring.Ring.add, Core._fire
WRONG: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "decays round": (arith, "decay", rounded_decay),
    "rings wrap": (ring.Ring, "add", wrapping_add),
    "one delay is a step longer": (ring.Ring, "add", late_add),
    "no refractory steps": (Core, "_fire", never_refractory),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_emulator_is_noticed(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, x, theirs = made(FILTERED)
    monkeypatch.setattr(*WRONG[wrong])
    assert differences(backend.run(program, x, EVERYTHING), theirs) > 10
