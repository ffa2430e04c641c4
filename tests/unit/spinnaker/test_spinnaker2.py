"""SpiNNaker2: the importer's formulas, its words, and the float32 tick against the reference in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden_kinds
import kinds_spinnaker_maps
import numpy as np
import pytest
from golden_base import read

from snnc.errors import InputError, UnsupportedError
from snnc.ir import Affine, Edge, Graph, Input, Neuron
from snnc.trace import Probes
from snnc_reference.execute import execute
from snnc_spinnaker import spinnaker2, spinnaker2_run
from snnc_spinnaker.spinnaker2 import Cell
from snnc_spinnaker.spinnaker2_run import Synapses, run

VECTOR = Path(__file__).resolve().parents[2] / "golden" / "vectors" / "s2_lif_nir_paper.npz"


def differing() -> int:
    tally = golden_kinds.replay("s2", read(VECTOR))
    assert tally.compared > 4000
    return len(tally.mismatches)


def test_the_papers_lif_is_reproduced() -> None:
    assert differing() == 0


def strict(cell: Cell, state: Any, time: int) -> Any:
    return STEP(replace(cell, threshold=cell.threshold * 1.2), state, time)


def euler(tau: float, dt: float, integrator: str = "exponential") -> tuple[float, float]:
    return math.exp(-dt / tau), 1 - math.exp(-dt / tau)


def one_late(ring: Any, time: int, synapses: Any, sent: Any) -> None:
    ARRIVE(ring, time + 1, synapses, sent)


STEP, ARRIVE = spinnaker2_run._step, spinnaker2_run._arrive
WRONG: dict[str, tuple[Any, str, Any]] = {
    "threshold 20 % higher": (spinnaker2_run, "_step", strict),
    "decay is always exponential": (spinnaker2, "kept", euler),
    "a step late": (spinnaker2_run, "_arrive", one_late),
    "reset subtracts": (spinnaker2, "hard", lambda cell, *_: cell),
    "weight is not rounded": (spinnaker2, "integer_weights", lambda w, s, **_: np.asarray(w) * s),
    "tolerance of one rounding": (spinnaker2, "tolerance", lambda *_: 2.0**-40),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_reading_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, wrong = WRONG[name]
    monkeypatch.setattr(module, attribute, wrong)
    if module is spinnaker2_run:
        monkeypatch.setattr(kinds_spinnaker_maps, "run", spinnaker2_run.run)
    assert differing() > 0


def test_formulas_give_the_values_worked_out_by_hand() -> None:
    a, g = math.exp(-0.25), 1 - math.exp(-0.25)
    forward = spinnaker2.lif(4e-3, 2.0, 1.0, dt=1e-3, scale=100.0, v_leak=0.2, bias=0.5, integrator="forward")
    assert forward == Cell(1.0 * 100 / (0.25 * 2), 0.75, 0.25 * 0.2 * 100 / 0.5 + 50)
    exact = spinnaker2.lif(4e-3, 2.0, 1.0, dt=1e-3, scale=100.0)
    assert (exact.alpha_decay, exact.threshold) == (a, 100 / (g * 2))
    cuba = spinnaker2.cuba_lif(2e-3, 4e-3, 2.0, 1.0, dt=1e-3, scale=10.0, w_in=3.0, bias=0.1, integrator="forward")
    assert cuba.threshold == pytest.approx(10 / (0.5 * 1.5))
    assert (cuba.syn_decay, cuba.i_offset) == (0.5, pytest.approx(0.1 * 3 * 10 / 1.5))
    assert spinnaker2.integrate_and_fire(2.0, 1.0, scale=8.0, bias=0.25) == Cell(4.0, 1.0, 2.0)
    assert spinnaker2.hard(forward, 0.5, 200.0) == replace(forward, reset="value", v_reset=100.0)


@pytest.mark.parametrize(("delays", "levels"), [(True, 15), (False, 127)])
def test_weights_use_every_level_and_no_more(delays: bool, levels: int) -> None:
    weights = np.array([[0.3, -0.8], [0.1, 0.0]])
    scale = spinnaker2.scale_of(0.8, delays=delays)
    assert int(np.abs(spinnaker2.integer_weights(weights, scale, delays=delays)).max()) == levels
    with pytest.raises(UnsupportedError, match=f"magnitude is {levels + 1}, allowed is at most {levels}"):
        spinnaker2.integer_weights(weights, (levels + 1) / 0.8, delays=delays)
    assert spinnaker2.scale_of(0.0, delays=delays) == 1.0


def test_synapses_that_no_word_holds_are_refused_with_every_reason() -> None:
    Synapses("a", "b", np.array([[-127]]))
    Synapses("a", "b", np.array([[15]]), 7)
    with pytest.raises(UnsupportedError) as caught:
        Synapses("a", "b", np.array([[16]]), 8)
    assert [v.quantity for v in caught.value.violations] == ["weight from a", "delay from a"]
    with pytest.raises(UnsupportedError, match="at most 127 without delay"):
        Synapses("a", "b", np.array([[128]]))
    with pytest.raises(InputError, match="at least one input"):
        run({}, [], {})


def network(reset: Any, filtered: float) -> tuple[dict[str, tuple[Cell, int]], list[Synapses], Any]:
    rng = np.random.default_rng(5)
    more = {"syn_decay": filtered, "reset": reset, "v_reset": -3.0 if reset == "value" else 0.0}
    cells = {"h": (Cell(41.3, 0.87, 0.31, v_init=2.5, **more), 12), "o": (Cell(60.1, 0.95, **more), 5)}
    synapses = [
        Synapses("in", "h", rng.integers(-90, 128, (12, 9))),
        Synapses("h", "h", rng.integers(-15, 16, (12, 12)), 3),
        Synapses("h", "o", rng.integers(-15, 16, (5, 12)), 0),
    ]
    return cells, synapses, (rng.random((4, 60, 9)) < 0.15).astype(np.int8)


def as_graph(cells: Any, synapses: Any) -> Graph:
    """The same network for the reference, in device time: every delay is one step longer than the word says."""
    nodes: list[Any] = [Input("in", (9,))]
    for name, (cell, size) in cells.items():
        values = {"decay_u": cell.syn_decay, "decay_v": cell.alpha_decay, "bias": cell.i_offset,
                  "threshold": cell.threshold, "v_reset": cell.v_reset, "v_init": cell.v_init}  # fmt: skip
        rounded = {key: np.array(float(np.float32(value))) for key, value in values.items()}
        nodes.append(Neuron(name, shape=(size,), reset_v=cell.reset, **rounded))
    edges = []
    for number, each in enumerate(synapses):
        nodes.append(Affine(f"w{number}", each.weight.astype(np.float64)))
        edges += [Edge(each.source, f"w{number}", 1 + (each.delay or 0)), Edge(f"w{number}", each.target)]
    return Graph(tuple(nodes), tuple(edges))


@pytest.mark.parametrize("filtered", [0.0, 0.7])
@pytest.mark.parametrize("reset", ["subtract", "value"])
def test_the_reference_agrees_within_the_stated_tolerance(reset: str, filtered: float) -> None:
    cells, synapses, x = network(reset, filtered)
    found = run(cells, synapses, {"in": x})
    trace = execute(as_graph(cells, synapses), x, Probes("all", "all"))
    for name, (cell, _) in cells.items():
        spikes, v = found[name]
        want = trace.states[name, "v"]
        allowed = spinnaker2.tolerance(cell, float(np.abs(want).max()) + cell.threshold, x.shape[1])
        assert spikes.any()
        assert v.dtype == np.float32
        np.testing.assert_array_equal(spikes, trace.spikes[name])
        worst = float(np.abs(v - want).max())
        assert 0 < worst < allowed < 0.05


HURT: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "delay": lambda c, s: (c, [*s[:1], replace(s[1], delay=2), s[2]]),
    "offset": lambda c, s: ({**c, "h": (replace(c["h"][0], i_offset=0.0), 12)}, s),
    "filter": lambda c, s: ({**c, "h": (replace(c["h"][0], syn_decay=0.71), 12)}, s),
    "start": lambda c, s: ({**c, "h": (replace(c["h"][0], v_init=0.0), 12)}, s),
}


@pytest.mark.parametrize("name", HURT)
def test_the_tolerance_is_narrow_enough_to_notice(name: str) -> None:
    cells, synapses, x = network("subtract", 0.7)
    trace = execute(as_graph(cells, synapses), x, Probes("all", "all"))
    worse, others = HURT[name](cells, synapses)
    cell = cells["h"][0]
    want = trace.states["h", "v"]
    allowed = spinnaker2.tolerance(cell, float(np.abs(want).max()) + cell.threshold, x.shape[1])
    assert float(np.abs(run(worse, others, {"in": x})["h"][1] - want).max()) > allowed
