"""Rung 5 for SpiNNaker2: the float32 emulator gives what the reference gives, bit for bit; wrong orders are caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.compare import compare
from snnc.errors import DoesNotFitError, FormatError, InputError, UnsupportedError
from snnc.formats import onnx_file, onnx_run
from snnc.ir import Affine, Edge, Fixed, FixedGraph, Format, Graph, Input, Neuron, Readout
from snnc.ir.fixed import to_single
from snnc.passes import DEFAULT, run_passes
from snnc.quantize.base import QuantizeOptions
from snnc.quantize.calibrate import calibrate
from snnc.target import check
from snnc.trace import Probes, Trace
from snnc_reference.execute import execute
from snnc_spinnaker import backend, spinnaker2, spinnaker2_run
from snnc_spinnaker.spinnaker2_quantize import quantize, single
from snnc_spinnaker.spinnaker2_target import SPINNAKER2

EVERYTHING = Probes("all", "all")
SHAPE, HIDDEN = 9, 12


def spikes(seed: int = 0, batch: int = 5, steps: int = 40) -> Any:
    return (np.random.default_rng(seed).random((batch, steps, SHAPE)) < 0.3).astype(np.int8)


def network(seed: int = 0, reset: str = "subtract", delay: int = 1, keep: float = 0.93) -> Graph:
    """A layer with a current, a recurrent layer, an output without current."""
    rng = np.random.default_rng(seed)
    spread = {"decay_u": rng.uniform(0.3, 0.9, HIDDEN), "bias": rng.normal(0, 0.05, HIDDEN)}
    neuron: dict[str, Any] = {"reset_v": reset, "decay_v": np.full((), keep), "v_reset": np.full((), -0.2)}
    nodes = (
        Input("in", shape=(SHAPE,)), Affine("first", weight=rng.normal(0.1, 0.4, (HIDDEN, SHAPE))),
        Neuron("a", shape=(HIDDEN,), **spread, **neuron), Affine("back", weight=rng.normal(0, 0.3, (HIDDEN, HIDDEN))),
        Affine("second", weight=rng.normal(0.05, 0.4, (4, HIDDEN))),
        Neuron("b", shape=(4,), fires="gt", **neuron), Readout("answer"),
    )  # fmt: skip
    edges = (
        Edge("in", "first"), Edge("first", "a"), Edge("a", "back", delay), Edge("back", "a"), Edge("a", "second"),
        Edge("second", "b"), Edge("b", "answer"),
    )  # fmt: skip
    return Graph(nodes, edges)


def made(graph: Graph, x: Any) -> FixedGraph:
    ready, _ = run_passes(graph, (*DEFAULT, *SPINNAKER2.prepare))
    assert check(ready, SPINNAKER2) == ()
    return quantize(ready, calibrate(ready, x, execute), QuantizeOptions()).graph


def emulated(graph: FixedGraph, x: Any) -> Trace:
    return backend.run(backend.lower(graph, SPINNAKER2), x, EVERYTHING)


def differing(graph: FixedGraph, x: Any) -> int:
    return compare(execute(graph, x, EVERYTHING), emulated(graph, x), rtol=0.0).differing


@pytest.mark.parametrize("reset", ["subtract", "zero", "value"])
@pytest.mark.parametrize(("delay", "keep"), [(1, 0.93), (4, 1.0), (8, 0.5)])
def test_emulator_onnx_and_reference_agree_bit_for_bit(reset: str, delay: int, keep: float) -> None:
    graph, x = made(network(3, reset, delay, keep), spikes()), spikes(1)
    truth = execute(graph, x, EVERYTHING)
    assert 0.02 < truth.spikes["a"].mean() < 0.9
    assert differing(graph, x) == 0
    assert compare(truth, onnx_run.run(onnx_file.write(graph), x), rtol=0.0).differing == 0
    levels = max(int(np.abs(node.weight.raw).max()) for node in graph.nodes if isinstance(node, Affine))  # type: ignore[union-attr]
    assert levels == 127, "the output has no delayed path and uses 7 bits"


def fused(cell: Any, state: Any, time: int) -> Any:
    """Multiplication and addition rounded once, as a fused instruction would."""
    slot = state.ring[time % len(state.ring)]
    state.current = np.float32(cell.syn_decay) * state.current + slot
    slot[...] = 0
    wide = np.float32(cell.alpha_decay).astype(np.float64) * state.v + (state.current[0] - state.current[1])
    return _fire(cell, state, (wide + np.float32(cell.i_offset)).astype(np.float32))


def offset_first(cell: Any, state: Any, time: int) -> Any:
    slot = state.ring[time % len(state.ring)]
    state.current = np.float32(cell.syn_decay) * state.current + slot
    slot[...] = 0
    current = (state.current[0] - state.current[1]) + np.float32(cell.i_offset)
    return _fire(cell, state, np.float32(cell.alpha_decay) * state.v + current)


def wide_decay(cell: Any, state: Any, time: int) -> Any:
    slot = state.ring[time % len(state.ring)]
    state.current = (np.asarray(cell.syn_decay) * 1.0000001 * state.current + slot).astype(np.float32)
    slot[...] = 0
    moved = np.float32(cell.alpha_decay) * state.v + (state.current[0] - state.current[1])
    return _fire(cell, state, moved + np.float32(cell.i_offset))


def _fire(cell: Any, state: Any, moved: Any) -> Any:
    out = moved >= np.float32(cell.threshold)
    after = moved - np.float32(cell.threshold) if cell.reset == "subtract" else np.float32(cell.v_reset)
    state.v = np.where(out, after, moved).astype(np.float32)
    return out


def late(ring: Any, time: int, wires: Any, sent: Any) -> None:
    ARRIVE(ring, time + 1, wires, sent)


ARRIVE = spinnaker2_run._arrive
WRONG: dict[str, tuple[str, Callable[..., Any]]] = {
    "fused": ("_step", fused), "offset first": ("_step", offset_first), "another decay": ("_step", wide_decay),
    "a step late": ("_arrive", late),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_plausible_wrong_step_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = made(network(3), spikes()), spikes(1)
    monkeypatch.setattr(spinnaker2_run, *WRONG[name])
    assert differing(graph, x) > 0


def test_the_formulas_of_the_importer_are_what_the_quantizer_makes() -> None:
    """NIR's CubaLIF, exponential: tau 20 ms and 5 ms, dt 1 ms; one neuron whose weight uses every level."""
    dt, tau, tau_syn, r, w_in, theta, weight = 1e-3, 20e-3, 5e-3, 2.0, 1.5, 0.8, 0.25
    (keep, gain), (keep_u, share) = spinnaker2.kept(tau, dt), spinnaker2.kept(tau_syn, dt)
    cell = spinnaker2.cuba_lif(
        tau_syn, tau, r, theta, dt=dt, scale=spinnaker2.scale_of(weight, delays=False), w_in=w_in
    )
    node = Neuron(
        "a", shape=(1,), decay_u=np.array(keep_u), gain_u=np.array(share * w_in), decay_v=np.array(keep),
        gain=np.array(gain * r), threshold=np.array(theta), reset_v="subtract",
    )  # fmt: skip
    graph = Graph(
        (Input("in", shape=(1,)), Affine("w", weight=np.array([[weight]])), node, Readout("answer")),
        (Edge("in", "w"), Edge("w", "a"), Edge("a", "answer")),
    )
    x = np.ones((1, 5, 1), dtype=np.int8)
    neuron = quantize(graph, calibrate(graph, x, execute), QuantizeOptions()).graph["a"]
    assert isinstance(neuron, Neuron)
    for key, want in (("threshold", cell.threshold), ("decay_v", cell.alpha_decay), ("decay_u", cell.syn_decay)):
        found = neuron.params()[key]
        assert isinstance(found, Fixed)
        assert to_single(found) == np.float32(want), key


