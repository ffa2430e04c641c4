"""Neurons to cores: what every core holds, counted again one weight at a time; and what no core holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.accounts import tables_json
from snnc.errors import DoesNotFitError
from snnc.ir import Affine, Conv, Edge, FixedGraph, Format, Input, Neuron, Node
from snnc.report import text
from snnc_loihi import backend
from snnc_loihi.lowering import plan_of
from snnc_loihi.mapping import RESOURCES, UNLIMITED, CoreLimits, CoreTable, map_cores
from snnc_loihi.paths import compose, paths_into
from snnc_loihi.plan import Plan
from snnc_loihi.synapse_memory import index_bits_of, words_of
from snnc_loihi.target import LOIHI1
from unit.loihi.loihi_nets import convolutional, dense, fixed, graph, neuron, pooled, recurrent, skipped

LIMITS = CoreLimits.of(LOIHI1)
NETS = {f.__name__: f for f in (dense, convolutional, pooled, skipped, recurrent)}


def chain(*nodes: Node) -> FixedGraph:
    edges = [Edge(a.name, b.name, int(isinstance(a, (Input, Neuron)))) for a, b in pairwise(nodes)]
    kept = [n.name for n in nodes if isinstance(n, (Input, Neuron))]
    return graph(nodes, tuple(edges), {name: i for i, name in enumerate(kept)})


def layer(name: str, outs: int, ins: int, share: float = 1.0) -> Affine:
    chosen = np.random.default_rng(outs).random((outs, ins)) < share
    return Affine(name, fixed(chosen.astype(np.int64), Format(8, -7)))


def table_of(net: FixedGraph, **limits: int) -> CoreTable:
    """The table under Loihi's limits, some of them changed: compartments=8, input_axons=3, cores=2."""
    each = dict(zip(RESOURCES, LIMITS.each, strict=True))
    each |= {key.replace("_", " "): n for key, n in limits.items() if key.replace("_", " ") in each}
    whole = {key: limits[key] for key in ("cores", "chips") if key in limits}
    return map_cores(plan_of(net), replace(LIMITS, each=tuple(each.values()), **whole))


def column(table: CoreTable, title: str) -> list[int]:
    index = list(RESOURCES.values()).index(title)
    return [core.used[index] for core in table.cores]


def violations(net: FixedGraph, **limits: int) -> list[Any]:
    with pytest.raises(DoesNotFitError) as caught:
        table_of(net, **limits)
    assert caught.value.exit_code == 4
    return list(caught.value.violations)


def worked_example() -> FixedGraph:
    return chain(Input("in", (784,)), layer("f", 256, 784), neuron("a", 256), layer("g", 10, 256), neuron("b", 10))


def test_worked_example() -> None:
    """784-256-10 with 8-bit weights: two cores of 128 neurons and 14,112 words, then one of 512 words."""
    assert words_of(np.array([256, 10, 0, 64, 65]), 8).tolist() == [36, 2, 0, 9, 10]
    assert words_of(np.array([10, 11, 10 + 64]), 5).tolist() == [1, 2, 6 + 1], "10 header bits, not 9"
    assert [index_bits_of(np.array([1, n])) for n in (1, 64, 65, 1024)] == [6, 6, 7, 10]
    table = table_of(worked_example())
    assert [(c.chip, c.core, c.population, c.first, c.last) for c in table.cores] == [
        (0, 0, "a", 0, 127), (0, 1, "a", 128, 255), (0, 2, "b", 0, 9),
    ]  # fmt: skip
    assert column(table, "synaptic words") == [14112, 14112, 512]
    assert column(table, "input axons") == [784, 784, 256]
    assert column(table, "output axons") == [128, 128, 0]
    assert table.utilization["neuro cores"] == (3, 128)
    assert table.utilization["chips"] == (1, 16384)
    assert table.utilization["synaptic words per core"] == (14112, 16384)
    # Without the header, or with one list per axon instead of blocks of 64, the numbers are others.
    assert 784 * ceil(128 * 8 / 64) != 14112 != 784 * ceil((10 + 128 * 8) / 64)


def counted_again(net: FixedGraph, table: CoreTable) -> list[tuple[int, ...]]:
    """Compartments, words, input axons and output axons of every core, by loops over matrices."""
    plan = plan_of(net)
    matrices = [compose(net, path)[0] for node in net.neurons for path in paths_into(net, node.name)]
    found = []
    for core in table.cores:
        words = axons = sent = 0
        mine = slice(core.first, core.last + 1)
        widest = max(c.last - c.first + 1 for c in table.cores if c.population == core.population)
        for one, matrix in zip(plan.synapses, matrices, strict=True):
            if one.target == core.population:
                own = one.weight_bits + (6 if one.kind == "delay" else 0)
                index = max(6, ceil(np.log2(widest)))
                for weights in matrix[mine].T:
                    if np.any(weights):
                        axons += 1
                        words += min(in_blocks(weights.size, own), in_blocks(np.count_nonzero(weights), own + index))
            if one.source == core.population:
                there = [matrix[c.first : c.last + 1, mine] for c in table.cores if c.population == one.target]
                sent += sum(int(np.any(part, axis=0).sum()) for part in there)
        found.append((core.last - core.first + 1, words, axons, sent))
    return found


