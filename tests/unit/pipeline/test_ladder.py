"""The ladder catches whoever lies: a pass that breaks spikes, a back end that flips one, integers that were altered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from snnc.backend import Program, Registry, discover
from snnc.config import Config
from snnc.engine import planner
from snnc.engine import run as engine
from snnc.errors import InputError, NotEquivalentError, PassError, UnsupportedError
from snnc.evidence import Budget
from snnc.ir import Affine, Edge, Fixed, Graph, Input, Neuron, Readout
from snnc.ladder import PassWitness
from snnc.passes import DropIdentity
from snnc.passes.base import Preserves, run_passes
from snnc.pipeline import check_allowed, compile_source
from snnc.sources import Source
from snnc.testing import Case, Conformance, cases
from snnc.trace import Probes, Samples, Trace
from snnc.validation import Candidate, Validated, validate
from snnc_reference import backend as reference


def graph() -> Graph:
    rng = np.random.default_rng(3)
    return Graph(
        (
            Input("input", (6,)), Affine("fc", rng.normal(0.3, 0.5, (5, 6))), Neuron("lif", (5,), decay_v=0.875),
            Affine("head", rng.normal(0.3, 0.6, (3, 5))), Neuron("out", (3,), decay_v=0.875), Readout("output"),
        ),
        (Edge("input", "fc"), Edge("fc", "lif"), Edge("lif", "head"), Edge("head", "out"), Edge("out", "output")),
    )  # fmt: skip


def spikes(samples: int = 4) -> Any:
    return (np.random.default_rng(1).random((samples, 12, 6)) < 0.4).astype(np.int8)


def source(labels: bool = True) -> Source:
    marks = np.arange(4) % 3 if labels else None
    return Source("net", "0", graph(), Samples(spikes(), marks))


@dataclass(frozen=True)
class HalfThreshold:
    """A pass that claims to be exact and is not."""

    name: ClassVar[str] = "half-threshold"
    preserves: Preserves = "exact"

    def __call__(self, net: Graph) -> Graph:
        lif = net["lif"]
        assert isinstance(lif, Neuron)
        return net.replace_node(replace(lif, threshold=0.5))


def test_a_pass_that_breaks_its_promise_stops_the_compilation() -> None:
    witness = PassWitness(reference, spikes())
    with pytest.raises(NotEquivalentError, match=r"half-threshold promised exact spikes.*population lif"):
        run_passes(graph(), [HalfThreshold()], witness)


def test_an_approximate_pass_is_measured_instead() -> None:
    witness = PassWitness(reference, spikes())
    _, history = run_passes(graph(), [DropIdentity(), HalfThreshold("approximate")], witness)
    assert [(entry.name, entry.changed) for entry in history] == [("drop-identity", False), ("half-threshold", True)]
    (rung,) = witness.rungs
    assert rung.passed
    assert rung.differing > 0
    close = PassWitness(reference, spikes())
    run_passes(graph(), [HalfThreshold("close")], close)
    assert not close.rungs[0].passed, "close has a bound; a broken one fails the rung"


@dataclass(frozen=True)
class Cutter:
    """A pass that leaves a broken graph behind."""

    name: ClassVar[str] = "cutter"
    preserves: ClassVar[Preserves] = "exact"

    def __call__(self, net: Graph) -> Graph:
        return net.with_nodes(net.nodes, net.edges[1:])


def test_a_pass_that_breaks_the_graph_is_named_with_its_history() -> None:
    with pytest.raises(PassError, match=r"pass cutter failed after \[drop-identity\]"):
        run_passes(graph(), [DropIdentity(), Cutter()])


def liar(change: Any) -> Any:
    """A back end that is the reference but for a change of its trace."""
    module = ModuleType("liar")
    module.name = "liar"  # type: ignore[attr-defined]
    module.targets = reference.targets  # type: ignore[attr-defined]
    module.lower = lambda g, t: replace(reference.lower(g, t), backend="liar")  # type: ignore[attr-defined]

    def run(program: Program, given: Any, probes: Probes) -> Trace:
        trace = reference.run(program, given, probes)
        values = {name: array.copy() for name, array in trace.spikes.items()}
        states = {key: array.copy() for key, array in trace.states.items()}
        change(values, states)
        return Trace("liar", trace.target, values, states)

    module.run = run  # type: ignore[attr-defined]
    return module


def judge(change: Any, budget: Budget | None = None) -> Validated:
    made = compile_source(source(), Config(), discover())
    build = made.builds[0]
    who = liar(change)
    program = who.lower(build.quantized.graph, build.target)
    candidate = Candidate("fixed", program, who, build.quantized.scales, None)
    return validate(made.graph, [candidate], made.source.samples, reference, budget=budget or Budget())


def flip_spike(values: Any, states: Any) -> None:
    values["out"][2, 7, 1] ^= 1


def bend_state(values: Any, states: Any) -> None:
    states["lif", "v"][3, 5, 4] += 1


@pytest.mark.parametrize(("change", "where"), [(flip_spike, "sample 2, step 7, population out, neuron 1"),
                                               (bend_state, "sample 3, step 5, population lif, neuron 4")])  # fmt: skip
def test_one_wrong_number_fails_rung_5_and_is_located(change: Any, where: str) -> None:
    evidence = judge(change).evidence
    (rung,) = [r for r in evidence.rungs if r.rung == 5]
    assert not rung.passed
    assert rung.differing == 1
    assert where in rung.detail
    assert not evidence.passed


def engine_that(change: Any) -> Any:
    """The engine of a network's integers, with a change of every trace."""
    build = compile_source(source(), Config(), discover()).builds[0]
    plan = planner.plan(build.quantized.graph)

    def run(given: Any, probes: Probes, forced: Any) -> Trace:
        trace = engine.execute(plan, given, probes, forced=forced)
        values = {name: array.copy() for name, array in trace.spikes.items()}
        states = {key: array.copy() for key, array in trace.states.items()}
        change(values, states)
        return Trace("engine", trace.target, values, states)

    return Candidate("fixed", build.program, reference, build.quantized.scales, None, run)


