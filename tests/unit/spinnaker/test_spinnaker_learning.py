"""Projections that learn: room for their weights, what is refused, blocks of rows, and the exported script."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from snnc.errors import InputError, SnncError, UnsupportedError
from snnc.ir import Add, Affine, Edge, Flatten, Graph, Input, Neuron, Node, Pool, Readout
from snnc.learning import LearningConfig, configure
from snnc.passes import run_passes
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc_reference.execute import execute
from snnc_reference.learning_rules import RuleLearning
from snnc_spinnaker.export import export_learning
from snnc_spinnaker.learn import Learning, build, weight_scale
from snnc_spinnaker.learn_run import LearningRun, emulate, train
from snnc_spinnaker.learner import learner
from snnc_spinnaker.ring import Layout, Ring
from snnc_spinnaker.rows import Row
from snnc_spinnaker.stdp import PlasticRow, Posts
from snnc_spinnaker.stdp_block import Block
from snnc_spinnaker.stdp_config import Pair, device_rule
from snnc_spinnaker.target import SPINNAKER1
from unit.spinnaker import fake_pynn
from unit.spinnaker.test_spinnaker_export import CONFIG, simulate

PAIR: dict[str, Any] = {
    "rule": "pair-stdp",
    "A_plus": 0.03,
    "A_minus": 0.02,
    "tau_plus": 5.0,
    "tau_minus": 6.0,
    "w_max": 0.5,
}


def chain(*nodes: Node, more: tuple[Edge, ...] = (), beside: tuple[Node, ...] = ()) -> Graph:
    return Graph((*nodes, *beside), (*(Edge(a.name, b.name) for a, b in pairwise(nodes)), *more))


def cell(name: str, size: int, **changed: Any) -> Neuron:
    return Neuron(name, shape=(size,), **{"decay_v": np.array(0.9), "fires": "ge", **changed})


def small(size: int = 8, most: float = 0.5, **changed: Any) -> Graph:
    rng = np.random.default_rng(1)
    return chain(
        Input("in", shape=(12,)), Affine("w", weight=rng.uniform(0, most, (size, 12))),
        cell("h", size, **{"decay_u": np.array(0.6), **changed}),
        Affine("w2", weight=rng.normal(0.2, 0.4, (3, size))), cell("o", 3), Readout("out"),
    )  # fmt: skip


def samples(graph: Graph, batch: int = 2, steps: int = 30) -> Any:
    (source,) = graph.inputs
    return (np.random.default_rng(2).random((batch, steps, *source.shape)) < 0.2).astype(np.int8)


def quantized(graph: Graph, *grows: tuple[str, float], **options: Any) -> tuple[Graph, Any]:
    graph, _ = run_passes(graph, SPINNAKER1.prepare)
    x = samples(graph)
    return graph, SPINNAKER1.quantize(graph, Calibration(x, execute(graph, x)), QuantizeOptions(grows=grows, **options))


def weights_of(graph: Any, name: str) -> Any:
    weight = graph[name].params()["weight"]
    return np.array(getattr(weight, "raw", weight))


def with_weights(graph: Graph, name: str, weights: Any) -> Graph:
    node = graph[name]
    assert isinstance(node, Affine)
    return graph.replace_node(replace(node, weight=weights))


def learning(graph: Graph, *configs: LearningConfig, room: bool = True) -> Learning:
    grows = tuple((one.projection, one.rule.w_max) for one in configs) if room else ()
    graph, made = quantized(graph, *grows)
    units = {one.projection: weight_scale(graph, made.graph, made.scales, one.projection) for one in configs}
    return build(made.graph, configs, units)


def test_the_scale_is_that_of_the_weights() -> None:
    graph, made = quantized(
        small(decay_u=np.linspace(0.2, 0.9, 8), gain=np.array(0.7), gain_u=np.array(0.4)), ("w", 0.5)
    )
    for name in ("w", "w2"):
        scale, weight = weight_scale(graph, made.graph, made.scales, name), weights_of(made.graph, name)
        assert np.array_equal(weight, np.rint(weights_of(graph, name) * scale))
    assert np.abs(weight).max() > 1000


def test_room_is_left_for_weights_that_grow() -> None:
    """Weights start at a twentieth of w_max: without room their words would pass 16 bits on the way."""
    graph = small(most=0.025)
    config = configure("w", **PAIR)
    made = learning(graph, config)
    (one,) = made.plastic
    top = int(one.rule.bounds[0, 1]) >> one.rule.shift[0]
    assert top * one.unit == pytest.approx(0.5)
    assert top <= 65535
    full = LearningRun(made)
    full.blocks["w"].weight[...] = top
    for time, now in enumerate(train(samples(graph), 0)):
        full.given = now
        full.blocks["w"].weight[...] = top
        full.step(time)
    assert full.saturations["h"] == 0
    loud = LearningRun(made)
    loud.blocks["w"].weight[...] = 65535
    for time in range(3):
        loud.given = np.ones(12)
        loud.step(time)
    assert loud.saturations["h"] > 0
    with pytest.raises(InputError, match=r"w_max is .* nA, allowed is at most .* with ring shift"):
        learning(graph, config, room=False)


def test_a_population_that_learns_has_one_scale() -> None:
    graph = small(gain=np.array(1.0))
    graph = with_weights(graph, "w", weights_of(graph, "w") * np.geomspace(0.01, 1, 8)[:, np.newaxis])
    ready, apart = quantized(graph, per_channel=True)
    with pytest.raises(UnsupportedError, match=r"w: weight scales is \d on h, allowed is 1"):
        weight_scale(ready, apart.graph, apart.scales, "w")
    ready, made = quantized(graph, ("w", 0.5), per_channel=True)
    assert weight_scale(ready, made.graph, made.scales, "w") >= 1


def test_every_pair_of_neurons_is_a_synapse() -> None:
    """Weights of 0 grow too: a static projection would leave them out."""
    graph = small()
    weights = weights_of(graph, "w")
    weights[:, :6] = 0.0
    made = learning(with_weights(graph, "w", weights), configure("w", **PAIR))
    links = made.machine.projections[made.plastic[0].number].links
    assert len(links.weight) == 96
    assert np.count_nonzero(links.weight == 0) == 48
    after = emulate(made, samples(graph)).weights["w"]
    assert np.count_nonzero(after[:6]) > 20
    assert np.array_equal(weights_of(made.learnt({"w": after}), "w"), after.T)


def test_relative_amplitudes_are_converted() -> None:
    absolute, relative = (
        learning(small(), configure("w", **{**PAIR, "A_plus": plus, "A_minus": minus, "amplitudes": form}))
        for plus, minus, form in ((0.03, 0.02, "absolute"), (0.06, 0.04, "relative"))
    )
    assert np.array_equal(absolute.plastic[0].rule.bounds, relative.plastic[0].rule.bounds)
    with pytest.raises(InputError, match="If it is meant relative to w_max"):
        configure("w", **{**PAIR, "w_max": 0.02, "A_plus": 0.03, "A_minus": 0.01})


def refused(kind: type[SnncError], text: str, graph: Graph, *configs: LearningConfig) -> None:
    with pytest.raises(kind, match=text):
        learning(graph, *configs)


def looped(delay: int, **changed: Any) -> Graph:
    rng = np.random.default_rng(5)
    loop = Affine("r", weight=rng.uniform(0, 0.3, (8, 8)))
    return chain(
        Input("in", shape=(12,)), Affine("w", weight=rng.uniform(0, 0.5, (8, 12))), Add("sum"), cell("h", 8, **changed),
        Readout("out"), more=(Edge("h", "r", delay), Edge("r", "sum")), beside=(loop,),
    )  # fmt: skip


def test_a_delay_that_fills_the_ring_is_refused() -> None:
    refused(InputError, r"delay is 4 steps, allowed is 1 to 3", looped(4), configure("r", **PAIR))
    assert learning(looped(3), configure("r", **PAIR)).plastic[0].rule.delayed_posts
    learning(looped(4), configure("w", **PAIR))


def test_a_delay_over_an_extension_is_refused() -> None:
    refused(InputError, r"delay is 1500 steps, allowed is 1 to 1023", looped(1500), configure("r", **PAIR))


def test_one_population_has_one_rule() -> None:
    two = configure("w", **PAIR), configure("r", **{**PAIR, "A_plus": 0.05})
    refused(
        UnsupportedError, "h on spinnaker1: rules is pair-stdp on w and pair-stdp on r, allowed is one", looped(2), *two
    )
    made = learning(looped(3), configure("w", **PAIR), configure("r", **PAIR))
    assert [one.name for one in made.plastic] == ["w", "r"]
    assert len({one.number for one in made.plastic}) == 2


def test_rules_that_the_programs_do_not_have_are_refused() -> None:
    refused(UnsupportedError, "triplet program", small(), configure("w", rule="triplet-stdp", w_max=0.5))
    refused(UnsupportedError, "w_min = 0", small(), configure("w", **{**PAIR, "rule": "soft-bound-stdp", "w_min": 0.1}))


def test_a_program_that_the_release_lacks_is_refused() -> None:
    """There is no IF_curr_delta_stdp_mad_pair_multiplicative.aplx."""
    soft = configure("w", **{**PAIR, "rule": "multiplicative-stdp"})
    text = r"rule is multiplicative-stdp \(multiplicative\) on IF_curr_delta"
    refused(UnsupportedError, text, small(decay_u=np.array(0.0)), soft)
    assert learning(small(decay_u=np.array(0.0)), configure("w", **PAIR)).machine.populations[0].words.kind == "delta"


def test_signs_do_not_learn() -> None:
    graph = small()
    weights = weights_of(graph, "w")
    weights[0, 0] = -0.2
    refused(InputError, r"weight is -.* nA", with_weights(graph, "w", weights), configure("w", **PAIR))
    refused(InputError, "give magnitudes", small(), configure("w", **{**PAIR, "w_min": -0.5}))


def test_amplitudes_below_a_weight_step_are_refused() -> None:
    tiny = configure("w", **{**PAIR, "A_plus": 1e-6})
    refused(InputError, r"A_plus is .* allowed is 0, or enough for a weight step", small(), tiny)


def test_shared_weights_do_not_learn() -> None:
    rng = np.random.default_rng(6)
    pooled = chain(
        Input("in", shape=(2, 12)), Pool("p", kernel=(2,), stride=(2,), padding=(0,)), Flatten("flat"),
        Affine("w", weight=rng.uniform(0, 0.3, (8, 12))), cell("h", 8), Readout("out"),
    )  # fmt: skip
    refused(
        UnsupportedError, r"w: on the way from in is p \(pool\), allowed is nothing", pooled, configure("w", **PAIR)
    )
    weight = Affine("w", weight=rng.uniform(0, 0.5, (8, 12)))
    twice = chain(
        Input("in", shape=(12,)), Affine("a", weight=np.eye(12)), cell("n", 12), Add("both"), weight, cell("h", 8),
        Readout("out"), more=(Edge("n", "both", 2),),
    )  # fmt: skip
    refused(UnsupportedError, "pairs of populations that share its weights", twice, configure("w", **PAIR))


def test_long_rows_take_fewer_neurons_a_core() -> None:
    made = learning(small(255), configure("w", **PAIR))
    assert [p.layout.neuron_bits for p in made.machine.populations] == [7, 2]
    made = learning(small(254), configure("w", **PAIR))
    assert made.machine.populations[0].layout.neuron_bits == 8


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_a_block_is_its_rows(kind: Literal["additive", "multiplicative"]) -> None:
    """Sparse and dense trains on many rows at once, against the rows that golden vectors prove."""
    rng = np.random.default_rng(7)
    form: dict[str, Any] = {"absolute" if kind == "additive" else "relative": (0.11, 0.09)}
    rule = device_rule(Pair(kind, 6.0, 9.0, 0.05, 1.5, **form), 2)
    for delay, late, rate in ((1, True, 0.02), (3, True, 0.3), (5, False, 0.1), (1, True, 0.6)):
        chosen = replace(rule, delayed_posts=late)
        start = rng.integers(0, 12000, (9, 7))
        block, rings, posts = Block(start, delay, 0), [Ring(Layout(3, 3), 7) for _ in range(2)], Posts(7)
        rows = []
        for words in start:
            part = np.concatenate([np.zeros(4, "<u2"), words.astype("<u2"), np.zeros(1, "<u2")]).view("<u4")
            rows.append(PlasticRow(Row(np.zeros(0, np.int64), part, delay << 4 | np.arange(7)), rings[1]))
        for time in range(120):
            posts.spike(chosen, time, np.flatnonzero(rng.random(7) < rate))
            sources = np.flatnonzero(rng.random(9) < 0.15)
            if sources.size:
                rings[0].add(time, delay, 0, block.arrive(chosen, posts, time, sources)[np.newaxis])
            for source in sources:
                rows[source].arrive(chosen, posts, rings[1], time)
            assert np.array_equal(block.weight, [row.weight for row in rows])
            assert np.array_equal(rings[0].take(time), rings[1].take(time))
        assert np.array_equal(np.stack([block.time, block.trace], 1), [(row.time, row.trace) for row in rows])
        assert np.mean(block.weight != start) > 0.9


def test_the_float_twin_is_as_far_as_flooring_takes_it() -> None:
    """account.device on the same trains: what is left is at most a step a change, downwards on average."""
    made = learning(small(), configure("w", **PAIR))
    (one,) = made.plastic
    rng = np.random.default_rng(8)
    pre, post = rng.random((200, 12)) < 0.08, rng.random((200, 8)) < 0.08
    pre[-1], post[-1] = True, False
    block, posts = Block(made.words(one), 1, 0), Posts(8)
    assert one.account.device is not None
    twin, wrong = (RuleLearning(one.account.device, made.words(one).T * one.unit) for _ in range(2))
    for time in range(200):
        posts.spike(one.rule, time, np.flatnonzero(post[time]))
        block.arrive(one.rule, posts, time, np.flatnonzero(pre[time]))
        # Over a delay of one step the synapse hears of a post spike a step late.
        twin.step(pre[time], post[time - 1] if time else np.zeros(8, dtype=bool))
        wrong.step(pre[time], post[time])
    error = block.weight.T - twin.weights / one.unit
    changes = pre.sum() / 12 + post.sum() / 8
    assert np.abs(error).max() < 2 * changes
    assert -changes < error.mean() < 0
    assert np.abs(block.weight.T - wrong.weights / one.unit).max() > 5 * np.abs(error).max()


def exported(made: Learning, folder: Path, **changed: Any) -> Path:
    for name, content in export_learning(made).items():
        (folder / name).write_bytes(content)
    if changed:
        data = dict(np.load(folder / "spynnaker_learning.npz", allow_pickle=False))
        found = json.loads(str(data["network"]))
        for entry in found["projections"]:
            if entry["rule"] is not None:
                entry["rule"] |= changed
        data["network"] = np.array(json.dumps(found))
        np.savez(folder / "spynnaker_learning.npz", **data)
    return folder / "run_spynnaker_learning.py"


def scripted(script: Path, x: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, fake_pynn.Simulator]:
    """Trace and weights of the script on the stand-in."""
    trace, sim = simulate(script, x, monkeypatch)
    with np.load(script.with_name("y.npz"), allow_pickle=False) as file:
        return trace, {key: file[key] for key in file.files if key.startswith("weights/")}, sim


def test_the_script_learns_as_the_emulator_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rule, graph in (("pair-stdp", looped(3)), ("multiplicative-stdp", looped(3, decay_u=np.array(0.5)))):
        made = learning(graph, *(configure(name, **{**PAIR, "rule": rule}) for name in ("w", "r")))
        x = samples(graph, 2, 14)
        trace, weights, sim = scripted(exported(made, tmp_path), x, monkeypatch)
        assert sim.setups == 1
        want = emulate(made, x)
        assert set(weights) == {"weights/w", "weights/r"}
        for one in made.plastic:
            assert np.array_equal(weights[f"weights/{one.name}"], want.weights[one.name].T * one.unit)
            assert np.mean(want.weights[one.name] != made.words(one)) > 0.8
        span = 14 + made.pause
        for number in range(2):
            now = slice(number * span + 1, number * span + 15)
            assert np.array_equal(trace.spikes["h"][number], want.spikes["h"][now])
            assert np.array_equal(trace.states["h", "u_exc"][number], want.states["h", "u_exc"][now])
        alone, _, _ = scripted(exported(made, tmp_path), x[1], monkeypatch)
        assert alone.spikes["h"].shape == (1, 14, 8)
        assert not np.array_equal(alone.spikes["h"][0], trace.spikes["h"][1])


SWAPPED = {"tau_plus": 6.0, "tau_minus": 5.0}
WRONG: dict[str, dict[str, Any]] = {
    "times": SWAPPED,
    "relative": {"A_plus": 0.06},
    "kind": {"kind": "multiplicative"},
    "bound": {"w_max": 30.0},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_rule_in_the_script_is_noticed(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = learning(small(), configure("w", **PAIR))
    x = samples(small())
    _, weights, _ = scripted(exported(made, tmp_path, **WRONG[what]), x, monkeypatch)
    want = emulate(made, x).weights["w"].T * made.plastic[0].unit
    assert np.count_nonzero(weights["weights/w"] != want) > 20


@pytest.mark.skipif(importlib.util.find_spec("spynnaker") is None, reason="sPyNNaker is not installed")
def test_the_tools_take_the_rule_from_the_script(tmp_path: Path) -> None:
    """On the virtual board: the words of the rule lie in the data of the core that learns, in its STDP program."""
    made = learning(small(), configure("w", **PAIR))
    script = exported(made, tmp_path)
    more = "keep_dataspec_database = True\n[Mode]\nmode = Production\n"
    (tmp_path / ".spynnaker.cfg").write_text(CONFIG + more)
    np.savez(tmp_path / "x.npz", spikes=samples(small()))
    run: Callable[..., Any] = subprocess.run
    done = run([sys.executable, script, "x.npz", "y.npz"], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)},
               capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (database,) = tmp_path.glob("reports/*/run_1/ds.sqlite3")
    with closing(sqlite3.connect(database)) as reports:
        regions = [content or b"" for (content,) in reports.execute("select content from region")]
    rule = made.plastic[0].rule
    for words in (rule.bounds[0].astype("<i4"), rule.plus.astype("<i2"), rule.minus.astype("<i2")):
        assert sum(words.tobytes() in region for region in regions) == 1


def test_a_saved_state_of_another_network_is_refused() -> None:
    graph, made = quantized(small(), ("w", 0.5))
    other_graph, other = quantized(small(7), ("w", 0.5))
    one = learner(graph, made.graph, made.scales, (configure("w", **PAIR),))
    two = learner(other_graph, other.graph, other.scales, (configure("w", **PAIR),))
    with pytest.raises(InputError, match="does not belong to this network"):
        two.restore(one.state())
    with pytest.raises(InputError, match="does not belong"):
        two.restore({})
    one.set_weights("w", np.full((8, 12), 9.0))
    assert one.raw["w"].max() == int(one.learning.plastic[0].rule.bounds[0, 1]) >> one.learning.plastic[0].rule.shift[0]
    with pytest.raises(InputError, match="projection that learns"):
        one.set_weights("w2", np.zeros((3, 8)))
    with pytest.raises(UnsupportedError, match="Learn with fixed thresholds"):
        one.set_thresholds("h", 1.0)