def in_blocks(count: int, bits: int) -> int:
    return sum(ceil((10 + min(64, count - start) * bits) / 64) for start in range(0, count, 64))


@pytest.mark.parametrize("name", list(NETS))
@pytest.mark.parametrize("limits", [{}, {"compartments": 5}, {"compartments": 1}, {"synaptic_memory": 64}])
def test_every_core_is_counted_again(name: str, limits: dict[str, int]) -> None:
    net = NETS[name]().graph
    table = table_of(net, **limits)
    assert [core.used[:4] for core in table.cores] == counted_again(net, table)
    for one in net.neurons:
        held = [i for c in table.cores if c.population == one.name for i in range(c.first, c.last + 1)]
        assert held == list(range(int(np.prod(one.shape))))
    assert table == table_of(net, **limits)
    least = sum(-(-int(np.prod(n.shape)) // limits.get("compartments", 1024)) for n in net.neurons)
    assert len(table.cores) == least or "synaptic_memory" in limits


def test_a_population_is_split_no_further_than_needed() -> None:
    """One core fewer would be over a limit."""
    for limits in ({"input_axons": 40}, {"synaptic_memory": 120}, {"compartments": 7}):
        net = chain(Input("in", (96,)), layer("f", 60, 96, 0.06), neuron("a", 60))
        table = table_of(net, **limits)
        count = len(table.cores)
        assert 1 < count < 60
        plan, most = plan_of(net), next(iter(limits.values()))
        title = RESOURCES[next(iter(limits)).replace("_", " ")]
        assert max(column(table, title)) <= most
        assert fullest(plan, count - 1, title) > most


def fullest(plan: Plan, count: int, title: str) -> int:
    """The fullest core if compartments alone ask for so many cores."""
    each = tuple(-(-60 // count) if key == "compartments" else UNLIMITED for key in RESOURCES)
    return max(column(map_cores(plan, replace(LIMITS, each=each)), title))


@pytest.mark.parametrize(("most", "sent"), [(20, [20]), (19, [10, 10]), (7, [4, 6, 4, 6])])
def test_cores_of_targets_take_output_axons_of_sources(most: int, sent: list[int]) -> None:
    """10 neurons that each reach 2 cores, because those hold 10 words each."""
    net = chain(Input("in", (4,)), layer("f", 10, 4), neuron("a", 10), layer("g", 12, 10), neuron("b", 12))
    assert column(table_of(net), "output axons") == [10, 0]
    table = table_of(net, synaptic_memory=10, output_axons=most)
    assert sorted(column(table, "output axons")) == sorted([*sent, 0, 0])


def test_a_loop_pays_for_its_own_cores() -> None:
    """Split in two, every neuron of a loop sends to both halves."""
    loop = layer("g", 8, 8)
    nodes = (Input("in", (3,)), layer("f", 8, 3), neuron("a", 8), loop)
    edges = (Edge("in", "f", 1), Edge("f", "a"), Edge("a", "g", 2), Edge("g", "a"))
    net = graph(nodes, edges, {"in": 0, "a": 1})
    assert column(table_of(net), "output axons") == [8]
    assert column(table_of(net, compartments=4), "output axons") == [8, 8]


def test_a_population_is_looked_at_again_when_its_target_was_split() -> None:
    """In a loop no order is right at once: b is split by its memory, then a by its output axons."""
    back = np.zeros((6, 20), dtype=np.int64)
    back[:, :2] = 1
    nodes = (
        Input("in", (4,)), layer("f", 6, 4), neuron("a", 6), layer("g", 20, 6), neuron("b", 20),
        Affine("h", fixed(back, Format(8, -7))),
    )  # fmt: skip
    edges = (
        Edge("in", "f", 1), Edge("f", "a"), Edge("a", "g", 1), Edge("g", "b"), Edge("b", "h", 1), Edge("h", "a"),
    )  # fmt: skip
    net = graph(nodes, edges, {"in": 0, "a": 1, "b": 2})
    assert [(c.population, c.used[1], c.used[3]) for c in table_of(net).cores] == [("b", 18, 2), ("a", 6, 6)]
    table = table_of(net, synaptic_memory=16, output_axons=10)
    assert [(c.population, c.used[1], c.used[3]) for c in table.cores] == [
        ("b", 12, 4), ("b", 12, 0), ("a", 6, 6), ("a", 6, 6),
    ]  # fmt: skip


def test_chips_are_filled_one_after_the_other() -> None:
    tall = Input("in", (1, 400, 400))
    net = chain(tall, Conv("c", fixed([[[[1]]]], Format(8, -7)), None, (1, 1), (0, 0), (1, 1)), neuron("a", tall.shape))
    table = table_of(net)
    assert (len(table.cores), table.chips) == (157, 2)
    assert table.utilization["neuro cores"] == (157, 256)
    assert [(c.chip, c.core) for c in table.cores[126:130]] == [(0, 126), (0, 127), (1, 0), (1, 1)]
    (found,) = violations(net, chips=1)
    assert (found.node, found.quantity, found.found, found.allowed) == ("network", "chips", "2 (157 cores)", "1")
    assert "29 cores fewer" in found.fix


def test_what_no_core_holds_is_reported_at_once() -> None:
    net = chain(
        Input("in", (5000,)), layer("f", 3, 5000), neuron("a", 3), layer("g", 40, 3), neuron("b", 40),
        layer("h", 2, 40), neuron("c", 2),
    )  # fmt: skip
    found = violations(net, chips=1, cores=2, input_axons=39)
    assert [(v.node, v.quantity) for v in found] == [
        ("a", "input axons of one neuron"), ("c", "input axons of one neuron"), ("network", "chips"),
    ]  # fmt: skip
    first = found[0]
    assert first.found == "5000 (neuron 0; 3 of 3 neurons take too many)"
    assert first.allowed == "39"
    assert "Prune 4961 of its inputs" in first.fix


def test_the_smallest_change_is_enough_and_one_less_is_not() -> None:
    """5,000 inputs; 904 pruned fit, 903 do not."""

    def net(pruned: int) -> FixedGraph:
        raw = np.ones((2, 5000), dtype=np.int64)
        raw[:, :pruned] = 0
        return chain(Input("in", (5000,)), Affine("f", fixed(raw, Format(8, -7))), neuron("a", 2))

    (found,) = violations(net(0))
    assert found.fix.startswith("Prune 904 of its inputs")
    assert column(table_of(net(904)), "input axons") == [4096]
    assert violations(net(903))[0].fix.startswith("Prune 1 of its inputs")


def test_output_axons_of_one_neuron() -> None:
    """A neuron that reaches 12 cores of one neuron each."""
    net = chain(Input("in", (2,)), layer("f", 1, 2), neuron("a", 1), layer("g", 12, 1), neuron("b", 12))
    (found,) = violations(net, compartments=1, output_axons=9)
    assert (found.node, found.quantity, found.allowed) == ("a", "output axons of one neuron", "9")
    assert "3 fewer cores" in found.fix
    assert column(table_of(net, compartments=1, output_axons=12), "output axons")[0] == 12


def test_profiles_and_formats_are_counted_per_core() -> None:
    net = skipped().graph
    table = table_of(net)
    assert column(table, "decay profiles") == [1] * len(table.cores)
    plan = plan_of(net)
    mixed = tuple(replace(p, du=np.arange(p.size) % 3, vth=np.arange(p.size) % 4 + 1) for p in plan.populations)  # type: ignore[arg-type] # registers per neuron
    table = map_cores(replace(plan, populations=mixed), LIMITS)
    sizes = [c.last - c.first + 1 for c in table.cores]
    assert column(table, "decay profiles") == [min(3, n) for n in sizes]
    assert column(table, "threshold profiles") == [min(4, n) for n in sizes]
    few = replace(LIMITS, each=(*LIMITS.each[:5], 1, *LIMITS.each[6:]))
    split = map_cores(replace(plan, populations=mixed), few)
    assert {c.last - c.first for c in split.cores} == {0}, "neurons of different thresholds share no core"
    needed = max(column(table, "synapse formats"))
    assert needed > 1
    assert {v.quantity for v in violations(net, synapse_formats=needed - 1)} == {"synapse formats of one neuron"}


def test_limits_that_a_target_does_not_state_do_not_bind() -> None:
    limits = {key: value for key, value in LOIHI1.limits.items() if key not in ("input axons", "chips")}
    other = replace(LOIHI1, limits=limits)
    net = chain(Input("in", (5000,)), layer("f", 3, 5000), neuron("a", 3))
    table = map_cores(plan_of(net), CoreLimits.of(other))
    assert table.rows[0]["input axons"] == 5000
    assert table.rows[0]["compartments"] == (3, 1024)
    assert not {"input axons per core", "chips"} & set(table.utilization)


def test_the_program_carries_the_table() -> None:
    program = backend.lower(worked_example(), LOIHI1)
    rows = program.tables["cores"]
    assert len(rows) == 3
    assert rows[0]["population"] == "a"
    assert rows[0]["neurons"] == "0 to 127"
    assert rows[0]["synaptic words"] == (14112, 16384)
    with pytest.raises(TypeError):
        rows[0]["core"] = 7  # type: ignore[index]
    shown = text.render(text.own_table("cores", **tables_json(program)["cores"]), width=80)
    assert "Cores; chip 0; decay profiles 1 / 32" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["0", "a", "0", "to", "127", "128", "14,112", "784", "128"] in lines
    assert ["2", "b", "0", "to", "9", "10", "512", "256", "0"] in lines
    assert ["of", "1,024", "16,384", "4,096", "4,096"] in lines


def test_limits_of_the_target() -> None:
    stated: npt.NDArray[Any] = np.array(LIMITS.each)
    assert stated.tolist() == [1024, 16384, 4096, 4096, 32, 8, 8]
    assert (LIMITS.cores, LIMITS.chips) == (128, 16384)
