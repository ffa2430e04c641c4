"""Rung 5 for neurons that no target lowers yet: the arithmetic of Lava's own models, run here, against the reference.

The models are driven by hand, step by step and without Lava's runtime, so that parameters are tried that the stored
vectors lack (ATRLIF with decays between 0 and 1, random exponents).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snnc.ir import Atrlif, Delta, Edge, Fixed, FixedGraph, Format, Input, IntArray, Neuron, Node, SigmaDelta
from snnc.trace import Probes
from snnc_loihi import compat
from snnc_loihi.conventions import LAVA
from snnc_loihi.weight_bits import optimize_weight_bits
from snnc_reference.execute import execute

STEPS, N = 60, 12
WIDE, DECAY, UNIT = Format(40), Format(16, 12), Format(40, -6)
Recorded = dict[str, IntArray]


@pytest.fixture(scope="module", autouse=True)
def lava() -> None:
    compat.activate()


class Port:
    """What a model receives and sends."""

    def __init__(self, values: IntArray | None = None) -> None:
        self.values, self.sent = values, []  # type: ignore[var-annotated]

    def recv(self) -> IntArray:
        assert self.values is not None
        return self.values.copy()

    def send(self, values: IntArray) -> None:
        self.sent.append(np.array(values, dtype=np.int64))


def on_lava(model: Any, params: dict[str, Any], states: dict[str, Any], a: IntArray, keys: tuple[str, ...]) -> Recorded:
    """States ``keys`` and what was sent (``s``), [STEPS, N], of a model that gets a [STEPS, N]."""
    for key, value in params.items():
        setattr(model, key, value)
    for key, start in states.items():
        setattr(model, key, np.full(N, start, dtype=np.int32))
    model.s_out = Port()
    kept: dict[str, list[IntArray]] = {key: [] for key in keys}
    for x in a:
        model.a_in = Port(x.astype(np.int32))
        model.run_spk()
        for key in keys:
            kept[key].append(np.array(getattr(model, key), dtype=np.int64))
    return {"s": np.stack(model.s_out.sent)} | {key: np.stack(found) for key, found in kept.items()}


def ours(cell: Node, x: IntArray, names: dict[str, str]) -> Recorded:
    graph = FixedGraph((Input("in", shape=(N,), encoding="direct"), cell), (Edge("in", "n", 1),), "t", LAVA, {"n": 1})
    trace = execute(graph, x[np.newaxis], Probes(states="all"))
    sent = trace.states["n", "s"] if ("n", "s") in trace.states else trace.spikes["n"]
    return {"s": sent[0].astype(np.int64)} | {theirs: trace.states["n", own][0] for own, theirs in names.items()}


def raw(value: Any, fmt: Format = WIDE) -> Fixed:
    return Fixed(np.array(value, dtype=np.int64), fmt)


def ternary(seed: int) -> tuple[Recorded, Recorded]:
    from lava.proc.lif.models import PyTernLifModelFixed

    rng = np.random.default_rng(seed)
    du, dv, high, low = (int(rng.integers(*limits)) for limits in ((1, 4096), (0, 800), (100, 900), (-900, -100)))
    a = rng.integers(-900, 900, (STEPS, N))
    mantissa, exponent = int(rng.integers(-200, 200)), int(rng.integers(0, 6))
    params = {"du": du, "dv": dv, "bias_mant": np.int16(mantissa), "bias_exp": np.int16(exponent)}
    theirs = on_lava(PyTernLifModelFixed({}), params, {"u": 0, "v": 0, "vth_hi": high, "vth_lo": low}, a, ("u", "v"))
    cell = Neuron(
        "n", shape=(N,), decay_u=raw(4095 - du, DECAY), decay_v=raw(4096 - dv, DECAY), bias=raw(mantissa << exponent),
        threshold=raw(high, UNIT), threshold_low=raw(low, UNIT), gain=raw(1), gain_u=raw(1), v_rest=raw(0),
        v_reset=raw(0), v_init=raw(0), fires="gt", output="ternary",
    )  # fmt: skip
    return ours(cell, a << 6, {"u": "u", "v": "v"}), theirs


def adaptive(seed: int) -> tuple[Recorded, Recorded]:
    from lava.proc.atrlif.models import PyATRLIFModelFixed

    rng = np.random.default_rng(seed)
    lost = dict(zip(("i", "v", "theta", "r"), rng.integers(0, 4096, 4).tolist(), strict=True))
    first, step, mantissa = int(rng.integers(20, 90)), int(rng.integers(0, 40)), int(rng.integers(-9, 9))
    a = rng.integers(-40, 120, (STEPS, N))
    params = {f"delta_{key}": value / 4096 for key, value in lost.items()}
    params |= {"theta_0": first, "theta_step": step}
    params |= {"bias_mant": np.array([mantissa], dtype=np.int16), "bias_exp": np.array([3], dtype=np.int16)}
    states = {"i": 0, "v": 0, "theta": 0, "r": 0, "s": 0}
    model = PyATRLIFModelFixed({})
    model.s = np.zeros(N, dtype=bool)
    theirs = on_lava(_boolean(model), params, states, a, ("i", "v", "theta", "r"))
    cell = Atrlif(
        "n", shape=(N,), decay_u=raw(4095 - lost["i"], DECAY), decay_v=raw(4096 - lost["v"], DECAY),
        decay_threshold=raw(4096 - lost["theta"], DECAY), decay_refractory=raw(4096 - lost["r"], DECAY),
        bias=raw(mantissa << 3), threshold=raw(first, UNIT), threshold_step=raw(step, UNIT),
    )  # fmt: skip
    return ours(cell, a << 6, {"u": "i", "v": "v", "theta": "theta", "r": "r"}), theirs


def _boolean(model: Any) -> Any:
    """Lava masks with its spikes, so they have to stay truth values."""
    post = model.post_spike
    model.post_spike = lambda spike_vector: post(spike_vector=np.asarray(spike_vector, dtype=bool))
    return model


def graded(seed: int) -> tuple[Recorded, Recorded]:
    from lava.proc.sdn.models import PyDeltaModelFixed, PySigmaDeltaModelFixed
    from lava.proc.sdn.process import ActivationMode

    rng = np.random.default_rng(seed)
    down, up, vth, bias = (int(rng.integers(*limits)) for limits in ((0, 7), (0, 7), (0, 30), (-20, 20)))
    a, cum_error = rng.integers(-60, 60, (STEPS, N)), bool(seed % 2)
    unit = Format(40, -(down + up))
    params = {"vth": vth << (down + up), "spike_exp": up, "state_exp": down, "cum_error": cum_error}
    states = {"act": 0, "residue": 0, "error": 0}
    keys = ("act", "residue", "error")
    own: dict[str, Any] = {"shape": (N,), "threshold": raw(vth, unit), "cum_error": cum_error, "shift": down}
    if seed % 3 == 0:
        theirs = on_lava(PyDeltaModelFixed({}), params, states, a, keys)
        return ours(Delta("n", **own), a << (down + up), {key: key for key in keys}), theirs
    relu = seed % 3 == 1
    mode = ActivationMode.RELU if relu else ActivationMode.UNIT
    more = {"sigma": 0, "bias": bias << (down + up)}
    theirs = on_lava(PySigmaDeltaModelFixed({"act_mode": mode}), params, states | more, a, ("sigma", *keys))
    cell = SigmaDelta("n", **own, bias=raw(bias, unit), activation="relu" if relu else "unit")
    return ours(cell, a, {key: key for key in ("sigma", *keys)}), theirs


MODELS: dict[str, Callable[[int], tuple[Recorded, Recorded]]] = {
    "ternary": ternary, "adaptive": adaptive, "graded": graded,
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_lava_computes_what_the_reference_computes(name: str) -> None:
    fired = 0
    for seed in range(12):
        got, want = MODELS[name](seed)
        assert got.keys() == want.keys()
        for key, array in want.items():
            np.testing.assert_array_equal(got[key], array, err_msg=f"{name} {seed} {key}")
        fired += int((want["s"] != 0).sum())
    assert fired > 300


@pytest.mark.parametrize("name", MODELS)
def test_another_seed_is_another_run(name: str) -> None:
    """Negative control: the comparison sees a difference."""
    (got, _), (_, want) = MODELS[name](3), MODELS[name](6)
    assert any(not np.array_equal(got[key], want[key]) for key in want)


def test_lava_counts_the_same_weight_bits() -> None:
    from lava.utils.weightutils import SignMode
    from lava.utils.weightutils import optimize_weight_bits as theirs

    rng = np.random.default_rng(5)
    limits = {"mixed": (-128, 127), "excitatory": (0, 255), "inhibitory": (-255, 0)}
    for mode, (low, high) in limits.items():
        for _ in range(100):
            size = int(rng.integers(1, 256))
            w = np.clip(rng.integers(-size, size + 1, (3, 4)), low, high)
            want = theirs(w.copy(), SignMode[mode.upper()])
            got = optimize_weight_bits(w, mode)  # type: ignore[arg-type]
            assert (got.num_weight_bits, got.weight_exp) == (want.num_weight_bits, want.weight_exp)
            np.testing.assert_array_equal(got.weights, want.weights)
