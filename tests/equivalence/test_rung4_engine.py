"""Rung 4: the engine is the reference bit for bit, on every path, and a wrong plan is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from snnc.engine import dense
from snnc.engine.plan import Convolution, Dense, Plan, Population, Way
from snnc.engine.planner import plan
from snnc.engine.run import Engine, execute
from snnc.ir import Affine, Conv, Conventions, Edge, Fixed, FixedGraph, Input, Neuron, Pool, Readout
from snnc.trace import Probes
from snnc_reference.execute import execute as define
from unit.engine.engine_nets import ENGINES, EVERYTHING, KINDS, Case, cases, differing, random_case
from unit.formats.onnx_nets import LOIHI, SPLIT, Array, fixed, random_network, spikes

BLOCKS, EACH = 7, 50


def check(case: Case) -> None:
    """Every path gives what the definition gives, in every spike and state."""
    want = define(case.graph, case.values, EVERYTHING, forced=case.forced)
    for number, engine in enumerate(ENGINES):
        found = execute(case.graph, case.values, EVERYTHING, engine=engine, forced=case.forced, threads=number + 1)
        assert differing(found, want) == "", engine


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("kind", KINDS)
def test_networks_equal_the_definition(kind: str, block: int) -> None:
    """6 x 7 x 50 = 2,100 networks."""
    for seed in range(block * EACH, (block + 1) * EACH):
        try:
            check(random_case(seed, kind))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(case=cases())
def test_any_network_equals_the_definition(case: Case) -> None:
    check(case)


def features(case: Case) -> set[str]:
    """What of the corners a case reaches."""
    made = plan(case.graph)
    found = {node.kind for node in case.graph.nodes} | {f"encoding {n.encoding}" for n in case.graph.inputs}
    found |= {f"output {n.output}" for n in case.graph.neurons} | {f"reset {n.reset_v}" for n in case.graph.neurons}
    found |= {f"pool {n.pooling}" for n in case.graph.nodes if isinstance(n, Pool)}
    looped = {i for group in made.groups if group.loop for i in group.members}
    for i, p in enumerate(made.populations):
        found |= {f"{p.kind} in a loop"} if i in looped else {p.kind}
        found |= {type(way.operator).__name__ for way in p.ways}
        found |= {f"weights of {way.operator.weight.itemsize}" for way in p.ways if isinstance(way.operator, Dense)}
        found |= {"host" if chain.drive else "chain" for chain in p.chains}
        found |= {"receptor 1" for way in p.ways if way.receptor}
        if p.kind == "neuron" and p.latency:
            found.add("early" if p.first < p.latency else "tight")
            found |= {"late"} if p.extra > p.latency - p.first else set()
        found |= {"restart"} if p.restart else set()
    found |= {f"loop of {min(len(group.members), 2)}" for group in made.groups if group.loop}
    return found | ({"forced"} if case.forced else set())


def test_the_networks_reach_every_corner() -> None:
    found: set[str] = set()
    rates: list[float] = []
    for kind in KINDS:
        for seed in range(30):
            case = random_case(seed, kind)
            found |= features(case)
            trace = execute(case.graph, case.values, Probes(), engine="dense")
            rates += [float(np.abs(s).mean()) for s in trace.spikes.values()]
    assert found >= {
        "affine", "conv", "concat", "add", "delay", "flatten", "identity", "pool sum", "pool max", "neuron", "atrlif",
        "sigma", "delta", "sigmadelta", "encoding direct", "encoding spikes", "output ternary", "output binary",
        "reset zero", "reset value", "reset subtract", "reset none", "Dense", "Convolution", "Sparse", "host", "chain",
        "receptor 1", "early", "tight", "late", "restart", "loop of 1", "loop of 2", "forced", "weights of 1",
        "weights of 2", "weights of 4", "relay", "relay in a loop", "atrlif in a loop", "constant",
    }  # fmt: skip
    assert sum(0.02 < rate < 1 for rate in rates) > 0.5 * len(rates)


def small() -> tuple[FixedGraph, Array]:
    """A convolution of two channels, a loop whose neurons fire before their latency, and an output."""
    rng = np.random.default_rng(5)
    ones = {"gain": fixed(1), "gain_u": fixed(1), "v_rest": fixed(0), "v_reset": fixed(0), "v_init": fixed(0)}
    decays = {"decay_u": fixed(2000, 13, 12), "decay_v": fixed(3500, 13, 12)}
    nodes = (
        Input("in", shape=(2, 5, 4)), Conv("c", weight=fixed(rng.integers(-30, 60, (3, 2, 2, 2))), stride=(1, 1),
        padding=(0, 1), dilation=(1, 1)), Neuron("image", shape=(3, 4, 5), threshold=fixed(50), bias=fixed(0), **decays,
        **ones), Pool("p", pooling="max", kernel=(2, 1), stride=(2, 1)), Conv("d", weight=fixed(rng.integers(
        -40, 50, (2, 3, 1, 1))), stride=(1, 1), padding=(0, 0), dilation=(1, 1)), Neuron("pooled", shape=(2, 2, 5),
        threshold=fixed(40), bias=fixed(3), **decays, **ones), Conv("e", weight=fixed(rng.integers(-60, 70,
        (4, 2, 2, 5))), stride=(1, 1), padding=(0, 0), dilation=(1, 1)), Neuron("busy", shape=(4, 1, 1),
        threshold=fixed(30), bias=fixed(20), **decays, **ones), Conv("back", weight=fixed(rng.integers(-30, 40,
        (4, 4, 1, 1))), stride=(1, 1), padding=(0, 0), dilation=(1, 1)), Readout("answer"),
    )  # fmt: skip
    edges = (
        Edge("in", "c", 1), Edge("c", "image"), Edge("image", "p", 1), Edge("p", "d"), Edge("d", "pooled"),
        Edge("pooled", "e", 1), Edge("e", "busy"), Edge("busy", "back", 2), Edge("back", "busy"),
        Edge("busy", "answer"),
    )  # fmt: skip
    latency = {"image": 1, "pooled": 2, "busy": 3}
    return FixedGraph(nodes, edges, "some", LOIHI, latency), spikes(rng, (2, 5, 4), batch=4, steps=12)


def altered(name: str, change: Callable[[Population], Population]) -> Callable[[Plan], Plan]:
    """A plan with one population changed."""
    return lambda made: replace(
        made, populations=tuple(change(p) if p.name == name else p for p in made.populations)
    )  # fmt: skip


def way(change: Callable[[Way], Way], number: int = 0) -> Callable[[Population], Population]:
    """A population with one way changed."""
    return lambda p: replace(p, ways=tuple(change(w) if i == number else w for i, w in enumerate(p.ways)))


def swapped(found: Way) -> Way:
    """Two weights of one target that are not the same, exchanged."""
    assert isinstance(found.operator, (Convolution, Dense))
    weight = found.operator.weight.copy()
    weight[0, [0, 1]] = weight[0, [1, 0]]
    return replace(found, operator=replace(found.operator, weight=weight))


def turned(p: Population) -> Population:
    """Another engine order than the one that the weights were made for."""
    assert p.order is not None
    return replace(p, order=np.roll(p.order, 1))


def chain_delay(p: Population) -> Population:
    chain = p.chains[0]
    edges = tuple((a, b, d + 1 if a == "image" else d) for a, b, d in chain.edges)
    return replace(p, chains=(replace(chain, edges=edges),))


WRONG: dict[str, Callable[[Plan], Plan]] = {
    "a delay": altered("image", way(lambda w: replace(w, delay=w.delay + 1))),
    "a delay in a loop": altered("busy", way(lambda w: replace(w, delay=w.delay + 1), 1)),
    "a delay in a chain": altered("/max/p", chain_delay),
    "two weights": altered("image", way(swapped)),
    "the order": altered("image", turned),
    "the unit": altered("image", lambda p: replace(p, shift=p.shift + 1)),
    "the window of what fires early": altered(
        "busy", lambda p: replace(p, first=p.latency, extra=0, restart=None)
    ),
    "no restart": altered("busy", lambda p: replace(p, restart=None)),
    "a late restart": altered("busy", lambda p: replace(p, restart=p.latency + 1)),
    "the window of a relay": altered("/max/p", lambda p: replace(p, first=p.first + 1, extra=p.extra - 1)),
    "a threshold": altered("image", lambda p: replace(p, params={**p.params, "threshold": p.params["threshold"] + 1})),
    "a choice": altered("image", lambda p: replace(p, options={**p.options, "fires": "gt"})),
    "a missing chain": altered("/max/p", lambda p: replace(p, chains=())),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_the_small_network_equals_the_definition(engine: Engine) -> None:
    graph, x = small()
    want = define(graph, x, EVERYTHING)
    assert differing(execute(graph, x, EVERYTHING, engine=engine), want) == ""
    made = {p.name: p for p in plan(graph).populations}
    assert (made["busy"].first, made["busy"].restart, made["image"].first) == (0, 3, 1)
    assert all(0.05 < float(s.mean()) < 0.95 for s in want.spikes.values())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_plan_is_caught(wrong: str, engine: Engine) -> None:
    graph, x = small()
    found = execute(WRONG[wrong](plan(graph)), x, EVERYTHING, engine=engine)
    assert differing(found, define(graph, x, EVERYTHING)) != ""


def split_net() -> tuple[FixedGraph, Array]:
    rng = np.random.default_rng(2)
    network, _ = random_network(1, SPLIT)
    assert isinstance(network, FixedGraph)
    return network, spikes(rng, network.inputs[0].shape, 3, 12)


def test_swapped_receptors_are_caught() -> None:
    graph, x = split_net()
    made = plan(graph)
    for p in made.populations:
        if p.ways:
            other = altered(
                p.name, lambda q: replace(q, ways=tuple(replace(w, receptor=1 - w.receptor) for w in q.ways))
            )
            break
    want = define(graph, x, EVERYTHING)
    for engine in ENGINES:
        assert differing(execute(made, x, EVERYTHING, engine=engine), want) == ""
        assert differing(execute(other(made), x, EVERYTHING, engine=engine), want) != ""


@pytest.mark.parametrize("engine", ENGINES)
def test_samples_are_independent_of_threads_and_chunks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = small()
    want = define(graph, x, EVERYTHING)
    monkeypatch.setattr(dense, "MEMORY", 1)
    for threads in (1, 3):
        assert differing(execute(graph, x, EVERYTHING, engine=engine, threads=threads), want) == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_extreme_weights_are_exact(engine: Engine) -> None:
    """Sums beyond 2**24, and beyond 2**53 where float64 rounds."""
    rng = np.random.default_rng(0)
    for top, frac in (((1 << 24) - 1, 0), ((1 << 52) - 1, 0)):
        raw = rng.choice([-top, top, top - 1, 1], (6, 40))
        raw[0], raw[1] = top, -top
        neuron = Neuron(
            "n", shape=(6,), decay_u=fixed(4096, 13, 12, False), decay_v=fixed(4096, 13, 12, False), gain=fixed(1),
            gain_u=fixed(1), bias=fixed(0), threshold=fixed((1 << 60) - 1, 62), v_reset=fixed(0), v_init=fixed(0),
            v_rest=fixed(0), reset_v="subtract",
        )  # fmt: skip
        graph = FixedGraph(
            (Input("in", shape=(40,)), Affine("c", weight=Fixed(raw, _wide(frac))), neuron),
            (Edge("in", "c"), Edge("c", "n")), "generic",
            Conventions(accumulator_bits=64, register_bits=62, state_bits=51, current_overflow="wrap"),
        )  # fmt: skip
        x = spikes(rng, (40,), steps=25, rate=0.9)
        want = define(graph, x, EVERYTHING)
        assert differing(execute(graph, x, EVERYTHING, engine=engine), want) == ""


def _wide(frac: int) -> Any:
    from snnc.ir import Format

    return Format(56, frac)