def test_numbers_are_float32_exactly() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1, 200).astype(np.float32).astype(np.float64)
    one_by_one = [to_single(single(np.array(v))) for v in values]
    assert np.array_equal(one_by_one, values.astype(np.float32))
    assert np.all(to_single(single(values, above=True)) > values)
    with pytest.raises(FormatError, match="more bits than float32 holds"):
        to_single(Fixed(np.array((1 << 24) + 1), Format(32, 0)))


def test_bad_input_is_refused_by_name() -> None:
    x = spikes()
    graph = network()
    base = graph["a"]
    assert isinstance(base, Neuron)
    wrong = {
        "refractory": replace(base, refractory=2), "reset_v": replace(base, reset_v="none"),
        "reset_delay": replace(base, reset_delay=1), "reset_u": replace(base, reset_u=True),
        "decay_u": replace(base, decay_u=np.ones(())), "decay_v": replace(base, decay_v=np.full((), 1.1)),
    }  # fmt: skip
    for quantity, node in wrong.items():
        assert quantity in {v.quantity for v in check(graph.replace_node(node), SPINNAKER2)}
    assert [v.found for v in check(network(delay=9), SPINNAKER2)] == ["9"]
    with pytest.raises(InputError, match="2 to 8"):
        quantize(graph, calibrate(graph, x, execute), QuantizeOptions(weight_bits=9))
    fixed = made(network(delay=3), x)
    loud = fixed.replace_node(replace(fixed["first"], weight=Fixed(np.full((HIDDEN, SHAPE), 16), Format(8, 0))))
    with pytest.raises(DoesNotFitError, match="at most 15"):
        backend.lower(loud, SPINNAKER2)
    program = backend.lower(fixed, SPINNAKER2)
    with pytest.raises(UnsupportedError, match="SpiNNaker 1 only"):
        backend.run_binary(program, x, EVERYTHING)
    assert "silicon" in program.remark
    assert program.utilization["cores"] == (2, 152)
    assert program.tables["populations"][0]["weight bits"] == 4
    assert backend.export(program) == {}
