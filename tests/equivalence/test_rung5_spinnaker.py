"""Rung 5: the SpiNNaker emulator against the reference, bit for bit, and the float network it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Delay,
    Edge,
    Fixed,
    FixedGraph,
    Flatten,
    Format,
    Graph,
    Input,
    Neuron,
    Node,
    Pool,
    Readout,
)  # fmt: skip
from snnc.passes import run_passes
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions
from snnc.target import demand
from snnc.testing import Conformance
from snnc.trace import Probes, Trace, load_npz
from snnc_reference.execute import execute
from snnc_spinnaker import arith, backend
from snnc_spinnaker.core import Core
from snnc_spinnaker.quantize import ACCUM
from snnc_spinnaker.target import SPINNAKER1

VECTORS = Path(__file__).resolve().parents[1] / "golden" / "vectors"
EVERYTHING = Probes("all", "all")
Edges = tuple[Edge, ...]


class TestSpinnaker(Conformance):
    """The suite that every back end takes."""

    backend = "spinnaker"
    unsupported = {
        "spinnaker1/soft_reset": "V is set to V_reset, nothing is subtracted",
        "delayed_reset": "V is reset in the step of the spike",
        "max_pool": "a maximum is no sum of weights",
        "reset_u": "synaptic currents outlive a spike",
        "spinnaker1/non_leaky": "tau_m ends at 32768 steps",
        "spinnaker2/refractory": "nothing says what t_refrac holds still",
        "direct*": "the input is spikes; a bias per sample is not programmed",
    }


def spikes(rng: np.random.Generator, *shape: int, batch: int = 3, steps: int = 25, rate: float = 0.3) -> Any:
    return (rng.random((batch, steps, *shape)) < rate).astype(np.int8)


def quantized(graph: Graph, x: Any, options: QuantizeOptions | None = None) -> Quantized:
    graph, _ = run_passes(graph, SPINNAKER1.prepare)
    demand(graph, SPINNAKER1)
    trace = execute(graph, x, EVERYTHING)
    return SPINNAKER1.quantize(graph, Calibration(x, trace), options or QuantizeOptions())


def emulate(graph: FixedGraph, x: Any) -> Trace:
    return backend.run(backend.lower(graph, SPINNAKER1), x, EVERYTHING)


def differences(graph: FixedGraph, x: Any) -> dict[Any, int]:
    """Spikes and states that differ between emulator and reference, by what they are."""
    left, right = execute(graph, x, EVERYTHING), emulate(graph, x)
    assert set(left.spikes) == set(right.spikes)
    assert set(left.states) == set(right.states)
    pairs = {**{key: (left.spikes[key], right.spikes[key]) for key in left.spikes},
             **{key: (left.states[key], right.states[key]) for key in left.states}}  # fmt: skip
    assert all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs.values())
    return {key: n for key, (a, b) in pairs.items() if (n := int(np.count_nonzero(a != b)))}


def lif(name: str, *shape: int, **changed: Any) -> Neuron:
    return Neuron(name, shape=shape, **{"decay_v": np.array(0.9), "fires": "ge", **changed})


def weights(rng: np.random.Generator, name: str, out: int, into: int, gain: float = 2.0) -> Affine:
    return Affine(name, weight=rng.normal(0.1, gain / np.sqrt(into), (out, into)))


def chain(nodes: list[Node], more: tuple[Edge, ...] = ()) -> Graph:
    row = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return Graph(tuple(nodes), (*row, *more))


def dense(rng: np.random.Generator) -> tuple[Graph, Any]:
    nodes = [Input("in", shape=(12,)), weights(rng, "w1", 20, 12), lif("h", 20, decay_v=rng.uniform(0, 0.99, 20)),
             weights(rng, "w2", 5, 20), lif("o", 5, fires="gt", refractory=2), Readout("out")]  # fmt: skip
    return chain(nodes), spikes(rng, 12)


def recurrent(rng: np.random.Generator) -> tuple[Graph, Any]:
    cell = lif("h", 16, decay_u=rng.uniform(0.1, 0.95, 16), v_rest=np.array(-0.2), v_init=np.array(-0.2),
               reset_v="value", v_reset=rng.uniform(-1, 0.3, 16))  # fmt: skip
    nodes: list[Node] = [Input("in", shape=(9,)), weights(rng, "w", 16, 9), cell, Readout("out")]
    loops = [weights(rng, "r1", 16, 16), weights(rng, "r4", 16, 16)]
    more = (Edge("h", "r1", 1), Edge("r1", "h"), Edge("h", "r4", 4), Edge("r4", "h"))
    graph = chain(nodes, more=())
    return Graph((*graph.nodes, *loops), (*graph.edges, *more)), spikes(rng, 9)


def convolved(rng: np.random.Generator) -> tuple[Graph, Any]:
    """Pools before and after a grouped, strided, padded convolution; branches joined before and after weights."""
    conv = Conv("conv", weight=rng.normal(0.05, 0.6, (6, 1, 3, 3)), stride=(2, 1), padding=(1, 1), dilation=(1, 1),
                groups=2)  # fmt: skip
    side = Conv("side", weight=rng.normal(0.1, 0.6, (2, 2, 1, 1)), stride=(2, 2), padding=(0, 0), dilation=(1, 1))
    pool = Pool("pool", "sum", (2, 2), (1, 2), (1, 0))
    nodes = (Input("in", shape=(2, 8, 8)), Pool("first", "sum", (1, 2), (1, 1), (0, 0)), conv, pool, Flatten("flat"),
             lif("h", 90, decay_u=np.array(0.5)), weights(rng, "w", 7, 90), side,
             lif("s", 2, 4, 4, threshold=rng.uniform(0.5, 2, (2, 1, 1))), Flatten("flat2"), Concat("both"),
             weights(rng, "w2", 4, 39), lif("m", 7), weights(rng, "w3", 3, 7), Concat("late"), lif("o", 7),
             Readout("out"))  # fmt: skip
    edges = [Edge(a, b) for a, b in [("in", "first"), ("first", "conv"), ("conv", "pool"), ("pool", "flat"),
             ("flat", "h"), ("h", "w"), ("w", "m"), ("in", "side"), ("side", "s"), ("s", "flat2"), ("flat2", "both"),
             ("m", "both"), ("both", "w2"), ("w2", "late"), ("m", "w3"), ("w3", "late"), ("late", "o"),
             ("o", "out")]]  # fmt: skip
    return Graph(nodes, tuple(edges)), spikes(rng, 2, 8, 8, steps=16)


def skipping(rng: np.random.Generator) -> tuple[Graph, Any]:
    """An unweighted skip over two layers, a delayed branch and biases; joins at an Add."""
    biased = Affine("w1", weight=rng.normal(0, 0.6, (10, 10)), bias=rng.normal(0, 0.1, 10))
    nodes = (Input("in", shape=(10,)), biased, lif("a", 10, decay_u=np.array(0.6)), weights(rng, "w2", 10, 10),
             lif("b", 10), weights(rng, "w3", 10, 10), Add("sum"), Delay("wait", steps=3), weights(rng, "w4", 10, 10),
             lif("c", 10, bias=np.array(0.02), v_init=np.array(0.3)), Readout("out"))  # fmt: skip
    edges = [Edge(*pair) for pair in [("in", "w1"), ("w1", "a"), ("a", "w2"), ("w2", "b"), ("b", "w3"), ("w3", "sum"),
             ("in", "sum"), ("a", "wait"), ("wait", "w4"), ("w4", "sum"), ("sum", "c"), ("c", "out")]]  # fmt: skip
    return Graph(nodes, tuple(edges)), spikes(rng, 10)


NETS: dict[str, Callable[[np.random.Generator], tuple[Graph, Any]]] = {
    "dense": dense, "recurrent": recurrent, "convolved": convolved, "skipping": skipping,
}  # fmt: skip
OPTIONS = {"layer": QuantizeOptions(), "channel": QuantizeOptions(per_channel=True), "5 bit": QuantizeOptions(5)}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("net", NETS)
def test_emulator_equals_reference(net: str, options: str, seed: int) -> None:
    graph, x = NETS[net](np.random.default_rng(seed))
    made = quantized(graph, x, OPTIONS[options])
    trace = emulate(made.graph, x)
    assert all(trace.spikes[node.name].any() for node in made.graph.neurons)
    assert not differences(made.graph, x)
    assert set(trace.meta["ring_saturations"].values()) == {0}


@pytest.mark.parametrize("net", NETS)
def test_integers_follow_the_float_network(net: str) -> None:
    """With 16 bits nearly every spike is the float net's; a wrong time, gain or bias would move most of them."""
    graph, x = NETS[net](np.random.default_rng(7))
    made = quantized(graph, x)
    prepared, _ = run_passes(graph, SPINNAKER1.prepare)
    want, got = execute(prepared, x), emulate(made.graph, x)
    wrong = sum(int(np.count_nonzero(want.spikes[n.name] != got.spikes[n.name])) for n in graph.neurons)
    assert wrong < 0.005 * sum(want.spikes[n.name].size for n in graph.neurons)


