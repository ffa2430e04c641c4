"""Ternary, adaptive and graded populations of the reference against plain Python loops over unbounded integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.errors import TraceError, UnsupportedError
from snnc.ir import (
    Affine,
    Atrlif,
    Conventions,
    Delta,
    Edge,
    Fixed,
    FixedGraph,
    Format,
    Graph,
    Input,
    Neuron,
    Node,
    Sigma,
    SigmaDelta,
)
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from snnc_reference.refusals import refusals

WIDE, DECAY = Format(48), Format(16, 12)
Values = dict[str, list[int]]
RNG = np.random.default_rng(31)
LIF = {
    "gain": 1, "gain_u": 1, "decay_u": 3000, "decay_v": 3900, "bias": 3, "threshold": 700, "v_rest": 0,
    "v_reset": 40, "v_init": 0, "threshold_low": -450,
}  # fmt: skip
CLOSED = Conventions(membrane="closed_form", synapse="split")


def param(key: str, value: int) -> Fixed:
    return Fixed(np.array(value), DECAY if key.startswith("decay") else WIDE)


def integer(**change: Any) -> Neuron:
    values = {key: param(key, value) for key, value in LIF.items()} | {"output": "ternary", "fires": "gt"}
    return Neuron("n", shape=(1,), **(values | change))


def run(cell: Node, x: list[int], conventions: Conventions | None = None, **more: Any) -> Trace:
    wire = Affine("w", weight=Fixed(np.array([[1]]), Format(2)))
    nodes = (Input("in", shape=(1,), encoding="direct"), wire, cell)
    graph = FixedGraph(nodes, (Edge("in", "w"), Edge("w", "n")), "test", conventions or Conventions())
    return execute(graph, np.array(x, dtype=np.int64).reshape(1, -1, 1), Probes(states="all"), **more)


def flat(trace: Trace, key: str) -> list[int]:
    found = trace.spikes["n"] if key == "s" and ("n", "s") not in trace.states else trace.states["n", key]
    return [int(value) for value in found.ravel()]


def scaled(x: int, decay: int) -> int:
    whole = abs(x * decay) >> 12
    return whole if x * decay >= 0 else -whole


def ternary_loop(x: list[int], cell: Neuron) -> Values:
    u = v = hold = 0
    out: Values = {"u": [], "v": [], "s": []}
    high, low = LIF["threshold"], LIF["threshold_low"] if cell.threshold_low is not None else -LIF["threshold"]
    for drive in x:
        u = scaled(u, LIF["decay_u"]) + drive
        v = v if hold else scaled(v, LIF["decay_v"]) + u + LIF["bias"]
        beyond = (v > high) - (v < low) if cell.fires == "gt" else (v >= high) - (v <= low)
        s = 0 if hold else beyond
        if s:
            taken = high if s > 0 else low
            v = {"zero": 0, "value": LIF["v_reset"], "subtract": v - taken, "none": v}[cell.reset_v]
            u = 0 if cell.reset_u else u
        hold = cell.refractory if s else max(hold - 1, 0)
        for key, value in (("u", u), ("v", v), ("s", s)):
            out[key].append(value)
    return out


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"fires": "ge"},
        {"threshold_low": None},
        {"reset_v": "subtract"},
        {"reset_v": "value"},
        {"reset_v": "none"},
        {"reset_u": True},
        {"refractory": 2},
    ],
    ids=str,
)
def test_ternary_neurons_are_the_equation(change: dict[str, Any]) -> None:
    cell = integer(**change)
    x = RNG.integers(-260, 260, 300).tolist()
    got, want = run(cell, x), ternary_loop(x, cell)
    assert min(want["s"].count(1), want["s"].count(-1)) > 5
    for key in "uvs":
        assert flat(got, key) == want[key]
    binary = run(replace(cell, output="binary"), x)
    assert flat(binary, "s") != want["s"]


@pytest.mark.parametrize("fires", ["gt", "ge"])
def test_ternary_comparison_at_the_thresholds(fires: str) -> None:
    cell = integer(fires=fires, decay_u=param("decay_u", 0), decay_v=param("decay_v", 0), bias=param("bias", 0))
    x = [700, -450, 701, -451, 699, -449]
    want = [0, 0, 1, -1, 0, 0] if fires == "gt" else [1, -1, 1, -1, 0, 0]
    assert flat(run(cell, x), "s") == want
    p = {"threshold": np.array(700.0), "threshold_low": np.array(-450.0)}
    floats = Neuron("n", shape=(1,), fires=fires, output="ternary", **p)  # type: ignore[arg-type]
    graph = Graph((Input("in", shape=(1,), encoding="direct"), floats), (Edge("in", "n"),))
    assert flat(execute(graph, np.array(x, dtype=np.float64).reshape(1, -1, 1)), "s") == want


@pytest.mark.parametrize("reset_v", ["zero", "subtract"])
def test_ternary_floats_are_the_integers(reset_v: Any) -> None:
    kept = {"decay_u": 0, "decay_v": 4096, "bias": 3}
    whole = integer(reset_v=reset_v, **{key: param(key, value) for key, value in kept.items()})
    x = RNG.integers(-300, 290, 200).tolist()
    p = {key: np.array(float(value)) for key, value in (LIF | {"decay_u": 0, "decay_v": 1, "bias": 3}).items()}
    cell = Neuron("n", shape=(1,), output="ternary", fires="gt", reset_v=reset_v, **p)  # type: ignore[arg-type]
    graph = Graph((Input("in", shape=(1,), encoding="direct"), cell), (Edge("in", "n"),))
    got = execute(graph, np.array(x, dtype=np.float64).reshape(1, -1, 1))
    want = flat(run(whole, x), "s")
    assert flat(got, "s") == want
    assert {-1, 0, 1} == set(want)


ATRLIF = {
    "decay_u": 2000, "decay_v": 3800, "decay_threshold": 4000, "decay_refractory": 3500, "bias": 2, "threshold": 300,
    "threshold_step": 60,
}  # fmt: skip


def adaptive(**change: int) -> Atrlif:
    return Atrlif("n", shape=(1,), **{key: param(key, value) for key, value in (ATRLIF | change).items()})


def adaptive_loop(x: list[int]) -> Values:
    p, u, v, theta, r = ATRLIF, 0, 0, ATRLIF["threshold"], 0
    out: Values = {key: [] for key in ("u", "v", "theta", "r", "s")}
    for drive in x:
        u = scaled(u, p["decay_u"]) + drive
        v = scaled(v, p["decay_v"]) + u + p["bias"]
        theta = scaled(theta - p["threshold"], p["decay_threshold"]) + p["threshold"]
        r = scaled(r, p["decay_refractory"])
        s = int(v - r >= theta)
        r, theta = r + 2 * theta * s, theta + p["threshold_step"] * s
        for key, value in zip(out, (u, v, theta, r, s), strict=True):
            out[key].append(value)
    return out


def test_adaptive_neurons_are_the_equation() -> None:
    x = RNG.integers(-60, 160, 300).tolist()
    got, want = run(adaptive(), x), adaptive_loop(x)
    assert 10 < sum(want["s"]) < 200
    for key, values in want.items():
        assert flat(got, key) == values


def test_adaptive_neurons_fire_at_the_threshold() -> None:
    still = adaptive(decay_u=0, decay_v=0, bias=0)
    assert flat(run(still, [299]), "s") == [0]
    assert flat(run(still, [300]), "s") == [1]


def graded_loop(x: list[int], cell: Delta) -> Values:
    """Delta and SigmaDelta with threshold 90, bias 11 and shift 2."""
    sigma = act = residue = error = 0
    out: Values = {"sigma": [], "act": [], "residue": [], "error": [], "s": []}
    for drive in x:
        new = drive
        if isinstance(cell, SigmaDelta):
            sigma += drive
            new = max(sigma + 11, 0) if cell.activation == "relu" else sigma + 11
        change = new - act + residue
        error += change if cell.cum_error else 0
        message = change if abs(error if cell.cum_error else change) >= 90 else 0
        error = 0 if message and cell.cum_error else error
        act, residue = new, change - message
        for key, value in zip(out, (sigma, act, residue, error, message >> 2), strict=True):
            out[key].append(value)
    return out


@pytest.mark.parametrize("cum_error", [False, True])
@pytest.mark.parametrize("kind", ["delta", "unit", "relu"])
def test_graded_populations_are_the_equation(kind: str, cum_error: bool) -> None:
    own: dict[str, Any] = {"shape": (1,), "threshold": param("t", 90), "cum_error": cum_error, "shift": 2}
    bias = param("bias", 11)
    cell = Delta("n", **own) if kind == "delta" else SigmaDelta("n", **own, bias=bias, activation=kind)  # type: ignore[arg-type]
    x = RNG.integers(-150, 151, 300).tolist()
    got, want = run(cell, x), graded_loop(x, cell)
    assert "n" not in got.spikes, "numbers are no spikes"
    assert min(want["s"]) < 0 < max(want["s"])
    for name, key in got.states:
        assert flat(got, key) == want[key], name


def test_delta_sends_a_change_that_is_the_threshold() -> None:
    cell = Delta("n", shape=(1,), threshold=param("t", 90))
    assert flat(run(cell, [89, 89, 90, 0, -89, -90]), "s") == [0, 0, 90, -90, 0, -90]


def test_sigma_undoes_delta_but_for_the_bits_that_are_cut() -> None:
    x = np.cumsum(RNG.integers(-9, 10, 100)).tolist()
    for shift, exact in ((0, True), (3, False)):
        sent = flat(run(Delta("n", shape=(1,), threshold=param("t", 1), shift=shift), x), "s")
        back = flat(run(Sigma("n", shape=(1,)), [message << shift for message in sent]), "s")
        assert (back == x) is exact


def test_a_chain_of_graded_populations_hops_and_sums() -> None:
    c = Conventions(hop_delay=1)
    wire = Affine("w", weight=Fixed(np.array([[1]]), Format(2)))
    delta = Delta("d", shape=(1,), threshold=param("t", 5))
    nodes = (Input("in", shape=(1,), encoding="direct"), delta, wire, Sigma("n", shape=(1,)))
    edges = (Edge("in", "d", 1), Edge("d", "w", 1), Edge("w", "n"))
    graph = FixedGraph(nodes, edges, "test", c, {"in": 0, "d": 1, "n": 2})
    trace = execute(graph, np.array([3, 5, 9, 9, 20]).reshape(1, 5, 1), Probes(states="all"))
    assert trace.states["n", "sigma"].ravel().tolist() == [0, 5, 5, 5, 20]


def test_registers_wrap_at_their_width() -> None:
    assert flat(run(Sigma("n", shape=(1,)), [1 << 31, -1]), "s") == [-(1 << 31), (1 << 31) - 1]


NARROW = Conventions(state_bits=8, current_overflow="wrap", membrane_overflow="saturate_symmetric")
REGISTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [127]),
    ({"drive_overflow": "wrap"}, [-86]),
    ({"drive_overflow": "saturate"}, [127]),
    ({"membrane_maximum": 63}, [63]),
    ({"membrane_minimum": -63, "drive_overflow": "wrap"}, [-63]),
]


@pytest.mark.parametrize(("change", "v"), REGISTERS, ids=str)
@pytest.mark.parametrize("kind", ["neuron", "atrlif"])
def test_registers_of_the_membrane(kind: str, change: dict[str, Any], v: list[int]) -> None:
    lif = integer(output="binary", bias=param("bias", 50), decay_v=param("decay_v", 0), fires="gt")
    cell = lif if kind == "neuron" else adaptive(bias=50, decay_v=0)
    assert flat(run(cell, [120], replace(NARROW, **change)), "v") == v


def test_what_a_reset_leaves_obeys_the_limits() -> None:
    cell = integer(output="binary", reset_v="subtract", threshold=param("threshold", 100), decay_u=param("decay_u", 0))
    c = replace(NARROW, membrane_minimum=-7, membrane_maximum=120)
    assert flat(run(cell, [110], c), "v") == [13]
    low = replace(cell, threshold_low=param("t", -120), output="ternary", threshold=param("threshold", 127))
    assert flat(run(low, [-125], replace(c, membrane_minimum=-125, membrane_maximum=-1)), "v") == [-2]


def test_what_is_added_reaches_its_port() -> None:
    cell, x = integer(output="binary", decay_u=param("decay_u", 4096)), [0, 0, 0]
    noise = np.array([5, 0, -2]).reshape(1, 3, 1)
    quiet = run(cell, x)
    assert flat(run(cell, x, added={("n", "x"): noise}), "u") == [5, 5, 3]
    drive = run(cell, x, added={("n", "drive"): noise})
    assert flat(drive, "u") == [0, 0, 0]
    assert flat(drive, "v")[0] - flat(quiet, "v")[0] == 5


def test_what_is_added_wrongly_is_named() -> None:
    noise = np.zeros((1, 3, 1), dtype=np.int64)
    graph = Graph((Input("in", shape=(1,)), Neuron("n", shape=(1,))), (Edge("in", "n"),))
    with pytest.raises(UnsupportedError, match="only integers under euler take it"):
        execute(graph, np.zeros((1, 3, 1)), added={("n", "x"): noise})
    with pytest.raises(TraceError, match="nothing can be added to 'y', allowed are x and drive"):
        run(integer(), [0, 0, 0], added={("n", "y"): noise})
    with pytest.raises(TraceError, match="allowed are x and drive of neurons"):
        run(Sigma("n", shape=(1,)), [0, 0, 0], added={("n", "x"): noise})
    for wrong in (noise[:, 1:], noise.astype(float)):
        with pytest.raises(TraceError, match=r"allowed is integers \(1, 3, 1\)"):
            run(integer(), [0, 0, 0], added={("n", "x"): wrong})


BEYOND: dict[str, Callable[[], Node]] = {
    "atrlif": lambda: Atrlif("n", shape=(1,)),
    "sigma": lambda: Sigma("n", shape=(1,)),
    "delta": lambda: Delta("n", shape=(1,)),
    "sigmadelta": lambda: SigmaDelta("n", shape=(1,)),
}


@pytest.mark.parametrize("kind", BEYOND)
def test_floats_have_no_such_population(kind: str) -> None:
    graph = Graph((Input("in", shape=(1,)), BEYOND[kind]()), (Edge("in", "n"),))
    with pytest.raises(UnsupportedError, match=f"n: node type is {kind}, allowed is integers under euler only"):
        execute(graph, np.zeros((1, 3, 1)))


def test_closed_form_refuses_what_belongs_to_euler() -> None:
    c = replace(CLOSED, drive_overflow="wrap", membrane_minimum=-3, membrane_maximum=4)
    nodes = (Input("in", shape=(1,)), adaptive(), replace(integer(), name="t"))
    graph = FixedGraph(nodes, (Edge("in", "n"), Edge("in", "t")), "test", c)
    found = {(violation.node, violation.quantity) for violation in refusals(graph)}
    assert found == {
        ("conventions", "drive_overflow"), ("conventions", "membrane_minimum"), ("conventions", "membrane_maximum"),
        ("n", "node type"), ("t", "output"),
    }  # fmt: skip