@pytest.mark.parametrize(
    ("change", "passes"), [(flip_spike, False), (bend_state, False), (lambda _values, _states: None, True)]
)
def test_an_engine_that_lies_fails_rung_4(change: Any, passes: bool) -> None:
    done = validate(graph(), [engine_that(change)], source().samples, reference, budget=Budget())
    (rung,) = (rung for rung in done.evidence.rungs if rung.rung == 4)
    assert (rung.left, rung.right) == ("reference", "engine")
    assert rung.passed is passes
    assert rung.differing == (0 if passes else 2), "the free run and the driven one"


def test_an_honest_back_end_passes() -> None:
    evidence = judge(lambda values, states: None).evidence
    assert evidence.passed
    (rung,) = [r for r in evidence.rungs if r.rung == 5]
    assert rung.compared > 0


def test_altered_integers_show_in_rung_3_and_break_the_budget() -> None:
    made = compile_source(source(), Config(), discover())
    build = made.builds[0]
    fixed = build.quantized.graph
    head = fixed["head"]
    assert isinstance(head, Affine)
    assert isinstance(head.weight, Fixed)
    wrong = fixed.replace_node(replace(head, weight=Fixed(-head.weight.raw.clip(-127, 127), head.weight.format)))
    budget = Budget(None, 0.02)
    rows = {}
    for name, one in (("right", fixed), ("wrong", wrong)):
        program = reference.lower(one, build.target)
        candidate = Candidate("fixed", program, reference, build.quantized.scales, None)
        found = validate(made.graph, [candidate], made.source.samples, reference, budget=budget).evidence
        rows[name] = {row.population: row for row in found.layers}
        assert found.passed == (name == "right"), found.violations
    assert rows["right"]["lif"] == rows["wrong"]["lif"], "only the layer behind the altered weights changes"
    assert rows["wrong"]["out"].teacher_forced_differing > rows["right"]["out"].teacher_forced_differing


def test_chunks_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    import snnc.validation

    whole = judge(flip_spike).evidence
    monkeypatch.setattr(snnc.validation, "CHUNK", 3)
    parts = judge(lambda values, states: flip_spike(values, states) if len(values["out"]) == 3 else None).evidence
    assert [(r.rung, r.compared, r.differing, r.detail) for r in whole.rungs] == [
        (r.rung, r.compared, r.differing, r.detail) for r in parts.rungs
    ]
    assert whole.accuracy == parts.accuracy
    for a, b in zip(whole.layers, parts.layers, strict=True):
        assert (a.population, a.compared, a.cascaded_differing) == (b.population, b.compared, b.cascaded_differing)
        assert a.v_rms_cascaded == pytest.approx(b.v_rms_cascaded)


def test_without_labels_there_is_no_accuracy_and_no_demand_on_it() -> None:
    made = compile_source(source(labels=False), Config(), discover())
    build = made.builds[0]
    candidate = Candidate("fixed", build.program, reference, build.quantized.scales, None)
    found = validate(made.graph, [candidate], made.source.samples, reference, budget=Budget(1.0, None)).evidence
    assert found.accuracy == {"float": None, "fixed": None}
    assert found.passed


def test_all_violations_of_all_targets_come_at_once() -> None:
    net = graph()
    for name in ("lif", "out"):
        node = net[name]
        assert isinstance(node, Neuron)
        net = net.replace_node(replace(node, reset_v="subtract"))
    config = Config().override("compile", targets=("loihi1", "spinnaker1"))
    with pytest.raises(UnsupportedError) as caught:
        compile_source(replace(source(), graph=net), config, discover())
    blamed = {(v.node.split(":")[0], v.node.split(": ")[1]) for v in caught.value.violations}
    assert {(t, n) for t in ("loihi1", "spinnaker1") for n in ("lif", "out")} <= blamed


def test_an_unknown_allowance_is_refused() -> None:
    with pytest.raises(InputError, match="no allowance is called 'hard'"):
        check_allowed(("hard",), discover())


def test_the_conformance_suite_sees_a_lie_and_a_stale_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    import snnc.testing

    few: tuple[Case, ...] = tuple(case for case in cases() if case.name in ("dense", "soft_reset"))
    monkeypatch.setattr(snnc.testing, "cases", lambda: few)

    def suite(who: Any, unsupported: dict[str, str]) -> type[Conformance]:
        registry = Registry({"reference": reference, "liar": who})
        monkeypatch.setattr(snnc.testing, "discover", lambda: registry)
        return type("T", (Conformance,), {"backend": "liar", "unsupported": unsupported})

    def lie(values: Any, states: Any) -> None:
        values["lif1"][0, 3, 2] ^= 1

    suite(liar(lambda values, states: None), {})().test_conformance()
    with pytest.raises(NotEquivalentError, match="generic/dense: sample 0, step 3"):
        suite(liar(lie), {})().test_conformance()
    with pytest.raises(NotEquivalentError, match="soft_reset: listed as unsupported"):
        suite(liar(lambda values, states: None), {"soft_reset": "it is not"})().test_conformance()