def extreme(rng: np.random.Generator, shift: int) -> tuple[FixedGraph, Any]:
    """Constants of a real network with weights, resets and thresholds from the ends of their ranges."""
    graph, x = recurrent(rng)
    graph = replace(quantized(graph, x).graph)
    for node in graph.nodes:
        if isinstance(node, Affine):
            raw = rng.integers(-65535, 65536, node.weight.shape)
            graph = graph.replace_node(replace(node, weight=Fixed(raw, Format(17, 15 - shift))))
    (cell,) = graph.neurons
    wild = {key: Fixed(rng.integers(-(1 << 31), 1 << 31, 16), ACCUM) for key in ("v_init", "v_rest", "v_reset", "bias")}
    wild["threshold"] = Fixed(rng.integers(1, 1 << 31, 16), ACCUM)
    return graph.replace_node(replace(cell, **wild, reset_v="value", refractory=3)), x


@pytest.mark.parametrize("shift", [0, 9, 15])
def test_saturating_rings_and_wrapping_states_are_equal(shift: int) -> None:
    graph, x = extreme(np.random.default_rng(shift), shift)
    assert not differences(graph, x)
    trace = emulate(graph, x)
    assert trace.meta["ring_saturations"]["h"] > 100
    steps = np.abs(np.diff(trace.states["h", "v"].astype(np.float64), axis=1))
    assert shift == 0 or np.any(steps > 2.0**31)


