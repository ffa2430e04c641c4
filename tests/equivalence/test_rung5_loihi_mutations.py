"""Every plausible small mistake shows against Lava: the reference with one thing changed differs from what Lava ran.

Lava runs each network once; each mutant of conventions, registers, weights or geometry must then differ from the
recording of at least one of them, in a spike or in a state. A mutant that survives is a hole in rung 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.errors import GraphError
from snnc.ir import Affine, Conv, Edge, Fixed, FixedGraph, Format, Input, Neuron
from snnc.trace import Trace
from snnc_loihi import backend
from snnc_loihi.target import LOIHI1
from snnc_reference.execute import execute
from unit.loihi.loihi_nets import (
    EVERYTHING,
    Net,
    bias,
    biased,
    convolutional,
    dense,
    differing,
    fixed,
    graph,
    neuron,
    overflowing,
    recurrent,
)

Mutant = Callable[[FixedGraph], FixedGraph]


def standing() -> Net:
    """Membranes without leak that stand exactly at the threshold now and then; u of 2**23 exactly and one more."""
    rng = np.random.default_rng(31)
    small = fixed(rng.integers(-3, 6, (10, 8)), Format(8, -7))
    exact = fixed(np.tile([[64], [65], [-64], [-65]], 8), Format(8, -(6 + 1 + 7)))
    nodes = (
        Input("in", (8,)), Affine("f", small), neuron("a", 10, vth=12), neuron("c", 10, vth=13), Affine("g", exact),
        neuron("b", 4, u=4095, vth=131071),
    )  # fmt: skip
    edges = (Edge("in", "f", 1), Edge("f", "a"), Edge("f", "c"), Edge("in", "g", 1), Edge("g", "b"))
    spikes = (rng.random((3, 12, 8)) < 0.4).astype(np.int8)
    spikes[0, :] = 1
    return Net(graph(nodes, edges, {"in": 0, "a": 1, "b": 1, "c": 1}), spikes)


def brimming() -> Net:
    """Sums that fill the 32-bit adder to the brim, so that what u and v hold already carries them over it."""
    raw = np.zeros((4, 1100), dtype=np.int64)
    raw[:2, :1032], raw[2:, :1032] = 127, -127
    raw[:2, 1032:1040], raw[2:, 1032:1040] = 1, -1
    weight = fixed(raw, Format(8, -(6 + 1 + 7)))
    nodes = (
        Input("in", (1100,)), Affine("f", weight),
        neuron("a", 4, u=4000, v=4000, vth=131071, bias=bias([4095, -4095, 4095, -4095], 7)),
    )  # fmt: skip
    spikes = np.zeros((2, 8, 1100), dtype=np.int8)
    spikes[:, 0, :4] = 1
    spikes[0, 1, :1032], spikes[0, 1, 1032:1040] = 1, 1
    spikes[0, 4:6, :1032] = 1
    spikes[1, :, :4] = 1
    return Net(graph(nodes, (Edge("in", "f", 1), Edge("f", "a")), {"in": 0, "a": 1}), spikes)


NETS: dict[str, Callable[[], Net]] = {
    "dense": dense,
    "convolutional": convolutional,
    "biased": biased,
    "overflowing": overflowing,
    "standing": standing,
    "brimming": brimming,
    "recurrent": recurrent,
}


@pytest.fixture(scope="module")
def recorded() -> dict[str, tuple[Net, Trace]]:
    """Each network, run once in Lava."""
    made = {name: make() for name, make in NETS.items()}
    return {k: (net, backend.run(backend.lower(net.graph, LOIHI1), net.spikes, EVERYTHING)) for k, net in made.items()}


def convention(**changes: Any) -> Mutant:
    """Other conventions."""
    return lambda net: replace(net, conventions=replace(net.conventions, **changes))


def neurons(change: Callable[[Neuron], Neuron]) -> Mutant:
    """Another neuron, everywhere."""

    def mutate(net: FixedGraph) -> FixedGraph:
        for node in net.neurons:
            net = net.replace_node(change(node))
        return net

    return mutate


def fields(**changes: Any) -> Mutant:
    """Other fields of every neuron."""
    return neurons(lambda node: replace(node, **changes))


def register(key: str, add: int) -> Mutant:
    """A register that is off, where its format can hold that."""

    def change(node: Neuron) -> Neuron:
        value = getattr(node, key)
        raw = np.clip(value.raw + add, value.format.minimum, value.format.maximum)
        return replace(node, **{key: Fixed(raw, value.format)})

    return neurons(change)


def scaled(key: str, by: int) -> Mutant:
    """A register whose exponent is off."""

    def change(node: Neuron) -> Neuron:
        value = getattr(node, key)
        return replace(node, **{key: Fixed(value.raw, replace(value.format, frac=value.format.frac - by))})

    return neurons(change)


def weights(change: Callable[[Fixed], Fixed], kinds: Any = (Affine, Conv)) -> Mutant:
    """Other weights, everywhere."""

    def mutate(net: FixedGraph) -> FixedGraph:
        for node in net.nodes:
            if isinstance(node, kinds):
                net = net.replace_node(replace(node, weight=change(node.weight)))
        return net

    return mutate


def exponent(by: int) -> Mutant:
    return weights(lambda w: Fixed(w.raw, replace(w.format, frac=w.format.frac - by)))


def one_weight(w: Fixed) -> Fixed:
    raw = w.raw.copy()
    raw.flat[0] += 1 if raw.flat[0] < w.format.maximum else -1
    return Fixed(raw, w.format)


def flipped(w: Fixed) -> Fixed:
    return Fixed(w.raw[..., ::-1].copy(), w.format)


def later(net: FixedGraph) -> FixedGraph:
    """Every synapse takes a step more."""
    sources = {node.name for node in net.populations}
    edges = tuple(Edge(e.source, e.target, e.delay + (e.source in sources)) for e in net.edges)
    return replace(net, edges=edges)


def reset_late(net: FixedGraph) -> FixedGraph:
    """The state is set to its start one step after the first input."""
    return replace(net, latency={name: steps + (steps > 0) for name, steps in net.latency.items()})


MUTANTS: dict[str, Mutant] = {
    "rounding: decays floor": convention(decay_rounding="floor"),
    "rounding: decays to the nearest": convention(decay_rounding="nearest_even"),
    "wrap: u by masked bits, as on the chip": convention(current_overflow="wrap"),
    "wrap: u saturates": convention(current_overflow="saturate"),
    "wrap: u saturates symmetrically": convention(current_overflow="saturate_symmetric"),
    "wrap: v wraps": convention(membrane_overflow="wrap"),
    "wrap: v wraps once": convention(membrane_overflow="wrap_once"),
    "wrap: v reaches -2**23": convention(membrane_overflow="saturate"),
    "wrap: states of 23 bits": convention(state_bits=23),
    "wrap: states of 25 bits": convention(state_bits=25),
    "wrap: accumulator of 22 bits, as in nengo-loihi": convention(accumulator_bits=22),
    "wrap: accumulator of 31 bits": convention(accumulator_bits=31),
    "wrap: accumulator of 33 bits": convention(accumulator_bits=33, register_bits=34),
    "wrap: accumulator saturates": convention(accumulator_overflow="saturate"),
    "wrap: adder of 31 bits": convention(register_bits=31),
    "wrap: adder of 33 bits": convention(register_bits=33),
    "wrap: u + bias wraps, as in nengo-loihi": convention(drive_overflow="wrap"),
    "wrap: u + bias saturates": convention(drive_overflow="saturate"),
    "wrap: ceiling of v at the highest threshold": convention(membrane_maximum=131071 << 6),
    "wrap: floor of v one higher": convention(membrane_minimum=-(1 << 23) + 2),
    "offset: du without its 1": register("decay_u", 1),
    "offset: du with 2": register("decay_u", -1),
    "offset: dv with du's 1": register("decay_v", -1),
    "offset: dv one less": register("decay_v", 1),
    "offset: threshold one higher": register("threshold", 1),
    "offset: threshold one lower": register("threshold", -1),
    "offset: threshold not shifted by 6": scaled("threshold", -6),
    "offset: bias mantissa one higher": register("bias", 1),
    "offset: bias exponent one higher": scaled("bias", 1),
    "offset: bias exponent one lower": scaled("bias", -1),
    "offset: start one step late": reset_late,
    "offset: no start": convention(aligned_start=False),
    "offset: synapses take a step more": later,
    "comparison: >= for >": fields(fires="ge"),
    "reset: subtracts": fields(reset_v="subtract"),
    "reset: none": fields(reset_v="none"),
    "reset: one step late": fields(reset_delay=1),
    "reset: clears u too": fields(reset_u=True),
    "reset: one refractory step": fields(refractory=1),
    "weights: one off by one": weights(one_weight),
    "weights: exponent one higher": exponent(1),
    "weights: exponent one lower": exponent(-1),
    "weights: kernels flipped": weights(flipped, Conv),
    "weights: without sign": weights(lambda w: Fixed(np.abs(w.raw) - (w.raw == w.format.minimum), w.format)),
}


def test_without_a_mutation_nothing_differs(recorded: dict[str, tuple[Net, Trace]]) -> None:
    for name, (net, found) in recorded.items():
        assert differing(execute(net.graph, net.spikes, EVERYTHING), found) == 0, name


@pytest.mark.parametrize("name", list(MUTANTS))
def test_the_mutant_is_killed(name: str, recorded: dict[str, tuple[Net, Trace]]) -> None:
    for net, found in recorded.values():
        try:
            mutant = MUTANTS[name](net.graph)
        except GraphError:
            continue
        if differing(execute(mutant, net.spikes, EVERYTHING), found):
            return
    pytest.fail(f"{name} survives: no network tells it from Lava")


EQUIVALENT: dict[str, Mutant] = {
    "a wider accumulator before the same adder": convention(accumulator_bits=40),
    "a ceiling that is one lower: v there is above every threshold and fires": convention(
        membrane_maximum=(1 << 23) - 2
    ),
}


@pytest.mark.parametrize("name", list(EQUIVALENT))
def test_an_equivalent_mutant_survives(name: str, recorded: dict[str, tuple[Net, Trace]]) -> None:
    """Control of the test above: a change without effect is killed by no network."""
    for net, found in recorded.values():
        assert differing(execute(EQUIVALENT[name](net.graph), net.spikes, EVERYTHING), found) == 0
