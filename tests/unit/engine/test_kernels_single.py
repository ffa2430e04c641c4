"""The float32 step in every build of the kernels against the definition: ties, denormals, infinities, large sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kernel_brute import neurons, plan, source
from kernel_checks import VARIANTS
from snnc.engine import native
from snnc.engine.dense import Executor
from snnc.engine.plan import Dense, Plan, Way
from snnc.ir import Fixed, Format, Neuron
from snnc.trace import Probes
from snnc_reference import neuron_single
from unit.formats.onnx_nets import SINGLE

N_IN, SIZE, BATCH, STEPS = 20, 70, 5, 12
KEYS = ("decay_u", "decay_v", "bias", "threshold", "v_init", "v_reset")
RESETS = ("zero", "value", "subtract", "none")
Step = Callable[[Neuron, Any, Any], Any]


def whole(rng: np.random.Generator, low: int, high: int) -> Any:
    return rng.integers(low, high, SIZE)


def corner(kind: str, rng: np.random.Generator) -> tuple[dict[str, tuple[Any, int]], int]:
    """Parameters as (raw, fractional bits), and the largest weight."""
    odd = {key: (whole(rng, 1 << 23, 1 << 24), 24) for key in ("decay_u", "decay_v")}
    usual = {**odd, "bias": (whole(rng, -9, 10), 2), "threshold": (whole(rng, 50, 900), 0),
             "v_init": (whole(rng, -99, 99), 3), "v_reset": (whole(rng, -99, 99), 5)}  # fmt: skip
    one = (np.ones(SIZE, dtype=np.int64), 0)
    if kind == "ties":  # halves of the last bit of numbers around 2**24
        more = {"decay_u": one, "decay_v": one, "bias": (2 * whole(rng, -9, 9) + 1, 1), "threshold": (1 << 24, -1),
                "v_init": (whole(rng, 1 << 23, 1 << 24), 0)}  # fmt: skip
        return usual | more, 1 << 20
    if kind == "denormals":
        more = {"decay_v": (whole(rng, 1, 1 << 24), 54), "bias": (0, 0), "threshold": (whole(rng, 0, 2), 64),
                "v_init": (whole(rng, -(1 << 24), 1 << 24), 64), "v_reset": (whole(rng, -9, 9), 64)}  # fmt: skip
        return usual | more, 0
    if kind == "infinities":
        large = (whole(rng, -(1 << 24), 1 << 24), 0)
        return usual | {"decay_u": large, "decay_v": large, "threshold": (1 << 24, -60)}, 100
    return (usual, 127) if kind == "plain" else (usual | {"threshold": (1 << 24, -8)}, (1 << 31) - 1)


def layer(kind: str, seed: int) -> tuple[Plan, Neuron, Any]:
    """A population with two receptors as a plan and as a node, and its weights [2, neurons, inputs]."""
    rng = np.random.default_rng(seed)
    values, high = corner(kind, rng)
    fires, reset_v = ("gt", "ge")[seed % 2], RESETS[seed // 2 % 4]
    weight = rng.integers(0, high + 1, (2, SIZE, N_IN)).astype(np.int8 if high < 128 else np.int32)
    ways = tuple(Way(0, 0, r, Dense(weight[r])) for r in range(2))
    raw = {key: np.broadcast_to(np.asarray(values[key][0]), (SIZE,)) for key in KEYS}
    n = neurons(
        SIZE, ways, [N_IN, N_IN], raw, {"fires": fires, "reset_v": reset_v} | {f"{k}_frac": values[k][1] for k in KEYS},
        shift=0,
    )  # fmt: skip
    fixed = {key: Fixed(raw[key].astype(np.int64), Format(32, values[key][1])) for key in KEYS}
    node = Neuron("n", (SIZE,), fires=fires, reset_v=reset_v, **fixed)  # type: ignore[arg-type]
    return plan(SINGLE, source(N_IN), n), node, weight.astype(np.int64)


def defined(node: Neuron, weight: Any, sent: Any, step: Step) -> dict[str, Any]:
    """Spikes and states [B, T, neurons] by steps of the definition, or by others."""
    state, found = neuron_single.start(node, len(sent)), []
    with np.errstate(all="ignore"):
        for t in range(sent.shape[1]):
            state = step(node, state, np.einsum("roi,bi->rbo", weight, sent[:, t].astype(np.int64)))
            found.append(
                {key: np.asarray(getattr(state, key), dtype=np.float64) for key in ("s", "u_exc", "u_inh", "v")}
            )
    return {key: np.stack([one[key] for one in found], axis=1) for key in found[0]}


def same(a: Any, b: Any) -> bool:
    """Bit for bit, but for what a result is called that is no number."""
    numbers = ~np.isnan(b)
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a)[numbers], np.signbit(b)[numbers])


def difference(kind: str, seed: int, step: Step = neuron_single.step) -> list[str]:
    """What differs between every build of the kernels, the NumPy path, and steps."""
    p, node, weight = layer(kind, seed)
    sent = (np.random.default_rng(seed).random((BATCH, STEPS, N_IN)) < 0.3).astype(np.int8)
    want, wrong = defined(node, weight, sent, step), []
    wished = native.Wishes((1,), (1,), ranges=True)
    for variant in VARIANTS:
        for threads in (1, 3):
            got = native.execute(native.prepare(p), {0: sent}, STEPS, wished, variant=variant, threads=threads)
            found = {"s": got.signals[1], **{name: got.states[1, name] for name in ("u_exc", "u_inh", "v")}}
            assert all(found[name].dtype == np.float64 for name in ("u_exc", "u_inh", "v"))
            wrong += [f"{variant}: {name}" for name in found if not same(found[name], want[name])]
            sums = np.einsum("roi,bti->rbto", weight, sent.astype(np.int64))
            assert got.ranges[1].tolist() == [[int(x.min()), int(x.max())] for x in sums]
    with np.errstate(all="ignore"):
        trace = Executor(p).run(sent, Probes(states="all"))
    name = p.populations[1].name
    wrong += [f"dense: {key}" for key in ("u_exc", "u_inh", "v") if not same(trace.states[name, key], want[key])]
    return wrong


KINDS = ("plain", "ties", "denormals", "infinities", "large sums")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_every_build_rounds_as_the_definition(kind: str, seed: int) -> None:
    assert difference(kind, seed) == []


def reached(kind: str) -> dict[str, Any]:
    found = []
    for seed in range(8):
        _, node, weight = layer(kind, seed)
        sent = (np.random.default_rng(seed).random((BATCH, STEPS, N_IN)) < 0.3).astype(np.int8)
        found.append(defined(node, weight, sent, neuron_single.step))
    return {key: np.stack([one[key] for one in found]) for key in found[0]}


def test_the_corners_are_reached() -> None:
    """Numbers below the smallest normal one, infinities, what is no number, and sums that float32 has to round."""
    smallest = float(np.finfo(np.float32).smallest_normal)
    v = np.abs(reached("denormals")["v"])
    assert np.mean((v > 0) & (v < smallest)) > 0.02
    v = reached("infinities")["v"]
    assert np.isinf(v).any()
    assert np.isnan(v).any()
    _, _, weight = layer("large sums", 0)
    assert int(weight.sum(axis=2).max()) > 1 << 32
    for kind in KINDS:
        assert 0 < reached(kind)["s"].mean() < 1, kind


def contracted(node: Neuron, state: Any, x: Any) -> Any:
    """Products that are not rounded before something is added, as a fused multiply-add has them."""
    value = neuron_single.value
    u, v = value(node.decay_u).astype(np.float64), value(node.decay_v).astype(np.float64)
    exc, inh = ((u * old + ring).astype(np.float32) for old, ring in zip((state.u_exc, state.u_inh), x, strict=True))
    moved = (v * state.v + np.subtract(exc, inh)).astype(np.float32) + value(node.bias)
    fired = moved > value(node.threshold) if node.fires == "gt" else moved >= value(node.threshold)
    reset = neuron_single._reset(node, moved, value(node.threshold))
    return neuron_single.SingleState(exc, inh, np.where(fired, reset, moved), fired.astype(np.int64))


def truncated(node: Neuron, state: Any, x: Any) -> Any:
    """Sums that lose what float32 does not hold instead of being rounded."""
    bits = np.maximum(np.frexp(x.astype(np.float64))[1] - 24, 0)
    return neuron_single.step(node, state, x >> bits << bits)


def flushed(node: Neuron, state: Any, x: Any) -> Any:
    """Denormals that become zero."""
    found = neuron_single.step(node, state, x)
    smallest = np.finfo(np.float32).smallest_normal
    return neuron_single.SingleState(
        found.u_exc, found.u_inh, np.where(np.abs(found.v) < smallest, np.float32(0), found.v), found.s
    )


def reassociated(node: Neuron, state: Any, x: Any) -> Any:
    """The bias added to the current before the membrane is."""
    value = neuron_single.value
    found = neuron_single.step(node, state, x)
    current = np.add(np.subtract(found.u_exc, found.u_inh), value(node.bias))
    moved = np.add(np.multiply(value(node.decay_v), state.v), current)
    fired = moved > value(node.threshold) if node.fires == "gt" else moved >= value(node.threshold)
    reset = neuron_single._reset(node, moved, value(node.threshold))
    return neuron_single.SingleState(found.u_exc, found.u_inh, np.where(fired, reset, moved), fired.astype(np.int64))


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [(contracted, "plain"), (contracted, "large sums"), (truncated, "large sums"), (flushed, "denormals"),
     (reassociated, "plain"), (reassociated, "ties")],
)  # fmt: skip
def test_other_roundings_are_caught(wrong: Step, kind: str) -> None:
    assert sum(bool(difference(kind, seed, wrong)) for seed in range(8)) >= 6