def hits(rng: np.random.Generator) -> tuple[FixedGraph, Any]:
    """Membranes that are exactly at the threshold: no leak, dyadic weights and thresholds."""
    nodes = [Input("in", shape=(4,)), Affine("w", weight=rng.integers(1, 5, (6, 4)) / 4.0),
             lif("h", 6, decay_v=np.array(0.0), threshold=np.array(1.0)), Readout("out")]  # fmt: skip
    x = spikes(rng, 4, steps=40)
    return quantized(chain(nodes), x).graph, x


def wrong_fire(self: Core) -> Any:
    fired = self.v > self.words.threshold
    self.v = np.where(fired, self.words.column("v_reset"), self.v)
    self.wait = np.where(fired, self.constants.refractory, self.wait)
    return fired


def wrong_order(self: Core, time: int) -> None:
    self._shape()
    right_order(self, time)
    self.current = arith.decay(self.current, self.constants.fraction[:, np.newaxis])


right_order = Core._receive
MUTANTS: dict[str, tuple[Any, str, Any, Any]] = {
    "> for >=": (Core, "_fire", wrong_fire, hits),
    "product rounds": (arith, "mul", lambda a, b: arith.w32((a * b + (1 << 14)) >> 15), None),
    "decay rounds": (arith, "decay", lambda a, b: arith.w32((a * b + (1 << 31)) >> 32), None),
    "decay before use": (Core, "_receive", wrong_order, None),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_emulator_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, wrong, net = MUTANTS[mutant]
    if net is None:
        graph, x = recurrent(np.random.default_rng(0))
        fixed = quantized(graph, x).graph
    else:
        fixed, x = net(np.random.default_rng(0))
    assert not differences(fixed, x)
    monkeypatch.setattr(owner, name, wrong)
    assert differences(fixed, x)


def test_exact_decays_and_weights_give_the_float_spikes() -> None:
    graph, x = hits(np.random.default_rng(4))
    weight, threshold = graph["w"].params()["weight"], graph["h"].params()["threshold"]
    assert isinstance(weight, Fixed)
    assert isinstance(threshold, Fixed)
    sums = x @ weight.to_float().T
    np.testing.assert_array_equal(emulate(graph, x).spikes["h"], sums >= threshold.to_float())
    assert np.any(sums == threshold.to_float())


def torch_net() -> tuple[Graph, Any, dict[str, Any]]:
    """The float net of the golden file, 30-40-10 with a recurrent hidden layer."""
    data = load_npz(VECTORS / "net_cuba_lowered.npz")
    leak = float(data["torch_alpha_v"])
    cell = {"decay_u": data["torch_alpha_u"], "decay_v": leak, "gain": 1 - leak}
    nodes = [Input("in", shape=(30,)), Affine("w0", weight=data["torch_W0"].T), lif("l0", 40, **cell),
             Affine("w1", weight=data["torch_W1"].T), lif("l1", 10, **cell), Readout("out")]  # fmt: skip
    graph = chain(nodes)
    loop = (Edge("l0", "rec", 1), Edge("rec", "l0"))
    graph = Graph((*graph.nodes, Affine("rec", weight=data["torch_Wrec"].T)), (*graph.edges, *loop))
    return graph, data["torch_input"][np.newaxis].astype(np.int8), data


def slots(trace: Trace, data: dict[str, Any]) -> tuple[int, int]:
    """Spike slots, and those that differ from the float net of the file."""
    pairs = [(trace.spikes[name][0], data[f"torch_spikes_{name}"]) for name in ("l0", "l1")]
    return sum(a.size for a, _ in pairs), sum(int(np.count_nonzero(a != b)) for a, b in pairs)


def test_the_golden_float_net_keeps_every_spike_through_our_quantizer() -> None:
    graph, x, data = torch_net()
    assert slots(execute(graph, x), data) == (6000, 0)
    made = quantized(graph, x)
    assert slots(emulate(made.graph, x), data) == (6000, 0)
    assert not differences(made.graph, x)


@pytest.mark.parametrize("hurt", ["weight", "threshold", "decay_u", "latency"])
def test_the_golden_float_net_notices_a_worse_lowering(hurt: str) -> None:
    graph, x, data = torch_net()
    fixed = quantized(graph, x).graph
    cell = fixed["l0"]
    assert isinstance(cell, Neuron)
    if hurt == "weight":
        fixed = quantized(graph, x, QuantizeOptions(weight_bits=6)).graph
    elif hurt == "threshold":
        assert isinstance(cell.threshold, Fixed)
        fixed = fixed.replace_node(replace(cell, threshold=Fixed(cell.threshold.raw * 101 // 100, ACCUM)))
    elif hurt == "decay_u":
        other = quantized(graph.replace_node(replace(graph["l0"], decay_u=0.8)), x).graph["l0"]  # type: ignore[call-arg]
        assert isinstance(other, Neuron)
        fixed = fixed.replace_node(replace(cell, decay_u=other.decay_u, gain_u=other.gain_u))
    else:
        fixed = replace(fixed, latency={**fixed.latency, "l1": fixed.latency["l1"] + 1})
    assert slots(emulate(fixed, x), data)[1] > 10
