"""Which path executes what: the choice never changes a result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnc.engine import library, mixed, run
from snnc.engine.dense import Executor, worst_sums
from snnc.engine.planner import plan
from snnc.errors import ConfigError, UnsupportedError
from snnc.ir import Affine, Delta, Edge, FixedGraph, Input, Pool
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from unit.engine.engine_nets import KINDS, Case, random_case
from unit.formats.onnx_nets import fixed

EVERYTHING = Probes(states="all")
CASES = [random_case(seed, kind) for kind in KINDS for seed in range(40, 46)]


def equal(a: Trace, b: Trace) -> bool:
    return (
        set(a.spikes) == set(b.spikes) and set(a.states) == set(b.states)
        and all(np.array_equal(a.spikes[key], b.spikes[key]) for key in b.spikes)
        and all(np.array_equal(a.states[key], b.states[key]) for key in b.states)
    )  # fmt: skip


def test_without_kernels_the_dense_path_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, "none")
    case = CASES[0]
    assert run.execute(case.graph, case.values).backend == "dense"
    with pytest.raises(UnsupportedError, match="there are no compiled kernels"):
        run.execute(case.graph, case.values, engine="event")


def test_with_kernels_they_are_the_choice() -> None:
    want = "engine" if isinstance(library.state(), library.Kernels) else "dense"
    case = next(case for case in CASES if not case.forced)
    assert run.execute(case.graph, case.values).backend == want
    assert run.execute(case.graph, case.values, engine="dense").backend == "dense"


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(ConfigError, match="the nearest is 'dense'"):
        run.execute(CASES[0].graph, CASES[0].values, engine="dens")  # type: ignore[arg-type]


def test_a_graph_is_worked_out_once() -> None:
    graph = CASES[0].graph
    assert run.planned(graph) is run.planned(graph)
    assert run.planned(run.planned(graph)) is run.planned(graph)
    assert run.executor(run.planned(graph)) is run.executor(run.planned(graph))


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_worst_sums_are_the_same_on_every_path(case: Case) -> None:
    made = plan(case.graph)
    found: dict[str, list[int]] = {}
    run.execute(made, case.values, worst=found)
    assert found == worst_sums(made, case.values)


def test_fewer_probes_show_the_same() -> None:
    for case in CASES:
        names = [p.name for p in case.graph.populations]
        some = Probes(spikes=tuple(names[::2]), states=tuple(names[1::2]))
        want = execute(case.graph, case.values, some, case.forced)
        assert equal(run.execute(case.graph, case.values, some, forced=case.forced), want)
        assert equal(run.execute(case.graph, case.values, some, forced=case.forced, engine="dense"), want)


def test_what_was_given_stays_writable() -> None:
    for case in CASES[:8]:
        trace = run.execute(case.graph, case.values)
        assert case.values.flags.writeable
        assert not any(a.flags.writeable for a in trace.spikes.values())


def test_forced_constants_and_numbers_are_followed() -> None:
    """What a constant sends is no longer known, nor when."""
    tested = 0
    for case in CASES:
        for node in case.graph.populations:
            if not (isinstance(node, Input) and node.encoding == "constant") and not isinstance(node, Delta):
                continue
            shape = (*case.values.shape[:2], *node.shape)
            forced = {node.name: np.random.default_rng(1).integers(-3, 4, shape).astype(np.int8)}
            want = execute(case.graph, case.values, EVERYTHING, forced)
            assert equal(run.execute(case.graph, case.values, EVERYTHING, forced=forced), want)
            tested += not equal(run.execute(case.graph, case.values, EVERYTHING), want)
    assert tested > 3


def test_segments_break_where_a_chain_reads_what_runs_before() -> None:
    case = next(c for c in CASES if any(isinstance(n, Pool) and n.pooling == "max" for n in c.graph.nodes))
    made = plan(case.graph)
    found = mixed.segments(made)
    assert [number for part in found for number in part.groups] == list(range(len(made.groups)))
    for part in found:
        groups = made.groups[part.groups.start : part.groups.stop]
        inside = {made.populations[i].name for group in groups for i in group.members}
        reads = {a for g in groups for i in g.members for c in made.populations[i].chains for a, _, _ in c.edges}
        sources = {p.name for p in made.populations if p.kind in ("input", "constant")}
        assert not part.event or not (reads & inside) - sources


def test_a_plan_runs_again_with_another_batch() -> None:
    executor = Executor(plan(CASES[0].graph))
    for batch in (1, 3, 2):
        x = np.repeat(CASES[0].values[:1], batch, axis=0)
        assert equal(executor.run(x, EVERYTHING), execute(CASES[0].graph, x, EVERYTHING))


def test_analog_values_without_a_unit_may_be_large() -> None:
    graph = FixedGraph(
        (Input("in", (3,), "direct"), Affine("w", weight=fixed([[1 << 16, -3, 5]], 18)),
         Delta("d", (1,), threshold=fixed([1]))), (Edge("in", "w"), Edge("w", "d")), "some",
        replace(CASES[0].graph.conventions, register_bits=62),
    )  # fmt: skip
    x = np.random.default_rng(0).integers(-(1 << 40), 1 << 40, (2, 5, 3))
    assert equal(run.execute(graph, x, EVERYTHING), execute(graph, x, EVERYTHING))
