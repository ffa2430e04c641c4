"""hard-reset: what it changes, that it is never silent, and that accuracy alone would hide what it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnc.backend import discover
from snnc.capture import capture, load_model
from snnc.config import Config
from snnc.errors import UnsupportedError
from snnc.evidence import Evidence
from snnc.ir import Affine, Edge, Graph, Input, Neuron, Readout
from snnc.ladder import PassWitness
from snnc.metrics import accuracy
from snnc.passes import DEFAULT, HardenReset, run_passes
from snnc.pipeline import Compilation, compile_source
from snnc.report import text, words
from snnc.sources import Source
from snnc.trace import Probes, Samples
from snnc.validation import Candidate, validate
from snnc_reference import backend as reference
from snnc_reference.execute import execute

MODEL = Path(__file__).resolve().parents[3] / "models" / "digits_mlp.py"


def one(weight: float = 1.75, **fields: object) -> Graph:
    """One neuron without leak, driven in every step."""
    given = {"decay_v": 1.0, "reset_v": "subtract", **fields}
    nodes = (Input("in", (1,)), Affine("fc", np.full((1, 1), weight)), Neuron("lif", (1,), **given), Readout("out"))  # type: ignore[arg-type]
    return Graph(nodes, (Edge("in", "fc"), Edge("fc", "lif"), Edge("lif", "out")))


def membrane(graph: Graph, steps: int = 4) -> list[float]:
    trace = execute(graph, np.ones((1, steps, 1), dtype=np.int8), Probes("all", "all"))
    return [float(v) for v in trace.states["lif", "v"].reshape(-1)]


def test_what_exceeds_the_threshold_is_lost() -> None:
    assert membrane(one()) == [0.75, 1.5, 2.25, 3.0]
    assert membrane(HardenReset()(one())) == [0.0, 0.0, 0.0, 0.0]
    assert membrane(HardenReset()(one(0.75))) == [0.75, 0.0, 0.75, 0.0], "soft would leave 0.5, then 0.25"


def test_the_reset_goes_to_the_resting_value() -> None:
    graph = one(0.6, v_rest=-0.5, v_init=-0.5, decay_v=0.9)
    node = HardenReset()(graph).neurons[0]
    assert (node.reset_v, float(node.v_rest), float(node.threshold)) == ("zero", 0.0, 1.5)  # type: ignore[arg-type]
    by_hand = replace(graph.neurons[0], reset_v="value", v_reset=np.array(-0.5))
    drive = np.ones((1, 9, 1), dtype=np.int8)
    expected = execute(graph.replace_node(by_hand), drive).spikes["lif"]
    assert np.array_equal(execute(HardenReset()(graph), drive).spikes["lif"], expected)
    wrong = replace(graph.neurons[0], reset_v="zero")
    assert not np.array_equal(execute(graph.replace_node(wrong), drive).spikes["lif"], expected)


@pytest.mark.parametrize("fields", [{"reset_v": "zero"}, {"reset_v": "value", "v_reset": 0.5}, {"reset_v": "none"}])
def test_other_resets_are_left_alone(fields: dict[str, object]) -> None:
    graph = one(**fields)  # type: ignore[arg-type]
    assert HardenReset()(graph) is graph


def test_a_late_reset_stays_late() -> None:
    assert HardenReset()(one(reset_delay=1)).neurons[0].reset_delay == 1


def soft_digits() -> tuple[Graph, Samples]:
    """The digits network as if it had been trained with the soft reset."""
    loaded = load_model(str(MODEL))
    assert loaded.samples is not None
    graph, _ = run_passes(capture(loaded.module, loaded.samples.spikes).graph, DEFAULT)
    for node in graph.neurons:
        graph = graph.replace_node(replace(node, reset_v="subtract"))
    return graph, loaded.samples


def test_accuracy_barely_moves_and_spikes_do() -> None:
    """The control of the report: who looks at accuracy alone would call the pass harmless."""
    graph, samples = soft_digits()
    witness = PassWitness(reference, samples.spikes)
    hard, history = run_passes(graph, [HardenReset()], witness)
    assert [(entry.name, entry.preserves, entry.changed) for entry in history] == [("hard-reset", "approximate", True)]
    assert graph.output is not None
    assert samples.labels is not None
    right = [accuracy(execute(g, samples.spikes).counts(graph.output.name), samples.labels) for g in (graph, hard)]
    assert abs(right[0] - right[1]) < 0.02
    rung = witness.rungs[0]
    assert rung.passed
    assert rung.differing / rung.compared > 0.02
    part = words.share(rung.differing, rung.compared)
    assert words.outcome(rung) == f"approximated ({part})"
    said = f"approximated: hard-reset changed {rung.differing:,} of {rung.compared:,} spike bins ({part})"
    assert words.approximations(Evidence((rung, rung))) == [said], "two targets may ask for the same"
    assert said in " ".join(text.render(*text.evidence_parts(Evidence((rung,))), width=200).split("\n"))


def test_a_pass_that_changed_nothing_is_no_approximation() -> None:
    witness = PassWitness(reference, np.zeros((1, 3, 1), dtype=np.int8))
    run_passes(one(), [HardenReset()], witness)
    assert words.outcome(witness.rungs[0]) == "pass"
    assert words.approximations(Evidence(tuple(witness.rungs))) == []


def compiled(target: str, *allow: str) -> tuple[Compilation, Samples]:
    spikes = (np.random.default_rng(0).random((6, 12, 8)) < 0.5).astype(np.int8)
    weight = np.random.default_rng(1).normal(0.3, 0.5, (10, 8))
    nodes = (
        Input("in", (8,)),
        Affine("fc", weight),
        Neuron("lif", (10,), decay_v=0.9, reset_v="subtract"),
        Readout("o"),
    )
    graph = Graph(nodes, (Edge("in", "fc"), Edge("fc", "lif"), Edge("lif", "o")))
    samples = Samples(spikes)
    config = Config().override("compile", targets=(target,), allow=allow)
    return compile_source(Source("net", "0", graph, samples), config, discover()), samples


@pytest.mark.parametrize("target", ["loihi1", "spinnaker1"])
def test_targets_without_a_soft_reset_refuse_it_and_name_the_allowance(target: str) -> None:
    with pytest.raises(UnsupportedError, match="--allow hard-reset") as caught:
        compiled(target)
    assert [v.quantity for v in caught.value.violations or ()] in ([], ["reset_v"])


@pytest.mark.parametrize("target", ["loihi1", "spinnaker1"])
def test_allowed_it_shows_on_rung_2_and_on_rung_3(target: str) -> None:
    compilation, samples = compiled(target, "hard-reset")
    rung = next(r for r in compilation.rungs if r.right == "after hard-reset")
    assert rung.differing > 0.02 * rung.compared
    made = {b.target.name: b for b in compilation.builds}
    assert {n.reset_v for n in made["generic"].graph.neurons} == {"subtract"}, "nobody allowed it there"
    ladder = [Candidate(name, b.program, reference, b.quantized.scales, None) for name, b in made.items()]
    found = validate(compilation.graph, ladder, samples, reference, budget=compilation.config.budget).evidence
    unlike = {row.target: row.cascaded_differing for row in found.layers}
    assert unlike["generic"] < 0.01 * rung.compared
    assert unlike[target] > 0.5 * rung.differing
