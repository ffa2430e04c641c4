"""The emulated core: ring buffers, rows, words, and the golden vectors with versions that they must catch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kinds_spinnaker
import numpy as np
import numpy.typing as npt
import pytest

from snnc.errors import FormatError
from snnc.trace import load_npz
from snnc_spinnaker import arith, core, stdp
from snnc_spinnaker import ring as ring_module
from snnc_spinnaker.core import Core
from snnc_spinnaker.ring import Layout, Ring
from snnc_spinnaker.rows import parse
from snnc_spinnaker.words import Words

VECTORS = Path(__file__).resolve().parents[2] / "golden" / "vectors"
STATIC = ("lif_curr_exp_random", "lif_curr_exp_corner", "lif_curr_delta_random", "net_cuba_lowered")
PLASTIC = ("stdp_curve_additive", "stdp_curve_multiplicative", "stdp_pair_additive", "stdp_pair_multiplicative")


def differing(name: str) -> int:
    """Values of a golden file that the emulator gets wrong."""
    data = load_npz(VECTORS / f"{name}.npz")
    checker = kinds_spinnaker.recognise(name, data)
    assert checker is not None
    compared, found = checker(data)
    assert compared > 10_000
    return sum(found.values())


@pytest.mark.parametrize("name", STATIC + PLASTIC)
def test_golden_vectors_are_reproduced(name: str) -> None:
    assert differing(name) == 0


def rounding_mul(a: Any, b: Any) -> Any:
    return arith.w32((np.asarray(a, np.int64) * np.asarray(b, np.int64) + (1 << 14)) >> 15)


def rounding_decay(x: Any, fraction: Any) -> Any:
    return arith.w32((np.asarray(x, np.int64) * np.asarray(fraction, np.int64) + (1 << 31)) >> 32)


def decay_before_use(self: Core, time: int) -> core.Step:
    self._receive(time)
    self._shape()
    before, exc, inh = self.v, self.current[0], self.current[1]
    self._update()
    return core.Step(before, exc, inh, self._fire())


def decay_input_too(self: Core, time: int) -> None:
    taken = self.ring.take(time)
    arrived = np.stack([arith.weight_to_input(taken[k], self.shift[k]) for k in (0, 1)])
    total = arith.add(self.current, arrived)
    self.current = arith.decay(total, self.constants.first[:, np.newaxis]) if self.words.kind == "exp" else total


def strictly_above(self: Core) -> Any:
    fired = self.v > self.words.threshold
    self.v = np.where(fired, self.words.column("v_reset"), self.v)
    self.wait = np.where(fired, self.constants.refractory, self.wait)
    return fired


def rounding_division(a: Any, b: Any) -> Any:
    top, bottom = np.asarray(a, np.int64) << 15, np.asarray(b, np.int64)
    return arith.w32((2 * top + bottom) // (2 * bottom))


def nearest_exp(x: Any) -> Any:
    return np.rint(np.exp(np.asarray(x) / 32768) * 32768).astype(np.int64)


def rounded_write_back(self: stdp.PlasticRow, rule: stdp.Rule, posts: stdp.Posts, ring: Ring, time: int) -> None:
    """Half a weight step is added before the floor."""
    half = (1 << np.asarray(rule.shift)[self.receptor]) >> 1
    self._caught_up = lambda *given: CAUGHT_UP(self, *given) + half  # type: ignore[method-assign]
    ARRIVE(self, rule, posts, ring, time)


class LatePosts(stdp.Posts):
    """Post spikes are noted a step later: after the packets of their tick instead of before."""

    def spike(self, rule: stdp.Rule, time: int, neurons: Any) -> None:
        for earlier in getattr(self, "waiting", []):
            super().spike(rule, *earlier)
        self.waiting = [(time, neurons)]


def clamped_lookup(table: Any, steps: Any) -> Any:
    return np.where(steps >= 0, table[np.clip(steps, 0, len(table) - 1)], 0)


ARRIVE, CAUGHT_UP = stdp.PlasticRow.arrive, stdp.PlasticRow._caught_up
MUTANTS: dict[str, tuple[Any, str, Any, str]] = {
    "division rounds": (arith, "kdivk", rounding_division, "lif_curr_exp_random"),
    "exp rounds to nearest": (arith, "expk", nearest_exp, "lif_curr_exp_random"),
    "rings saturate a bit later": (ring_module, "LIMIT", 0x1FFFF, "lif_curr_exp_corner"),
    "17 history entries": (stdp, "HISTORY", 17, "stdp_pair_additive"),
    "weights round on write-back": (stdp.PlasticRow, "arrive", rounded_write_back, "stdp_pair_multiplicative"),
    "post spikes are noted after packets": (kinds_spinnaker, "Posts", LatePosts, "stdp_curve_additive"),
    "tables go on at their last value": (stdp, "looked_up", clamped_lookup, "stdp_pair_additive"),
    "product rounds": (arith, "mul", rounding_mul, "lif_curr_delta_random"),
    "decay rounds": (arith, "decay", rounding_decay, "lif_curr_exp_random"),
    "1.0ulr is 2**32": (arith, "ONE_ULR", 1 << 32, "net_cuba_lowered"),
    "current decays before its use": (Core, "step", decay_before_use, "lif_curr_exp_random"),
    "15 post spikes kept": (stdp, "HISTORY", 15, "stdp_pair_additive"),
    "trace product rounds": (
        arith,
        "stdp_mul",
        lambda a, b: (arith.int16(a) * arith.int16(b) + 1024) >> 11,
        "stdp_pair_multiplicative",
    ),
    "> for >=": (Core, "_fire", strictly_above, "lif_curr_exp_corner"),
    "first-step scale on the whole current": (Core, "_receive", decay_input_too, "net_cuba_lowered"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_golden_vectors_catch_a_wrong_core(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, wrong, vector = MUTANTS[mutant]
    monkeypatch.setattr(owner, name, wrong)
    assert differing(vector) >= 20


def test_an_unnamed_stdp_file_is_replayed_by_the_rule_that_fits() -> None:
    data = load_npz(VECTORS / "stdp_curve_additive.npz")
    for name, wrong in (("unnamed", False), ("additive", False), ("multiplicative", True)):
        checker = kinds_spinnaker.recognise(name, data)
        assert checker is not None
        assert (sum(checker(data)[1].values()) > 0) == wrong


def test_other_files_are_not_recognised() -> None:
    assert kinds_spinnaker.recognise("lif", {"spikes": np.zeros(3)}) is None


def delta_core(threshold: float, **columns: float) -> Core:
    """Two delta neurons that forget everything each step (e = 0, R = 1): V = I + V_rest."""
    values = {"c_m": 0.03125, "tau_m": 0.03125, "time_step": 1.0, **columns}
    names = ("v_init", "v_rest", "c_m", "tau_m", "i_offset", "v_reset", "t_refrac", "refract_init", "time_step")
    row = arith.to_accum([values.get(name, 0.0) for name in names])
    one = arith.to_accum([1.0, 1.0])
    words = Words("delta", np.stack([row, row]), arith.to_accum([threshold] * 2), np.zeros((2, 2), int), one)
    return Core(words, (0, 0), Layout(1, 2))


def drive(machine: Core, amount: int, steps: int) -> list[int]:
    """Spikes of neuron 0 when a weight arrives for it in every step."""
    fired = []
    for time in range(steps):
        fired.append(int(machine.step(time).spikes[0, 0]))
        machine.ring.add(time, 1, 0, np.array([[amount, 0]]))
    return fired


def test_a_membrane_at_the_threshold_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drive(delta_core(0.5), 16384, 4) == [0, 1, 1, 1]
    assert drive(delta_core(0.5), 16383, 4) == [0, 0, 0, 0]
    monkeypatch.setattr(Core, "_fire", strictly_above)
    assert drive(delta_core(0.5), 16384, 4) == [0, 0, 0, 0]


def test_refractory_steps_are_skipped_and_rounded_up() -> None:
    assert drive(delta_core(0.5, t_refrac=2.0), 20000, 9) == [0, 1, 0, 0, 1, 0, 0, 1, 0]
    assert drive(delta_core(0.5, t_refrac=1.25), 20000, 9) == [0, 1, 0, 0, 1, 0, 0, 1, 0]
    assert drive(delta_core(0.5, t_refrac=2.0, v_reset=0.75), 20000, 5) == [0, 1, 1, 1, 1]


def test_ring_sums_saturate_in_any_order() -> None:
    rng = np.random.default_rng(3)
    weights = rng.integers(0, 30000, 6)
    for order in itertools.islice(itertools.permutations(range(6)), 40):
        ring = Ring(Layout(1, 1), 2)
        for index in order:
            ring.row(0, np.array([int(weights[index]) << 16 | 1 << 2]))
        assert int(ring.take(1)[0, 0, 0]) == min(int(weights.sum()), 65535)


def test_ring_counts_saturating_adds_of_one_row_as_the_core_does() -> None:
    ring = Ring(Layout(1, 1), 2)
    word = 40000 << 16 | 1 << 2 | 1 << 1 | 1
    ring.row(0, np.array([word, word, word]))
    assert ring.saturations == 2
    assert ring.take(1)[:, 0].tolist() == [[0, 0], [0, 65535]]
    assert ring.take(1).sum() == 0


def test_saturations_of_the_corner_vector_are_all_counted() -> None:
    data = load_npz(VECTORS / "lif_curr_exp_corner.npz")
    machine, rows = kinds_spinnaker.core_of(data), kinds_spinnaker.rows_of(data)
    events = kinds_spinnaker.events_of(data)
    for time in range(int(data["n_steps"])):
        machine.step(time)
        for row, lag in events.get(time, []):
            machine.ring.row(time, rows[row].fixed, lag)
    assert machine.ring.saturations == 2612


def test_a_delay_of_all_slots_wraps_round() -> None:
    ring = Ring(Layout(1, 2), 2)
    ring.add(0, 4, 0, np.array([[7, 0]]))
    assert [int(ring.take(t)[0, 0, 0]) for t in (1, 2, 3, 4, 5)] == [0, 0, 0, 7, 0]


def test_late_packets_lose_delay_or_are_dropped() -> None:
    ring = Ring(Layout(1, 2), 2)
    ring.row(5, np.array([9 << 16 | 3 << 2, 8 << 16 | 2 << 2 | 1]), lag=2)
    assert ring.dropped == 1
    assert ring.take(6)[0, 0].tolist() == [9, 0]


def test_rows_are_taken_apart() -> None:
    row = parse(np.array([3, 50, 2047, 7 << 16 | 5, 1, 2, 0xAABB0001, 0x00020001, 0, 0], dtype=np.uint32))
    assert row.fixed.tolist() == [0xAABB0001]
    assert row.controls.tolist() == [1, 2]
    assert row.weights.tolist() == [5, 7]


@pytest.mark.parametrize("key", ["neuron", "threshold", "synapse", "delta_step"])
def test_words_of_another_shape_are_refused(key: str) -> None:
    given: dict[str, npt.NDArray[Any]] = {
        "neuron": np.ones((3, 9)), "threshold": np.ones(3), "synapse": np.ones((3, 2)), "delta_step": np.ones(3),
    }  # fmt: skip
    build: Callable[..., Words] = lambda **changed: Words("delta", **{**given, **changed})  # noqa: E731
    assert build().size == 3
    with pytest.raises(FormatError, match=key):
        build(**{key: np.ones((2, 8))})
    with pytest.raises(FormatError, match="32 bits"):
        build(**{key: given[key] * (1 << 31)})
