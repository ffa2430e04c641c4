"""Delays beyond a ring: delay extensions in emulator, reference and release programs, word for word."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnc.backend import Program
from snnc.errors import SnncError
from snnc.ir import Add, Affine, Edge, Graph, Input, Neuron, Node, Readout
from snnc.ladder import EVERYTHING
from snnc.passes.base import run_passes
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc.target import demand
from snnc.trace import Trace
from snnc_reference.execute import execute
from snnc_spinnaker import backend, delay_core, network, placement_demand
from snnc_spinnaker.binary import mapping
from snnc_spinnaker.binary.board import SOURCE, Router
from snnc_spinnaker.binary.core import Core
from snnc_spinnaker.binary.execute import run
from snnc_spinnaker.delay_core import DelayCore
from snnc_spinnaker.delays import held
from snnc_spinnaker.placement_demand import Demand
from snnc_spinnaker.ring import Layout
from snnc_spinnaker.target import SPINNAKER1

NIGHTLY = os.environ.get("SNNC_NIGHTLY") == "1"
LATE = "DelayExtensionMachineVertex"


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home of its own; nothing may be written there."""
    folder: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        yield
    assert not list(folder.iterdir()), "the tools wrote into the user's home"


def net(rng: np.random.Generator, sizes: tuple[int, int, int], into: Any, loops: Any, on: int) -> Graph:
    """A source, a recurrent population and one behind it, with a projection for each delay."""
    wide, mid, out = sizes

    def layer(name: str, to: int, size: int) -> Affine:
        return Affine(name, weight=rng.normal(0.02, 0.9 / np.sqrt(size), (to, size)))

    cell = Neuron(
        "h", shape=(mid,), decay_u=rng.uniform(0.2, 0.8, mid), decay_v=np.array(0.9), fires="ge", refractory=1
    )
    last = Neuron("o", shape=(out,), decay_v=rng.uniform(0.3, 0.9, out), fires="ge")
    nodes: list[Node] = [Input("in", shape=(wide,)), Add("sum"), cell, layer("w", out, mid), last, Readout("out")]
    edges = [Edge("sum", "h"), Edge("h", "w", on), Edge("w", "o"), Edge("o", "out")]
    for source, size, delays in (("in", wide, into), ("h", mid, loops)):
        for delay in delays:
            name = f"{source}{delay}"
            nodes.append(layer(name, mid, size))
            edges += [Edge(source, name, delay), Edge(name, "sum")]
    return Graph(tuple(nodes), tuple(edges))


def lowered(graph: Graph, x: Any) -> Program:
    graph, _ = run_passes(graph, SPINNAKER1.prepare)
    demand(graph, SPINNAKER1)
    calibration = Calibration(x, execute(graph, x, EVERYTHING))
    return backend.lower(SPINNAKER1.quantize(graph, calibration, QuantizeOptions()).graph, SPINNAKER1)


def sparse(rng: np.random.Generator, batch: int, steps: int, size: int) -> Any:
    return (rng.random((batch, steps, size)) < 0.05).astype(np.int8)


def emulated(program: Program, x: Any) -> Trace:
    return backend.run(program, x, EVERYTHING)


def differences(left: Trace, right: Trace) -> dict[Any, int]:
    """Spikes and states that differ, by what they are."""
    assert set(left.spikes) == set(right.spikes)
    assert set(left.states) == set(right.states)
    pairs: dict[Any, Any] = {key: (left.spikes[key], right.spikes[key]) for key in left.spikes}
    pairs |= {key: (left.states[key], right.states[key]) for key in left.states}
    assert all(a.shape == b.shape for a, b in pairs.values())
    return {key: n for key, (a, b) in pairs.items() if (n := int(np.count_nonzero(a != b)))}


def at(program: Program) -> dict[str, tuple[int, int]]:
    """Source -> (stages, steps a stage)."""
    return {extension.source: (extension.stages, extension.reach) for extension in program.data.extensions}


