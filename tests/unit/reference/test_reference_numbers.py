"""Float steps that integers do not have: neurons that send their membrane, gains that change from step to step."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from snnc.backend import discover
from snnc.errors import TraceError, UnsupportedError
from snnc.formats import nir_file
from snnc.ir import Affine, Edge, Graph, Input, Neuron, Node, Readout, TimeScale
from snnc.target import check
from snnc.trace import Probes
from snnc_reference.execute import execute

DRIVE = np.array([[[2.6], [0.4], [-3.0], [1.5], [-0.2], [7.0], [0.0], [-9.0], [3.0]]])
RECORD = Probes(states="all")


def chain(*nodes: Node, shape: tuple[int, ...] = (1,)) -> Graph:
    every = (Input("in", shape, "direct"), *nodes, Readout("out", "sum"))
    return Graph(every, tuple(Edge(a.name, b.name) for a, b in pairwise(every)))


def integrator(**fields: Any) -> Neuron:
    given = {"decay_u": 0.3, "decay_v": 0.5, "gain": 0.7, "gain_u": 0.9, "v_rest": 0.2, "bias": 0.1, "v_init": -1.0}
    return Neuron("li", (1,), **{**given, "reset_v": "none", "output": "graded", **fields})


def by_hand(*, reset: bool = False) -> list[float]:
    u, v, found = 0.0, -1.0, []
    for x in DRIVE[0, :, 0]:
        u = 0.3 * u + 0.9 * x
        v = 0.5 * (v - 0.2) + 0.2 + 0.7 * u + 0.1
        found.append(v)
        v = 0.0 if reset and v >= 1 else v
    return found


def test_a_membrane_that_is_sent_is_recorded_as_a_state() -> None:
    trace = execute(chain(integrator()), DRIVE, RECORD)
    assert "li" not in trace.spikes
    np.testing.assert_allclose(trace.states["li", "v"][0, :, 0], by_hand(), rtol=0, atol=1e-12)
    assert np.abs(np.subtract(by_hand(reset=True), by_hand())).max() > 0.1, "the drive would reach a threshold"


def test_a_membrane_travels_in_its_own_step() -> None:
    """Two times the membrane drives a second one without memory."""
    second = Neuron("second", (1,), reset_v="none", output="graded")
    trace = execute(chain(integrator(), Affine("w", np.array([[2.0]])), second), DRIVE, RECORD)
    np.testing.assert_allclose(trace.states["second", "v"][0, :, 0], 2 * np.array(by_hand()), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"reset_v": "subtract"}, "li: reset_v is subtract, allowed is none"),
        ({"refractory": 2}, "li: refractory is 2, allowed is 0"),
        ({"reset_u": True}, "li: reset_u is True, allowed is False"),
        ({"v_min": -1.0}, "li: v_min is given, allowed is none with graded"),
    ],
)
def test_what_only_spikes_do_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UnsupportedError, match=text):
        execute(chain(integrator(**fields)), DRIVE)


def nir_of(kind: str) -> tuple[bytes, np.ndarray]:
    """A NIR file of one integrator, and its membrane under forward Euler with a step of 1 ms, from NIR's equations."""
    import io

    import nir

    one = np.ones(1)
    made = {
        "I": lambda: nir.I(r=3 * one),
        "LI": lambda: nir.LI(tau=0.01 * one, r=3 * one, v_leak=0.4 * one),
        "CubaLI": lambda: nir.CubaLI(
            tau_mem=0.01 * one, tau_syn=0.004 * one, r=3 * one, v_leak=0.4 * one, w_in=1.5 * one
        ),
    }[kind]()
    ends = {"input": nir.Input(np.array([1])), "n": made, "output": nir.Output(np.array([1]))}
    buffer = io.BytesIO()
    nir.write(buffer, nir.NIRGraph(ends, [("input", "n"), ("n", "output")]))
    current, v, found = 0.0, 0.0, []
    for x in DRIVE[0, :, 0]:
        if kind == "I":
            v += 3 * x
        elif kind == "LI":
            v += 0.1 * (0.4 - v + 3 * x)
        else:
            current += 0.25 * (-current + 1.5 * x)
            v += 0.1 * (0.4 - v + 3 * current)
        found.append(v)
    return buffer.getvalue(), np.array(found)


@pytest.mark.parametrize("kind", ["I", "LI", "CubaLI"])
def test_integrators_of_nir_files_are_executed(kind: str) -> None:
    content, want = nir_of(kind)
    graph = nir_file.read(content, nir_file.Meaning(1e-3, "zero", "euler"), "direct")
    found = execute(graph, DRIVE, RECORD).states["n", "v"][0, :, 0]
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-6)
    if kind != "I":
        other = nir_file.read(content, nir_file.Meaning(1e-3, "zero", "exact"), "direct")
        assert np.abs(execute(other, DRIVE, RECORD).states["n", "v"][0, :, 0] - want).max() > 1e-3


GAINS = np.linspace(0.5, 2.0, 9).reshape(9, 1)


def test_each_step_has_its_gain() -> None:
    graph = chain(TimeScale("ts", GAINS), Neuron("n", (1,), reset_v="none", output="graded"))
    found = execute(graph, DRIVE, RECORD).states["n", "v"]
    np.testing.assert_array_equal(found[0], GAINS * DRIVE[0])
    np.testing.assert_array_equal(execute(graph, DRIVE[:, :4], RECORD).states["n", "v"], found[:, :4])


def test_more_steps_than_gains_are_refused() -> None:
    graph = chain(TimeScale("ts", GAINS[:8]), Neuron("n", (1,)))
    with pytest.raises(TraceError, match="ts: the input has 9 steps, allowed are 8"):
        execute(graph, DRIVE)


def test_no_target_takes_gains_that_change() -> None:
    graph = chain(TimeScale("ts", GAINS), Neuron("n", (1,)))
    for name, (_, target) in discover().targets.items():
        found = [v for v in check(graph, target) if v.node == "ts"]
        assert found, name
        assert "timescale" in " ".join(v.found for v in found).lower(), name
