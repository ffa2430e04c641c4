"""What the tests of the kernels share: input, weights, and the comparison of every build with the loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_brute import Brute, Faults
from snnc.engine import library, native
from snnc.engine.layout import POPULATION
from snnc.engine.plan import Plan

FOUND = library.state()
VARIANTS = FOUND.variants if isinstance(FOUND, library.Kernels) else ("none",)


def spikes(rng: np.random.Generator, batch: int, steps: int, size: int, density: float, *, signed: bool = False) -> Any:
    found = (rng.random((batch, steps, size)) < density).astype(np.int8)
    return found * rng.choice(np.array([-1, 1], np.int8), found.shape) if signed else found


def difference(p: Plan, given: dict[int, Any], steps: int, faults: Faults = frozenset(), **more: Any) -> list[str]:
    """What differs between the kernels and the loops: spikes and states of all populations, and ranges of sums."""
    want, states, ranges = Brute(p, faults).run(given, steps, more.get("forced"), more.get("extra"))
    wished = native.Wishes(range(len(p.populations)), range(len(p.populations)), ranges=True)
    wrong = []
    for variant in VARIANTS:
        got = native.execute(native.prepare(p), given, steps, wished, variant=variant, **more)
        assert got.signals
        wrong += [f"{variant}: spikes of {k}" for k, a in got.signals.items() if not np.array_equal(a, want[k])]
        assert set(got.states) == set(states)
        wrong += [f"{variant}: {k}" for k, a in got.states.items() if not np.array_equal(a, states[k])]
        wrong += [f"{variant}: range of {k}" for k, a in got.ranges.items() if a.tolist() != ranges[k][: len(a)]]
    return wrong


def field(p: Plan, index: int, name: str) -> int:
    return int(native.prepare(p).pack.arrays["populations"][index, POPULATION.index(name)])


def weights(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Any:
    if kind in ("-128", "127"):
        return np.full(shape, int(kind), np.int8)
    if kind == "int16":
        return rng.integers(-32768, 32768, shape).astype(np.int16)
    if kind == "magnitudes":
        return rng.integers(0, 65536, shape).astype(np.int32)
    if kind == "int32":
        return rng.integers(-(1 << 20), 1 << 20, shape).astype(np.int32)
    return rng.integers(-128, 128, shape).astype(np.int8)