@lru_cache(maxsize=1)
def stages() -> tuple[Program, Any, Trace]:
    """Two stages and a ring behind a source and behind a recurrent population, and what the release programs do."""
    rng = np.random.default_rng(17)
    x = sparse(rng, 1, 320, 64)
    program = lowered(net(rng, (64, 64, 5), (1, 128, 257), (256,), 129), x)
    return program, x, run(program, x, EVERYTHING)


@lru_cache(maxsize=1)
def slices() -> tuple[Program, Any, Trace]:
    """One stage between slices that do not fit each other: 216 and 4 sources, 64 and 6 neurons."""
    rng = np.random.default_rng(18)
    x = sparse(rng, 1, 170, 220)
    program = lowered(net(rng, (220, 70, 5), (130,), (135,), 2), x)
    return program, x, run(program, x, EVERYTHING)


def test_stages_on_the_release_programs() -> None:
    program, x, theirs = stages()
    assert at(program) == {"in": (2, 128), "h": (1, 128)}
    assert 3000 > theirs.spikes["h"].sum() > 500
    assert theirs.spikes["o"].any()
    assert not differences(emulated(program, x), theirs)
    assert not differences(execute(program.graph, x, EVERYTHING), theirs)


def test_slices_of_any_size_on_the_release_programs() -> None:
    program, x, theirs = slices()
    assert at(program) == {"in": (1, 128), "h": (1, 128)}
    assert program.data.sources[0].per_core == 216
    assert theirs.meta["cores"] == 2 + 1 + 2 + 2
    assert theirs.spikes["h"][:, 140:].any(axis=(0, 1))[60:].sum() > 5
    assert not differences(emulated(program, x), theirs)


def off_by_one(delay: int, reach: int) -> int:
    return delay // reach


def early(self: DelayCore, time: int) -> Any:
    return STEP(self, time + 1)


def one_stage(self: DelayCore, time: int) -> Any:
    return (STEP(self, time)[0],) * self.extension.stages


def forgotten(self: DelayCore, time: int, spikes: Any) -> None:
    self.kept[time % len(self.kept)] = spikes != 0
    self.kept[(time - 200) % len(self.kept)] = False


