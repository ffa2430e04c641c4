"""The neuron steps of the reference against plain Python loops over floats and unbounded integers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.ir import Affine, Conventions, Edge, Fixed, FixedGraph, Format, Graph, Input, Neuron
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute

Array = npt.NDArray[Any]
LOIHI = Conventions(
    hop_delay=0, state_bits=24, current_overflow="wrap_once", membrane_overflow="saturate_symmetric",
    decay_rounding="toward_zero",
)  # fmt: skip


def run_float(cell: Neuron, x: Array) -> Trace:
    graph = Graph((Input("in", shape=cell.shape, encoding="direct"), cell), (Edge("in", cell.name),))
    return execute(graph, x[np.newaxis, :, np.newaxis], Probes(states="all"))


def float_loop(cell: Neuron, x: Array) -> dict[str, list[float]]:
    """The docstring of Neuron, for one neuron, in Python floats."""
    p = {key: float(np.asarray(value).item()) for key, value in cell.params().items() if not isinstance(value, Fixed)}
    u, v, last, hold = 0.0, p["v_init"], 0, 0
    out: dict[str, list[float]] = {"u": [], "v": [], "s": []}
    for drive in x.tolist():
        u = p["decay_u"] * u + p["gain_u"] * drive
        moved = p["decay_v"] * (v - p["v_rest"]) + p["v_rest"] + p["gain"] * u + p["bias"]
        v = v if hold else moved
        if cell.reset_delay and last:
            v = reset(cell, v, p)
        spike = not hold and (v > p["threshold"] if cell.fires == "gt" else v >= p["threshold"])
        if spike and not cell.reset_delay:
            v = reset(cell, v, p)
        if spike and cell.reset_u:
            u = 0.0
        hold = cell.refractory if spike else max(hold - 1, 0)
        last = int(spike)
        for key, value in (("u", u), ("v", v), ("s", float(spike))):
            out[key].append(value)
    return out


def reset(cell: Neuron, v: float, p: dict[str, float]) -> float:
    return {"zero": 0.0, "value": p["v_reset"], "subtract": v - p["threshold"], "none": v}[cell.reset_v]


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "current": {"decay_u": 0.7},
    "rest and gains": {"v_rest": -0.4, "gain": 1.5, "gain_u": 0.3, "bias": 0.2, "v_init": 0.6},
    "strict": {"fires": "gt"},
    "value": {"reset_v": "value", "v_reset": -0.3},
    "subtract": {"reset_v": "subtract"},
    "none": {"reset_v": "none"},
    "late": {"reset_delay": 1},
    "late subtract": {"reset_delay": 1, "reset_v": "subtract"},
    "current reset": {"decay_u": 0.7, "reset_u": True},
    "refractory": {"refractory": 2, "decay_u": 0.5},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_float_step_is_the_equation(name: str) -> None:
    options = {"decay_v": 0.8, "threshold": 1.0} | OPTIONS[name]
    given_params = {k: np.array(v) if isinstance(v, float) else v for k, v in options.items()}
    cell = Neuron("n", shape=(1,), **given_params)
    x = np.round(np.random.default_rng(4).uniform(-0.5, 1.2, 200) * 4) / 4
    got, want = run_float(cell, x), float_loop(cell, x)
    assert 5 < got.spikes["n"].sum() < 195
    assert got.spikes["n"].ravel().tolist() == want["s"]
    for key in "uv":
        np.testing.assert_allclose(got.states["n", key].ravel(), want[key], rtol=1e-12, atol=1e-12)
    if name != "plain":
        other = run_float(Neuron("n", shape=(1,), decay_v=np.array(0.8)), x)
        assert not all(
            np.array_equal(a, b)
            for a, b in ((got.spikes["n"], other.spikes["n"]), (got.states["n", "v"], other.states["n", "v"]))
        )


def integer_cell(p: dict[str, int], **options: Any) -> Neuron:
    scale = {"decay_u": Format(13, 12, signed=False), "decay_v": Format(13, 12, signed=False)}
    p = {"gain": 1, "gain_u": 1} | p
    given_params = {
        key: Fixed(np.array(p.get(key, 0)), scale.get(key, Format(48))) for key in Neuron.PARAMS if key != "v_min"
    }
    return Neuron("n", shape=(1,), **given_params, **options)


def run_fixed(cell: Neuron, conventions: Conventions, x: list[int]) -> Trace:
    wire = Affine("w", weight=Fixed(np.array([[1]]), Format(2)))
    nodes = (Input("in", shape=(1,), encoding="direct"), wire, cell)
    graph = FixedGraph(nodes, (Edge("in", "w"), Edge("w", "n")), "test", conventions)
    return execute(graph, np.array(x, dtype=np.int64).reshape(1, -1, 1), Probes(states="all"))


def scaled(value: int, decay: int, rounding: str) -> int:
    exact = Fraction(value * decay, 4096)
    if rounding == "nearest_even":
        return round(exact)
    return exact.numerator // exact.denominator if rounding == "floor" else int(exact)


def fit(x: int, bits: int, policy: str) -> int:
    half = 1 << (bits - 1)
    if policy == "wrap":
        return (x + half) % (2 * half) - half
    if policy == "wrap_once":
        x = x - 2 * half if x > half else x
        return x + 2 * half if x <= -half else x
    return max(-half + (policy == "saturate_symmetric"), min(half - 1, x))


def integer_loop(cell: Neuron, p: dict[str, int], c: Conventions, x: list[int]) -> dict[str, list[int]]:
    """The integer step for one neuron in Python integers that never overflow."""
    u, v, last, hold = 0, p.get("v_init", 0), 0, 0
    out: dict[str, list[int]] = {"u": [], "v": [], "s": []}
    threshold = p["threshold"]
    to = {"zero": 0, "value": p.get("v_reset", 0)}
    for given_input in x:
        drive = fit(given_input, c.accumulator_bits, c.accumulator_overflow)
        u = fit(
            fit(scaled(u, p["decay_u"], c.decay_rounding) + drive, c.register_bits, "wrap"),
            c.state_bits,
            c.current_overflow,
        )
        moved = fit(scaled(v, p["decay_v"], c.decay_rounding) + u + p["bias"], c.register_bits, "wrap")
        v = v if hold else fit(moved, c.state_bits, c.membrane_overflow)
        late = bool(cell.reset_delay)
        if late and last:
            v = (
                fit(v - threshold, c.state_bits, c.membrane_overflow)
                if cell.reset_v == "subtract"
                else to[cell.reset_v]
            )
        spike = not hold and (v > threshold if cell.fires == "gt" else v >= threshold)
        if spike and not late:
            v = (
                fit(v - threshold, c.state_bits, c.membrane_overflow)
                if cell.reset_v == "subtract"
                else to[cell.reset_v]
            )
        if spike and cell.reset_u:
            u = 0
        hold = cell.refractory if spike else max(hold - 1, 0)
        last = int(spike)
        for key, value in (("u", u), ("v", v), ("s", int(spike))):
            out[key].append(value)
    return out


STATE = st.integers(-(2**23), 2**23)


@settings(max_examples=150, deadline=None)
@given(
    p=st.fixed_dictionaries(
        {
            "decay_u": st.integers(0, 4096), "decay_v": st.integers(0, 4096), "bias": st.integers(-(2**19), 2**19),
            "threshold": st.integers(-64, 2**23), "v_init": STATE, "v_reset": STATE,
        }
    ),
    options=st.fixed_dictionaries(
        {
            "fires": st.sampled_from(["gt", "ge"]), "reset_v": st.sampled_from(["zero", "value", "subtract"]),
            "reset_delay": st.integers(0, 1), "reset_u": st.booleans(), "refractory": st.integers(0, 2),
        }
    ),
    conventions=st.builds(
        Conventions,
        register_bits=st.sampled_from([32, 62]),
        state_bits=st.sampled_from([16, 24, 32]),
        current_overflow=st.sampled_from(["wrap", "wrap_once", "saturate"]),
        membrane_overflow=st.sampled_from(["wrap", "saturate", "saturate_symmetric"]),
        decay_rounding=st.sampled_from(["toward_zero", "floor", "nearest_even"]),
    ),
    x=st.lists(st.one_of(st.integers(-(2**12), 2**12), st.integers(-(2**32), 2**32)), min_size=1, max_size=12),
)  # fmt: skip
def test_integer_step_is_the_equation(
    p: dict[str, int], options: dict[str, Any], conventions: Conventions, x: list[int]
) -> None:
    cell = integer_cell(p, **options)
    got, want = run_fixed(cell, conventions, x), integer_loop(cell, p, conventions, x)
    assert got.spikes["n"].ravel().tolist() == want["s"]
    for key in "uv":
        assert got.states["n", key].ravel().tolist() == want[key]


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rounding": ({"decay_rounding": "floor"}, {}),
    "current wraps": ({"current_overflow": "wrap"}, {}),
    "membrane is not symmetric": ({"membrane_overflow": "saturate"}, {}),
    "width": ({"state_bits": 23}, {}),
    "comparison": ({}, {"fires": "ge"}),
    "reset": ({}, {"reset_v": "subtract"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_integer_step_notices(name: str) -> None:
    change, option = WRONG[name]
    p = {"decay_u": 4000, "decay_v": 3000, "bias": 0, "threshold": 64, "v_init": 0}
    x = [3, 7, -9, 11, 2**23, 2**23, 2**22, -(2**23), -(2**23), -(2**23), -(2**20), 5, 64, -1, 64, 3, 64, 2]
    quiet = p | {"decay_u": 0, "decay_v": 0}
    differ = []
    for params in (p, quiet):
        cell = integer_cell(params, fires="gt", reset_v="zero")
        want = integer_loop(cell, params, LOIHI, x)
        got = run_fixed(cell, LOIHI, x)
        assert got.states["n", "v"].ravel().tolist() == want["v"]
        wrong = run_fixed(replace(cell, **option), replace(LOIHI, **change), x)
        differ.append(
            wrong.states["n", "v"].ravel().tolist() != want["v"] or wrong.states["n", "u"].ravel().tolist() != want["u"]
        )
    assert any(differ)
