"""The benchmark's networks, and that it refuses to time what computes something else. Nothing is timed here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.ir import Fixed
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
NAMES = "ABCDE"


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """Imports modules of the benchmark by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "").parent == BENCHMARKS:
            del sys.modules[name]


@pytest.mark.parametrize("name", NAMES)
def test_workloads_are_the_same_in_every_run(bench: Any, name: str) -> None:
    workloads = bench("workloads")
    first, again = workloads.make(name), workloads.make.__wrapped__(name)
    for one, other in zip(first.layers, again.layers, strict=True):
        assert np.array_equal(one.weight.weight.raw, other.weight.weight.raw)
        assert np.array_equal(one.neuron.threshold.raw, other.neuron.threshold.raw)
        assert np.array_equal(one.neuron.bias.raw, other.neuron.bias.raw)
    assert np.array_equal(first.inputs(1), again.inputs(1))
    assert not np.array_equal(first.inputs(1), first.inputs(1, seed=2))


@pytest.mark.parametrize("name", NAMES)
def test_layers_fire_at_the_stated_rate_on_samples_that_they_were_not_tuned_on(bench: Any, name: str) -> None:
    workload = bench("workloads").make(name)
    spikes = workload.inputs(2 if name in "DE" else 8, seed=11)
    assert spikes.mean() == pytest.approx(workload.density, rel=0.1)
    trace = execute(workload.graph(), spikes)
    for one in workload.layers[:-1]:
        rate = float(trace.spikes[one.neuron.name].mean())
        assert workload.rate * 0.75 < rate < workload.rate * 1.35, one.neuron.name
    assert trace.spikes[workload.layers[-1].neuron.name].any()


@pytest.mark.parametrize("name", "ABC")
def test_both_targets_execute_the_same_numbers_with_their_own_delays(bench: Any, name: str) -> None:
    workload = bench("workloads").make(name)
    here, there = workload.graph("generic"), workload.graph("loihi1")
    assert (here.depth, there.depth) == (0, len(workload.layers))
    spikes = workload.inputs(2, seed=3)
    left, right = execute(here, spikes), execute(there, spikes)
    for population, sent in left.spikes.items():
        assert np.array_equal(sent, right.spikes[population])


def test_workload_shapes_are_those_of_the_bar(bench: Any) -> None:
    make = bench("workloads").make
    assert [make(name).steps for name in NAMES] == [32, 64, 100, 16, 4]
    assert [tuple(make(name).bars) for name in NAMES] == [(1, 64, 1024), (1, 32), (1, 64), (1, 16), (16,)]
    assert [make(name).neurons for name in NAMES] == [522, 8 * 17 * 17 + 16 * 9 * 9 + 10, 276, 8202, 147466]


def wrong_threshold(workload: Any) -> Any:
    """The network whose second layer fires one unit later."""
    neuron = workload.layers[1].neuron
    raised = replace(neuron, threshold=Fixed(neuron.threshold.raw + 1, neuron.threshold.format))
    return workload.graph().replace_node(raised)


def doctored(trace: Trace, **fields: Any) -> Trace:
    return replace(trace, **fields)


def candidates(workload: Any) -> dict[str, Any]:
    """Right and wrong executors; each wrong one is wrong in one way only."""
    graph, wrong = workload.graph(), wrong_threshold(workload)

    def right(spikes: Any, probes: Probes, _threads: int) -> Trace:
        return execute(graph, spikes, probes)

    def late(spikes: Any, probes: Probes, _threads: int) -> Trace:
        return execute(wrong, spikes, probes)

    def bad_state(spikes: Any, probes: Probes, threads: int) -> Trace:
        trace = right(spikes, probes, threads)
        states = {key: values + (key == ("lif2", "u")) for key, values in trace.states.items()}
        return doctored(trace, states=states)

    def no_state(spikes: Any, probes: Probes, threads: int) -> Trace:
        return doctored(right(spikes, probes, threads), states={})

    def bad_threads(spikes: Any, probes: Probes, threads: int) -> Trace:
        return right(spikes if threads == 1 else spikes[::-1], probes, threads)

    def last_sample(spikes: Any, probes: Probes, threads: int) -> Trace:
        given = spikes.copy()
        given[2:] = 0
        return right(given, probes, threads)

    def silent_layer(spikes: Any, probes: Probes, threads: int) -> Trace:
        trace = right(spikes, probes, threads)
        return doctored(trace, spikes={key: sent for key, sent in trace.spikes.items() if key != "lif1"})

    return {
        "right": right, "late": late, "bad_state": bad_state, "no_state": no_state, "bad_threads": bad_threads,
        "last_sample": last_sample, "silent_layer": silent_layer,
    }  # fmt: skip


def test_the_comparison_passes_what_is_right(bench: Any) -> None:
    workload = bench("workloads").make("A")
    right = candidates(workload)["right"]
    spikes = workload.inputs(4)
    assert bench("engines").compared({"event": right, "dense": right, "reference": right}, spikes) == []


@pytest.mark.parametrize("name", ["late", "bad_state", "no_state", "bad_threads", "last_sample", "silent_layer"])
def test_the_comparison_catches_a_wrong_candidate(bench: Any, name: str) -> None:
    workload = bench("workloads").make("A")
    every = candidates(workload)
    found = bench("engines").compared(
        {"event": every["right"], "dense": every[name], "reference": every["right"]}, workload.inputs(4)
    )
    assert found
    assert all(text.startswith("dense") for text in found)


def test_a_difference_ends_the_benchmark_before_anything_is_timed(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    engine, speed, every = bench("engine"), bench("speed"), candidates(bench("workloads").make("A"))

    def refuse(*_: object) -> None:
        pytest.fail("timed in spite of a difference")

    monkeypatch.setattr(bench("peers"), "prepare", lambda: None)
    monkeypatch.setattr(bench("peers"), "peers", lambda _: ({}, {}))
    monkeypatch.setattr(speed, "measure", refuse)
    monkeypatch.setattr(
        bench("engines"), "runners", lambda _: {"event": every["late"], "reference": every["right"]}
    )  # fmt: skip
    path = tmp_path / "figures.json"
    assert engine.main(["--workloads", "A", "--quick", "--json", str(path)]) == 1
    said = capsys.readouterr()
    assert "lif2" in said.err
    assert not said.out
    assert not path.exists()


def test_learning_is_compared_before_it_is_timed(bench: Any) -> None:
    learning = bench("learning")
    pre, post = learning.spikes(10)
    found = learning.executors(2)
    assert learning.differing(found, pre, post) == ""
    assert not np.array_equal(found["NumPy"].weights, learning.executors(2)["NumPy"].weights)
    other = {**learning.executors(2), "NumPy": learning.executors(3)["NumPy"]}
    assert learning.differing(other, pre, post) == "NumPy differs from the reference in step 1"
