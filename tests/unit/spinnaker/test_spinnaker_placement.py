"""Placement: slices, keys, cores, routes, memory and events, and what is said when something does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden_kinds
import kinds_spinnaker_maps
import numpy as np
import pytest
from golden_base import read
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds_spinnaker_maps import delivered

from snnc.errors import DoesNotFitError
from snnc.ir import Affine, Edge, Fixed, Format, Graph, Input, Neuron
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc.target import Limit, Target
from snnc_reference.execute import execute
from snnc_spinnaker import arith, backend, placement, placement_board, placement_demand, placement_routes
from snnc_spinnaker.connect import Connections
from snnc_spinnaker.network import Machine, Population, Projection, Source
from snnc_spinnaker.placement import Link, Vertex, allocate, extension, place, stages
from snnc_spinnaker.placement_demand import Demand
from snnc_spinnaker.placement_report import Report
from snnc_spinnaker.placement_routes import route
from snnc_spinnaker.ring import Layout
from snnc_spinnaker.target import SPINNAKER1
from snnc_spinnaker.words import Words

VECTORS = Path(__file__).resolve().parents[2] / "golden" / "vectors"


def differing() -> int:
    tally = golden_kinds.replay("mapping_reference", read(VECTORS / "mapping_reference.json"))
    assert tally.compared > 500
    return len(tally.mismatches)


def test_the_tools_answers_are_reproduced() -> None:
    assert differing() == 0


def late_stage(delay: int, reach: int) -> int:
    return delay // reach + 2


def first_core_of_all(chip: Any) -> tuple[int, ...]:
    return tuple(range(2, 17 if chip in placement_board.NARROW else 18))


def entries_of_slices(vertex: Any, parts: Any, chip: Any, ways: Any) -> Any:
    wide = replace(vertex, per_core=1, size=1)
    return [e for k in ways for e in MERGED(wide, [parts[k]], chip, {0: ways[k]})]


def whole_population(vertex: Any, ways: Any, index: int, bits: int) -> bool:
    return True


MERGED = placement_routes._merged
WRONG: dict[str, tuple[Any, str, Any]] = {
    "three colour bits": (placement, "COLOUR_BITS", 3),
    "the gatherer's core is used": (placement, "cores", first_core_of_all),
    "every chip has 18 cores": (placement_board, "NARROW", frozenset()),
    "chips row by row": (placement, "CHIPS", tuple(sorted(placement_board.CHIPS, key=lambda c: (c[1], c[0])))),
    "neighbours from the south": (placement, "neighbours", lambda c: placement_board.neighbours(c)[::-1]),
    "one stage too many": (placement, "stages", late_stage),
    "no merging": (placement_routes, "_merged", entries_of_slices),
    "always merged": (placement_routes, "_agree", whole_population),
    "14 words a neuron": (placement_demand, "MODEL_WORDS", {"exp": 14, "delta": 13}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, wrong = WRONG[name]
    monkeypatch.setattr(module, attribute, wrong)
    if name == "one stage too many":
        net = kinds_spinnaker_maps.NETS["delay_extension"]
        more = replace(net.vertices[2], stages=late_stage(100, 32))
        changed = {**kinds_spinnaker_maps.NETS, "delay_extension": replace(net, vertices=(*net.vertices[:2], more))}
        monkeypatch.setattr(kinds_spinnaker_maps, "NETS", changed)
    try:
        assert differing() > 0
    except (AssertionError, ValueError) as error:  # a table without a line for a key
        assert "fit together" in str(error)  # noqa: PT017


def test_the_board_has_the_cores_that_the_tools_have() -> None:
    assert len(placement_board.CHIPS) == 48
    assert sum(len(placement_board.cores(chip)) for chip in placement_board.CHIPS) == 759
    assert SPINNAKER1.limits["cores"].value == 759
    assert [len(placement_board.cores(chip)) for chip in ((0, 0), (1, 1), (7, 7))] == [15, 15, 16]


@given(st.integers(1, 4000), st.integers(1, 256), st.integers(1, 4000), st.integers(1, 256), st.integers(0, 1 << 30))
@settings(max_examples=25, deadline=None)
def test_every_key_reaches_exactly_the_slices_that_are_linked(a: int, na: int, b: int, nb: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = [Vertex("a", a, max(na, a // 150 + 1)), Vertex("b", b, max(nb, b // 150 + 1)), Vertex("c", 40, 1)]
    names = [v.name for v in vertices]
    links = []
    for source, target in [("a", "b"), ("b", "b"), ("b", "a"), ("c", "a")]:
        sizes = [vertices[names.index(name)].slices for name in (source, target)]
        grid = rng.random(sizes) < rng.choice([0.05, 0.9])
        links.append(Link(source, target, frozenset((int(i), int(j)) for i, j in np.argwhere(grid))))
    slices = place(vertices, links)
    assert len({(s.chip, s.core) for s in slices}) == len(slices)
    made = route(vertices, links, slices)
    table = [(e.chip, e.key, e.mask, e.route) for e in made.entries]
    for part in slices:
        heard = sorted((*t.chip, t.core) for link in links for t in slices if link.source == part.vertex
                       if t.vertex == link.target and (part.index, t.index) in (link.pairs or ()))  # fmt: skip
        assert part.key is not None
        if heard:
            for neuron in (0, part.size - 1):
                key = part.key + (neuron << 4) + 9
                assert delivered(table, part.chip, key).tolist() == [key, *np.array(sorted(set(heard))).ravel()]
    for chip, before in made.before.items():
        assert len(made.on(chip)) <= before


def test_keys_that_need_more_than_32_bits_are_refused() -> None:
    vertices = [Vertex(f"p{k}", 1 << 27, 256) for k in range(3)]
    with pytest.raises(DoesNotFitError, match="key bits is 33"):
        allocate(vertices, [Link(v.name, "p0") for v in vertices])
    assert allocate(vertices[:2], [Link(v.name, "p0") for v in vertices[:2]]) == {"p0": 0, "p1": 1 << 31}


@pytest.mark.parametrize(("delay", "reach", "count"), [(1, 32, 0), (32, 32, 0), (33, 32, 1), (64, 32, 1), (100, 32, 3)])
def test_stages_of_a_delay_extension(delay: int, reach: int, count: int) -> None:
    assert stages(delay, reach) == count
    assert 1 <= delay - count * reach <= reach
    found = extension(Vertex("a", 300, 256), delay, reach)
    assert (found is None) == (count == 0)
    assert found is None or (found.name, found.stages, found.slices) == ("a_delayed", count, 2)


def population(name: str, size: int, bits: int = 8, delay_bits: int = 1) -> Population:
    row = np.array([0, 0, 32768, 327680, 0, 0, 0, 0, 32768])
    words = Words("exp", np.tile(row, (size, 1)), np.full(size, 32768), np.tile([32768, 0, 32768, 0, 32768], (size, 1)))
    return Population(name, words, 3, Layout(min(bits, (size - 1).bit_length()), delay_bits))


def dense(source: str, target: str, sizes: tuple[int, int], delay: int = 1) -> Projection:
    pre, post = (index.ravel() for index in np.indices(sizes))
    return Projection(source, target, 0, delay, Connections(pre, post, np.full(len(pre), 5), sizes))


def machine(**changed: Any) -> Machine:
    """100 sources onto 300 neurons."""
    whole = Machine((Source("in", 100, "array"),), (population("n", 300),), (dense("in", "n", (100, 300)),))
    return replace(whole, **changed)


def late_machine(wide: int, delay: int) -> Machine:
    """Sources onto 60 neurons whose rings have 128 slots."""
    return Machine((Source("in", wide, "array"),), (population("n", 60, 6, 7),), (dense("in", "n", (wide, 60), delay),))


def limited(**values: int) -> Target:
    limits = dict(SPINNAKER1.limits)
    for key, value in values.items():
        name = key.replace("_", " ")
        limits[name] = Limit(value, limits[name].unit, "test")
    return replace(SPINNAKER1, limits=limits)


def test_loads_are_counted_from_connections() -> None:
    source, first, second = Demand(machine()).loads()
    assert (source.part.size, source.synapses, source.dtcm) == (100, 0, 0)
    assert (first.synapses, first.row, first.events) == (25600, 256, 25600.0)
    assert (second.synapses, second.row, second.events) == (4400, 44, 4400.0)
    assert first.matrix == 100 * (256 + 3) * 4
    assert first.sdram == first.matrix + 28 + 4 * 256 + 2 * (4 + 60 * 256) + 52 + 8 * 256 + 8 + 20 + 4 + 36
    assert first.dtcm > (2 << 10) + 256 * 60


def test_events_follow_rates_and_the_limit_that_of_plasticity() -> None:
    rates = np.zeros(100)
    rates[:10] = 0.25
    report = Report(machine(), SPINNAKER1, {"in": rates})
    rows = report.tables()["cores"]
    assert [row["synaptic events per ms, predicted"] for row in rows] == [(0, 13000), (640, 13000), (110, 13000)]
    assert rows[1]["synaptic events per ms, worst case"] == (25600, 13000)
    assert "synaptic events per ms, predicted" not in Report(machine(), SPINNAKER1).tables()["cores"][1]
    worst = Report(machine(), SPINNAKER1, stdp=True).tables()["cores"]
    assert worst[1]["synaptic events per ms, worst case"] == (25600, 1400)
    assert worst[1]["DTCM bytes"][0] == rows[1]["DTCM bytes"][0] + 100 * 256


def test_delay_extensions_are_placed_and_said() -> None:
    report = Report(late_machine(100, 257), SPINNAKER1)
    tables = report.tables()
    assert [(row["core"], row["neurons"][0]) for row in tables["cores"]] == [
        ("in(0:99)", 100), ("n(0:59)", 60), ("in_delayed(0:99)", 100),
    ]  # fmt: skip
    assert tables["cores"][2]["key"] == "0x00001000"
    assert tables["delay extensions"] == (
        {"source": "in", "cores": 1, "neurons per core": (100, 100), "stages": (2, 8), "steps a stage": 128,
         "steps kept": 512},
    )  # fmt: skip
    assert report.utilization["DTCM bytes"] == (512 * (100 + 12) + 65536 - 58368, 65536)
    assert report.utilization["cores"][0] == 3


def test_tables_say_what_is_used() -> None:
    report = Report(machine(), SPINNAKER1)
    tables = report.tables()
    (row,) = tables["populations"]
    assert (row["ring shift"], row["effective weight bits"], row["largest weight"]) == (3, (3, 16), (5, 65535))
    assert row["leak e"] == f"{int(arith.expk(-3276)) / 32768:.7g}"
    assert [r["key"] for r in tables["cores"]] == ["0x00000000", "none", "none"]
    (chip,) = tables["chips"]
    assert chip["cores"] == (3, 15)
    assert chip["router entries"] == (1, 1023)
    assert report.utilization["row words"] == (256, 256)
    assert report.utilization["SDRAM bytes"][0] == chip["SDRAM bytes"][0]
    for rows in tables.values():
        assert len({tuple(row) for row in rows}) == 1


BAD: dict[str, tuple[Callable[[], Report], str, str]] = {
    "cores": (
        lambda: Report(machine(), limited(cores=2)),
        "cores: used is 3, allowed is at most 2",
        "Remove 44 of 300 neurons of n.",
    ),
    "too many neurons on a core": (
        lambda: Report(machine(populations=(population("n", 300, bits=9),)), SPINNAKER1),
        "neurons per core is 300, allowed is at most 256",
        "Cut it into 2 slices of at most 256.",
    ),
    "ring bits": (
        lambda: Report(machine(populations=(population("n", 300, delay_bits=6),)), SPINNAKER1),
        "ring bits is 15 (8 neuron + 1 receptor + 6 delay), allowed is at most 14",
        "It fits with 128 neurons a core or with delays of at most 32 steps.",
    ),
    "delay": (
        lambda: Report(machine(projections=(dense("in", "n", (100, 300), 2050),)), SPINNAKER1),
        "delay from in is 2050 steps, allowed is at most 2048",
        "Shorten it by 2 steps, or pass the spikes on through a population of its own",
    ),
    "delay stages": (
        lambda: Report(late_machine(100, 1200), SPINNAKER1),
        "in: delay stages is 9, allowed is at most 8",
        "longer rings than 128 steps",
    ),
    "memory of a delay extension": (
        lambda: Report(late_machine(101, 257), SPINNAKER1),
        "in_delayed(0:100): DTCM bytes is 66560, allowed is at most 65536",
        "halve the neurons of a core (101)",
    ),
    "row": (
        lambda: Report(machine(), limited(row_words=128)),
        "n(0:255): row words is 256, allowed is at most 128",
        "Put 128 neurons on a core instead of 256.",
    ),
    "memory": (
        lambda: Report(machine(), limited(DTCM_bytes=20000)),
        "DTCM bytes is",
        "halve the neurons of a core (256)",
    ),
    "router": (lambda: Report(machine(), limited(router_entries=0)), "0,0: router entries is 1", "1 fewer slices"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_with_what_would(name: str) -> None:
    call, found, fix = BAD[name]
    with pytest.raises(DoesNotFitError) as caught:
        call()
    assert found in str(caught.value)
    assert fix in str(caught.value)


def test_the_change_that_is_named_is_enough_and_the_smallest() -> None:
    for size, fits in ((256, True), (257, False)):
        smaller = machine(populations=(population("n", size),), projections=(dense("in", "n", (100, size)),))
        if fits:
            Report(smaller, limited(cores=2))
        else:
            with pytest.raises(DoesNotFitError):
                Report(smaller, limited(cores=2))
    for held in (7, 6):
        shorter = machine(populations=(population("n", 300, bits=held, delay_bits=7),))
        if held == 6:
            Report(shorter, SPINNAKER1)
        else:
            with pytest.raises(DoesNotFitError, match="It fits with 64 neurons a core or with delays of at most 64"):
                Report(shorter, SPINNAKER1)


def test_everything_that_does_not_fit_is_said_at_once() -> None:
    late = (dense("in", "n", (100, 300), 2100), dense("in", "n", (100, 300), 2300))
    bad = machine(populations=(population("n", 300, bits=9, delay_bits=9),), projections=late)
    with pytest.raises(DoesNotFitError) as caught:
        Report(bad, limited(cores=1))
    assert [v.quantity for v in caught.value.violations] == [
        "used", "neurons per core", "ring bits", "delay from in", "delay from in",
    ]  # fmt: skip


def test_slices_shrink_with_delays_and_the_report_says_so() -> None:
    slim = machine(populations=(population("n", 300, bits=6, delay_bits=7),))
    with pytest.raises(DoesNotFitError, match=r"64 neurons a core because of 128 delay slots; delays up to 64 steps"):
        Report(slim, limited(cores=5))


def test_a_board_without_neighbours_left_is_refused() -> None:
    vertices = [Vertex("a", 750, 1), Vertex("b", 20, 1)]
    with pytest.raises(DoesNotFitError, match=r"b: cores is 20 \(20 neurons, 1 a core\)"):
        place(vertices, [])
    assert len(place([vertices[0], Vertex("b", 9, 1)], [])) == 759


def test_weights_that_would_wrap_are_refused_with_what_the_host_would_store() -> None:
    x = np.ones((1, 4, 3), np.int8)
    nodes = (Input("in", (3,)), Affine("w", np.ones((4, 3))), Neuron("n", (4,), decay_v=np.array(0.9)))
    graph = Graph(nodes, (Edge("in", "w"), Edge("w", "n")))
    made = SPINNAKER1.quantize(graph, Calibration(x, execute(graph, x)), QuantizeOptions()).graph
    raw = np.array([[65536 + 7, -70000, 5]] * 4)
    heavy = made.replace_node(Affine("w", Fixed(raw, Format(18, 10))))
    with pytest.raises(DoesNotFitError) as caught:
        backend.lower(heavy, SPINNAKER1)
    text = str(caught.value)
    assert "exc weight from in is 65543, which the host would store as 7, allowed is at most 65535" in text
    assert "inh weight from in is 70000, which the host would store as 4464" in text
    assert "Quantize with 1 weight bit fewer (4 of 8 synapses are beyond)." in text