STEP = DelayCore.step
WRONG: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "a whole multiple takes a stage more": (network, "stages", off_by_one),
    "sent a step early": (DelayCore, "step", early),
    "every stage is the first": (DelayCore, "step", one_stage),
    "kept for 200 steps": (DelayCore, "receive", forgotten),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_extension_is_noticed(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, x, theirs = stages()
    machine = replace(program.data)  # without what the right rule has left in its caches
    monkeypatch.setattr(*WRONG[wrong])
    try:
        found = differences(emulated(replace(program, data=machine), x), theirs)
    except IndexError:  # a stage that no extension has
        return
    assert found["h", "v"] > 100


def test_placement_is_that_of_the_tools() -> None:
    for program, x, _ in (stages(), slices()):
        ours = Demand(program.data)
        spec = mapping.mapped(program.data, x.shape[1] + program.graph.depth + 1)
        theirs = sorted((core.first, core.size, core.key, *core.place) for core in spec.cores)
        assert sorted((s.first, s.size, s.key, *s.chip, s.core) for s in ours.slices) == theirs
        late = [core for core in spec.cores if core.kind == LATE]
        assert len(late) == sum(part.vertex.endswith("_delayed") for part in ours.slices)
        router = Router(spec)
        for part in ours.slices:
            if part.key is not None:
                heard = {(*t.chip, t.core) for link in ours.links if link.source == part.vertex for t in ours.slices
                         if t.vertex == link.target and (part.index, t.index) in (link.pairs or ())}  # fmt: skip
                assert set(router.targets(part.chip, part.key)) == heard
        loads = {(*load.part.chip, load.part.core): load for load in ours.loads()}
        for core in spec.cores:
            load = loads[core.place]
            if core.kind == LATE:
                assert load.sdram == sum(size for size, _ in core.regions.values())
            elif core.kind != SOURCE:
                table = placement_demand.region_bytes("exp", load.part.size, load.sources, load.blocks)["PopTable"]
                assert table == core.regions[5][0]


def test_slices_that_do_not_fit_are_wrong_on_the_release_programs() -> None:
    """Why plans avoid them: with two stages and 40 neurons behind 64, the tools put synapses on wrong neurons."""
    rng = np.random.default_rng(3)
    x = sparse(rng, 1, 330, 64)
    program = lowered(net(rng, (64, 40, 5), (1, 300), (), 1), x)
    assert at(program) == {"in": (1, 256)}, "the plan gives the population a longer ring"
    assert not differences(emulated(program, x), execute(program.graph, x, EVERYTHING))
    machine = program.data
    wide = tuple(replace(p, layout=Layout(6, 7)) if p.name == "h" else p for p in machine.populations)
    wrong = replace(program, data=replace(machine, populations=wide))
    assert at(wrong) == {"in": (2, 128)}
    assert not differences(emulated(wrong, x), emulated(program, x)), "to the emulator slices mean nothing"
    if NIGHTLY:
        assert differences(run(wrong, x, EVERYTHING), emulated(program, x))["h", "u_exc"] > 50


@pytest.mark.parametrize(("count", "reach"), [(1, 128), (2, 128), (3, 128), (4, 128), (3, 256), (1, 1024)])
def test_the_release_program_has_memory_for_as_many_neurons_as_plans_give_it(count: int, reach: int) -> None:
    program, x, _ = stages()
    spec = mapping.mapped(program.data, x.shape[1] + program.graph.depth + 1)
    late = next(core for core in spec.cores if core.kind == LATE)
    most = held(count, reach)
    assert 0 < most < 256

    def start(size: int) -> None:
        words = np.frombuffer(late.regions[1][1], dtype="<u4").copy()
        words[4:7] = size, count, reach
        regions = {**late.regions, 1: (words.nbytes, words.tobytes())}
        Core(replace(late, size=size, regions=regions), 10)

    start(most)
    with pytest.raises(SnncError, match=r"delay_extension\.aplx stopped at .*run-time exception"):
        start(most + 4)


@given(
    st.integers(0, 2**32 - 1), st.sampled_from((1, 7, 40, 64, 200)), st.sampled_from((1, 12, 33, 64, 90)),
    st.lists(st.sampled_from((1, 2, 127, 128, 129, 130, 255, 256, 257, 383, 385, 512, 513)), min_size=1, max_size=4,
             unique=True),
    st.lists(st.sampled_from((1, 128, 129, 256, 257, 300)), max_size=2, unique=True),
)  # fmt: skip
@settings(
    max_examples=60 if NIGHTLY else 8, deadline=None, derandomize=not NIGHTLY, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
def test_random_delays_around_multiples_of_a_stage(seed: int, wide: int, mid: int, into: Any, loops: Any) -> None:
    rng = np.random.default_rng(seed)
    x = sparse(rng, 2, max((*into, *loops)) + 40, wide)
    x[:, 0] = 1
    program = lowered(net(rng, (wide, mid, 9), into, loops, int(rng.integers(1, 300))), x)
    assert not differences(emulated(program, x), execute(program.graph, x, EVERYTHING))
    if NIGHTLY and seed % 4 == 0:
        assert not differences(emulated(program, x), run(program, x, EVERYTHING))


def test_a_stage_is_a_multiple_of_the_ring() -> None:
    assert [delay_core.stages(d, 128) for d in (1, 128, 129, 256, 257, 384, 385)] == [0, 0, 1, 1, 2, 2, 3]
    assert [delay_core.slots(n, 128) for n in (1, 2, 3, 4)] == [256, 512, 512, 1024]
